package store_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
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

const refreshPath = "/auth/refresh-token"

// received is a request as a server got it.
type received struct {
	method, path, body, contentType, authorization, cookie string
}

func receive(r *http.Request) received {
	body, _ := io.ReadAll(r.Body)
	return received{r.Method, r.URL.Path, string(body), r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.Header.Get("Cookie")}
}

func TestEndpoint_PostsTheRefreshTokenOrTheCookiesAlone(t *testing.T) {
	post := received{method: http.MethodPost, path: refreshPath, cookie: "sid=1"}
	withBody := post
	withBody.body, withBody.contentType = `{"refresh_token":"refresh-old"}`, "application/json"
	for _, c := range []struct {
		name    string
		current *oauth2.Token
		want    received
	}{
		{"a refresh token", tokenNamed("old"), withBody},
		{"no refresh token", &oauth2.Token{AccessToken: "access-old"}, post},
		{"no token", nil, post},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got received
			client, base := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				got = receive(r)
				w.WriteHeader(http.StatusNoContent)
			})
			u, err := url.Parse(base)
			require.NoError(t, err)
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			jar.SetCookies(u, []*http.Cookie{{Name: "sid", Value: "1"}})
			s := store.New[user](store.Endpoint(client.SetCookieJar(jar), refreshPath))
			s.Login(user{"ada"}, c.current)

			_, err = s.RefreshToken(t.Context())

			require.NoError(t, err)
			got.contentType, _, _ = strings.Cut(got.contentType, ";")
			assert.Equal(t, c.want, got)
		})
	}
}

func TestEndpoint_Answers(t *testing.T) {
	bearer := func(expires time.Duration) *oauth2.Token {
		token := &oauth2.Token{AccessToken: "a", RefreshToken: "r", TokenType: "Bearer", ExpiresIn: int64(expires / time.Second)}
		if expires != 0 {
			token.Expiry = time.Now().Add(expires)
		}
		return token
	}
	tokens := func(expiresIn string) string {
		return `{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":` + expiresIn + `}`
	}
	only := &oauth2.Token{AccessToken: "a", TokenType: "Bearer"} // the type is the old one's
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   *oauth2.Token
		code   axle.Code // of the failure
	}{
		{name: "204", status: http.StatusNoContent},
		{name: "200 without a body", status: http.StatusOK, code: axle.CodeBadResponse},
		{name: "JSON without tokens", status: http.StatusOK, body: `{"ok":true}`, code: axle.CodeBadResponse},
		{name: "null", status: http.StatusOK, body: `null`, code: axle.CodeBadResponse},
		{name: "an access token", status: http.StatusOK, body: `{"access_token":"a"}`, want: only},
		{name: "after a byte order mark", status: http.StatusOK, body: "\ufeff" + `{"access_token":"a"}`, want: only},
		{name: "an error that says nothing", status: http.StatusOK, body: `{"access_token":"a","error":""}`, want: only},
		{name: "null for an error", status: http.StatusOK, body: `{"access_token":"a","error":null}`, want: only},
		{name: "201", status: http.StatusCreated, body: `{"access_token":"a"}`, want: only},
		{name: "all of it", status: http.StatusOK, body: tokens(`3600`), want: bearer(time.Hour)},
		{name: "seconds as a string", status: http.StatusOK, body: tokens(`"3600"`), want: bearer(time.Hour)},
		{name: "seconds with a fraction", status: http.StatusOK, body: tokens(`3600.7`), want: bearer(time.Hour)},
		{name: "seconds in an empty string", status: http.StatusOK, body: tokens(`""`), want: bearer(0)},
		{name: "null seconds", status: http.StatusOK, body: tokens(`null`), want: bearer(0)},
		{name: "no seconds", status: http.StatusOK, body: tokens(`0`), want: bearer(0)},
		{name: "less than no seconds", status: http.StatusOK, body: tokens(`-1`), want: bearer(0)},
		{name: "seconds beyond counting", status: http.StatusOK, body: tokens(`1e11`), want: bearer(math.MaxInt32 * time.Second)},
		{name: "more of them", status: http.StatusOK, body: tokens(`1e20`), want: bearer(0)},
		{name: "still more", status: http.StatusOK, body: tokens(`1e300`), want: bearer(0)},
		{name: "seconds in words", status: http.StatusOK, body: tokens(`"soon"`), want: bearer(0)},
		{name: "minutes", status: http.StatusOK, body: tokens(`"15m"`), want: bearer(0)},
		{name: "seconds that are no number", status: http.StatusOK, body: tokens(`"NaN"`), want: bearer(0)},
		{name: "seconds without end", status: http.StatusOK, body: tokens(`"Inf"`), want: bearer(0)},
		{name: "seconds that are true", status: http.StatusOK, body: tokens(`true`), want: bearer(0)},
		{name: "seconds in an object", status: http.StatusOK, body: tokens(`{"s":1}`), want: bearer(0)},
		{name: "seconds as a float", status: http.StatusOK, body: tokens(`3600.0`), want: bearer(time.Hour)},
		{name: "a page", status: http.StatusOK, body: `<html>`, code: axle.CodeBadResponse},
		{name: "half of it", status: http.StatusOK, body: `{"access_token":"a"`, code: axle.CodeBadResponse},
		{name: "a list", status: http.StatusOK, body: `[]`, code: axle.CodeBadResponse},
		{name: "a string", status: http.StatusOK, body: ` "ok" `, code: axle.CodeBadResponse},
		{name: "blank", status: http.StatusOK, body: " \n", code: axle.CodeBadResponse},
		{name: "text", status: http.StatusOK, body: "ok", code: axle.CodeBadResponse},
		{name: "400", status: http.StatusBadRequest, body: `{"error":"invalid_grant"}`, code: axle.CodeBadRequest},
		{name: "401", status: http.StatusUnauthorized, body: tokens(`1`), code: axle.CodeBadRequest},
		{name: "500", status: http.StatusInternalServerError, body: tokens(`1`), code: axle.CodeBadResponse},
		{name: "300", status: http.StatusMultipleChoices, body: tokens(`1`), code: axle.CodeBadResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			client.SetValidateStatus(nil) // the client's own rule does not count

			token, err := store.Endpoint(client, refreshPath)(t.Context(), tokenNamed("old"))

			if c.code != "" {
				require.ErrorIs(t, err, c.code)
				failed, ok := errors.AsType[*axle.Error](err)
				require.True(t, ok)
				assert.Equal(t, c.status, failed.StatusCode())
				assert.Equal(t, c.status == http.StatusBadRequest || c.status == http.StatusUnauthorized, store.RejectedOnly(err))
				assert.Nil(t, token)
				return
			}
			require.NoError(t, err)
			if c.want != nil && token != nil {
				assert.WithinDuration(t, c.want.Expiry, token.Expiry, 30*time.Second)
				assert.Equal(t, c.want.Expiry.IsZero(), token.Expiry.IsZero())
				c.want.Expiry = token.Expiry
			}
			assert.Equal(t, c.want, token)
		})
	}
}

func TestEndpoint_AServerThatIsNotThereIsNoRefusal(t *testing.T) {
	client, _ := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	s := loggedIn(store.Endpoint(client, refreshPath), store.WithLogoutWhen(store.RejectedOnly))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, axle.CodeNetwork)
	requireStillIn(t, s, "old")
}

func TestEndpoint_OfNoClientFails(t *testing.T) {
	_, err := store.Endpoint(nil, refreshPath)(t.Context(), nil)
	require.ErrorContains(t, err, "no client")
}

func TestEndpoint_EndsWithItsContext(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	client, _ := newLoopback(t, func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	call := future.Go(func() (*oauth2.Token, error) { return store.Endpoint(client, refreshPath)(ctx, nil) })
	<-entered
	cancel()
	_, err := call.Await(t.Context())
	require.ErrorIs(t, err, context.Canceled)
}

// redirector answers refreshPath with a 307 to target, and everything else with a token.
func redirector(target *string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == refreshPath {
			w.Header().Set("Location", *target)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"access-new","token_type":"Bearer"}`)
	}
}

// strangers is a server of another origin, and how often it was asked.
func strangers(t *testing.T) (base string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(other.Close)
	return other.URL, asked
}

func TestEndpointAndOAuth2_RefuseARedirectToAnotherOrigin(t *testing.T) {
	for name, refreshBy := range map[string]func(client *axle.Client, base string) store.RefreshFunc{
		"Endpoint": func(client *axle.Client, _ string) store.RefreshFunc { return store.Endpoint(client, refreshPath) },
		"OAuth2":   func(_ *axle.Client, base string) store.RefreshFunc { return store.OAuth2(configFor(base)) },
	} {
		t.Run(name, func(t *testing.T) {
			other, asked := strangers(t)
			target := other + "/steal"
			transport := &http.Transport{}
			client, base := newLoopback(t, redirector(&target))
			defer transport.CloseIdleConnections()
			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
			s := loggedIn(refreshBy(client, base), store.WithLogoutWhen(store.RejectedOnly))

			_, err := s.RefreshToken(ctx)
			require.ErrorIs(t, err, axle.CodeBadResponse)
			require.ErrorContains(t, err, "redirects to another origin")
			assert.Zero(t, asked.Load())
			requireStillIn(t, s, "old")

			target = "/elsewhere" // of the same origin
			token, err := s.RefreshToken(ctx)
			require.NoError(t, err)
			assert.Equal(t, "access-new", token.AccessToken)

			target = refreshPath
			_, err = s.RefreshToken(ctx)
			require.Error(t, err, "for ever in a circle")
			require.ErrorContains(t, err, "redirects")
		})
	}
}

// api is a server whose tokens are counted up: access-1, then access-2 for refresh-1, and so on.
type api struct {
	mu        sync.Mutex
	current   int
	refreshes []received
	refuse    int // the status of every refresh, if not 0
	farewells []received
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := receive(r)
	number := func(n int) string { return string(rune('0' + n)) }
	switch {
	case got.path == "/logout":
		a.farewells = append(a.farewells, got)
		w.WriteHeader(http.StatusUnauthorized)
	case got.path == refreshPath:
		a.refreshes = append(a.refreshes, got)
		if a.refuse != 0 {
			w.WriteHeader(a.refuse)
			return
		}
		if got.body != `{"refresh_token":"refresh-`+number(a.current-1)+`"}` {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		n := number(a.current)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"access-`+n+`","refresh_token":"refresh-`+n+`","token_type":"Bearer"}`)
	case got.authorization == "Bearer access-"+number(a.current):
		_, _ = io.WriteString(w, "hello")
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func TestEndpoint_WorksThroughTheClientWhoseCallsWaitForIt(t *testing.T) {
	server := &api{current: 2}
	client, _ := newLoopback(t, server.ServeHTTP)
	s := store.New[user](store.Endpoint(client, refreshPath))
	client.Use(auth.New(s))
	s.Login(user{"ada"}, tokenNamed("1"))

	var calls []*future.Future[string]
	for range 20 {
		calls = append(calls, future.Go(func() (string, error) {
			resp, err := client.Get(t.Context(), "/me")
			if err != nil {
				return "", err
			}
			return resp.String(), nil
		}))
	}
	answers, err := future.All(calls...).Await(t.Context())

	require.NoError(t, err)
	for _, answer := range answers {
		assert.Equal(t, "hello", answer)
	}
	require.Len(t, server.refreshes, 1)
	assert.Empty(t, server.refreshes[0].authorization, "it goes under auth.Skip")
	assert.Equal(t, tokenNamed("2"), s.Token())
}

func TestEndpoint_ItsOwn401IsAFailedRefresh(t *testing.T) {
	server := &api{current: 2, refuse: http.StatusUnauthorized}
	client, _ := newLoopback(t, server.ServeHTTP)
	told := 0
	s := store.New[user](store.Endpoint(client, refreshPath), store.WithLogout(func(ctx context.Context, last *oauth2.Token) error {
		told++
		_, err := client.Post(ctx, "/logout", nil, func(r *axle.Request) { r.SetHeader("Authorization", "Bearer "+last.AccessToken) })
		return err
	}))
	client.Use(auth.New(s))
	s.Login(user{"ada"}, tokenNamed("1"))

	_, err := client.Get(t.Context(), "/me")

	failed, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok)
	assert.Equal(t, "/me", failed.Request.URL)
	assert.Equal(t, http.StatusUnauthorized, failed.StatusCode())
	assert.ErrorContains(t, err, "refreshing at "+refreshPath)
	assert.ErrorContains(t, err, "the logout failed")
	assert.Len(t, server.refreshes, 1)
	assert.Equal(t, 1, told)
	require.Len(t, server.farewells, 1, "its 401 is refreshed by nobody")
	assert.Equal(t, "Bearer access-1", server.farewells[0].authorization)
	requireLoggedOut(t, s)
}

func TestStore_AnEarlyRefreshThatFailsEndsNothingWhileTheTokenIsValid(t *testing.T) {
	var network error = &axle.Error{Code: axle.CodeNetwork, Err: errBoom}
	cases := []struct {
		name   string
		joined bool // by somebody who needs the refresh
		err    error
		ends   bool
	}{
		{"the network failed", false, network, false},
		{"the server refused", false, refusal(http.StatusUnauthorized), true},
		{"the network failed, for one who needs it too", true, network, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var refresh server
				s := store.New[user](refresh.refresh)
				token := tokenNamed("old")
				token.Expiry = time.Now().Add(time.Hour)
				s.Login(user{"ada"}, token)
				sent := 0
				client := axle.New().SetBaseURL("http://axle.test").SetCookieJar(nil).SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
					sent++
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
				})).Use(auth.New(s, auth.WithEarlyRefresh(5*time.Minute)))
				time.Sleep(58 * time.Minute)
				_, err := client.Get(t.Context(), "/")
				require.NoError(t, err, "it goes out with the token that is still valid")
				ask := refresh.asked(t, 1)
				if c.joined {
					joins := refreshing(t.Context(), s)
					defer func() {
						_, err := outcome(t, joins)
						assert.ErrorIs(t, err, c.err)
					}()
					synctest.Wait()
					early := future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") })
					requireWaiting(t, early) // who joins after them does not make it a refresh that nobody needs
					defer func() {
						_, err := early.Await(t.Context())
						assert.ErrorIs(t, err, c.err)
					}()
				}
				ask.fail(c.err)
				synctest.Wait()
				assert.Equal(t, 1, sent)
				if c.ends {
					requireLoggedOut(t, s)
					return
				}
				assert.Equal(t, store.State[user]{User: &user{"ada"}, Token: token}, s.State())
			})
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// configFor is a client of the authorization server at base.
func configFor(base string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: "id", ClientSecret: "secret",
		Endpoint: oauth2.Endpoint{TokenURL: base + refreshPath, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// authorizationServer answers the token requests of one test, which go by the HTTP client in ctx.
func authorizationServer(t *testing.T, handler http.HandlerFunc) (ctx context.Context, cfg *oauth2.Config) {
	t.Helper()
	client, base := newLoopback(t, handler)
	httpClient := client.HTTPClient()
	return context.WithValue(t.Context(), oauth2.HTTPClient, httpClient), configFor(base)
}

func TestOAuth2_RefreshesByTheGrantOfRFC6749Section6(t *testing.T) {
	var form url.Values
	ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodPost, r.Method)
		assert.NoError(t, r.ParseForm())
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"access-new","token_type":"Bearer","expires_in":3600}`)
	})
	s := loggedIn(store.OAuth2(cfg))

	token, err := s.RefreshToken(ctx)

	require.NoError(t, err)
	assert.Equal(t, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"refresh-old"}, "client_id": {"id"}, "client_secret": {"secret"},
	}, form)
	assert.Equal(t, "access-new", token.AccessToken)
	assert.Equal(t, "refresh-old", token.RefreshToken, "the server kept it")
	assert.WithinDuration(t, time.Now().Add(time.Hour), token.Expiry, time.Minute)
	assert.Equal(t, token, s.Token())
}

func TestOAuth2_StoresARotatedRefreshToken(t *testing.T) {
	ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"access-new","token_type":"Bearer","refresh_token":"refresh-new"}`)
	})
	s := loggedIn(store.OAuth2(cfg))
	_, err := s.RefreshToken(ctx)
	require.NoError(t, err)
	assert.Equal(t, "refresh-new", s.Token().RefreshToken)
}

func TestOAuth2_AnInvalidGrantIsARefusal(t *testing.T) {
	cases := []struct {
		status int
		body   string
		want   bool
	}{
		{http.StatusBadRequest, `{"error":"invalid_grant","error_description":"spent"}`, true},
		{http.StatusUnauthorized, `{"error":"invalid_client"}`, false},
		{http.StatusForbidden, `no`, true},
		{http.StatusServiceUnavailable, `{"error":"temporarily_unavailable"}`, false},
	}
	for _, c := range cases {
		t.Run(http.StatusText(c.status), func(t *testing.T) {
			ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			s := loggedIn(store.OAuth2(cfg), store.WithLogoutWhen(store.RejectedOnly))
			_, err := s.RefreshToken(ctx)
			retrieve, ok := errors.AsType[*oauth2.RetrieveError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, c.status, retrieve.Response.StatusCode)
			assert.Equal(t, c.want, store.RejectedOnly(err))
			if c.want {
				requireLoggedOut(t, s)
			} else {
				requireStillIn(t, s, "old")
			}
		})
	}
}

func TestOAuth2_AsksTheRedirectCheckOfTheClientItWasGivenAndLeavesItAsItIs(t *testing.T) {
	target := "/elsewhere"
	var checked []string
	transport := &http.Transport{}
	_, base := newLoopback(t, redirector(&target))
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, _ []*http.Request) error {
		checked = append(checked, next.URL.Path)
		return errBoom
	}}
	s := loggedIn(store.OAuth2(configFor(base)), store.WithLogoutWhen(store.RejectedOnly))
	_, err := s.RefreshToken(context.WithValue(t.Context(), oauth2.HTTPClient, client))
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, []string{"/elsewhere"}, checked)
	assert.ErrorIs(t, client.CheckRedirect(&http.Request{URL: &url.URL{}}, nil), errBoom)
}

func TestOAuth2_WithoutAnHTTPClientInTheContextUsesOneOfItsOwn(t *testing.T) {
	target := ""
	_, base := newLoopback(t, redirector(&target))
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	cfg := configFor(base)
	cfg.Endpoint.TokenURL = base + "/token"
	token, err := store.OAuth2(cfg)(t.Context(), tokenNamed("old"))
	require.NoError(t, err)
	assert.Equal(t, "access-new", token.AccessToken)
}

func TestOAuth2_WithNothingToRefreshWithFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		cfg     *oauth2.Config
		current *oauth2.Token
		want    string
	}{
		{"no config", nil, tokenNamed("old"), "no config"},
		{"no token", configFor("http://axle.test"), nil, "no refresh token"},
		{"no refresh token", configFor("http://axle.test"), &oauth2.Token{AccessToken: "a"}, "no refresh token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, err := store.OAuth2(c.cfg)(t.Context(), c.current)
			require.ErrorContains(t, err, c.want)
			assert.Nil(t, token)
		})
	}
}
