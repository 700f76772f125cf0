package auth_test

import (
	"context"
	"errors"
	"net/http"
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
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

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
			client := newClient(responding(func(*http.Request) int { return 401 })).
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

func TestBadInput_AStatefulSessionThatPanicsIsAnErrorOfTheCall(t *testing.T) {
	users := store.New[user](nil)
	users.Login(user{}, &oauth2.Token{AccessToken: "t"})
	client := newClient(responding(func(*http.Request) int { return 401 })).
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
			calls = append(calls, future.Go(func() (*axle.Response, error) {
				return client.Get(t.Context(), "/data")
			}))
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
		one := w.get(t.Context(), "/data")
		two := future.Go(func() (*axle.Response, error) { return other.Get(t.Context(), "/data") })
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

func TestRefreshTimeout_BoundsAPlainSessionThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test", auth.WithRefreshTimeout(5*time.Second))
		delayed := w.delayRefresh()
		a.expire()
		began := time.Now()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.EqualValues(t, 1, w.logouts.Load())
		delayed.open()
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

// A cookie of an earlier run may still be valid, so that a new store has a session.
func TestSession_OfAStoreBeforeTheFirstLoginIsRefreshedUntilARefreshFails(t *testing.T) {
	cookieIsValid, refreshes := false, 0
	client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
		if cookieIsValid || r.Header.Get("Authorization") == "Bearer new" {
			return axletest.Reply(r, http.StatusOK, ""), nil
		}
		return axletest.Reply(r, http.StatusUnauthorized, ""), nil
	})
	works := true
	session := store.New[string](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		refreshes++
		if !works {
			return nil, errBoom
		}
		cookieIsValid = true
		return nil, nil // the tokens are in cookies
	})
	client.Use(auth.New(session))
	get := func() error {
		_, err := client.Get(t.Context(), "/")
		return err
	}

	require.NoError(t, get())
	assert.Equal(t, 1, refreshes)
	assert.Nil(t, session.State().User)

	works, cookieIsValid = false, false
	require.ErrorIs(t, get(), errBoom)
	assert.Equal(t, 2, refreshes)
	for range 2 {
		err := get()
		assert.Equal(t, http.StatusUnauthorized, axletest.AsAxle(t, err).StatusCode())
		require.NotErrorIs(t, err, errBoom)
	}
	assert.Equal(t, 2, refreshes, "the session has ended")

	session.Login("ada", &oauth2.Token{AccessToken: "old"})
	works = true
	require.NoError(t, get())
	assert.Equal(t, 3, refreshes)
}
