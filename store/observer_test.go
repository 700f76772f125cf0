package store_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// counting is an observer that counts. Package auth has the tests of what calls tell it.
type counting struct{ began, done, waits int }

func (c *counting) Refresh(ctx context.Context) (context.Context, func(error)) {
	c.began++
	return ctx, func(error) { c.done++ }
}

func (c *counting) Wait(context.Context) func(context.Context, error) {
	c.waits++
	return func(context.Context, error) {}
}

func TestObserver_IsToldOfTheRefreshesThatNoCallAskedFor(t *testing.T) {
	for name, x := range map[string]struct {
		refresh func(ctx context.Context, s *store.UserStore[user]) error
		waits   int
	}{
		"RefreshToken": {func(ctx context.Context, s *store.UserStore[user]) error {
			_, err := s.RefreshToken(ctx)
			return err
		}, 1},
		"TokenSource": {func(ctx context.Context, s *store.UserStore[user]) error {
			_, err := s.TokenSource(ctx).Token()
			return err
		}, 1},
		"KeepFresh, which is early": {func(ctx context.Context, s *store.UserStore[user]) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := s.KeepFresh(ctx, time.Minute); ctx.Err() == nil {
				return err
			}
			return nil
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told counting
				s := store.New[user](always(tokenNamed("new"), nil), store.WithObserver(&told))
				old := tokenNamed("old")
				old.Expiry = time.Now().Add(-time.Second)
				if x.waits == 0 {
					old.Expiry = time.Now().Add(time.Minute + time.Millisecond)
				}
				s.Login(user{}, old)

				require.NoError(t, x.refresh(t.Context(), s))
				assert.Equal(t, counting{1, 1, x.waits}, told)
			})
		})
	}
}

func TestObserver_ARefreshThatOverrunsIsDoneWhenItsFunctionReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		var told counting
		s := store.New[user](refresh.refresh, store.WithObserver(&told), store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{}, tokenNamed("old"))

		call := refreshing(t.Context(), s)
		ask := refresh.asked(t, 1)
		time.Sleep(time.Minute)
		_, err := outcome(t, call)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, counting{began: 1, waits: 1}, told)

		ask.succeed(tokenNamed("new"))
		synctest.Wait()
		assert.Equal(t, counting{1, 1, 1}, told)
	})
}

func TestObserver_ANilOneIsNobody(t *testing.T) {
	var told counting
	s := store.New[user](always(tokenNamed("new"), nil), store.WithObserver(&told), store.WithObserver(nil))
	s.Login(user{}, tokenNamed("old"))
	_, err := s.RefreshSince(t.Context(), auth.Generation{Login: s.Snapshot().Generation.Login})
	require.NoError(t, err)
	assert.Zero(t, told, "the last option counts, and nil is nobody")
}
