//go:build !js

package fetch

import "net/http"

// Possible says whether the program is compiled for a browser.
const Possible = false

// SentBy is false: there is no browser.
func SentBy(http.RoundTripper) bool { return false }

// CookiesOf returns none: there is no page.
func CookiesOf(string) []*http.Cookie { return nil }

// HasScriptValue is false: there is no JavaScript.
func HasScriptValue(any) bool { return false }
