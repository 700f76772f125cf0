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

// dispatch is what an engine or the bridge sends. It is the context of the request that is sent, so that the hooks of an engine
// and the rules for redirects find it there.
type dispatch struct {
	timeLimit
	request *Request
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

// dispatch turns the request into a response, or into the error of one that is refused or did not come.
func (p *pass) dispatch(req *Request) (*Response, *Error) {
	req.attempt = int(p.attempts.Add(1))
	if answer := req.answer; answer != nil {
		req.answer = nil
		resp := p.adoptResponse(answer, req)
		return p.receiveBody(req, resp, &timeLimit{Context: req.Context()})
	}

	start := time.Now()
	d, err := p.prepare(req)
	if err != nil {
		return nil, err
	}
	limit := &d.timeLimit
	if err := p.limitTime(req, limit); err != nil {
		return nil, err
	}

	raw, failed := p.transmit(d)
	if failed != nil {
		err = failure(limit.Context, req, failed)
		limit.end()
		return nil, err
	}

	resp := p.receive(req, raw)
	resp, err = p.receiveBody(req, resp, limit)
	if resp != nil {
		resp.duration = time.Since(start)
	} else if err.Response != nil {
		err.Response.duration = time.Since(start)
	}
	return resp, err
}

// transmit sends by the engine, or, in the bridge, by its transport alone.
func (p *pass) transmit(d *dispatch) (*http.Response, error) {
	if p.bridge != nil {
		return p.transmitBridge(d)
	}
	return p.settings.engine.send(d)
}

// prepare checks and resolves all that is sent, so that bad input is refused before anything is.
func (p *pass) prepare(req *Request) (*dispatch, *Error) {
	if err := p.settings.check(); err != nil {
		return nil, badOption(req, err.Error(), nil)
	}
	if err := req.check(); err != nil {
		return nil, badOption(req, err.Error(), nil)
	}
	if !isCanonical(req.Header) {
		req.Header = p.canonical(req.Header)
	}

	u, err := p.resolve(req)
	if err != nil {
		return nil, err
	}
	if u, err = p.keepCredentials(req, u); err != nil {
		return nil, err
	}
	maps.DeleteFunc(req.Header, isProxyCredential)
	if err := checkHeaders(req.Header); err != nil {
		return nil, badOption(req, err.Error(), nil)
	}

	d := &p.sending
	d.request, d.url = req, u
	if d.payload, err = p.payload(req); err != nil {
		return nil, err
	}
	if d.payload.relabel {
		req.relabel(d.payload.contentType)
	}
	d.header = p.wireHeader(d)
	p.setXSRF(d.header, req, u)
	return d, nil
}

// relabel makes the Content-Type what the body is, for those too who look at the request later.
func (r *Request) relabel(contentType string) {
	if contentType == "" {
		delete(r.Header, contentTypeHeader)
		return
	}
	r.Header[contentTypeHeader] = []string{contentType}
}

// wireHeader is the request's header as it is sent: a map of its own, since the jar adds to it, and since a transport may read it
// after RoundTrip has returned, as HTTP/2 does when a context ends. In the bridge it is the caller's alone.
func (p *pass) wireHeader(d *dispatch) http.Header {
	header := make(http.Header, len(d.request.Header)+2)
	for name, list := range d.request.Header {
		header[name] = slices.Clip(list)
	}
	if p.bridge != nil {
		return header
	}

	if _, found := header[contentTypeHeader]; !found && d.payload.contentType != "" {
		header[contentTypeHeader] = []string{d.payload.contentType}
	}
	if asksForGzip(p.settings.engine.transport()) {
		askForGzip(d.request, header)
	}
	return header
}

var gzipAlone = []string{"gzip"}

// askForGzip asks for what net/http's transport would ask for, by the transport's own rule. axle then decompresses the response, and
// can tell damaged data from a network that broke off.
func askForGzip(r *Request, header http.Header) {
	_, found := header["Accept-Encoding"]
	if !found && r.method() != http.MethodHead && header.Get("Range") == "" {
		header["Accept-Encoding"] = gzipAlone
	}
}

// newRequest makes out the net/http request to send. It is written out and not made by net/http, which would parse the URL again.
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

	if raw.ContentLength == 0 {
		_ = body.Close()
		raw.Body = http.NoBody
		raw.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	return nil
}

// check finds what the request cannot be sent with.
func (r *Request) check() error {
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

// receiveBody judges the status and reads the body, unless it is to be streamed.
func (p *pass) receiveBody(req *Request, resp *Response, limit *timeLimit) (*Response, *Error) {
	p.hand.Store(resp)
	validate := p.settings.validate
	if req.own.validate {
		validate = req.validate
	}
	accepted := validate == nil || validate(resp.StatusCode)
	upgraded := resp.StatusCode == http.StatusSwitchingProtocols
	switch {
	case resp.stream == nil:
		limit.end()
	case p.bridge != nil, req.stream && accepted:
		resp.stream.ReadCloser = limit.endWith(resp.stream.ReadCloser)
	case upgraded: // what follows is another protocol's
		resp.SetBytes(nil)
		limit.end()
	default:
		err := resp.buffer(limit.Context)
		limit.end()
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
