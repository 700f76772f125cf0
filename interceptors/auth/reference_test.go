package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
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

// This file has the faults of the reference code, R1 to R20, one test each or more, over every
// kind of session.

func TestR1_TheOriginalErrorAlwaysReachesTheCaller(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.leaving = func(r *http.Request, _ int) {
			if r.URL.Path == "/broken" {
				panic(http.ErrAbortHandler)
			}
		}
		_, err := w.client.Get(t.Context(), "/broken")
		assert.ErrorIs(t, err, axle.CodeNetwork, "a network error")

		w.api.leaving = nil
		w.client.SetTransport(inMemory{http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/500" {
				rw.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.api.ServeHTTP(rw, r)
		})})
		_, err = w.client.Get(t.Context(), "/500")
		assert.ErrorIs(t, err, axle.CodeBadResponse, "a 500")

		w.api.arriving = func(*http.Request) { w.api.expire() }
		_, err = w.client.Get(t.Context(), "/data")
		require401(t, err) // the second 401
	})
}

func TestR2_ARefreshThatIsRefusedDoesNotWaitForItself(t *testing.T) {
	for name, endpoint := range map[string]func(w *world) store.RefreshFunc{
		"Endpoint": func(w *world) store.RefreshFunc { return store.Endpoint(w.client, refreshPath) },
		"a call of the user's own, without Skip": func(w *world) store.RefreshFunc {
			return func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
				_, err := w.client.Post(ctx, refreshPath, nil)
				return nil, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				w.refresh = endpoint(w)
				w.api.expire()
				w.api.refuse = func(rw http.ResponseWriter) bool { rw.WriteHeader(http.StatusUnauthorized); return true }
				began := time.Now()
				_, err := w.client.Get(t.Context(), "/data")
				require401(t, err)
				assert.EqualValues(t, 1, w.refreshes.Load())
				assert.Zero(t, time.Since(began), "nobody waited for a time limit")
			})
		})
	}
}

func TestR2_ARefreshNestedInARefreshIsAClearErrorAndLogsNobodyOut(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.refresh = func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			if w.users != nil {
				return w.users.RefreshToken(ctx)
			}
			_, err := w.client.Get(ctx, "/data") // 401, under the refresh
			if e, ok := errors.AsType[*axle.Error](err); !ok || e.StatusCode() != http.StatusUnauthorized {
				t.Errorf("the nested call got %v", err)
			}
			return nil, auth.ErrNestedRefresh
		}
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.ErrorIs(t, err, auth.ErrNestedRefresh)
		assert.Zero(t, w.logouts.Load())
	})
}

func TestR2_ARefreshThatLosesItsContextEndsWithItsTimeLimit(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, err := w.client.Get(ctx, "/data") // would wait for the refresh that it is part of
			return nil, err
		}
		w.api.expire()
		began := time.Now()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 30*time.Second, time.Since(began))
	})
}

func TestR3_AFailedRefreshDoesNotPoisonTheNext(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		endpoint, failures := w.refresh, 1
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			if failures--; failures >= 0 {
				return nil, errBoom
			}
			return endpoint(ctx, current)
		}
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, errBoom)

		w.loginAgain()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.EqualValues(t, 2, w.refreshes.Load())
	})
}

// loginAgain starts a session with the server's current tokens.
func (w *world) loginAgain() {
	token := &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"}
	if w.cookies {
		token = nil
	}
	if w.users != nil {
		w.users.Login(user{"ada"}, token)
	} else {
		w.plain.set(token)
	}
}

func TestR4_WaitersOfOneRefreshDoNotEmptyTheSlotOfTheNext(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		for range 20 {
			w.api.expire()
			var calls []*future.Future[*axle.Response]
			for range 10 {
				calls = append(calls, w.get(t.Context(), "/data"))
			}
			for _, call := range calls {
				resp, err := result(call)
				requireOK(t, resp, err)
			}
		}
		_, _, refreshes, reuses := w.api.count()
		assert.Equal(t, 20, refreshes)
		assert.Zero(t, reuses)
	})
}

func TestR5_OneLogoutForOneFailedRefresh(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.failRefresh(errBoom)
		delayed := w.delayRefresh()
		w.api.expire()
		calls := w.together(t, 50)
		synctest.Wait()
		delayed.open()
		for _, call := range calls {
			_, err := result(call)
			e := require401(t, err)
			assert.ErrorIs(t, e, errBoom)
		}
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.EqualValues(t, 1, w.logouts.Load())
	})
}

func TestR6_TheErrorHoldsTheRefreshsFailureAndTheOriginal401(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.expire()
		w.api.refuse = func(rw http.ResponseWriter) bool { rw.WriteHeader(http.StatusForbidden); return true }
		_, err := w.client.Get(t.Context(), "/data")
		e := require401(t, err)
		assert.Equal(t, "/data", e.Request.URL)

		var statuses []int
		var walk func(error)
		walk = func(err error) {
			if e, ok := err.(*axle.Error); ok { //nolint:errorlint // a walk over the tree
				statuses = append(statuses, e.StatusCode())
			}
			switch err := err.(type) { //nolint:errorlint // likewise
			case interface{ Unwrap() error }:
				walk(err.Unwrap())
			case interface{ Unwrap() []error }:
				for _, e := range err.Unwrap() {
					walk(e)
				}
			}
		}
		walk(err)
		assert.Contains(t, statuses, http.StatusForbidden, "the refresh's failure")
		assert.Contains(t, statuses[1:], http.StatusUnauthorized, "the original")
		assert.Contains(t, err.Error(), "403")
	})
}

func TestR7_ByDefaultEveryFailedRefreshLogsOut(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.failRefresh(&axle.Error{Code: axle.CodeNetwork, Err: errBoom})
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.EqualValues(t, 1, w.logouts.Load())
		assert.Nil(t, w.session.Token())
	})
}

func TestR7_ACallersOwnCancellationNeverLogsOut(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		delayed := w.delayRefresh()
		w.api.expire()
		ctx, cancel := context.WithCancel(t.Context())
		call := w.get(ctx, "/data")
		synctest.Wait()
		require.EqualValues(t, 1, delayed.waiting.Load())
		cancel()
		_, err := result(call)
		require.ErrorIs(t, err, axle.CodeCanceled)
		delayed.open()
		synctest.Wait()
		assert.Zero(t, w.logouts.Load())

		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.EqualValues(t, 1, w.refreshes.Load(), "the refresh went on")
	})
}

func TestR9_ALate401OfTheOldTokenIsJustReplayed(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.expire()
		late := newGate()
		w.api.leaving = func(r *http.Request, status int) {
			if r.URL.Path == "/late" && status == http.StatusUnauthorized {
				late.pass()
			}
		}
		slow := w.get(t.Context(), "/late")
		synctest.Wait()
		require.EqualValues(t, 1, late.waiting.Load(), "the server has judged, and has not responded")

		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		late.open()
		resp, err = result(slow)
		requireOK(t, resp, err)
		_, _, refreshes, reuses := w.api.count()
		assert.Equal(t, 1, refreshes)
		assert.Zero(t, reuses)
	})
}

func TestR10_ARequestMadeWhileARefreshRunsWaitsForTheNewToken(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		delayed := w.delayRefresh()
		w.api.expire()
		first := w.get(t.Context(), "/data")
		synctest.Wait()
		second := w.get(t.Context(), "/data")
		synctest.Wait()
		assert.False(t, isDone(second))
		assert.Equal(t, []string{"a1"}, w.api.arrived(), "the second has not been sent")
		delayed.open()
		for _, call := range []*future.Future[*axle.Response]{first, second} {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		assert.Equal(t, []string{"a1", "a2", "a2"}, w.api.arrived())
	})
}

func TestR10_TheWaitIsBoundedByTheRequestsContext(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		delayed := w.delayRefresh()
		w.api.expire()
		first := w.get(t.Context(), "/data")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.client.Get(ctx, "/data")
		require.ErrorIs(t, err, axle.CodeTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		delayed.open()
		resp, err := result(first)
		requireOK(t, resp, err)
		assert.Zero(t, w.logouts.Load())
	})
}

func TestR10_IfTheRefreshFailsAWaitingCallIsNotSentAndGetsItsError(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.failRefresh(errBoom)
		delayed := w.delayRefresh()
		w.api.expire()
		first := w.get(t.Context(), "/data")
		synctest.Wait()
		second := w.get(t.Context(), "/data")
		synctest.Wait()
		delayed.open()
		_, err := result(first)
		require401(t, err)
		_, err = result(second)
		require.ErrorIs(t, err, errBoom)
		assert.ErrorIs(t, err, axle.CodeInterceptor)
		assert.Equal(t, []string{"a1"}, w.api.arrived(), "the second was never sent")
		assert.EqualValues(t, 1, w.logouts.Load())
	})
}

func TestR11_AnUnreplayableBodyStillRefreshesAndGetsTheOriginal401WithTheReason(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.expire()
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", axle.ReplayLimit+1))) // neither seeks nor fits
		_, err := w.client.Post(t.Context(), "/data", body)
		require401(t, err)
		assert.ErrorIs(t, err, axle.ErrBodyConsumed)
		assert.Equal(t, 1, w.api.refreshed())
		assert.Zero(t, w.logouts.Load())
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, 1, w.api.refreshed(), "the next call profits")
	})
}

func TestR11_TheReplaySendsTheSameBody(t *testing.T) {
	for name, body := range map[string]func() any{
		"string": func() any { return "payload" },
		"bytes":  func() any { return []byte("payload") },
		"seeker": func() any { return strings.NewReader("payload") },
		"reader": func() any { return io.MultiReader(strings.NewReader("payload")) },
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				w.api.expire()
				resp, err := w.client.Post(t.Context(), "/data", body())
				requireOK(t, resp, err)
				assert.Equal(t, "payload", resp.String())
			})
		})
	}
}

func TestR11_LaterInterceptorsRunOnceAndTheCallersRequestIsLeftAlone(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		var before, after, requests int
		w.client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			requests++
			return r.SetHeader("X-Attempt", r.Header.Get("X-Attempt")+"+"), nil
		}, nil)
		w.client.Interceptors.Response.Use(func(_ context.Context, r *axle.Response) (*axle.Response, error) {
			after++
			assert.Equal(t, "+", r.Request.Header.Get("X-Attempt"), "nothing is applied twice")
			return r, nil
		}, func(_ context.Context, err *axle.Error) (*axle.Response, error) { before++; return nil, err })
		refresh := w.refresh
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			defer func(r, a int) { requests, after = r, a }(requests, after) // the refresh is a call of its own
			return refresh(ctx, current)
		}
		w.api.expire()
		request := w.client.R(t.Context())
		resp, err := request.Get("/data")
		requireOK(t, resp, err)
		assert.Equal(t, 2, requests)
		assert.Equal(t, 1, after)
		assert.Zero(t, before, "the handlers after it never saw the 401")
		assert.Empty(t, request.Header)
	})
}

func TestR12_TheReplays401IsReturnedAndACallRefreshesOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.arriving = func(r *http.Request) {
			if r.URL.Path != refreshPath {
				w.api.expire() // whatever token comes
			}
		}
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.Equal(t, []string{"a1", "a2"}, w.api.arrived(), "one replay")
		assert.Zero(t, w.logouts.Load(), "the refresh did not fail")
	})
}

func TestR12_OneFreeReplayAndOneRefreshPerCall(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		late := newGate()
		w.api.leaving = func(r *http.Request, status int) {
			if r.URL.Path == "/late" && status == http.StatusUnauthorized {
				if late.waiting.Load() == 0 {
					late.pass()
				}
			}
		}
		w.api.expire()
		call := w.get(t.Context(), "/late")
		synctest.Wait()
		resp, err := w.client.Get(t.Context(), "/data") // refreshes: a2
		requireOK(t, resp, err)
		w.api.arriving = func(r *http.Request) {
			if r.URL.Path == "/late" {
				w.api.expire()
			}
		}
		late.open()
		_, err = result(call) // a1: free replay; a2: refresh, replay; a3: its last 401
		require401(t, err)
		assert.Equal(t, []string{"a1", "a1", "a2", "a2", "a3"}, w.api.arrived())
		assert.EqualValues(t, 2, w.refreshes.Load())
	})
}
