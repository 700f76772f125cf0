package auth_test

import (
	"context"
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
	"github.com/axlehttp/axle/store"
)

// busy makes every refresh fail as by an endpoint that asks to be left alone for a minute.
func (w *world) busy() {
	w.api.refuse = func(rw http.ResponseWriter) bool {
		rw.Header().Set("Retry-After", "60")
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
}

// lateCalls starts calls that the server judges now, one after the other. The responses come when
// the gate is opened.
func (w *world) lateCalls(t *testing.T, n int) (calls []*future.Future[*axle.Response], late *gate) {
	t.Helper()
	late = newGate()
	w.api.leaving = func(r *http.Request, _ int) {
		if r.URL.Path == "/late" {
			late.pass()
		}
	}
	for range n {
		calls = append(calls, w.get(t.Context(), "/late"))
	}
	synctest.Wait()
	require.EqualValues(t, n, late.waiting.Load())
	return calls, late
}

func TestFailure_IsSharedByEvery401WhoseRequestWasSentBeforeItSettled(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.failRefresh(errBoom)
		w.api.expire()
		calls, late := w.lateCalls(t, 100)
		_, err := w.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, errBoom)
		late.open()
		for _, call := range calls {
			_, err := result(call)
			require401(t, err)
		}
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.EqualValues(t, 1, w.logouts.Load())
	})
}

func TestFailure_ThatKeepsTheSessionIsTheErrorOfEvery401ThatSharesItAndOfNoLaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{store: true}, inMemory{a}, a, "http://api.test")
		var refreshes atomic.Int64
		users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			refreshes.Add(1)
			return nil, errBoom
		}, store.WithLogoutWhen(store.RejectedOnly))
		users.Login(user{}, &oauth2.Token{AccessToken: "a1"})
		w.client.Interceptors.Request.Clear()
		w.client.Interceptors.Response.Clear()
		w.client.Use(auth.New(users))

		a.expire()
		calls, late := w.lateCalls(t, 100)
		_, err := w.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, errBoom)
		late.open()
		for _, call := range calls {
			_, err := result(call)
			require.ErrorIs(t, err, errBoom)
			require401(t, err)
		}
		assert.EqualValues(t, 1, refreshes.Load())

		_, err = w.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, errBoom)
		assert.EqualValues(t, 2, refreshes.Load(), "what is sent after it may try again")
	})
}

func TestFailure_ARetryAfterOfTheTokenEndpointIsKeptTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(true)
		w := newWorld(kind{cookies: true}, inMemory{a}, a, "http://api.test") // open again after each failure
		w.busy()
		a.expire()

		for _, want := range []int64{1, 1, 1, 1, 2, 2} { // the calls are 15 s apart
			_, err := w.client.Get(t.Context(), "/data")
			e := require401(t, err)
			assert.ErrorContains(t, e, "503")
			assert.Equal(t, want, w.refreshes.Load())
			assert.Equal(t, want, w.logouts.Load(), "one logout for one failed refresh")
			time.Sleep(15 * time.Second)
		}

		a.refuse = nil
		time.Sleep(time.Minute)
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
	})
}

func TestFailure_ARetryAfterEndsWithTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test")
		w.busy()
		a.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)

		a.refuse = nil
		w.loginAgain()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.EqualValues(t, 2, w.refreshes.Load())
	})
}

func TestBypass_WhatARefreshSendsCarriesNoneOfItsTokens(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		endpoint := w.refresh
		var carried []string
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			for _, edit := range []func(*axle.Request){
				func(*axle.Request) {},
				func(r *axle.Request) { r.SetHeader("Authorization", "Bearer own") },
			} {
				_, err := w.client.Get(ctx, "/nested", edit)
				assert.ErrorIs(t, err, axle.CodeBadRequest)
			}
			return endpoint(ctx, current)
		}
		w.api.arriving = func(r *http.Request) {
			if r.URL.Path != "/data" {
				carried = append(carried, r.Header.Get("Authorization"))
			}
		}
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, []string{"", "Bearer own", ""}, carried)
		assert.EqualValues(t, 1, w.refreshes.Load())
	})
}

func TestBypass_WhatALogoutSendsCarriesNoTokenOfTheNextLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{store: true}, inMemory{a}, a, "http://api.test")
		w.logout = func(ctx context.Context) error {
			w.users.Login(user{"bob"}, &oauth2.Token{AccessToken: "bobs"})
			_, err := w.client.Post(ctx, "/logout", nil)
			assert.ErrorIs(t, err, axle.CodeBadRequest)
			return nil
		}
		require.NoError(t, w.users.Logout(t.Context()))
		assert.Equal(t, []string{""}, a.arrived())
	})
}

func TestBypass_APlainSessionsLogoutTellsTheServerByItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test")
		w.failRefresh(errBoom)
		w.logout = func(ctx context.Context) error {
			_, err := w.client.Post(ctx, "/logout", nil)
			assert.ErrorIs(t, err, axle.CodeBadRequest)
			return nil
		}
		a.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, []string{"a1", "a1"}, a.arrived())
	})
}

// overrun makes the refreshes of a plain session wait at a gate and ignore their time limit of five
// seconds. most is how many ran at once, at most.
func overrun(w *world) (delayed *gate, most *atomic.Int64) {
	delayed, most = newGate(), &atomic.Int64{}
	var running atomic.Int64
	refresh := w.refresh
	w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		delayed.pass()
		return refresh(context.WithoutCancel(ctx), current)
	}
	return delayed, most
}

// staying is a plain session whose Logout changes nothing.
type staying struct{ *plainSession }

func (s staying) Logout(context.Context) error { s.w.logouts.Add(1); return nil }

func TestOverrun_NoRefreshIsStartedBesideOneThatOverrunsItsTimeLimit(t *testing.T) {
	for _, k := range []kind{{}, {cookies: true}} {
		t.Run(k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI(k.cookies)
				w := newWorld(k, inMemory{a}, a, "http://api.test")
				w.client.Interceptors.Request.Clear()
				w.client.Interceptors.Response.Clear()
				w.client.Use(auth.New(staying{w.plain}, auth.WithRefreshTimeout(5*time.Second)))
				delayed, most := overrun(w)
				a.expire()

				for range 3 {
					began := time.Now()
					_, err := w.client.Get(t.Context(), "/data")
					require401(t, err)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					assert.Equal(t, 5*time.Second, time.Since(began), "it waits within the time limit")
				}
				assert.EqualValues(t, 3, w.logouts.Load())

				call := w.get(t.Context(), "/data")
				synctest.Wait()
				delayed.open()
				resp, err := result(call)
				requireOK(t, resp, err)
				assert.EqualValues(t, 1, w.refreshes.Load())
				assert.EqualValues(t, 1, most.Load())
				assert.Equal(t, 1, a.refreshed())
			})
		})
	}
}

func TestOverrun_ATokenThatItStoresInTheNextLoginEndsThatOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test", auth.WithRefreshTimeout(5*time.Second))
		delayed, most := overrun(w)
		a.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)

		w.plain.set(&oauth2.Token{AccessToken: "bobs"}) // refused too
		call := w.get(t.Context(), "/data")
		synctest.Wait()
		delayed.open()
		_, err = result(call)
		require401(t, err)
		require.ErrorIs(t, err, auth.ErrSessionChanged)
		assert.Equal(t, []string{"a1", "bobs"}, a.arrived(),
			"bob's call is not sent with the token of the login before")

		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.EqualValues(t, 1, most.Load())
	})
}

func TestOverrun_ItsLateOutcomeIsForThoseOfTheSameLoginWhoWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &forgetful{plainSession: &plainSession{token: living("t0", time.Hour)}, delayed: newGate()}
		status := http.StatusOK
		var seen []string
		client := newClient(responding(func(r *http.Request) int {
			seen = append(seen, r.Header.Get("Authorization"))
			return status
		})).Use(auth.New(session, auth.WithEarlyRefresh(window), auth.WithRefreshTimeout(5*time.Second)))

		time.Sleep(55 * time.Minute)
		_, err := client.Get(t.Context(), "/") // starts an early refresh, which fails after five seconds
		require.NoError(t, err)
		time.Sleep(6 * time.Second)

		status = http.StatusUnauthorized
		call := future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") })
		synctest.Wait()
		status = http.StatusOK
		session.delayed.open()
		_, err = result(call)
		require.NoError(t, err)
		assert.Equal(t, []string{"Bearer t0", "Bearer t0", "Bearer adas"}, seen)
		assert.EqualValues(t, 1, session.calls.Load())
	})
}

func TestOverrun_ItsLateOutcomeIsNotTheNextLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(false)
		w := newWorld(kind{}, inMemory{a}, a, "http://api.test", auth.WithRefreshTimeout(5*time.Second))
		delayed := newGate()
		keep := &forgetful{plainSession: w.plain, delayed: delayed}
		w.client.Interceptors.Request.Clear()
		w.client.Interceptors.Response.Clear()
		w.client.Use(auth.New(keep, auth.WithRefreshTimeout(5*time.Second)))
		a.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)

		w.plain.set(&oauth2.Token{AccessToken: "bobs"}) // another login, which the server refuses too
		call := w.get(t.Context(), "/data")
		synctest.Wait()
		delayed.open()
		_, err = result(call)
		require401(t, err)
		assert.Equal(t, []string{"a1", "bobs", "bobs"}, a.arrived(),
			"no request carries the token that the refresh of the login before returned")
		assert.EqualValues(t, 2, keep.calls.Load())
	})
}

// forgetful is a session whose first refresh returns a new token and does not keep it. Its later
// refreshes return none.
type forgetful struct {
	*plainSession
	delayed *gate
	calls   atomic.Int64
}

func (f *forgetful) RefreshToken(context.Context) (*oauth2.Token, error) {
	if f.calls.Add(1) > 1 {
		return nil, nil
	}
	f.delayed.pass()
	return &oauth2.Token{AccessToken: "adas"}, nil
}
