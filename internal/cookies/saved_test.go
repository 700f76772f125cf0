package cookies_test

import (
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/publicsuffix"

	"github.com/axlehttp/axle/internal/cookies"
)

// export returns the lines of the cookies that a jar has for the host of base.
func export(pending *cookies.Pending, jar http.CookieJar, base *url.URL) (lines []string) {
	for _, s := range pending.Export(jar, base) {
		lines = append(lines, s.Line)
	}
	return lines
}

func newKeepingJar() *cookies.Jar {
	jar := cookies.NewJar()
	jar.Keep()
	return jar
}

func TestExport_HasTheCookiesThatGoToTheHostWhateverTheirPath(t *testing.T) {
	const from = "https://api.axle.test/auth/login?code=1"
	for _, c := range []struct {
		name string
		from string
		set  []*http.Cookie
		want []string
	}{
		{"a session cookie", from, []*http.Cookie{{Name: "a", Value: "1", Path: "/", HttpOnly: true, Secure: true}}, []string{"a=1; Path=/; HttpOnly; Secure"}},
		{"one of another path", from, []*http.Cookie{{Name: "a", Value: "1", Path: "/other"}}, []string{"a=1; Path=/other"}},
		{"one without a path", from, []*http.Cookie{{Name: "a", Value: "1"}}, []string{"a=1; Path=/auth"}},
		{"one with a path that is none", from, []*http.Cookie{{Name: "a", Value: "1", Path: "x"}}, []string{"a=1; Path=/auth"}},
		{"one at the root", "https://api.axle.test", []*http.Cookie{{Name: "a", Value: "1"}}, []string{"a=1; Path=/"}},
		{"one of the domain", from, []*http.Cookie{{Name: "a", Value: "1", Path: "/", Domain: ".Axle.test"}}, []string{"a=1; Path=/; Domain=Axle.test"}},
		{"one that a sibling set for the domain", "https://id.axle.test/", []*http.Cookie{{Name: "a", Value: "1", Path: "/", Domain: "axle.test"}}, []string{"a=1; Path=/; Domain=axle.test"}},
		{"one that a sibling set for itself", "https://id.axle.test/", []*http.Cookie{{Name: "a", Value: "1"}}, nil},
		{"one for a domain that is not the host's", from, []*http.Cookie{{Name: "a", Value: "1", Domain: "evil.test"}}, nil},
		{"one that a stranger set for the domain", "https://evil.test/", []*http.Cookie{{Name: "a", Value: "1", Domain: "axle.test"}}, nil},
		{"another port", "https://api.axle.test:8443/", []*http.Cookie{{Name: "a", Value: "1"}}, []string{"a=1; Path=/"}},
		{"a value in quotes", from, []*http.Cookie{{Name: "a", Value: "1 2", Quoted: true, Path: "/"}}, []string{`a="1 2"; Path=/`}},
		{"two paths", from, []*http.Cookie{{Name: "a", Value: "1", Path: "/"}, {Name: "a", Value: "2", Path: "/x"}}, []string{"a=1; Path=/", "a=2; Path=/x"}},
		{"a newer value", from, []*http.Cookie{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, []string{"a=2; Path=/auth"}},
		{"a deletion", from, []*http.Cookie{{Name: "a", Value: "1"}, {Name: "a", MaxAge: -1}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := urlOf(t, "https://api.axle.test/v1")
			jar := newKeepingJar()
			jar.SetCookies(urlOf(t, c.from), c.set)
			assert.Equal(t, c.want, export(nil, jar, base))
			assert.Equal(t, c.want, export(nil, cookies.Route(jar), base))

			_, pending := cookies.NewPending(t.Context())
			empty := cookies.NewJar()
			pending.Over(empty).SetCookies(urlOf(t, c.from), c.set)
			assert.Equal(t, c.want, export(pending, empty, base), "pending over an empty jar")

			copied := newKeepingJar()
			var none *cookies.Pending
			cookies.Import(copied, base, none.Export(jar, base))
			assert.Equal(t, c.want, export(nil, copied, base))

			cookies.Remove(copied, base)
			assert.Empty(t, export(nil, copied, base))
			for _, path := range []string{"/", "/auth", "/x", "/other"} {
				assert.Empty(t, copied.Cookies(base.JoinPath("..", path)))
			}
		})
	}
}

func TestExport_AMaxAgeIsAnAbsoluteExpiryAndWhatHasExpiredGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := urlOf(t, "https://api.axle.test/")
		jar := newKeepingJar()
		jar.SetCookies(base, []*http.Cookie{
			{Name: "a", Value: "1", MaxAge: 60}, {Name: "b", Value: "1", Expires: time.Now().Add(time.Hour)},
			{Name: "c", Value: "1", MaxAge: math.MaxInt},
		})

		_, pending := cookies.NewPending(t.Context())
		lines := export(pending, jar, base)
		require.Len(t, lines, 3)
		assert.Equal(t, "a=1; Path=/; Expires=Sat, 01 Jan 2000 00:01:00 GMT", lines[0])

		time.Sleep(time.Minute)
		assert.Len(t, export(nil, jar, base), 2)
		time.Sleep(time.Hour)
		assert.Len(t, export(nil, jar, base), 1)
	})
}

func TestExport_APendingDeletionAndAnEmptiedJarHaveNoCookies(t *testing.T) {
	base := urlOf(t, "https://api.axle.test/")
	jar := newKeepingJar()
	jar.SetCookies(base, []*http.Cookie{{Name: "a", Value: "1"}})
	_, pending := cookies.NewPending(t.Context())
	pending.Over(jar).SetCookies(base, []*http.Cookie{{Name: "a", MaxAge: -1}})
	assert.Empty(t, export(pending, jar, base))
	assert.Len(t, export(nil, jar, base), 1)

	jar.Clear()
	assert.Empty(t, export(nil, jar, base))
}

func TestExport_OfAnUnknownJarHasTheNameAndTheValueAlone(t *testing.T) {
	base := urlOf(t, "https://api.axle.test/v1/")
	foreign, err := cookiejar.New(nil)
	require.NoError(t, err)
	late := cookies.NewJar() // the cookies come before Keep
	for _, jar := range []http.CookieJar{foreign, late} {
		jar.SetCookies(base, []*http.Cookie{{Name: "a", Value: "1", MaxAge: 60}, {Name: "b", Value: "1", Path: "/auth"}})
	}
	late.Keep()
	for name, jar := range map[string]http.CookieJar{"another jar": foreign, "before Keep": late} {
		assert.Equal(t, []string{"a=1; Path=/; HttpOnly; Secure"}, export(nil, jar, base), name)
	}
	assert.Empty(t, export(nil, nil, base))
}

func TestImport_LeavesOutWhatDoesNotGoToTheHost(t *testing.T) {
	base := urlOf(t, "https://api.axle.test/")
	for _, s := range []cookies.Saved{
		{URL: "https://evil.test/", Line: "a=1; Path=/"},
		{URL: "https://evil.test/", Line: "a=1; Path=/; Domain=axle.test"},
		{URL: "https://id.axle.test/", Line: "a=1; Path=/"},
		{URL: "https://api.axle.test/", Line: "a=1; Path=/; Domain=evil.test"},
		{URL: "https://api.axle.test/", Line: "a=1; Path=/; Domain=test"},
		{URL: "https://api.axle.test/", Line: ""},
		{URL: "", Line: "a=1; Path=/"},
		{URL: ":", Line: "a=1; Path=/"},
	} {
		jar := newKeepingJar()
		cookies.Import(jar, base, []cookies.Saved{s})
		for _, host := range []string{"api.axle.test", "id.axle.test", "evil.test", "other.test"} {
			assert.Empty(t, jar.Cookies(urlOf(t, "https://"+host+"/")), "%v", s)
		}
	}
}

func TestJar_WithoutKeepCostsNoAllocation(t *testing.T) {
	base := urlOf(t, "https://api.axle.test/")
	list := []*http.Cookie{{Name: "a", Value: "1", Path: "/"}}
	plain, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	require.NoError(t, err)
	jar := cookies.NewJar()
	want := testing.AllocsPerRun(100, func() { plain.SetCookies(base, list); plain.Cookies(base) })
	got := testing.AllocsPerRun(100, func() { jar.SetCookies(base, list); jar.Cookies(base) })
	assert.InDelta(t, want, got, 0)
}
