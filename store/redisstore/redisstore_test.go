package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/redisstore"
)

// lease is that of most tests. A server that has just started grants no lock for so long.
const lease = 900 * time.Millisecond

func newPersister(client redis.UniversalClient, key string, lease time.Duration) store.Persister {
	return redisstore.New(client, key, redisstore.WithLease(lease))
}

// openPair returns two Persisters of one session, each with a client of its own, as two processes
// have them.
func openPair(t *testing.T, s *redisServer) (mine, other store.Persister) {
	t.Helper()
	return newPersister(s.client(t), "session", lease), newPersister(s.client(t), "session", lease)
}

func load(t *testing.T, p store.Persister) []byte {
	t.Helper()
	data, err := p.Load(t.Context())
	require.NoError(t, err)
	return data
}

func TestSave_IsSeenByAllAndComparesFirst(t *testing.T) {
	t.Parallel()
	mine, other := openPair(t, startRedis(t))
	assert.Nil(t, load(t, mine))

	require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
	assert.Equal(t, "one", string(load(t, other)))
	require.ErrorIs(t, other.Save(t.Context(), nil, []byte("two")), store.ErrConflict)
	require.ErrorIs(t, other.Save(t.Context(), []byte("zero"), []byte("two")), store.ErrConflict)
	require.ErrorIs(t, other.Delete(t.Context(), nil), store.ErrConflict)
	require.ErrorIs(t, other.Delete(t.Context(), []byte("zero")), store.ErrConflict)
	assert.Equal(t, "one", string(load(t, mine)))

	require.NoError(t, other.Save(t.Context(), []byte("one"), []byte("two")))
	assert.Equal(t, "two", string(load(t, mine)))
	require.NoError(t, mine.Delete(t.Context(), []byte("two")))
	assert.Nil(t, load(t, other))
	require.NoError(t, other.Delete(t.Context(), nil), "removing nothing is no error")
	require.ErrorIs(t, mine.Save(t.Context(), []byte("two"), []byte("three")), store.ErrConflict)
	require.NoError(t, mine.Save(t.Context(), nil, []byte("three")))
	assert.Equal(t, "three", string(load(t, other)))
}

func TestSave_KeepsAnyBytes(t *testing.T) {
	t.Parallel()
	mine, other := openPair(t, startRedis(t))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var old []byte
	for _, data := range [][]byte{{}, {0}, every, bytes.Repeat(every, 400), {}} {
		require.NoError(t, mine.Save(t.Context(), old, data))
		got := load(t, other)
		assert.NotNil(t, got)
		assert.True(t, bytes.Equal(data, got), "%d bytes", len(data))
		old = data
	}
}

func TestSave_OneOfManyWinsEachRound(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	const holders, rounds = 8, 20
	var wins atomic.Int64
	var group sync.WaitGroup
	for range holders {
		p := newPersister(server.client(t), "session", lease)
		group.Go(func() {
			for round := range rounds {
				var old []byte
				if round > 0 {
					old = fmt.Append(nil, round)
				}
				switch err := p.Save(t.Context(), old, fmt.Append(nil, round+1)); {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	assert.LessOrEqual(t, wins.Load(), int64(rounds), "two holders saved over the same data")
	assert.Positive(t, wins.Load())
}

func TestLoad_LeavesTheKeyOfAnotherProgramAlone(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client := server.client(t)
	for name, fill := range map[string]func(key string) error{
		"a string": func(key string) error { return client.Set(t.Context(), key, "theirs", 0).Err() },
		"a hash":   func(key string) error { return client.HSet(t.Context(), key, "data", "theirs").Err() },
		"a newer version": func(key string) error {
			return client.HSet(t.Context(), key, "format", "2", "data", "theirs").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, fill(name))
			before := client.Dump(t.Context(), name).Val()
			p := newPersister(client, name, lease)

			_, err := p.Load(t.Context())
			require.ErrorIs(t, err, store.ErrForeign)
			require.ErrorIs(t, p.Save(t.Context(), nil, []byte("mine")), store.ErrForeign)
			require.ErrorIs(t, p.Delete(t.Context(), []byte("theirs")), store.ErrForeign)
			_, err = p.Lock(t.Context())
			require.ErrorIs(t, err, store.ErrForeign)
			assert.Equal(t, before, client.Dump(t.Context(), name).Val())
		})
	}
}

func TestNew_BadArgumentsAreNamedByEachMethod(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for _, c := range []struct {
		persister store.Persister
		want      string
	}{
		{redisstore.New(nil, "session"), "no client"},
		{redisstore.New(client, ""), "empty key"},
		{redisstore.New(client, "session", redisstore.WithLease(time.Millisecond)), "1ms"},
		{redisstore.New(client, "session", nil, redisstore.WithLease(-1)), "WithLease"},
	} {
		_, err := c.persister.Load(t.Context())
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, c.persister.Save(t.Context(), nil, nil), c.want)
		require.ErrorContains(t, c.persister.Delete(t.Context(), nil), c.want)
		_, err = c.persister.Lock(t.Context())
		require.ErrorContains(t, err, c.want)
		_, err = c.persister.Watch(func() {})
		require.ErrorContains(t, err, c.want)
	}
}

func TestWatch_TellsEachChangeWithinASecondUntilStopped(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	mine, other := openPair(t, server)
	changed := make(chan struct{}, 100)
	stop, err := mine.Watch(func() { changed <- struct{}{} })
	require.NoError(t, err)
	defer stop()
	awaitSignal(t, changed, "the subscription began")

	steps := []func() error{
		func() error { return other.Save(t.Context(), nil, []byte("one")) },
		func() error { return other.Save(t.Context(), []byte("one"), []byte("two")) },
		func() error { return other.Delete(t.Context(), []byte("two")) },
	}
	for _, step := range steps {
		require.NoError(t, step())
		awaitSignal(t, changed, "the data changed")
	}

	// The functions of one client hear of a change one after the other, the last of them at the end.
	last := make(chan struct{}, 100)
	stopLast, err := mine.Watch(func() { last <- struct{}{} })
	require.NoError(t, err)
	defer stopLast()
	stop()
	stop()
	require.NoError(t, other.Save(t.Context(), nil, []byte("three")))
	awaitSignal(t, last, "the data changed")
	assert.Empty(t, changed)
}

func awaitSignal(t *testing.T, signal <-chan struct{}, why string) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(time.Second):
		t.Fatalf("nothing was told within a second: %s", why)
	}
}

func TestWatch_AMillionSessionsShareOneConnection(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client, other := server.client(t), server.client(t)
	const sessions = 2000
	var told sync.Map
	var count atomic.Int64
	for i := range sessions {
		stop, err := newPersister(client, fmt.Sprint("session ", i), lease).Watch(func() {
			if _, again := told.LoadOrStore(i, true); !again {
				count.Add(1)
			}
		})
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	eventually(t, func() bool { return count.Load() == sessions })
	assert.Equal(t, 1, subscribers(t, other))

	told.Clear()
	count.Store(0)
	require.NoError(t, newPersister(other, "session 7", lease).Save(t.Context(), nil, []byte("one")))
	eventually(t, func() bool { _, ok := told.Load(7); return ok })
	assert.Equal(t, int64(1), count.Load())
}

func TestWatch_TheLastStopClosesTheConnection(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client, other := server.client(t), server.client(t)
	p := newPersister(client, "session", lease)
	for range 3 {
		first, err := p.Watch(func() {})
		require.NoError(t, err)
		second, err := p.Watch(func() {})
		require.NoError(t, err)
		eventually(t, func() bool { return subscribers(t, other) == 1 })
		first()
		second()
		eventually(t, func() bool { return subscribers(t, other) == 0 })
	}
}

// subscribers returns how many connections have a subscription.
func subscribers(t *testing.T, client *redis.Client) int {
	t.Helper()
	list, err := client.Do(t.Context(), "client", "list", "type", "pubsub").Text()
	require.NoError(t, err)
	return bytes.Count([]byte(list), []byte("\n"))
}

// eventually waits for a condition for ten seconds at most.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 5*time.Millisecond)
}

func TestLock_ExcludesAndHandsOver(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.warmUp(t, lease)
	var inside, most, total atomic.Int64
	var group sync.WaitGroup
	for range 5 {
		p := newPersister(server.client(t), "session", lease)
		group.Go(func() {
			for range 10 {
				lock, err := p.Lock(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				total.Add(1)

				// The others have a moment to come in, where they must not.
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				if err := lock.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	assert.Equal(t, int64(1), most.Load())
	assert.Equal(t, int64(50), total.Load())
}

// openLocked returns the lock of a session that one Persister has, and another Persister of it.
func openLocked(t *testing.T) (server *redisServer, lock store.Lock, other store.Persister) {
	t.Helper()
	server = startRedis(t)
	server.warmUp(t, lease)
	mine, other := openPair(t, server)
	lock, err := mine.Lock(t.Context())
	require.NoError(t, err)
	return server, lock, other
}

func TestLock_IsBusyWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	_, lock, other := openLocked(t)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := other.Lock(ctx)
	require.ErrorIs(t, err, store.ErrBusy)

	require.NoError(t, lock.Unlock())
	require.NoError(t, lock.Unlock(), "a second Unlock does nothing")
	again, err := other.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, again.Unlock())
}

func TestLock_IsExtendedWhileItIsHeld(t *testing.T) {
	t.Parallel()
	_, lock, other := openLocked(t)

	ctx, cancel := context.WithTimeout(t.Context(), 3*lease)
	defer cancel()
	_, err := other.Lock(ctx)
	require.ErrorIs(t, err, store.ErrBusy)
	require.NoError(t, lock.Held())
	require.NoError(t, lock.Unlock())
}

func TestLock_AnUnlockWakesTheNextAtOnce(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.warmUp(t, lease)
	mine, other := openPair(t, server)

	for range 4 {
		lock, err := mine.Lock(t.Context())
		require.NoError(t, err)

		// By then the next holder looks about once in a second only.
		unlocked := make(chan time.Time, 1)
		time.AfterFunc(time.Second, func() {
			unlocked <- time.Now()
			_ = lock.Unlock()
		})
		next, err := other.Lock(t.Context())
		require.NoError(t, err)
		assert.Less(t, time.Since(<-unlocked), 150*time.Millisecond)
		require.NoError(t, next.Unlock())
	}
}

func TestLock_ThatWasGrantedTooLateIsReleased(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.warmUp(t, lease)
	mine, other := openPair(t, server)
	assert.Nil(t, load(t, mine))

	// Redis reads the request when nobody waits for the answer any more.
	server.signal(t, syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := mine.Lock(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	server.signal(t, syscall.SIGCONT)

	start := time.Now()
	lock, err := other.Lock(t.Context())
	require.NoError(t, err)
	assert.Less(t, time.Since(start), lease/2)
	require.NoError(t, lock.Unlock())
}

// loser loses the answer of one command, which Redis has carried out.
type loser struct{ lose atomic.Bool }

func (*loser) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*loser) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *loser) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && l.lose.CompareAndSwap(true, false) {
			err = io.EOF
			cmd.SetErr(err)
		}
		return err
	}
}

func TestSave_WhoseAnswerWasLostIsNoConflict(t *testing.T) {
	t.Parallel()
	client := startRedis(t).client(t)
	network := &loser{}
	client.AddHook(network)
	p := newPersister(client, "session", lease)
	require.NoError(t, p.Save(t.Context(), nil, []byte("one")))

	network.lose.Store(true)
	require.NoError(t, p.Save(t.Context(), []byte("one"), []byte("two")))
	require.False(t, network.lose.Load())
	network.lose.Store(true)
	require.NoError(t, p.Delete(t.Context(), []byte("two")))
	require.False(t, network.lose.Load())
	assert.Nil(t, load(t, p))
}
