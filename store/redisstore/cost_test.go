package redisstore_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// counter counts the commands of a client, except those of its connections.
type counter struct {
	mu       sync.Mutex
	commands int
}

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); name == "evalsha" || name == "eval" {
			c.mu.Lock()
			c.commands++
			c.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// take returns the commands since the last take, when no more have come for a while. A process that
// has come to rest does not tell so.
func (c *counter) take() int {
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.commands
	}
	for before := -1; before != count(); time.Sleep(400 * time.Millisecond) {
		before = count()
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.commands
	c.commands = 0
	return taken
}

// holder is a store with a client of its own, as a process has it.
type holder struct {
	*store.UserStore[account]
	counter
}

func openHolder(t *testing.T, s *redisServer, server *sessiontest.Server) *holder {
	t.Helper()
	h := &holder{}
	client := s.client(t)
	client.AddHook(&h.counter)
	session, err := openSession(t.Context(), server.URL(), newPersister(client, "session", 30*time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close()) })
	h.UserStore = session
	return h
}

// The figures of docs/scale.md.
func TestCost_OperationsOfARefreshAndOfThoseThatAdoptIt(t *testing.T) {
	t.Parallel()
	database := startRedis(t)
	database.warmUp(t, workerLease)
	server := sessiontest.NewServer(sessiontest.Rules{
		// The figures are those of a server that takes its time, in which the other holder asks again.
		BeforeRefresh: func() { time.Sleep(200 * time.Millisecond) },
	})
	t.Cleanup(server.Close)
	loginAt(t, database, server)

	refresher, idle := openHolder(t, database, server), openHolder(t, database, server)
	assert.LessOrEqual(t, refresher.take(), 3, "to open: read, and read again when the subscription has begun")
	idle.take()

	// The lock, the record, the record and the intent, the record and the new token, and the end of
	// the lock. The intent and the new token are told to all, the one that has saved them included.
	_, err := refresher.RefreshToken(t.Context())
	require.NoError(t, err)
	own, others := refresher.take(), idle.take()
	t.Logf("a refresh: %d operations of its holder, %d of each other holder", own, others)
	assert.LessOrEqual(t, own, 9)
	assert.GreaterOrEqual(t, own, 5)
	assert.LessOrEqual(t, others, 2)
	assert.Positive(t, others)

	// Two holders want to refresh, and one of them does. The other asks for the lock until it hears of
	// the new token.
	before := server.Counts().Refreshes
	var both sync.WaitGroup
	for _, h := range []*holder{refresher, idle} {
		both.Go(func() {
			_, err := h.RefreshToken(t.Context())
			assert.NoError(t, err)
		})
	}
	both.Wait()
	require.Equal(t, before+1, server.Counts().Refreshes)
	one, other := refresher.take(), idle.take()
	t.Logf("a refresh that two want: %d and %d operations", one, other)
	assert.LessOrEqual(t, max(one, other), 14)

	// A session that nobody uses sends nothing, once all has come to rest.
	require.Eventually(t, func() bool {
		refresher.take()
		idle.take()

		// Nothing tells that nothing will be sent, so a second of silence has to do.
		time.Sleep(time.Second)
		return refresher.take()+idle.take() == 0
	}, 20*time.Second, time.Millisecond)

	client := database.client(t)
	size, err := client.MemoryUsage(t.Context(), "session").Result()
	require.NoError(t, err)
	t.Logf("a session takes %d bytes of Redis", size)
	assert.Less(t, size, int64(2048))
}
