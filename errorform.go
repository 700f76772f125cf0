package axle

import (
	"encoding/json"
	"log/slog"

	"github.com/axlehttp/axle/internal/redact"
)

// errorForm is what an Error shows of itself to machines: no headers and no bodies, and no secrets.
type errorForm struct {
	Code        string `json:"code"`
	Message     string `json:"message"`
	Method      string `json:"method,omitempty"`
	URL         string `json:"url,omitempty"`
	Status      int    `json:"status,omitempty"`
	Attempt     int    `json:"attempt,omitempty"`
	Interceptor string `json:"interceptor,omitempty"`
	Cause       string `json:"cause,omitempty"`
}

func (e *Error) form() errorForm {
	f := errorForm{
		Code:        string(e.Code),
		Message:     redact.Text(e.Message),
		Status:      e.StatusCode(),
		Interceptor: e.interceptor,
	}
	if e.Request != nil {
		f.Method, f.URL = redact.OneLine(e.Request.method()), e.Request.redactedURL()
		f.Attempt = e.Request.Attempt()
	}
	if e.Err != nil {
		f.Cause = redact.Text(e.Err.Error())
	}
	return f
}

// MarshalJSON returns code, message, method, URL, status, attempt, interceptor and cause, redacted
// (axios's toJSON). It has neither headers nor bodies.
//
// It has a value receiver, so that a copy prints no more than a pointer does. Of a nil pointer
// encoding/json makes null.
func (e Error) MarshalJSON() ([]byte, error) { return json.Marshal(e.form()) }

// LogValue returns the members of [Error.MarshalJSON] as a group for log/slog.
func (e *Error) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}

	f := e.form()
	attrs := []slog.Attr{slog.String("code", f.Code)}
	for _, a := range []slog.Attr{
		slog.String("message", f.Message),
		slog.String("method", f.Method),
		slog.String("url", f.URL),
		slog.Int("status", f.Status),
		slog.Int("attempt", f.Attempt),
		slog.String("interceptor", f.Interceptor),
		slog.String("cause", f.Cause),
	} {
		if !a.Value.Equal(slog.StringValue("")) && !a.Value.Equal(slog.IntValue(0)) {
			attrs = append(attrs, a)
		}
	}

	return slog.GroupValue(attrs...)
}
