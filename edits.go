package axle

import "errors"

// This file has the ready-made edits, for [Request.With], the verbs, and [Request.Replay]. Any
// func(*Request) is an edit.

// WithHeader returns an edit that sets a header, as [Request.SetHeader] does:
//
//	user, err := axle.Get[User](ctx, client, "/me", axle.WithHeader("Accept-Language", "de"))
func WithHeader(name, value string) func(*Request) {
	return func(r *Request) { r.SetHeader(name, value) }
}

// WithQuery returns an edit that sets a query parameter, as [Request.SetQueryParam] does.
func WithQuery(name, value string) func(*Request) {
	return func(r *Request) { r.SetQueryParam(name, value) }
}

// ResponseInto returns an edit that gives the caller of a typed verb the response beside the value,
// also the one that a failed call has:
//
//	var resp *axle.Response
//	user, err := axle.Get[User](ctx, client, "/users/7", axle.ResponseInto(&resp))
//
// resp is set before the verb returns: to the response that was decoded, or to that of the
// [*Error], which may be nil. It is set by [Request.OnEnd]. So an edit of a handler sets it at the
// end of the handler's whole call, and of a stream it is set when the stream is closed: there the
// verbs that return a Response do without it. A nil pointer fails the call with CodeBadOption.
func ResponseInto(resp **Response) func(*Request) {
	return func(r *Request) {
		if resp == nil {
			r.setBad(errors.New("ResponseInto needs a pointer to a *Response, and was given nil"))
			return
		}
		r.OnEnd(func(ended *Response, err *Error) {
			*resp = ended
			if err != nil {
				*resp = err.Response
			}
		})
	}
}

var operationKey = NewKey[string]("operation")

// Operation returns an edit that gives the call the name of its operation, for logs, traces, and
// handlers whose rules differ by operation:
//
//	user, err := axle.Get[User](ctx, client, "/users/7", axle.Operation("users.get"))
//
// The name is not sent. It stays with the request as a [Key]'s value does: replays have it, and so
// does a Do(err.Request) in a handler. Behind [Client.HTTPClient] a request handler can set it. An
// empty name is none.
func Operation(name string) func(*Request) {
	return func(r *Request) {
		if name == "" {
			operationKey.Delete(r)
			return
		}
		operationKey.Set(r, name)
	}
}

// Operation returns the name that the edit [Operation] set. It is empty without one.
func (r *Request) Operation() string {
	name, _ := operationKey.Get(r)
	return name
}
