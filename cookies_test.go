package axle_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// cookieNames are the cookies that a jar has for base.
func cookieNames(t *testing.T, jar http.CookieJar, base string) []string {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	names := []string{}
	for _, c := range jar.Cookies(u) {
		names = append(names, c.Name)
	}
	return names
}

func TestClearCookies_EmptiesTheJarForEverybodyWhoSharesIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1", Path: "/"})
		}
		w.Header()["X-Got"] = r.Header["Cookie"]
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := axle.New().SetBaseURL(server.URL).SetTransport(transport)
	clone, given := client.Clone(), client.HTTPClient()
	got := func(c *axle.Client) string {
		resp, err := c.Get(context.Background(), "/")
		require.NoError(t, err)
		return resp.Header.Get("X-Got")
	}

	_, err := clone.Get(t.Context(), "/login")
	require.NoError(t, err)
	require.Equal(t, "sid=1", got(client))
	require.Equal(t, []string{"sid"}, cookieNames(t, given.Jar, server.URL))

	client.ClearCookies()

	assert.Empty(t, got(client))
	assert.Empty(t, got(clone))
	assert.Empty(t, cookieNames(t, given.Jar, server.URL))

	_, err = client.Get(t.Context(), "/login")
	require.NoError(t, err)
	assert.Equal(t, []string{"sid"}, cookieNames(t, given.Jar, server.URL), "the jar still works")
	other := axle.New().SetCookieJar(given.Jar)
	other.ClearCookies()
	assert.Empty(t, got(client), "the jar of another client that New made is emptied too")
}

func TestClearCookies_LeavesAJarOfTheUsersOwnAsItIs(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	u, err := url.Parse("http://axle.test")
	require.NoError(t, err)
	jar.SetCookies(u, []*http.Cookie{{Name: "sid", Value: "1"}})
	axle.New().SetCookieJar(jar).ClearCookies()
	axle.New().SetCookieJar(nil).ClearCookies()
	assert.Equal(t, []string{"sid"}, cookieNames(t, jar, "http://axle.test"))
}

func TestCookies_TheDefaultJarKnowsThePublicSuffixes(t *testing.T) {
	u, err := url.Parse("https://shop.co.uk")
	require.NoError(t, err)
	jar := axle.New().HTTPClient().Jar
	jar.SetCookies(u, []*http.Cookie{{Name: "all", Value: "1", Domain: "co.uk"}})
	assert.Empty(t, cookieNames(t, jar, "https://bank.co.uk"))
}
