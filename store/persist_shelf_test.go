package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
)

// shelf is a Persister in memory whose faults the test chooses. All stores of a test share it, as
// processes share a file.
type shelf struct {
	lock chan struct{} // has a value in it while somebody has the lock

	mu       sync.Mutex
	data     []byte
	lost     bool
	watchers map[*func()]bool

	// before is called before an operation, and after is called when it has done its work. An error
	// is the operation's.
	before, after func(ctx context.Context, operation string) error
}

func newShelf() *shelf {
	return &shelf{lock: make(chan struct{}, 1), watchers: map[*func()]bool{}}
}

// run runs one operation with the faults around it.
func (s *shelf) run(ctx context.Context, operation string, work func() error) error {
	s.mu.Lock()
	before, after := s.before, s.after
	s.mu.Unlock()

	if before != nil {
		if err := before(ctx, operation); err != nil {
			return err
		}
	}
	if err := work(); err != nil {
		return err
	}
	if after != nil {
		return after(ctx, operation)
	}
	return nil
}

// faulty sets the two functions, which may be nil.
func (s *shelf) faulty(before, after func(ctx context.Context, operation string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// failing returns a fault of some operations.
func failing(err error, operations ...string) func(context.Context, string) error {
	return func(_ context.Context, operation string) error {
		if slices.Contains(operations, operation) {
			return err
		}
		return nil
	}
}

// onceFailing returns a fault of the first of some operations.
func onceFailing(err error, operations ...string) func(context.Context, string) error {
	return faultyWhen(func(count int) bool { return count == 1 }, err, operations)
}

// afterOne returns a fault of some operations but the first.
func afterOne(err error, operations ...string) func(context.Context, string) error {
	return faultyWhen(func(count int) bool { return count > 1 }, err, operations)
}

func faultyWhen(isFaulty func(count int) bool, err error, operations []string) func(context.Context, string) error {
	count, fault := 0, failing(err, operations...)
	return func(ctx context.Context, operation string) error {
		if fault(ctx, operation) == nil {
			return nil
		}
		if count++; isFaulty(count) {
			return err
		}
		return nil
	}
}

func (s *shelf) Load(ctx context.Context) (data []byte, err error) {
	err = s.run(ctx, "load", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lost {
			return store.ErrLost
		}
		data = bytes.Clone(s.data)
		return nil
	})
	return data, err
}

func (s *shelf) Save(ctx context.Context, old, data []byte) error {
	return s.run(ctx, "save", func() error { return s.replace(old, data) })
}

func (s *shelf) Delete(ctx context.Context, old []byte) error {
	return s.run(ctx, "delete", func() error { return s.replace(old, nil) })
}

func (s *shelf) replace(old, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.data, old) || (s.data == nil) != (old == nil) {
		return store.ErrConflict
	}
	s.data, s.lost = bytes.Clone(data), false
	s.tell()
	return nil
}

// put saves data without a lock, as somebody does who restores a backup. Nil data is none.
func (s *shelf) put(data []byte) {
	s.putQuietly(data)
	s.change()
}

// putQuietly saves data as put does, and the watchers have not heard of it yet.
func (s *shelf) putQuietly(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = bytes.Clone(data)
}

// lose loses the data, as a server without a disk does. The watchers have not heard of it yet.
func (s *shelf) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.lost = nil, true
}

// change tells the watchers of a change.
func (s *shelf) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell()
}

// tell tells the watchers of a change. The lock is held.
func (s *shelf) tell() {
	for changed := range s.watchers {
		go (*changed)()
	}
}

func (s *shelf) Lock(ctx context.Context) (store.Lock, error) {
	err := s.run(ctx, "lock", func() error {
		select {
		case s.lock <- struct{}{}:
			return nil
		case <-ctx.Done():
			return store.ErrBusy
		}
	})
	if err != nil {
		return nil, err
	}
	return shelfLock{s}, nil
}

type shelfLock struct{ shelf *shelf }

func (l shelfLock) Held() error {
	return l.shelf.run(context.Background(), "held", func() error { return nil })
}

func (l shelfLock) Unlock() error { <-l.shelf.lock; return nil }

func (s *shelf) Watch(changed func()) (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[&changed] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, &changed)
	}, nil
}

// shelved is what the saved session has of interest to the tests.
type shelved struct {
	Login              string
	Counter, Refreshes uint64
	User               *user
	Token              struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	Spending *struct {
		Holder string
		Since  time.Time
	}
}

// saved returns the data on the shelf, and what it says. It is nil if there is no session.
func (s *shelf) saved(t require.TestingT) (*shelved, []byte) {
	s.mu.Lock()
	data := bytes.Clone(s.data)
	s.mu.Unlock()
	if data == nil {
		return nil, nil
	}
	var r shelved
	require.NoError(t, json.Unmarshal(data, &r))
	return &r, data
}

// edited returns the saved data with a change in it.
func (s *shelf) edited(t require.TestingT, edit func(record map[string]any)) []byte {
	_, data := s.saved(t)
	var record map[string]any
	require.NoError(t, json.Unmarshal(data, &record))
	edit(record)
	data, err := json.Marshal(record)
	require.NoError(t, err)
	return data
}

// refreshed returns the data that another holder would save after a refresh.
func (s *shelf) refreshed(t require.TestingT, token *oauth2.Token) []byte {
	return s.edited(t, func(record map[string]any) {
		record["counter"] = record["counter"].(float64) + 2
		record["refreshes"] = record["refreshes"].(float64) + 1
		record["token"] = token
		delete(record, "spending")
	})
}

// openShelf opens a store over a shelf. It is closed when the test ends.
func openShelf(
	t *testing.T, p store.Persister, refresh store.RefreshFunc, opts ...store.Option,
) *store.UserStore[user] {
	t.Helper()
	s, err := store.Open[user](t.Context(), refresh, p, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}
