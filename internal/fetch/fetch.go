// Package fetch says what the Fetch API of a browser does with a request, where the program is
// compiled to js/wasm. net/http sends by that API there. The rules are those of the Fetch Standard
// (https://fetch.spec.whatwg.org), and where Chromium differs, those of Chromium.
//
// The package root and store use it. Only [SentBy] and [CookiesOf] know the browser itself; the
// rest is the same on every platform, where it can be tested.
package fetch

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// The entries of a header that net/http takes for options of fetch, and does not send. No header
// can have such a name.
const (
	// Credentials has the values omit, same-origin (the default) and include.
	Credentials = "js.fetch:credentials" //nolint:gosec // the name of an option

	// Mode has the values cors (the default), same-origin and no-cors.
	Mode = "js.fetch:mode"

	// Redirect has the values follow (the default), error and manual.
	Redirect = "js.fetch:redirect"
)

// The values of the options that axle itself uses.
const (
	Include = "include"
	Follow  = "follow"
	Fail    = "error"
	NoCORS  = "no-cors"
)

// options has the values that each option may have. The mode "navigate" is not among them, since
// fetch refuses it always.
var options = map[string][]string{
	Credentials: {"omit", "same-origin", Include},
	Mode:        {"cors", "same-origin", NoCORS},
	Redirect:    {Follow, Fail, "manual"},
}

// IsOption reports whether an entry of a header is an option of fetch.
func IsOption(name string) bool { return options[name] != nil }

// Prefix begins the name of each option.
const Prefix = "js.fetch:"

// CheckOption returns the error of an entry that begins as an option does and is none, or that has
// none of the values of its option.
func CheckOption(name string, values []string) error {
	if !IsOption(name) {
		return fmt.Errorf("%q is no option of fetch that net/http passes on: it passes on %s",
			name, strings.Join(slices.Sorted(maps.Keys(options)), ", "))
	}
	if len(values) == 1 && slices.Contains(options[name], values[0]) {
		return nil
	}
	return fmt.Errorf("%s is %q: fetch takes one of %q", name, values, options[name])
}

// Drops reports whether a browser leaves this header out of a request and does not say so: the
// forbidden request-headers of the standard, and the User-Agent, which Chromium replaces. The name is
// in net/http's spelling. A Content-Length is not among them: the browser sends the length that the
// body has.
func Drops(name string, values []string) bool {
	switch name {
	case "Accept-Charset", "Accept-Encoding", "Access-Control-Request-Headers",
		"Access-Control-Request-Method", "Access-Control-Request-Private-Network", "Connection",
		"Cookie", "Cookie2", "Date", "Dnt", "Expect", "Host", "Keep-Alive", "Origin", "Referer",
		"Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via":
		return true
	case "X-Http-Method", "X-Http-Method-Override", "X-Method-Override":
		return slices.ContainsFunc(values, namesForbiddenMethod)
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Sec-")
}

func namesForbiddenMethod(value string) bool {
	return slices.ContainsFunc(strings.Split(value, ","), func(method string) bool {
		return !AllowsMethod(strings.TrimSpace(method))
	})
}

// AllowsMethod reports whether fetch sends a request of this method.
func AllowsMethod(method string) bool {
	switch strings.ToUpper(method) {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		return false
	}
	return true
}

// DropsWithoutCORS reports whether a browser leaves this header, which it would send otherwise, out
// of a request whose mode is no-cors. Such a request has the four headers of the standard's safelist,
// and of these only short and plain values.
func DropsWithoutCORS(name string, values []string) bool {
	value := strings.Join(values, ", ")
	if len(value) > 128 {
		return true
	}

	switch name {
	case "Accept":
		return strings.ContainsFunc(value, isUnsafe)
	case "Accept-Language", "Content-Language":
		return strings.ContainsFunc(value, isNotOfLanguages)
	case "Content-Type":
		media, _, _ := strings.Cut(value, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
			return strings.ContainsFunc(value, isUnsafe)
		}
	}
	return true
}

// isUnsafe tells the CORS-unsafe request-header bytes of the standard.
func isUnsafe(r rune) bool {
	return r < ' ' && r != '\t' || r == 0x7f || strings.ContainsRune(`"():<>?@[\]{}`, r)
}

func isNotOfLanguages(r rune) bool {
	isLetter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	isDigit := '0' <= r && r <= '9'
	return !isLetter && !isDigit && !strings.ContainsRune(" *,-.;=", r)
}

// ResolvesPath reports whether a browser changes an escaped path, because the path has a segment "."
// or "..". Their dots may be escaped.
func ResolvesPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return true
		}
	}
	return false
}

// BadQueryByte returns the index of the first byte of a query that a browser removes, or after which it
// drops the rest; -1 if there is none. It escapes other bytes, which changes nothing.
func BadQueryByte(query string) int {
	return strings.IndexFunc(query, func(r rune) bool {
		return r <= ' ' || r == '#' || r == 0x7f || r == utf8.RuneError
	})
}

// NonASCII returns the index of the first byte of a header's value that is not ASCII, or -1. Go sends
// such bytes as they are. In a browser the value is a string, of which fetch sends other bytes or
// none.
func NonASCII(value string) int {
	return strings.IndexFunc(value, func(r rune) bool { return r >= 0x80 })
}

// Decodes reports whether a browser undoes each of these encodings of a response, before it hands
// the body on. It leaves the header as it was.
func Decodes(contentEncoding []string) bool {
	known := false
	for _, line := range contentEncoding {
		for name := range strings.SplitSeq(line, ",") {
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "":
			case "gzip", "x-gzip", "deflate", "br", "zstd":
				known = true
			default:
				return false
			}
		}
	}
	return known
}
