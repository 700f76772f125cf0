package axle

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/rewind"
)

// RoundTripper returns the client's two chains as a net/http transport: it runs them once for each request that it is given,
// over the client's transport, and with the settings of that time.
//
// It keeps net/http's contract. The request is not modified and its body is always closed; bodies stream both ways; redirects,
// 101 and refused statuses that no handler recovered come back as responses, for the [http.Client] above to treat; a handler's
// own error stays an error. Cookies are that http.Client's jar's business alone.
func (c *Client) RoundTripper() http.RoundTripper { return bridge{client: c} }

// HTTPClient returns an http.Client over [Client.RoundTripper], with the client's cookie jar as it stands: the one line that
// plugs axle into a generated SDK.
//
// It takes absolute URLs alone, as any http.Client does: the base URL only decides which origin is the client's own.
//
// The jar gets the cookies of every answer, also of one that a handler replays or replaces. A replay sends the cookies that the jar has
// by then, which a refresh may have changed, and the caller's own as they were. Behind a bare RoundTripper, whose jar is
// unknown, a replay sends the cookies that it was given.
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
	url     string         // the request's, as text
	jar     http.CookieJar // of the http.Client above; nil: unknown
	jars    jarCookies     // what of the request's cookies is the jar's
	crossed bool           // it follows a redirect that left its origin
	given   Request        // the request as axle has it
}

// isAt reports whether a request goes to the URL that was given. Outside the bridge it does not.
func (h *hop) isAt(r *Request) bool { return h != nil && r.URL == h.url }

// RoundTrip runs both chains for one request.
func (b bridge) RoundTrip(orig *http.Request) (*http.Response, error) {
	body := rewind.OfRequest(orig)
	if orig.URL == nil {
		if orig.Body != nil {
			_ = orig.Body.Close()
		}
		return nil, invalidURL(&Request{Method: orig.Method, client: b.client, ctx: orig.Context()}, "the request has no URL")
	}
	pending := cookies.PendingOf(orig.Context())
	given := pending.Apply(b.jar, orig)
	start := &struct {
		call
		pass
		hop
	}{hop: hop{Request: given, url: given.URL.String(), jar: pending.Over(b.jar), crossed: redirectedAcross(orig)}}
	start.bridge = &start.hop
	start.given = Request{
		Method: orig.Method, URL: start.url, Header: given.Header, client: b.client, ctx: orig.Context(), stream: true,
	}
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
	out := resp.netHTTP(orig)
	pending.Mark(b.jar, out)
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
func (r *Response) netHTTP(orig *http.Request) *http.Response {
	out := &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	if r.raw != nil {
		if r.raw.Trailer == nil && (r.raw.ContentLength < 0 || r.raw.ProtoMajor > 1) {
			r.raw.Trailer = http.Header{} // net/http adds unannounced ones to the original, when the body has been read
		}
		*out = *r.raw
	}
	out.Request, out.Status, out.StatusCode, out.Header = orig, r.Status, r.StatusCode, r.Header
	out.Body = r.Stream()
	if out.Header == nil { // a handler wrote the Response by hand, and net/http promises a header
		out.Header = http.Header{}
	}

	switch {
	case orig.Method == http.MethodHead:
		r.leaveOutBody(out)
		if r.raw == nil {
			out.ContentLength = saidLength(r.Header)
		}
	case r.StatusCode == http.StatusNoContent, r.StatusCode == http.StatusNotModified:
		r.leaveOutBody(out)
		out.ContentLength = 0
	case r.stream == nil:
		setLength(out, int64(len(r.body)))
	case r.stream.isReplaced:
		length := saidLength(r.Header)
		if r.raw != nil && length == r.raw.ContentLength { // it was said of the stream before
			length = -1
		}
		setLength(out, length)
	}
	return out
}

// leaveOutBody leaves an answer without the body that it must not have (RFC 9110 §6.4.1), whatever a handler put there.
func (r *Response) leaveOutBody(out *http.Response) {
	switch {
	case r.stream == nil:
		out.Body = http.NoBody
	case r.stream.isReplaced:
		out.Body = struct {
			io.Reader
			io.Closer
		}{http.NoBody, r.stream}
	}
}

// saidLength is the number that a Content-Length header says; -1: it says none.
func saidLength(header http.Header) int64 {
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return -1
	}
	return length
}

// setLength gives out a length in both places where net/http has it; -1: unknown. The header says it only if it said one before.
func setLength(out *http.Response, length int64) {
	out.ContentLength = length
	said := out.Header["Content-Length"]
	if said == nil || length >= 0 && slices.Equal(said, []string{strconv.FormatInt(length, 10)}) {
		return
	}

	out.Header = out.Header.Clone()
	if length < 0 {
		delete(out.Header, "Content-Length")
		return
	}
	out.Header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
}

// transmitBridge sends the request as the handlers left it, past the engine's redirects and jar.
func (p *pass) transmitBridge(d *dispatch) (*http.Response, error) {
	out := p.bridge.WithContext(d.Context)
	out.URL, out.Header = d.url, d.header
	if method := d.request.method(); !strings.EqualFold(method, out.Method) { // else it is sent as it was given
		out.Method = method
	}
	if d.url.Host != p.bridge.URL.Host {
		out.Host = ""
	}
	out.Body, out.GetBody = nil, nil
	if err := d.attach(out); err != nil {
		return nil, err
	}
	answer, err := p.settings.engine.transport().RoundTrip(out)
	if err != nil {
		return nil, err
	}
	if err := completeAnswer(answer, out.Method); err != nil {
		return nil, err
	}
	p.keepCookies(out, answer)
	return answer, nil
}

// completeAnswer fills in what a transport of the user's own may leave out, and refuses what cannot be an answer, as an
// http.Client does. Outside the bridge the engine's http.Client does that itself.
func completeAnswer(answer *http.Response, method string) error {
	switch {
	case answer == nil:
		return errors.New("the transport returned neither an answer nor an error")
	case answer.Body == nil && answer.ContentLength > 0 && method != http.MethodHead:
		return fmt.Errorf("the transport returned an answer of %d bytes without a body", answer.ContentLength)
	}

	if answer.Body == nil {
		answer.Body = http.NoBody
	}
	if answer.Header == nil {
		answer.Header = http.Header{}
	}
	return nil
}

// keepCookies gives the cookies that an answer sets to the jar of the http.Client above, which itself sees the last answer alone, and
// only if no handler replaces it. They are kept before the response handlers run: what a refresh sets in one of those is
// newer. The answer that reaches the http.Client is then kept by that once more, as it would be without axle.
func (p *pass) keepCookies(sent *http.Request, answer *http.Response) {
	if p.bridge.jar == nil || len(p.responses) == 0 || len(answer.Header["Set-Cookie"]) == 0 {
		return
	}
	if list := answer.Cookies(); len(list) > 0 {
		p.bridge.jar.SetCookies(cookies.URLOf(sent), list)
	}
}

// resolve is the URL to send to: in the bridge the given one itself, unless a handler or a default changed it.
func (p *pass) resolve(req *Request) (*url.URL, *Error) {
	if b := p.bridge; b.isAt(req) {
		switch b.URL.Scheme {
		case "http", "https":
		case "":
			return nil, invalidURL(req, "the URL is not absolute, and an http.Client joins none to the client's base URL")
		default:
			return nil, invalidURL(req, fmt.Sprintf("the URL has the scheme %q: only http and https are sent", b.URL.Scheme))
		}

		if len(req.Query) == 0 {
			return b.URL, nil
		}
	}
	return req.resolve()
}

// dropAcrossOrigins removes the credentials of a request that follows a redirect to another origin, or that a handler sends
// elsewhere than the redirect leads. Its cookies are from the jar above, which knows where they belong.
func (p *pass) dropAcrossOrigins(req *Request, u *url.URL) {
	h := p.bridge
	if h.Response == nil {
		return // it is the first request
	}
	target, given := req.destination(u), placeOf(h.Request)
	if h.crossed || target != given {
		dropForeignReferer(req.Header, target)
	}
	if !h.crossed {
		return
	}

	req.stripCredentials(req.Header)
	if target != given {
		return
	}
	if kept := h.withoutCallersCookies(); kept != nil { // and not what a handler made of them
		req.Header["Cookie"] = kept
		h.renewCookies(req.Header, h.jars)
	}
}

// withoutCallersCookies is the Cookie header of a request that follows a redirect to another origin, without the cookies that the caller
// wrote: the http.Client copies those to each hop of the same host, whatever its port and scheme, and adds its jar's.
//
// A cookie is the caller's if the first request had it, unless the jar has it for this URL. Where the jar is unknown, a
// request that has come back to its first origin keeps its cookies: whosever they are, they belong there.
func (h *hop) withoutCallersCookies() []string {
	first := h.Request
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	if h.jar == nil && placeOf(first) == placeOf(h.Request) {
		return slices.Clone(h.Header["Cookie"])
	}

	written := cookiePairs(first.Header["Cookie"])
	var jars []*http.Cookie
	if h.jar != nil {
		jars = h.jar.Cookies(cookies.URLOf(h.Request))
	}
	kept := slices.DeleteFunc(cookiePairs(h.Header["Cookie"]), func(pair string) bool {
		isSame := func(other string) bool { return isSameCookie(pair, other) }
		isJars := func(c *http.Cookie) bool { return isSameCookie(pair, c.Name+"="+c.Value) }
		return slices.ContainsFunc(written, isSame) && !slices.ContainsFunc(jars, isJars)
	})
	if len(kept) == 0 {
		return nil
	}
	return []string{strings.Join(kept, "; ")}
}

// isSameCookie compares two cookies of Cookie headers. net/http may take the quotes off a value that it copies.
func isSameCookie(a, b string) bool {
	nameA, valueA, _ := strings.Cut(a, "=")
	nameB, valueB, _ := strings.Cut(b, "=")
	return nameA == nameB && strings.Trim(valueA, `"`) == strings.Trim(valueB, `"`)
}

// jarCookies is the end of a Cookie header that the http.Client above has added to what the caller wrote there: its jar's cookies.
type jarCookies struct {
	known bool
	text  string
}

// noteCookies tells the jar's cookies in the request's Cookie header from the caller's, while the jar still has what it gave.
func (h *hop) noteCookies() jarCookies {
	list := h.Header["Cookie"]
	switch {
	case h.jar == nil:
		return jarCookies{}
	case len(list) == 0:
		return jarCookies{known: true}
	}

	now := h.jar.Cookies(cookies.URLOf(h.Request))
	text := cookieText(now)
	if _, ok := cutCookies(list[0], text); ok {
		return jarCookies{known: true, text: text}
	}

	// Another call has changed the jar meanwhile. The cookies that stand last and have names of the jar's are the jar's.
	rest := list[0]
	for rest != "" {
		i := strings.LastIndex(rest, "; ")
		name, _, _ := strings.Cut(strings.TrimPrefix(rest[max(i, 0):], "; "), "=")
		if !slices.ContainsFunc(now, func(c *http.Cookie) bool { return c.Name == name }) {
			break
		}
		rest = rest[:max(i, 0)]
	}
	return jarCookies{known: true, text: strings.TrimPrefix(list[0][len(rest):], "; ")}
}

// renewCookies puts the cookies that the jar has now in the place of those that it gave a request before. Whatever else the Cookie
// header has is the caller's, and stays byte for byte. It returns what is the jar's now.
func (h *hop) renewCookies(header http.Header, before jarCookies) jarCookies {
	if h == nil || !before.known {
		return jarCookies{}
	}
	list, given := header["Cookie"], ""
	if len(list) > 0 {
		given = list[0]
	}
	written, found := cutCookies(given, before.text)
	if !found {
		return before // a replay's edit has written another header
	}

	now := cookieText(h.jar.Cookies(cookies.URLOf(h.Request)))
	renewed := written
	if written != "" && now != "" {
		renewed += "; "
	}
	renewed += now
	switch {
	case renewed != "":
		header["Cookie"] = append([]string{renewed}, list[min(len(list), 1):]...)
	case len(list) > 1:
		header["Cookie"] = slices.Clone(list[1:])
	default:
		delete(header, "Cookie")
	}
	return jarCookies{known: true, text: now}
}

// cookieText is what net/http makes of cookies in a header that has none.
func cookieText(list []*http.Cookie) string {
	r := http.Request{Header: http.Header{}}
	for _, c := range list {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// cutCookies takes the cookies at the end of a Cookie header away, as they were added there; false: they are not there.
func cutCookies(header, added string) (rest string, found bool) {
	if added == "" || header == added {
		return strings.TrimSuffix(header, added), true
	}
	return strings.CutSuffix(header, "; "+added)
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
	return crossedOrigin(via, r)
}
