package store_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// Refreshes that take longer than they may, or never return.

func TestStore_TheRefreshsContextEndsWithTheRefreshTimeout(t *testing.T) {
	cases := []struct {
		name string
		opt  store.Option
		want time.Duration
	}{
		{"default", nil, 30 * time.Second},
		{"zero is the default", store.WithRefreshTimeout(0), 30 * time.Second},
		{"less than zero too", store.WithRefreshTimeout(-1), 30 * time.Second},
		{"set", store.WithRefreshTimeout(time.Second), time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := loggedIn(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}, c.opt)
				_, err := s.RefreshToken(t.Context())
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, c.want, time.Since(start))
				requireLoggedOut(t, s)
			})
		})
	}
}

func TestStore_WaitersReturnAfterTheTimeoutThoughTheRefreshIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh, store.WithRefreshTimeout(time.Second), store.WithLogoutWhen(store.RejectedOnly))
		calls := []*future.Future[*oauth2.Token]{refreshing(t.Context(), s), refreshing(t.Context(), s)}
		ask := refresh.asked(t, 1)
		time.Sleep(time.Second)
		for _, call := range calls {
			_, err := outcome(t, call)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		requireStillIn(t, s, "old")
		ask.fail(errBoom) // a late failure changes nothing
		requireStillIn(t, s, "old")
	})
}

func TestStore_ALateSuccessCountsIfTheLoginIsTheSame(t *testing.T) {
	cases := []struct {
		name      string
		meanwhile func(s *store.UserStore[user])
		want      store.State[user]
	}{
		{"the same", func(*store.UserStore[user]) {}, store.State[user]{User: &user{"ada"}, Token: tokenNamed("late")}},
		{"the same, with the user's data changed", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.User.Name = "ada l." })
		}, store.State[user]{User: &user{"ada l."}, Token: tokenNamed("late")}},
		{"another", func(s *store.UserStore[user]) { s.Login(user{"bob"}, tokenNamed("bob")) }, store.State[user]{User: &user{"bob"}, Token: tokenNamed("bob")}},
		{"another of the same user", func(s *store.UserStore[user]) { s.Login(user{"ada"}, tokenNamed("old")) }, store.State[user]{User: &user{"ada"}, Token: tokenNamed("old")}},
		{"over", func(s *store.UserStore[user]) { _ = s.Logout(context.Background()) }, store.State[user]{}},
		{"another, by SetState", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.Token = tokenNamed("set") })
		}, store.State[user]{User: &user{"ada"}, Token: tokenNamed("set")}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var refresh server
				s := loggedIn(refresh.refresh, store.WithRefreshTimeout(time.Second), store.WithLogoutWhen(store.RejectedOnly))
				call := refreshing(t.Context(), s)
				ask := refresh.asked(t, 1)
				time.Sleep(time.Second)
				_, err := outcome(t, call)
				require.ErrorIs(t, err, context.DeadlineExceeded)

				c.meanwhile(s)
				ask.succeed(tokenNamed("late"))

				assert.Equal(t, c.want, s.State())
			})
		})
	}
}

func TestStore_ALateSuccessAfterTheTimeoutHasLoggedOutDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh, store.WithRefreshTimeout(time.Second))
		call := refreshing(t.Context(), s)
		ask := refresh.asked(t, 1)
		time.Sleep(time.Second)
		_, err := outcome(t, call)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		ask.succeed(tokenNamed("late"))
		requireLoggedOut(t, s)
	})
}

// late is a store whose first refresh has timed out and whose second is in flight.
func late(t *testing.T, opts ...store.Option) (s *store.UserStore[user], first, second *ask, call *future.Future[*oauth2.Token]) {
	t.Helper()
	refresh := &server{}
	s = loggedIn(refresh.refresh, append(opts, store.WithRefreshTimeout(time.Second))...)
	timedOut := refreshing(t.Context(), s)
	first = refresh.asked(t, 1)
	time.Sleep(time.Second)
	_, err := outcome(t, timedOut)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	call = refreshing(t.Context(), s)
	return s, first, refresh.asked(t, 2), call
}

func keepOnTimeout(err error) bool { return !errors.Is(err, context.DeadlineExceeded) }

func TestStore_ALateSuccessBesideTheNextRefresh(t *testing.T) {
	t.Run("counts, and the next one's success after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, first, second, call := late(t, store.WithLogoutWhen(keepOnTimeout))
			first.succeed(tokenNamed("late"))
			assert.Equal(t, store.State[user]{User: &user{"ada"}, Token: tokenNamed("late"), CheckingAuth: true}, s.State())
			second.succeed(tokenNamed("second"))
			token, err := outcome(t, call)
			require.NoError(t, err)
			assert.Equal(t, tokenNamed("second"), token)
			requireStillIn(t, s, "second")
		})
	})
	t.Run("the next one's refusal, of a token that is spent by then, ends nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, first, second, call := late(t, store.WithLogoutWhen(keepOnTimeout))
			first.succeed(tokenNamed("late"))
			second.fail(refusal(http.StatusBadRequest))
			token, err := outcome(t, call)
			require.NoError(t, err, "the session is refreshed")
			assert.Equal(t, tokenNamed("late"), token)
			requireStillIn(t, s, "late")
		})
	})
	t.Run("does not count after the next one's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, first, second, call := late(t, store.WithLogoutWhen(keepOnTimeout))
			second.succeed(tokenNamed("second"))
			_, err := outcome(t, call)
			require.NoError(t, err)
			first.succeed(tokenNamed("late"))
			requireStillIn(t, s, "second")
		})
	})
	t.Run("without an access token is dropped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, first, second, call := late(t, store.WithLogoutWhen(keepOnTimeout))
			first.succeed(&oauth2.Token{})
			second.succeed(tokenNamed("second"))
			_, err := outcome(t, call)
			require.NoError(t, err)
			requireStillIn(t, s, "second")
		})
	})
}

func TestStore_TheSlotStillWorksAfterALateSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(*ask){
			"success": func(a *ask) { a.succeed(tokenNamed("second")) },
			"failure": func(a *ask) { a.fail(errBoom) },
		} {
			s, first, second, call := late(t, store.WithLogoutWhen(store.RejectedOnly))
			first.succeed(tokenNamed("late"))
			end(second)
			_, _ = outcome(t, call)
			require.False(t, s.Snapshot().Refreshing, name)
			require.False(t, s.State().CheckingAuth, name)
			require.NoError(t, s.Logout(t.Context()))
		}
	})
}

func TestR19_ARefreshThatDoesNotReturnFailsAndTheNextIsTried(t *testing.T) {
	for name, c := range map[string]struct {
		end  func()
		want any
	}{
		"panic":               {func() { panic("spilled tea") }, "spilled tea"},
		"panic with an error": {func() { panic(errBoom) }, errBoom},
		"Goexit":              {runtime.Goexit, future.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var refresh server
				s := loggedIn(refresh.refresh, store.WithLogoutWhen(store.RejectedOnly))
				calls := []*future.Future[*oauth2.Token]{refreshing(t.Context(), s), refreshing(t.Context(), s)}
				refresh.asked(t, 1).end(func() (*oauth2.Token, error) { c.end(); return nil, nil })
				for _, call := range calls {
					_, err := outcome(t, call)
					requirePanic(t, err, c.want)
				}
				requireStillIn(t, s, "old")

				call := refreshing(t.Context(), s)
				refresh.asked(t, 2).succeed(tokenNamed("new"))
				_, err := outcome(t, call)
				require.NoError(t, err)
				requireStillIn(t, s, "new")
			})
		})
	}
}

func TestR19_AWithLogoutWhenThatDoesNotReturnIsTakenForAYes(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("spilled tea") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := loggedIn(always(nil, errBoom), store.WithLogoutWhen(func(error) bool { end(); return false }))
				_, err := outcome(t, refreshing(t.Context(), s))
				require.ErrorIs(t, err, errBoom)
				requireLoggedOut(t, s)
				s.Login(user{"ada"}, tokenNamed("old"))
				_, err = outcome(t, refreshing(t.Context(), s))
				require.ErrorIs(t, err, errBoom, "the slot is empty again")
			})
		})
	}
}

func TestStore_ALateSuccessDuringTheLogoutOfItsTimeoutLeavesTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New[string](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(35 * time.Second)
			return &oauth2.Token{AccessToken: "late"}, nil
		}, store.WithRefreshTimeout(30*time.Second), store.WithLogout(func(context.Context, *oauth2.Token) error {
			time.Sleep(10 * time.Second)
			return nil
		}))
		s.Login("user", &oauth2.Token{AccessToken: "old"})
		began := time.Now()
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, auth.ErrSessionChanged)
		assert.Equal(t, 40*time.Second, time.Since(began), "who waits is woken when the logout is done")
	})
}

func TestStore_ALateSuccessWhileWithLogoutWhenIsAskedStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New[string](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(35 * time.Second)
			return &oauth2.Token{AccessToken: "late"}, nil
		}, store.WithRefreshTimeout(30*time.Second), store.WithLogoutWhen(func(error) bool {
			time.Sleep(10 * time.Second)
			return true
		}))
		s.Login("user", &oauth2.Token{AccessToken: "old"})
		token, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "late", token.AccessToken)
		synctest.Wait()
		time.Sleep(time.Minute)
		assert.Equal(t, "late", s.Token().AccessToken, "nobody is logged out")
	})
}
