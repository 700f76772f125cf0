package logging

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/redact"
)

// This file is what of headers and bodies a record shows; internal/redact takes the secrets out.

// appendHeaders adds a group of the headers, by name.
func appendHeaders(attrs []slog.Attr, client *axle.Client, header http.Header) []slog.Attr {
	if len(header) == 0 {
		return attrs
	}
	shown := make([]slog.Attr, 0, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := redact.Mask
		if !redact.Name(name) && (client == nil || !client.IsSensitiveHeader(name)) {
			value = redact.Text(strings.Join(header[name], ", ")) // Location and Link hold URLs
		}
		shown = append(shown, slog.String(name, value))
	}
	return append(attrs, slog.GroupAttrs("header", shown...))
}

// stream stands for a body that is nobody's to read but the transport's or the caller's.
const stream = "[stream]"

func requestBody(req *axle.Request, limit int) string {
	if _, ok := req.Body.(io.Reader); ok {
		return stream
	}
	body, contentType, err := req.EncodedBody()
	if err != nil {
		return "" // the error is the attempt's, and is logged
	}
	return redact.Body(body, contentType, req.Header.Get("Content-Encoding"), limit)
}

func responseBody(resp *axle.Response, limit int) string {
	if n, known := lengthOf(resp); resp.Bytes() == nil && resp.Raw() != nil && (!known || n > 0) {
		return stream
	}
	return redact.Body(resp.Bytes(), resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"), limit)
}
