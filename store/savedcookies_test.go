//go:build !js

// A browser has no locks for files, which store.File needs, and so this file is not for js.

package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// cookieTokens is a server that keeps both of its tokens in HttpOnly cookies. The refresh cookie is
// sent to /auth alone, it is rotated, and the server notices one that is spent twice.
type cookieTokens struct {
	mu        sync.Mutex
	user      string
	current   int
	isExpired bool
	spent     int
	reused    int
	away      bool // a refresh gets a 503

	// refuse is called in place of a refresh, which gets a 401 that deletes the cookies.
	refuse func()
}

func (c *cookieTokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/auth/login":
		c.user = r.URL.Query().Get("user")
		c.issue(w)
	case "/auth/refresh":
		switch {
		case c.away:
			w.WriteHeader(http.StatusServiceUnavailable)
		case c.refuse != nil:
			c.refuse()
			http.SetCookie(w, &http.Cookie{Name: "session", Path: "/", MaxAge: -1})
			w.WriteHeader(http.StatusUnauthorized)
		case valueOf(r, "refresh") != fmt.Sprintf("refresh-%s-%d", c.user, c.current):
			c.reused++
			w.WriteHeader(http.StatusUnauthorized)
		default:
			c.spent++
			c.issue(w)
			w.WriteHeader(http.StatusNoContent)
		}
	case "/me":
		if c.isExpired || valueOf(r, "session") != fmt.Sprintf("session-%s-%d", c.user, c.current) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, c.user)
	}
}

// issue sets the next pair of cookies.
func (c *cookieTokens) issue(w http.ResponseWriter) {
	c.current++
	c.isExpired = false
	name := fmt.Sprintf("%s-%d", c.user, c.current)
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "session-" + name, Path: "/", HttpOnly: true})
	http.SetCookie(w, &http.Cookie{
		Name: "refresh", Value: "refresh-" + name, Path: "/auth", HttpOnly: true, MaxAge: 3600,
	})
}

func (c *cookieTokens) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isExpired = true
}

func (c *cookieTokens) refreshes() (spent, reused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spent, c.reused
}

func valueOf(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// cookieProcess is a client with a jar of its own and a store over the file, as a process has them.
type cookieProcess struct {
	*axle.Client
	session *store.UserStore[user]
}

func newCookieServer(t *testing.T) (server *cookieTokens, address string) {
	server = &cookieTokens{}
	httpServer := httptest.NewServer(server)
	t.Cleanup(httpServer.Close)
	return server, httpServer.URL
}

func newCookieProcess(t *testing.T, address, path string, opts ...store.Option) *cookieProcess {
	t.Helper()
	return openCookieProcess(t, axle.New().SetBaseURL(address), path, opts...)
}

func openCookieProcess(t *testing.T, client *axle.Client, path string, opts ...store.Option) *cookieProcess {
	t.Helper()
	client.SetTransport(&http.Transport{DisableKeepAlives: true})
	opts = append(opts, store.WithCookies(client), store.WithLogoutWhen(store.RejectedOnly))
	s := open(t, path, store.Endpoint(client, "/auth/refresh"), opts...)
	return &cookieProcess{client.Use(auth.New(s)), s}
}

func (p *cookieProcess) login(t *testing.T, name string) {
	t.Helper()
	_, err := p.Post(t.Context(), "/auth/login", nil, axleQuery("user", name), auth.Skip)
	require.NoError(t, err)
	p.session.Login(user{name}, nil)
}

// awaitUser waits until the process has heard that the user is logged in.
func (p *cookieProcess) awaitUser(t *testing.T, name string) {
	t.Helper()
	eventually(t, func() bool { u := p.session.State().User; return u != nil && u.Name == name })
}

func (p *cookieProcess) requireMe(t *testing.T, name string) {
	t.Helper()
	resp, err := p.Get(t.Context(), "/me")
	require.NoError(t, err)
	require.Equal(t, name, resp.String())
}

// cookiesAt returns the names of the cookies that the jar has for a path, and their values.
func (p *cookieProcess) cookiesAt(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, c := range p.HTTPClient().Jar.Cookies(urlOf(t, p.BaseURL()+path)) {
		all[c.Name] = c.Value
	}
	return all
}

func urlOf(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

func TestSavedCookies_OneExpiryIsOneRefreshAndTheOthersGetItsCookies(t *testing.T) {
	server, address := newCookieServer(t)
	path := sessionFile(t)
	a, b := newCookieProcess(t, address, path), newCookieProcess(t, address, path)
	a.login(t, "Ada")
	b.awaitUser(t, "Ada")
	b.requireMe(t, "Ada")

	for round := 1; round <= 3; round++ {
		server.expire()
		a.requireMe(t, "Ada")
		b.requireMe(t, "Ada")
		spent, reused := server.refreshes()
		assert.Equal(t, round, spent)
		assert.Zero(t, reused)
		a, b = b, a
	}
	assert.Equal(t, a.cookiesAt(t, "/auth/refresh"), b.cookiesAt(t, "/auth/refresh"))
	assert.Len(t, a.cookiesAt(t, "/auth/refresh"), 2)
}

func TestSavedCookies_ManyCallsOfManyStoresRefreshOnce(t *testing.T) {
	server, address := newCookieServer(t)
	path := sessionFile(t)
	var all []*cookieProcess
	for range 4 {
		all = append(all, newCookieProcess(t, address, path))
	}
	all[0].login(t, "Ada")
	for _, p := range all {
		p.awaitUser(t, "Ada")
	}

	server.expire()
	var wg sync.WaitGroup
	for _, p := range all {
		for range 5 {
			wg.Go(func() {
				resp, err := p.Get(t.Context(), "/me")
				if assert.NoError(t, err) {
					assert.Equal(t, "Ada", resp.String())
				}
			})
		}
	}
	wg.Wait()
	spent, reused := server.refreshes()
	assert.Equal(t, 1, spent)
	assert.Zero(t, reused)
}

func TestSavedCookies_ARestartIsLoggedIn(t *testing.T) {
	server, address := newCookieServer(t)
	path := sessionFile(t)
	newCookieProcess(t, address, path).login(t, "Ada")

	second := newCookieProcess(t, address, path)
	second.requireMe(t, "Ada")
	server.expire()
	second.requireMe(t, "Ada")
	require.NoError(t, second.session.Close())

	third := newCookieProcess(t, address, path)
	third.requireMe(t, "Ada")
	server.expire()
	third.requireMe(t, "Ada")
	spent, reused := server.refreshes()
	assert.Equal(t, 2, spent)
	assert.Zero(t, reused)
}

func TestSavedCookies_ALogoutElsewhereRemovesThem(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	a, b := newCookieProcess(t, address, path), newCookieProcess(t, address, path)
	a.login(t, "Ada")
	b.awaitUser(t, "Ada")
	other := urlOf(t, "https://other.axle.test/")
	b.HTTPClient().Jar.SetCookies(other, []*http.Cookie{{Name: "kept", Value: "1"}})
	require.Len(t, b.cookiesAt(t, "/auth"), 2)

	require.NoError(t, a.session.Logout(t.Context()))
	eventually(t, func() bool { return b.session.State().User == nil })
	assert.Empty(t, b.cookiesAt(t, "/auth"))
	assert.Len(t, b.HTTPClient().Jar.Cookies(other), 1, "it is a cookie of another host")
	assert.Empty(t, newCookieProcess(t, address, path).cookiesAt(t, "/auth"))
}

func TestSavedCookies_AnotherLoginElsewhereReplacesThem(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	a, b := newCookieProcess(t, address, path), newCookieProcess(t, address, path)
	a.login(t, "Ada")
	b.awaitUser(t, "Ada")
	b.HTTPClient().Jar.SetCookies(urlOf(t, address), []*http.Cookie{{Name: "of-ada", Value: "1"}})

	a.login(t, "Bob")
	b.awaitUser(t, "Bob")
	b.requireMe(t, "Bob")
	assert.NotContains(t, b.cookiesAt(t, "/"), "of-ada")
}

func TestSavedCookies_ARefusalDoesNotDeleteThoseThatAnotherHolderHasSavedMeanwhile(t *testing.T) {
	server, address := newCookieServer(t)
	path := sessionFile(t)
	a := newCookieProcess(t, address, path)
	a.login(t, "Ada")

	// A holder that does not know the lock refreshes while this one waits for its response.
	server.mu.Lock()
	server.refuse = func() {
		server.current++
		all, list := savedRecord(t, path)
		for i := range list {
			list[i]["line"] = strings.ReplaceAll(list[i]["line"], "Ada-1", "Ada-2")
		}
		all["counter"], all["refreshes"] = json.RawMessage("100"), json.RawMessage("1")
		writeRecord(t, path, all, list)
	}
	server.mu.Unlock()

	_, err := a.session.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "session-Ada-2", a.cookiesAt(t, "/")["session"])
	a.requireMe(t, "Ada")
}

func TestSavedCookies_ThatTheStorageLostAreSavedAgain(t *testing.T) {
	_, address := newCookieServer(t)
	storage := newShelf()
	client := axle.New().SetBaseURL(address).SetTransport(&http.Transport{DisableKeepAlives: true})
	s, err := store.Open[user](t.Context(), store.Endpoint(client, "/auth/refresh"), storage, store.WithCookies(client))
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	p := &cookieProcess{client, s}
	p.login(t, "Ada")

	storage.mu.Lock()
	before := string(storage.data)
	storage.data, storage.lost = nil, true
	storage.mu.Unlock()
	require.Contains(t, before, "session-Ada-1")

	p.session.SetState(func(s *store.State[user]) { s.User.Name = "Ada L." })
	storage.mu.Lock()
	defer storage.mu.Unlock()
	assert.Contains(t, string(storage.data), "session-Ada-1")
	assert.Contains(t, string(storage.data), "refresh-Ada-1")
}

func TestSavedCookies_OfARefreshThatCouldNotBeSavedAreSavedLater(t *testing.T) {
	_, address := newCookieServer(t)
	storage := newShelf()
	client := axle.New().SetBaseURL(address).SetTransport(&http.Transport{DisableKeepAlives: true})
	s := openShelf(t, storage, store.Endpoint(client, "/auth/refresh"), store.WithCookies(client), quiet())
	(&cookieProcess{client, s}).login(t, "Ada")

	storage.faulty(afterOne(errBoom, "save"), nil)
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, store.ErrStorage)
	storage.faulty(nil, nil)
	eventually(t, func() bool {
		_, data := storage.saved(t)
		return strings.Contains(string(data), "session-Ada-2") && strings.Contains(string(data), "refresh-Ada-2")
	})
}

// savedRecord returns the members of the saved record, and its cookies.
func savedRecord(t *testing.T, path string) (all map[string]json.RawMessage, cookies []map[string]string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &all))
	if all["cookies"] != nil {
		require.NoError(t, json.Unmarshal(all["cookies"], &cookies))
	}
	return all, cookies
}

func writeRecord(t *testing.T, path string, all map[string]json.RawMessage, cookies []map[string]string) {
	t.Helper()
	var err error
	all["cookies"], err = json.Marshal(cookies)
	require.NoError(t, err)
	data, err := json.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestSavedCookies_OfAnotherHostAreNeitherSavedNorTaken(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	a := newCookieProcess(t, address, path)
	evil := urlOf(t, "https://evil.axle.test/")
	a.HTTPClient().Jar.SetCookies(evil, []*http.Cookie{{Name: "foreign", Value: "1"}})
	a.login(t, "Ada")

	all, list := savedRecord(t, path)
	require.Len(t, list, 2)
	for _, line := range []string{"planted=1; Path=/", "planted=1; Path=/; Domain=axle.test"} {
		list = append(list, map[string]string{"url": evil.String(), "line": line})
	}
	list = append(list,
		map[string]string{"url": evil.String(), "line": "session=forged; Path=/; Domain=127.0.0.1"},
		map[string]string{"url": address, "line": "planted=1; Path=/; Domain=evil.axle.test"},
		map[string]string{"url": "::", "line": "planted=1"}, map[string]string{"url": address, "line": ";"})
	writeRecord(t, path, all, list)

	b := newCookieProcess(t, address, path)
	b.requireMe(t, "Ada")
	assert.Empty(t, b.HTTPClient().Jar.Cookies(evil))
	assert.NotContains(t, b.cookiesAt(t, "/"), "planted")
}

func TestSavedCookies_AChangeOfTheUserKeepsThoseOfTheRecord(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	a := newCookieProcess(t, address, path)
	a.login(t, "Ada")
	_, before := savedRecord(t, path)

	a.HTTPClient().Jar.SetCookies(urlOf(t, address), []*http.Cookie{{Name: "later", Value: "1"}})
	a.session.SetState(func(s *store.State[user]) { s.User.Name = "Ada L." })
	_, after := savedRecord(t, path)
	assert.Equal(t, before, after)
}

func TestSavedCookies_AFailedRefreshKeepsThoseOfTheRecord(t *testing.T) {
	server, address := newCookieServer(t)
	path := sessionFile(t)
	a := newCookieProcess(t, address, path)
	a.login(t, "Ada")
	_, before := savedRecord(t, path)

	server.mu.Lock()
	server.away = true
	server.mu.Unlock()
	_, err := a.session.RefreshToken(t.Context())
	require.Error(t, err)
	_, after := savedRecord(t, path)
	assert.Equal(t, before, after)
}

func TestSavedCookies_AreSavedWithAnAbsoluteExpiryAndWithoutTheRestOfTheirURL(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	newCookieProcess(t, address, path).login(t, "secret-query")

	_, list := savedRecord(t, path)
	require.Len(t, list, 2)
	for _, saved := range list {
		assert.Equal(t, address, saved["url"])
		c, err := http.ParseSetCookie(saved["line"])
		require.NoError(t, err)
		assert.True(t, c.HttpOnly)
		assert.Zero(t, c.MaxAge)
		if c.Name == "refresh" {
			assert.Equal(t, "/auth", c.Path)
			assert.WithinDuration(t, time.Now().Add(time.Hour), c.Expires, time.Minute)
		}
	}
}

func TestSavedCookies_OfAJarOfTheUsersAreNamesAndValues(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	a := openCookieProcess(t, axle.New().SetBaseURL(address).SetCookieJar(jar), path)
	a.login(t, "Ada")

	_, list := savedRecord(t, path)
	assert.Equal(t, []map[string]string{{"url": address, "line": "session=session-Ada-1; Path=/; HttpOnly"}}, list)
	newCookieProcess(t, address, path).requireMe(t, "Ada")
}

// brokenJar panics.
type brokenJar struct{ http.CookieJar }

func (brokenJar) Cookies(*url.URL) []*http.Cookie { panic("spilled tea") }

func TestSavedCookies_AJarThatPanicsIsToldAndCostsItsCookiesAlone(t *testing.T) {
	_, address := newCookieServer(t)
	var mu sync.Mutex
	var told error
	path := sessionFile(t)
	client := axle.New().SetBaseURL(address).SetCookieJar(brokenJar{})
	p := openCookieProcess(t, client, path, store.WithStorageFailure(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = errors.Join(told, err)
	}))
	p.session.Login(user{"Ada"}, tokenNamed("1"))

	mu.Lock()
	defer mu.Unlock()
	require.ErrorContains(t, told, "the cookies were not saved")
	second := open(t, path, nil)
	assert.Equal(t, "access-1", second.Token().AccessToken)
}

func TestSavedCookies_AJarThatDoesNotReturnHoldsNobodyLongerThanTheRefreshTimeout(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	newCookieProcess(t, address, path).login(t, "Ada")

	inner, err := cookiejar.New(nil)
	require.NoError(t, err)
	release := make(chan struct{})
	defer close(release)
	stuck := &watchedJar{inner, func() { <-release }}
	p := openCookieProcess(t, axle.New().SetBaseURL(address).SetCookieJar(stuck), path,
		store.WithRefreshTimeout(300*time.Millisecond))
	assert.Equal(t, &user{"Ada"}, p.session.State().User)
}

func TestSavedCookies_AClientWithoutABaseURLOrAJarIsAnError(t *testing.T) {
	for want, client := range map[string]*axle.Client{
		"no base URL":   axle.New(),
		"no cookie jar": axle.New().SetBaseURL("https://api.axle.test").SetCookieJar(nil),
	} {
		_, err := store.Open[user](t.Context(), nil, store.File(sessionFile(t)), store.WithCookies(client))
		require.ErrorContains(t, err, want)
	}
}

func TestSavedCookies_WithoutTheOptionNoneIsSaved(t *testing.T) {
	_, address := newCookieServer(t)
	path := sessionFile(t)
	client := axle.New().SetBaseURL(address).SetTransport(&http.Transport{DisableKeepAlives: true})
	p := &cookieProcess{client, open(t, path, store.Endpoint(client, "/auth/refresh"))}
	p.login(t, "Ada")

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(data), "cookies")
}
