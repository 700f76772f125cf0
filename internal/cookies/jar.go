// Package cookies has the cookie jars that axle works with, beside a user's own: the one that New makes, and the stage that holds
// back what the answers of a refresh set until it is known whether the login is still the same.
//
// The root package and the store use it. It knows neither of them.
package cookies

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"
)

// Jar is net/http's cookie jar with the list of public suffixes, and it can be emptied. Make one with [NewJar]. It is safe for
// concurrent use.
type Jar struct{ current atomic.Pointer[cookiejar.Jar] }

// NewJar returns an empty jar.
func NewJar() *Jar {
	j := &Jar{}
	j.Clear()
	return j
}

// Clear empties the jar, for everybody who has it.
func (j *Jar) Clear() { j.current.Store(newCookieJar()) }

// Cookies implements http.CookieJar.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie { return j.current.Load().Cookies(u) }

// SetCookies implements http.CookieJar.
func (j *Jar) SetCookies(u *url.URL, list []*http.Cookie) { j.current.Load().SetCookies(u, list) }

func newCookieJar() *cookiejar.Jar {
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // its error is always nil
	return jar
}
