package axle

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/axlehttp/axle/internal/redact"
)

// Code classifies an [Error], with axios's names. It is an error itself: errors.Is(err,
// axle.CodeTimeout).
type Code string

// The codes.
const (
	// CodeBadRequest is the code of a refused status from 400 to 499.
	CodeBadRequest Code = "ERR_BAD_REQUEST"

	// CodeBadResponse is the code of any other refused status, and of a body that does not
	// decode.
	CodeBadResponse Code = "ERR_BAD_RESPONSE"

	// CodeNetwork says that no whole response came: the connection was refused or reset, the name
	// did not resolve, or TLS failed.
	CodeNetwork Code = "ERR_NETWORK"

	// CodeTimeout is the code of a time limit and of the caller's deadline. Such an error matches
	// context.DeadlineExceeded.
	CodeTimeout Code = "ETIMEDOUT"

	// CodeCanceled is the code of a canceled context. Such an error matches context.Canceled, and
	// its cause is that of context.Cause.
	CodeCanceled Code = "ERR_CANCELED"

	// CodeInvalidURL is the code of a URL that is malformed, relative without a base, or neither http
	// nor https.
	CodeInvalidURL Code = "ERR_INVALID_URL"

	// CodeTooManyRedirects is the code of one redirect more than the limit.
	CodeTooManyRedirects Code = "ERR_FR_TOO_MANY_REDIRECTS"

	// CodeTooLarge is the code of a body over its limit.
	CodeTooLarge Code = "ERR_BODY_TOO_LARGE"

	// CodeBadOption is the code of bad input, which was found before anything was sent.
	CodeBadOption Code = "ERR_BAD_OPTION_VALUE"

	// CodeInterceptor says that a handler returned a plain error, or neither a value nor an error.
	CodeInterceptor Code = "ERR_INTERCEPTOR"
)

// Error returns the code itself.
func (c Code) Error() string { return string(c) }

// ErrNoResult is the cause of the [Error] of a call in which a handler returned neither a value nor
// an error.
var ErrNoResult = errors.New("the handler returned neither a value nor an error")

// Error is what every failed call returns, and what every rejected handler receives (axios's
// AxiosError).
//
// An Error may be read by many goroutines; it must not be changed once returned.
type Error struct {
	Code     Code
	Message  string    // what happened, in words; may be empty where Err says it
	Request  *Request  // the call's request as the handlers left it; never nil in a rejected handler
	Response *Response // nil when no response arrived
	Err      error     // the cause; errors.Is and errors.As see through it

	interceptor string // the one that failed, if one did
	refused     bool   // dispatch made it of a status that ValidateStatus refused
	same        *Error // the Error that this one completes: errors.Is takes one for the other
}

// Error names the method, the URL, the status, the code, the interceptor that failed, and the
// cause, all without secrets and without a server's control characters. A cause that is of the same
// call does not name method, URL and status again.
func (e *Error) Error() string {
	// A nil *Error that is joined with other errors is still no error.
	if e == nil {
		return "<nil>"
	}

	heading, status := e.heading(), ""
	if e.Response != nil {
		status = e.Response.statusLine() + ": "
	}
	var b strings.Builder
	b.WriteString(heading)
	b.WriteString(status)
	b.WriteString(string(e.Code))
	if e.interceptor != "" {
		b.WriteString(": interceptor ")
		b.WriteString(e.interceptor)
	}

	texts := [2]string{e.Message}
	if e.Err != nil {
		texts[1] = e.Err.Error()
	}
	for _, text := range texts {
		if text == "" {
			continue
		}
		if e.Request != nil {
			text = strings.ReplaceAll(text, heading+status, "")
			text = strings.ReplaceAll(text, heading, "")
		}
		b.WriteString(": ")
		b.WriteString(redact.Text(text))
	}
	return redact.Printable(b.String())
}

// heading is how the text of each error of one request begins.
func (e *Error) heading() string {
	if e.Request == nil {
		return "axle: "
	}
	return "axle: " + redact.OneLine(e.Request.method()) + " " + e.Request.redactedURL() + ": "
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Is reports whether target is e's Code, or the context error that the Code stands for.
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	switch target {
	case error(e.Code):
		return true
	case context.DeadlineExceeded:
		return e.Code == CodeTimeout
	case context.Canceled:
		return e.Code == CodeCanceled
	}
	for same := e.same; same != nil; same = same.same {
		if target == error(same) {
			return true
		}
	}
	return false
}

// StatusCode returns the response's status, or 0 without a response. A nil *Error has the status 0:
// functions that judge an outcome, such as that of retry.WithCondition, get one for a fulfilled
// response.
func (e *Error) StatusCode() int {
	if e == nil || e.Response == nil {
		return 0
	}
	return e.Response.StatusCode
}

// Timeout reports whether a time limit ended the call: the client's, the request's, the transport's
// or the caller's. [net/url.Error] asks it.
func (e *Error) Timeout() bool { return e.Code == CodeTimeout }

// asError returns what a handler's error means to the chain: a nil *Error inside a non-nil error is
// no error.
func asError(err error) error {
	//nolint:errorlint // only the handler's own return value is meant
	if e, ok := err.(*Error); ok && e == nil {
		return nil
	}
	return err
}

// statusError is the error of a response that ValidateStatus refused.
func statusError(resp *Response) *Error {
	e := &Error{Code: CodeBadResponse, Request: resp.Request, Response: resp, refused: true}
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		e.Code = CodeBadRequest
	}
	e.Message = "the status was refused"
	return e
}

// contextError is the error of a request whose context has ended.
func contextError(ctx context.Context, req *Request) *Error {
	cause := context.Cause(ctx)
	if ctx.Err() == context.DeadlineExceeded || errors.Is(cause, errTimeout) {
		return &Error{Code: CodeTimeout, Request: req, Err: cause}
	}
	return &Error{Code: CodeCanceled, Request: req, Err: cause}
}

// isEndOf reports whether err is the end of this very context. The end of another context, such as
// a handler's own time limit within the call, looks the same only if ctx has ended too.
func isEndOf(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}

var errTimeout = errors.New("the time limit was reached")

// failure is the error of a request that brought no whole response.
func failure(ctx context.Context, req *Request, err error) *Error {
	// axle itself may have ended the request: by a redirect that it refused, or by the body or its
	// limit. The error of another request is of another client beneath this one.
	var known *Error
	if !errors.As(err, &known) {
		known = refusedBody(err)
	}
	if known != nil {
		if known.Request != nil && known.Request != req {
			return &Error{Code: known.Code, Request: req, Err: known}
		}
		e := *known
		e.Request = req
		return &e
	}

	// The caller may have ended it, by the context or by the http.Client above.
	if ctx.Err() != nil {
		return contextError(ctx, req)
	}
	if req.pass != nil {
		if interrupted := req.pass.sender.interrupted(req, err); interrupted != nil {
			return interrupted
		}
	}

	// Any other error is the network's. Its text may have secrets, as that of a Location that does not
	// parse.
	err = withoutURL(err)
	if shown := redact.Text(err.Error()); shown != err.Error() {
		err = &masked{err, shown}
	}
	e := &Error{Code: CodeNetwork, Request: req, Err: err}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Code = CodeTimeout
	case isDamagedGzip(err):
		e.Code = CodeBadResponse
	}
	return e
}

// isDamagedGzip reports whether a transport that decompresses by itself found data that is not
// gzip.
func isDamagedGzip(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt)
}

// masked is an error whose own text has secrets.
type masked struct {
	error
	shown string
}

func (m *masked) Error() string { return m.shown }
func (m *masked) Unwrap() error { return m.error }

// withoutURL returns the error inside net/http's url.Error, which would print the URL with its
// secrets.
func withoutURL(err error) error {
	//nolint:errorlint // only the outermost says nothing new
	if wrapped, ok := err.(*url.Error); ok {
		return wrapped.Err
	}
	return err
}

// badOption is the error of input that cannot be sent.
func badOption(req *Request, message string, cause error) *Error {
	return &Error{Code: CodeBadOption, Message: message, Request: req, Err: cause}
}

func invalidURL(req *Request, message string) *Error {
	return &Error{Code: CodeInvalidURL, Message: message, Request: req}
}
