//go:build !js

// A browser has no locks for files, which store.File needs, and so this file is not for js.

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 5*time.Second, 5*time.Millisecond)
}

func sessionFile(t *testing.T) string { return filepath.Join(t.TempDir(), "folder", "session.json") }

// open opens a store over a file and closes it after the test.
func open(t *testing.T, path string, refresh store.RefreshFunc, opts ...store.Option) *store.UserStore[user] {
	t.Helper()
	s, err := store.Open[user](t.Context(), refresh, store.File(path), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func TestPersist_OpenBeginsWithTheSavedSession(t *testing.T) {
	path, srv := sessionFile(t), &rotating{}
	first := open(t, path, srv.refresh)
	require.Nil(t, first.State().User)
	first.Login(user{"Ada"}, srv.token())

	second := open(t, path, srv.refresh)
	assert.Equal(t, &user{"Ada"}, second.State().User)
	assert.Equal(t, srv.token().AccessToken, second.Token().AccessToken)

	_, err := second.RefreshToken(t.Context())
	require.NoError(t, err)
	third := open(t, path, srv.refresh)
	assert.Equal(t, "access-1", third.Token().AccessToken)
}

func TestPersist_ManyStoresRefreshOnce(t *testing.T) {
	path, srv := sessionFile(t), &rotating{}
	var stores []*store.UserStore[user]
	for range 10 {
		stores = append(stores, open(t, path, srv.refresh))
	}
	stores[0].Login(user{"Ada"}, srv.token())
	for _, s := range stores {
		eventually(t, func() bool { return s.State().User != nil })
	}

	for round := 1; round <= 5; round++ {
		var wg sync.WaitGroup
		var failed atomic.Int32
		for _, s := range stores {
			seen := s.Snapshot().Generation
			for range 5 {
				wg.Go(func() {
					if _, err := s.RefreshSince(t.Context(), seen); err != nil {
						t.Log(err)
						failed.Add(1)
					}
				})
			}
		}
		wg.Wait()
		assert.Zero(t, failed.Load())
		assert.Zero(t, srv.reused)
		assert.LessOrEqual(t, srv.spent, round)
		for _, s := range stores {
			eventually(t, func() bool { return s.Token().AccessToken == srv.token().AccessToken })
		}
	}
	assert.Equal(t, 5, srv.spent)
}

func TestPersist_ATokenOfAnotherHolderIsANewGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		first, second := openShelf(t, p, srv.refresh), openShelf(t, p, srv.refresh)
		first.Login(user{"ada"}, srv.token())
		synctest.Wait()
		seen := second.Snapshot().Generation

		_, err := first.RefreshToken(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		requireStillIn(t, second, "1")

		// A call that was refused with the old token goes on with the new one.
		now, err := second.RefreshSince(t.Context(), seen)
		require.NoError(t, err)
		assert.Equal(t, "access-1", now.Token.AccessToken)
		assert.Equal(t, 1, srv.spent)
		assert.Equal(t, seen.Login, now.Generation.Login)
	})
}

func TestPersist_ALogoutElsewhereEndsTheSession(t *testing.T) {
	path, srv := sessionFile(t), &rotating{}
	a, b := open(t, path, srv.refresh), open(t, path, srv.refresh)
	a.Login(user{"Ada"}, srv.token())
	eventually(t, func() bool { return b.State().User != nil })

	require.NoError(t, b.Logout(t.Context()))
	_, err := os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	eventually(t, func() bool { return a.State().User == nil })
	_, err = a.RefreshToken(t.Context())
	require.ErrorIs(t, err, auth.ErrSessionChanged)
	assert.Zero(t, srv.spent)

	a.Login(user{"Bob"}, srv.token())
	eventually(t, func() bool { return b.State().User != nil && b.State().User.Name == "Bob" })
}

func TestPersist_ALostResponseIsNamedAndNotCalledARefusal(t *testing.T) {
	path, srv := sessionFile(t), &rotating{}
	s := open(t, path, srv.refresh, store.WithLogoutWhen(store.RejectedOnly))
	s.Login(user{"Ada"}, srv.token())

	srv.fail = errors.New("connection reset")
	_, err := s.RefreshToken(t.Context())
	require.ErrorContains(t, err, "connection reset")
	require.NotNil(t, s.State().User)

	other := open(t, path, srv.refresh, store.WithLogoutWhen(store.RejectedOnly))
	_, err = other.RefreshToken(t.Context())
	require.ErrorIs(t, err, store.ErrOutcomeUnknown)
	assert.Nil(t, other.State().User)
	eventually(t, func() bool { return s.State().User == nil })
}

func TestPersist_ABusyLockNeverEndsTheSession(t *testing.T) {
	path, srv := sessionFile(t), &rotating{}
	s := open(t, path, srv.refresh, store.WithRefreshTimeout(100*time.Millisecond))
	s.Login(user{"Ada"}, srv.token())

	lock, err := store.File(path).Lock(t.Context())
	require.NoError(t, err)
	_, err = s.RefreshToken(t.Context())
	require.ErrorIs(t, err, store.ErrBusy)
	assert.NotNil(t, s.State().User)

	require.NoError(t, lock.Unlock())
	_, err = s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, srv.spent)
}

func TestPersist_ARotatedTokenThatCannotBeSavedIsUsedAndTold(t *testing.T) {
	path, srv := sessionFile(t), &rotating{slow: make(chan struct{}, 1)}
	var told atomic.Int32
	s := open(t, path, srv.refresh, store.WithStorageFailure(func(error) { told.Add(1) }))
	s.Login(user{"Ada"}, srv.token())

	// A folder in the place of the new file makes each save fail, after the intent is written.
	done := make(chan error, 1)
	go func() {
		_, err := s.RefreshToken(t.Context())
		done <- err
	}()
	eventually(t, func() bool { data, _ := os.ReadFile(path); return strings.Contains(string(data), "spending") })
	require.NoError(t, os.MkdirAll(filepath.Join(path+".new", "full"), 0o700))
	srv.slow <- struct{}{}
	require.ErrorIs(t, <-done, store.ErrStorage)
	assert.Equal(t, "access-1", s.Token().AccessToken)
	eventually(t, func() bool { return told.Load() > 0 })

	require.NoError(t, os.RemoveAll(path+".new"))
	other := open(t, path, srv.refresh)
	eventually(t, func() bool { return other.Token().AccessToken == "access-1" })
	assert.Zero(t, srv.reused)
}
