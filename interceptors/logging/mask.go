package logging

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/redact"
)

// This file is what of URLs, headers and bodies a record shows; internal/redact takes the secrets out.

var placeholder = regexp.MustCompile(`\{([^{}]+)\}`)

// urlOf returns the URL as it would be sent, and, where it cannot be resolved, as it was written. The values of placeholders that
// are named as secrets are, {token}, are masked.
func (i *Interceptor) urlOf(req *axle.Request) string {
	shown := req
	if template := req.BaseURL() + req.URL; strings.Contains(template, "{") {
		for _, match := range placeholder.FindAllStringSubmatch(template, -1) {
			if name := match[1]; i.names.Secret(name) {
				shown = shown.Clone().SetPathParam(name, redact.Mask)
			}
		}
	}

	u, err := shown.ResolveURL()
	if err != nil {
		return i.names.RawURL(req.URL)
	}
	return i.names.URL(u)
}

// neverShown are the headers that nobody can allow.
var neverShown = map[string]bool{"Authorization": true, "Proxy-Authorization": true, "Cookie": true, "Set-Cookie": true}

// shows reports whether a record has the value of a header of req or of its answer.
func (i *Interceptor) shows(req *axle.Request, name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case neverShown[name], req.IsDeclaredSensitive(name), i.names.IsAdded(name):
		return false
	case i.allowedHeaders[name]:
		return true
	}
	return redact.HarmlessHeader(name)
}

// appendHeaders adds a group of the headers, by name.
func (i *Interceptor) appendHeaders(attrs []slog.Attr, req *axle.Request, header http.Header) []slog.Attr {
	if len(header) == 0 {
		return attrs
	}
	shown := make([]slog.Attr, 0, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := redact.Mask
		if i.shows(req, name) {
			values := make([]string, len(header[name]))
			for k, one := range header[name] { // Location holds a URL, and other headers may
				values[k] = i.names.Value(one)
			}
			value = strings.Join(values, ", ")
		}
		shown = append(shown, slog.String(redact.OneLine(name), redact.OneLine(value)))
	}
	return append(attrs, slog.GroupAttrs("header", shown...))
}

// stream stands for a body that is nobody's to read but the transport's or the caller's.
const stream = "[stream]"

func (i *Interceptor) requestBody(req *axle.Request) string {
	if _, ok := req.Body.(io.Reader); ok {
		return stream
	}
	body, contentType, err := req.EncodedBody()
	if err != nil {
		return "" // the error is the attempt's, and is logged
	}
	return i.names.Body(body, contentType, req.Header.Get("Content-Encoding"), i.limit)
}

func (i *Interceptor) responseBody(resp *axle.Response) string {
	if n, known := lengthOf(resp); resp.Bytes() == nil && resp.Raw() != nil && (!known || n > 0) {
		return stream
	}
	return i.names.Body(resp.Bytes(), resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"), i.limit)
}
