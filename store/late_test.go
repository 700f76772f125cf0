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

	"github.com/axlehttp/axle"
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

func keepOnTimeout(err error) bool { return !errors.Is(err, context.DeadlineExceeded) }

// overrun is a store whose refresh has overrun its time limit of a second, once, and was left to
// itself.
func overrun(t *testing.T, opts ...store.Option) (s *store.UserStore[user], refresh *server, running *ask) {
	t.Helper()
	refresh = &server{}
	opts = append([]store.Option{store.WithLogoutWhen(keepOnTimeout), store.WithRefreshTimeout(time.Second)}, opts...)
	s = loggedIn(refresh.refresh, opts...)
	timedOut := refreshing(t.Context(), s)
	running = refresh.asked(t, 1)
	time.Sleep(time.Second)
	_, err := outcome(t, timedOut)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireStillIn(t, s, "old")
	return s, refresh, running
}

func TestOverrun_LaterCallersWaitForTheOneThatStillRunsWithinTheTimeLimitAndNoneIsStartedBesideIt(t *testing.T) {
	waits := map[string]func(s *store.UserStore[user]) error{
		"RefreshToken": func(s *store.UserStore[user]) error { _, err := s.RefreshToken(context.Background()); return err },
		"RefreshSince": func(s *store.UserStore[user]) error {
			_, err := s.RefreshSince(context.Background(), s.Snapshot().Generation)
			return err
		},
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, refresh, running := overrun(t)

				// It runs on for as long as it likes: each wait for it ends after the time limit.
				for range 3 {
					start := time.Now()
					require.ErrorIs(t, wait(s), context.DeadlineExceeded)
					assert.Equal(t, time.Second, time.Since(start))
					requireStillIn(t, s, "old")
				}
				assert.Equal(t, uint64(4), s.Snapshot().Failures)

				call := future.Go(func() (any, error) { return nil, wait(s) })
				requireWaiting(t, call)
				assert.True(t, s.Snapshot().Refreshing)
				assert.True(t, s.State().CheckingAuth)
				running.succeed(tokenNamed("late"))

				_, err := outcome(t, call)
				require.NoError(t, err)
				requireStillIn(t, s, "late")
				assert.Equal(t, 1, refresh.calls())
			})
		})
	}
}

func TestOverrun_TheNextRefreshStartsOnceItHasReturned(t *testing.T) {
	for name, end := range map[string]func(*ask){
		"with a token":         func(a *ask) { a.succeed(tokenNamed("late")) },
		"with a failure":       func(a *ask) { a.fail(&axle.Error{Code: axle.CodeNetwork}) },
		"with its time limit":  func(a *ask) { a.fail(a.ctx.Err()) },
		"with no access token": func(a *ask) { a.succeed(&oauth2.Token{}) },
		"with a panic":         func(a *ask) { a.end(func() (*oauth2.Token, error) { panic("spilled tea") }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, refresh, running := overrun(t, store.WithLogoutWhen(store.RejectedOnly))
				end(running)
				call := refreshing(t.Context(), s)
				refresh.asked(t, 2).succeed(tokenNamed("second"))
				_, err := outcome(t, call)
				require.NoError(t, err)
				requireStillIn(t, s, "second")
			})
		})
	}
}

func TestOverrun_ItsFailureIsThatOfTheCallersWhoWaitByThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, running := overrun(t)
		call := refreshing(t.Context(), s)
		requireWaiting(t, call)
		running.fail(refusal(http.StatusUnauthorized))
		_, err := outcome(t, call)
		assert.True(t, store.RejectedOnly(err), err)
		requireLoggedOut(t, s)
	})
}

func TestOverrun_ItsLateFailureCountsIfTheLoginIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told farewells
		s, _, running := overrun(t, told.option())
		running.fail(refusal(http.StatusUnauthorized))
		requireLoggedOut(t, s)
		assert.Equal(t, []*oauth2.Token{tokenNamed("old")}, told.tokens)
	})
	synctest.Test(t, func(t *testing.T) {
		s, _, running := overrun(t)
		s.Login(user{"ada"}, tokenNamed("again"))
		running.fail(refusal(http.StatusUnauthorized))
		requireStillIn(t, s, "again")
	})
}

func TestOverrun_ARefreshThatGivesUpAtItsTimeLimitFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := loggedIn(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, store.WithLogoutWhen(func(error) bool { asked++; return false }))
		for i := range 20 {
			_, err := s.RefreshToken(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			synctest.Wait()
			assert.Equal(t, i+1, asked)
			assert.Equal(t, uint64(i+1), s.Snapshot().Failures)
			requireStillIn(t, s, "old")
		}
	})
}

func TestOverrun_ANewLoginIsFreeToRefreshBesideTheOldOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, refresh, running := overrun(t)
		s.Login(user{"bob"}, tokenNamed("bob"))
		call := refreshing(t.Context(), s)
		bobs := refresh.asked(t, 2)
		running.succeed(tokenNamed("ada's"))
		requireWaiting(t, call)
		bobs.succeed(tokenNamed("bob's"))
		token, err := outcome(t, call)
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("bob's"), token)
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

func TestR19_AWithLogoutWhenThatTakesTooLongIsTakenForAYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		s := loggedIn(always(nil, errBoom), store.WithRefreshTimeout(time.Second), store.WithLogoutWhen(func(error) bool {
			<-release
			return false
		}))
		start := time.Now()
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, time.Second, time.Since(start), "it holds nobody longer than the refresh timeout")
		requireLoggedOut(t, s)
	})
}

func TestR7_CallersWhoComeWhileWithLogoutWhenIsAskedShareItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, release := 0, make(chan struct{})
		refreshes := 0
		s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			refreshes++
			return nil, errBoom
		}, store.WithLogoutWhen(func(error) bool {
			asked++
			<-release
			return false
		}))
		calls := []*future.Future[*oauth2.Token]{refreshing(t.Context(), s)}
		requireWaiting(t, calls[0])
		calls = append(calls, refreshing(t.Context(), s))
		requireWaiting(t, calls[1])
		close(release)
		for _, call := range calls {
			_, err := outcome(t, call)
			require.ErrorIs(t, err, errBoom)
		}
		assert.Equal(t, 1, asked)
		assert.Equal(t, 1, refreshes)
		requireStillIn(t, s, "old")
	})
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
