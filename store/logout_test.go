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

var errTold = errors.New("the server did not want to know")

// farewells records the calls of WithLogout's function.
type farewells struct {
	tokens []*oauth2.Token
	err    error
}

func (f *farewells) option() store.Option {
	return store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
		f.tokens = append(f.tokens, last)
		return f.err
	})
}

func TestStore_LogoutEndsTheSessionThenTellsWithTheLastToken(t *testing.T) {
	var s *store.UserStore[user]
	var told *oauth2.Token
	s = loggedIn(nil, store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
		told = last
		requireLoggedOut(t, s)
		return nil
	}))
	require.NoError(t, s.Logout(t.Context()))
	assert.Equal(t, tokenNamed("old"), told)
	requireLoggedOut(t, s)
}

func TestStore_LogoutReturnsTheErrorOfWithLogout(t *testing.T) {
	for name, c := range map[string]struct {
		end  func() error
		want func(t *testing.T, err error)
	}{
		"error":  {func() error { return errTold }, func(t *testing.T, err error) { assert.ErrorIs(t, err, errTold) }},
		"panic":  {func() error { panic("spilled tea") }, func(t *testing.T, err error) { requirePanic(t, err, "spilled tea") }},
		"Goexit": {func() error { runtime.Goexit(); return nil }, func(t *testing.T, err error) { requirePanic(t, err, future.ErrGoexit) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := loggedIn(nil, store.WithLogout(func(context.Context, *oauth2.Token) error { return c.end() }))
			c.want(t, s.Logout(t.Context()))
			requireLoggedOut(t, s)
		})
	}
}

func TestStore_LogoutOfASessionThatHasEndedDoesNothing(t *testing.T) {
	var told farewells
	s := loggedIn(always(nil, errBoom), told.option())
	require.NoError(t, s.Logout(t.Context()))
	before := s.Snapshot()
	require.NoError(t, s.Logout(t.Context()))
	assert.Len(t, told.tokens, 1)
	assert.Equal(t, before, s.Snapshot())

	s.Login(user{"ada"}, tokenNamed("old"))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, errBoom)
	require.NoError(t, s.Logout(t.Context()))
	assert.Len(t, told.tokens, 2, "the failed refresh has told it")
}

func TestStore_ConcurrentLogoutsTellOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told farewells
		s := loggedIn(nil, told.option())
		var calls []*future.Future[any]
		for range 20 {
			calls = append(calls, future.Go(func() (any, error) { return nil, s.Logout(t.Context()) }))
		}
		for _, call := range calls {
			_, err := outcome(t, call)
			require.NoError(t, err)
		}
		assert.Len(t, told.tokens, 1)
	})
}

func TestStore_AContextGivenToLogoutEndsThatWaitAlone(t *testing.T) {
	errOwn := errors.New("the caller's own reason")
	for _, c := range []struct {
		name   string
		before bool // the context has ended before the call
	}{{"before", true}, {"meanwhile", false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var seen context.Context
				s := loggedIn(nil, store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
					seen = ctx
					<-release
					return ctx.Err()
				}))
				ctx, cancel := context.WithCancelCause(t.Context())
				if c.before {
					cancel(errOwn)
				}
				call := future.Go(func() (any, error) { return nil, s.Logout(ctx) })
				synctest.Wait()
				cancel(errOwn)
				_, err := outcome(t, call)
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, errOwn)
				requireLoggedOut(t, s)
				assert.NoError(t, seen.Err(), "the work goes on")
				close(release)
			})
		})
	}
}

func TestStore_WithLogoutIsBoundedByTheRefreshTimeout(t *testing.T) {
	ends := map[string]func(s *store.UserStore[user]) error{
		"Logout":           func(s *store.UserStore[user]) error { return s.Logout(context.Background()) },
		"a failed refresh": func(s *store.UserStore[user]) error { _, err := s.RefreshToken(context.Background()); return err },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				start := time.Now()
				var left time.Duration
				s := loggedIn(always(nil, errBoom), store.WithRefreshTimeout(time.Second), store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
					deadline, _ := ctx.Deadline()
					left = time.Until(deadline)
					<-release // it ignores its context
					return nil
				}))
				err := end(s)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, time.Second, time.Since(start))
				synctest.Wait()
				assert.Equal(t, time.Second, left)
				requireLoggedOut(t, s)
				close(release)
			})
		})
	}
}

func TestStore_WithLogoutIsDetachedFromTheCallersOfTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		var told error
		tell := make(chan struct{})
		s := loggedIn(refresh.refresh, store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
			<-tell
			told = ctx.Err()
			return nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		call := refreshing(ctx, s)
		refresh.asked(t, 1).fail(errBoom)
		requireWaiting(t, call)
		cancel()
		_, err := outcome(t, call)
		require.ErrorIs(t, err, context.Canceled)
		close(tell)
		synctest.Wait()
		assert.NoError(t, told)
		requireLoggedOut(t, s)
	})
}

func TestR5_OneFailedRefreshLogsOutOnceHoweverManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		var told farewells
		s := loggedIn(refresh.refresh, told.option())
		var transitions []store.State[user]
		s.Subscribe(func(state, _ store.State[user]) { transitions = append(transitions, state) })
		var calls []*future.Future[*oauth2.Token]
		for range 50 {
			calls = append(calls, refreshing(t.Context(), s))
		}
		refresh.asked(t, 1).fail(errBoom)
		for _, call := range calls {
			token, err := outcome(t, call)
			require.ErrorIs(t, err, errBoom)
			require.Nil(t, token)
		}
		assert.Equal(t, []*oauth2.Token{tokenNamed("old")}, told.tokens)
		assert.Equal(t, []store.State[user]{{User: &user{"ada"}, Token: tokenNamed("old"), CheckingAuth: true}, {}}, transitions,
			"user and token become nil in one step")
		requireLoggedOut(t, s)
	})
}

func TestStore_WithLogoutRunsAfterTheSlotIsEmptyAndUnderBypass(t *testing.T) {
	ends := map[string]func(s *store.UserStore[user]) error{
		"Logout":           func(s *store.UserStore[user]) error { return s.Logout(context.Background()) },
		"a failed refresh": func(s *store.UserStore[user]) error { _, err := s.RefreshToken(context.Background()); return err },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			var s *store.UserStore[user]
			var within auth.Snapshot
			var bypassed bool
			var refreshErr, logoutErr error
			s = loggedIn(always(nil, errBoom), store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
				within, bypassed = s.Snapshot(), auth.Bypassed(ctx, s)
				_, refreshErr = s.RefreshToken(ctx)
				logoutErr = s.Logout(ctx)
				return errTold
			}))
			require.ErrorIs(t, end(s), errTold)
			assert.False(t, within.Refreshing)
			assert.False(t, within.Active)
			assert.Nil(t, within.Token)
			assert.True(t, bypassed)
			assert.ErrorIs(t, refreshErr, auth.ErrSessionChanged)
			assert.NoError(t, logoutErr)
		})
	}
}

func TestR16_TheErrorOfTheLogoutIsJoinedToTheRefreshs(t *testing.T) {
	for name, c := range map[string]struct {
		end  func() error
		want func(t *testing.T, err error)
	}{
		"error":  {func() error { return errTold }, func(t *testing.T, err error) { assert.ErrorIs(t, err, errTold) }},
		"panic":  {func() error { panic("spilled tea") }, func(t *testing.T, err error) { requirePanic(t, err, "spilled tea") }},
		"Goexit": {func() error { runtime.Goexit(); return nil }, func(t *testing.T, err error) { requirePanic(t, err, future.ErrGoexit) }},
	} {
		t.Run(name, func(t *testing.T) {
			rejected := refusal(http.StatusUnauthorized)
			s := loggedIn(always(nil, rejected), store.WithLogout(func(context.Context, *oauth2.Token) error { return c.end() }))
			_, err := s.RefreshToken(t.Context())
			assert.ErrorIs(t, err, rejected)
			assert.True(t, store.RejectedOnly(err))
			c.want(t, err)
			requireLoggedOut(t, s)

			s.Login(user{"ada"}, tokenNamed("old"))
			_, err = s.RefreshToken(t.Context())
			assert.ErrorIs(t, err, rejected, "the slot is empty again")
		})
	}
}

func TestStore_ALoginWhileWithLogoutRunsStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tell := make(chan struct{})
		s := loggedIn(always(nil, errBoom), store.WithLogout(func(context.Context, *oauth2.Token) error {
			<-tell
			return nil
		}))
		call := refreshing(t.Context(), s)
		requireWaiting(t, call)
		requireLoggedOut(t, s)
		s.Login(user{"ada"}, tokenNamed("again"))
		requireWaiting(t, call)
		close(tell)
		_, err := outcome(t, call)
		require.ErrorIs(t, err, errBoom)
		requireStillIn(t, s, "again")
	})
}

func TestStore_AnEndedSessionStaysEndedUntilSomethingStartsOne(t *testing.T) {
	ends := map[string]func(s *store.UserStore[user]){
		"Logout":           func(s *store.UserStore[user]) { _ = s.Logout(context.Background()) },
		"a failed refresh": func(s *store.UserStore[user]) { _, _ = s.RefreshToken(context.Background()) },
		"SetState": func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { *state = store.State[user]{} })
		},
	}
	starts := []struct {
		name  string
		start func(s *store.UserStore[user])
		want  bool
	}{
		{"nothing", func(*store.UserStore[user]) {}, false},
		{"a Logout", func(s *store.UserStore[user]) { _ = s.Logout(context.Background()) }, false},
		{"a SetState of nothing", func(s *store.UserStore[user]) { s.SetState(func(*store.State[user]) {}) }, false},
		{"a SetState of CheckingAuth", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.CheckingAuth = true })
		}, false},
		{"a Login", func(s *store.UserStore[user]) { s.Login(user{"bob"}, nil) }, true},
		{"a SetState of a user", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.User = &user{"bob"} })
		}, true},
		{"a SetState of a token", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.Token = tokenNamed("bob") })
		}, true},
	}
	for name, end := range ends {
		for _, c := range starts {
			t.Run(name+", then "+c.name, func(t *testing.T) {
				refreshes := 0
				s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					refreshes++
					return nil, errBoom
				})
				end(s)
				requireLoggedOut(t, s)
				refreshes = 0

				c.start(s)

				assert.Equal(t, c.want, s.Snapshot().Active)
				_, err := s.RefreshToken(t.Context())
				if c.want {
					assert.ErrorIs(t, err, errBoom)
					assert.Equal(t, 1, refreshes)
				} else {
					assert.ErrorIs(t, err, auth.ErrSessionChanged)
					assert.Zero(t, refreshes)
				}
			})
		}
	}
}

func TestLogout_DuringARefreshEndsTheStateAtOnceAndTellsAfterItWithTheNewestToken(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(a *ask)
		want *oauth2.Token
	}{
		"the refresh succeeds":        {func(a *ask) { a.succeed(tokenNamed("new")) }, tokenNamed("new")},
		"without a refresh token":     {func(a *ask) { a.succeed(&oauth2.Token{AccessToken: "a"}) }, &oauth2.Token{AccessToken: "a", RefreshToken: "refresh-old", TokenType: "Bearer"}},
		"with cookies":                {func(a *ask) { a.succeed(nil) }, tokenNamed("old")},
		"the refresh fails":           {func(a *ask) { a.fail(errBoom) }, tokenNamed("old")},
		"the refresh is refused":      {func(a *ask) { a.fail(refusal(http.StatusUnauthorized)) }, tokenNamed("old")},
		"the refresh panics":          {func(a *ask) { a.end(func() (*oauth2.Token, error) { panic("spilled tea") }) }, tokenNamed("old")},
		"the refresh does not settle": {func(*ask) { time.Sleep(time.Second); synctest.Wait() }, tokenNamed("old")},
	} {
		for _, next := range []string{"nobody", "bob"} {
			t.Run(name+", "+next+" meanwhile", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var refresh server
					var told farewells
					s := loggedIn(refresh.refresh, told.option(), store.WithRefreshTimeout(time.Second))
					start := time.Now()
					waits := refreshing(t.Context(), s)
					ask := refresh.asked(t, 1)

					logout := future.Go(func() (any, error) { return nil, s.Logout(t.Context()) })
					requireWaiting(t, logout)
					requireLoggedOut(t, s)
					_, err := outcome(t, waits)
					require.ErrorIs(t, err, auth.ErrSessionChanged)
					want := store.State[user]{}
					if next != "nobody" {
						s.Login(user{next}, tokenNamed(next))
						want = s.State()
					}

					c.end(ask)
					_, err = outcome(t, logout)
					require.NoError(t, err)
					assert.Equal(t, []*oauth2.Token{c.want}, told.tokens, "once, when nothing spends the token any more")
					assert.LessOrEqual(t, time.Since(start), time.Second)
					assert.Equal(t, want, s.State(), "who has logged in meanwhile is not disturbed")
					if name == "the refresh does not settle" {
						ask.succeed(tokenNamed("late"))
						assert.Len(t, told.tokens, 1)
						assert.Equal(t, want, s.State())
					}
				})
			})
		}
	}
}

func TestLogout_DuringARefreshThatHasOverrunWaitsForItToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told farewells
		s, _, running := overrun(t, told.option())
		logout := future.Go(func() (any, error) { return nil, s.Logout(t.Context()) })
		requireWaiting(t, logout)
		requireLoggedOut(t, s)
		running.succeed(tokenNamed("late"))
		_, err := outcome(t, logout)
		require.NoError(t, err)
		assert.Equal(t, []*oauth2.Token{tokenNamed("late")}, told.tokens)
	})
}

func TestLogout_DuringARefreshGoesOnWhenItsCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		var told farewells
		s := loggedIn(refresh.refresh, told.option())
		_ = refreshing(t.Context(), s)
		ask := refresh.asked(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		logout := future.Go(func() (any, error) { return nil, s.Logout(ctx) })
		requireWaiting(t, logout)
		cancel()
		_, err := outcome(t, logout)
		require.ErrorIs(t, err, context.Canceled)
		requireLoggedOut(t, s)
		ask.succeed(tokenNamed("new"))
		assert.Equal(t, []*oauth2.Token{tokenNamed("new")}, told.tokens)
	})
}

func TestLogout_FromWithinTheRefreshDoesNotWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *store.UserStore[user]
		var told farewells
		start := time.Now()
		s = loggedIn(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			return tokenNamed("new"), s.Logout(ctx)
		}, told.option())
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, auth.ErrSessionChanged)
		synctest.Wait()
		assert.Zero(t, time.Since(start))
		assert.Equal(t, []*oauth2.Token{tokenNamed("old")}, told.tokens)
		requireLoggedOut(t, s)
	})
}
