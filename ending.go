package axle

import (
	"io"
	"sync/atomic"
)

// This file is the end of a call: the functions of OnEnd, the outcome that they get, and the stream
// of a response, with which a streamed call ends.

// OnEnd has fn called once, when the whole call is over: after the outermost response chain and the
// decoding, or, if the response is a stream, after the stream has been closed. OnEnd is the place to
// give back what a call holds, such as a counter, a span, a semaphore or a context, because the call
// ends once, however it goes: with a response, with an error, refused before anything was sent, or
// by a panic or a runtime.Goexit in a handler.
//
// The caller registers fn before the call, and fn then runs for each call of this Request. Any
// handler may register fn on the request that it is given: then fn is for this call, also if the
// attempt is replayed. A handler that runs again for a replay registers again. The functions run one
// by one in the reverse order, as deferred functions do, on the goroutine that ends the call. If one
// of them panics, the others still run. A nil fn is ignored.
//
// Exactly one of resp and err is not nil: the response that the caller gets, or the error of the
// call. If reading a stream has failed, that failure is the error, and it carries the response. fn
// cannot change the outcome any more.
//
// Behind [Client.RoundTripper] the call is over when the body of the net/http response has been
// closed, or read to its end, or when that body is [http.NoBody]. An err may be a refused status,
// which the http.Client above gets as a response.
//
// A request that a handler sends again by [Client.Do] is still of the handler's own call: the
// functions of that call do not run for the inner one. So are the copies that a call hands out, as
// resp.Request: sent once more, they do not bring the functions along. If the call of r has returned
// already, OnEnd calls fn at once, also if a stream of the call is still open.
//
// The goroutines of a handler may call OnEnd of one call's request at the same time. Outside a call,
// OnEnd is a setter like the others.
func (r *Request) OnEnd(fn func(resp *Response, err *Error)) {
	switch {
	case fn == nil:
	case r.pass != nil:
		r.pass.end.onEnd(&endFunction{run: fn})
	default:
		callersFunctions.Set(r, &endFunction{run: fn, before: r.endFunctions()})
	}
}

// endFunctions returns the functions that were registered on a request in no call.
func (r *Request) endFunctions() *endFunction {
	list, _ := callersFunctions.Get(r)
	return list
}

// callersFunctions are the functions that a request has before its calls. Few requests have any, so
// that they have no field of their own.
var callersFunctions = NewKey[*endFunction]("OnEnd")

// endFunction is one function of OnEnd, and those that were registered before it. It is never
// modified, so that the calls of one Request share the Request's list.
type endFunction struct {
	run    func(resp *Response, err *Error)
	before *endFunction
	origin *endFunction // the function of a Request that this is a copy of; nil: none
}

// callIsOver takes the place of the list of a call that is over.
var callIsOver = new(endFunction)

// runAll runs f and those before it, also if one of them panics.
func (f *endFunction) runAll(resp *Response, err *Error) {
	if f == nil || f == callIsOver {
		return
	}
	defer f.before.runAll(resp, err)
	f.run(resp, err)
}

// ending is what a call keeps for its end.
type ending struct {
	functions atomic.Pointer[endFunction] // the newest one; callIsOver when the call has returned
	response  *Response                   // the outcome is this, or err
	err       *Error
}

// onEnd registers a function, or runs it if the call is over.
func (e *ending) onEnd(added *endFunction) {
	for {
		newest := e.functions.Load()
		if newest == callIsOver {
			added.run(e.outcome())
			return
		}
		added.before = newest
		if e.functions.CompareAndSwap(newest, added) {
			return
		}
	}
}

// adopt registers the functions of a request that a handler made, and which became the call's. A
// handler may return the same request again, as the caller's own: each function is registered once.
func (e *ending) adopt(list *endFunction) {
	if list == nil {
		return
	}
	for f := e.functions.Load(); f != nil; f = f.before {
		if f == list || f.origin == list {
			return
		}
	}
	e.adopt(list.before)
	e.onEnd(&endFunction{run: list.run, origin: list})
}

// outcome returns what the functions get.
func (e *ending) outcome() (*Response, *Error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.response, nil
}

// leave is deferred while a call runs: the call returns, or a panic or a runtime.Goexit takes it
// away. merged is the request that the handlers got.
func (e *ending) leave(merged *Request) {
	if e.response == nil && e.err == nil {
		e.err = &Error{
			Code: CodeInterceptor, Request: merged,
			Message: "the call has no outcome: a handler panicked or called runtime.Goexit",
		}
	}
	resp, err := e.outcome()
	e.functions.Swap(callIsOver).runAll(resp, err)
}

// leaveWith returns the stream of a call that returns while its response is to be read. The
// functions then run when the stream is closed, or, if untilEnd is set, when it has been read to its
// end or to an error. Without functions the stream stays as it is.
func (e *ending) leaveWith(stream io.ReadCloser, untilEnd bool) io.ReadCloser {
	list := e.functions.Swap(callIsOver)
	if list == nil {
		return stream
	}
	following := &endingStream{ReadCloser: stream, untilEnd: untilEnd, response: e.response, err: e.err}
	following.functions.Store(list)

	// The stream of a 101 can be written to.
	if w, ok := stream.(io.Writer); ok {
		return &endingDuplex{following, w}
	}
	return following
}

// endingStream is the stream with which a call ends.
type endingStream struct {
	io.ReadCloser
	untilEnd  bool
	functions atomic.Pointer[endFunction] // nil when they have been taken
	response  *Response                   // the outcome, unless err is not nil
	err       *Error
	failed    atomic.Pointer[Error] // of the first Read that failed
}

func (s *endingStream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF && s.err == nil {
		s.noteFailure(err)
	}
	if s.untilEnd {
		list, resp, failed := s.take()
		list.runAll(resp, failed)
	}
	return n, err
}

// noteFailure makes the error of a Read the outcome.
func (s *endingStream) noteFailure(err error) {
	req := s.response.Request
	failed := failure(req.Context(), req, err)
	failed.Response = s.response
	s.failed.CompareAndSwap(nil, failed)
}

// Close closes the stream and then runs the functions. It takes their outcome before, since a Read
// that Close interrupts is no failure of the call.
func (s *endingStream) Close() error {
	list, resp, err := s.take()
	defer list.runAll(resp, err)
	return s.ReadCloser.Close()
}

// take returns the functions, for the first that asks, and what they get.
func (s *endingStream) take() (list *endFunction, resp *Response, err *Error) {
	err = s.err
	if failed := s.failed.Load(); failed != nil {
		err = failed
	}
	if err == nil {
		resp = s.response
	}
	return s.functions.Swap(nil), resp, err
}

// endingDuplex is an endingStream that can be written to.
type endingDuplex struct {
	*endingStream
	io.Writer
}
