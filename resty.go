package axle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"

	"github.com/go-resty/resty/v2"

	"github.com/axlehttp/axle/internal/cookies"
)

// This file is the second engine, and alone knows resty. No line of it runs before
// [Client.SetEngine].

// SetEngine puts a resty client in the place of net/http's, beneath the chains: the escape hatch
// for what axle has no setting for, such as resty's hooks, middleware, debug log, trace, digest
// authentication and TLS settings. The function configures that client. It runs at once, and again
// whenever a later setting rebuilds the engine. It must not keep the client. A nil function puts
// net/http back.
//
// The resty client sends what the chains have made of a call. Its OnBeforeRequest hooks see the
// method, the URL and the header, and may change the URL and the header; the body is axle's. Its
// OnAfterResponse hooks see the response with its body, before any response handler does. As in
// resty itself, they do not run where the body is left unread: for a streamed call. Since resty has
// read the body by then, [Request.OnDownloadProgress] tells the end alone.
//
// Two of resty's own features are off. Its retries would go round the interceptors, and its
// pre-request hook is axle's. What resty adds to a request, and what it logs, is outside axle's
// care: handlers do not see it, and axle redacts nothing of it. Behind [Client.RoundTripper] only
// the transport of the resty client is used.
func (c *Client) SetEngine(configure func(*resty.Client)) *Client {
	return c.update(func(s *settings) {
		s.configure = configure
		s.engine = nil
	})
}

type configureEngine = func(*resty.Client)

// restyEngine sends by a resty client. The client is made when it is first asked for, since that
// runs the user's code.
type restyEngine struct{ made func() restyClient }

type restyClient struct {
	*resty.Client
	transport http.RoundTripper // beneath axle's own
}

func newRestyEngine(transport http.RoundTripper, jar http.CookieJar, configure configureEngine) *restyEngine {
	return &restyEngine{made: sync.OnceValue(func() restyClient {
		rc := resty.NewWithClient(&http.Client{Transport: transport, Jar: jar})
		configure(rc)
		return beneathChains(rc)
	})}
}

// beneathChains takes a resty client over for the use beneath the chains.
func beneathChains(rc *resty.Client) restyClient {
	hc := rc.GetClient()
	transport := hc.Transport
	hc.CheckRedirect = checkRedirectToo(hc.CheckRedirect)

	// The http.Client cannot be exchanged for one request. So the cookies of a refresh are told
	// from others below it.
	hc.Jar = cookies.Route(hc.Jar)
	ownTransport := func() {
		if _, ok := hc.Transport.(*restyTransport); !ok {
			hc.Transport = &restyTransport{cookies.Transport{RoundTripper: hc.Transport, Jar: hc.Jar}}
		}
	}
	ownTransport()

	rc.SetRetryCount(0)
	rc.SetPreRequestHook(func(_ *resty.Client, raw *http.Request) error {
		// resty's digest authentication changes the transport for each request, in a hook.
		ownTransport()

		d, ok := raw.Context().Value(dispatchKey{}).(*dispatch)
		if !ok {
			return nil
		}
		restoreHeader(d, raw.Header)
		return d.attach(raw)
	})
	return restyClient{rc, transport}
}

// restoreHeader undoes what resty makes of the User-Agent and the Content-Type that a request does
// not have.
func restoreHeader(d *dispatch, header http.Header) {
	// An empty User-Agent stands for none, and resty would put its own there.
	if agent, found := d.request.Header["User-Agent"]; found {
		header["User-Agent"] = agent
	}
	if _, found := d.request.Header[contentTypeHeader]; !found && d.payload.open == nil {
		delete(header, contentTypeHeader)
	}
}

func (e *restyEngine) transport() http.RoundTripper { return e.made().transport }

func (e *restyEngine) send(d *dispatch) (*http.Response, error) {
	received := &restyBody{isStream: d.request.stream}
	r := e.made().R().SetContext(context.WithValue(d, restyBodyKey{}, received))
	r.Header = d.header
	r.SetDoNotParseResponse(received.isStream)
	if limit := d.request.settings().responseLimit; limit > 0 {
		r.SetResponseBodyLimit(int(min(limit, math.MaxInt)))
	}

	response, err := r.Execute(d.request.method(), d.url.String())
	if response == nil || response.RawResponse == nil {
		if err == nil {
			err = errors.New("resty returned no response")
		}
		return nil, err
	}

	raw := response.RawResponse
	cookies.PendingOf(d.Context).Unmark(raw.Header)
	switch {
	case received.failed != nil, errors.Is(err, resty.ErrResponseBodyTooLarge):
		// axle reads the same once more and finds the same fault, for which it has an error of its
		// own.
		raw.Body = received.again()
	case err != nil:
		closeBody(raw)
		return nil, err
	case !received.isStream:
		received.giveBack(raw, response.Body())
	}
	return raw, nil
}

func closeBody(raw *http.Response) {
	if raw.Body != nil {
		_ = raw.Body.Close()
	}
}

// restyTransport is the transport of the http.Client beneath resty. It prepares each response for
// resty to read.
type restyTransport struct{ cookies.Transport }

// RoundTrip implements http.RoundTripper.
func (t *restyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := t.Transport.RoundTrip(r)
	if err != nil {
		return raw, err
	}
	d, _ := r.Context().Value(dispatchKey{}).(*dispatch)
	received, _ := r.Context().Value(restyBodyKey{}).(*restyBody)
	if d != nil && received != nil && !received.isStream && raw != nil && raw.Body != nil {
		received.takeOver(raw, d)
	}
	return raw, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (t *restyTransport) CloseIdleConnections() {
	type closer interface{ CloseIdleConnections() }
	if inner, ok := t.RoundTripper.(closer); ok {
		inner.CloseIdleConnections()
	}
}

// restyBody stands between a response's body and resty, which reads the body for its hooks and its
// debug log. axle gets from resty what it has read. If the reading fails, resty forgets what came
// before, and axle does not: restyBody keeps it.
type restyBody struct {
	io.ReadCloser
	isStream bool // resty leaves the body unread

	read     bytes.Buffer
	failed   error         // what the reading has ended with, except for io.EOF
	upgraded io.ReadCloser // the connection of a 101, which resty must not read
	encoding []string      // the Content-Encoding, which resty must not see
}

type restyBodyKey struct{}

// takeOver makes resty read the body through b. It is called for each response, that of a redirect
// too.
func (b *restyBody) takeOver(raw *http.Response, d *dispatch) {
	b.read.Reset()
	b.failed, b.upgraded, b.encoding = nil, nil, nil
	if raw.StatusCode == http.StatusSwitchingProtocols {
		b.upgraded, raw.Body = raw.Body, http.NoBody
		return
	}

	// resty decodes gzip by a rule of its own, which fails for a range, for several encodings, and
	// for the response to a HEAD.
	b.ReadCloser, raw.Body = decodeGzip(d.request, raw), b
	b.encoding = raw.Header["Content-Encoding"]
	delete(raw.Header, "Content-Encoding")
}

// Read implements io.Reader.
func (b *restyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	if err != nil && err != io.EOF { //nolint:errorlint // an error around io.EOF is an error of the body's
		b.failed = err
	}
	return n, err
}

// giveBack puts the body on the response that resty has read from there. A hook may have put
// another body in its place.
func (b *restyBody) giveBack(raw *http.Response, body []byte) {
	if b.encoding != nil {
		raw.Header["Content-Encoding"] = b.encoding
	}
	if b.upgraded != nil {
		raw.Body = b.upgraded
		return
	}
	if !bytes.Equal(body, b.read.Bytes()) {
		raw.ContentLength = -1
	}
	raw.Body = io.NopCloser(bytes.NewReader(body))
}

// again returns what was read of a body, and the error that the reading ended with.
func (b *restyBody) again() io.ReadCloser {
	return io.NopCloser(io.MultiReader(&b.read, failingReader{b.failed}))
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) {
	if r.err == nil {
		return 0, io.EOF
	}
	return 0, r.err
}
