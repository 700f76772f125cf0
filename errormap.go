package axle

import "errors"

// This file maps the errors of a client to those of the SDK that the client is part of.

// SetErrorMapper sets a function that makes the error that callers get of the [*Error] of a failed
// call, such as the error type of an SDK. It is called once, at the very end of the call: after the
// chains and the decoding, also where bad input was refused. The function may be called by many
// goroutines at once, and it must not change the *Error. Nil, the default, and a function that
// returns nil leave callers the *Error.
//
// errors.Is and errors.As find the *Error in any case. If the mapper's error wraps it, callers get
// the mapper's error itself. Otherwise they get an error with the text of the mapper's error, which
// leads to that and to the *Error by errors.As.
//
// Handlers and the functions of [Request.OnEnd] get the *Error. So does a handler that sends its own
// request again by [Client.Do]: only the outer call is mapped. A call that a handler starts anew is
// mapped as any call is. The errors of [Client.RoundTripper] and [Client.HTTPClient] are not mapped,
// and neither are those of a [Response] that the caller reads or decodes after the call.
func (c *Client) SetErrorMapper(fn func(*Error) error) *Client {
	return c.update(func(s *settings) { s.mapError = fn })
}

// mapped returns what a caller gets in the place of err.
func (s *settings) mapped(err *Error) error {
	if s.mapError == nil {
		return err
	}
	mapped := s.mapError(err)

	// A nil pointer of the mapper's own error type is no error.
	if mapped == nil || isNilPointer(mapped) {
		return err
	}

	// Callers find the call's *Error in it, or it is one itself, such as a changed copy.
	if _, ok := mapped.(*Error); ok { //nolint:errorlint // only the mapper's error itself is meant
		return mapped
	}
	var inner *Error
	if errors.As(mapped, &inner) && inner == err {
		return mapped
	}
	return &mappedError{mapped, err}
}

// mappedError is a mapper's error that does not wrap the call's.
type mappedError struct {
	error
	call *Error
}

// Unwrap returns both, the mapper's error first.
func (m *mappedError) Unwrap() []error { return []error{m.error, m.call} }

// As finds the call's *Error before another that the mapper's error may wrap, such as the cause of
// the call's.
func (m *mappedError) As(target any) bool {
	e, ok := target.(**Error)
	if ok {
		*e = m.call
	}
	return ok
}
