package cookies

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// An http.Client gives its jar a URL and cookies, and does not say which request they belong to.
// This file tells the cookies of a refresh from others where the client cannot be exchanged for one
// request. The transport below the client marks the cookies in the response, and the jar of the
// client, a Routed, reads the mark.

// Routed is a jar that gives marked cookies to the [Pending] that they belong to. It gives all
// other cookies to the jar that it wraps.
type Routed struct {
	jar   http.CookieJar
	views sync.Map // the *view of each mark
}

// Route wraps a jar in a [*Routed]. A nil jar stays nil, and a [*Routed] is returned unchanged.
func Route(jar http.CookieJar) http.CookieJar {
	if _, ok := jar.(*Routed); ok || jar == nil {
		return jar
	}
	return &Routed{jar: jar}
}

// Unrouted returns the jar that [Route] was given.
func Unrouted(jar http.CookieJar) http.CookieJar {
	if routed, ok := jar.(*Routed); ok {
		return routed.jar
	}
	return jar
}

// Cookies implements http.CookieJar.
func (r *Routed) Cookies(u *url.URL) []*http.Cookie { return r.jar.Cookies(u) }

// SetCookies implements http.CookieJar. It drops cookies whose mark it does not know, since their
// refresh is over.
func (r *Routed) SetCookies(u *url.URL, list []*http.Cookie) {
	mark := markOf(list)
	if mark == "" {
		r.jar.SetCookies(u, list)
		return
	}
	v, ok := r.views.Load(mark)
	if !ok {
		return
	}

	plain := make([]*http.Cookie, len(list))
	for i, c := range list {
		p := *c //nolint:gosec // a copy of what the server set, for a jar
		p.Raw = strings.TrimSuffix(c.Raw, "; "+mark)
		p.Unparsed = slices.DeleteFunc(slices.Clone(c.Unparsed), func(attribute string) bool {
			return attribute == mark
		})
		plain[i] = &p
	}
	v.(*view).SetCookies(u, plain)
}

// markOf returns the mark of one response's cookies. It is empty if they have none.
func markOf(list []*http.Cookie) string {
	for _, c := range list {
		for _, attribute := range c.Unparsed {
			if strings.HasPrefix(attribute, markName) {
				return attribute
			}
		}
	}
	return ""
}

const markName = "axle-pending="

// Mark marks the cookies of a response that an http.Client with the jar is about to get. The mark
// is an attribute of each cookie. It is random, so that no server can guess it, and everybody
// ignores an attribute that is not known (RFC 6265 §5.2).
//
// If the jar is not a [*Routed], Mark does nothing.
func (p *Pending) Mark(jar http.CookieJar, resp *http.Response) {
	routed, ok := jar.(*Routed)
	if p == nil || !ok || len(resp.Header["Set-Cookie"]) == 0 {
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == committed || p.state == logout {
		return
	}
	if p.mark == "" {
		p.mark = markName + rand.Text()
	}

	// The cookies of a refresh that was dropped get a mark that no jar knows.
	if p.state == open {
		routed.views.Store(p.mark, p.viewOf(routed))
		if !slices.Contains(p.routed, routed) {
			p.routed = append(p.routed, routed)
		}
	}

	resp.Header = resp.Header.Clone()
	for i, line := range resp.Header["Set-Cookie"] {
		resp.Header["Set-Cookie"][i] = line + "; " + p.mark
	}
}

// Unmark removes the mark of [Pending.Mark] from a response that has passed the http.Client.
func (p *Pending) Unmark(header http.Header) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mark == "" {
		return
	}
	for i, line := range header["Set-Cookie"] {
		header["Set-Cookie"][i] = strings.TrimSuffix(line, "; "+p.mark)
	}
}

// Apply returns a copy of r that carries the pending cookies. r comes from an http.Client with the
// jar, so its Cookie header has the cookies of the jar alone. If there is nothing to change, or if
// the jar is not a [*Routed], Apply returns r.
func (p *Pending) Apply(jar http.CookieJar, r *http.Request) *http.Request {
	routed, ok := jar.(*Routed)
	if p == nil || !ok {
		return r
	}
	v, u := p.over(routed), URLOf(r)
	if len(v.visible.Cookies(u)) == 0 {
		return r
	}

	// The http.Client added the cookies that the jar itself has. A cookie that the caller wrote has
	// another name or another value, and stays.
	var fromJar []string
	for _, c := range v.jar.Cookies(u) {
		fromJar = append(fromJar, c.String())
	}

	changed := r.WithContext(r.Context())
	changed.Header = r.Header.Clone()
	changed.Header.Del("Cookie")
	for _, c := range r.Cookies() {
		if !slices.Contains(fromJar, c.String()) {
			changed.AddCookie(c)
		}
	}
	for _, c := range v.Cookies(u) {
		changed.AddCookie(c)
	}
	return changed
}

// URLOf returns the URL that an http.Client gives its jar for r. It has the Host of r.
func URLOf(r *http.Request) *url.URL {
	if r.Host == "" || r.Host == r.URL.Host {
		return r.URL
	}
	u := *r.URL
	u.Host = r.Host
	return &u
}

// Transport is for an http.Client whose jar is a [*Routed]. It applies the pending cookies of a
// request's context to the request, and marks the cookies of the response.
type Transport struct {
	http.RoundTripper
	Jar http.CookieJar
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pending := PendingOf(r.Context())
	sent := pending.Apply(t.Jar, r)
	resp, err := t.RoundTripper.RoundTrip(sent)
	if err != nil || resp == nil {
		return nil, err
	}

	if resp.Request == sent {
		resp.Request = r
	}
	pending.Mark(t.Jar, resp)
	return resp, nil
}
