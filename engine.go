package axle

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/go-resty/resty/v2"

	"github.com/axlehttp/axle/internal/cookies"
)

// This file alone knows resty. The engine sends one dispatch and follows its redirects; what a call is, and what it means, is
// decided elsewhere.

// MaxRedirects is how many redirects one dispatch follows, unless [Client.SetMaxRedirects] says otherwise.
const MaxRedirects = 10

const userAgent = "axle/1"

type configureEngine = func(*resty.Client)

// engine is a resty client over one transport and jar. It is built once and then only used.
type engine struct {
	client     func() *resty.Client
	configured bool // by SetEngine: there may be hooks and settings of resty's own
}

// SetEngine configures the resty client beneath: the escape hatch for what axle has no setting for. The function runs at once,
// and again whenever a later setting rebuilds the engine. It must not keep the client.
//
// Of resty's own features, retries are switched off, since they would go round the interceptors, and the pre-request hook is
// axle's. What the engine itself adds to a request or logs is outside axle's care: handlers do not see it, and axle redacts
// nothing of it. A nil function removes the configuration.
func (c *Client) SetEngine(configure func(*resty.Client)) *Client {
	return c.update(func(s *settings) {
		s.configure = configure
		s.engine = nil
	})
}

func newEngine(transport http.RoundTripper, jar http.CookieJar, configure configureEngine) *engine {
	return &engine{configured: configure != nil, client: sync.OnceValue(func() *resty.Client {
		rc := resty.NewWithClient(&http.Client{Transport: transport, Jar: jar})
		if configure != nil {
			configure(rc)
		}
		rc.SetRetryCount(0)

		rc.SetPreRequestHook(func(_ *resty.Client, raw *http.Request) error {
			if f, ok := raw.Context().Value(flightKey{}).(*flight); ok {
				f.keepHeader(raw.Header)
				return f.attach(raw)
			}
			return nil
		})
		hc := rc.GetClient()
		hc.CheckRedirect = checkRedirect(hc.CheckRedirect)
		if configure != nil {
			// resty's http.Client cannot be exchanged for one request. So the cookies of a refresh are told from others below it.
			hc.Jar = cookies.Route(hc.Jar)
			hc.Transport = &cookies.Transport{RoundTripper: hc.Transport, Jar: hc.Jar}
		}
		return rc
	})}
}

// transport is what the engine sends through.
func (e *engine) transport() http.RoundTripper {
	transport := e.client().GetClient().Transport
	if staged, ok := transport.(*cookies.Transport); ok {
		return staged.RoundTripper
	}
	return transport
}

// flight is one dispatch on its way through the engine. It is the context of its request, so that the engine's hooks find it.
type flight struct {
	timeLimit
	request *Request
	header  http.Header
	payload payload
}

type flightKey struct{}

func (f *flight) Value(key any) any {
	if key == (flightKey{}) {
		return f
	}
	return f.Context.Value(key)
}

// send sends a dispatch in a fresh request and returns the answer to its last redirect, with the body unread. Where SetEngine has
// not configured the engine, resty's own request would add nothing to net/http's but its cost.
func (e *engine) send(f *flight, method string, u *url.URL) (*http.Response, error) {
	if e.asksForGzip() {
		f.askForGzip(method)
	}
	if !e.configured {
		fresh := http.Request{Method: method, URL: u, Host: u.Host, Header: f.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		raw := fresh.WithContext(f)
		if err := f.attach(raw); err != nil {
			return nil, err
		}
		hc := e.client().GetClient()
		if pending := cookies.PendingOf(f.Context); pending != nil {
			staged := *hc
			staged.Jar = pending.Over(hc.Jar)
			hc = &staged
		}
		return hc.Do(raw)
	}
	r := e.client().R().SetContext(f).SetDoNotParseResponse(true)
	r.Header = f.header
	answer, err := r.Execute(method, u.String())
	if answer == nil || answer.RawResponse == nil || err != nil {
		if answer != nil && answer.RawResponse != nil && answer.RawResponse.Body != nil {
			_ = answer.RawResponse.Body.Close()
		}
		if err == nil {
			err = errors.New("the engine returned no response")
		}
		return nil, err
	}
	cookies.PendingOf(f.Context).Unmark(answer.RawResponse.Header)
	return answer.RawResponse, nil
}

// asksForGzip reports whether the transport would ask for gzip by itself, and undo it out of axle's sight.
func (e *engine) asksForGzip() bool {
	t, ok := e.transport().(*http.Transport)
	return ok && t != nil && !t.DisableCompression
}

var gzipAlone = []string{"gzip"}

// askForGzip asks for what net/http's transport would ask for, by the transport's own rule. The answer is then decompressed by
// axle, which can tell damaged data from a network that broke off.
func (f *flight) askForGzip(method string) {
	if _, own := f.header["Accept-Encoding"]; own || method == http.MethodHead || f.header.Get("Range") != "" {
		return
	}
	f.header["Accept-Encoding"] = gzipAlone
}

// keepHeader undoes what resty makes of the User-Agent and the Content-Type.
func (f *flight) keepHeader(header http.Header) {
	if agent, own := f.request.Header["User-Agent"]; own {
		header["User-Agent"] = agent // an empty one sends none
	}
	if _, own := f.request.Header["Content-Type"]; !own && f.payload.open == nil {
		delete(header, "Content-Type")
	}
}

// attach puts the Host and the body on the net/http request: the body past the engine, which would copy it into memory.
func (f *flight) attach(raw *http.Request) error {
	if host := f.header.Get("Host"); host != "" {
		raw.Host = host
	}
	if f.payload.open == nil {
		raw.Body, raw.GetBody, raw.ContentLength = nil, nil, 0
		return nil
	}
	body, err := f.payload.open(f.Context)
	if err != nil {
		return err
	}
	raw.Body, raw.ContentLength = body, f.payload.length
	raw.GetBody = func() (io.ReadCloser, error) { return f.payload.open(f.Context) }
	if isSentOnce(f.request.Body) {
		sending := &resending{request: f.request}
		sending.watch(raw)
		raw.GetBody = func() (io.ReadCloser, error) {
			body, err := f.payload.open(f.Context)
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

// checkRedirect rules over each redirect before it is followed: its scheme, its number, its method (RFC 9110 §15.4), the
// credentials that stay behind, and then what the engine's and the request's own checks say.
func checkRedirect(engines func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) (err error) {
		defer func() {
			if err == http.ErrUseLastResponse && next.Body != nil { //nolint:errorlint // net/http compares so too, and then closes nothing
				_ = next.Body.Close()
			}
		}()
		f, ok := via[0].Context().Value(flightKey{}).(*flight)
		if !ok {
			return http.ErrUseLastResponse
		}
		last := via[len(via)-1]
		if next.URL.Scheme != "http" && next.URL.Scheme != "https" {
			return invalidURL(f.request, fmt.Sprintf("a redirect to the scheme %q", next.URL.Scheme))
		}
		switch most := f.request.pass.settings.maxRedirects; {
		case most == 0:
			return http.ErrUseLastResponse
		case len(via) > most:
			return &Error{Code: CodeTooManyRedirects, Message: fmt.Sprintf("more than %d redirects", most), Request: f.request}
		}
		keepRedirectEscapes(next, last)
		if err := keepMethod(next, last, via[0], f); err != nil {
			return err
		}
		if crossedOrigin(via, next) {
			f.request.stripCredentials(next.Header)
			dropForeignReferer(next.Header, placeOf(next))
		}
		for _, check := range []func(*http.Request, []*http.Request) error{engines, f.request.redirect} {
			if check != nil {
				if err := check(next, via); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// keepMethod undoes what net/http does beyond RFC 9110 §15.4 on a 301 or 302: it changes any method to GET, where POST alone is
// meant, and takes the body of a request whose method stays, for that hop and all that follow.
func keepMethod(next, last, first *http.Request, f *flight) error {
	if next.Response == nil {
		return nil
	}
	switch next.Response.StatusCode {
	case http.StatusSeeOther:
		return nil
	case http.StatusMovedPermanently, http.StatusFound:
		if last.Method == http.MethodPost {
			return nil
		}
	}
	next.Method = last.Method
	if f.payload.open == nil || last.GetBody == nil || next.GetBody != nil {
		return nil
	}
	body, err := first.GetBody()
	if err != nil {
		return err
	}
	next.Body, next.GetBody, next.ContentLength = body, first.GetBody, first.ContentLength
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"} {
		if list, ok := first.Header[name]; ok {
			next.Header[name] = list
		}
	}
	return nil
}
