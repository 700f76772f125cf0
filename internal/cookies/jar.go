// Package cookies has the cookie jars that axle works with, beside the jars of users. [Jar] is the
// jar that axle.New makes. [Pending] holds the cookies that a refresh's responses have set, until
// it is known whether the login is still the same.
//
// jar.go is Jar, pending.go the life of the pending cookies, view.go the jar as a refresh sees it,
// and routed.go finds the cookies of a refresh behind an http.Client. The root package and package
// store use this package. It knows neither of them.
package cookies

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"
)

// Jar is a net/http/cookiejar.Jar with the list of public suffixes, and it can be emptied. Make a
// Jar with [NewJar]. It is safe for concurrent use.
type Jar struct{ current atomic.Pointer[cookiejar.Jar] }

// NewJar returns an empty jar.
func NewJar() *Jar {
	j := &Jar{}
	j.Clear()
	return j
}

// Clear empties the jar for everybody who uses it.
func (j *Jar) Clear() { j.current.Store(newCookieJar()) }

// Cookies implements http.CookieJar.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie { return j.current.Load().Cookies(u) }

// SetCookies implements http.CookieJar.
func (j *Jar) SetCookies(u *url.URL, list []*http.Cookie) { j.current.Load().SetCookies(u, list) }

func newCookieJar() *cookiejar.Jar {
	// The error is always nil.
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	return jar
}
