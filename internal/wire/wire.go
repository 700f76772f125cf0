// Package wire says what may go out on the wire: which text is a token or a header's value, and how
// a URL is made of a base URL, a path and the values of its placeholders.
//
// Its functions are pure. They send nothing, keep nothing, and are safe for concurrent use. Each
// error names what was wrong and where, and none prints the value of a placeholder or a URL's
// password, which may be secret.
package wire

import "strings"

// IsToken reports whether text is a token, as a method and the name of a header have to be (RFC
// 9110 §5.6.2).
func IsToken(text string) bool {
	for i := range len(text) {
		if !IsTokenByte(text[i]) {
			return false
		}
	}
	return text != ""
}

// IsTokenByte reports whether a token may have this byte.
func IsTokenByte(c byte) bool {
	return isLetter(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// BadHeaderByte returns the index of the first byte that no header's value may have, or -1: a
// control character other than a tab could end the line and begin another header (RFC 9110 §5.5,
// CVE-2026-40175).
func BadHeaderByte(value string) int {
	for i := range len(value) {
		if isControl(value[i]) && value[i] != '\t' {
			return i
		}
	}
	return -1
}

// ControlByte returns the index of the first ASCII control character, or -1.
func ControlByte(text string) int {
	for i := range len(text) {
		if isControl(text[i]) {
			return i
		}
	}
	return -1
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
