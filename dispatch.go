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

	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/wire"
)

// This file is one dispatch, from top to bottom: one request out and one response in.

// dispatch is one request on its way out. It is itself the context of the net/http request that is
// sent: the rules for redirects and the hooks of an engine see that request alone, and find the
// dispatch in its context.
type dispatch struct {
	timeLimit
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

// sender sends the dispatches of a call. There are two. Through an engineSender the client's engine
// sends, follows redirects and keeps cookies. Behind the bridge a bridgedRequest sends through the
// engine's transport alone, since an http.Client above follows redirects and keeps cookies, and
// since its requests go out as it made them. A call has the same sender from its start to its end.
type sender interface {
	// keepCredentials removes from req, and from the URL u that it goes to, the credentials that
	// may not go there, and returns the URL that remains. Headers that are bound to an origin have
	// been removed before.
	keepCredentials(req *Request, u *url.URL) *url.URL

	// send sends d and returns the response, with its body unread.
	send(d *dispatch) (*http.Response, error)

	// interrupted returns the error of a request that the http.Client above has called off; nil if
	// none has.
	interrupted(req *Request, err error) *Error

	// renewCookies replaces the cookies that the jar gave for an earlier attempt by the cookies that
	// the jar has now, and returns those. A jar below axle adds its cookies to each dispatch by
	// itself, and nothing is replaced.
	renewCookies(header http.Header, before *jarCookies) *jarCookies
}

// engineSender is the sender of every call that does not come through the bridge.
type engineSender struct{ *settings }

func (e engineSender) send(d *dispatch) (*http.Response, error) { return e.engine.send(d) }

// keepCredentials removes the userinfo of the URL, of which the engine would make an Authorization
// header. The userinfo stays where the request goes to the base URL's origin, or where the caller
// sends it.
func (e engineSender) keepCredentials(req *Request, u *url.URL) *url.URL {
	if u.User == nil || req.destination(u) == e.originOf(u) || req.pass.isCallersDestination(req) {
		return u
	}
	plain := *u
	plain.User = nil
	return &plain
}

func (e engineSender) interrupted(*Request, error) *Error { return nil }

func (e engineSender) renewCookies(http.Header, *jarCookies) *jarCookies { return nil }

// dispatch sends the request and receives the response. It fails for bad input, a network that
// fails, a body that cannot be read, and a status that is refused.
func (p *pass) dispatch(req *Request) (*Response, *Error) {
	req.attempt = p.attempts.Add(1)
	d := &p.outgoing
	*d = dispatch{request: req}

	// A request handler has called Respond. Its response takes the place of the dispatch.
	if short := req.respond; short != nil {
		req.respond = nil
		d.Context = req.Context()
		return d.receiveBody(p.claimResponse(short, req))
	}

	// Bad input is refused before the clock runs and before anything is sent.
	start := time.Now()
	if err := d.prepare(); err != nil {
		return nil, err
	}

	if err := d.limitTime(); err != nil {
		return nil, err
	}

	raw, failed := p.sender.send(d)
	if failed != nil {
		err := failure(d.Context, req, failed)
		d.stopClock()
		if fetch.Possible {
			err = d.explainFetch(err)
		}
		return nil, err
	}
	if fetch.Possible {
		d.boundFetchedBody(raw)
	}

	resp, err := d.receiveBody(d.newResponse(raw))
	if r := responseOf(resp, err); r != nil {
		r.duration = time.Since(start)
	}
	return resp, err
}

// prepare checks the request, and sets the URL, the payload and the header of the dispatch. The
// header comes last, since it depends on the other two.
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

	if fetch.Possible {
		if err := d.prepareForFetch(); err != nil {
			return badOption(d.request, err.Error(), nil)
		}
	}
	return nil
}

// check returns the error of a client's setting or of a request that cannot be sent.
func (d *dispatch) check() error {
	if err := d.request.pass.settings.check(); err != nil {
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
	// A handler may have written a name in another case. A credential is found by its name, which
	// therefore needs one spelling.
	r := d.request
	if !isCanonical(r.Header) {
		r.Header = d.request.pass.canonical(r.Header)
	}

	u, err := d.resolve()
	if err != nil {
		return err
	}

	// A query parameter may be bound to an origin too. Without it, the URL is another one.
	if len(r.origins) > 0 && r.dropStray(r.destination(u)) {
		if u, err = d.resolve(); err != nil {
			return err
		}
	}

	d.url = d.request.pass.sender.keepCredentials(r, u)
	maps.DeleteFunc(r.Header, isProxyCredential)
	return nil
}

// resolve returns the URL to send to. The URL that the bridge was given goes out as it is, unless a
// handler has set another one, or a handler or a default has added a query parameter.
func (d *dispatch) resolve() (*url.URL, *Error) {
	in := d.request.pass.inbound
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

// prepareBody encodes the body. The Content-Type of the request then describes the encoded body, so
// that the response handlers see it too.
func (d *dispatch) prepareBody() *Error {
	var err *Error
	if d.payload, err = d.request.pass.payload(d.request); err != nil {
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

// prepareHeader makes the header that is sent. It is not the map of the request, since the jar adds
// to it, and since a transport may read it after RoundTrip has returned, as HTTP/2 does when a
// context ends.
func (d *dispatch) prepareHeader() {
	d.header = make(http.Header, len(d.request.Header)+2)
	for name, list := range d.request.Header {
		d.header[name] = slices.Clip(list)
	}
	if d.request.pass.inbound.verbatim {
		return
	}

	if _, found := d.header[contentTypeHeader]; !found && d.payload.contentType != "" {
		d.header[contentTypeHeader] = []string{d.payload.contentType}
	}
	d.askForEncodings()
	d.request.pass.setXSRF(d.header, d.request, d.url)
}

// newRequest returns the request that the engine over net/http sends. It does without http.NewRequest,
// which would parse the URL again.
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

	// A body that cannot be read a second time must not hide why net/http asks for it again.
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

// newResponse returns the Response for a net/http response. Its body is still a stream, which fails
// beyond the response limit.
func (d *dispatch) newResponse(raw *http.Response) *Response {
	stream := &d.request.pass.stream
	*stream = responseStream{ReadCloser: raw.Body}
	resp := &d.request.pass.incoming
	*resp = Response{
		Request: d.request, StatusCode: raw.StatusCode, Status: raw.Status, Header: raw.Header,
		raw: raw, stream: stream,
	}

	// A transport of the user's own may leave the header out.
	if resp.Header == nil {
		resp.Header = http.Header{}
	}

	// The bytes after a 101 are not a body. They belong to another protocol.
	if raw.StatusCode == http.StatusSwitchingProtocols {
		return resp
	}

	// Behind the bridge axle has not asked for an encoding, and does not decompress.
	if !d.request.pass.inbound.verbatim {
		stream.ReadCloser = decompress(d.request, raw)
	}
	if limit := d.request.pass.settings.responseLimit; limit > 0 && !d.request.endless {
		stream.ReadCloser = &limited{what: "response", body: stream.ReadCloser, left: limit, limit: limit}
	}
	if tell := d.request.onDownload; tell != nil {
		stream.ReadCloser = meter(stream.ReadCloser, resp.contentLength(), tell)
	}
	return resp
}

// receiveBody judges the status, and reads the body unless the body is to be streamed. The body of a
// refused status is read even if the call is streamed. Behind the bridge no body is read, since the
// http.Client above wants the stream.
func (d *dispatch) receiveBody(resp *Response) (*Response, *Error) {
	d.request.pass.setCurrent(resp)
	accepted := d.accepts(resp.StatusCode)
	switch {
	case resp.stream == nil: // the response of a Respond
	case d.request.pass.inbound.verbatim, d.request.stream && accepted:
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

// accepts reports whether a status fulfils the request. The request's own rule goes before the
// client's.
func (d *dispatch) accepts(status int) bool {
	validate := d.request.pass.settings.validate
	if d.request.overrides.validate {
		validate = d.request.validate
	}
	return validate == nil || validate(status)
}
