package redact

import (
	"math"
	"net/url"
	"strings"
)

// maxNesting bounds how deeply URLs and JSON inside one another are searched. A value that is
// nested more deeply is masked.
const maxNesting = 4

// URL returns a URL as a string, without its userinfo and fragment. The values of secret query
// parameters and of secret path parameters (";jsessionid=…") are masked.
func (n *Names) URL(u *url.URL) string { return n.url(u, 0) }

func (n *Names) url(u *url.URL, depth int) string {
	if u == nil {
		return ""
	}

	v := *u
	if v.User != nil {
		v.User = url.User(Mask)
	}
	v.Opaque = withoutUserinfo(v.Opaque)

	path := u.EscapedPath()
	if masked := n.path(path); masked != path {
		v.RawPath = masked
		v.Path, _ = url.PathUnescape(masked)
	}

	v.RawQuery = n.query(v.RawQuery, depth)
	v.Fragment, v.RawFragment = "", ""
	return OneLine(v.String())
}

// RawURL is [Names.URL] for a text that may not be a URL. A text that does not parse keeps neither
// userinfo nor query.
func (n *Names) RawURL(raw string) string { return n.rawURL(raw, 0) }

func (n *Names) rawURL(raw string, depth int) string {
	if u, err := url.Parse(raw); err == nil {
		return n.url(u, depth)
	}

	raw, _, _ = strings.Cut(raw, "#")
	raw, query, found := strings.Cut(raw, "?")
	raw = n.path(withoutUserinfo(raw))
	if found && query != "" {
		raw += "?" + Mask
	}
	return OneLine(raw)
}

// withoutUserinfo masks everything before the last "@".
func withoutUserinfo(s string) string {
	if at := strings.LastIndex(s, "@"); at >= 0 {
		return Mask + s[at:]
	}
	return s
}

// path masks the secret parameters of a path's segments (RFC 3986 §3.3), and JWTs.
func (n *Names) path(escaped string) string {
	if strings.Contains(escaped, jwtStart) {
		escaped = jwtInText.ReplaceAllString(escaped, Mask)
	}
	if !strings.Contains(escaped, ";") {
		return escaped
	}

	segments := strings.Split(escaped, "/")
	for i, segment := range segments {
		parts := strings.Split(segment, ";")
		for k, part := range parts {
			name, _, found := strings.Cut(part, "=")
			if k > 0 && found && n.Secret(unescape(name)) {
				parts[k] = name + "=" + Mask
			}
		}
		segments[i] = strings.Join(parts, ";")
	}
	return strings.Join(segments, "/")
}

// Query returns a raw query or a form in its order. The values of secret parameters are masked, and
// so are the secrets in other values, such as URLs and JSON. A secret extends to the next "&". A
// ";" may belong to the value or begin another parameter.
func (n *Names) Query(raw string) string { return n.query(raw, 0) }

func (n *Names) query(raw string, depth int) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		parts[i] = n.parameter(part, depth)
	}
	return strings.Join(parts, "&")
}

func (n *Names) parameter(raw string, depth int) string {
	before, rest := "", raw
	for {
		name, _, found := strings.Cut(rest, "=")
		if found && n.Secret(unescape(name)) {
			return before + name + "=" + Mask
		}

		one, more, another := strings.Cut(rest, ";")
		if !another {
			break
		}
		before, rest = before+one+";", more
	}

	// No name is the name of a secret. The whole value, with every ";", may still contain secrets.
	name, value, found := strings.Cut(raw, "=")
	if !found {
		name, value = "", raw
	}
	plain := unescape(value)
	masked := n.value(plain, depth+1)
	switch {
	case masked == plain:
		return raw
	case !found:
		return url.QueryEscape(masked)
	}
	return name + "=" + url.QueryEscape(masked)
}

// value masks the secrets in a value whose name is harmless. It is the value of a parameter or a
// string in JSON.
func (n *Names) value(plain string, depth int) string {
	switch {
	case depth > maxNesting:
		return Mask
	case isGraphQL(plain):
		return graphQLShown
	case looksLikeJSON(plain):
		return n.json([]byte(plain), math.MaxInt, false, depth)
	case looksLikeURL(plain):
		if masked, found := n.maskedURL(plain, depth); found {
			return masked
		}
	}
	return n.text(plain, depth)
}

// maskedURL is rawURL that also reports whether there was a secret. A value without one is shown as
// it was written.
func (n *Names) maskedURL(raw string, depth int) (masked string, found bool) {
	masked = n.rawURL(raw, depth)
	u, err := url.Parse(raw)
	if err != nil {
		return masked, masked != raw
	}
	u.Fragment, u.RawFragment = "", ""
	return masked, masked != OneLine(u.String())
}

// looksLikeURL reports whether a value is a URL that may have a query or a password. The URL may be
// relative.
func looksLikeURL(s string) bool {
	return strings.ContainsAny(s, "?@;") && !strings.ContainsAny(s, " \t\r\n\"<>")
}

// unescape is [url.QueryUnescape], but leaves a broken escape as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}

	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+3 <= len(s) {
			if plain, err := url.QueryUnescape(s[i : i+3]); err == nil && s[i] == '%' {
				b.WriteString(plain)
				i += 2
				continue
			}
		}
		if s[i] == '+' {
			b.WriteByte(' ')
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
