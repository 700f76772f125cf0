package axle

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/cookies"
)

// RoundTripper returns the client's two chains as a net/http transport: it runs them once for each request that it is given,
// over the client's transport, and with the settings of that time.
//
// It keeps net/http's contract. The request is not modified and its body is always closed; bodies stream both ways; redirects,
// 101 and refused statuses that no handler recovered come back as responses, for the [http.Client] above to treat; a handler's
// own error stays an error. Cookies are that http.Client's jar's business alone.
func (c *Client) RoundTripper() http.RoundTripper { return bridge{client: c} }

// HTTPClient returns an http.Client over [Client.RoundTripper], with the client's cookie jar as it stands: the one line that
// plugs axle into a generated SDK. A replay brings its request's cookies up to date with that jar, which a refresh may have
// changed; one behind a bare RoundTripper sends the cookies that it was given.
func (c *Client) HTTPClient() *http.Client {
	jar := cookies.Route(c.settings.Load().jar)
	return &http.Client{Transport: bridge{c, jar}, Jar: jar}
}

type bridge struct {
	client *Client
	jar    http.CookieJar // of the http.Client above, if it is known
}

// hop is one round trip that the http.Client above asks for.
type hop struct {
	*http.Request
	url     string         // the request's, as text; empty where nobody sees it
	jar     http.CookieJar // of the http.Client above; nil: unknown
	crossed bool           // it follows a redirect that left its origin
	given   Request        // the request as axle has it
	sent    http.Request   // what the transport gets at the first attempt
	answer  http.Response  // what the http.Client gets back of that
}

// isSentAsGiven reports whether axle itself changes nothing of the request's header and query: it adds no default, and removes no
// credential. Outside the bridge it is false.
func (h *hop) isSentAsGiven(s *settings) bool {
	if h == nil || h.crossed || len(s.header)+len(s.methodHeader)+len(s.query) > 0 {
		return false
	}
	for name, list := range h.Header {
		if isProxyCredential(name, list) {
			return false
		}
	}
	return true
}

// spell writes the URL out for who may see it.
func (h *hop) spell(r *Request) {
	h.url = h.URL.String()
	r.URL = h.url
}

// isAt reports whether a request goes to the URL that was given. Outside the bridge it does not.
func (h *hop) isAt(r *Request) bool { return h != nil && r.URL == h.url }

// RoundTrip runs both chains for one request.
func (b bridge) RoundTrip(orig *http.Request) (*http.Response, error) {
	body := newBodyOf(orig)
	if orig.URL == nil {
		if orig.Body != nil {
			_ = orig.Body.Close()
		}
		return nil, invalidURL(&Request{Method: orig.Method, client: b.client, ctx: orig.Context()}, "the request has no URL")
	}
	stage := cookies.StageOf(orig.Context())
	given := stage.Adopt(b.jar, orig)
	start := &struct {
		call
		pass
		hop
	}{hop: hop{Request: given, jar: stage.Over(b.jar), crossed: redirectedAcross(orig)}}
	start.bridge = &start.hop
	start.given = Request{Method: orig.Method, Header: given.Header, client: b.client, ctx: orig.Context(), stream: true}
	if body != nil {
		start.given.Body = body
	}
	resp, err := b.client.start(&start.call, &start.pass, &start.given)
	if err != nil {
		if !err.refused {
			err.Response.close()
			return nil, err
		}
		resp = err.Response
	}
	out := &start.answer
	if start.attempts.Load() > 1 { // it would keep the attempts before for as long as its body is read
		out = new(http.Response)
	}
	resp.netHTTP(out, orig)
	stage.Mark(b.jar, out)
	return out, nil
}

// endedAbove is the error of a request that the http.Client above the bridge has called off by closing its Cancel channel. That
// is how http.Client.Timeout ends a round trip over a transport that net/http does not know: the channel may be closed before
// the context, which has the same deadline, has ended.
func (r *Request) endedAbove(err error) *Error {
	if r.pass == nil || r.pass.bridge == nil {
		return nil
	}
	above := r.pass.bridge.Request
	select {
	case <-above.Cancel: //nolint:staticcheck // deprecated, and still what http.Client uses
	default:
		return nil
	}

	if deadline, ok := above.Context().Deadline(); ok && !time.Now().Before(deadline) {
		return &Error{Code: CodeTimeout, Request: r, Err: fmt.Errorf("%w: the http.Client's", errTimeout)}
	}
	return &Error{Code: CodeCanceled, Request: r, Err: withoutURL(err)}
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (b bridge) CloseIdleConnections() {
	type closer interface{ CloseIdleConnections() }
	if t, ok := b.client.settings.Load().engine.transport().(closer); ok {
		t.CloseIdleConnections()
	}
}

// netHTTP makes out the response as net/http has it: the raw one, with what the handlers made of it.
func (r *Response) netHTTP(out *http.Response, orig *http.Request) {
	*out = http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	if r.raw != nil {
		if r.raw.Trailer == nil && (r.raw.ContentLength < 0 || r.raw.ProtoMajor > 1) {
			r.raw.Trailer = http.Header{} // net/http adds unannounced ones to the original, when the body has been read
		}
		*out = *r.raw
	}
	out.Request, out.Status, out.StatusCode, out.Header = orig, r.Status, r.StatusCode, r.Header
	if out.Body = r.Stream(); r.stream == nil && orig.Method != http.MethodHead && r.StatusCode != http.StatusNotModified {
		out.ContentLength = int64(len(r.body))
		length := strconv.Itoa(len(r.body))
		if said := r.Header["Content-Length"]; said != nil && !slices.Equal(said, []string{length}) { // a handler has changed the body
			out.Header = r.Header.Clone()
			out.Header["Content-Length"] = []string{length}
		}
	}
}

// transmitBridge sends the request as the handlers left it, past the engine's redirects and jar.
func (p *pass) transmitBridge(f *flight, u *url.URL) (*http.Response, error) {
	out := &p.bridge.sent
	if f.request.attempt > 1 { // a transport may still be at the one before
		out = new(http.Request)
	}
	*out = *p.bridge.WithContext(f.Context) // inlined, so that this is the only copy
	out.URL, out.Header = u, f.header
	if method := f.request.method(); !strings.EqualFold(method, out.Method) { // else it is sent as it was given
		out.Method = method
	}
	if u.Host != p.bridge.URL.Host {
		out.Host = ""
	}
	out.Body, out.GetBody = nil, nil
	if err := f.attach(out); err != nil {
		return nil, err
	}
	return p.settings.engine.transport().RoundTrip(out)
}

// resolve is the URL to send to: in the bridge the given one itself, unless a handler or a default changed it.
func (p *pass) resolve(req *Request) (*url.URL, *Error) {
	if b := p.bridge; b.isAt(req) {
		if b.URL.Scheme != "http" && b.URL.Scheme != "https" {
			return nil, invalidURL(req, "only http and https are sent")
		}
		if len(req.Query) == 0 {
			return b.URL, nil
		}
	}
	return req.resolve()
}

// dropAcrossOrigins removes the credentials of a request that follows a redirect to another origin. Its cookies are from the
// jar above, which knows where they belong.
func (p *pass) dropAcrossOrigins(header http.Header) {
	if p.bridge == nil || !p.bridge.crossed {
		return
	}
	_, ok := header["Cookie"]
	p.settings.stripSensitive(header)
	if given := p.bridge.Header["Cookie"]; ok && given != nil {
		header["Cookie"] = slices.Clone(given) // and not what a handler made of them
		p.renewCookies(header)
	}
}

// renewCookies puts the jar's cookies in the place of those that it gave the request at first.
func (p *pass) renewCookies(header http.Header) {
	if p.bridge == nil || p.bridge.jar == nil {
		return
	}
	now := p.bridge.jar.Cookies(p.bridge.URL)
	fromJar := func(c *http.Cookie) bool {
		return slices.ContainsFunc(now, func(n *http.Cookie) bool { return n.Name == c.Name })
	}
	given := slices.DeleteFunc((&http.Request{Header: header}).Cookies(), fromJar)
	renewed := &http.Request{Header: http.Header{}}
	for _, c := range slices.Concat(given, now) {
		renewed.AddCookie(c)
	}
	if list := renewed.Header["Cookie"]; list != nil {
		header["Cookie"] = list
	}
}

// redirectedAcross reports whether an http.Client made r of a redirect that left the first request's origin, on whichever hop.
func redirectedAcross(r *http.Request) bool {
	var via []*http.Request
	for last := r; last.Response != nil && last.Response.Request != nil; {
		last = last.Response.Request
		via = append(via, last)
	}
	if len(via) == 0 {
		return false
	}
	slices.Reverse(via)
	return crossedOrigin(via, r.URL)
}
