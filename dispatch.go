package axle

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/axlehttp/axle/internal/wire"
)

// This file is one dispatch, from top to bottom: one request out and one response in.

// dispatch is one request on its way out. It is the context of the net/http request that is sent,
// so that the rules for redirects and the hooks of an engine find it there.
type dispatch struct {
	timeLimit
	pass    *pass
	request *Request // as the handlers left it
	url     *url.URL
	header  http.Header
	payload payload
}

type dispatchKey struct{}

// Value implements context.Context.
func (d *dispatch) Value(key any) any {
	if key == (dispatchKey{}) {
		return d
	}
	return d.Context.Value(key)
}

// road is how the dispatches of a call go out. There are two. By the first, the client's own, the
// engine sends and follows redirects. The second is the bridge, where an http.Client above follows
// the redirects and keeps the cookies, and where its requests go out as it made them. A call has
// one road from its start to its end.
type road interface {
	// keepCredentials removes from req, and from the URL u that it goes to, the credentials that
	// may not go there, except for bound headers, and returns the URL that remains.
	keepCredentials(req *Request, u *url.URL) *url.URL

	// send sends d and returns the response, with its body unread.
	send(d *dispatch) (*http.Response, error)

	// interrupted returns the error of a request that was called off from above; nil if it was not.
	interrupted(req *Request, err error) *Error

	// renewCookies puts the jar's present cookies in the place of those that it gave the request of
	// an earlier attempt.
	renewCookies(header http.Header, before jarCookies) jarCookies
}

// engineRoad is the client's own road.
type engineRoad struct{ *settings }

func (e engineRoad) send(d *dispatch) (*http.Response, error) { return e.engine.send(d) }

// The engine would make an Authorization of the userinfo of a URL.
func (e engineRoad) keepCredentials(req *Request, u *url.URL) *url.URL {
	if u.User == nil || req.destination(u) == e.originOf(u) || req.pass.isCallersDestination(req) {
		return u
	}
	plain := *u
	plain.User = nil
	return &plain
}

func (e engineRoad) interrupted(*Request, error) *Error { return nil }

func (e engineRoad) renewCookies(http.Header, jarCookies) jarCookies { return jarCookies{} }

// dispatch sends the request and receives the response. Its error is of bad input, of a network
// that failed, of a body that could not be read, or of a status that was refused.
func (p *pass) dispatch(req *Request) (*Response, *Error) {
	req.attempt = int(p.attempts.Add(1))
	d := &p.sending
	*d = dispatch{pass: p, request: req}

	// Respond has the response already, and nothing is sent.
	if short := req.respond; short != nil {
		req.respond = nil
		d.Context = req.Context()
		return d.receiveBody(p.claimResponse(short, req))
	}

	// All that is sent is checked and made out first, so that bad input is refused before anything
	// is sent.
	start := time.Now()
	if err := d.prepare(); err != nil {
		return nil, err
	}

	if err := d.limitTime(); err != nil {
		return nil, err
	}
	raw, failed := p.road.send(d)
	if failed != nil {
		err := failure(d.Context, req, failed)
		d.stopClock()
		return nil, err
	}

	resp, err := d.receiveBody(d.receive(raw))
	if r := responseOf(resp, err); r != nil {
		r.duration = time.Since(start)
	}
	return resp, err
}

// prepare makes out the URL, the body and the header.
func (d *dispatch) prepare() *Error {
	if err := d.check(); err != nil {
		return badOption(d.request, err.Error(), nil)
	}
	if err := d.prepareURL(); err != nil {
		return err
	}
	if err := checkHeaders(d.request.Header); err != nil {
		return badOption(d.request, err.Error(), nil)
	}
	if err := d.prepareBody(); err != nil {
		return err
	}
	d.prepareHeader()
	return nil
}

// check finds what the request cannot be sent with.
func (d *dispatch) check() error {
	if err := d.pass.settings.check(); err != nil {
		return err
	}

	r := d.request
	switch {
	case r.nilContext:
		return errors.New("the context is nil")
	case r.bad != nil:
		return r.bad
	case isNilReader(r.Body):
		return fmt.Errorf("the body is a nil %T", r.Body)
	case !wire.IsToken(r.method()):
		return fmt.Errorf("the method %q is not a token", r.Method)
	case r.timeout < 0:
		return fmt.Errorf("the timeout is negative: %v", r.timeout)
	case r.result == nil:
		return nil
	case r.stream:
		return errors.New("SetStream and SetResult exclude each other")
	}
	if v := reflect.ValueOf(r.result); v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("the result must be a pointer to decode into, and is a %T", r.result)
	}
	return nil
}

// prepareURL resolves the URL, and removes the credentials that may not go where it leads.
func (d *dispatch) prepareURL() *Error {
	// A credential is found by its name, so that each name has to be spelled in one way.
	r := d.request
	if !isCanonical(r.Header) {
		r.Header = d.pass.canonical(r.Header)
	}

	u, err := d.resolve()
	if err != nil {
		return err
	}
	if len(r.origins) > 0 && r.dropStray(r.destination(u)) {
		if u, err = d.resolve(); err != nil {
			return err
		}
	}
	d.url = d.pass.road.keepCredentials(r, u)
	maps.DeleteFunc(r.Header, isProxyCredential)
	return nil
}

// resolve returns the URL to send to. The one that the bridge was given goes out as it is, unless a
// handler or a default has changed it.
func (d *dispatch) resolve() (*url.URL, *Error) {
	in := &d.pass.inbound
	if !in.isURLOf(d.request) {
		return d.request.resolve()
	}
	if wrong := in.refuseScheme(); wrong != "" {
		return nil, invalidURL(d.request, wrong)
	}
	if len(d.request.Query) > 0 {
		return d.request.resolve()
	}
	return in.url, nil
}

// prepareBody encodes the body. The Content-Type then is what the body is, for those too who look
// at the request later.
func (d *dispatch) prepareBody() *Error {
	var err *Error
	if d.payload, err = d.pass.payload(d.request); err != nil {
		return err
	}

	switch {
	case !d.payload.relabel:
	case d.payload.contentType == "":
		delete(d.request.Header, contentTypeHeader)
	default:
		d.request.Header[contentTypeHeader] = []string{d.payload.contentType}
	}
	return nil
}

// prepareHeader makes out the header as it is sent. It is a map of its own, since the jar adds to
// it, and since a transport may read it after RoundTrip has returned, as HTTP/2 does when a context
// ends.
func (d *dispatch) prepareHeader() {
	d.header = make(http.Header, len(d.request.Header)+2)
	for name, list := range d.request.Header {
		d.header[name] = slices.Clip(list)
	}
	if d.pass.inbound.verbatim {
		return
	}

	if _, found := d.header[contentTypeHeader]; !found && d.payload.contentType != "" {
		d.header[contentTypeHeader] = []string{d.payload.contentType}
	}
	d.askForGzip()
	d.pass.setXSRF(d.header, d.request, d.url)
}

var gzipAlone = []string{"gzip"}

// askForGzip asks for what net/http's transport would ask for, by the transport's own rule. axle
// then decompresses the response, and can tell damaged data from a network that broke off.
func (d *dispatch) askForGzip() {
	_, found := d.header["Accept-Encoding"]
	if found || d.request.method() == http.MethodHead || d.header.Get("Range") != "" {
		return
	}
	if asksForGzip(d.pass.settings.engine.transport()) {
		d.header["Accept-Encoding"] = gzipAlone
	}
}

// newRequest returns the net/http request to send. It is written out, since http.NewRequest would
// parse the URL again.
func (d *dispatch) newRequest() (*http.Request, error) {
	fresh := http.Request{
		Method: d.request.method(), URL: d.url, Host: d.url.Host, Header: d.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	raw := fresh.WithContext(d)
	if err := d.attach(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// attach puts the Host and the body on a net/http request.
func (d *dispatch) attach(raw *http.Request) error {
	if host := d.header.Get("Host"); host != "" {
		raw.Host = host
	}
	if d.payload.open == nil {
		raw.Body, raw.GetBody, raw.ContentLength = nil, nil, 0
		return nil
	}

	body, err := d.payload.open(d.Context)
	if err != nil {
		return err
	}
	raw.Body, raw.ContentLength = body, d.payload.length
	raw.GetBody = func() (io.ReadCloser, error) { return d.payload.open(d.Context) }
	if isSentOnce(d.request.Body) {
		sending := &resending{request: d.request}
		sending.watch(raw)
		raw.GetBody = func() (io.ReadCloser, error) {
			body, err := d.payload.open(d.Context)
			if err != nil {
				err = sending.explain(err)
			}
			return body, err
		}
	}

	// net/http would send a body of length 0 that is not http.NoBody in chunks.
	if raw.ContentLength == 0 {
		_ = body.Close()
		raw.Body = http.NoBody
		raw.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	return nil
}

// receive makes a Response of a net/http response. Its body is still a stream, which fails beyond
// the limit.
func (d *dispatch) receive(raw *http.Response) *Response {
	stream := &d.pass.stream
	*stream = responseStream{ReadCloser: raw.Body}
	resp := &d.pass.answer
	*resp = Response{
		Request: d.request, StatusCode: raw.StatusCode, Status: raw.Status, Header: raw.Header,
		raw: raw, stream: stream,
	}

	// A transport of the user's own may leave the header out.
	if resp.Header == nil {
		resp.Header = http.Header{}
	}

	// What follows a 101 is no body, but another protocol.
	if raw.StatusCode == http.StatusSwitchingProtocols {
		return resp
	}

	// Behind the bridge, decompressing is the caller's or the transport's business.
	if !d.pass.inbound.verbatim {
		stream.ReadCloser = decodeGzip(d.request, raw)
	}
	if limit := d.pass.settings.responseLimit; limit > 0 {
		stream.ReadCloser = &limited{what: "response", body: stream.ReadCloser, left: limit, limit: limit}
	}
	if tell := d.request.onDownload; tell != nil {
		stream.ReadCloser = meter(stream.ReadCloser, resp.contentLength(), tell)
	}
	return resp
}

// receiveBody judges the status, and reads the body unless it is to be streamed. Of a streamed
// call, a refused status is read all the same, except behind the bridge, where the http.Client
// above may want the stream.
func (d *dispatch) receiveBody(resp *Response) (*Response, *Error) {
	d.pass.setCurrent(resp)
	accepted := d.accepts(resp.StatusCode)
	switch {
	case resp.stream == nil:
		d.stopClock()
	case d.pass.inbound.verbatim, d.request.stream && accepted:
		resp.stream.ReadCloser = d.stopClockOver(resp.stream.ReadCloser)
	case resp.StatusCode == http.StatusSwitchingProtocols:
		resp.SetBytes(nil)
		d.stopClock()
	default:
		err := resp.buffer(d.Context)
		d.stopClock()
		if err != nil && !accepted {
			err.Err = errors.Join(err.Err, statusError(resp).Code)
		}
		if err != nil {
			return nil, err
		}
	}

	if !accepted {
		return nil, statusError(resp)
	}
	return resp, nil
}

// accepts reports whether a status fulfils the request.
func (d *dispatch) accepts(status int) bool {
	validate := d.pass.settings.validate
	if d.request.overrides.validate {
		validate = d.request.validate
	}
	return validate == nil || validate(status)
}
