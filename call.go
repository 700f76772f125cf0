package axle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/axlehttp/axle/internal/rewind"
)

// This file is the way of a call, from top to bottom: snapshot, request chain, dispatch, response chain, decode.

// call is what all passes of one call share: the client as it stood when the call started.
type call struct {
	client    *Client
	settings  *settings
	requests  []link[*Request]  // those that take part, in running order
	responses []link[*Response] // likewise
	bridge    *hop              // what the bridge was given; nil outside it
	nested    bool              // a handler sends it from its own call's request
	attempts  atomic.Int32      // dispatches so far
}

// pass is one way through the chains: the call's first, or a replay's, which ends before the handler that asked for it. What it needs
// once stands in it.
type pass struct {
	*call
	merged   Request                  // what the handlers get
	sending  dispatch                 // its dispatch
	response Response                 // what that brought
	stream   responseStream           // the body of that
	source   *Request                 // the request as the caller built it, with the edits of the replays that led here
	turn     turn                     // whose it is: the response handler that is running, and what it was given
	finished bool                     // run came to its end; else a handler has panicked, or nothing was run
	ids      atomic.Uint32            // the last id of a request of this pass
	replays  atomic.Int32             // asked for so far
	hand     atomic.Pointer[Response] // what it was given, or its last replay yielded: closed by what comes in its place
	mu       sync.Mutex               // orders the turn's end, hand and beside where there are replays
	beside   []*Response              // the outcomes of replays that ran at the same time as the one that yielded hand
	bodies   []*rewind.Body           // those that this pass took on, and lets go at its end
	jars     jarCookies               // what of the source's cookies is the jar's; only in the bridge
	bound    [1]binding               // room for the first header that is bound to an origin

	defaultType []string // the client's default Content-Type, where the caller sets none
}

// Do sends req through both chains and returns the response, or an [*Error] (axios(config)). Every Do is a whole new call.
//
// In a handler, Do(err.Request) is axios(error.config): both chains run again, on a copy of the request as the handlers left
// it, and then the outer chain goes on. The inner call comes to the same handler again, and if that sends each failure again, the
// calls nest until the stack overflows: mark the request with a [Key] first, as axios code does with config._retry. To send only
// the same call again, see [Request.Replay].
func (c *Client) Do(req *Request) (*Response, error) {
	if req == nil {
		return nil, badOption(&Request{client: c}, "the request is nil", nil)
	}
	start := &struct {
		call
		pass
	}{}
	resp, err := c.start(&start.call, &start.pass, req)
	if err != nil {
		return nil, err
	}
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
func (r *Request) isUnderWay() bool {
	if r.pass == nil {
		return false
	}
	place, _ := r.pass.turn.load()
	return place != over
}

// start makes the snapshot and goes through the chains.
func (c *Client) start(k *call, p *pass, req *Request) (*Response, *Error) {
	k.client, k.settings, p.call = c, c.settings.Load(), k
	requests, responses := c.Interceptors.Request.load(), c.Interceptors.Response.load()
	defer p.end()
	k.nested = req.isUnderWay()
	merged := p.begin(req)
	if req.nilContext {
		return nil, badOption(merged, "the context is nil", nil)
	}
	k.requests, k.responses = requests.running(merged), responses.running(merged)
	if k.bridge != nil && len(k.responses) > 0 { // one of them may replay
		k.bridge.jars = k.bridge.noteCookies()
		p.jars = k.bridge.jars
	}
	return p.run(merged, len(k.responses))
}

// begin sets what the pass starts from, and returns the merged copy of that for the handlers. A reader body is wrapped so that
// each attempt sends the whole of it.
func (p *pass) begin(source *Request) *Request {
	p.source = source
	if _, ok := source.Body.(io.Reader); ok && !isNilPointer(source.Body) {
		b := p.retain(source.wrappedBody())
		if source.Body != any(b) {
			held := *source
			held.Body = nil
			if b != nil {
				held.Body = b
			}
			p.source = &held
		}
	}
	if !isCanonical(source.Header) {
		held := *p.source
		held.Header = source.pass.canonical(source.Header)
		p.source = &held
	}
	r := &p.merged
	*r = *p.source
	r.pass, r.place, r.client, r.inherited = p, 0, p.client, true
	r.id, r.sent = p.newID(), fingerprint{}
	r.attempt = int(p.attempts.Load())
	r.Method = source.method()
	if r.ctx == nil {
		r.ctx = context.Background()
	}
	if form, ok := r.Body.(url.Values); ok && form != nil {
		r.Body = cloneValues(form)
	}
	p.settings.mergeHeaders(r)
	p.settings.mergeQuery(r)
	return r
}

// run is one promise chain. It ends before the response handler number depth.
func (p *pass) run(req *Request, depth int) (resp *Response, err *Error) {
	for i := range p.requests {
		l := &p.requests[i]
		if p.hand.Load() != req.answer {
			p.hold(req.answer)
		}
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
		if failed == nil && value == req && err == nil && req.Header != nil && req.Query != nil {
			continue // it was passed on
		}
		if failed = asError(failed); failed == nil && value != nil {
			req, err = p.adopt(value, req), nil
			continue
		}
		request, response := req, (*Response)(nil)
		if err != nil {
			request, response = err.Request, err.Response
		}
		err = p.reject(failed, l.name, request, response)
		err.Response.close()
	}
	p.hold(req.answer)

	if err == nil {
		resp, err = p.dispatch(req)
	} else {
		p.hold(nil)
		req.answer, err.Request.answer = nil, nil
	}

	if len(p.responses) > 0 { // those of an outer pass look at the request too
		p.noteSent(requestOf(resp, err))
	}

	for i := range p.responses[:depth] {
		l := &p.responses[i]
		given := resp
		if err != nil {
			given = err.Response
		}
		p.turn.store(int32(i)+1, requestOf(resp, err).id)
		if p.hand.Load() != given || p.replays.Load() != 0 {
			p.letGo(given)
		}
		var value *Response
		var failed error
		switch {
		case err == nil && l.fulfilled != nil:
			value, failed = l.fulfilled(resp.Request.Context(), resp)
		case err != nil && l.rejected != nil:
			value, failed = l.rejected(err.Request.Context(), err)
		default:
			continue
		}
		if failed == nil && value == given && err == nil && p.isOwn(value) {
			continue // it was passed on
		}
		resp, err = p.settle(value, asError(failed), l.name, resp, err)
	}

	p.turn.store(between, 0)
	if p.replays.Load() != 0 { // one that ended after its handler may have left an answer
		kept := resp
		if err != nil {
			kept = err.Response
		}
		p.letGo(kept)
	}
	p.finished = true
	return resp, err
}

// requestOf is the request that belongs to a state of the response chain.
func requestOf(resp *Response, err *Error) *Request {
	if err != nil {
		return err.Request
	}
	return resp.Request
}

// end closes what a handler's panic left behind, and lets the bodies go.
func (p *pass) end() {
	p.turn.store(over, 0)
	if !p.finished {
		p.letGo(nil)
	}
	for _, b := range p.bodies {
		b.Release()
	}
}

// hold makes r what is at hand, and closes what it takes the place of.
func (p *pass) hold(r *Response) {
	if hand := p.hand.Load(); hand != r {
		p.hand.Store(r)
		if !hand.sharesStream(r) {
			hand.close()
		}
	}
}

// isOwn reports whether what is at hand is this response, whole, and needs no adoption.
func (p *pass) isOwn(r *Response) bool {
	return r != nil && p.hand.Load() == r && r.Request != nil && r.Request.pass == p && r.Request.id != 0 &&
		r.Request.Header != nil && r.Request.Query != nil
}

// settle makes the next state of a response handler's result, and closes the answers that it took out of play.
func (p *pass) settle(value *Response, failed error, name string, resp *Response, err *Error) (*Response, *Error) {
	var request *Request
	response := resp
	if err != nil {
		request, response = err.Request, err.Response
	} else {
		request = resp.Request
	}
	if failed == nil && value != nil {
		p.letGo(value)
		return p.adoptResponse(value, request), nil
	}
	hand := p.hand.Load()
	e := p.reject(failed, name, request, response)
	kept := e.Response
	if p.bridge == nil && (err == nil || !kept.sharesStream(err.Response)) { // the bridge may give it to an http.Client yet
		kept.close()
	}
	if !value.sharesStream(kept) && !value.sharesStream(hand) {
		value.close()
	}
	p.letGo(kept)
	return nil, e
}

// reject makes the call's error of a handler's: of an *Error itself, of any other an *Error around it, of none ErrNoResult. The
// request and the response are those at hand.
func (p *pass) reject(failed error, name string, request *Request, response *Response) *Error {
	if e, ok := failed.(*Error); ok { //nolint:errorlint // one further in is wrapped, below
		request, response = p.adoptBoth(e, request)
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
		e.Request, e.Response = p.adoptBoth(inner, request)
	}

	// A handler whose wait ended with the request's context reports what ended the call, and no fault of its own.
	if ctx := request.Context(); isEndOf(ctx, failed) {
		ended := contextError(ctx, request)
		e.Code = ended.Code
		if !errors.Is(failed, ended.Err) {
			e.Err = fmt.Errorf("%w: %w", failed, ended.Err)
		}
	}
	return e
}

// adoptBoth adopts an error's request and response. Where they belong together they still do.
func (p *pass) adoptBoth(e *Error, hand *Request) (*Request, *Response) {
	request := p.adopt(e.Request, hand)
	if e.Response != nil && (e.Response.Request == nil || e.Response.Request == e.Request) {
		return request, e.Response.with(request)
	}
	return request, p.adoptResponse(e.Response, request)
}

// adopt makes a request that a handler returned this pass's own, so that it can replay and later handlers find it whole. One
// that may belong to others is copied.
func (p *pass) adopt(r, hand *Request) *Request {
	if r == nil {
		return hand
	}
	if r.pass == p && (r.id != 0 || r.place == 0) {
		if r.id == 0 {
			r.id = p.newID()
		}
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
		if c.inherited || c.ctx == nil { // another call's context says nothing here
			c.ctx = hand.ctx
		}
		c.inherited = true
		c.adoptOrigins(hand)
	}
	c.pass, c.place, c.client, c.id = p, 0, p.client, p.newID()
	if !c.sent.known {
		p.noteSent(c)
	}
	return c
}

// adoptResponse does the same for a response.
func (p *pass) adoptResponse(r *Response, hand *Request) *Response {
	if r == nil {
		return nil
	}
	return r.with(p.adopt(r.Request, hand))
}

// with returns r as the answer to a request, in a copy where that is another one: r may belong to others, such as a cache.
func (r *Response) with(request *Request) *Response {
	if request == r.Request {
		return r
	}
	c := *r
	c.Request, c.Header = request, r.Header.Clone()
	return &c
}
