package fetch

import (
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
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
// is of this origin. A worker has none. A browser allows more characters than net/http does.
func CookiesOf(origin string) []*http.Cookie {
	global := js.Global()
	document := global.Get("document")
	if document.IsUndefined() || global.Get("origin").String() != origin {
		return nil
	}
	var list []*http.Cookie
	for pair := range strings.SplitSeq(document.Get("cookie").String(), "; ") {
		name, value, _ := strings.Cut(pair, "=")
		list = append(list, &http.Cookie{Name: name, Value: value}) //nolint:gosec // it is only read
	}
	return list
}

// HasScriptValue reports whether a value that is to be encoded is a value of JavaScript, such as a
// File, or has one in it. The codecs of Go see nothing in it, and would leave it out in silence.
func HasScriptValue(v any) bool { return v != nil && hasScriptValue(reflect.ValueOf(v), 0) }

var (
	scriptValue = reflect.TypeFor[js.Value]()
	scriptFunc  = reflect.TypeFor[js.Func]()
	marshalers  = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()}
)

// maxDepth ends the search in a value that contains itself. A codec refuses such a value.
const maxDepth = 100

func hasScriptValue(v reflect.Value, depth int) bool {
	if !v.IsValid() || depth > maxDepth {
		return false
	}
	if v.Type() == scriptValue || v.Type() == scriptFunc {
		return true
	}
	for _, marshaler := range marshalers {
		if v.Type().Implements(marshaler) {
			return false
		}
	}

	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return hasScriptValue(v.Elem(), depth+1)
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if hasScriptValue(entries.Value(), depth+1) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if isPlain(v.Type().Elem().Kind()) {
			return false
		}
		for i := range v.Len() {
			if hasScriptValue(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			isEncoded := (field.IsExported() || field.Anonymous) && field.Tag.Get("json") != "-"
			if isEncoded && hasScriptValue(v.Field(i), depth+1) {
				return true
			}
		}
	}
	return false
}

// isPlain reports whether nothing can be in a value of this kind.
func isPlain(kind reflect.Kind) bool {
	return kind <= reflect.Complex128 || kind == reflect.String
}
