package store_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

// provider is a token server that notes when it was asked. It is for one bubble.
type provider struct {
	mu    sync.Mutex
	start time.Time
	asked []time.Duration
}

const tokenLife = time.Hour

func (p *provider) refresh(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	p.mu.Lock()
	p.asked = append(p.asked, time.Since(p.start))
	p.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	return livingFor(tokenLife), nil
}

// busiest returns the most requests of any second of a span of time.
func (p *provider) busiest(from, to time.Duration) int {
	perSecond := map[int64]int{}
	most := 0
	for _, at := range p.asked {
		if at >= from && at < to {
			second := int64(at / time.Second)
			perSecond[second]++
			most = max(most, perSecond[second])
		}
	}
	return most
}

func TestKeepFresh_SessionsThatBeganTogetherDoNotRefreshTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions, hours = 300, 4
		p := &provider{start: time.Now()}
		for range sessions {
			s := store.New[user](p.refresh)
			s.Login(user{"ada"}, livingFor(tokenLife))
			keeping(t, s, 5*time.Minute)
		}
		time.Sleep(hours * time.Hour)
		synctest.Wait()

		for hour := range hours {
			from := time.Duration(hour) * time.Hour
			most := p.busiest(from, from+time.Hour)
			t.Logf("hour %d: %d of %d sessions in the busiest second", hour+1, most, sessions)
			assert.Less(t, most, sessions/20)
		}
	})
}

// sharedStorage is a Persister in memory, for many stores, that counts what it is asked for.
type sharedStorage struct {
	lock  chan struct{}
	mu    sync.Mutex
	data  []byte
	watch map[int]func()
	next  int

	count operations
}

// operations is how often each was asked for. A change is one call of one watcher.
type operations struct{ loads, saves, deletes, locks, changes int }

func newSharedStorage() *sharedStorage {
	return &sharedStorage{lock: make(chan struct{}, 1), watch: map[int]func(){}}
}

func (s *sharedStorage) Load(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.loads++
	return s.data, nil
}

func (s *sharedStorage) Save(_ context.Context, old, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.data, old) {
		return store.ErrConflict
	}
	s.count.saves++
	s.data = data
	s.tell()
	return nil
}

func (s *sharedStorage) Delete(_ context.Context, old []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.data, old) {
		return store.ErrConflict
	}
	s.count.deletes++
	s.data = nil
	s.tell()
	return nil
}

// tell tells the watchers of a change. The lock is held.
func (s *sharedStorage) tell() {
	for _, changed := range s.watch {
		s.count.changes++
		go changed()
	}
}

func (s *sharedStorage) Lock(ctx context.Context) (store.Lock, error) {
	select {
	case s.lock <- struct{}{}:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count.locks++
		return sharedLock{s}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w", store.ErrBusy)
	}
}

type sharedLock struct{ *sharedStorage }

func (l sharedLock) Held() error   { return nil }
func (l sharedLock) Unlock() error { <-l.lock; return nil }

func (s *sharedStorage) Watch(changed func()) (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.next
	s.next++
	s.watch[n] = changed
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watch, n)
	}, nil
}

// reset begins to count, when everything in the bubble has come to rest.
func (s *sharedStorage) reset() {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count = operations{}
}

// counts returns the count, when everything in the bubble has come to rest.
func (s *sharedStorage) counts() operations {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// openFleet opens the same session several times.
func openFleet(t *testing.T, holders int, p *provider, storage store.Persister) []*store.UserStore[user] {
	t.Helper()
	fleet := make([]*store.UserStore[user], holders)
	for n := range fleet {
		s, err := store.Open[user](t.Context(), p.refresh, storage)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		fleet[n] = s
	}
	fleet[0].Login(user{"ada"}, livingFor(tokenLife))
	return fleet
}

// Each holder reads the record when it changes: once for the intent and once for the new token.
func TestPersist_WhatARefreshAsksOfItsStorage(t *testing.T) {
	for _, holders := range []int{1, 2, 10} {
		t.Run(fmt.Sprintf("%d holders, one refreshes", holders), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, storage := &provider{}, newSharedStorage()
				fleet := openFleet(t, holders, p, storage)
				storage.reset()
				_, err := fleet[0].RefreshToken(t.Context())
				require.NoError(t, err)

				want := operations{locks: 1, loads: 3 + 2*holders, saves: 2, changes: 2 * holders}
				assert.Equal(t, want, storage.counts())
			})
		})
		t.Run(fmt.Sprintf("%d holders, all want to", holders), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, storage := &provider{}, newSharedStorage()
				fleet := openFleet(t, holders, p, storage)
				storage.reset()
				var all sync.WaitGroup
				for _, s := range fleet {
					seen := s.Snapshot().Generation
					all.Go(func() { _, err := s.RefreshSince(t.Context(), seen); assert.NoError(t, err) })
				}
				all.Wait()

				assert.Len(t, p.asked, 1)
				want := operations{locks: holders, loads: 3 + (holders - 1) + 2*holders, saves: 2, changes: 2 * holders}
				assert.Equal(t, want, storage.counts())
			})
		})
	}
}

func TestPersist_NeitherAnIdleSessionNorItsCallsAskTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newSharedStorage()
		fleet := openFleet(t, 10, &provider{}, storage)
		storage.reset()
		client, _ := axletest.NewFakeClient(axletest.Always(http.StatusOK, "{}"))
		client.Use(auth.New(fleet[0]))
		for range 100 {
			_, err := client.Get(t.Context(), "/")
			require.NoError(t, err)
		}
		time.Sleep(24 * time.Hour)
		assert.Zero(t, storage.counts())
	})
}

func TestKeepFresh_OfManyHoldersOneTakesTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, storage := &provider{}, newSharedStorage()
		for _, s := range openFleet(t, 20, p, storage) {
			keeping(t, s, 5*time.Minute)
		}
		storage.reset()
		time.Sleep(5 * time.Hour)
		count := storage.counts()
		t.Logf("%d refreshes, %+v", len(p.asked), count)
		assert.GreaterOrEqual(t, len(p.asked), 5)

		// Two holders may draw nearly the same time.
		assert.LessOrEqual(t, count.locks, len(p.asked)+3)
	})
}
