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

// RoundTripper returns the client's two chains as a net/http transport: it runs them once for each
// request that it is given, over the client's transport, and with the settings of that time.
//
// It keeps net/http's contract. The request is not modified, its body is always closed, and bodies
// stream both ways. Redirects, 101 and refused statuses come back as responses if no handler
// recovered from them, and the [http.Client] above treats them as always. An error that a handler
// made stays an error. Only the cookie jar of that http.Client handles cookies.
func (c *Client) RoundTripper() http.RoundTripper { return bridge{client: c} }

// HTTPClient returns an http.Client over [Client.RoundTripper]. It has the cookie jar that the
// client has at this moment. Give it to a generated SDK to put the chains under that SDK.
//
// It takes absolute URLs alone, as any http.Client does: the base URL only decides which origin is
// the client's own.
//
// The jar gets the cookies of every response, also of one that a handler replays or replaces. A
// replay sends the cookies that the jar has by then, which a refresh may have changed, and the
// caller's own as they were. Behind a bare RoundTripper, whose jar is unknown, a replay sends the
// cookies that it was given.
//
// In a browser it has no jar, since the browser keeps the cookies, follows the redirects, and has a
// User-Agent of its own.
func (c *Client) HTTPClient() *http.Client {
	s := c.settings.Load()
	if s.usesFetch() {
		return &http.Client{Transport: bridge{client: c}}
	}
	jar := cookies.Route(s.jar)
	return &http.Client{Transport: bridge{c, jar}, Jar: jar}
}

// bridge is the RoundTripper. Each request that it is given is a call of its own.
type bridge struct {
	client *Client
	jar    http.CookieJar // of the http.Client above, if it is known
}

// inbound is what the rest of a call has to know of the request that the bridge was given. Outside
// the bridge it is notBridged.
type inbound struct {
	// verbatim says that the request goes out, and the response comes in, as it is: axle adds no
	// header and decodes no body.
	verbatim bool

	crossed bool     // the request follows a redirect that left its origin
	url     *url.URL // nil outside the bridge
	text    string   // url as text: Request.URL, until a handler changes that
	host    string   // http.Request.Host
}

var notBridged inbound

// isURLOf reports whether a request goes to the URL that was given.
func (in *inbound) isURLOf(r *Request) bool { return in.url != nil && r.URL == in.text }

// hasHostOf reports whether the Host that was given belongs to u.
func (in *inbound) hasHostOf(u *url.URL) bool { return in.url != nil && u.Host == in.url.Host }

// refuseScheme says why the URL that was given cannot be sent; empty if it can.
func (in *inbound) refuseScheme() string {
	switch in.url.Scheme {
	case "http", "https":
		return ""
	case "":
		return "the URL is not absolute, and an http.Client joins none to the client's base URL"
	}
	return fmt.Sprintf("the URL has the scheme %q: only http and https are sent", in.url.Scheme)
}

// bridgedRequest is what the http.Client above gave to the bridge. It is the sender of the call that
// it starts.
type bridgedRequest struct {
	*http.Request
	jar        http.CookieJar // of the http.Client above; nil if it is unknown
	jarCookies *jarCookies    // the cookies of the request that are from jar
	request    Request        // the request as axle has it
	inbound    inbound
}

// RoundTrip runs both chains for one request.
func (b bridge) RoundTrip(orig *http.Request) (*http.Response, error) {
	body := rewind.OfRequest(orig)
	if orig.URL == nil {
		if orig.Body != nil {
			_ = orig.Body.Close()
		}
		req := &Request{Method: orig.Method, client: b.client, ctx: orig.Context()}
		return nil, invalidURL(req, "the request has no URL")
	}

	// The requests of a refresh carry the cookies that wait for the refresh's outcome.
	pending := cookies.PendingOf(orig.Context())
	applied := pending.Apply(b.jar, orig)

	// The call, its first pass and its sender are one allocation.
	memory := &struct {
		call
		pass
		bridgedRequest
	}{
		call: call{settings: b.client.settings.Load()},
		bridgedRequest: bridgedRequest{
			Request: applied, jar: pending.Over(b.jar),
			inbound: inbound{
				verbatim: true,
				url:      applied.URL, text: applied.URL.String(), host: applied.Host,
				crossed: redirectedAcross(orig),
			},
		},
	}
	bridged, k := &memory.bridgedRequest, &memory.call
	k.inbound, k.sender = &bridged.inbound, bridged
	bridged.jarCookies = bridged.noteCookies()
	memory.pass.jarCookies = bridged.jarCookies
	bridged.request = Request{
		Method: applied.Method, URL: bridged.inbound.text, Header: applied.Header,
		client: b.client, ctx: applied.Context(), stream: true,
	}
	if body != nil {
		bridged.request.Body = body
	}

	// A refused status is an error in the chains. To the http.Client above it is a response.
	defer k.end.leave(&memory.merged)
	resp, err := b.client.start(k, &memory.pass, &bridged.request)
	k.end.response, k.end.err = resp, err
	if err != nil {
		if !err.refused {
			err.Response.close()
			return nil, err
		}
		resp = err.Response
	}

	out := resp.netHTTP(orig)
	if out.Body != http.NoBody {
		out.Body = k.end.leaveWith(out.Body, true)
	}
	pending.Mark(b.jar, out)
	return out, nil
}

// redirectedAcross reports whether r follows a redirect that has left the origin of the first
// request. It may be an earlier redirect than the last.
func redirectedAcross(r *http.Request) bool {
	var via []*http.Request
	for last := r; last.Response != nil && last.Response.Request != nil; {
		last = last.Response.Request
		via = append(via, last)
	}
	if len(via) == 0 {
		return false
	}
	return crossedOrigin(via, r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (b bridge) CloseIdleConnections() {
	type closer interface{ CloseIdleConnections() }
	if t, ok := b.client.settings.Load().engine.transport().(closer); ok {
		t.CloseIdleConnections()
	}
}

// send sends the request as the handlers left it. It sends through the transport of the engine, so
// that the engine neither follows redirects nor adds cookies.
func (b *bridgedRequest) send(d *dispatch) (*http.Response, error) {
	out := b.WithContext(d.Context)
	out.URL, out.Header = d.url, d.header

	// A method in lower case goes out as it was given.
	if method := d.request.method(); !strings.EqualFold(method, out.Method) {
		out.Method = method
	}

	// The caller's Host belongs to the caller's URL.
	if d.url.Host != b.URL.Host {
		out.Host = ""
	}
	if err := d.attach(out); err != nil {
		return nil, err
	}

	resp, err := d.request.pass.settings.engine.transport().RoundTrip(out)
	if err != nil {
		return nil, err
	}
	if err := completeResponse(resp, out.Method); err != nil {
		return nil, err
	}

	// Without response handlers the http.Client above sees each response, and keeps its cookies.
	if len(d.request.pass.responses) > 0 {
		b.keepCookies(out, resp)
	}
	return resp, nil
}

// completeResponse fills in what a transport of the user's own may leave out, and refuses what
// cannot be a response, as an http.Client does. Outside the bridge the engine's http.Client does
// that itself.
func completeResponse(resp *http.Response, method string) error {
	switch {
	case resp == nil:
		return errors.New("the transport returned neither a response nor an error")
	case resp.Body == nil && resp.ContentLength > 0 && method != http.MethodHead:
		return fmt.Errorf("the transport returned a response of %d bytes without a body", resp.ContentLength)
	}

	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	return nil
}

// interrupted returns the error of a request that the http.Client above has called off by closing its
// Cancel channel. That is how http.Client.Timeout ends a round trip over a transport that net/http
// does not know: the channel may be closed before the context, which has the same deadline, has
// ended.
func (b *bridgedRequest) interrupted(r *Request, err error) *Error {
	// Cancel is deprecated, and http.Client still uses it.
	select {
	case <-b.Cancel:
	default:
		return nil
	}

	if deadline, ok := b.Context().Deadline(); ok && !time.Now().Before(deadline) {
		return &Error{Code: CodeTimeout, Request: r, Err: fmt.Errorf("%w: the http.Client's", errTimeout)}
	}
	return &Error{Code: CodeCanceled, Request: r, Err: withoutURL(err)}
}

// keepCookies gives the cookies that a response sets to the jar of the http.Client above, which
// itself sees the last response alone, and only if no handler replaces that. The jar has them
// before the response handlers run: what a refresh sets in one of those is newer. The http.Client
// keeps the cookies of the response that reaches it once more, as it would without axle.
func (b *bridgedRequest) keepCookies(sent *http.Request, resp *http.Response) {
	if b.jar == nil {
		return
	}
	if list := resp.Cookies(); len(list) > 0 {
		b.jar.SetCookies(cookies.URLOf(sent), list)
	}
}

// keepCredentials removes the credentials of a request that follows a redirect to another origin,
// or that a handler sends elsewhere than the redirect leads. Its cookies are from the jar above,
// which knows where they belong.
func (b *bridgedRequest) keepCredentials(req *Request, u *url.URL) *url.URL {
	crossed := req.CrossedOrigin()
	isFirst := b.Response == nil
	if isFirst {
		return u
	}

	target, given := req.destination(u), destinationOf(b.Request)
	if crossed || target != given {
		dropForeignReferer(req.Header, target)
	}
	if !crossed {
		return u
	}

	req.stripCredentials(req.Header)
	if target != given {
		return u
	}

	// The cookies are those that were given, and not what a handler made of them.
	if kept := b.withoutCallersCookies(); kept != nil {
		req.Header["Cookie"] = kept
		b.renewCookies(req.Header, b.jarCookies)
	}
	return u
}

// withoutCallersCookies is the Cookie header of a request that follows a redirect to another
// origin, without the cookies that the caller wrote: the http.Client copies those to each
// redirected request to the same host, whatever its port and scheme, and adds its jar's.
//
// A cookie is the caller's if the first request had it, unless the jar gave it for this URL. The
// jar's present cookies do not decide that, since a refresh may have changed them. Where the jar is
// unknown, a request that has come back to its first origin keeps all its cookies: they belong
// there, whether the caller or the jar wrote them.
func (b *bridgedRequest) withoutCallersCookies() []string {
	first := b.Request
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	if b.jar == nil && destinationOf(first) == destinationOf(b.Request) {
		return slices.Clone(b.Header["Cookie"])
	}

	written := cookiePairs(first.Header["Cookie"])
	var jars []string
	if b.jarCookies != nil {
		jars = cookiePairs([]string{b.jarCookies.text})
	}
	kept := slices.DeleteFunc(cookiePairs(b.Header["Cookie"]), func(pair string) bool {
		isSame := func(other string) bool { return isSameCookie(pair, other) }
		return slices.ContainsFunc(written, isSame) && !slices.ContainsFunc(jars, isSame)
	})
	if len(kept) == 0 {
		return nil
	}
	return []string{strings.Join(kept, "; ")}
}

// isSameCookie compares two cookies of Cookie headers. net/http may take the quotes off a value
// that it copies.
func isSameCookie(a, b string) bool {
	nameA, valueA, _ := strings.Cut(a, "=")
	nameB, valueB, _ := strings.Cut(b, "=")
	return nameA == nameB && strings.Trim(valueA, `"`) == strings.Trim(valueB, `"`)
}

// jarCookies is the end of a Cookie header that the http.Client above has added to what the caller
// wrote there: its jar's cookies. A nil one is unknown.
type jarCookies struct{ text string }

// noteCookies finds the jar's cookies in the request's Cookie header, which has the caller's too.
// It runs before the chains, while the jar still has what it gave.
func (b *bridgedRequest) noteCookies() *jarCookies {
	list := b.Header["Cookie"]
	switch {
	case b.jar == nil:
		return nil
	case len(list) == 0:
		return &jarCookies{}
	}

	now := b.jar.Cookies(cookies.URLOf(b.Request))
	text := cookieText(now)
	if _, ok := cutCookies(list[0], text); ok {
		return &jarCookies{text}
	}

	// Another call has changed the jar meanwhile. The cookies that stand last and have names of the
	// jar's are the jar's.
	rest := list[0]
	for rest != "" {
		i := strings.LastIndex(rest, "; ")
		name, _, _ := strings.Cut(strings.TrimPrefix(rest[max(i, 0):], "; "), "=")
		if !slices.ContainsFunc(now, func(c *http.Cookie) bool { return c.Name == name }) {
			break
		}
		rest = rest[:max(i, 0)]
	}
	return &jarCookies{strings.TrimPrefix(list[0][len(rest):], "; ")}
}

// renewCookies puts the cookies that the jar has now in the place of those that it gave a request
// before. The rest of the Cookie header is the caller's, and stays byte for byte. It returns the
// cookies that are the jar's now.
func (b *bridgedRequest) renewCookies(header http.Header, before *jarCookies) *jarCookies {
	if before == nil {
		return nil
	}
	list, given := header["Cookie"], ""
	if len(list) > 0 {
		given = list[0]
	}
	written, found := cutCookies(given, before.text)
	if !found {
		return before // a replay's edit has written another header
	}

	now := cookieText(b.jar.Cookies(cookies.URLOf(b.Request)))
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
	return &jarCookies{now}
}

// cookieText returns the Cookie header that net/http writes for these cookies alone.
func cookieText(list []*http.Cookie) string {
	r := http.Request{Header: http.Header{}}
	for _, c := range list {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// cutCookies returns a Cookie header without the cookies that were added at its end. It returns
// false if they are not there.
func cutCookies(header, added string) (rest string, found bool) {
	if added == "" || header == added {
		return strings.TrimSuffix(header, added), true
	}
	return strings.CutSuffix(header, "; "+added)
}

// netHTTP returns the response as net/http has it: the raw response, with the status, the header
// and the body that the handlers have left.
func (r *Response) netHTTP(orig *http.Request) *http.Response {
	out := &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	if r.raw != nil {
		if r.raw.Trailer == nil && (r.raw.ContentLength < 0 || r.raw.ProtoMajor > 1) {
			// net/http adds unannounced trailers to the original, when the body has been read.
			r.raw.Trailer = http.Header{}
		}
		*out = *r.raw
	}
	out.Request, out.Status, out.StatusCode, out.Header = orig, r.Status, r.StatusCode, r.Header
	out.Body = r.Stream()

	// A handler may have made the Response without a header, and net/http promises one.
	if out.Header == nil {
		out.Header = http.Header{}
	}

	switch {
	case orig.Method == http.MethodHead:
		r.leaveOutBody(out)
		if r.raw == nil {
			out.ContentLength = headerLength(r.Header)
		}
	case r.StatusCode == http.StatusNoContent, r.StatusCode == http.StatusNotModified:
		r.leaveOutBody(out)
		out.ContentLength = 0
	case r.stream == nil:
		setLength(out, int64(len(r.body)))
	case r.stream.isReplaced:
		length := headerLength(r.Header)

		// The header may still have the length of the stream that was replaced.
		if r.raw != nil && length == r.raw.ContentLength {
			length = -1
		}
		setLength(out, length)
	}
	return out
}

// leaveOutBody takes the body of a handler's from a response that must not have one (RFC 9110
// §6.4.1).
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

// headerLength returns the number in a Content-Length header, or -1 if there is none.
func headerLength(header http.Header) int64 {
	length, err := strconv.ParseUint(header.Get("Content-Length"), 10, 63)
	if err != nil {
		return -1
	}
	return int64(length)
}

// setLength sets the length of a body, in bytes, in both places where net/http has it; -1: unknown.
// A Content-Length header is changed, and never added.
func setLength(out *http.Response, length int64) {
	out.ContentLength = length
	written := out.Header["Content-Length"]
	if written == nil || length >= 0 && slices.Equal(written, []string{strconv.FormatInt(length, 10)}) {
		return
	}

	out.Header = out.Header.Clone()
	if length < 0 {
		delete(out.Header, "Content-Length")
		return
	}
	out.Header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
}
