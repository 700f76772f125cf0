package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
)

// restart kills the server and starts it again.
func (s *redisServer) restart(t *testing.T) {
	t.Helper()
	s.kill()
	s.start(t)
}

func TestLoad_PutsBackWhatRedisHasLost(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	mine, other := openPair(t, server)
	require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
	server.restart(t)

	assert.Nil(t, load(t, other), "this Persister has never seen the session")
	assert.Equal(t, "one", string(load(t, mine)))
	assert.Equal(t, "one", string(load(t, other)))
	require.NoError(t, other.Save(t.Context(), []byte("one"), []byte("two")))
	assert.Equal(t, "two", string(load(t, mine)))
}

func TestLoad_PutsTheNewestBackWhenRedisHasLostTheLastMoments(t *testing.T) {
	t.Parallel()
	assertNewestComesBack(t, func(server *redisServer) {
		require.NoError(t, server.client(t).Save(t.Context()).Err())
	})
}

func TestLoad_AnOlderVersionNeverReplacesANewerOne(t *testing.T) {
	t.Parallel()
	assertNewestComesBack(t, func(*redisServer) {})
}

// assertNewestComesBack restarts a server after two saves, of which one Persister has seen the first
// alone. The function is called between the saves.
func assertNewestComesBack(t *testing.T, between func(server *redisServer)) {
	t.Helper()
	server := startRedis(t)
	newest, older := openPair(t, server)
	require.NoError(t, newest.Save(t.Context(), nil, []byte("one")))
	between(server)
	assert.Equal(t, "one", string(load(t, older)))
	require.NoError(t, newest.Save(t.Context(), []byte("one"), []byte("two")))
	server.restart(t)

	// The one that knows less comes first.
	assert.Equal(t, "one", string(load(t, older)))
	assert.Equal(t, "two", string(load(t, newest)))
	assert.Equal(t, "two", string(load(t, older)))
}

func TestLoad_ADeletedSessionStaysDeletedWhenRedisForgetsThat(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	mine, other := openPair(t, server)
	require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
	require.NoError(t, server.client(t).Save(t.Context()).Err())
	assert.Equal(t, "one", string(load(t, other)))
	require.NoError(t, mine.Delete(t.Context(), []byte("one")))
	assert.Nil(t, load(t, other))
	server.restart(t)

	assert.Nil(t, load(t, other))
	assert.Nil(t, load(t, mine))
}

func TestLoad_ANewLoginWinsOverWhatRedisHasLost(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	mine, other := openPair(t, server)
	require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
	require.NoError(t, mine.Save(t.Context(), []byte("one"), []byte("two")))
	server.restart(t)

	require.NoError(t, other.Save(t.Context(), nil, []byte("another login")))
	assert.Equal(t, "another login", string(load(t, mine)))
}

func TestDelete_LeavesATombstoneForADay(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client := server.client(t)
	p := newPersister(client, "session", lease)
	require.NoError(t, p.Save(t.Context(), nil, []byte("one")))
	assert.Equal(t, time.Duration(-1), client.TTL(t.Context(), "session").Val(), "a session does not expire")

	require.NoError(t, p.Delete(t.Context(), []byte("one")))
	assert.InDelta(t, 24*time.Hour, client.TTL(t.Context(), "session").Val(), float64(time.Minute))
	require.NoError(t, p.Save(t.Context(), nil, []byte("two")))
	assert.Equal(t, time.Duration(-1), client.TTL(t.Context(), "session").Val())
}

func TestWatch_TellsAfterRedisHasComeBack(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	mine, other := openPair(t, server)
	require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
	changed := make(chan struct{}, 100)
	stop, err := mine.Watch(func() { changed <- struct{}{} })
	require.NoError(t, err)
	defer stop()
	awaitSignal(t, changed, "the subscription began")

	server.restart(t)
	awaitSignal(t, changed, "messages may have been missed")
	require.NoError(t, other.Save(t.Context(), nil, []byte("two")))
	awaitSignal(t, changed, "the data changed")
}

func TestAway_EachMethodWaitsForTheReturnOfRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	impatient := redis.NewClient(&redis.Options{Addr: server.address, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = impatient.Close() })
	refused := refusals(make(chan struct{}, 100))
	impatient.AddHook(refused)
	p := newPersister(impatient, "session", lease)
	for _, step := range []struct {
		name   string
		method func() error
	}{
		{"Load", func() error { _, err := p.Load(t.Context()); return err }},
		{"Delete", func() error { return p.Delete(t.Context(), nil) }},
		{"Save", func() error { return p.Save(t.Context(), nil, []byte("one")) }},
		{"Lock", func() error {
			lock, err := p.Lock(t.Context())
			if err == nil {
				err = lock.Unlock()
			}
			return err
		}},
	} {
		server.kill()

		// What is left of the step before does not count.
		for len(refused) > 0 {
			<-refused
		}
		done := make(chan error, 1)
		go func() { done <- step.method() }()
		for range 3 {
			awaitSignal(t, refused, step.name+" tries to reach Redis")
		}
		assert.Empty(t, done, step.name)
		server.start(t)
		require.NoError(t, <-done, step.name)
	}
}

// refusals has a signal for each connection that could not be made.
type refusals chan struct{}

func (r refusals) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			r <- struct{}{}
		}
		return conn, err
	}
}

func (refusals) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (refusals) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAway_EachMethodReturnsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(t *testing.T, s *redisServer){
		"killed": func(_ *testing.T, s *redisServer) { s.kill() },
		"silent": func(t *testing.T, s *redisServer) {
			s.signal(t, syscall.SIGSTOP)
			t.Cleanup(func() { s.signal(t, syscall.SIGCONT) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			p := newPersister(server.client(t), "session", lease)
			assert.Nil(t, load(t, p))
			away(t, server)

			for method, call := range map[string]func(context.Context) error{
				"Load":   func(ctx context.Context) error { _, err := p.Load(ctx); return err },
				"Save":   func(ctx context.Context) error { return p.Save(ctx, nil, []byte("one")) },
				"Delete": func(ctx context.Context) error { return p.Delete(ctx, nil) },
				"Lock":   func(ctx context.Context) error { _, err := p.Lock(ctx); return err },
			} {
				// The store gives Lock a context with this cause.
				ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, store.ErrBusy)
				start := time.Now()
				err := call(ctx)
				cancel()
				require.Error(t, err, method)
				require.ErrorIs(t, err, context.DeadlineExceeded, method)
				assert.NotErrorIs(t, err, store.ErrBusy, method)
				assert.Less(t, time.Since(start), time.Second, method)
			}
		})
	}
}

func TestAway_AClosedClientIsToldAtOnce(t *testing.T) {
	t.Parallel()
	client := startRedis(t).client(t)
	require.NoError(t, client.Close())
	_, err := newPersister(client, "session", lease).Load(t.Context())
	require.ErrorIs(t, err, redis.ErrClosed)
}

// A loss is a way in which Redis loses a lock that somebody holds.
var losses = map[string]func(t *testing.T, s *redisServer){
	"restarted without its data": func(t *testing.T, s *redisServer) { s.restart(t) },
	"restarted with older data": func(t *testing.T, s *redisServer) {
		client := s.client(t)
		holder := client.HGet(t.Context(), "session", "holder").Val()
		require.NoError(t, client.HDel(t.Context(), "session", "holder").Err())
		require.NoError(t, client.Save(t.Context()).Err())
		require.NoError(t, client.HSet(t.Context(), "session", "holder", holder).Err())
		s.restart(t)
	},
	"emptied": func(t *testing.T, s *redisServer) {
		require.NoError(t, s.client(t).FlushAll(t.Context()).Err())
	},
}

func TestLock_ALostLockIsTakenBackByItsHolder(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			server.warmUp(t, lease)
			mine, other := openPair(t, server)
			require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
			assert.Equal(t, "one", string(load(t, other)))
			lock, err := mine.Lock(t.Context())
			require.NoError(t, err)
			lose(t, server)

			ctx, cancel := context.WithTimeout(t.Context(), 4*lease)
			defer cancel()
			_, err = other.Lock(ctx)
			require.ErrorIs(t, err, store.ErrBusy)
			require.NoError(t, lock.Unlock())
			next, err := other.Lock(t.Context())
			require.NoError(t, err)
			require.NoError(t, next.Unlock())
		})
	}
}

func TestLock_ALostLockIsFreeAfterALeaseIfItsHolderHasDied(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		for _, readFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read first: %v", name, readFirst), func(t *testing.T) {
				t.Parallel()
				server := startRedis(t)
				server.warmUp(t, lease)
				client := server.client(t)
				dead := newPersister(client, "session", lease)
				other := newPersister(server.client(t), "session", lease)
				require.NoError(t, dead.Save(t.Context(), nil, []byte("one")))
				assert.Equal(t, "one", string(load(t, other)))
				lock, err := dead.Lock(t.Context())
				require.NoError(t, err)
				require.NoError(t, client.Close(), "the holder reaches Redis no more")
				lose(t, server)
				if readFirst {
					assert.Equal(t, "one", string(load(t, other)))
				}

				start := time.Now()
				next, err := other.Lock(t.Context())
				require.NoError(t, err)
				assert.Greater(t, time.Since(start), lease*9/10)
				assert.Less(t, time.Since(start), lease+3*time.Second)
				require.Error(t, lock.Held())
				require.NoError(t, next.Unlock())
				require.Error(t, lock.Unlock())
			})
		}
	}
}

func TestLock_ARestartDelaysOnlyTheFirstLease(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	server.warmUp(t, lease)
	p := newPersister(server.client(t), "session", lease)
	require.NoError(t, p.Save(t.Context(), nil, []byte("one")))
	lock, err := p.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, lock.Unlock())
	server.restart(t)
	server.warmUp(t, lease)

	start := time.Now()
	lock, err = p.Lock(t.Context())
	require.NoError(t, err)
	assert.Less(t, time.Since(start), lease/2)
	require.NoError(t, lock.Unlock())
}

func TestLock_AReplicaThatWasPromotedGrantsItAfterALease(t *testing.T) {
	t.Parallel()
	primary := startRedis(t, "--repl-diskless-sync-delay", "0")
	primary.warmUp(t, lease)
	host, port, _ := splitAddress(primary.address)
	replica := startRedis(t, "--replicaof", host+" "+port)
	promoted := replica.client(t)
	mine := newPersister(primary.client(t), "session", lease)
	require.NoError(t, mine.Save(t.Context(), nil, []byte("one")))
	lock, err := mine.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, lock.Unlock())
	eventually(t, func() bool {
		return promoted.HExists(t.Context(), "session", "server").Val() &&
			!promoted.HExists(t.Context(), "session", "holder").Val()
	})

	// The replica has to run for longer than a lease: it counts whole seconds, and a server that has
	// just started grants no lock for that reason alone.
	time.Sleep(lease + 2*time.Second)

	// The lock that the primary grants now does not reach the replica.
	require.NoError(t, promoted.ReplicaOf(t.Context(), "no", "one").Err())
	lock, err = mine.Lock(t.Context())
	require.NoError(t, err)
	primary.kill()

	start := time.Now()
	next, err := newPersister(promoted, "session", lease).Lock(t.Context())
	require.NoError(t, err)
	assert.Greater(t, time.Since(start), lease*9/10)
	require.Error(t, lock.Held())
	require.NoError(t, next.Unlock())
	require.Error(t, lock.Unlock())

	start = time.Now()
	next, err = newPersister(promoted, "a new session", lease).Lock(t.Context())
	require.NoError(t, err)
	assert.Less(t, time.Since(start), lease/2, "a session that is new has no lock to lose")
	require.NoError(t, next.Unlock())
}

func TestHeld_StaysAnErrorAfterTheLockCouldNotBeExtended(t *testing.T) {
	t.Parallel()
	server, lock, other := openLocked(t)
	require.NoError(t, lock.Held())

	// The lease is that of a real Redis, so the test waits until it has run out.
	server.signal(t, syscall.SIGSTOP)
	time.Sleep(lease + lease/10)
	require.ErrorContains(t, lock.Held(), "could not be extended")
	server.signal(t, syscall.SIGCONT)

	// Extensions would work again, but the lock may have been another's in between. A whole lease has
	// the time for several of them, and nothing tells that there is none.
	time.Sleep(lease)
	require.ErrorContains(t, lock.Held(), "could not be extended")
	require.NoError(t, lock.Unlock())
	next, err := other.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, next.Unlock())
}

func TestUnlock_LeavesTheLockOfAnotherHolderAlone(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.warmUp(t, lease)
	client := server.client(t)
	lock, err := newPersister(server.client(t), "session", lease).Lock(t.Context())
	require.NoError(t, err)

	require.NoError(t, client.HSet(t.Context(), "session", "holder", "another").Err())
	eventually(t, func() bool { return lock.Held() != nil })
	require.ErrorContains(t, lock.Held(), "another holder")
	require.NoError(t, lock.Unlock())
	assert.Equal(t, "another", client.HGet(t.Context(), "session", "holder").Val())
}
