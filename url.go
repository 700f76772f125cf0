package axle

import (
	"fmt"
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
		s.mergeQuery(&merged)
		r = &merged
	}
	u, err := r.resolve()
	if err != nil {
		return nil, err
	}
	return u, nil
}

// Origin returns the origin (scheme, host and port) that the request would be sent to, as "https://api.example.com" or
// "http://localhost:8080": in lower case and without a default port.
func (r *Request) Origin() (string, error) {
	if s := r.urlSettings(); s != nil && s.baseErr == nil && s.base != nil && len(r.pathParams) == 0 && isPlainPath(r.URL) {
		return s.origin, nil
	}
	if r.pass != nil && r.pass.bridge.isAt(r) {
		return r.pass.settings.originOf(r.pass.bridge.URL), nil
	}
	u, err := r.resolve()
	if err != nil {
		return "", err
	}
	return origin.Of(u), nil
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
	s := r.urlSettings()
	if s == nil {
		s = &noSettings
	}
	if s.baseErr != nil {
		return nil, invalidURL(r, s.baseErr.Error())
	}
	raw, err := expandPath(r.URL, r.pathParams)
	if err != nil {
		return nil, badOption(r, err.Error(), nil)
	}
	u, err := s.join(raw)
	if err != nil {
		return nil, invalidURL(r, err.Error())
	}
	if len(r.Query) > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += r.Query.Encode()
	}
	return u, nil
}

var noSettings settings

// parseBase checks a base URL. An empty one is none.
func parseBase(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	if !isAbsolute(raw) {
		return nil, fmt.Errorf("the base URL %q is not absolute: it needs http:// or https://", redact.RawURL(raw))
	}
	u, err := parseAbsolute(raw)
	if err != nil {
		return nil, fmt.Errorf("the base URL: %w", err)
	}
	return u, nil
}

// join resolves a URL as a request writes it. What is neither a plain path nor an http(s) URL is refused, since a server or a
// proxy might take it for another host: //host, \\host, /\host, http:host (CVE-2024-39338, CVE-2025-27152).
func (s *settings) join(raw string) (*url.URL, error) {
	lower := strings.ToLower(raw[:min(len(raw), len("https:"))])
	switch {
	case isAbsolute(raw) && s.pathsOnly:
		return nil, fmt.Errorf("the URL %q is absolute, which the client does not allow", redact.RawURL(raw))
	case isAbsolute(raw):
		return parseAbsolute(raw)
	case strings.HasPrefix(raw, "//"), strings.HasPrefix(raw, `\`), strings.HasPrefix(raw, `/\`),
		strings.HasPrefix(lower, "http:"), strings.HasPrefix(lower, "https:"):
		return nil, fmt.Errorf("the URL %q is neither a path nor an absolute URL", redact.RawURL(raw))
	case s.base == nil:
		return nil, fmt.Errorf("the URL %q is a path, and the client has no base URL", redact.RawURL(raw))
	}
	raw, _, _ = strings.Cut(raw, "#")
	path, query, _ := strings.Cut(raw, "?")
	joined := *s.base
	switch {
	case path == "":
	case s.base.RawPath == "" && isPlainPath(path):
		joined.Path = strings.TrimRight(s.base.Path, "/") + "/" + strings.TrimLeft(path, "/")
	default:
		base, _, _ := strings.Cut(s.baseURL, "#")
		base, _, _ = strings.Cut(base, "?")
		u, err := url.Parse(strings.TrimRight(base, "/") + "/" + strings.TrimLeft(path, "/"))
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
	if err := checkQuery(joined.RawQuery); err != nil {
		return nil, err
	}
	joined.RawQuery = strings.ReplaceAll(joined.RawQuery, " ", "%20")
	return &joined, nil
}

// mergeQuery gives r a Query of its own: what the caller set, and the defaults of other names.
func (s *settings) mergeQuery(r *Request) {
	r.Query = cloneValues(r.Query)
	if len(s.query) == 0 {
		return
	}
	_, raw, _ := strings.Cut(r.URL, "?")
	raw, _, _ = strings.Cut(raw, "#")
	inURL, _ := url.ParseQuery(raw)
	for name, list := range s.query {
		if !r.Query.Has(name) && !inURL.Has(name) {
			r.Query[name] = slices.Clone(list)
		}
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
	u.RawQuery = strings.ReplaceAll(u.RawQuery, " ", "%20")
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

// expandPath puts the escaped path parameters in the places of their {name}.
func expandPath(raw string, params map[string]string) (string, error) {
	if len(params) == 0 {
		return raw, nil
	}
	var b strings.Builder
	inQuery := false
	for {
		before, rest, found := strings.Cut(raw, "{")
		b.WriteString(before)
		inQuery = inQuery || strings.Contains(before, "?")
		if !found {
			return b.String(), nil
		}
		name, after, found := strings.Cut(rest, "}")
		if !found {
			b.WriteString("{" + rest)
			return b.String(), nil
		}
		value, given := params[name]
		switch {
		case !given:
			return "", fmt.Errorf("the path parameter {%s} has no value", name)
		case inQuery:
			b.WriteString(url.QueryEscape(value))
		case value == "." || value == "..":
			return "", fmt.Errorf("the path parameter {%s} is %q, which would climb the path", name, value)
		default:
			b.WriteString(url.PathEscape(value))
		}
		raw = after
	}
}
