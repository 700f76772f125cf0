package axle

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/axlehttp/axle/internal/redact"
	"github.com/axlehttp/axle/internal/wire"
)

// This file is how a Request, a Response and an Error are printed: by fmt, by log/slog and by
// encoding/json. Its methods have value receivers, so that a copy prints no more than a pointer
// does.

// Format prints the method, the URL and the headers, without secrets, whatever the verb. A header
// that is not known to be harmless is printed without its value. The body is not printed.
func (r Request) Format(f fmt.State, verb rune) {
	var b strings.Builder
	b.WriteString("axle.Request(" + redact.OneLine(r.method()) + " " + r.redactedURL())
	writeHeader(&b, r.shownHeader())
	b.WriteString(")")
	printAs(f, verb, b.String())
}

// LogValue returns the parts of Format's text as a group.
func (r Request) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("method", redact.OneLine(r.method())),
		slog.String("url", r.redactedURL()),
	}
	if r.attempt > 0 {
		attrs = append(attrs, slog.Int("attempt", r.Attempt()))
	}
	return slog.GroupValue(appendHeader(attrs, r.shownHeader())...)
}

// MarshalJSON returns the text of Format as an object. It is for people: it has neither the body
// nor the values of most headers, so that no request can be made of it.
func (r Request) MarshalJSON() ([]byte, error) {
	return json.Marshal(requestForm{
		Method:  redact.OneLine(r.method()),
		URL:     r.redactedURL(),
		Attempt: r.Attempt(),
		Header:  r.shownHeader(),
	})
}

type requestForm struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Attempt int         `json:"attempt,omitempty"`
	Header  http.Header `json:"header,omitempty"`
}

// Format prints the status, the method, the URL and the headers, without secrets, whatever the
// verb. A header that is not known to be harmless is printed without its value. The body is not
// printed: see [Response.String].
func (r Response) Format(f fmt.State, verb rune) {
	form := r.form()
	var b strings.Builder
	b.WriteString("axle.Response(" + form.Status)
	if form.Method != "" {
		b.WriteString(" to " + form.Method + " " + form.URL)
	}
	writeHeader(&b, form.Header)
	b.WriteString(")")
	printAs(f, verb, b.String())
}

// LogValue returns the parts of Format's text as a group.
func (r Response) LogValue() slog.Value {
	form := r.form()
	attrs := []slog.Attr{slog.String("status", form.Status)}
	if form.Method != "" {
		attrs = append(attrs, slog.String("method", form.Method), slog.String("url", form.URL))
	}
	return slog.GroupValue(appendHeader(attrs, form.Header)...)
}

// MarshalJSON returns the parts of Format's text as an object. The body is not in it: see
// [Response.Bytes].
func (r Response) MarshalJSON() ([]byte, error) { return json.Marshal(r.form()) }

type responseForm struct {
	Status string      `json:"status"`
	Method string      `json:"method,omitempty"`
	URL    string      `json:"url,omitempty"`
	Header http.Header `json:"header,omitempty"`
}

func (r *Response) form() responseForm {
	form := responseForm{Status: r.statusLine()}
	req := r.Request
	if req == nil {
		req = &Request{}
	} else {
		form.Method, form.URL = redact.OneLine(req.method()), req.redactedURL()
	}
	form.Header = req.shown(r.Header)
	return form
}

// Format prints the text of [Error.Error], whatever the verb.
func (e Error) Format(f fmt.State, verb rune) { printAs(f, verb, e.Error()) }

// printAs prints a text by a verb that may ask for Go syntax or for fields, neither of which would
// be redacted.
func printAs(f fmt.State, verb rune, text string) {
	if verb == 'q' {
		_, _ = io.WriteString(f, strconv.Quote(text))
		return
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, 's'), text)
}

// IsDeclaredSensitive reports whether a header was declared to hold a credential: by
// [Client.SetSensitiveHeaders], by [Client.SetXSRF], or by [Request.BindHeader]. BindHeader counts
// only for a header that is not sensitive by its name. For headers that are, see
// [Client.IsSensitiveHeader].
func (r *Request) IsDeclaredSensitive(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if s := r.settings(); s != nil && (s.sensitive[name] || name == s.xsrfHeader && name != "") {
		return true
	}

	isBound := func(b binding) bool { return b.isHeader(name) }
	return !redact.Name(name) && slices.ContainsFunc(r.origins, isBound)
}

// isCredential reports whether the values of a header must not be printed.
func (r *Request) isCredential(name string) bool {
	return redact.Name(name) || r.IsDeclaredSensitive(name)
}

func (r *Request) shownHeader() http.Header { return r.shown(r.Header) }

// shown returns the headers of a request or of its response as they may be printed.
func (r *Request) shown(header http.Header) http.Header {
	if len(header) == 0 {
		return nil
	}

	shown := make(http.Header, len(header))
	for name, list := range header {
		values := make([]string, len(list))
		for i, value := range list {
			values[i] = redact.Mask
			if redact.HarmlessHeader(name) && !r.isCredential(name) {
				values[i] = redact.OneLine(redact.Value(value))
			}
		}

		// Two names that differ in control characters alone become one.
		name = redact.OneLine(name)
		shown[name] = append(shown[name], values...)
	}
	return shown
}

func writeHeader(b *strings.Builder, shown http.Header) {
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		b.WriteString(" [" + name + ": " + strings.Join(shown[name], ", ") + "]")
	}
}

func appendHeader(attrs []slog.Attr, shown http.Header) []slog.Attr {
	if len(shown) == 0 {
		return attrs
	}
	header := make([]slog.Attr, 0, len(shown))
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		header = append(header, slog.String(name, strings.Join(shown[name], ", ")))
	}
	return append(attrs, slog.GroupAttrs("header", header...))
}

// redactedURL is the URL as it would be sent, without secrets, or, where it cannot be resolved, as
// it was written. A placeholder that has the name of a secret, such as {token}, is masked.
func (r *Request) redactedURL() string {
	shown := r
	for _, name := range wire.PlaceholderNames(r.BaseURL() + r.URL) {
		if !redact.Name(name) {
			continue
		}

		// The request itself keeps its values.
		if shown == r {
			masked := *r
			shown = &masked
		}
		shown.SetPathParam(name, redact.Mask)
	}

	if u, err := shown.resolve(); err == nil {
		return redact.URL(u)
	}
	return redact.RawURL(r.URL)
}
