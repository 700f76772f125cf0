// Package interceptors is the catalogue of the interceptors that axle ships, and says how to write another. It holds no code;
// each interceptor is a package of its own in a folder beside this file:
//
//	auth     answers 401s with one shared refresh and replays
//	logging  writes one record per attempt to a slog.Logger, without secrets
//
// All have one shape, so that a reader of one knows the others:
//
//	package name
//
//	type Option func(*Interceptor)
//	func New(opts ...Option) *Interceptor                            // ready to install, in as many clients as you like
//	func (i *Interceptor) Install(c *axle.Client) (uninstall func()) // an axle.Plugin: client.Use(name.New())
//
// Install adds handlers under the interceptor's name ([axle.Named]) and returns what ejects them; calls in flight keep them.
// Options come before use: an Interceptor does not change once it is made, and many calls run its handlers at the same time.
// What belongs to one call travels with the request, in an [axle.Key].
//
// # Order
//
// Request handlers run last in, first out, response handlers first in, first out: what is installed first is nearest to the
// wire. A replay runs the whole request chain again, then dispatch, and of the response chain the handlers that are nearer to the
// wire than the one that asked for it. The response handlers that are further away run once, on the outcome of the replay. So
// install logging before auth for a record per attempt, which shows the 401 too, and after it for a record per call.
//
// # A whole interceptor
//
// It sends a GET that was answered with 503 Service Unavailable once more, after a wait.
//
//	// Package again gives a service that is restarting a second chance.
//	package again
//
//	import (
//		"context"
//		"net/http"
//		"time"
//
//		"github.com/axlehttp/axle"
//	)
//
//	// Interceptor is an [axle.Plugin].
//	type Interceptor struct {
//		wait time.Duration
//		done *axle.Key[bool] // the second chance was taken
//	}
//
//	// Option is an option of [New].
//	type Option func(*Interceptor)
//
//	// WithWait sets the time between the answer and the second attempt; the default is one second.
//	func WithWait(d time.Duration) Option { return func(i *Interceptor) { i.wait = d } }
//
//	// New returns an interceptor that replays a GET after a 503, once.
//	func New(opts ...Option) *Interceptor {
//		i := &Interceptor{wait: time.Second, done: axle.NewKey[bool]("again")}
//		for _, opt := range opts {
//			opt(i)
//		}
//		return i
//	}
//
//	// Install adds the handlers to c and returns what removes them.
//	func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
//		id := c.Interceptors.Response.Use(nil, i.rejected, axle.Named("again"), axle.RunWhen(isGet))
//		return func() { c.Interceptors.Response.Eject(id) }
//	}
//
//	func isGet(r *axle.Request) bool { return r.Method == http.MethodGet }
//
//	func (i *Interceptor) rejected(ctx context.Context, err *axle.Error) (*axle.Response, error) {
//		if done, _ := i.done.Get(err.Request); done || err.StatusCode() != http.StatusServiceUnavailable {
//			return nil, err // not ours: pass it on as it came
//		}
//		i.done.Set(err.Request, true) // survives the replay
//		select {
//		case <-time.After(i.wait):
//			return err.Request.Replay()
//		case <-ctx.Done():
//			return nil, context.Cause(ctx) // the call ends as a timeout or a cancellation, not as a 503
//		}
//	}
//
// # What a handler may do
//
// Change. A request handler changes its request as it likes: the request is the call's own copy. A response handler unwraps or
// transforms with [axle.Response.SetBytes], or wraps a stream with [axle.Response.SetStream]. It asks
// [axle.Response.IsStream] first: a stream has no bytes yet, and SetBytes(Bytes()) would make nothing of it. A handler that has
// to see the body buffers the stream; any other passes it on.
//
// Answer. What it returns is the next state of the call: a value goes to the next fulfilled handler, an error to the next
// rejected one. A rejected handler recovers by returning a value; it passes an error on by returning that error. A plain error
// becomes an [*axle.Error] under the interceptor's name. Returning neither is an error. [axle.Request.Respond] answers without
// sending: a cache's hit.
//
// Replay or Do. [axle.Request.Replay] sends the same call again, from the request as its caller built it, and what other
// handlers did to the first attempt is not done twice: it is what a retry and a refresh want. [axle.Client.Do] is a whole new
// call through both chains: it is for another request (a login, a fallback), and must not come back to the handler for ever.
// Both may be called from any handler at any depth, except that a request handler has nothing to replay yet.
//
// Remember. State of one call is kept in a Key, never in the Interceptor, and never in a map by request: a replay is another
// *Request with the same Key values. Make the Key once, in New or in Install.
//
// Wait. Within ctx, which is the request's, and outside every lock. A handler whose wait ends with ctx returns
// context.Cause(ctx): the call's error is then [axle.CodeTimeout] or [axle.CodeCanceled]. Handlers run on the caller's goroutine;
// one that starts another sees to its end.
//
// Close. A response that the handler was given is closed by axle when the handler replaces, rejects or replays it, and need not
// be read. A response that the handler got for itself, from Do, and does not return is its own: if it is a stream, it must close
// it.
//
// What it must not do: change an [*axle.Error] or a [*axle.Request] that it has handed on, keep either to replay it later (Replay
// ends when the handler returns), print a URL or a header without redacting it, or judge by an error's text. Its codes
// ([axle.Code]) and errors.Is say what happened.
//
// [axle.RunWhen] spares the calls that an interceptor has nothing to do with: it is asked once, at the start of a call, and so
// cannot depend on what handlers do. [axle.Named] is how errors, logs and [axle.Chain.String] call it.
package interceptors
