// Package axle is an HTTP client whose interceptors work as axios's do.
//
//	client := axle.New().SetBaseURL("https://api.example.com")
//
//	client.Interceptors.Request.Use(
//		func(ctx context.Context, req *axle.Request) (*axle.Request, error) {
//			return req.SetHeader("X-Trace", traceOf(ctx)), nil
//		}, nil)
//
//	client.Interceptors.Response.Use(nil,
//		func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
//			if err.StatusCode() == http.StatusServiceUnavailable && err.Request.Attempt() == 1 {
//				return err.Request.Replay() // the same call, once more
//			}
//			return nil, err
//		})
//
//	items, err := axle.Get[[]Item](ctx, client, "/items")
//
// # What happens to a request
//
// A [Client] has two ordered chains, Interceptors.Request and Interceptors.Response. Each link of a
// chain is a pair of a fulfilled and a rejected handler. A call is one promise chain over them:
//
//		start -> request handlers -> dispatch -> response handlers -> end
//
//	 1. Start. The call takes a snapshot of the client: its settings and the handlers that take part.
//	    Later changes of the client are for later calls. The caller's request is copied, and the
//	    client's default headers and query parameters are added to the copy.
//	 2. Request handlers, the last added first. The first gets the copy. A handler returns a request,
//	    which the next fulfilled handler gets, or an error, which the next rejected handler gets.
//	 3. Dispatch. The request is checked, its URL is joined to the base URL, credentials that may not
//	    go there are removed, and the body is encoded. Then it is sent, within the time limit, by
//	    net/http or by the resty client of [Client.SetEngine]. A network that fails, and a status that
//	    [Client.SetValidateStatus] refuses, are errors.
//	 4. Response handlers, the first added first, in the same way: a response for the next fulfilled
//	    handler, or an error for the next rejected one. A handler may send the call again by
//	    [Request.Replay]: that goes through steps 2 and 3 and the response handlers before this one.
//	 5. End. The response is decoded into the result, or the caller gets the error. The functions of
//	    [Request.OnEnd] run: for a stream, when it is closed.
//
// Nothing is swallowed. An error that no handler recovered from reaches the caller as an [*Error],
// which carries the request and the response that it is about.
//
// # Where to start
//
// [Get], [Post] and their like decode the response into a value. [Client.Get] and [Client.R] are for
// when the status, the headers or a stream matter. [Client.HTTPClient] puts the chains behind an
// http.Client, for an SDK that wants one.
//
// The package is the mechanism alone, and needs Go 1.26 or later. Ready-made interceptors are in the
// folder interceptors. The user store, which keeps a session for interceptors/auth, is in store. The
// promise that shares one refresh among many callers is in future. Package axle imports none of them.
//
// # In a browser
//
// A program that is compiled to js/wasm sends by the browser's fetch. The browser follows redirects,
// keeps the cookies and undoes encodings by itself, and leaves out what fetch does not allow. A request
// that the browser would not send as it is written fails with [CodeBadOption] before anything is sent.
// A call that carries a credential follows no redirect. Options of fetch are header entries:
// js.fetch:credentials (see [Client.SetWithCredentials]), js.fetch:mode and js.fetch:redirect. They are
// refused elsewhere. docs/browser.md says the rest.
//
// # The files, in reading order
//
// The way of a call, from [Client.Get] in client.go:
//
//   - call.go: the promise chain, from the start of a call to its end
//   - dispatch.go: one request out and one response in
//   - chain.go: a chain of interceptors and its snapshot
//   - claim.go: what becomes of the request, the response or the error that a handler returned
//   - replay.go: Replay, which sends the same call again
//   - stage.go: the stage of a pass through the chains, which decides who may replay
//   - ending.go: the end of a call, and OnEnd
//
// What a dispatch is made of:
//
//   - url.go and query.go: the URL
//   - header.go: the client's default headers and axle's own
//   - credentials.go: where a credential may go
//   - body.go and form.go: the body of each kind, and the client's default form fields
//   - codec.go and multipart.go: the encodings
//   - contentlength.go: a length that the caller declares
//   - timeout.go: the time limit
//   - engine.go and resty.go: the engines that send, over net/http and over resty
//   - redirect.go: what a redirect keeps and drops
//   - fetch.go: a dispatch in a browser, where net/http sends by the Fetch API
//   - resend.go: the error of a connection that fails when the body cannot be sent again
//   - drain.go: the rest of an unwanted response, so that its connection can be used again
//   - stream.go, decompress.go and progress.go: the stream of a response, its limit, its
//     encoding, and its progress
//
// The vocabulary of users:
//
//   - client.go, settings.go and transport.go: the client and its settings
//   - plugin.go: ready-made interceptors, and OnRequest and OnResponse, which make one
//   - request.go, response.go and error.go: what a call works on
//   - errormap.go: the errors of an SDK in the place of a call's
//   - edits.go, key.go and typed.go: ready-made edits, typed values of a request, typed results
//   - pages.go, poll.go and events.go: lists that come page by page, jobs that take their time, and
//     server-sent events
//   - followup.go: the request that follows from a response, which these have in common
//   - print.go, errorform.go and curl.go: how these types are printed, without secrets
//   - bridge.go: the chains behind an http.Client, by [Client.HTTPClient] and [Client.RoundTripper]
package axle
