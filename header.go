package axle

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/wire"
)

// BasicAuth returns the value of an Authorization header for HTTP Basic (RFC 7617; axios's auth),
// in UTF-8: r.SetHeader("Authorization", axle.BasicAuth(name, password)).
func BasicAuth(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// Bearer returns the value of an Authorization header for a bearer token (RFC 6750 §2.1):
// r.SetHeader("Authorization", axle.Bearer(token)). interceptors/auth does it for a whole session.
func Bearer(token string) string { return "Bearer " + token }

// axleHeaders are the headers that each request has where neither the caller nor the client sets
// them, except behind the bridge.
var axleHeaders = [...]struct{ name, value string }{
	{"Accept", "application/json, text/plain, */*"},
	{"User-Agent", userAgent},
}

// mergeHeaders gives r, a copy of the caller's request, a header of its own: the client's defaults
// that may go where the URL leads, and what the caller set. It binds the sensitive ones to their
// origins.
func (s *settings) mergeHeaders(r *Request) {
	m := headerMerge{
		settings: s, request: r, caller: r.Header,
		forMethod: s.methodHeader[r.method()], known: r.origins,
	}
	r.Header = cloneHeader(r.Header)
	r.origins = r.pass.bound[:0:1]

	m.addHost()
	for name, list := range s.header {
		if _, replaced := m.forMethod[name]; !replaced {
			m.addDefault(name, list)
		}
	}
	for name, list := range m.forMethod {
		m.addDefault(name, list)
	}
	m.addAxlesOwn()
	m.bindCallers()
}

// headerMerge is the making of one request's header.
type headerMerge struct {
	*settings
	request   *Request
	caller    http.Header
	forMethod http.Header // the client's defaults for the request's method
	known     []binding   // of a request that has been through a call

	target string // the origin that the caller's URL leads to, once it is known
}

// addHost adds the default Host. It comes first, since it belongs to where the request goes.
func (m *headerMerge) addHost() {
	if _, found := m.caller["Host"]; found {
		return
	}
	for _, defaults := range [...]http.Header{m.forMethod, m.header} {
		if list, found := defaults["Host"]; found {
			m.request.Header["Host"] = list
			return
		}
	}
}

// addDefault adds a default header, unless the caller has set it or it may not go where the request
// goes.
func (m *headerMerge) addDefault(name string, list []string) {
	r := m.request
	if _, found := m.caller[name]; found {
		return
	}

	// A default Content-Type labels only bodies that carry no type of their own.
	if name == contentTypeHeader {
		r.pass.defaultType = list
		if r.Body != nil && !takesDefaultType(r.Body) {
			return
		}
	}

	if m.isSensitive(name) {
		if m.origin == "" || m.destination() != m.origin || r.CrossedOrigin() {
			return
		}
		r.origins = append(r.origins, binding{name: name, values: list, origin: m.origin})
	}
	r.Header[name] = slices.Clone(list)
}

// destination returns the origin that the caller's URL leads to. The URL is looked at only if a
// header depends on it.
func (m *headerMerge) destination() string {
	if m.target == "" {
		m.target, _ = m.request.Origin()
	}
	return m.target
}

// addAxlesOwn adds the headers that every request of axle's own has.
func (m *headerMerge) addAxlesOwn() {
	if m.request.pass.inbound.verbatim {
		return
	}
	for _, own := range axleHeaders {
		// A browser has a User-Agent of its own.
		if own.name == "User-Agent" && m.usesFetch() {
			continue
		}
		if _, found := m.request.Header[own.name]; !found {
			m.request.Header[own.name] = []string{own.value}
		}
	}
}

// bindCallers binds what the caller set. A request that has been through a call keeps the bindings
// of that call.
func (m *headerMerge) bindCallers() {
	r := m.request
	for name, list := range m.caller {
		isKnown := func(b binding) bool { return b.isHeader(name) && slices.Equal(b.values, list) }
		if i := slices.IndexFunc(m.known, isKnown); i >= 0 {
			r.origins = append(r.origins, m.known[i])
		} else if m.isSensitive(name) {
			r.origins = append(r.origins, binding{
				name: name, values: slices.Clone(list), origin: m.destination(), byCaller: true,
			})
		}
	}

	for _, b := range m.known {
		if b.query && slices.Equal(r.Query[b.name], b.values) {
			r.origins = append(r.origins, b)
		}
	}
}

// isCanonical reports whether each name is spelled as net/http spells it. No name can then be there
// twice.
func isCanonical(header http.Header) bool {
	for name := range header {
		if textproto.CanonicalMIMEHeaderKey(name) != name {
			return false
		}
	}
	return true
}

// canonical returns the header with each name in net/http's spelling. The values of one name in
// several spellings become one list, in which no value is twice. But handlers are given canonical
// names alone. So if a value from before the handlers, of the caller or the client, has another
// spelling beside it, then a handler wrote that, and the handler's values take the place of the
// older ones. The pass of these handlers may be nil.
func (p *pass) canonical(header http.Header) http.Header {
	c := make(http.Header, len(header))
	names := slices.Sorted(maps.Keys(header))

	// The other spellings come first,
	for _, name := range names {
		if key := textproto.CanonicalMIMEHeaderKey(name); key != name {
			c[key] = addMissing(c[key], header[name])
		}
	}

	// and then net/http's, which may have been there before the handlers.
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

// headerValues returns the values of a header that dispatch will send. A handler may have written
// its name in another case.
func (r *Request) headerValues(name string) []string {
	if isCanonical(r.Header) {
		return r.Header[name]
	}
	return r.pass.canonical(r.Header)[name]
}

// checkHeaders refuses names and values that could end a line or a header early (CVE-2026-40175).
func checkHeaders(header http.Header) error {
	for name, list := range header {
		if fetch.Possible && strings.HasPrefix(name, fetch.Prefix) {
			if err := fetch.CheckOption(name, list); err != nil {
				return err
			}
			continue
		}
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
