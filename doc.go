// Package axle is an HTTP client whose interceptors work as axios's do.
//
// A [Client] has two ordered chains, Interceptors.Request and Interceptors.Response. Every link is a pair of a fulfilled
// and a rejected handler, and a call is one promise chain over them:
//
//	request handlers (LIFO) -> dispatch -> response handlers (FIFO) -> decode into the result
//
// A handler may change what it is given, replace it, fail it, recover from a failure, call the client again
// ([Client.Do]) or send its own call again ([Request.Replay]). Nothing is swallowed: whatever no handler recovered
// reaches the caller as an [*Error], which carries the request and the response that it is about.
//
// Start with [Get], [Post] and their like, which decode the answer: axle.Get[[]Item](ctx, client, "/items"). [Client.Get]
// and [Client.R] are for when the status, the headers or a stream matter. The package needs Go 1.26 or later.
//
// The package is the mechanism alone. Ready-made interceptors are in the folder interceptors; the user store, which
// keeps a session for interceptors/auth, is in store; the promise that shares one refresh among many callers is in future.
// Package axle imports none of them.
package axle
