package axle

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// This file makes what a handler returned the next state of the chain. A handler may return
// requests, responses and errors of its own or of other calls, so that a pass first claims them: it
// completes them, and copies those that others may be using.

// claim makes a request that a handler returned this pass's own, so that the request can replay and
// later handlers find it whole. given is the request that the handler was given.
func (p *pass) claim(r, given *Request) *Request {
	if r == nil {
		return given
	}
	if r.pass == p {
		if r.Header == nil {
			r.Header = http.Header{}
		}
		if r.Query == nil {
			r.Query = url.Values{}
		}
		return r
	}

	c := r.Clone()
	if r.client != nil && r.client != p.client && r.base == nil {
		c.base = r.settings()
	}
	if r.pass == nil || r.pass.call != p.call {
		// The context of another call does not bound this one.
		if c.inherited || c.ctx == nil {
			c.ctx = given.ctx
		}
		c.inherited = true
		c.inheritBindings(given)
	}
	c.pass, c.turn, c.client = p, inRequestChain, p.client
	if !c.sent.known {
		p.noteSent(c)
	}
	return c
}

// claimResponse does the same for a response. given is the request that the handler was given.
func (p *pass) claimResponse(r *Response, given *Request) *Response {
	if r == nil {
		return nil
	}
	return r.with(p.claim(r.Request, given))
}

// isClaimed reports whether a response needs no claim.
func (p *pass) isClaimed(r *Response) bool {
	return r != nil && r.Request != nil && r.Request.pass == p && r.Request.Header != nil && r.Request.Query != nil
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

// reject makes the call's error of what a handler returned as its error. An *Error stays itself,
// another error is wrapped in one, and no error at all becomes ErrNoResult. request and response
// are those that the handler was given.
func (p *pass) reject(failed error, name string, request *Request, response *Response) *Error {
	// An *Error that is wrapped in another error counts further below.
	if e, ok := failed.(*Error); ok { //nolint:errorlint // see above
		request, response = p.claimBoth(e, request)
		if request == e.Request && response == e.Response {
			return e
		}
		c := *e
		c.Request, c.Response, c.same = request, response, e
		return &c
	}

	e := &Error{Code: CodeInterceptor, Request: request, Response: response, Err: failed, interceptor: name}
	if failed == nil {
		e.Err = ErrNoResult
		return e
	}
	var inner *Error
	if errors.As(failed, &inner) && inner != nil {
		e.Code = inner.Code
		e.Request, e.Response = p.claimBoth(inner, request)
	}

	// A handler whose wait ended with the request's context reports what ended the call, and no
	// fault of its own.
	if ctx := request.Context(); isEndOf(ctx, failed) {
		ended := contextError(ctx, request)
		e.Code = ended.Code
		if !errors.Is(failed, ended.Err) {
			e.Err = fmt.Errorf("%w: %w", failed, ended.Err)
		}
	}
	return e
}

// claimBoth claims the request and the response of an error. If they belong together, they still
// do.
func (p *pass) claimBoth(e *Error, given *Request) (*Request, *Response) {
	request := p.claim(e.Request, given)
	if e.Response != nil && (e.Response.Request == nil || e.Response.Request == e.Request) {
		return request, e.Response.with(request)
	}
	return request, p.claimResponse(e.Response, request)
}
