package axle

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/origin"
)

// sensitiveHeaders carry credentials by their name alone; SetSensitiveHeaders adds to them.
var sensitiveHeaders = []string{
	"Authorization", "Proxy-Authorization", "Www-Authenticate", "Proxy-Authenticate", "Cookie", "Cookie2",
	"X-Api-Key", "Api-Key", "Apikey", "X-Auth-Token", "X-Access-Token", "X-Session-Token", "X-Csrf-Token", "X-Xsrf-Token",
	"X-Amz-Security-Token", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key", "Private-Token", "Job-Token",
}

// headerOrigin is the one origin that a sensitive header may go to: the base URL's for a client's default, the origin of the
// caller's URL for the caller's own. It holds for as long as the header keeps these values.
type headerOrigin struct {
	name   string
	values []string
	origin string
	own    bool // the caller set it on the request
}

// BasicAuth returns the value of an Authorization header for HTTP Basic (RFC 7617; axios's auth), in UTF-8:
// r.SetHeader("Authorization", axle.BasicAuth(name, password)).
func BasicAuth(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// SetByCaller reports whether the caller set this header on the request itself. It is false for a client's default and for
// what a handler added or changed.
func (r *Request) SetByCaller(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	list := r.Header[name]
	if r.pass == nil || len(list) == 0 {
		return len(list) > 0
	}
	for _, o := range r.origins {
		if o.name == name {
			return o.own && slices.Equal(o.values, list)
		}
	}
	return slices.Equal(r.pass.source.Header[name], list)
}

// BindHeader lets a header that a handler has set go to this origin alone, see [Request.Origin], whatever later handlers make of the
// URL. Outside a call it does nothing.
func (r *Request) BindHeader(name, origin string) {
	if r.pass == nil {
		return
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	var bound []headerOrigin // a slice of its own: clones share the one that is there
	if len(r.origins) == 0 && r == &r.pass.merged {
		bound = r.pass.bound[:0:1]
	}
	for _, o := range r.origins {
		if o.name != name {
			bound = append(bound, o)
		}
	}
	bound = append(bound, headerOrigin{name: name, values: r.Header[name], origin: origin})
	r.origins = bound
}

// CrossedOrigin reports whether the request follows a redirect that left the origin it started from, which a request behind
// [Client.RoundTripper] may. What a handler sets in a sensitive header of such a request is not sent.
func (r *Request) CrossedOrigin() bool {
	return r.pass != nil && r.pass.bridge != nil && r.pass.bridge.crossed
}

// mergeHeaders gives r, a copy of the caller's request, headers of its own: the defaults that may go to the origin of its
// URL, then what the caller set. It notes where the sensitive ones may go.
func (s *settings) mergeHeaders(r *Request) {
	caller := r.Header
	r.Header = cloneHeader(caller)
	known := r.origins // of a request that has been through a call
	r.origins = r.pass.bound[:0:1]
	target := "?" // where the caller's URL leads; asked only if a header depends on it
	targetOrigin := func() string {
		if target == "?" {
			target, _ = r.Origin()
		}
		return target
	}
	forMethod := s.methodHeader[r.method()]
	defaults := func(name string, list []string) {
		if _, own := caller[name]; own {
			return
		}
		if name == contentTypeHeader && r.pass.bridge == nil {
			r.pass.defaultType = list
			if r.Body != nil && !takesDefaultType(r.Body) {
				return
			}
		}
		if s.isSensitive(name) {
			if s.origin == "" || targetOrigin() != s.origin || r.CrossedOrigin() {
				return
			}
			r.origins = append(r.origins, headerOrigin{name: name, values: list, origin: s.origin})
		}
		r.Header[name] = slices.Clone(list)
	}
	for name, list := range s.header {
		if _, replaced := forMethod[name]; !replaced {
			defaults(name, list)
		}
	}
	for name, list := range forMethod {
		defaults(name, list)
	}
	if p := r.pass; p.bridge == nil {
		p.values = [...]string{"application/json, text/plain, */*", userAgent}
		for i, name := range [...]string{"Accept", "User-Agent"} {
			if _, set := r.Header[name]; !set {
				r.Header[name] = p.values[i : i+1 : i+1]
			}
		}
	}
	for name, list := range caller {
		i := slices.IndexFunc(known, func(o headerOrigin) bool { return o.name == name && slices.Equal(o.values, list) })
		switch {
		case i >= 0:
			r.origins = append(r.origins, known[i])
		case s.isSensitive(name):
			r.origins = append(r.origins, headerOrigin{name: name, values: slices.Clone(list), origin: targetOrigin(), own: true})
		}
	}
}

// isCanonical and canonical see to it that a name is one name, in whichever case a header literal has it.
func isCanonical(header http.Header) bool {
	for name := range header {
		if textproto.CanonicalMIMEHeaderKey(name) != name {
			return false
		}
	}
	return true
}

func canonical(header http.Header) http.Header {
	c := make(http.Header, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		key := textproto.CanonicalMIMEHeaderKey(name)
		c[key] = append(c[key], header[name]...)
	}
	return c
}

// noteOrigins fixes where the caller's sensitive headers may go before an edit can change the URL under them.
func (s *settings) noteOrigins(r *Request) {
	for name, list := range r.Header {
		if !s.isSensitive(name) || slices.ContainsFunc(r.origins, func(o headerOrigin) bool { return o.name == name }) {
			continue
		}
		target, _ := r.Origin()
		r.origins = append(slices.Clip(r.origins), headerOrigin{name: name, values: slices.Clone(list), origin: target, own: true})
	}
}

// dropStrayHeaders removes the sensitive headers that may not go to target.
func (r *Request) dropStrayHeaders(target string) {
	for _, o := range r.origins {
		if o.origin != target && slices.Equal(o.values, r.Header[o.name]) {
			delete(r.Header, o.name)
		}
	}
}

func (s *settings) isSensitive(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return s.sensitive[name] || name == s.xsrfHeader && name != ""
}

// setXSRF copies the cookie of SetXSRF into its header, for the base URL's origin alone (CVE-2023-45857).
func (p *pass) setXSRF(header http.Header, u *url.URL) {
	s := p.settings
	if s.xsrfCookie == "" || s.jar == nil || p.bridge != nil || s.origin == "" || s.originOf(u) != s.origin || header.Get(s.xsrfHeader) != "" {
		return
	}
	for _, c := range cookies.StageOf(p.flight.request.Context()).Over(s.jar).Cookies(u) {
		if c.Name == s.xsrfCookie {
			header[s.xsrfHeader] = []string{c.Value}
			return
		}
	}
}

// stripSensitive removes what may not follow a redirect to another origin.
func (s *settings) stripSensitive(header http.Header) {
	for name := range header {
		if s.isSensitive(name) {
			delete(header, name)
		}
	}
}

// crossedOrigin reports whether a chain of redirects that ends at u has left the origin that it started from.
func crossedOrigin(via []*http.Request, u *url.URL) bool {
	first := origin.Of(via[0].URL)
	return first == "" || origin.Of(u) != first || slices.ContainsFunc(via, func(r *http.Request) bool { return origin.Of(r.URL) != first })
}

// isProxyCredential tells the header that is the transport's business, and must not reach the origin.
func isProxyCredential(name string, _ []string) bool {
	return strings.EqualFold(name, "Proxy-Authorization")
}

// checkHeaders refuses names and values that could end a line or a header early (CVE-2026-40175).
func checkHeaders(header http.Header) error {
	for name, list := range header {
		if !isToken(name) {
			return fmt.Errorf("the header name %q is not a token", name)
		}
		for _, v := range list {
			for i := range len(v) {
				if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
					return fmt.Errorf("the value of header %s has a control character at byte %d", name, i)
				}
			}
		}
	}
	return nil
}

// isToken reports whether s is a token as RFC 9110 §5.6.2 has it: a method or a field name.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
