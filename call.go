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

// call is what all passes of one call share: a snapshot of the client at the start of the call, and
// how the call is sent.
type call struct {
	client    *Client
	settings  *settings
	requests  []link[*Request] // the handlers that take part, in running order
	responses []link[*Response]

	// sender sends the dispatches: by the client's engine, or by the transport below the bridge.
	sender sender

	// inbound is what the bridge was given. Outside the bridge it is notBridged.
	inbound *inbound
	end     ending

	// nested says that a handler of another call sends this call, with the request of that other
	// call ([Request.Nested]).
	nested   bool
	attempts atomic.Int32 // dispatches so far
}

// pass is one way through the chains. A call starts with a pass, and each replay is a further pass,
// which stops before the response handler that asked for the replay.
type pass struct {
	*call
	progression

	// source is the request as the caller built it, with the edits of the replays that led here.
	// merged is the copy of source, with the client's defaults, that the handlers get.
	source *Request
	merged Request
	bodies []*rewind.Body // retained until the pass finishes

	defaultType []string    // the client's default Content-Type, where the caller sets none
	jarCookies  *jarCookies // behind the bridge: the cookies of source that come from a jar

	// The dispatch, what it received, and the first header that is bound to an origin are parts of
	// the pass, so that a call does not allocate each of them.
	outgoing dispatch
	incoming Response
	stream   responseStream
	bound    [1]binding
}

// Do sends req through both chains and returns the response, or an [*Error] (axios(config)), unless
// [Client.SetErrorMapper] makes another error of that. Every Do is a whole new call.
//
// In a handler, Do(err.Request) is axios(error.config): both chains run again, on a copy of the
// request as the handlers left it, and then the outer chain goes on. The inner call comes to the
// same handler again, and if that sends each failure again, the calls nest until the stack
// overflows: mark the request with a [Key] first, as axios code does with config._retry. To send
// only the same call again, see [Request.Replay].
func (c *Client) Do(req *Request) (*Response, error) {
	if req == nil {
		return nil, c.settings.Load().mapped(badOption(&Request{client: c}, "the request is nil", nil))
	}

	// The call and its first pass are one allocation.
	s := c.settings.Load()
	memory := &struct {
		call
		pass
	}{call: call{settings: s, sender: engineSender{s}, inbound: &notBridged}}
	k := &memory.call
	defer k.end.leave(&memory.merged)
	resp, err := c.start(k, &memory.pass, req)

	// A handler may send the request of its own call by Do. Only the outer call then decodes the
	// result, so that it is decoded once.
	if err == nil && req.result != nil && !req.isInner() {
		err = resp.decode(req.result)
	}

	k.end.response, k.end.err = resp, err
	if err != nil {
		// A handler may have rejected a response whose stream is open. Nobody reads that stream any
		// more.
		err.Response.close()
		if k.nested {
			return nil, err
		}
		return nil, k.settings.mapped(err)
	}
	if resp.stream != nil {
		resp.stream.ReadCloser = k.end.leaveWith(resp.stream.ReadCloser, false)
	}
	return resp, nil
}

// isInner reports whether a handler sends the request of its own call. The outer call then decodes
// into the result.
func (r *Request) isInner() bool { return r.inherited && r.isUnderWay() }

// isUnderWay reports whether r belongs to a pass that has not finished.
func (r *Request) isUnderWay() bool { return r.pass != nil && !r.pass.hasEnded() }

// start completes the snapshot and runs the first pass. The caller has set the call's settings and
// its sender. The bridge starts its calls here, past Do.
func (c *Client) start(k *call, p *pass, req *Request) (*Response, *Error) {
	requests, responses := c.Interceptors.Request.load(), c.Interceptors.Response.load()
	k.client, k.nested, p.call = c, req.isUnderWay(), k
	if req.pass == nil {
		k.end.functions.Store(req.endFunctions())
	}
	defer p.finish()

	merged := p.begin(req)
	if req.nilContext {
		return nil, badOption(merged, "the context is nil", nil)
	}

	// Each RunWhen is asked once, of the merged request.
	k.requests, k.responses = requests.running(merged), responses.running(merged)
	return p.run(merged, len(k.responses))
}

// begin sets the source of the pass, and returns the copy for the handlers, to which it has added
// the client's defaults.
func (p *pass) begin(source *Request) *Request {
	p.source = p.withRewindableBody(p.withCanonicalHeader(source))

	r := &p.merged
	*r = *p.source
	r.pass, r.turn, r.client, r.inherited = p, inRequestChain, p.client, true
	r.sent = fingerprint{}
	r.attempt = p.attempts.Load()
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

// withCanonicalHeader returns a request whose header names have net/http's spelling. It returns
// source itself if they have it already, and a copy otherwise.
func (p *pass) withCanonicalHeader(source *Request) *Request {
	if isCanonical(source.Header) {
		return source
	}
	canonical := *source
	canonical.Header = source.pass.canonical(source.Header)
	return &canonical
}

// withRewindableBody returns a request whose body, if it is an io.Reader, is wrapped, so that each
// attempt sends the whole of it. It returns source itself if there is nothing to wrap, and a copy
// otherwise.
func (p *pass) withRewindableBody(source *Request) *Request {
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

// run is one promise chain: the request handlers, the dispatch, and the first responseHandlers of
// the response handlers. A replay stops before the handler that asked for it.
func (p *pass) run(req *Request, responseHandlers int) (*Response, *Error) {
	req, err := p.runRequests(req)

	var resp *Response
	if err == nil {
		resp, err = p.dispatch(req)
	}

	// A replay would lose what a response handler changes in the request from here on. Replay
	// notices the change by this note, and refuses. The note is taken even if this pass runs no
	// response handler, since the handler that asked for the pass is given the request too.
	if len(p.responses) > 0 {
		p.noteSent(requestOf(resp, err))
	}
	return p.runResponses(resp, err, responseHandlers)
}

// runRequests is the request chain. Its state is either a request or an error, and each pair of
// handlers turns the state into the next one.
func (p *pass) runRequests(req *Request) (*Request, *Error) {
	var err *Error
	for i := range p.requests {
		l := &p.requests[i]

		// An earlier handler may have called Respond. Its response is the current one until another
		// takes its place, so that it is closed if nobody uses it.
		p.setRespond(req.respond)

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

		// Most handlers pass on what they were given, and there is nothing to claim.
		if failed == nil && value == req && err == nil && req.Header != nil && req.Query != nil {
			continue
		}
		if failed = asError(failed); failed == nil && value != nil {
			req, err = p.claim(value, req), nil
			continue
		}

		// The request chain has failed, and nobody reads the response that the error may carry.
		request, response := req, (*Response)(nil)
		if err != nil {
			request, response = err.Request, err.Response
		}
		err = p.reject(failed, l.name, request, response)
		err.Response.close()
	}

	// After an error nothing is dispatched, and a response of Respond is not used.
	if err != nil {
		p.setRespond(nil)
		req.respond, err.Request.respond = nil, nil
		return req, err
	}
	p.setRespond(req.respond)
	return req, nil
}

// runResponses runs the first handlers of the response chain, as many as count says. The state is
// either a response or an error.
func (p *pass) runResponses(resp *Response, err *Error, count int) (*Response, *Error) {
	for i := range p.responses[:count] {
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

		// Most handlers pass on what they were given, and there is nothing to claim.
		if failed == nil && value == given && err == nil && p.isClaimed(value) {
			continue
		}
		if failed = asError(failed); failed == nil && value != nil {
			resp, err = p.claimResponse(value, request), nil
			continue
		}

		// A handler may return a response beside its error. Nobody reads that response, and it is
		// closed, unless the error carries it or the next stage closes it anyway.
		err = p.reject(failed, l.name, request, given)
		if !value.sharesStream(err.Response) && !p.isOpen(value) {
			value.close()
		}
		resp = nil
	}

	p.enter(afterHandlers, nil, responseOf(resp, err))
	return resp, err
}

// requestOf returns the request of a state of the response chain.
func requestOf(resp *Response, err *Error) *Request {
	if err != nil {
		return err.Request
	}
	return resp.Request
}

// responseOf returns the response of a state of the response chain; nil if the state is an error
// without one.
func responseOf(resp *Response, err *Error) *Response {
	if err != nil {
		return err.Response
	}
	return resp
}

// finish closes the responses that a handler's panic has left open, and releases the bodies.
func (p *pass) finish() {
	p.progression.finish()
	for _, b := range p.bodies {
		b.Release()
	}
}
