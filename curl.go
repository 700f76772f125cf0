package axle

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/redact"
)

// curlBody is how much of a body the command line shows, in bytes.
const curlBody = 4096

// Curl returns the request as a curl command line, for people. Its secrets are redacted, so that it
// can be shown; to run it, they have to be filled in. In a handler it is the request that will be
// sent. Outside a call it lacks the client's default headers. A stream is not read.
func (r *Request) Curl() string {
	var b strings.Builder
	b.WriteString("curl")
	if r.method() != http.MethodGet {
		b.WriteString(" -X " + shellQuote(r.method()))
	}
	b.WriteString(" " + shellQuote(r.redactedURL()))

	body, contentType, err := r.EncodedBody()
	if m, ok := r.Body.(*Multipart); ok && m != nil {
		contentType = m.contentType(r.contentType())
	}

	header := func(name, value string) { b.WriteString(" -H " + shellQuote(name+": "+value)) }
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			if name == contentTypeHeader && contentType != "" {
				value = contentType
			}
			if r.isCredential(name) {
				value = redact.Mask
			}
			header(redact.OneLine(name), redact.OneLine(redact.Value(value)))
		}
	}

	if _, isStream := r.Body.(io.Reader); isStream || err != nil {
		b.WriteString(" --data-binary @-")
		return b.String()
	}
	if len(body) > 0 {
		if r.Header.Get("Content-Type") == "" {
			header("Content-Type", contentType)
		}
		shown := redact.Body(body, contentType, r.Header.Get("Content-Encoding"), curlBody)
		b.WriteString(" --data-raw " + shellQuote(shown))
	}
	return b.String()
}

// shellQuote quotes for a POSIX shell.
func shellQuote(s string) string {
	plain := func(c rune) bool {
		isAlphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return isAlphanumeric || strings.ContainsRune("-_./:", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
