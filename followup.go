package axle

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/delay"
	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/wire"
)

// This file is what Pages, Poll and Events share: the request that follows from a response, the pause
// before it, and the errors between two calls.

// mapped returns what a caller gets in the place of an error that is of no call: the error that
// [Client.SetErrorMapper] makes of it, as of a call's.
func (c *Client) mapped(err *Error) error { return c.settings.Load().mapped(err) }

// followUp returns the request after r: a copy with an edit. The caller's sensitive headers are
// bound to the origin of r first, so that they do not go to another one, wherever the edit leads.
func (r *Request) followUp(edit func(*Request)) *Request {
	again := r.Clone()
	if !isCanonical(again.Header) {
		again.Header = again.pass.canonical(again.Header)
	}
	if s := again.settings(); s != nil {
		s.noteOrigins(again)
	}
	return again.With(edit)
}

// withLink returns an edit that leads the request to a link of resp: an absolute URL, or a reference
// relative to the URL that resp came from. The link has the whole query, so that the request's own
// query and path parameters go. A link that does not parse is bad input of the request.
func (r *Response) withLink(link string) func(*Request) {
	return func(req *Request) {
		to, err := r.resolveLink(link)
		if err != nil {
			req.setBad(err)
			return
		}
		if from := r.location(); from == nil || origin.Of(from) != origin.Of(to) {
			req.Header.Del("Host")
		}
		req.SetURL(req.withoutBase(to.String()))
		req.Query, req.pathParams = url.Values{}, nil
	}
}

// withoutBase returns a URL below the base URL as a path, where the client allows no absolute URLs
// (see [Client.SetAllowAbsoluteURLs]). It returns any other URL as it is.
func (r *Request) withoutBase(absolute string) string {
	if s := r.settings(); s != nil && s.pathsOnly {
		// A URL that is not below the base URL keeps its scheme, and begins with neither.
		path := strings.TrimPrefix(absolute, strings.TrimSuffix(s.baseURL, "/"))
		if path == "" || path[0] == '/' || path[0] == '?' {
			return path
		}
	}
	return absolute
}

// resolveLink returns the URL that a link of the response leads to.
func (r *Response) resolveLink(link string) (*url.URL, error) {
	to, err := url.Parse(link)
	if err != nil {
		return nil, fmt.Errorf("the link to follow is malformed: %w", withoutURL(err))
	}
	wire.KeepEscapes(to)

	from := r.location()
	if from != nil {
		to = from.ResolveReference(to)
	}

	// A server may not make up credentials. Those of its own URL stay on its origin.
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	if origin.Same(from, to) {
		to.User = from.User
	}

	// A server's URL has no placeholders, so its braces are escaped.
	to.RawQuery = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(to.RawQuery)
	return to, nil
}

// location returns the URL that the response came from, after redirects; nil if it is not known.
// The caller may not change it.
func (r *Response) location() *url.URL {
	if r.raw != nil && r.raw.Request != nil && r.raw.Request.URL != nil {
		if fetch.Possible {
			return r.withUserinfo(r.raw.Request.URL)
		}
		return r.raw.Request.URL
	}
	if r.Request == nil {
		return nil
	}
	u, err := r.Request.ResolveURL()
	if err != nil {
		return nil
	}
	return u
}

// badLink returns the error of the request that follows from r, if what r says has made that request
// one that cannot be sent; else nil. The caller's input is not to blame, since the request before
// was sent.
func (r *Response) badLink(next *Request) *Error {
	if next.bad == nil {
		return nil
	}
	return &Error{Code: CodeBadResponse, Message: next.bad.Error(), Request: r.Request, Response: r}
}

var identitySeed = maphash.MakeSeed()

// identity returns a hash of the request as it would be sent, and whether there is one. A body that
// is a stream has none.
func (r *Request) identity() (sum uint64, known bool) {
	u, err := r.ResolveURL()
	if err != nil {
		return 0, false
	}
	body, contentType, err := r.EncodedBody()
	if err != nil {
		return 0, false
	}

	var h maphash.Hash
	h.SetSeed(identitySeed)
	write := func(text string) {
		_, _ = h.WriteString(text)
		_ = h.WriteByte(0)
	}
	write(r.method())
	write(u.String())
	write(contentType)
	write(string(body))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		write(name)
		write(strings.Join(r.Header[name], "\x00"))
	}
	return h.Sum64(), true
}

// queryParam returns the value of a query parameter that the request itself sets, in Query or in
// its URL.
func (r *Request) queryParam(name string) string {
	if r.Query.Has(name) {
		return r.Query.Get(name)
	}
	withoutFragment, _, _ := strings.Cut(r.URL, "#")
	_, query, _ := strings.Cut(withoutFragment, "?")
	values, _ := url.ParseQuery(query)
	return values.Get(name)
}

// replaceQueryParam sets a query parameter, and removes one of that name from the URL's own query.
func (r *Request) replaceQueryParam(name, value string) {
	withoutFragment, _, _ := strings.Cut(r.URL, "#")
	path, query, found := strings.Cut(withoutFragment, "?")
	if found {
		kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
			key, _, _ := strings.Cut(pair, "=")
			key, err := url.QueryUnescape(key)
			return err == nil && key == name
		})
		r.URL = path
		if len(kept) > 0 {
			r.URL += "?" + strings.Join(kept, "&")
		}
	}
	r.SetQueryParam(name, value)
}

var errNoTimeLeft = errors.New("the wait would outlast the context's deadline")

// pause waits before next is sent. If next's context ends meanwhile, or if its deadline comes
// before the end of the wait, pause returns the error of next.
func pause(next *Request, wait time.Duration) *Error {
	ctx := next.Context()
	if ctx.Err() != nil {
		return contextError(ctx, next)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return &Error{Code: CodeTimeout, Request: next, Err: errNoTimeLeft}
	}

	if delay.Wait(ctx, wait) != nil {
		return contextError(ctx, next)
	}
	return nil
}

// withoutBody is an edit that makes a request a GET without a body.
func withoutBody(r *Request) {
	r.SetMethod(http.MethodGet).SetBody(nil)
	for _, name := range []string{
		contentTypeHeader, "Content-Encoding", "Content-Language", "Content-Length",
	} {
		r.Header.Del(name)
	}
}
