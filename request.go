package axle

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/rewind"
	"github.com/axlehttp/axle/internal/wire"
)

// Request is one call's configuration (axios's config). Start one with [Client.R], or write one and
// give it to [Client.Do].
//
// Sending never modifies it: handlers work on a copy. So one Request can be sent again, and by many
// goroutines at a time. The exceptions are its [Request.SetResult] target and an io.Reader body,
// which serve one call at a time. A reader that a later call is to send again must be given to
// [Request.SetBody], which remembers where it began. A Request's setters are not safe for
// concurrent use.
type Request struct {
	Method string      // empty means GET; sent in upper case
	URL    string      // a path joined to the base URL, or absolute; a query written here is kept as it is
	Header http.Header // never nil in a handler, nor from R
	Query  url.Values  // appended to URL's own query; never nil in a handler, nor from R
	Body   any         // nil, string, []byte, io.Reader, url.Values, *Multipart, or any value: see SetBody

	client     *Client
	ctx        context.Context
	pathParams wire.Params
	timeout    time.Duration
	validate   func(status int) bool
	result     any

	// These stand together, since each request in flight is in memory twice.
	nilContext bool
	overrides  overrides
	inherited  bool // the result is that of the call which this copy belongs to
	stream     bool
	endless    bool // the client's response limit does not hold for the stream as a whole

	respond    *Response // takes the place of the next dispatch; nil: the request is sent
	redirect   func(req *http.Request, via []*http.Request) error
	onUpload   func(Progress)
	onDownload func(Progress)
	base       *settings // of another client, to whose base URL the URL is joined; nil: the call's own
	bad        error     // of a setter, whose argument cannot be sent
	values     values
	reader     *rewind.Body // the io.Reader that SetBody was given; nil: none
	origins    []binding

	pass    *pass // the pass of the call that this copy belongs to; nil outside a call
	turn    stage // of a clone or a replay's outcome: the response handler that may replay it
	attempt int32 // counted from 1 within the call; 0: not sent yet

	sent fingerprint // what it was sent with; unknown before
}

// overrides tells which settings a request sets itself, and does not inherit from the client.
type overrides struct{ timeout, validate, redirect bool }

// Context returns the request's context, context.Background by default. It is never nil.
func (r *Request) Context() context.Context {
	if r.ctx == nil {
		return context.Background()
	}
	return r.ctx
}

// SetContext sets the context that bounds the call: its waits, its sending and the reading of its
// body. Later handlers see the context that a handler sets. A nil context fails the call with
// CodeBadOption.
func (r *Request) SetContext(ctx context.Context) *Request {
	r.ctx, r.nilContext = ctx, ctx == nil
	return r
}

// With applies edits, in order: c.R(ctx).With(auth.Skip).Post("/login").
func (r *Request) With(edits ...func(*Request)) *Request {
	for _, edit := range edits {
		if edit != nil {
			edit(r)
		}
	}
	return r
}

// SetMethod sets the method. It is sent in upper case; an empty one means GET.
func (r *Request) SetMethod(method string) *Request {
	r.Method = method
	return r
}

// SetURL sets the URL: a path joined to the base URL, or an absolute http or https URL.
func (r *Request) SetURL(url string) *Request {
	r.URL = url
	return r
}

// SetHeader sets a header. It replaces the client's default of that name.
func (r *Request) SetHeader(name, value string) *Request {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(name, value)
	return r
}

// SetQueryParam sets a query parameter. It replaces the client's default of that name.
func (r *Request) SetQueryParam(name, value string) *Request {
	if r.Query == nil {
		r.Query = url.Values{}
	}
	r.Query.Set(name, value)
	return r
}

// SetPathParam sets the value of {name} in the URL, and in the path of the base URL. It replaces
// the client's default of that name. The value is escaped, and so is a slash in it, so that it
// stays one segment of the path.
//
// A placeholder is {name} in the path, with a name of letters, digits, "_", "-" and ".". Anywhere
// in the path or the query, any {name} whose value is set is a placeholder too. Other braces are
// ordinary characters. In the host of an absolute URL, a value may have letters, digits, "-" and
// "_" alone.
//
// A placeholder without a value, or with an empty one, fails the call with CodeBadOption before
// anything is sent. The call fails in the same way if values turn a segment into "." or "..", which
// would climb the path.
func (r *Request) SetPathParam(name, value string) *Request {
	r.pathParams = r.pathParams.With(name, wire.Param{Text: value})
	return r
}

// SetRawPathParam sets the value of {name} as [Request.SetPathParam] does, for a value that is a
// piece of a URL already: its slashes and its escapes stay as they are. A character that no path
// may have, such as a blank, is still escaped.
//
// A value fails the call with CodeBadOption, before anything is sent, if it has a segment "." or
// "..", also an escaped one, a "?", a "#", a backslash, a control character, or a "%" that begins
// no escape.
func (r *Request) SetRawPathParam(name, value string) *Request {
	r.pathParams = r.pathParams.With(name, wire.Param{Text: value, Raw: true})
	return r
}

// SetBody sets the body: nil, string, []byte, url.Values, an io.Reader, a [*Multipart], or any
// value that can be encoded.
//
// The Content-Type decides how a value is encoded: as JSON ("+json" too), as XML, as a form by the
// client's [QueryEncoder], as a multipart form, or by [Client.SetCodec]. A type without a codec
// fails the call with CodeBadOption. Without a header a value is JSON, and a url.Values is a form.
// A string, a []byte and a reader are sent as they are. The client's default Content-Type labels
// neither a url.Values nor a Multipart, and no empty request.
//
// A replay or a redirect can send a reader again if it is an io.Seeker or a *bytes.Buffer. Of any
// other reader, up to [ReplayLimit] bytes are kept for that. A reader that is an io.Closer and no
// io.Seeker is closed at the end of the call.
//
// A Content-Length header of a reader whose length is unknown is sent, and the call fails if the
// reader has more bytes or fewer. One that contradicts a known length fails the call with
// CodeBadOption.
func (r *Request) SetBody(body any) *Request {
	r.Body = body
	r.reader = newBody(body)
	return r
}

// SetTimeout bounds each attempt of this request: until the response's body is read, or, if it is
// streamed, until its headers have come. Zero is no limit. A request that does not set one has the
// client's.
func (r *Request) SetTimeout(d time.Duration) *Request {
	r.timeout, r.overrides.timeout = d, true
	return r
}

// Timeout returns the time limit that the request sets itself, by [Request.SetTimeout], and whether
// it sets one. The limit that it inherits from the client is not told: d is then zero. So a handler
// can give a request a limit where its caller has not:
//
//	if _, set := req.Timeout(); !set {
//		req.SetTimeout(limits[req.Operation()])
//	}
func (r *Request) Timeout() (d time.Duration, set bool) {
	return r.timeout, r.overrides.timeout
}

// SetValidateStatus decides which statuses fulfil this request; nil: every one. A request that does
// not set it has the client's.
func (r *Request) SetValidateStatus(ok func(status int) bool) *Request {
	r.validate, r.overrides.validate = ok, true
	return r
}

// SetResult sets a pointer to decode the response into, once, after the outermost response chain
// has fulfilled. An empty body leaves it as it is. A body that does not decode fails the call with
// CodeBadResponse.
func (r *Request) SetResult(v any) *Request {
	r.result, r.inherited = v, false
	return r
}

// SetStream leaves the body of the response unread. Read it from [Response.Stream]. The caller that
// gets the Response must close the stream. The body of a refused status is read in any case. A
// request with both SetStream and SetResult fails with CodeBadOption.
func (r *Request) SetStream(stream bool) *Request {
	r.stream = stream
	return r
}

// Attempt returns the number of the attempt, within its call, in which this copy of the request was
// sent last: 1 for the first, more for replays, and 0 before it is sent. A Do in a handler is a
// call of its own.
func (r *Request) Attempt() int { return int(r.attempt) }

// Own returns the request of the call that r takes part in. That is r itself, unless a handler has
// returned the response or the error of another call, such as that of a fallback: the Request of such
// an outcome is the other call's. Own is then the request that the handler was given, and which
// [Request.Replay] sends again. An interceptor that replays asks it whether the call may be sent twice.
func (r *Request) Own() *Request {
	if b, found := r.beside(); found {
		return b.own
	}
	return r
}

// Nested reports whether a handler started this call with [Client.Do] from its own request, while
// the call of that request was running: axios(error.config). A request that a caller sends again
// after its call is not nested.
func (r *Request) Nested() bool { return r.pass != nil && r.pass.nested }

// setBad notes bad input. The call is refused because of it when the request is sent.
func (r *Request) setBad(err error) *Request {
	if r.bad == nil {
		r.bad = err
	}
	return r
}

// SetRedirectCheck sets the function that is asked before a redirect of this request is followed,
// in the place of the client's. See [Client.SetRedirectCheck]. A nil function is none.
func (r *Request) SetRedirectCheck(check func(req *http.Request, via []*http.Request) error) *Request {
	r.redirect, r.overrides.redirect = check, true
	return r
}

// Respond is a request handler's short cut: nothing is sent, and resp takes the place of the next
// response. ValidateStatus judges it like any other. A nil resp takes an earlier one back.
func (r *Request) Respond(resp *Response) *Request {
	r.respond = resp
	return r
}

// Responded reports whether a handler of the request chain has called [Request.Respond], so that
// nothing will be sent. A later handler that counts or delays what is sent asks it.
func (r *Request) Responded() bool { return r.respond != nil }

// Client returns the client whose call this is; nil for a Request that was not started with
// [Client.R] and is in no call.
func (r *Request) Client() *Client { return r.client }

// BaseURL returns the base URL that the request's path is joined to: in a call, the one that the
// call started with. It is empty without one.
func (r *Request) BaseURL() string {
	if s := r.settings(); s != nil {
		return s.baseURL
	}
	return ""
}

// BaseOrigin returns the origin of [Request.BaseURL], as [Request.Origin] writes one. It is empty
// without a base URL, and where that is malformed. It allocates nothing.
func (r *Request) BaseOrigin() string {
	if s := r.settings(); s != nil {
		return s.origin
	}
	return ""
}

// settings are the call's in a call, and else the client's present ones; nil without a client.
func (r *Request) settings() *settings {
	switch {
	case r.pass != nil:
		return r.pass.settings
	case r.client != nil:
		return r.client.settings.Load()
	}
	return nil
}

// Clone returns an independent copy. The body, the context and the result target are shared. The
// copy that a handler makes belongs to that handler too: [Request.Replay] works on it until the
// handler returns.
func (r *Request) Clone() *Request {
	c := *r
	c.Header, c.Query = cloneHeader(r.Header), cloneValues(r.Query)
	if form, ok := r.Body.(url.Values); ok && form != nil {
		c.Body = cloneValues(form)
	}
	if r.pass != nil {
		c.turn = r.pass.turnOf(r)
	}
	return &c
}

// cloneHeader returns a copy, which is never nil.
func cloneHeader(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return h.Clone()
}

// cloneValues returns a copy, which is never nil.
func cloneValues(v url.Values) url.Values {
	if v == nil {
		return url.Values{}
	}
	return url.Values(http.Header(v).Clone())
}

// Execute sends the request with this method and URL. It does not change the request. Its error is
// an [*Error].
func (r *Request) Execute(method, url string) (*Response, error) {
	c := *r
	c.Method, c.URL = method, url
	if r.client == nil {
		err := badOption(&c,
			"the request has no client: start it with Client.R, or send it with Client.Do", nil)
		r.endFunctions().runAll(nil, err)
		return nil, err
	}
	return r.client.Do(&c)
}

// Get sends the request as a GET to url.
func (r *Request) Get(url string) (*Response, error) { return r.Execute(http.MethodGet, url) }

// Head sends the request as a HEAD to url.
func (r *Request) Head(url string) (*Response, error) { return r.Execute(http.MethodHead, url) }

// Options sends the request as an OPTIONS to url.
func (r *Request) Options(url string) (*Response, error) { return r.Execute(http.MethodOptions, url) }

// Delete sends the request as a DELETE to url.
func (r *Request) Delete(url string) (*Response, error) { return r.Execute(http.MethodDelete, url) }

// Post sends the request as a POST to url.
func (r *Request) Post(url string) (*Response, error) { return r.Execute(http.MethodPost, url) }

// Put sends the request as a PUT to url.
func (r *Request) Put(url string) (*Response, error) { return r.Execute(http.MethodPut, url) }

// Patch sends the request as a PATCH to url.
func (r *Request) Patch(url string) (*Response, error) { return r.Execute(http.MethodPatch, url) }

func (r *Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return strings.ToUpper(r.Method)
}
