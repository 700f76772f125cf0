package store_test

import (
	"context"
	"errors"
	"math"
	"net/http"
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

// livingFor is a token that expires after that time.
func livingFor(life time.Duration) *oauth2.Token {
	token := tokenNamed("t")
	token.Expiry = time.Now().Add(life)
	return token
}

// refreshes notes when a RefreshFunc was called, as times since the first look at the clock.
type refreshes struct {
	start time.Time
	at    []time.Duration
	life  time.Duration // of the tokens that it returns
	fail  func(n int) error
}

func (r *refreshes) refresh(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	r.at = append(r.at, time.Since(r.start))
	if r.fail != nil {
		if err := r.fail(len(r.at)); err != nil {
			return nil, err
		}
	}
	return livingFor(r.life), nil
}

// requireGaps wants refreshes with these gaps, of which a tenth may have come off at random.
func requireGaps(t *testing.T, want, at []time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, len(at), len(want))
	last := time.Duration(0)
	for n, gap := range want {
		got := at[n] - last
		require.GreaterOrEqual(t, got, gap-gap/10, "the gap before refresh %d", n+1)
		require.LessOrEqual(t, got, gap, "the gap before refresh %d", n+1)
		last = at[n]
	}
}

// keeping runs KeepFresh, and stops it when the test ends. A goroutine that it left behind would
// fail the bubble.
func keeping(t *testing.T, s *store.UserStore[user], before time.Duration) *future.Future[any] {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := future.Go(func() (any, error) { return nil, s.KeepFresh(ctx, before) })
	t.Cleanup(func() { cancel(); <-done.Done() })
	return done
}

func TestKeepFresh_RefreshesWheneverTheTokenIsThatNearToItsExpiry(t *testing.T) {
	minute := time.Minute
	cases := []struct {
		name    string
		login   time.Duration // the life of the login's token
		life    time.Duration // of the refreshed ones
		before  time.Duration
		watched time.Duration
		want    []time.Duration // the gaps before the refreshes
	}{
		{"an hour, ten minutes before", 60 * minute, 60 * minute, 10 * minute, 3 * time.Hour, []time.Duration{50 * minute, 50 * minute, 50 * minute}},
		{"restored inside the window: at once", 5 * minute, 60 * minute, 10 * minute, time.Hour, []time.Duration{0, 50 * minute}},
		{"restored after its end: at once", -60 * minute, 60 * minute, 10 * minute, time.Hour, []time.Duration{0, 50 * minute}},
		{"a life shorter than the window: at half of it", 5 * minute, 4 * minute, 10 * minute, 7 * minute, []time.Duration{0, 2 * minute, 2 * minute, 2 * minute}},
		{"a life of no length: not in a loop", minute, 1, minute, 3 * time.Second, []time.Duration{0, time.Second, time.Second, time.Second}},
		{"hardly longer than the window: not in a loop", 60 * minute, 60 * minute, 59 * minute, 2 * minute, []time.Duration{minute, minute}},
		{"a window without end: at half of the life", 60 * minute, 60 * minute, math.MaxInt64, 91 * minute, []time.Duration{0, 30 * minute, 30 * minute, 30 * minute}},
		{"expired as it comes: the clock is ahead", minute, -60 * minute, minute, time.Hour, []time.Duration{0}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &refreshes{start: time.Now(), life: c.life}
				s := store.New[user](r.refresh)
				s.Login(user{"ada"}, livingFor(c.login))
				keeping(t, s, c.before)
				time.Sleep(c.watched)
				synctest.Wait()
				requireGaps(t, c.want, r.at)

				// The tenths that came off may make room for one more.
				assert.LessOrEqual(t, len(r.at), len(c.want)+1, "%v", r.at)
			})
		})
	}
}

func TestKeepFresh_ATokenThatDoesNotTellWaitsForAnother(t *testing.T) {
	for name, token := range map[string]*oauth2.Token{"no expiry": tokenNamed("t"), "a cookie": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &refreshes{start: time.Now(), life: time.Hour}
				s := store.New[user](r.refresh)
				s.Login(user{"ada"}, token)
				keeping(t, s, 10*time.Minute)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				assert.Empty(t, r.at)

				_, err := s.RefreshToken(t.Context())
				require.NoError(t, err)
				time.Sleep(50 * time.Minute)
				synctest.Wait()
				requireGaps(t, []time.Duration{24 * time.Hour, 50 * time.Minute}, r.at)
				assert.Len(t, r.at, 2)
				assert.Equal(t, 24*time.Hour, r.at[0])
			})
		})
	}
}

func TestKeepFresh_AFailureIsTriedAgainAfterAPauseAndEndsTheSessionOnlyIfTheServerRefused(t *testing.T) {
	second := time.Second
	t.Run("the network, past the expiry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &refreshes{start: time.Now(), life: time.Hour, fail: func(n int) error {
				if n <= 6 {
					return errBoom
				}
				return nil
			}}
			s := store.New[user](r.refresh)
			s.Login(user{"ada"}, livingFor(time.Minute))
			keeping(t, s, time.Minute)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			assert.Equal(t, []time.Duration{0, 10 * second, 30 * second, 70 * second, 130 * second, 190 * second, 250 * second}, r.at)
			assert.True(t, s.Snapshot().Active)
			assert.Zero(t, s.Snapshot().Failures, "no call needed any of them")
		})
	})
	t.Run("a refusal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &refreshes{start: time.Now(), fail: func(int) error { return refusal(http.StatusUnauthorized) }}
			s := store.New[user](r.refresh)
			s.Login(user{"ada"}, livingFor(time.Minute))
			_, err := outcome(t, keeping(t, s, time.Minute))
			require.ErrorIs(t, err, auth.ErrSessionChanged)
			requireLoggedOut(t, s)
		})
	})
	t.Run("a Retry-After", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &refreshes{start: time.Now(), life: time.Hour, fail: func(n int) error {
				if n == 1 {
					return busy("300")
				}
				return nil
			}}
			s := store.New[user](r.refresh)
			s.Login(user{"ada"}, livingFor(time.Minute))
			keeping(t, s, time.Minute)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			require.Len(t, r.at, 2)
			assert.GreaterOrEqual(t, r.at[1], 300*second)
		})
	})
}

func TestKeepFresh_HoldsNoCallWhileTheTokenHasNotExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := store.New[user](refresh.refresh)
		s.Login(user{"ada"}, livingFor(20*time.Second))
		keeping(t, s, time.Minute)
		ask := refresh.asked(t, 1)
		assert.True(t, s.Snapshot().Early)
		token, err := outcome(t, tokenOf(s.TokenSource(t.Context())))
		require.NoError(t, err)
		assert.Equal(t, s.Token(), token)

		// Once it has expired it is of no use, and the refresh that runs is waited for.
		time.Sleep(20 * time.Second)
		waits := tokenOf(s.TokenSource(t.Context()))
		requireWaiting(t, waits)
		assert.False(t, s.Snapshot().Early)
		ask.succeed(livingFor(time.Hour))
		token, err = outcome(t, waits)
		require.NoError(t, err)
		assert.Equal(t, s.Token(), token)
	})
}

func TestKeepFresh_ReturnsWhenItsContextOrItsSessionEnds(t *testing.T) {
	errOwn := errors.New("the caller's own reason")
	for name, c := range map[string]struct {
		end  func(s *store.UserStore[user], cancel context.CancelCauseFunc)
		want error
	}{
		"its context": {func(_ *store.UserStore[user], cancel context.CancelCauseFunc) { cancel(errOwn) }, errOwn},
		"a logout":    {func(s *store.UserStore[user], _ context.CancelCauseFunc) { _ = s.Logout(context.Background()) }, auth.ErrSessionChanged},
		"a login": {func(s *store.UserStore[user], _ context.CancelCauseFunc) {
			s.Login(user{"bob"}, tokenNamed("bob"))
		}, auth.ErrSessionChanged},
		"a SetState that ends it": {func(s *store.UserStore[user], _ context.CancelCauseFunc) {
			s.SetState(func(state *store.State[user]) { *state = store.State[user]{} })
		}, auth.ErrSessionChanged},
	} {
		for when, token := range map[string]func() *oauth2.Token{
			"while it waits for the time":   func() *oauth2.Token { return livingFor(time.Hour) },
			"while it waits for a change":   func() *oauth2.Token { return tokenNamed("t") },
			"while it waits for a refresh":  func() *oauth2.Token { return livingFor(time.Second) },
			"while the token has no access": func() *oauth2.Token { return nil },
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var refresh server
					s := store.New[user](refresh.refresh)
					s.Login(user{"ada"}, token())
					ctx, cancel := context.WithCancelCause(t.Context())
					done := future.Go(func() (any, error) { return nil, s.KeepFresh(ctx, time.Minute) })
					requireWaiting(t, done)
					c.end(s, cancel)
					_, err := outcome(t, done)
					require.ErrorIs(t, err, c.want)
					if refresh.calls() > 0 {
						refresh.asked(t, 1).fail(errBoom)
					}
				})
			})
		}
	}
}

func TestKeepFresh_OfASessionThatHasEndedReturnsAtOnce(t *testing.T) {
	s := loggedIn(nil)
	require.NoError(t, s.Logout(t.Context()))
	require.ErrorIs(t, s.KeepFresh(t.Context(), time.Minute), auth.ErrSessionChanged)
}

func TestKeepFresh_BadInputIsAnError(t *testing.T) {
	s := loggedIn(nil)
	for _, before := range []time.Duration{0, -time.Second} {
		require.ErrorContains(t, s.KeepFresh(t.Context(), before), before.String())
	}
	require.ErrorContains(t, s.KeepFresh(nil, time.Minute), "context is nil") //nolint:staticcheck // that is what is tested
	require.ErrorIs(t, s.KeepFresh(auth.Bypass(t.Context(), s), time.Minute), auth.ErrNestedRefresh)
}

func TestKeepFresh_SeveralShareTheirRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &refreshes{start: time.Now(), life: time.Hour}
		s := store.New[user](r.refresh)
		s.Login(user{"ada"}, livingFor(time.Hour))
		for range 10 {
			keeping(t, s, 10*time.Minute)
		}
		time.Sleep(55 * time.Minute)
		synctest.Wait()
		requireGaps(t, []time.Duration{50 * time.Minute}, r.at)
		assert.Len(t, r.at, 1)
	})
}
