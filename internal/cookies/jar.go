// Package cookies has the cookie jars that axle works with, beside the jars of users. [Jar] is the
// jar that axle.New makes. [Pending] holds the cookies that a refresh's responses have set, until
// it is known whether the login is still the same.
//
// jar.go is Jar, saved.go the form in which its cookies are saved with a session, pending.go the
// life of the pending cookies, view.go the jar as a refresh sees it, and routed.go finds the cookies
// of a refresh behind an http.Client. The root package and package store use this package. It knows
// neither of them.
package cookies

import (
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync/atomic"
)

// Jar is a net/http/cookiejar.Jar with the list of public suffixes (but see suffixes_js.go), and it can
// be emptied. Make a Jar with [NewJar]. It is safe for concurrent use.
type Jar struct {
	current atomic.Pointer[cookiejar.Jar]
	log     atomic.Pointer[keptLog] // nil before Keep
}

// NewJar returns an empty jar.
func NewJar() *Jar {
	j := &Jar{}
	j.Clear()
	return j
}

// Keep makes the jar remember the attributes of the cookies that are set from now on, so that
// [Pending.Export] has them. A jar without Keep does no work for that.
func (j *Jar) Keep() {
	if j.log.Load() == nil {
		j.log.CompareAndSwap(nil, &keptLog{cookies: cookieLog{}})
	}
}

// logged returns the cookies that the jar remembers, and forgets those that have expired.
func (j *Jar) logged() cookieLog {
	l := j.log.Load()
	if l == nil {
		return cookieLog{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.cookies, func(_ key, e entry) bool { return e.isExpired() })
	return maps.Clone(l.cookies)
}

// Clear empties the jar for everybody who uses it.
func (j *Jar) Clear() {
	if l := j.log.Load(); l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		clear(l.cookies)
	}
	j.current.Store(newCookieJar())
}

// Cookies implements http.CookieJar.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie { return j.current.Load().Cookies(u) }

// SetCookies implements http.CookieJar.
func (j *Jar) SetCookies(u *url.URL, list []*http.Cookie) {
	if l := j.log.Load(); l != nil {
		// The lock keeps the jar and its log equal.
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cookies.note(u, list)
	}
	j.current.Load().SetCookies(u, list)
}

func newCookieJar() *cookiejar.Jar {
	// The error is always nil.
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: suffixes})
	return jar
}
