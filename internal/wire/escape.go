package wire

import (
	"net/url"
	"strings"
)

// KeepEscapes escapes what the text of a parsed URL has yet to escape, and leaves its escapes as
// they are.
//
// Without it a [url.URL] ignores its RawPath as long as one byte in it lacks its escape, and then
// sends each "%2F" as a slash. And it sends its query as it is written, which some servers refuse
// if it is not ASCII.
func KeepEscapes(u *url.URL) {
	u.RawPath = escape(u.RawPath, isPathByte)
	u.RawQuery = escape(u.RawQuery, isQueryByte)
}

// ResolveKeepingEscapes returns the path, and the path in its escaped form, to which a redirect
// from one URL leads by its Location, as in [url.URL]. It returns false where net/http has made out
// the right one already: where the Location does not parse, or has no escape that net/http would
// undo.
func ResolveKeepingEscapes(from *url.URL, location string) (path, rawPath string, differs bool) {
	to, err := url.Parse(location)
	if err != nil || escape(to.RawPath, isPathByte) == to.RawPath {
		return "", "", false
	}
	KeepEscapes(to)
	resolved := from.ResolveReference(to)
	return resolved.Path, resolved.RawPath, true
}

// escape percent-encodes the bytes of text that may not go out as they are.
func escape(text string, isAllowed func(c byte) bool) string {
	first := 0
	for first < len(text) && isAllowed(text[first]) {
		first++
	}
	if first == len(text) {
		return text
	}

	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(text[:first])
	for i := first; i < len(text); i++ {
		c := text[i]
		if isAllowed(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// isPathByte reports whether a path may have a byte as it is: the characters of RFC 3986 §3.3, and
// brackets, which net/url leaves too.
func isPathByte(c byte) bool {
	return isLetter(c) || isDigit(c) || strings.IndexByte("/%-._~!$&'()*+,;=:@[]", c) >= 0
}

// isQueryByte reports whether a byte of a query is sent as it is: all of ASCII but the blank and
// the control characters.
func isQueryByte(c byte) bool { return c > ' ' && c < 0x7f }
