package axle

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/redact"
	"github.com/axlehttp/axle/internal/wire"
)

// This file says where a credential may go. A header or a query parameter is sensitive by its name.
// A binding ties its values to one origin, and dispatch removes the values that would go to
// another. A redirect that leaves its origin takes no credential along.

// binding ties the values of a header or a query parameter to an origin, as [Request.Origin] writes
// one. A client's default is bound to the base URL's origin, a header of the caller's to the origin
// of the caller's URL, and a header of a handler's to the origin that the handler names. The
// binding is for these values alone: other values that a handler sets later are free.
type binding struct {
	name     string // of a header, in canonical form
	values   []string
	origin   string
	byCaller bool // the caller set the header on the request
	query    bool // it is a query parameter and no header
}

func (b binding) isHeader(name string) bool { return !b.query && b.name == name }

// isAbout reports whether two bindings are of the same header or the same query parameter.
func (b binding) isAbout(other binding) bool { return b.name == other.name && b.query == other.query }

// SetByCaller reports whether the caller set this header on the request itself. It is false for a
// client's default and for what a handler added or changed. The name may be in any case.
func (r *Request) SetByCaller(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	list := r.headerValues(name)
	if r.pass == nil || len(list) == 0 {
		return len(list) > 0
	}
	for _, b := range r.origins {
		if b.isHeader(name) {
			return b.byCaller && slices.Equal(b.values, list)
		}
	}
	return slices.Equal(r.pass.source.Header[name], list)
}

// BindHeader makes the current values of a header a credential for one origin (see
// [Request.Origin]). axle does not send these values to another origin, not even if a later handler
// changes the URL or a redirect leads there, and it does not print them. Call it after setting the
// header. The name may be in any case. Outside a call BindHeader does nothing.
func (r *Request) BindHeader(name, origin string) {
	if r.pass == nil {
		return
	}
	name = textproto.CanonicalMIMEHeaderKey(name)

	// The slice is a new one, since clones share the one that is there.
	var bound []binding
	if len(r.origins) == 0 && r == &r.pass.merged {
		bound = r.pass.bound[:0:1]
	}
	for _, b := range r.origins {
		if !b.isHeader(name) {
			bound = append(bound, b)
		}
	}
	bound = append(bound, binding{name: name, values: r.headerValues(name), origin: origin})
	r.origins = bound
}

// CrossedOrigin reports whether the request follows a redirect that left the origin it started
// from, which a request behind [Client.RoundTripper] may. A value that a handler sets in a sensitive
// header of such a request is not sent.
func (r *Request) CrossedOrigin() bool {
	return r.pass != nil && r.pass.inbound.crossed
}

// isSensitive reports whether a header carries credentials by its name.
func (s *settings) isSensitive(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if s.sensitive[name] || name == s.xsrfHeader && name != "" {
		return true
	}
	return !isCommon(name) && redact.Name(name)
}

// isCommon reports whether a header is one of those that most requests have. None of them is
// sensitive, and their words need not be looked at.
func isCommon(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection",
		"Content-Encoding", "Content-Length", "Content-Type", "Host", "If-Modified-Since",
		"If-None-Match", "Origin", "Range", "Referer", "Traceparent", "User-Agent", "X-Request-Id":
		return true
	}
	return false
}

// destination returns the origin that the request goes to if it is sent to u. That is the origin of
// u, unless a Host of its own names another one (see [origin.To]).
func (r *Request) destination(u *url.URL) string {
	host := ""
	if list := r.Header["Host"]; len(list) > 0 {
		host = list[0]
	}
	if host == "" && r.pass != nil && r.pass.inbound.hasHostOf(u) {
		host = r.pass.inbound.host
	}
	if host != "" && host != u.Host {
		return origin.To(u, host)
	}

	if s := r.settings(); s != nil {
		return s.originOf(u)
	}
	return origin.Of(u)
}

// noteOrigins binds the caller's sensitive headers to the origin of the caller's URL, before an
// edit changes that URL.
func (s *settings) noteOrigins(r *Request) {
	for name, list := range r.Header {
		isBound := func(b binding) bool { return b.isHeader(name) }
		if !s.isSensitive(name) || slices.ContainsFunc(r.origins, isBound) {
			continue
		}
		target, _ := r.Origin()
		r.origins = append(slices.Clip(r.origins), binding{
			name: name, values: slices.Clone(list), origin: target, byCaller: true,
		})
	}
}

// inheritBindings gives r, which a handler wrote anew, the bindings of the request that the handler
// was given.
func (r *Request) inheritBindings(given *Request) {
	for _, b := range given.origins {
		if !slices.ContainsFunc(r.origins, b.isAbout) {
			r.origins = append(slices.Clip(r.origins), b)
		}
	}
}

// dropStray removes the bound headers and query parameters that may not go to the origin target. It
// reports whether the query has changed.
func (r *Request) dropStray(target string) (query bool) {
	for _, b := range r.origins {
		switch {
		case b.origin == target:
		case b.query:
			query = query || r.Query.Has(b.name)
			r.Query = without(r.Query, b)
		default:
			r.Header = without(r.Header, b)
		}
	}
	return query
}

// without returns a copy of a header or a query without the values of a binding. Of a Cookie
// header, which has all its cookies in one value, it removes the cookies of the binding.
func without[M ~map[string][]string](m M, b binding) M {
	list, found := m[b.name]
	if !found {
		return m
	}

	var kept []string
	switch {
	case slices.Equal(list, b.values):
	case b.isHeader("Cookie"):
		given := cookiePairs(b.values)
		pairs := slices.DeleteFunc(cookiePairs(list), func(pair string) bool {
			return slices.Contains(given, pair)
		})
		if len(pairs) > 0 {
			kept = []string{strings.Join(pairs, "; ")}
		}
	default:
		kept = slices.DeleteFunc(slices.Clone(list), func(v string) bool {
			return slices.Contains(b.values, v)
		})
		if len(kept) == len(list) {
			return m
		}
	}

	rest := make(M, len(m))
	for name, list := range m {
		if name != b.name {
			rest[name] = list
		}
	}
	if len(kept) > 0 {
		rest[b.name] = kept
	}
	return rest
}

// cookiePairs returns the "name=value" pairs of Cookie headers.
func cookiePairs(list []string) (pairs []string) {
	for _, value := range list {
		for pair := range strings.SplitSeq(value, ";") {
			if pair = textproto.TrimString(pair); pair != "" {
				pairs = append(pairs, pair)
			}
		}
	}
	return pairs
}

// isCallersDestination reports whether the request goes where the caller sends it: the URL is
// absolute, and the Host is the caller's.
func (p *pass) isCallersDestination(req *Request) bool {
	return wire.IsAbsolute(p.source.URL) && slices.Equal(p.source.Header["Host"], req.Header["Host"])
}

// setXSRF copies the cookie of SetXSRF into its header, for the base URL's origin alone
// (CVE-2023-45857).
func (p *pass) setXSRF(header http.Header, req *Request, u *url.URL) {
	s := p.settings
	if s.xsrfCookie == "" || s.origin == "" || header.Get(s.xsrfHeader) != "" {
		return
	}
	if req.destination(u) != s.origin {
		return
	}
	for _, c := range s.cookiesFor(req, u) {
		if c.Name == s.xsrfCookie {
			header[s.xsrfHeader] = []string{unescapedToken(c.Value)}
			return
		}
	}
}

// unescapedToken undoes the percent-encoding of a cookie's value, as axios does: a server that escapes
// its cookies, such as Laravel's, wants the token itself. A value that is not escaped, or that would
// be no header's, stays as it is.
func unescapedToken(value string) string {
	token, err := url.PathUnescape(value)
	if err != nil || wire.BadHeaderByte(token) >= 0 {
		return value
	}
	return token
}

// cookiesFor returns the cookies that a request to u would have. In a browser they are those that the
// page may read. A page of another origin than the base URL's has no such cookie of it.
func (s *settings) cookiesFor(req *Request, u *url.URL) []*http.Cookie {
	switch {
	case s.usesFetch():
		return fetch.CookiesOf(s.origin)
	case s.jar == nil:
		return nil
	}
	return cookies.PendingOf(req.Context()).Over(s.jar).Cookies(u)
}

// stripCredentials removes the headers that may not follow a redirect to another origin: sensitive
// ones and bound ones.
func (r *Request) stripCredentials(header http.Header) {
	for name := range header {
		if r.isCredential(name) {
			delete(header, name)
		}
	}
}

// crossedOrigin reports whether a chain of redirects that ends with next has left the origin of the
// first request.
func crossedOrigin(via []*http.Request, next *http.Request) bool {
	first := destinationOf(via[0])
	isElsewhere := func(r *http.Request) bool { return destinationOf(r) != first }
	return first == "" || isElsewhere(next) || slices.ContainsFunc(via, isElsewhere)
}

// destinationOf returns the origin that a net/http request goes to.
func destinationOf(r *http.Request) string { return origin.To(r.URL, r.Host) }

// dropForeignReferer removes a Referer that names a page of another origin than target, where the
// request goes: the page's query may hold a secret. A relative Referer names no origin.
func dropForeignReferer(header http.Header, target string) {
	for _, referer := range header["Referer"] {
		u, err := url.Parse(referer)
		if err != nil || u.User != nil || target == "" || origin.Of(u) != target {
			delete(header, "Referer")
			return
		}
	}
}

// isProxyCredential reports whether a header is the transport's business, and must not reach the
// origin.
func isProxyCredential(name string, _ []string) bool {
	return strings.EqualFold(name, "Proxy-Authorization")
}
