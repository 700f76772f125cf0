package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func TestPersist_ALogoutDuringARefreshIsToldTheNewToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		var told *oauth2.Token
		s := openShelf(t, p, srv.refresh, store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
			told = last
			return nil
		}))
		s.Login(user{"ada"}, tokenNamed("old"))
		refresh := refreshing(t.Context(), s)
		call := srv.asked(t, 1)

		go func() { _ = s.Logout(t.Context()) }()
		synctest.Wait()
		_, err := outcome(t, refresh)
		require.ErrorIs(t, err, auth.ErrSessionChanged)
		call.succeed(tokenNamed("new"))
		assert.Equal(t, tokenNamed("new"), told)
	})
}

func TestPersist_ALogoutBeforeTheIntentIsWrittenSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		var told *oauth2.Token
		s := openShelf(t, p, srv.refresh, store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
			told = last
			return nil
		}))
		s.Login(user{"ada"}, srv.token())

		p.faulty(func(_ context.Context, operation string) error {
			if operation == "save" {
				time.Sleep(time.Second)
			}
			return nil
		}, nil)
		refresh := refreshing(t.Context(), s)
		synctest.Wait()
		require.NoError(t, s.Logout(t.Context()))
		_, err := outcome(t, refresh)
		require.ErrorIs(t, err, auth.ErrSessionChanged)

		time.Sleep(time.Minute)
		assert.Zero(t, srv.spent)
		assert.Equal(t, tokenNamed("0"), told)
		saved, _ := p.saved(t)
		assert.Nil(t, saved)
	})
}

func TestPersist_TheRefreshTimeoutDoesNotCountWhileTheNewTokenIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(900 * time.Millisecond)
			return tokenNamed("new"), nil
		}, quiet(), store.WithRefreshTimeout(time.Second))
		s.Login(user{"ada"}, tokenNamed("old"))

		p.faulty(func(_ context.Context, operation string) error {
			if operation == "save" {
				time.Sleep(300 * time.Millisecond)
			}
			return nil
		}, nil)
		token, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "access-new", token.AccessToken)
		requireStillIn(t, s, "new")
	})
}

func TestPersist_TheRefreshTimeoutDoesNotCountForCallersWhoComeWhileTheNewTokenIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		s := openShelf(t, p, srv.refresh, quiet(),
			store.WithRefreshTimeout(time.Second), store.WithLogoutWhen(keepOnTimeout))
		s.Login(user{"ada"}, tokenNamed("old"))
		overrun := refreshing(t.Context(), s)
		call := srv.asked(t, 1)
		time.Sleep(1500 * time.Millisecond)
		_, err := outcome(t, overrun)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		// Two attempts to save take longer than the refresh timeout.
		once := onceFailing(errBoom, "save")
		p.faulty(func(ctx context.Context, operation string) error {
			if operation == "save" {
				time.Sleep(700 * time.Millisecond)
			}
			return once(ctx, operation)
		}, nil)
		call.succeed(tokenNamed("new"))
		token, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("new"), token)
		requireStillIn(t, s, "new")
	})
}

func TestPersist_CallersWaitForTheRefreshTimeoutAtMostThoughTheRefreshIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		s := openShelf(t, p, srv.refresh, store.WithRefreshTimeout(time.Second), store.WithLogoutWhen(keepOnTimeout))
		s.Login(user{"ada"}, tokenNamed("old"))
		begin := time.Now()
		refresh := refreshing(t.Context(), s)
		_, err := refresh.Await(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(begin))
		srv.asked(t, 1).succeed(tokenNamed("new"))
		requireStillIn(t, s, "new")
	})
}

func TestPersist_CallersWaitTwoSecondsAtMostWhileTheNewTokenIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			p.faulty(func(ctx context.Context, operation string) error {
				if operation == "save" {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}, nil)
			return tokenNamed("new"), nil
		}, quiet())
		s.Login(user{"ada"}, tokenNamed("old"))

		begin := time.Now()
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)
		assert.Equal(t, 2*time.Second, time.Since(begin))
		requireStillIn(t, s, "new")
		p.faulty(nil, nil)
	})
}

func TestPersist_CloseSavesANewTokenBeforeItLetsGoOfTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		a := openShelf(t, p, srv.refresh, quiet())
		b := openShelf(t, p, srv.refresh, quiet())
		a.Login(user{"ada"}, srv.token())
		time.Sleep(time.Second)

		p.faulty(func(_ context.Context, operation string) error {
			if operation == "save" && srv.spent > 0 {
				return errBoom
			}
			return nil
		}, nil)
		_, err := a.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)
		waiting := refreshing(t.Context(), b)
		synctest.Wait()

		p.faulty(nil, nil)
		require.NoError(t, a.Close())
		token, err := outcome(t, waiting)
		require.NoError(t, err)
		assert.Equal(t, "access-1", token.AccessToken)
		assert.Zero(t, srv.reused)
	})
}

func TestPersist_ATokenOfAnotherHolderEndsTheWaitForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		s := openShelf(t, p, srv.refresh)
		s.Login(user{"ada"}, srv.token())
		_, before := p.saved(t)
		_, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		_, after := p.saved(t)
		require.NoError(t, s.Close())
		p.put(before)

		// The other holder has saved its new token, and is stopped before it unlocks.
		waits := openShelf(t, p, srv.refresh)
		lock, err := p.Lock(t.Context())
		require.NoError(t, err)
		refresh := refreshing(t.Context(), waits)
		requireWaiting(t, refresh)
		p.put(after)

		token, err := outcome(t, refresh)
		require.NoError(t, err)
		assert.Equal(t, "access-1", token.AccessToken)
		requireStillIn(t, waits, "1")
		assert.Equal(t, 1, srv.spent)
		require.NoError(t, lock.Unlock())
	})
}

// stubborn is a user whose MarshalJSON may panic.
type stubborn struct{ How string }

func (u stubborn) MarshalJSON() ([]byte, error) {
	if u.How == "panic" {
		panic("boom")
	}
	return []byte(`{"How":""}`), nil
}

func TestPersist_APanicOfTheUserTypeIsAFailureOfTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Value
		s, err := store.Open[stubborn](t.Context(), always(tokenNamed("new"), nil), newShelf(),
			store.WithStorageFailure(func(err error) { told.Store(err); panic("the hook as well") }))
		require.NoError(t, err)
		s.Login(stubborn{"panic"}, tokenNamed("old"))
		require.ErrorIs(t, told.Load().(error), store.ErrStorage)

		_, err = s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)
		require.True(t, s.Snapshot().Active)
		require.ErrorIs(t, s.Close(), store.ErrStorage)
	})
}

func TestPersist_APanicOfThePersisterIsAFailureOfTheStorage(t *testing.T) {
	for operation, doing := range doings {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requireNothingIsSpentDuring(t, doing, func(_ context.Context, one string) error {
					if one == operation {
						panic("boom")
					}
					return nil
				})
			})
		})
	}
}

func TestPersist_APersisterThatIsBusyAtOnceIsNotAskedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		s := openShelf(t, p, srv.refresh, quiet())
		s.Login(user{"ada"}, srv.token())
		var asked atomic.Int32
		p.faulty(func(_ context.Context, operation string) error {
			if operation == "lock" {
				if asked.Add(1) > 100 {
					return errors.New("asked 100 times")
				}
				return store.ErrBusy
			}
			return nil
		}, nil)
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrBusy)
		assert.Equal(t, int32(1), asked.Load())
	})
}

func TestPersist_NobodyWaitsForTheLockAfterAllHaveGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		var waiting atomic.Int32
		s := openShelf(t, p, srv.refresh, quiet())
		p.faulty(func(ctx context.Context, operation string) error {
			if operation == "lock" {
				waiting.Add(1)
				defer waiting.Add(-1)
				<-ctx.Done()
				return store.ErrBusy
			}
			return nil
		}, nil)
		s.Login(user{"ada"}, srv.token()) // not saved, so a goroutine goes on
		time.Sleep(time.Second)
		require.Equal(t, int32(1), waiting.Load())

		done := make(chan struct{})
		go func() { _ = s.Close(); close(done) }()
		<-done
		synctest.Wait()
		assert.Zero(t, waiting.Load())
	})
}
