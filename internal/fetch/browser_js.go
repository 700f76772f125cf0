package fetch

import (
	"net/http"
	"strings"
	"syscall/js"
)

// Possible says whether the program is compiled for a browser.
const Possible = true

// isThere says whether net/http sends by fetch at all. In Node.js it does not.
var isThere = func() bool {
	process := js.Global().Get("process")
	inNode := process.Type() == js.TypeObject && strings.HasPrefix(process.Get("argv0").String(), "node")
	return !inNode && !js.Global().Get("fetch").IsUndefined()
}()

// SentBy reports whether what a transport sends goes out by fetch. A transport that dials by a
// function of its own does not use fetch. One that wraps another, and says so by a method Unwrap()
// http.RoundTripper, is asked for that one. Any other transport is taken to use fetch in the end.
func SentBy(transport http.RoundTripper) bool {
	if !isThere {
		return false
	}
	if transport == nil {
		transport = http.DefaultTransport
	}
	for {
		switch t := transport.(type) {
		case *http.Transport:
			//nolint:staticcheck // net/http itself still looks at Dial and DialTLS
			return t == nil || t.Dial == nil && t.DialContext == nil &&
				t.DialTLS == nil && t.DialTLSContext == nil
		case interface{ Unwrap() http.RoundTripper }:
			transport = t.Unwrap()
		default:
			return true
		}
	}
}

// CookiesOf returns the cookies that a script of the page may read (document.cookie), if the page
// is of this origin. A worker has none.
func CookiesOf(origin string) []*http.Cookie {
	global := js.Global()
	document := global.Get("document")
	if document.IsUndefined() || global.Get("origin").String() != origin {
		return nil
	}
	carrier := http.Request{Header: http.Header{"Cookie": {document.Get("cookie").String()}}}
	return carrier.Cookies()
}
