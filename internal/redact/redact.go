// Package redact hides secrets in what axle prints: error messages, log records, curl lines.
//
// A value is a secret if its name says so, see [Name]. A value without a name is a secret if it
// looks like one: a private key, a JWT, an HTTP credential. A body whose secrets cannot be told
// from the rest is not shown at all.
//
//	names.go      the list of names
//	headers.go    the headers that hold no secret
//	url.go        masks URLs, queries and forms
//	text.go       masks free text, such as errors
//	body.go       masks bodies, by their media type
//	json.go       masks JSON
//	printable.go  writes control characters out
//
// The functions of the package know the common names. The methods of [Names] also know the names
// that a user adds. Other packages of axle may import this one. It imports none of them.
package redact

import "net/url"

// Mask replaces a secret.
const Mask = "REDACTED"

// common has the common names, without a user's additions.
var common Names

// Name reports whether a header, a parameter or a field of this name holds a secret. It does not
// allocate for names of up to 64 bytes.
func Name(name string) bool { return common.Secret(name) }

// URL is [Names.URL] for the common names.
func URL(u *url.URL) string { return common.URL(u) }

// RawURL is [Names.RawURL] for the common names.
func RawURL(raw string) string { return common.RawURL(raw) }

// Text is [Names.Text] for the common names.
func Text(text string) string { return common.Text(text) }

// Value is [Names.Value] for the common names.
func Value(text string) string { return common.Value(text) }

// Body is [Names.Body] for the common names.
func Body(body []byte, contentType, encoding string, limit int) string {
	return common.Body(body, contentType, encoding, limit)
}
