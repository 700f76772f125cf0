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

// This file decides what a record shows of URLs, headers and bodies. Package internal/redact masks
// the secrets.

var placeholder = regexp.MustCompile(`\{([^{}]+)\}`)

// urlOf returns the URL as it would be sent. If the URL cannot be resolved, urlOf returns it as it
// was written. The values of placeholders with the name of a secret, such as {token}, are masked.
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

// neverShown has the headers that [WithAllowedHeaders] cannot allow.
var neverShown = map[string]bool{
	"Authorization":       true,
	"Proxy-Authorization": true,
	"Cookie":              true,
	"Set-Cookie":          true,
}

// shows reports whether a record has the value of a header of a request or of its response.
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

// appendHeaders adds a group of the headers, sorted by name.
func (i *Interceptor) appendHeaders(attrs []slog.Attr, req *axle.Request, header http.Header) []slog.Attr {
	if len(header) == 0 {
		return attrs
	}

	shown := make([]slog.Attr, 0, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := redact.Mask
		if i.shows(req, name) {
			// Location has a URL as its value, and other headers may.
			values := make([]string, len(header[name]))
			for k, one := range header[name] {
				values[k] = i.names.Value(one)
			}
			value = strings.Join(values, ", ")
		}
		shown = append(shown, slog.String(redact.OneLine(name), redact.OneLine(value)))
	}
	return append(attrs, slog.GroupAttrs("header", shown...))
}

// stream is shown for a body that only the transport or the caller may read.
const stream = "[stream]"

func (i *Interceptor) requestBody(req *axle.Request) string {
	if _, ok := req.Body.(io.Reader); ok {
		return stream
	}
	body, contentType, err := req.EncodedBody()
	if err != nil {
		// The attempt has failed with the same error, which is in the record.
		return ""
	}
	return i.names.Body(body, contentType, req.Header.Get("Content-Encoding"), i.limit)
}

func (i *Interceptor) responseBody(resp *axle.Response) string {
	n, known := lengthOf(resp)
	if isEmpty := known && n == 0; resp.Bytes() == nil && resp.Raw() != nil && !isEmpty {
		return stream
	}

	contentType, encoding := resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding")
	return i.names.Body(resp.Bytes(), contentType, encoding, i.limit)
}
