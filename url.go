package axle

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/redact"
	"github.com/axlehttp/axle/internal/wire"
)

// This file is the URL of a request: what it is resolved to, and the origin that it leads to. How a
// URL is made of a base URL, a path and its placeholders is package wire's business.

// ResolveURL returns the URL as it would be sent: base, path and query parameters (axios's getUri).
// Its errors are [*Error]s with CodeInvalidURL or CodeBadOption.
func (r *Request) ResolveURL() (*url.URL, error) {
	// Outside a call nothing has merged the client's default query parameters yet.
	if s := r.settings(); s != nil && r.pass == nil {
		merged := *r
		merged.origins = slices.Clip(r.origins)
		s.mergeQuery(&merged)
		r = &merged
	}

	u, err := r.resolve()
	if err != nil {
		return nil, err
	}

	// A query parameter that is bound to another origin would not be sent.
	sent := *r
	if sent.dropStray(r.destination(u)) {
		if u, err = sent.resolve(); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// Origin returns the origin (scheme, host and port) that the request would be sent to, as
// "https://api.example.com" or "http://localhost:8080": in lower case, without a default port, and
// with an internationalised host in punycode.
//
// For plain http a forward proxy is told the Host, and may take the request there. So if a Host
// header, or the Host of a request behind [Client.RoundTripper], names another origin than the URL,
// Origin returns a text with both, such as "http://api.example.com with the Host other.example". No
// URL has this text as its origin.
func (r *Request) Origin() (string, error) {
	// Most requests are a plain path behind the base URL, and then go where that leads. They need
	// no URL of their own for this.
	s := r.urlSettings()
	if s != nil && s.base != nil && len(r.pathParams) == 0 && s.base.IsPlainJoin(r.URL) {
		return r.destination(&s.base.URL), nil
	}
	if r.pass != nil && r.pass.inbound.isURLOf(r) {
		return r.destination(r.pass.inbound.url), nil
	}

	u, err := r.resolve()
	if err != nil {
		return "", err
	}
	return r.destination(u), nil
}

// originOf is origin.Of. It makes no new string for a URL that has the base URL's origin.
func (s *settings) originOf(u *url.URL) string {
	if s.base != nil && u.Scheme == s.base.Scheme && u.Host == s.base.Host && u.Opaque == "" {
		return s.origin
	}
	return origin.Of(u)
}

// urlSettings are the settings that the URL is resolved by.
func (r *Request) urlSettings() *settings {
	if r.base != nil {
		return r.base
	}
	return r.settings()
}

// resolve returns the URL with the query parameters. The caller may change the URL.
func (r *Request) resolve() (*url.URL, *Error) {
	u, err := r.resolvePath()
	if err != nil {
		return nil, err
	}

	if len(r.Query) > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += r.Query.Encode()
	}
	return u, nil
}

// resolvePath is resolve without the parameters of Query. The caller may change the URL.
func (r *Request) resolvePath() (*url.URL, *Error) {
	// The URL that the bridge was given is no template, whatever braces it has, and goes out as it
	// came.
	if r.pass != nil && r.pass.inbound.isURLOf(r) {
		given := *r.pass.inbound.url
		return &given, nil
	}

	s := r.urlSettings()
	if s == nil {
		s = &noSettings
	}
	if s.baseErr != nil {
		return nil, urlError(r, s.baseErr)
	}
	if s.pathsOnly && wire.IsAbsolute(r.URL) {
		message := fmt.Sprintf("the URL %q is absolute, which the client does not allow",
			redact.RawURL(r.URL))
		return nil, invalidURL(r, message)
	}

	u, err := wire.Join(s.base, r.URL, wire.Values{Own: r.pathParams, Defaults: s.pathParams})
	if err != nil {
		return nil, urlError(r, err)
	}
	return u, nil
}

// urlError is the error of a URL that cannot be sent: a placeholder's is a bad option, any other is
// the URL's own.
func urlError(r *Request, err error) *Error {
	if _, isParam := errors.AsType[*wire.ParamError](err); isParam {
		return badOption(r, err.Error(), nil)
	}
	return invalidURL(r, err.Error())
}

// noSettings are those of a request that has no client.
var noSettings settings

// mergeQuery gives r a Query of its own: the parameters that the caller set, and the defaults of
// other names. A default that is a secret by its name goes to the base URL's origin alone.
func (s *settings) mergeQuery(r *Request) {
	r.Query = cloneValues(r.Query)
	if len(s.query) == 0 {
		return
	}

	// A parameter that is written in the URL counts as the caller's too.
	raw, _, _ := strings.Cut(r.URL, "#")
	_, raw, _ = strings.Cut(raw, "?")
	inURL, _ := url.ParseQuery(raw)

	for name, list := range s.query {
		if r.Query.Has(name) || inURL.Has(name) {
			continue
		}
		if redact.Name(name) {
			if target, _ := r.Origin(); s.origin == "" || target != s.origin || r.CrossedOrigin() {
				continue
			}
			r.origins = append(r.origins, binding{name: name, values: list, origin: s.origin, query: true})
		}
		r.Query[name] = slices.Clone(list)
	}
}

// keepRedirectEscapes gives a redirected request the path that its Location has. net/http undoes an
// escaped slash in it where some other byte lacks its escape. The query goes out in ASCII.
func keepRedirectEscapes(next, last *http.Request) {
	if next.Response != nil {
		location := next.Response.Header.Get("Location")
		if path, rawPath, differs := wire.ResolveKeepingEscapes(last.URL, location); differs {
			next.URL.Path, next.URL.RawPath = path, rawPath
		}
	}
	wire.KeepEscapes(next.URL)
}
