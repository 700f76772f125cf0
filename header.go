package axle

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"

	"github.com/axlehttp/axle/internal/wire"
)

// BasicAuth returns the value of an Authorization header for HTTP Basic (RFC 7617; axios's auth), in UTF-8:
// r.SetHeader("Authorization", axle.BasicAuth(name, password)).
func BasicAuth(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// axleHeaders are the headers that each request has, except in the bridge, where neither the caller nor the client sets them.
var axleHeaders = [...]struct{ name, value string }{
	{"Accept", "application/json, text/plain, */*"},
	{"User-Agent", userAgent},
}

// mergeHeaders gives r, a copy of the caller's request, headers of its own: the defaults that may go where its URL leads, then
// what the caller set. It notes where the sensitive ones may go.
func (s *settings) mergeHeaders(r *Request) {
	caller := r.Header
	r.Header = cloneHeader(caller)
	known := r.origins // of a request that has been through a call
	r.origins = r.pass.bound[:0:1]
	forMethod := s.methodHeader[r.method()]

	// The Host comes first, since it belongs to where the request goes.
	if _, own := caller["Host"]; !own {
		if list, ok := forMethod["Host"]; ok {
			r.Header["Host"] = list
		} else if list, ok := s.header["Host"]; ok {
			r.Header["Host"] = list
		}
	}

	target := "?" // where the caller's URL leads; asked only if a header depends on it
	destination := func() string {
		if target == "?" {
			target, _ = r.Origin()
		}
		return target
	}
	defaults := func(name string, list []string) {
		if _, own := caller[name]; own {
			return
		}
		if name == contentTypeHeader && !r.pass.inbound.verbatim {
			r.pass.defaultType = list
			if r.Body != nil && !takesDefaultType(r.Body) {
				return
			}
		}
		if s.isSensitive(name) {
			if s.origin == "" || destination() != s.origin || r.CrossedOrigin() {
				return
			}
			r.origins = append(r.origins, binding{name: name, values: list, origin: s.origin})
		}
		r.Header[name] = slices.Clone(list)
	}
	for name, list := range s.header {
		if _, replaced := forMethod[name]; !replaced {
			defaults(name, list)
		}
	}
	for name, list := range forMethod {
		defaults(name, list)
	}

	if !r.pass.inbound.verbatim {
		for _, own := range axleHeaders {
			if _, set := r.Header[own.name]; !set {
				r.Header[own.name] = []string{own.value}
			}
		}
	}

	for name, list := range caller {
		i := slices.IndexFunc(known, func(b binding) bool { return b.isHeader(name) && slices.Equal(b.values, list) })
		switch {
		case i >= 0:
			r.origins = append(r.origins, known[i])
		case s.isSensitive(name):
			r.origins = append(r.origins, binding{name: name, values: slices.Clone(list), origin: destination(), own: true})
		}
	}
	for _, b := range known {
		if b.query && slices.Equal(r.Query[b.name], b.values) {
			r.origins = append(r.origins, b)
		}
	}
}

// isCanonical reports whether each name is spelled as net/http spells it, so that no name can stand there twice.
func isCanonical(header http.Header) bool {
	for name := range header {
		if textproto.CanonicalMIMEHeaderKey(name) != name {
			return false
		}
	}
	return true
}

// canonical returns the header with each name in one spelling. Values of one name in several spellings become one list, in which
// none stands twice. But handlers are given canonical names alone: so another spelling beside a value that stood there before
// the handlers, from the caller or the client, is a handler's, and takes its place. The pass whose handlers these are may be nil.
func (p *pass) canonical(header http.Header) http.Header {
	c := make(http.Header, len(header))
	names := slices.Sorted(maps.Keys(header))
	for _, name := range names {
		if key := textproto.CanonicalMIMEHeaderKey(name); key != name {
			c[key] = addMissing(c[key], header[name])
		}
	}
	for _, name := range names {
		if textproto.CanonicalMIMEHeaderKey(name) != name {
			continue
		}
		written, twice := c[name]
		switch {
		case !twice:
			c[name] = header[name]
		case !p.isGiven(name, header[name]):
			c[name] = addMissing(slices.Clip(header[name]), written)
		}
	}
	return c
}

// addMissing adds to a list those values of another that it does not have.
func addMissing(list, more []string) []string {
	for _, value := range more {
		if !slices.Contains(list, value) {
			list = append(list, value)
		}
	}
	return list
}

// isGiven reports whether a header has the values that it had before the handlers.
func (p *pass) isGiven(name string, list []string) bool {
	if p == nil {
		return false
	}
	s := p.settings
	for _, header := range [...]http.Header{p.source.Header, s.methodHeader[p.source.method()], s.header} {
		if given, found := header[name]; found {
			return slices.Equal(given, list)
		}
	}
	for _, own := range axleHeaders {
		if own.name == name {
			return !p.inbound.verbatim && len(list) == 1 && list[0] == own.value
		}
	}
	return false
}

// headerValues are the values that dispatch will send of a header, which a handler may have written in another case.
func (r *Request) headerValues(name string) []string {
	if isCanonical(r.Header) {
		return r.Header[name]
	}
	return r.pass.canonical(r.Header)[name]
}

// checkHeaders refuses names and values that could end a line or a header early (CVE-2026-40175).
func checkHeaders(header http.Header) error {
	for name, list := range header {
		if !wire.IsToken(name) {
			return fmt.Errorf("the header name %q is not a token", name)
		}
		for _, v := range list {
			if i := wire.BadHeaderByte(v); i >= 0 {
				return fmt.Errorf("the value of header %s has a control character at byte %d", name, i)
			}
		}
	}
	return nil
}
