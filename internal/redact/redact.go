// Package redact hides secrets in what axle prints: error messages, log records, curl lines.
//
// What a secret is, is judged by the name that it goes by (see [Name]), and, where there is no name, by its looks: a private
// key, a JWT, an HTTP credential. A body whose secrets cannot be told from the rest is not shown at all.
//
// names.go is the list of names, url.go, text.go, body.go and json.go mask what they are called after, and printable.go
// keeps control characters from a terminal. The functions know the common names; the methods of [Names] know a user's too.
package redact

import "net/url"

// Mask stands where a secret stood.
const Mask = "REDACTED"

// common is what is known without a user's additions.
var common Names

// Name reports whether a header, a parameter or a field of this name holds a secret. It does not allocate for names of up to
// 64 bytes.
func Name(name string) bool { return common.Secret(name) }

// URL is [Names.URL] by the common names.
func URL(u *url.URL) string { return common.URL(u) }

// RawURL is [Names.RawURL] by the common names.
func RawURL(raw string) string { return common.RawURL(raw) }

// Text is [Names.Text] by the common names.
func Text(text string) string { return common.Text(text) }

// Value is [Names.Value] by the common names.
func Value(text string) string { return common.Value(text) }

// Body is [Names.Body] by the common names.
func Body(body []byte, contentType, encoding string, limit int) string {
	return common.Body(body, contentType, encoding, limit)
}
