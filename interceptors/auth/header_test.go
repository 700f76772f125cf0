package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func keyOf(t *oauth2.Token) string { return t.AccessToken }

// withKey is an option that sends the token as X-Session, in a spelling that is not the canonical
// one.
func withKey() auth.Option { return auth.WithHeader("x-session", keyOf) }

// sessionHeader lets the api read the token from X-Session.
func sessionHeader(w *world) {
	w.client.SetTransport(inMemory{http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" && r.URL.Path != refreshPath {
			rw.WriteHeader(http.StatusTeapot)
			return
		}
		r.Header.Set("Authorization", "Bearer "+r.Header.Get("X-Session"))
		w.api.ServeHTTP(rw, r)
	})})
}

func TestWithHeader_CarriesTheTokenAndIsComparedWhenA401Comes(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		sessionHeader(w)
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)

		w.api.expire()
		for _, call := range w.together(t, 20) {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		assert.Equal(t, 1, w.api.refreshed())

		w.api.expire() // a request that was sent before is sent again, and carries the token of that time
		resp, err = w.client.Do(resp.Request)
		requireOK(t, resp, err)
		assert.Equal(t, 2, w.api.refreshed())
	}, withKey())
}

func TestWithHeader_ACallWhoseCallerSetsItIsLeftAlone(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.cookies {
			return // they go along all the same
		}
		sessionHeader(w)
		_, err := w.client.R(t.Context()).SetHeader("X-SESSION", "callers").Get("/data")
		require401(t, err)
		assert.Equal(t, []string{"callers"}, w.api.arrived())
		assert.Zero(t, w.refreshes.Load())

		_, err = w.client.R(t.Context()).SetHeader("Authorization", "Basic callers").Get("/data")
		e, ok := err.(*axle.Error) //nolint:errorlint // the contract is about the error itself
		require.True(t, ok)
		assert.Equal(t, http.StatusTeapot, e.StatusCode(), "the caller's Authorization goes along")
	}, withKey())
}

func TestWithHeader_GoesToAllowedOriginsAlone(t *testing.T) {
	seen := map[string]string{}
	client := axle.New().SetBaseURL("http://api.test").Use(auth.New(bearerSession("t"), withKey())).
		SetTransport(responding(func(r *http.Request) int {
			seen[r.Host] = r.Header.Get("X-Session")
			return http.StatusOK
		}))
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if r.URL == "/elsewhere" {
			r.SetURL("http://handlers.test/")
		}
		return r, nil
	}, nil)
	client.Use(auth.New(bearerSession("t"), withKey())) // its request handler runs before that one
	for _, url := range []string{"/", "http://other.test/", "/elsewhere"} {
		_, err := client.Get(t.Context(), url)
		require.NoError(t, err)
	}
	assert.Equal(t, map[string]string{"api.test": "t", "other.test": "", "handlers.test": ""}, seen)
}

func TestWithHeader_DoesNotFollowARedirectToAnotherOriginAndIsNotPrinted(t *testing.T) {
	// Nothing in this name says that the header has a secret.
	const name = "X-Place"
	var atEvil, atAPI []string
	evil := httptest.NewServer(statusHandler(func(r *http.Request) int {
		atEvil = append(atEvil, r.Header.Get(name))
		return http.StatusUnauthorized
	}))
	defer evil.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atAPI = append(atAPI, r.Header.Get(name))
		http.Redirect(w, r, evil.URL, http.StatusFound)
	}))
	defer api.Close()
	users, refreshes := countingStore()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := axle.New().SetBaseURL(api.URL).SetTransport(transport).
		Use(auth.New(users, auth.WithHeader(name, keyOf)))

	_, err := client.Get(t.Context(), "/")
	e, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, http.StatusUnauthorized, e.StatusCode())
	assert.NotContains(t, fmt.Sprintf("%v %+v %v", e, e.Request, e.Response), "stale")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, http.NoBody)
	require.NoError(t, err)
	resp, err := client.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	assert.Equal(t, []string{"stale", "stale"}, atAPI)
	assert.Equal(t, []string{"", ""}, atEvil)
	assert.Zero(t, refreshes.Load())
}

func TestWithHeader_UserinfoInTheURLGoesBesideIt(t *testing.T) {
	var seen []string
	client := axle.New().SetBaseURL("http://api.test").Use(auth.New(bearerSession("t"), withKey())).
		SetTransport(responding(func(r *http.Request) int {
			name, _, _ := r.BasicAuth()
			seen = append(seen, name, r.Header.Get("X-Session"))
			return http.StatusOK
		}))
	_, err := client.Get(t.Context(), "http://me:secret@api.test/")
	require.NoError(t, err)
	assert.Equal(t, []string{"me", "t"}, seen)
}

func TestRefusal_A401OfARequestThatALaterHandlerAuthorizedOtherwiseStands(t *testing.T) {
	for name, opts := range map[string][]auth.Option{"Authorization": nil, "X-Session": {withKey()}} {
		t.Run(name, func(t *testing.T) {
			users, refreshes := countingStore()
			var seen []string
			client := newClient(responding(func(r *http.Request) int {
				seen = append(seen, r.Header.Get(name))
				return http.StatusUnauthorized
			}))
			client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				return r.SetHeader(name, "handlers"), nil
			}, nil)
			client.Use(auth.New(users, opts...)) // its request handler runs first
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadRequest)
			assert.Equal(t, []string{"handlers"}, seen)
			assert.Zero(t, refreshes.Load())
		})
	}
}

func TestWithHeader_AnEmptyValueAttachesNothing(t *testing.T) {
	var header []http.Header
	client := newClient(responding(func(r *http.Request) int {
		header = append(header, r.Header)
		return http.StatusOK
	})).Use(auth.New(bearerSession("t"), auth.WithHeader("X-Session", func(*oauth2.Token) string { return "" })))
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	require.Len(t, header, 1)
	assert.NotContains(t, header[0], "X-Session")
	assert.NotContains(t, header[0], "Authorization")
}

func TestWithHeader_BadInputIsAnErrorOfTheCall(t *testing.T) {
	for name, c := range map[string]struct {
		option auth.Option
		says   string
	}{
		"an empty name":                      {auth.WithHeader("", keyOf), `"" is not the name of a header`},
		"a name that no header has":          {auth.WithHeader("X Session", keyOf), `"X Session" is not the name of a header`},
		"a name with a colon":                {auth.WithHeader("X-Session:", keyOf), `"X-Session:" is not the name`},
		"a header that frames the message":   {auth.WithHeader("transfer-encoding", keyOf), "Transfer-Encoding cannot carry a token"},
		"the header that is not in a header": {auth.WithHeader("host", keyOf), "Host cannot carry a token"},
		"the jar's header":                   {auth.WithHeader("Cookie", keyOf), "Cookie cannot carry a token"},
		"the header that fills the jar":      {auth.WithHeader("set-cookie", keyOf), "Set-Cookie cannot carry a token"},
		"the type of the body":               {auth.WithHeader("content-type", keyOf), "Content-Type cannot carry a token"},
		"the encoding of the body":           {auth.WithHeader("content-encoding", keyOf), "Content-Encoding cannot carry a token"},
		"the encodings that are accepted":    {auth.WithHeader("accept-encoding", keyOf), "Accept-Encoding cannot carry a token"},
		"what the body waits for":            {auth.WithHeader("expect", keyOf), "Expect cannot carry a token"},
		"no function":                        {auth.WithHeader("X-Session", nil), "the function for the header X-Session is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := newClient(seeing(&seen, 200)).Use(auth.New(bearerSession("t"), c.option))
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.ErrorContains(t, err, c.says)
			assert.Empty(t, seen, "nothing is sent")
		})
	}
}

func TestWithHeader_APanicOfItsFunctionIsAnErrorOfTheCall(t *testing.T) {
	var seen []string
	client := newClient(seeing(&seen, 200)).
		Use(auth.New(bearerSession("t"), auth.WithHeader("X-Session", func(*oauth2.Token) string {
			panic("ouch")
		})))
	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeInterceptor)
	assert.ErrorContains(t, err, "ouch")
	assert.Empty(t, seen)
}

func TestToken_OneThatNoHeaderCanHoldIsAnErrorOfTheCallThatDoesNotPrintIt(t *testing.T) {
	users := store.New[user](nil)
	users.Login(user{}, &oauth2.Token{AccessToken: "secret\nX-Evil: 1"})
	for name, interceptor := range map[string]*auth.Interceptor{
		"a plain session's":           auth.New(bearerSession("secret\r\n")),
		"a login's":                   auth.New(users),
		"the type":                    auth.New(&fixed{&oauth2.Token{AccessToken: "secret", TokenType: "secret\x00"}}),
		"the value of another header": auth.New(users, withKey()),
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := newClient(seeing(&seen, 200)).Use(interceptor)
			_, err := client.Get(t.Context(), "/")
			e, ok := err.(*axle.Error) //nolint:errorlint // the contract is about the error itself
			require.True(t, ok, "%v", err)
			assert.Equal(t, axle.CodeBadOption, e.Code)
			assert.ErrorContains(t, err, "the session's token")
			assert.NotContains(t, err.Error(), "secret")
			assert.Empty(t, seen, "nothing is sent")
		})
	}
}

func TestToken_ARefreshThatReturnsOneThatNoHeaderCanHoldHasFailed(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.cookies || w.store {
			return // a store's has its test there
		}
		endpoint := w.refresh
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			token, err := endpoint(ctx, current)
			if err == nil {
				token.AccessToken += "\n"
			}
			return token, err
		}
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.ErrorContains(t, err, "no header can hold")
		assert.EqualValues(t, 1, w.logouts.Load())
		assert.NotContains(t, err.Error(), "a2")

		w.refresh = endpoint
		w.loginAgain()
		w.api.mu.Lock()
		w.api.number, w.api.expired = 1, false
		w.api.mu.Unlock()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
	})
}
