package cookies_test

import (
	"context"
	"net/http"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/cookies"
)

func urlOf(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

// line is the Cookie header that a jar gives a request.
func line(jar http.CookieJar, u *url.URL) string {
	r := http.Request{Header: http.Header{}}
	for _, c := range jar.Cookies(u) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

func TestPending_TheRefreshSeesThePendingCookiesOverThoseOfTheJar(t *testing.T) {
	base := "https://api.axle.test/"

	// In a browser a cookie is for one host alone: see suffixes_js.go.
	forTheDomain := "c=2"
	if runtime.GOOS == "js" {
		forTheDomain = ""
	}
	for _, c := range []struct {
		name string
		set  []*http.Cookie
		ask  string
		want string // as the refresh sees it
		jar  string // as the jar has it after the commit; empty: the same
	}{
		{"another value", []*http.Cookie{{Name: "a", Value: "2"}}, base, "b=1; a=2", "a=2; b=1"},
		{"a new one", []*http.Cookie{{Name: "c", Value: "2"}}, base, "a=1; b=1; c=2", ""},
		{"a value in quotes", []*http.Cookie{{Name: "c", Value: "2 3", Quoted: true}}, base, `a=1; b=1; c="2 3"`, ""},
		{"an empty value", []*http.Cookie{{Name: "a", Value: ""}}, base, "b=1; a=", "a=; b=1"},
		{"a deletion by Max-Age", []*http.Cookie{{Name: "a", MaxAge: -1}}, base, "b=1", ""},
		{"a deletion by Expires", []*http.Cookie{{Name: "a", Expires: time.Unix(1, 0)}}, base, "b=1", ""},
		{"Max-Age before Expires", []*http.Cookie{{Name: "a", Value: "2", MaxAge: 9, Expires: time.Unix(1, 0)}}, base, "b=1; a=2", "a=2; b=1"},
		{"set and deleted", []*http.Cookie{{Name: "c", Value: "2"}, {Name: "c", MaxAge: -1}}, base, "a=1; b=1", ""},
		{"for another path", []*http.Cookie{{Name: "c", Value: "2", Path: "/x"}}, base, "a=1; b=1", ""},
		{"for that path", []*http.Cookie{{Name: "c", Value: "2", Path: "/x"}}, base + "x", "a=1; b=1; c=2", "c=2; a=1; b=1"},
		{"for another host", []*http.Cookie{{Name: "c", Value: "2"}}, "https://other.axle.test/", "", ""},
		{"for the domain", []*http.Cookie{{Name: "c", Value: "2", Domain: "axle.test"}}, "https://other.axle.test/", forTheDomain, ""},
		{"for a public suffix", []*http.Cookie{{Name: "c", Value: "2", Domain: "co.uk"}}, base, "a=1; b=1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			jar := cookies.NewJar()
			jar.SetCookies(urlOf(t, base), []*http.Cookie{{Name: "a", Value: "1"}, {Name: "b", Value: "1"}})
			before := line(jar, urlOf(t, c.ask))
			_, pending := cookies.NewPending(t.Context())
			pending.Over(jar).SetCookies(urlOf(t, base), c.set)

			assert.Equal(t, c.want, line(pending.Over(jar), urlOf(t, c.ask)))
			assert.Equal(t, before, line(jar, urlOf(t, c.ask)))

			require.NoError(t, pending.Commit(time.Minute))
			if c.jar == "" {
				c.jar = c.want
			}
			assert.Equal(t, c.jar, line(jar, urlOf(t, c.ask)))
			assert.Equal(t, c.jar, line(pending.Over(jar), urlOf(t, c.ask)))
		})
	}
}

func TestPending_ItsOutcomeIsFinal(t *testing.T) {
	u := urlOf(t, "https://api.axle.test/")
	one, two := []*http.Cookie{{Name: "a", Value: "1"}}, []*http.Cookie{{Name: "b", Value: "2"}}
	for _, c := range []struct {
		name   string
		settle func(*cookies.Pending)
		want   string
	}{
		{"committed", func(s *cookies.Pending) { _ = s.Commit(time.Minute); s.Drop() }, "a=1; b=2"},
		{"dropped", func(s *cookies.Pending) { s.Drop(); _ = s.Commit(time.Minute) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			jar := cookies.NewJar()
			_, pending := cookies.NewPending(t.Context())
			pending.Over(jar).SetCookies(u, one)
			c.settle(pending)
			pending.Over(jar).SetCookies(u, two)
			assert.Equal(t, c.want, line(jar, u))
		})
	}
}

func TestPending_AMarkedResponseWaitsForTheOutcomeAndAnyOtherGoesToTheJar(t *testing.T) {
	u := urlOf(t, "https://api.axle.test/")
	jar := cookies.NewJar()
	routed := cookies.Route(jar)
	ctx, pending := cookies.NewPending(t.Context())
	require.Same(t, pending, cookies.PendingOf(ctx))
	response := func() *http.Response {
		return &http.Response{Header: http.Header{"Set-Cookie": {"a=1; Path=/", "b=2"}}}
	}

	marked := response()
	pending.Mark(routed, marked)
	routed.SetCookies(u, marked.Cookies())
	assert.Empty(t, line(jar, u))
	assert.Equal(t, "a=1; b=2", line(pending.Over(routed), u))
	pending.Unmark(marked.Header)
	assert.Equal(t, response().Header, marked.Header)

	forged := &http.Response{Header: http.Header{"Set-Cookie": {"c=3; axle-pending=guess"}}}
	routed.SetCookies(u, forged.Cookies())
	assert.Empty(t, line(jar, u))

	late := response()
	pending.Mark(routed, late)
	pending.Drop()
	routed.SetCookies(u, late.Cookies())
	assert.Empty(t, line(jar, u), "the refresh has returned, and its login is over")

	later := response()
	pending.Mark(routed, later)
	routed.SetCookies(u, later.Cookies())
	assert.Empty(t, line(jar, u), "a goroutine that the refresh left behind got a response")

	routed.SetCookies(u, response().Cookies())
	assert.Equal(t, "a=1; b=2", line(jar, u))
}

func TestPending_AContextWithoutOneHoldsNothingBack(t *testing.T) {
	ctx, _ := cookies.NewPending(t.Context())
	for _, ctx := range []context.Context{t.Context(), cookies.WithoutPending(ctx)} {
		pending := cookies.PendingOf(ctx)
		require.Nil(t, pending)
		jar := cookies.NewJar()
		assert.Same(t, jar, pending.Over(jar))
		r := &http.Request{URL: urlOf(t, "https://api.axle.test/")}
		assert.Same(t, r, pending.Apply(cookies.Route(jar), r))
		pending.Mark(cookies.Route(jar), &http.Response{})
		pending.Drop()
		require.NoError(t, pending.Commit(time.Minute))
	}
	assert.Nil(t, cookies.Route(nil))
}
