package axle

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// This file turns what a handler returned into the next state of the chain. A handler may return a
// request, a response or an error that it made, or one of another call. A pass therefore claims
// them first: it completes those that have a nil map or no request, and it copies those that others
// may be using.

// claim makes a request that a handler returned this pass's own, so that the request can replay and
// later handlers find it whole. given is the request that the handler was given.
func (p *pass) claim(r, given *Request) *Request {
	if r == nil {
		return given
	}

	// A request of this pass is complete, unless a handler has set one of its maps to nil.
	if r.pass == p {
		if r.Header == nil {
			r.Header = http.Header{}
		}
		if r.Query == nil {
			r.Query = url.Values{}
		}
		return r
	}

	// The URL of another client's request is joined to that client's base URL.
	c := r.Clone()
	if r.client != nil && r.client != p.client && r.base == nil {
		c.base = r.settings()
	}

	// The context of another call does not bound this one.
	if r.pass == nil || r.pass.call != p.call {
		if c.inherited || c.ctx == nil {
			c.ctx = given.ctx
		}
		c.inherited = true
		c.attempt = p.attempts.Load()
		c.inheritBindings(given)
	}

	// A request that was in no call yet may have functions of OnEnd, which are for this call now.
	if r.pass == nil {
		p.end.adopt(r.endFunctions())
	}

	c.pass, c.turn, c.client = p, inRequestChain, p.client
	if !c.sent.known {
		p.noteSent(c)
	}
	return c
}

// claimOutcomes claims the request of an outcome that a handler returned, and remembers which request
// of this call it stands beside.
func (p *pass) claimOutcomes(r, given *Request) *Request {
	c := p.claim(r, given)
	if r != nil && (r.pass == nil || r.pass.call != p.call) {
		isNested := r.pass != nil && r.pass.nested
		c.values = c.values.with(ownRequest, beside{given.Own(), isNested})
	}
	return c
}

// ownRequest is the key of the value that claimOutcomes remembers.
var ownRequest = NewKey[beside]("axle.Own")

// beside is the request of a call that the request of another call's outcome stands beside.
type beside struct {
	own      *Request
	isNested bool // the other call was sent with the request of this one
}

// beside returns what claimOutcomes has remembered; false for a request of the call's own.
func (r *Request) beside() (beside, bool) {
	v, _ := r.values.get(ownRequest)
	b, found := v.(beside)

	// A request that is sent once more takes its values along to another call.
	return b, found && r.pass != nil && b.own.pass != nil && b.own.pass.call == r.pass.call
}

// valuesForReplay returns the values with which r is replayed. Where r is the request of another
// call, the values that this call has of its own are not lost: an idempotency key, for one, stays
// the same.
func (r *Request) valuesForReplay() values {
	b, found := r.beside()
	if !found {
		return r.values
	}
	if b.isNested {
		return r.values.without(ownRequest)
	}

	merged := r.values.without(ownRequest)
	own := b.own.values
	if own.first.key != nil {
		merged = merged.with(own.first.key, own.first.val)
	}
	for _, v := range own.rest {
		merged = merged.with(v.key, v.val)
	}
	return merged
}

// claimResponse claims the request of a response that a handler returned. given is the request that
// the handler was given.
func (p *pass) claimResponse(r *Response, given *Request) *Response {
	if r == nil {
		return nil
	}
	return r.with(p.claimOutcomes(r.Request, given))
}

// isClaimed reports whether claimResponse would return r unchanged.
func (p *pass) isClaimed(r *Response) bool {
	if r == nil || r.Request == nil || r.Request.pass != p {
		return false
	}
	return r.Request.Header != nil && r.Request.Query != nil
}

// with returns r as the response to a request: in a copy if that is another request, since others
// may be using r, such as a cache.
func (r *Response) with(request *Request) *Response {
	if request == r.Request {
		return r
	}
	c := *r
	c.Request, c.Header = request, r.Header.Clone()
	return &c
}

// reject returns the call's error for a handler that failed. An *Error is kept, any other error is
// wrapped in an *Error, and no error at all becomes ErrNoResult: the handler returned nothing. name
// is the interceptor's. request and response are those that the handler was given.
func (p *pass) reject(failed error, name string, request *Request, response *Response) *Error {
	// Only an *Error itself is kept here. An *Error that another error wraps is looked at below.
	if e, ok := failed.(*Error); ok { //nolint:errorlint // see above
		request, response = p.claimBoth(e, request)
		if request == e.Request && response == e.Response {
			return e
		}
		c := *e
		c.Request, c.Response, c.same = request, response, e
		return &c
	}

	e := &Error{
		Code: CodeInterceptor, Request: request, Response: response,
		Err: failed, interceptor: name,
	}
	if failed == nil {
		e.Err = ErrNoResult
		return e
	}

	// An error that wraps an *Error is about that one's request and response.
	var inner *Error
	if errors.As(failed, &inner) && inner != nil {
		e.Code = inner.Code
		e.Request, e.Response = p.claimBoth(inner, request)
	}

	// A handler that waited may fail because the request's context has ended. The error then has
	// the code of the ended context, since the handler is not at fault.
	if ctx := request.Context(); isEndOf(ctx, failed) {
		ended := contextError(ctx, request)
		e.Code = ended.Code
		if !errors.Is(failed, ended.Err) {
			e.Err = fmt.Errorf("%w: %w", failed, ended.Err)
		}
	}
	return e
}

// claimBoth claims the request and the response of an error. If the response is the request's, it
// is the claimed request's afterwards.
func (p *pass) claimBoth(e *Error, given *Request) (*Request, *Response) {
	request := p.claimOutcomes(e.Request, given)
	if e.Response != nil && (e.Response.Request == nil || e.Response.Request == e.Request) {
		return request, e.Response.with(request)
	}
	return request, p.claimResponse(e.Response, request)
}
