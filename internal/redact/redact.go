// Package redact hides secrets in what axle prints: error messages, log records, curl lines.
//
// What a secret is, is judged by the name that it goes by (see [Name]), and, where there is no name, by its looks: a private
// key, a JWT, an HTTP credential.
package redact

import (
	"net/url"
	"strings"
	"unicode"
)

// Mask stands where a secret stood.
const Mask = "REDACTED"

// URL returns u as a string without its password and fragment, and with the values of secret query parameters masked.
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	v := *u
	if v.User != nil {
		v.User = url.User(Mask)
	}
	v.RawQuery = Query(v.RawQuery)
	v.Fragment, v.RawFragment = "", ""
	return v.String()
}

// RawURL is URL for what may not be one: what does not parse keeps neither its userinfo nor its query.
func RawURL(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return URL(u)
	}
	raw, _, _ = strings.Cut(raw, "#")
	raw, query, found := strings.Cut(raw, "?")
	if at := strings.LastIndex(raw, "@"); at >= 0 {
		raw = Mask + raw[at:]
	}
	if found && query != "" {
		raw += "?" + Mask
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, raw)
}

// Query returns a raw query, in its order, with the values of secret parameters masked, and those in URLs that are values. A
// secret goes on to the next "&"; a ";" may be part of it, or begin a parameter.
func Query(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		parts[i] = parameter(part)
	}
	return strings.Join(parts, "&")
}

func parameter(raw string) string {
	before, rest := "", raw
	for {
		name, value, found := strings.Cut(rest, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		if found && Name(plain) {
			return before + name + "=" + Mask
		}
		one, more, another := strings.Cut(rest, ";")
		if !another {
			if inner, err := url.QueryUnescape(value); err == nil && strings.Contains(inner, "://") {
				if masked := RawURL(inner); masked != inner {
					return before + name + "=" + url.QueryEscape(masked)
				}
			}
			return raw
		}
		before, rest = before+one+";", more
	}
}
