// Package interceptors is the catalogue of the interceptors that axle ships. It also explains how
// to write another one. It has no code. Each interceptor is a package in a folder beside this file:
//
//	auth     after a 401, refreshes the token once for all calls and replays them
//	breaker  stops calling a server that fails, until a probe succeeds
//	limit    keeps to a rate, and holds back while a server's own limit is reached
//	logging  writes one record per attempt to a slog.Logger, without secrets
//	retry    sends a call again after a failure that may pass
//
// Traces and metrics by OpenTelemetry are in the module github.com/axlehttp/axle/otel, which has
// dependencies that the others do not need. Its interceptor is named "otel".
//
// All of them have the same shape, so that a reader of one knows the others:
//
//	package name
//
//	type Option func(*Interceptor)
//	func New(opts ...Option) *Interceptor                            // for any number of clients
//	func (i *Interceptor) Install(c *axle.Client) (uninstall func()) // an axle.Plugin
//
// client.Use(name.New()) installs one. Install adds handlers under the interceptor's name, see
// [axle.Named], and returns the function that ejects them. Calls that have started keep them. An
// Interceptor does not change after New, and many calls run its handlers at the same time. The
// state of one call is kept in the request, by an [axle.Key].
//
// The example of this package is a whole interceptor.
//
// # Order
//
// Response handlers run in the order in which they were installed, and request handlers run in the
// reverse order. So the interceptor that is installed first is the nearest to the network.
//
// A replay runs the whole request chain again, then the dispatch. Of the response chain it runs the
// handlers that are nearer to the network than the handler that asked for it. The other response
// handlers run once, on the outcome of the replay. So install logging before auth for a record per
// attempt, which shows the 401 too. Install it after auth for a record per call.
//
// A handler of your own can be placed beside an interceptor that is installed already, by its name:
// see [axle.Before] and [axle.After]. docs/order.md has one recommended order and its reasons, and
// fmt.Println(client) prints the order that a client has.
//
// # What a handler may do
//
// Change. A request handler may change its request in any way, because the request is the call's
// own copy. A response handler may transform a body with [axle.Response.SetBytes], or wrap a stream
// with [axle.Response.SetStream]. It asks [axle.Response.IsStream] first, because a stream has no
// bytes yet. A handler that has to see the body buffers the stream. Any other handler passes the
// stream on.
//
// Return an outcome. If a handler returns a value, the next fulfilled handler gets it. If it
// returns an error, the next rejected handler gets that. A rejected handler recovers from an error
// by returning a value, and passes the error on by returning the error. A plain error becomes an
// [*axle.Error] with the interceptor's name. If a handler returns neither, that is an error. A
// request handler that has a response already, such as a cache, uses [axle.Request.Respond], and
// nothing is sent.
//
// Send again. [axle.Request.Replay] sends the same call again, from the request as its caller built
// it. Nothing that a handler did to the first attempt is done twice. A retry and a refresh use
// Replay. [axle.Client.Do] makes a whole new call through both chains. It is for another request,
// such as a login or a fallback, and must not come back to the same handler forever. Any handler
// may call both, at any depth, except that a request handler has nothing to replay yet.
//
// Remember. Keep the state of a call in a Key, and not in the Interceptor or in a map by request. A
// replay has another *Request with the same values. Make the Key once, in New or in Install.
// [axle.Key.SetDefault] is for a value that a client has and a call may replace. A rule that differs
// by operation asks [axle.Request.Operation].
//
// Wait. The ctx that a handler gets bounds its waits. A handler whose wait ends with ctx returns
// context.Cause(ctx), and the call's error is then [axle.CodeTimeout] or [axle.CodeCanceled]. Do
// not wait while you hold a lock. Handlers run on the caller's goroutine. A handler that starts
// another goroutine has to see that it ends. A handler that waits before it replays asks
// [axle.Request.CheckReplay] first, so that it does not wait in vain.
//
// Close. If a handler replaces, rejects or replays the response that it was given, axle closes that
// response, which need not be read. If a handler gets a stream from Do and does not return it, the
// handler must close it.
//
// End. A handler may open something for a call: a counter, a span, a semaphore or a context. It gives
// that back in [axle.Request.OnEnd], which runs once when the whole call is over. A response handler
// is no place for that: it may not run after a replay and does not after a panic, and it runs before
// a stream is read. A request handler runs for each attempt. If it opens something once for a call,
// it keeps it in a Key.
//
// A handler must not:
//
//   - change an [*axle.Error] or a [*axle.Request] after it has returned it,
//   - keep a request to replay it after the handler has returned,
//   - print a URL or a header without redacting it,
//   - judge an error by its text, where its [axle.Code] and errors.Is say what happened.
//
// [axle.RunWhen] is for the calls that an interceptor has nothing to do with. Its condition is
// asked once, at the start of a call, so it cannot depend on what handlers do. Errors, logs and
// [axle.Chain.String] show the name of [axle.Named].
package interceptors
