package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// fixed is a session that holds one token and cannot refresh.
type fixed struct{ token *oauth2.Token }

func (f fixed) Token() *oauth2.Token                              { return f.token }
func (fixed) RefreshToken(context.Context) (*oauth2.Token, error) { return nil, errBoom }
func (fixed) Logout(context.Context) error                        { return nil }
func bearerSession(access string) auth.Session                    { return &fixed{&oauth2.Token{AccessToken: access}} }
func answering(handle func(*http.Request) int) http.RoundTripper {
	return inMemory{statusHandler(handle)}
}
func statusHandler(handle func(*http.Request) int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(handle(r)) }
}

// seeing records the Authorization of every request.
func seeing(seen *[]string, status int) http.RoundTripper {
	return answering(func(r *http.Request) int {
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
			client := axle.New().SetBaseURL("http://api.test").SetTransport(seeing(&seen, 200)).Use(auth.New(&fixed{c.token}))
			_, err := client.Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, []string{c.want}, seen)
		})
	}
}

func TestAttach_ATokenInTheClientsDefaultsIsReplacedAndTheCallersIsNot(t *testing.T) {
	var seen []string
	client := axle.New().SetBaseURL("http://api.test").SetTransport(seeing(&seen, 200)).SetHeader("Authorization", "Bearer default").
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
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := axle.New().SetTransport(seeing(&seen, 200)).SetBaseURL(c.base).Use(auth.New(bearerSession("t"), auth.WithAllowedOrigins(c.allowed...)))
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
	users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) { refreshes.Add(1); return nil, errBoom })
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
			client := axle.New().SetBaseURL("http://api.test").SetTransport(seeing(&seen, 200)).Use(c.plugin)
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.Contains(t, err.Error(), c.says)
			assert.Empty(t, seen, "nothing is sent")
		})
	}
	assert.NotPanics(t, func() { auth.New(bearerSession("t"), nil) }, "a nil option is passed over")
}

// panicking panics in one of its methods.
type panicking struct {
	fixed
	in string
}

func (p *panicking) Token() *oauth2.Token {
	if p.in == "Token" {
		panic("ouch")
	}
	return p.token
}

func (p *panicking) RefreshToken(context.Context) (*oauth2.Token, error) {
	if p.in == "RefreshToken" {
		panic("ouch")
	}
	return nil, errBoom
}

func (p *panicking) Logout(context.Context) error {
	if p.in == "Logout" {
		panic("ouch")
	}
	return nil
}

func TestBadInput_ASessionThatPanicsIsAnErrorOfTheCall(t *testing.T) {
	for _, in := range []string{"Token", "RefreshToken", "Logout"} {
		t.Run(in, func(t *testing.T) {
			client := axle.New().SetBaseURL("http://api.test").SetTransport(answering(func(*http.Request) int { return 401 })).
				Use(auth.New(&panicking{fixed{&oauth2.Token{AccessToken: "t"}}, in}))
			for range 2 { // nothing is left taken
				_, err := client.Get(t.Context(), "/")
				p, ok := errors.AsType[*future.PanicError](err)
				require.True(t, ok, "%v", err)
				assert.Equal(t, "ouch", p.Value)
			}
		})
	}
}

// panickingStore is a StatefulSession that panics.
type panickingStore struct{ *store.UserStore[user] }

func (panickingStore) RefreshSince(context.Context, auth.Generation) (auth.Snapshot, error) {
	panic("ouch")
}

func TestBadInput_AStatefulSessionThatPanicsIsAnErrorOfTheCall(t *testing.T) {
	users := store.New[user](nil)
	users.Login(user{}, &oauth2.Token{AccessToken: "t"})
	client := axle.New().SetBaseURL("http://api.test").SetTransport(answering(func(*http.Request) int { return 401 })).
		Use(auth.New(panickingStore{users}))
	_, err := client.Get(t.Context(), "/")
	_, ok := errors.AsType[*future.PanicError](err)
	require.True(t, ok, "%v", err)
}

func TestBadInput_ARefreshThatYieldsNoTokenInBearerMode(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.cookies {
			return // there nil and nil is the rule
		}
		w.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, nil }
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err) // the replay's, with the token that was kept
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.Equal(t, []string{"a1", "a1"}, w.api.arrived())
		assert.Equal(t, "a1", w.session.Token().AccessToken)
	})
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
		held := w.holdRefresh()
		w.api.expire()
		call := w.get(t.Context(), "/data")
		synctest.Wait()
		uninstall()
		uninstall() // again is no harm
		assert.Zero(t, w.client.Interceptors.Request.Len()+w.client.Interceptors.Response.Len())
		held.open()
		resp, err := result(call)
		requireOK(t, resp, err)
		w.api.expire()
		_, err = w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, 1, w.api.refreshed())
	})
}

func TestWithStatusCodes(t *testing.T) {
	for status, refreshed := range map[int]int64{401: 0, 403: 1, 419: 1, 500: 0} {
		users, n := countingStore()
		client := axle.New().SetBaseURL("http://api.test").SetTransport(answering(func(*http.Request) int { return status })).
			Use(auth.New(users, auth.WithStatusCodes(403, 419)))
		_, err := client.Get(t.Context(), "/")
		require.Error(t, err)
		assert.Equal(t, refreshed, n.Load(), "%d", status)
	}
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

func TestWithShouldRefresh_JudgesFulfilledResponsesToo(t *testing.T) {
	users, n := countingStore()
	envelope := inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fresh" {
			_, _ = io.WriteString(w, `{"error":"token expired"}`) // with a 200
			return
		}
		_, _ = io.WriteString(w, `{"data":1}`)
	})}
	client := axle.New().SetBaseURL("http://api.test").SetTransport(envelope).Use(auth.New(users,
		auth.WithShouldRefresh(func(r *axle.Response) bool { return strings.Contains(r.String(), "token expired") })))
	resp, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, `{"data":1}`, resp.String())
	assert.EqualValues(t, 1, n.Load())
}

func TestAnswer_AFulfilled401IsRefreshedAndItsLastOneIsReturnedFulfilled(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.SetValidateStatus(nil)
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		w.api.arriving = func(r *http.Request) {
			if r.URL.Path != refreshPath {
				w.api.expire()
			}
		}
		resp, err = w.client.Get(t.Context(), "/data")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		assert.Equal(t, "who are you?", resp.String())
	})
}

func TestAnswer_AFulfilled401WhoseRefreshFailsIsAnErrorWithBoth(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.SetValidateStatus(nil)
		w.failRefresh(errBoom)
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.ErrorIs(t, err, errBoom)
	})
}

// streamedBody tells when it is closed.
type streamedBody struct {
	io.Reader
	closed chan struct{}
}

func (b *streamedBody) Close() error { close(b.closed); return nil }

func TestAnswer_TheRefusedResponseIsReadAndClosedBeforeAnyoneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		held := newGate()
		users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			held.pass()
			return &oauth2.Token{AccessToken: "fresh"}, nil
		})
		users.Login(user{}, &oauth2.Token{AccessToken: "stale"})
		client := axle.New().SetBaseURL("http://api.test").SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer fresh" {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: &streamedBody{strings.NewReader("no"), closed}, Request: r}, nil
		})).Use(auth.New(users))
		call := future.Go(func() (*axle.Response, error) {
			return client.R(t.Context()).SetStream(true).SetValidateStatus(nil).Get("/")
		})
		synctest.Wait()
		require.EqualValues(t, 1, held.waiting.Load())
		select {
		case <-closed:
		default:
			t.Error("the 401 is open while the refresh runs")
		}
		held.open()
		resp, err := result(call)
		requireOK(t, resp, err)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestP2_TwoClientsOfOneSessionRefreshOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		second := w.client.Clone() // the same Interceptor in another client
		third := axle.New().SetBaseURL("http://api.test").SetTransport(inMemory{w.api})
		if w.cookies {
			third = w.client.Clone()
			third.Interceptors.Request.Clear()
			third.Interceptors.Response.Clear()
		}
		third.Use(w.auth)
		w.api.expire()
		var calls []*future.Future[*axle.Response]
		for _, client := range []*axle.Client{w.client, second, third, w.client, second, third} {
			calls = append(calls, future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/data") }))
		}
		for _, call := range calls {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		_, _, refreshes, reuses := w.api.count()
		assert.Equal(t, 1, refreshes)
		assert.Zero(t, reuses)
	})
}

func TestP2_TwoInterceptorsOfOneStoreRefreshOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{store: true}, inMemory{a}, a, "http://api.test")
		other := axle.New().SetBaseURL("http://api.test").SetTransport(inMemory{a}).Use(auth.New(w.users))
		a.expire()
		one, two := w.get(t.Context(), "/data"), future.Go(func() (*axle.Response, error) { return other.Get(t.Context(), "/data") })
		resp, err := result(one)
		requireOK(t, resp, err)
		resp, err = result(two)
		requireOK(t, resp, err)
		assert.Equal(t, 1, a.refreshed())
	})
}

func TestP4_TheTokenIsReadAgainBeforeItIsRefreshed(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.cookies {
			return // nothing but a refresh can change them here
		}
		w.api.leaving = func(r *http.Request, status int) {
			if status == http.StatusUnauthorized { // meanwhile somebody else has refreshed, and stored the token
				if w.users != nil {
					_, err := w.users.RefreshToken(context.Background())
					assert.NoError(t, err)
				} else {
					_, err := w.plain.RefreshToken(context.Background())
					assert.NoError(t, err)
				}
			}
		}
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		_, _, refreshes, reuses := w.api.count()
		assert.Equal(t, 1, refreshes)
		assert.Zero(t, reuses)
	})
}

func TestP12_ABearerIsNeverStaleBetweenAttempts(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		tries := 0
		w.client.Interceptors.Response.Clear() // a retry that stands before the auth pair replays through the request chain
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

func TestBridge_A401BehindAnHTTPClientIsRefreshedAndReplayed(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			w := loopback(t, k)
			client := w.client.HTTPClient()
			post := func() (*http.Response, string) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.client.BaseURL()+"/data", strings.NewReader("payload"))
				require.NoError(t, err)
				resp, err := client.Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				return resp, string(body)
			}
			w.api.expire()
			resp, body := post()
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Equal(t, "payload", body)
			assert.Equal(t, 1, w.api.refreshed())

			w.api.arriving = func(r *http.Request) {
				if r.URL.Path != refreshPath {
					w.api.expire()
				}
			}
			resp, body = post()
			assert.Equal(t, http.StatusUnauthorized, resp.StatusCode, "its last 401 is a response")
			assert.Equal(t, "who are you?", body)
		})
	}
}

func TestBridge_AFailedRefreshIsAnErrorWithBoth(t *testing.T) {
	w := loopback(t, kind{store: true})
	w.failRefresh(errBoom)
	w.api.expire()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.client.BaseURL()+"/data", http.NoBody)
	require.NoError(t, err)
	_, err = w.client.HTTPClient().Do(req) //nolint:bodyclose // it fails
	require.ErrorIs(t, err, errBoom)
	e, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok)
	assert.Equal(t, http.StatusUnauthorized, e.StatusCode())
}

// early is a store whose tokens live for an hour, and a client that refreshes ten minutes before.
func early(t *testing.T, refresh store.RefreshFunc) (*axle.Client, *store.UserStore[user]) {
	t.Helper()
	users := store.New[user](refresh)
	users.Login(user{}, &oauth2.Token{AccessToken: "t0", Expiry: time.Now().Add(time.Hour)})
	client := axle.New().SetBaseURL("http://api.test").SetTransport(answering(func(*http.Request) int { return 200 })).
		Use(auth.New(users, auth.WithEarlyRefresh(10*time.Minute)))
	return client, users
}

func TestEarlyRefresh_RunsFromThatLongBeforeTheExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		after     time.Duration
		refreshes int64
	}{
		"a nanosecond before it is due": {50*time.Minute - 1, 0},
		"when it is due":                {50 * time.Minute, 1},
		"after the expiry":              {2 * time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n int64
				client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					n++
					return &oauth2.Token{AccessToken: "t1", Expiry: time.Now().Add(time.Hour)}, nil
				})
				time.Sleep(c.after)
				_, err := client.Get(t.Context(), "/")
				require.NoError(t, err)
				assert.Equal(t, c.refreshes, n)
				assert.Equal(t, c.refreshes == 1, users.Token().AccessToken == "t1")
			})
		})
	}
}

func TestEarlyRefresh_NeverForATokenThatWasObtainedInsideTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		client, _ := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			n++
			return &oauth2.Token{AccessToken: "short", Expiry: time.Now().Add(time.Minute)}, nil
		})
		time.Sleep(55 * time.Minute)
		for range 10 {
			_, err := client.Get(t.Context(), "/")
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
		}
		assert.Equal(t, 1, n)
	})
}

func TestEarlyRefresh_AFailureKeepsAValidTokenUnlessTheServerRefused(t *testing.T) {
	refused := &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest}, ErrorCode: "invalid_grant"}
	for name, c := range map[string]struct {
		failure error
		after   time.Duration
		kept    bool
	}{
		"the network, while it is valid":   {errBoom, 55 * time.Minute, true},
		"the network, after its expiry":    {errBoom, 61 * time.Minute, false},
		"the server, while it is valid":    {refused, 55 * time.Minute, false},
		"a panic, while the token is good": {nil, 55 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					if c.failure == nil {
						panic("ouch")
					}
					return nil, c.failure
				})
				time.Sleep(c.after)
				_, err := client.Get(t.Context(), "/")
				if c.kept {
					require.NoError(t, err)
					assert.Equal(t, "t0", users.Token().AccessToken)
					return
				}
				require.ErrorIs(t, err, c.failure)
				assert.Nil(t, users.Token())
			})
		})
	}
}

func TestEarlyRefresh_OneThatSomebodyNeededEndsTheSessionForAllWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newGate()
		client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			held.pass()
			return nil, errBoom
		})
		time.Sleep(55 * time.Minute)
		generation := users.Snapshot().Generation
		call := future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") })
		synctest.Wait()
		needed := future.Go(func() (auth.Snapshot, error) { return users.RefreshSince(t.Context(), generation) }) // as for a 401
		synctest.Wait()
		held.open()
		_, err := needed.Await(t.Context())
		require.ErrorIs(t, err, errBoom)
		_, err = result(call)
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, users.Token())
	})
}

func TestEarlyRefresh_IsOneForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, held := 0, newGate()
		client, _ := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			n++
			held.pass()
			return &oauth2.Token{AccessToken: "t1", Expiry: time.Now().Add(time.Hour)}, nil
		})
		time.Sleep(55 * time.Minute)
		var calls []*future.Future[*axle.Response]
		for range 20 {
			calls = append(calls, future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") }))
		}
		synctest.Wait()
		held.open()
		for _, call := range calls {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		assert.Equal(t, 1, n)
	})
}

func TestRefreshTimeout_BoundsAPlainSessionThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test", auth.WithRefreshTimeout(5*time.Second))
		held := w.holdRefresh()
		a.expire()
		began := time.Now()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.EqualValues(t, 1, w.logouts.Load())
		held.open()
	})
}

func TestPlain_ATokenThatIsReplacedFromOutsideIsAnotherRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test")
		a.leaving = func(*http.Request, int) {
			a.mu.Lock()
			a.number = 7
			a.expired = false
			a.mu.Unlock()
			w.plain.set(&oauth2.Token{AccessToken: "a7"})
		}
		a.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Zero(t, w.refreshes.Load(), "a free replay was enough")
	})
}

func TestPlain_ATokenThatIsGoneIsALogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test")
		a.leaving = func(*http.Request, int) { w.plain.set(nil) }
		a.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Zero(t, w.refreshes.Load())
		assert.Zero(t, w.logouts.Load())
	})
}

func TestPlain_ASessionThatHoldsALockOfItsOwnWhileItRefreshesHangsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test")
		endpoint := w.refresh
		var busy atomic.Bool
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			w.plain.mu.Lock() // Token would wait for the refresh
			busy.Store(true)
			token, err := endpoint(ctx, current)
			busy.Store(false)
			w.plain.mu.Unlock()
			return token, err
		}
		a.expire()
		calls := w.together(t, 5)
		for _, call := range calls {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		assert.False(t, busy.Load())
		assert.Equal(t, 1, a.refreshed())
	})
}

func TestAttach_CostsAtMostOneAllocation(t *testing.T) {
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	for name, session := range map[string]auth.Session{"plain": bearerSession("t"), "store": func() auth.Session { s, _ := countingStore(); return s }()} {
		measure := func(plugins ...axle.Plugin) float64 {
			client := axle.New().SetBaseURL("http://api.test").SetTransport(transport).SetCookieJar(nil).Use(plugins...)
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
			return emptyAnswer(r)
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
