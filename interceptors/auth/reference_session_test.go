package auth_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
)

// R13 to R20: who waits, who is logged in, and what a refresh leaves behind. R1 to R12 stand in
// reference_test.go.

func TestR13_ACallerWhoAbortsWhileWaitingReturnsAtOnceWithItsContextsError(t *testing.T) {
	cause := errors.New("the user closed the tab")
	eachKind(t, func(t *testing.T, w *world) {
		delayed := w.delayRefresh()
		w.api.expire()
		other := w.get(t.Context(), "/data")
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		impatient := w.get(ctx, "/data")
		synctest.Wait()
		cancel(cause)
		synctest.Wait()
		require.True(t, isDone(impatient), "at once")
		_, err := result(impatient)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, axle.CodeCanceled)
		require.ErrorIs(t, err, cause)
		require.False(t, isDone(other))
		delayed.open()
		resp, err := result(other)
		requireOK(t, resp, err)
	})
}

func TestR14_ALogoutDuringARefreshStays(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.users == nil {
			return // what a plain session does then is its own business
		}
		delayed := w.delayRefresh()
		w.api.expire()
		call := w.get(t.Context(), "/data")
		synctest.Wait()
		require.NoError(t, w.session.Logout(t.Context()))
		delayed.open()
		_, err := result(call)
		require401(t, err)
		assert.ErrorIs(t, err, auth.ErrSessionChanged)
		synctest.Wait()
		assert.Nil(t, w.users.State().Token)
		assert.Nil(t, w.users.State().User)
		assert.Equal(t, []string{"a1"}, w.api.arrived(), "not replayed")
	})
}

func TestR14_ACallMadeInOneLoginIsNeverReplayedInAnother(t *testing.T) {
	for _, when := range []string{"before the 401", "during the refresh", "while it waits"} {
		t.Run(when, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				if w.users == nil {
					return // see TestPlain_…: a plain session can only be watched
				}
				bob := &oauth2.Token{AccessToken: "bob"}
				if w.cookies {
					bob = nil
				}
				delayed, late := w.delayRefresh(), newGate()
				w.api.leaving = func(r *http.Request, _ int) {
					if r.URL.Path == "/late" {
						late.pass()
					}
				}
				w.api.expire()
				path := map[string]string{"before the 401": "/late"}[when]
				if path == "" {
					path = "/data"
				}
				first := w.get(t.Context(), path)
				synctest.Wait()
				call := first
				if when == "while it waits" {
					call = w.get(t.Context(), "/data")
					synctest.Wait()
				}
				w.users.Login(user{"bob"}, bob)
				late.open()
				delayed.open()
				_, err := result(call)
				require.Error(t, err)
				if when == "while it waits" {
					assert.ErrorIs(t, err, auth.ErrSessionChanged)
				} else {
					require401(t, err)
				}
				_, _ = result(first)
				assert.Equal(t, []string{"a1"}, w.api.arrived(), "nothing was sent as bob")
				assert.Equal(t, "bob", w.users.State().User.Name)
				assert.Zero(t, w.logouts.Load())
			})
		})
	}
}

func TestSkip_ACallCarriesNoTokenAndWaitsForNoRefreshAndStartsNone(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.expire()
		delayed := w.delayRefresh()
		waiting := w.get(t.Context(), "/data")
		synctest.Wait()

		// The refresh waits at its gate, so that a call that waited for it would hang.
		_, err := w.client.Post(t.Context(), "/login", nil, auth.Skip)
		require401(t, err)

		tokens := w.api.arrived()
		if !w.cookies {
			assert.Equal(t, []string{"a1", ""}, tokens)
		}
		delayed.open()
		resp, err := result(waiting)
		requireOK(t, resp, err)
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.Zero(t, w.logouts.Load())
	})
}

func TestR15_OnlyWhereTheSessionWasInPlay(t *testing.T) {
	var elsewhere int
	other := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		elsewhere++
		if r.Header.Get("Authorization") != "" && r.Header.Get("Authorization") != "Basic own" {
			rw.WriteHeader(http.StatusTeapot)
			return
		}
		rw.WriteHeader(http.StatusUnauthorized)
	})
	for name, send := range map[string]func(ctx context.Context, c *axle.Client) error{
		"skipped": func(ctx context.Context, c *axle.Client) error {
			_, err := c.R(ctx).With(auth.Skip).Post("/login")
			return err
		},
		"another host": func(ctx context.Context, c *axle.Client) error {
			_, err := c.Get(ctx, "http://other.test/data")
			return err
		},
		"another port": func(ctx context.Context, c *axle.Client) error {
			_, err := c.Get(ctx, "http://api.test:8080/data")
			return err
		},
		"another scheme": func(ctx context.Context, c *axle.Client) error {
			_, err := c.Get(ctx, "https://api.test/data")
			return err
		},
		"an Authorization of the caller's own": func(ctx context.Context, c *axle.Client) error {
			_, err := c.R(ctx).SetHeader("Authorization", "Basic own").Get("/data")
			return err
		},
		"userinfo in the URL": func(ctx context.Context, c *axle.Client) error {
			_, err := c.Get(ctx, "http://me:secret@api.test/data")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				elsewhere = 0
				w.client.SetTransport(inMemory{http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") { // as net/http sends userinfo
						r.Header.Set("Authorization", "Basic own")
					}
					other(rw, r)
				})})
				err := send(t.Context(), w.client)
				e, ok := errors.AsType[*axle.Error](err)
				require.True(t, ok, "%v", err)
				assert.Equal(t, http.StatusUnauthorized, e.StatusCode())
				assert.Equal(t, 1, elsewhere, "not replayed")
				assert.Zero(t, w.refreshes.Load())
			})
		})
	}
}

func TestR15_AnEndedSessionIsNotRefreshed(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.plain != nil && w.cookies {
			return // it cannot be seen to have ended
		}
		require.NoError(t, w.session.Logout(t.Context()))
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Zero(t, w.refreshes.Load())
		if !w.cookies {
			assert.Equal(t, []string{""}, w.api.arrived(), "nothing is attached")
		}
	})
}

func TestR16_TheErrorOfALogoutIsJoined(t *testing.T) {
	errLogout := errors.New("the logout failed too")
	for name, logout := range map[string]func(context.Context) error{
		"error": func(context.Context) error { return errLogout },
		"panic": func(context.Context) error { panic(errLogout) },
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				w.failRefresh(errBoom)
				w.logout = logout
				w.api.expire()
				_, err := w.client.Get(t.Context(), "/data")
				require401(t, err)
				assert.ErrorIs(t, err, errBoom)
				assert.Contains(t, err.Error(), "the logout failed too")
				assert.EqualValues(t, 1, w.logouts.Load())
			})
		})
	}
}

func TestR16_ARequestOfTheLogoutNeitherWaitsNorRefreshes(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.failRefresh(errBoom)
		w.logout = func(ctx context.Context) error {
			_, err := w.client.Post(ctx, "/logout", nil) // 401 as well
			return err
		}
		w.api.expire()
		began := time.Now()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.EqualValues(t, 1, w.refreshes.Load())
		assert.EqualValues(t, 1, w.logouts.Load())
		assert.Zero(t, time.Since(began))
	})
}

func TestR17_TheTokensAreStoredBeforeAnyWaiterWakes(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		if w.cookies {
			return // they are in the jar
		}
		var seen []string
		var mu sync.Mutex
		w.client.Interceptors.Response.Use(func(_ context.Context, r *axle.Response) (*axle.Response, error) {
			if r.Request.URL == refreshPath {
				return r, nil
			}
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, w.session.Token().AccessToken+w.session.Token().RefreshToken)
			return r, nil
		}, nil)
		w.api.expire()
		var calls []*future.Future[*axle.Response]
		for range 20 {
			calls = append(calls, w.get(t.Context(), "/data"))
		}
		for _, call := range calls {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		assert.Equal(t, slices.Repeat([]string{"a2r2"}, 20), seen)
	})
}

func TestR18_AReplaysFailureIsNoRefreshFailure(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.leaving = func(_ *http.Request, status int) {
			if status == http.StatusOK {
				panic(http.ErrAbortHandler) // the replay's connection breaks
			}
		}
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, axle.CodeNetwork)
		assert.Zero(t, w.logouts.Load())
		assert.Equal(t, 1, w.api.refreshed())
		w.api.leaving = nil
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, 1, w.api.refreshed())
	})
}

func TestR19_ARefreshThatPanicsOrExitsRejectsAndTheNext401TriesAgain(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("ouch") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				endpoint, first := w.refresh, true
				w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
					if first {
						first = false
						end()
					}
					return endpoint(ctx, current)
				}
				w.api.expire()
				delayed := w.delayRefresh()
				calls := w.together(t, 5)
				synctest.Wait()
				delayed.open()
				for _, call := range calls {
					_, err := result(call)
					require401(t, err)
					_, ok := errors.AsType[*future.PanicError](err)
					assert.True(t, ok, "%v", err)
				}
				assert.EqualValues(t, 1, w.logouts.Load())
				w.loginAgain()
				resp, err := w.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
			})
		})
	}
}

func TestR20_TheRefreshIsDetachedFromTheCallerWhoStartedIt(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		delayed := newGate()
		endpoint := w.refresh
		var inner error
		var left time.Duration
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			delayed.pass()
			inner = ctx.Err()
			return endpoint(ctx, current)
		}
		w.api.expire()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := w.get(ctx, "/data")
		synctest.Wait()
		second := w.get(t.Context(), "/data")
		_, err := result(first)
		require.ErrorIs(t, err, axle.CodeTimeout)
		delayed.open()
		resp, err := result(second)
		requireOK(t, resp, err)
		assert.NoError(t, inner)
		assert.Equal(t, 30*time.Second, left, "its own time limit")
		assert.EqualValues(t, 1, w.refreshes.Load())
	})
}
