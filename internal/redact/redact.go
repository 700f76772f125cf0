// Package redact hides secrets in what axle prints: error messages, log records, curl lines.
//
// It works on names, word by word, never on substrings: "access_token" and "sessionToken" are secret, "tokenizer" and
// "keyboard" are not.
package redact

import (
	"net/url"
	"strings"
	"unicode"
)

// Mask stands where a secret stood.
const Mask = "REDACTED"

// secretWords make any name that contains one of them secret.
var secretWords = set("token", "secret", "password", "passwd", "pwd", "passphrase", "signature", "credential", "credentials",
	"authorization", "auth", "bearer", "jwt", "assertion", "apikey", "otp", "cookie", "csrf", "xsrf", "csrftoken", "xsrftoken",
	"accesstoken", "refreshtoken", "idtoken", "sessionid", "clientsecret", "passcode", "cvv", "cvc")

// secretNames are secret as a whole name, in lower case and without separators.
var secretNames = set("key", "code", "sig", "session", "sid", "apikey", "accesskey", "privatekey", "secretkey", "sessionkey", "sessionid",
	"subscriptionkey", "codeverifier", "devicecode", "usercode", "oauthverifier", "samlresponse", "samlrequest", "jsessionid", "phpsessid",
	"pin")

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// Name reports whether a field, a query parameter or a header of this name holds a secret.
func Name(name string) bool {
	whole := strings.Builder{}
	for _, w := range words(name) {
		if secretWords[w] || secretWords[strings.TrimSuffix(w, "s")] {
			return true
		}
		whole.WriteString(w)
	}
	s := strings.TrimPrefix(whole.String(), "x")
	return secretNames[s] || strings.HasSuffix(s, "apikey") || strings.HasSuffix(s, "subscriptionkey") || strings.HasSuffix(s, "accesskey")
}

// words splits a name at separators and where a capital begins a word, also after an acronym (APIToken), and lower-cases.
func words(name string) []string {
	var out []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			out = append(out, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	letters := []rune(name)
	for i, r := range letters {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			continue
		}
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			flush()
		}
		word.WriteRune(r)
	}
	flush()
	return out
}

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
