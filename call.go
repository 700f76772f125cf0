package axle

import (
	"context"
	"io"
	"net/url"
	"sync/atomic"

	"github.com/axlehttp/axle/internal/rewind"
)

// This file is the way of a call, from top to bottom: start, request chain, dispatch, response
// chain, end.

// call is what all passes of one call share. It is a snapshot of the client at the start of the
// call.
type call struct {
	client    *Client
	settings  *settings
	requests  []link[*Request] // the handlers that take part, in running order
	responses []link[*Response]

	// road is how the dispatches go out: by the client's engine, or by the bridge.
	road    road
	inbound inbound

	nested   bool         // a handler sends this call from the request of its own
	attempts atomic.Int32 // dispatches so far
}

// pass is one way through the chains. A call starts with one, and each replay is another, which
// ends before the response handler that asked for it.
type pass struct {
	*call
	progression

	source  *Request // the request as the caller built it, with the edits of the replays that led here
	merged  Request  // a copy of source with the client's defaults: what the handlers get
	sending dispatch
	answer  Response // what the dispatch received
	stream  responseStream

	bodies      []*rewind.Body // that this pass retains until its end
	defaultType []string       // the client's default Content-Type, where the caller sets none
	jars        jarCookies     // the cookies of source that are a jar's, behind the bridge
	bound       [1]binding     // room for the first header that is bound to an origin
}

// Do sends req through both chains and returns the response, or an [*Error] (axios(config)). Every
// Do is a whole new call.
//
// In a handler, Do(err.Request) is axios(error.config): both chains run again, on a copy of the
// request as the handlers left it, and then the outer chain goes on. The inner call comes to the
// same handler again, and if that sends each failure again, the calls nest until the stack
// overflows: mark the request with a [Key] first, as axios code does with config._retry. To send
// only the same call again, see [Request.Replay].
func (c *Client) Do(req *Request) (*Response, error) {
	if req == nil {
		return nil, badOption(&Request{client: c}, "the request is nil", nil)
	}

	s := c.settings.Load()
	memory := &struct {
		call
		pass
	}{call: call{settings: s, road: engineRoad{s}}}
	resp, err := c.start(&memory.call, &memory.pass, req)
	if err != nil {
		// A handler may have rejected a response whose stream is open. Nobody reads that any more.
		err.Response.close()
		return nil, err
	}

	// The result is decoded once, at the end of the outermost call.
	if req.result != nil && !req.isInner() {
		if err := resp.Decode(req.result); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// isInner reports whether r is sent from within its own call, whose end decodes into the result.
func (r *Request) isInner() bool { return r.inherited && r.isUnderWay() }

// isUnderWay reports whether r is of a call that is not over.
func (r *Request) isUnderWay() bool { return r.pass != nil && !r.pass.hasEnded() }

// start completes the snapshot and goes through the chains. The caller has set the call's settings
// and its road.
func (c *Client) start(k *call, p *pass, req *Request) (*Response, *Error) {
	requests, responses := c.Interceptors.Request.load(), c.Interceptors.Response.load()
	k.client, k.nested, p.call = c, req.isUnderWay(), k
	defer p.end()

	merged := p.begin(req)
	if req.nilContext {
		return nil, badOption(merged, "the context is nil", nil)
	}

	// Each RunWhen is asked once, of the merged request.
	k.requests, k.responses = requests.running(merged), responses.running(merged)
	return p.run(merged, len(k.responses))
}

// begin sets what the pass starts from, and returns the merged copy of that for the handlers.
func (p *pass) begin(source *Request) *Request {
	p.source = p.withOwnBody(p.withCanonicalHeader(source))

	r := &p.merged
	*r = *p.source
	r.pass, r.turn, r.client, r.inherited = p, inRequestChain, p.client, true
	r.sent = fingerprint{}
	r.attempt = int(p.attempts.Load())
	r.Method = source.method()
	if r.ctx == nil {
		r.ctx = context.Background()
	}
	if form, ok := r.Body.(url.Values); ok && form != nil {
		r.Body = cloneValues(form)
	}

	p.settings.form.merge(r)
	p.settings.mergeHeaders(r)
	p.settings.mergeQuery(r)
	return r
}

// withCanonicalHeader returns the request with each header name in net/http's spelling: in a copy,
// if that changes anything.
func (p *pass) withCanonicalHeader(source *Request) *Request {
	if isCanonical(source.Header) {
		return source
	}
	canonical := *source
	canonical.Header = source.pass.canonical(source.Header)
	return &canonical
}

// withOwnBody returns the request with a reader body wrapped, so that each attempt sends the whole
// of it: in a copy, if the body is not wrapped yet.
func (p *pass) withOwnBody(source *Request) *Request {
	if _, ok := source.Body.(io.Reader); !ok || isNilPointer(source.Body) {
		return source
	}
	body := p.retain(source.wrappedBody())
	if source.Body == any(body) {
		return source
	}

	wrapped := *source
	wrapped.Body = nil
	if body != nil {
		wrapped.Body = body
	}
	return &wrapped
}

// run is one promise chain. It ends before the response handler number depth, counted from 0.
func (p *pass) run(req *Request, depth int) (*Response, *Error) {
	req, err := p.runRequests(req)

	var resp *Response
	if err == nil {
		resp, err = p.dispatch(req)
	}

	// A replay refuses to lose what the response handlers change from here on. Those of an outer
	// pass look at the request too.
	if len(p.responses) > 0 {
		p.noteSent(requestOf(resp, err))
	}
	return p.runResponses(resp, err, depth)
}

// runRequests is the request chain. The state is either a request or an error, and each pair of
// handlers makes the next one of it.
func (p *pass) runRequests(req *Request) (*Request, *Error) {
	var err *Error
	for i := range p.requests {
		l := &p.requests[i]
		p.setShortCut(req.respond)

		var value *Request
		var failed error
		switch {
		case err == nil && l.fulfilled != nil:
			value, failed = l.fulfilled(req.Context(), req)
		case err != nil && l.rejected != nil:
			value, failed = l.rejected(err.Request.Context(), err)
		default:
			continue
		}

		// Most handlers pass on what they were given.
		if failed == nil && value == req && err == nil && req.Header != nil && req.Query != nil {
			continue
		}
		if failed = asError(failed); failed == nil && value != nil {
			req, err = p.claim(value, req), nil
			continue
		}

		request, response := req, (*Response)(nil)
		if err != nil {
			request, response = err.Request, err.Response
		}
		err = p.reject(failed, l.name, request, response)
		err.Response.close()
	}

	if err != nil {
		p.setShortCut(nil)
		req.respond, err.Request.respond = nil, nil
		return req, err
	}
	p.setShortCut(req.respond)
	return req, nil
}

// runResponses is the response chain up to the handler number depth. The state is either a response
// or an error.
func (p *pass) runResponses(resp *Response, err *Error, depth int) (*Response, *Error) {
	for i := range p.responses[:depth] {
		l := &p.responses[i]
		request, given := requestOf(resp, err), responseOf(resp, err)
		p.enter(stage(i+1), request, given)

		var value *Response
		var failed error
		switch {
		case err == nil && l.fulfilled != nil:
			value, failed = l.fulfilled(request.Context(), resp)
		case err != nil && l.rejected != nil:
			value, failed = l.rejected(request.Context(), err)
		default:
			continue
		}

		// Most handlers pass on what they were given.
		if failed == nil && value == given && err == nil && p.isClaimed(value) {
			continue
		}
		if failed = asError(failed); failed == nil && value != nil {
			resp, err = p.claimResponse(value, request), nil
			continue
		}

		err = p.reject(failed, l.name, request, given)
		if !value.sharesStream(err.Response) && !p.isOpen(value) {
			value.close()
		}
		resp = nil
	}

	p.enter(afterHandlers, nil, responseOf(resp, err))
	return resp, err
}

// requestOf is the request of a state of the response chain.
func requestOf(resp *Response, err *Error) *Request {
	if err != nil {
		return err.Request
	}
	return resp.Request
}

// responseOf is the response of a state of the response chain; nil if it has none.
func responseOf(resp *Response, err *Error) *Response {
	if err != nil {
		return err.Response
	}
	return resp
}

// end closes what a handler's panic left open, and releases the bodies.
func (p *pass) end() {
	p.progression.end()
	for _, b := range p.bodies {
		b.Release()
	}
}
