package axle

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/redact"
)

// ResolveURL returns the URL as it would be sent: base, path and query parameters (axios's getUri). Its errors are
// [*Error]s with CodeInvalidURL or CodeBadOption.
func (r *Request) ResolveURL() (*url.URL, error) {
	if s := r.settings(); s != nil && r.pass == nil {
		merged := *r
		merged.origins = slices.Clip(r.origins)
		s.mergeQuery(&merged)
		r = &merged
	}
	u, err := r.resolve()
	if err != nil {
		return nil, err
	}

	sent := *r
	if sent.dropStray(r.destination(u)) {
		if u, err = sent.resolve(); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// Origin returns the origin (scheme, host and port) that the request would be sent to, as "https://api.example.com" or
// "http://localhost:8080": in lower case, without a default port, and with an internationalised host in punycode.
//
// For plain http a forward proxy is told the Host, and may take the request there. So where a Host header, or the Host of a request
// behind [Client.RoundTripper], names another place than the URL does, Origin tells both, as in
// "http://api.example.com with the Host other.example", which is the origin of no URL.
func (r *Request) Origin() (string, error) {
	if s := r.urlSettings(); s != nil && s.baseErr == nil && s.base != nil && s.base.isPlain && isPlainPath(r.URL) &&
		len(r.pathParams) == 0 {
		return r.destination(&s.base.URL), nil
	}
	if r.pass != nil && r.pass.bridge.isAt(r) {
		return r.destination(r.pass.bridge.URL), nil
	}
	u, err := r.resolve()
	if err != nil {
		return "", err
	}
	return r.destination(u), nil
}

// originOf is origin.Of, without making a new string of the base URL's.
func (s *settings) originOf(u *url.URL) string {
	if s.base != nil && u.Scheme == s.base.Scheme && u.Host == s.base.Host && u.Opaque == "" {
		return s.origin
	}
	return origin.Of(u)
}

// isPlainPath reports whether url needs no second look to be joined to the base URL.
func isPlainPath(url string) bool {
	for i := range len(url) {
		if c := url[i]; c != '/' && c != '-' && c != '_' && c != '.' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return !strings.HasPrefix(url, "//")
}

// urlSettings are those that the URL is resolved by.
func (r *Request) urlSettings() *settings {
	if r.base != nil {
		return r.base
	}
	return r.settings()
}

func (r *Request) resolve() (*url.URL, *Error) {
	u, err := r.resolvePath()
	if err != nil {
		return nil, err
	}

	if len(r.Query) > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += r.Query.Encode()
	}
	return u, nil
}

// resolvePath is resolve without the parameters of Query. The URL that it returns is the caller's to change.
func (r *Request) resolvePath() (*url.URL, *Error) {
	// The URL that the bridge was given is no template, whatever braces it has, and goes out as it came.
	if r.pass != nil && r.pass.bridge.isAt(r) {
		given := *r.pass.bridge.URL
		return &given, nil
	}

	s := r.urlSettings()
	if s == nil {
		s = &noSettings
	}
	if s.baseErr != nil {
		return nil, urlError(r, s.baseErr)
	}
	u, err := s.join(r.URL, r.pathParams)
	if err != nil {
		return nil, urlError(r, err)
	}
	return u, nil
}

// urlError is the error of a URL that cannot be sent: a placeholder's is a bad option, any other is the URL's own.
func urlError(r *Request, err error) *Error {
	if bad, ok := err.(*placeholderError); ok { //nolint:errorlint // nothing wraps one
		return badOption(r, bad.Error(), nil)
	}
	return invalidURL(r, err.Error())
}

var noSettings settings

// baseURL is a base URL that paths can be joined to. The placeholders of its host are filled in; those of its path and its
// query are filled in anew for each request.
type baseURL struct {
	url.URL
	head       string   // the scheme and the host
	template   string   // the path as it is written
	hostParams []string // the names of the placeholders that stood in the host
	isPlain    bool     // neither the path nor the query has a placeholder
}

// parseBase checks a base URL. An empty one is none.
func parseBase(raw string, defaults pathParams) (*baseURL, error) {
	if raw == "" {
		return nil, nil
	}
	if !isAbsolute(raw) {
		return nil, fmt.Errorf("the base URL %q is not absolute: it needs http:// or https://", redact.RawURL(raw))
	}

	head, path, query := splitAbsolute(raw)
	base := &baseURL{template: path, isPlain: !strings.Contains(path+query, "{"), hostParams: placeholderNames(head)}
	var err error
	if base.head, err = (placeholders{defaults: defaults}).expand(head, inHost); err != nil {
		return nil, err
	}
	u, err := parseAbsolute(withQuery(base.head+path, query))
	if err != nil {
		return nil, fmt.Errorf("the base URL: %w", err)
	}
	base.URL = *u
	return base, nil
}

// join resolves a URL as a request writes it. What is neither a plain path nor an http(s) URL is refused, since a server or a
// proxy might take it for another host: //host, \\host, /\host, http:host (CVE-2024-39338, CVE-2025-27152). That is judged before
// the placeholders are filled in, so that no value of one can make a path an absolute URL.
func (s *settings) join(raw string, own pathParams) (*url.URL, error) {
	lower := strings.ToLower(raw[:min(len(raw), len("https:"))])
	switch {
	case isAbsolute(raw) && s.pathsOnly:
		return nil, fmt.Errorf("the URL %q is absolute, which the client does not allow", redact.RawURL(raw))
	case isAbsolute(raw):
		return s.expandAbsolute(raw, own)
	case strings.HasPrefix(raw, "//"), strings.HasPrefix(raw, `\`), strings.HasPrefix(raw, `/\`),
		strings.HasPrefix(lower, "http:"), strings.HasPrefix(lower, "https:"):
		return nil, fmt.Errorf("the URL %q is neither a path nor an absolute URL", redact.RawURL(raw))
	case s.base == nil:
		return nil, fmt.Errorf("the URL %q is a path, and the client has no base URL", redact.RawURL(raw))
	}
	return s.joinPath(raw, placeholders{own: own, defaults: s.pathParams})
}

// joinPath joins a path, with or without a query, to the base URL.
func (s *settings) joinPath(raw string, values placeholders) (*url.URL, error) {
	for _, name := range s.base.hostParams {
		if own, ok := values.own[name]; ok && own != values.defaults[name] {
			return nil, &placeholderError{name, "stands in the host of the base URL, which takes the client's default alone " +
				"(Client.SetPathParam)"}
		}
	}

	raw, _, _ = strings.Cut(raw, "#")
	path, query, _ := strings.Cut(raw, "?")
	joined := s.base.URL
	switch {
	case path == "" && s.base.isPlain:
	case s.base.isPlain && joined.RawPath == "" && isPlainPath(path):
		joined.Path = strings.TrimRight(joined.Path, "/") + "/" + strings.TrimLeft(path, "/")
	default:
		template := s.base.template
		if path != "" {
			template = strings.TrimRight(template, "/") + "/" + strings.TrimLeft(path, "/")
		}
		expanded, err := values.expandPath(template)
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(s.base.head + expanded)
		if err != nil {
			return nil, fmt.Errorf("the path %q does not parse: %w", redact.RawURL(path), withoutURL(err))
		}
		joined.Path, joined.RawPath = u.Path, u.RawPath
	}

	if query != "" {
		if joined.RawQuery != "" {
			joined.RawQuery += "&"
		}
		joined.RawQuery += query
	}
	var err error
	if joined.RawQuery, err = values.expand(joined.RawQuery, inQuery); err != nil {
		return nil, err
	}
	if err := checkQuery(joined.RawQuery); err != nil {
		return nil, err
	}
	keepEscapes(&joined)
	return &joined, nil
}

// expandAbsolute fills in the placeholders of an absolute URL and parses it.
func (s *settings) expandAbsolute(raw string, own pathParams) (*url.URL, error) {
	if !strings.Contains(raw, "{") {
		return parseAbsolute(raw)
	}

	values := placeholders{own: own, defaults: s.pathParams}
	head, path, query := splitAbsolute(raw)
	head, err := values.expand(head, inHost)
	if err != nil {
		return nil, err
	}
	if path, err = values.expandPath(path); err != nil {
		return nil, err
	}
	if query, err = values.expand(query, inQuery); err != nil {
		return nil, err
	}
	return parseAbsolute(withQuery(head+path, query))
}

// splitAbsolute cuts an absolute URL into its scheme and host, its path and its query. The fragment, which is not sent, is
// dropped.
func splitAbsolute(raw string) (head, path, query string) {
	raw, _, _ = strings.Cut(raw, "#")
	raw, query, _ = strings.Cut(raw, "?")
	scheme, rest, _ := strings.Cut(raw, "://")
	host, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	return scheme + "://" + host, path, query
}

func withQuery(raw, query string) string {
	if query == "" {
		return raw
	}
	return raw + "?" + query
}

// mergeQuery gives r a Query of its own: what the caller set, and the defaults of other names. A default that is a secret by its
// name goes to the base URL's origin alone.
func (s *settings) mergeQuery(r *Request) {
	r.Query = cloneValues(r.Query)
	if len(s.query) == 0 {
		return
	}
	_, raw, _ := strings.Cut(r.URL, "?")
	raw, _, _ = strings.Cut(raw, "#")
	inURL, _ := url.ParseQuery(raw)
	for name, list := range s.query {
		if r.Query.Has(name) || inURL.Has(name) {
			continue
		}
		if redact.Name(name) {
			if target, err := r.Origin(); err != nil || s.origin == "" || target != s.origin || r.CrossedOrigin() {
				continue
			}
			r.origins = append(r.origins, binding{name: name, values: list, origin: s.origin, query: true})
		}
		r.Query[name] = slices.Clone(list)
	}
}

// isAbsolute reports whether raw starts with a scheme and "://".
func isAbsolute(raw string) bool {
	scheme, _, found := strings.Cut(raw, "://")
	if !found || scheme == "" || strings.ContainsAny(scheme, "/?#\\") {
		return false
	}
	return true
}

func parseAbsolute(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the URL %q does not parse: %w", redact.RawURL(raw), withoutURL(err))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL %q has the scheme %q: only http and https are sent", redact.RawURL(raw), u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("the URL %q has no host", redact.RawURL(raw))
	}
	u.Fragment, u.RawFragment = "", ""
	keepEscapes(u)
	return u, nil
}

func checkQuery(query string) error {
	for i := range len(query) {
		if query[i] < ' ' || query[i] == 0x7f {
			return fmt.Errorf("the query has a control character at byte %d", i)
		}
	}
	return nil
}

// keepEscapes escapes what the text of a parsed URL has yet to escape, and leaves its escapes as they are. A url.URL ignores its
// RawPath as long as one byte in it lacks its escape, and then sends each "%2F" as a slash. Its query is sent as it is written,
// which some servers refuse if it is not ASCII.
func keepEscapes(u *url.URL) {
	u.RawPath = escape(u.RawPath, isPathByte)
	u.RawQuery = escape(u.RawQuery, isQueryByte)
}

// escape percent-encodes the bytes that may not stand in s.
func escape(s string, mayStand func(c byte) bool) string {
	first := 0
	for first < len(s) && mayStand(s[first]) {
		first++
	}
	if first == len(s) {
		return s
	}

	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		if c := s[i]; mayStand(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
	return b.String()
}

// isPathByte reports whether a byte may stand in a path as it is: the characters of RFC 3986 §3.3, and brackets, which net/url
// leaves too.
func isPathByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("/%-._~!$&'()*+,;=:@[]", c) >= 0
}

// isQueryByte reports whether a byte of a query is sent as it is: all of ASCII but the blank.
func isQueryByte(c byte) bool { return c > ' ' && c < 0x7f }

// keepRedirectEscapes undoes what net/http makes of a redirect's Location that has both an escaped slash and a byte that lacks
// its escape, and puts the query in ASCII.
func keepRedirectEscapes(next, last *http.Request) {
	if next.Response != nil {
		location, err := url.Parse(next.Response.Header.Get("Location"))
		if err == nil && escape(location.RawPath, isPathByte) != location.RawPath {
			keepEscapes(location)
			resolved := last.URL.ResolveReference(location)
			next.URL.Path, next.URL.RawPath = resolved.Path, resolved.RawPath
		}
	}
	keepEscapes(next.URL)
}
