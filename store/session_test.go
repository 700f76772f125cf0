package store_test

import (
	"context"
	"fmt"
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

// The store as an auth.StatefulSession.

func TestStore_RefreshSinceJoinsStartsOrReturnsTheCurrentState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		since := func(seen auth.Generation) *future.Future[auth.Snapshot] {
			return future.Go(func() (auth.Snapshot, error) { return s.RefreshSince(t.Context(), seen) })
		}
		seen := s.Snapshot().Generation
		starts := since(seen)
		ask := refresh.asked(t, 1)
		during := s.Snapshot()
		assert.True(t, during.Refreshing)
		assert.Equal(t, seen, during.Generation)
		assert.Equal(t, tokenNamed("old"), during.Token)
		joins := since(seen)
		requireWaiting(t, joins)

		ask.succeed(tokenNamed("new"))

		want := auth.Snapshot{
			Token: tokenNamed("new"), Generation: auth.Generation{Login: seen.Login, Refresh: seen.Refresh + 1}, Active: true, Obtained: time.Now(), Refreshed: true,
		}
		for _, call := range []*future.Future[auth.Snapshot]{starts, joins, since(seen)} {
			after, err := outcome(t, call)
			require.NoError(t, err)
			assert.Equal(t, want, after)
		}
		assert.Equal(t, 1, refresh.calls(), "a generation is refreshed at most once")

		next := since(want.Generation)
		refresh.asked(t, 2).succeed(nil)
		after, err := outcome(t, next)
		require.NoError(t, err)
		assert.Equal(t, seen.Refresh+2, after.Generation.Refresh, "cookies tell it by the generation alone")
		assert.Equal(t, tokenNamed("new"), after.Token)
	})
}

func TestStore_RefreshSinceOfAGenerationThatIsOverDoesNotWaitForTheRefreshOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		seen := s.Snapshot().Generation
		call := refreshing(t.Context(), s)
		refresh.asked(t, 1).succeed(tokenNamed("new"))
		_, err := outcome(t, call)
		require.NoError(t, err)
		call = refreshing(t.Context(), s)
		ask := refresh.asked(t, 2)

		now, err := outcome(t, future.Go(func() (auth.Snapshot, error) { return s.RefreshSince(t.Context(), seen) }))
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("new"), now.Token)
		assert.True(t, now.Refreshing)
		ask.succeed(nil)
		_, err = outcome(t, call)
		require.NoError(t, err)
	})
}

func TestStore_RefreshSinceOfAnotherLoginIsErrSessionChanged(t *testing.T) {
	changes := map[string]func(s *store.UserStore[user]){
		"another login":          func(s *store.UserStore[user]) { s.Login(user{"ada"}, tokenNamed("old")) },
		"ended":                  func(s *store.UserStore[user]) { _ = s.Logout(context.Background()) },
		"ended by a failure":     func(s *store.UserStore[user]) { _, _ = s.RefreshToken(context.Background()) },
		"ended, and a new login": func(s *store.UserStore[user]) { _ = s.Logout(context.Background()); s.Login(user{"ada"}, nil) },
		"a token set by SetState": func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.Token = tokenNamed("set") })
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := loggedIn(always(nil, errBoom))
			seen := s.Snapshot().Generation
			change(s)
			before := s.Snapshot()
			_, err := s.RefreshSince(t.Context(), seen)
			require.ErrorIs(t, err, auth.ErrSessionChanged)
			assert.Equal(t, before, s.Snapshot(), "nothing was refreshed")
		})
	}
}

func TestStore_SnapshotTellsWhenTheTokenWasObtained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New[user](always(tokenNamed("new"), nil))
		assert.True(t, s.Snapshot().Obtained.IsZero())
		time.Sleep(time.Minute)
		s.Login(user{"ada"}, tokenNamed("old"))
		login := time.Now()
		assert.Equal(t, login, s.Snapshot().Obtained)
		time.Sleep(time.Minute)
		s.SetState(func(state *store.State[user]) { state.User.Name = "ada l." })
		assert.Equal(t, login, s.Snapshot().Obtained)
		_, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, login.Add(time.Minute), s.Snapshot().Obtained)
	})
}

func TestStore_ARefreshNestedInARefreshIsErrNestedRefresh(t *testing.T) {
	nest := map[string]func(ctx context.Context, s *store.UserStore[user]) error{
		"RefreshToken": func(ctx context.Context, s *store.UserStore[user]) error { _, err := s.RefreshToken(ctx); return err },
		"RefreshSince": func(ctx context.Context, s *store.UserStore[user]) error {
			_, err := s.RefreshSince(ctx, s.Snapshot().Generation)
			return err
		},
	}
	for name, nested := range nest {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *store.UserStore[user]
				start := time.Now()
				s = loggedIn(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
					return nil, fmt.Errorf("refreshing: %w", nested(ctx, s))
				})
				_, err := s.RefreshToken(t.Context())
				require.ErrorIs(t, err, auth.ErrNestedRefresh)
				assert.Zero(t, time.Since(start))
				requireStillIn(t, s, "old") // it never logs out
			})
		})
	}
}

func TestStore_ANestedRefreshUnderAForeignContextEndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *store.UserStore[user]
		start := time.Now()
		s = loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return s.RefreshToken(t.Context()) })
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestStore_ARefreshMayRefreshAnotherSession(t *testing.T) {
	inner := loggedIn(always(tokenNamed("inner"), nil))
	outer := loggedIn(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) { return inner.RefreshToken(ctx) })
	token, err := outer.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, tokenNamed("inner"), token)
}

func TestStore_ARefreshThatFailsBecauseASessionChangedEndsNothing(t *testing.T) {
	s := loggedIn(always(nil, fmt.Errorf("another session's: %w", auth.ErrSessionChanged)))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, auth.ErrSessionChanged)
	requireStillIn(t, s, "old")
}

func TestStore_ARefreshRunsUnderBypass(t *testing.T) {
	var s *store.UserStore[user]
	bypassed := false
	s = loggedIn(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
		bypassed = auth.Bypassed(ctx, s)
		return nil, nil
	})
	_, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.True(t, bypassed)
}
