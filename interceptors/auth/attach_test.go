package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// fixed is a session that holds one token and cannot refresh.
type fixed struct{ token *oauth2.Token }

func (f fixed) Token() *oauth2.Token                              { return f.token }
func (fixed) RefreshToken(context.Context) (*oauth2.Token, error) { return nil, errBoom }
func (fixed) Logout(context.Context) error                        { return nil }

func bearerSession(access string) auth.Session { return &fixed{&oauth2.Token{AccessToken: access}} }

// responding is a transport whose responses have the status that the function returns.
func responding(handle func(*http.Request) int) http.RoundTripper {
	return inMemory{statusHandler(handle)}
}
func statusHandler(handle func(*http.Request) int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(handle(r)) }
}

// seeing records the Authorization of every request.
func seeing(seen *[]string, status int) http.RoundTripper {
	return responding(func(r *http.Request) int {
		*seen = append(*seen, r.Header.Get("Authorization"))
		return status
	})
}

func TestAttach_TheTokenWithItsType(t *testing.T) {
	for name, c := range map[string]struct {
		token *oauth2.Token
		want  string
	}{
		"Bearer by default": {&oauth2.Token{AccessToken: "x"}, "Bearer x"},
		"bearer":            {&oauth2.Token{AccessToken: "x", TokenType: "bearer"}, "Bearer x"},
		"MAC":               {&oauth2.Token{AccessToken: "x", TokenType: "MAC"}, "MAC x"},
		"none":              {nil, ""},
		"empty":             {&oauth2.Token{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := newClient(seeing(&seen, 200)).Use(auth.New(&fixed{c.token}))
			_, err := client.Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, []string{c.want}, seen)
		})
	}
}

func TestAttach_ATokenInTheClientsDefaultsIsReplacedAndTheCallersIsNot(t *testing.T) {
	var seen []string
	client := newClient(seeing(&seen, 200)).SetHeader("Authorization", "Bearer default").
		Use(auth.New(bearerSession("session")))
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	_, err = client.R(t.Context()).SetHeader("Authorization", "Bearer callers").Get("/")
	require.NoError(t, err)
	assert.Equal(t, []string{"Bearer session", "Bearer callers"}, seen)
}

func TestOrigins_TokensGoToAllowedOriginsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		base, url string
		allowed   []string
		want      bool
	}{
		"the base URL's":                   {"https://api.test/v1", "/x", nil, true},
		"the base URL's, written out":      {"https://api.test/v1", "https://api.test:443/x", nil, true},
		"the base URL's, in capitals":      {"https://api.test/v1", "https://API.TEST/x", nil, true},
		"another host":                     {"https://api.test", "https://evil.test/x", nil, false},
		"another port":                     {"https://api.test", "https://api.test:444/x", nil, false},
		"another scheme":                   {"https://api.test", "http://api.test/x", nil, false},
		"a subdomain":                      {"https://api.test", "https://a.api.test/x", nil, false},
		"an allowed one":                   {"https://api.test", "https://files.test/x", []string{"https://files.test"}, true},
		"an allowed one with a slash":      {"https://api.test", "https://files.test/x", []string{"https://files.test/"}, true},
		"of several":                       {"", "https://b.test/x", []string{"https://a.test", "https://b.test:443"}, true},
		"the base URL's, if not listed":    {"https://api.test", "/x", []string{"https://files.test"}, false},
		"a host that begins like it":       {"https://api.test", "https://api.test.evil.test/x", nil, false},
		"userinfo that looks like it":      {"https://api.test", "https://api.test@evil.test/x", nil, false},
		"a path parameter cannot leave it": {"https://api.test", "/{p}", nil, true},
		"a base URL with a placeholder":    {"https://{tenant}.api.test", "/x", nil, true},
		"that base URL, written out":       {"https://{tenant}.api.test", "https://one.api.test/x", nil, true},
		"another tenant's":                 {"https://{tenant}.api.test", "https://two.api.test/x", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := axle.New().SetTransport(seeing(&seen, 200)).SetBaseURL(c.base).
				Use(auth.New(bearerSession("t"), auth.WithAllowedOrigins(c.allowed...)))
			client.SetPathParam("tenant", "one")
			_, err := client.R(t.Context()).SetPathParam("p", "//evil.test").Get(c.url)
			require.NoError(t, err)
			require.Len(t, seen, 1)
			assert.Equal(t, c.want, seen[0] == "Bearer t", "%q", seen[0])
		})
	}
}

func TestOrigins_WithoutABaseURLAndAllowedOriginsACallFails(t *testing.T) {
	var seen []string
	client := axle.New().SetTransport(seeing(&seen, 200)).Use(auth.New(bearerSession("t")))
	_, err := client.Get(t.Context(), "http://api.test/x")
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Contains(t, err.Error(), "no base URL")
	assert.Empty(t, seen)
	_, err = client.Get(t.Context(), "http://api.test/x", auth.Skip)
	require.NoError(t, err, "a request that is skipped needs none")
}

func TestOrigins_ATokenDoesNotFollowARedirectAndA401FromThereIsNotTheSessions(t *testing.T) {
	var atEvil []string
	evil := httptest.NewServer(statusHandler(func(r *http.Request) int {
		atEvil = append(atEvil, r.Header.Get("Authorization"))
		return http.StatusUnauthorized
	}))
	defer evil.Close()
	api := httptest.NewServer(http.RedirectHandler(evil.URL, http.StatusFound))
	defer api.Close()
	var refreshes atomic.Int64
	users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		refreshes.Add(1)
		return nil, errBoom
	})
	users.Login(user{}, &oauth2.Token{AccessToken: "t"})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := axle.New().SetBaseURL(api.URL).SetTransport(transport).Use(auth.New(users))
	for name, get := range map[string]func() (int, error){
		"axle": func() (int, error) {
			_, err := client.Get(t.Context(), "/")
			e, _ := errors.AsType[*axle.Error](err)
			return e.StatusCode(), nil
		},
		"the bridge": func() (int, error) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, http.NoBody)
			resp, err := client.HTTPClient().Do(req)
			if err != nil {
				return 0, err
			}
			return resp.StatusCode, resp.Body.Close()
		},
	} {
		atEvil = nil
		status, err := get()
		require.NoError(t, err, name)
		assert.Equal(t, http.StatusUnauthorized, status, name)
		assert.Equal(t, []string{""}, atEvil, name)
		assert.Zero(t, refreshes.Load(), name)
		assert.NotNil(t, users.Token(), name)
	}
}

func TestBadInput_OptionsAndSessions(t *testing.T) {
	for name, c := range map[string]struct {
		plugin *auth.Interceptor
		says   string
	}{
		"nil session":                 {auth.New(nil), "session is nil"},
		"an origin without a scheme":  {auth.New(bearerSession("t"), auth.WithAllowedOrigins("api.test")), "api.test"},
		"an origin with a path":       {auth.New(bearerSession("t"), auth.WithAllowedOrigins("https://api.test/v1")), "/v1"},
		"a pattern":                   {auth.New(bearerSession("t"), auth.WithAllowedOrigins("https://*.test")), "*.test"},
		"ftp":                         {auth.New(bearerSession("t"), auth.WithAllowedOrigins("ftp://api.test")), "ftp"},
		"an origin that is malformed": {auth.New(bearerSession("t"), auth.WithAllowedOrigins("https://[")), "["},
		"an empty origin":             {auth.New(bearerSession("t"), auth.WithAllowedOrigins("")), `""`},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := newClient(seeing(&seen, 200)).Use(c.plugin)
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.Contains(t, err.Error(), c.says)
			assert.Empty(t, seen, "nothing is sent")
		})
	}
	assert.NotPanics(t, func() { auth.New(bearerSession("t"), nil) }, "a nil option is passed over")
}

func (panickingStore) RefreshSince(context.Context, auth.Generation) (auth.Snapshot, error) {
	panic("ouch")
}

func TestInstall_TwiceWorksOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.Use(w.auth)
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, 1, w.api.refreshed())
		assert.Equal(t, []string{"a1", "a2"}, w.api.arrived())

		w.api.arriving = func(r *http.Request) {
			if r.URL.Path != refreshPath {
				w.api.expire()
			}
		}
		_, err = w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, 2, w.api.refreshed(), "one refresh for one call")
	})
}

func TestInstall_UninstallWhileCallsRun(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.Interceptors.Request.Clear()
		w.client.Interceptors.Response.Clear()
		uninstall := w.auth.Install(w.client)
		assert.Equal(t, "auth", w.client.Interceptors.Request.String())
		delayed := w.delayRefresh()
		w.api.expire()
		call := w.get(t.Context(), "/data")
		synctest.Wait()
		uninstall()
		uninstall() // again is no harm
		assert.Zero(t, w.client.Interceptors.Request.Len()+w.client.Interceptors.Response.Len())
		delayed.open()
		resp, err := result(call)
		requireOK(t, resp, err)
		w.api.expire()
		_, err = w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, 1, w.api.refreshed())
	})
}

// countingStore refreshes without a server, and counts.
func countingStore() (*store.UserStore[user], *atomic.Int64) {
	n := new(atomic.Int64)
	users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		n.Add(1)
		return &oauth2.Token{AccessToken: "fresh"}, nil
	})
	users.Login(user{}, &oauth2.Token{AccessToken: "stale"})
	return users, n
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestP12_ABearerIsNeverStaleBetweenAttempts(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		tries := 0
		// A retry that stands before the auth pair replays through the request chain.
		w.client.Interceptors.Response.Clear()
		w.client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			if tries++; tries > 1 || err.StatusCode() != http.StatusUnauthorized {
				return nil, err
			}
			w.api.expire()
			if w.users != nil {
				_, _ = w.users.RefreshToken(context.Background())
			} else {
				_, _ = w.plain.RefreshToken(context.Background())
			}
			return err.Request.Replay()
		})
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, []string{"a1", "a2"}, w.api.arrived())
	})
}

func TestAttach_CostsAtMostOneAllocation(t *testing.T) {
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	users, _ := countingStore()
	for name, session := range map[string]auth.Session{"plain": bearerSession("t"), "store": users} {
		measure := func(plugins ...axle.Plugin) float64 {
			client := newClient(transport).SetCookieJar(nil).Use(plugins...)
			return testing.AllocsPerRun(200, func() { _, _ = client.Get(context.Background(), "/") })
		}
		without := measure()
		assert.LessOrEqual(t, measure(auth.New(session))-without, 1.0, name)
	}
}

func TestOrigins_AHandlerThatSendsACallElsewhereDoesNotTakeTheTokenAlong(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		var elsewhere []string
		w.client.SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "api.test" {
				elsewhere = append(elsewhere, r.Header.Get("Authorization")+r.Header.Get("Cookie"))
			}
			return emptyResponse(r)
		}))
		w.client.Interceptors.Request.Clear()
		w.client.Interceptors.Response.Clear()
		w.client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			return r.SetURL("http://evil.test/"), nil
		}, nil)
		w.client.Use(w.auth) // its request handler runs first
		_, err := w.client.Get(t.Context(), "/data")
		require.NoError(t, err)
		assert.Equal(t, []string{""}, elsewhere)
	})
}

func TestAttach_ARequestThatIsSentAgainLaterIsANewCall(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data") // 401, refresh, replay
		requireOK(t, resp, err)
		w.api.expire()
		resp, err = w.client.Do(resp.Request) // by its caller, as a poll would
		requireOK(t, resp, err)
		assert.Equal(t, 2, w.api.refreshed())
	})
}

func TestAttach_ARequestThatACacheAnswersWaitsForNoRefresh(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		// The cache is installed after auth, and so its request handler runs first.
		w.client.Use(axle.OnRequest("cache", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			if r.URL == "/cached" {
				r.Respond(axle.NewResponse(r, http.StatusOK, nil, []byte("a hit")))
			}
			return r, nil
		}, nil))
		delayed := w.delayRefresh()
		w.api.expire()
		first := w.get(t.Context(), "/data")
		synctest.Wait()

		cached := w.get(t.Context(), "/cached")
		synctest.Wait()
		require.True(t, isDone(cached), "it waits for the refresh")
		resp, err := result(cached)
		requireOK(t, resp, err)
		assert.Equal(t, "a hit", resp.String())

		delayed.open()
		resp, err = result(first)
		requireOK(t, resp, err)
		assert.Equal(t, 1, w.api.refreshed())
	})
}
