package cookies

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"time"
)

// view is one jar as a refresh sees it. It is a jar itself.
type view struct {
	owner   *Pending
	jar     http.CookieJar
	pending []response // guarded by the owner's lock

	// visible has the pending cookies for the refresh's own requests, and knows which request each
	// one belongs to. A deletion has to hide a cookie of the jar, so it is a cookie there too. The
	// first byte of each value tells the two apart.
	visible *cookiejar.Jar
}

// response is the cookies that one response has set.
type response struct {
	url  *url.URL
	list []*http.Cookie
}

// These are the first bytes of the values in view.visible.
const (
	markSet     = "+"
	markDeleted = "-"
)

func (v *view) state() state {
	v.owner.mu.Lock()
	defer v.owner.mu.Unlock()
	return v.owner.state
}

// Cookies implements http.CookieJar. A pending cookie hides the jar's cookies of the same name, and
// so does a pending deletion.
func (v *view) Cookies(u *url.URL) []*http.Cookie {
	inJar := v.jar.Cookies(u)
	if v.state() == committed {
		return inJar
	}
	pending := v.visible.Cookies(u)
	if len(pending) == 0 {
		return inJar
	}

	list := slices.DeleteFunc(slices.Clone(inJar), func(c *http.Cookie) bool {
		return slices.ContainsFunc(pending, func(p *http.Cookie) bool { return p.Name == c.Name })
	})
	for _, c := range pending {
		if c.Value[:1] == markSet {
			c.Value = c.Value[1:]
			list = append(list, c)
		}
	}
	return list
}

// SetCookies implements http.CookieJar.
func (v *view) SetCookies(u *url.URL, list []*http.Cookie) {
	state := v.keep(u, list)
	if state == committed || state == logout {
		v.jar.SetCookies(u, list)
	}
	if state == committed {
		return
	}

	marked := make([]*http.Cookie, len(list))
	for i, c := range list {
		m := *c //nolint:gosec // a copy of what the server set, for a jar
		marked[i] = &m
		if deletes(c) {
			m.Value, m.MaxAge, m.Expires = markDeleted, 0, time.Time{}
		} else {
			m.Value = markSet + c.Value
		}
	}
	v.visible.SetCookies(u, marked)
}

// keep adds a response's cookies to the pending ones, if the outcome of the refresh is not known
// yet.
func (v *view) keep(u *url.URL, list []*http.Cookie) state {
	v.owner.mu.Lock()
	defer v.owner.mu.Unlock()
	if v.owner.state == open {
		own := *u
		v.pending = append(v.pending, response{&own, slices.Clone(list)})
	}
	return v.owner.state
}

// deletes reports whether a jar takes c for the order to delete the cookie (RFC 6265 §5.2.2, §5.3).
func deletes(c *http.Cookie) bool {
	expired := c.MaxAge == 0 && !c.Expires.IsZero() && !c.Expires.After(time.Now())
	return c.MaxAge < 0 || expired
}
