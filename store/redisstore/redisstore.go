package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/store"
)

// Option configures [New].
type Option func(*persister)

// WithLease sets how long the lock of a session stays its holder's after the holder was last heard
// of. All holders of a session need the same lease. The default is 10 seconds, and the least is 100
// milliseconds. A short lease lets others go on sooner after a holder has died, and tolerates
// shorter pauses of a holder and of Redis.
func WithLease(d time.Duration) Option {
	return func(p *persister) { p.lease = d }
}

const (
	defaultLease  = 10 * time.Second
	shortestLease = 100 * time.Millisecond
)

// New returns a Persister that keeps one session in Redis, in a hash at key. The client may be that
// of a single server, of Sentinel, or of a cluster. It is not closed by the Persister. An error in
// the arguments is returned by each method.
func New(client redis.UniversalClient, key string, opts ...Option) store.Persister {
	p := &persister{client: client, key: key, lease: defaultLease}
	for _, opt := range opts {
		if opt != nil {
			opt(p)
		}
	}

	switch {
	case client == nil:
		p.bad = errors.New("redisstore: New was given no client")
	case !reflect.TypeOf(client).Comparable():
		p.bad = fmt.Errorf("redisstore: the client of New is a %T, and must be a pointer", client)
	case key == "":
		p.bad = errors.New("redisstore: New was given an empty key")
	case p.lease < shortestLease:
		p.bad = fmt.Errorf("redisstore: WithLease was given %v, and the least is %v",
			p.lease, shortestLease)
	}
	return p
}

// persister is the Persister of [New].
type persister struct {
	client redis.UniversalClient
	key    string
	lease  time.Duration
	bad    error // what is wrong with the arguments of New

	mu    sync.Mutex
	known state
}

// state is what is saved. The zero value is that nothing has ever been saved.
type state struct {
	version int64
	data    string
	exists  bool
}

// Load implements store.Persister. If Redis has lost what this Persister knows, Load puts it back.
func (p *persister) Load(ctx context.Context) ([]byte, error) {
	reply, err := p.run(ctx, loadScript)
	if err != nil {
		return nil, err
	}
	saved, err := parseState(reply)
	if err != nil {
		return nil, err
	}

	if known := p.note(saved); known.version > saved.version && (known.exists || saved.exists) {
		reply, err := p.run(ctx, restoreScript,
			known.version, flag(known.exists), known.data, p.channel(), p.lease.Milliseconds())
		if err != nil {
			return nil, err
		}
		if saved, err = parseState(reply); err != nil {
			return nil, err
		}
		p.note(saved)
	}
	return saved.bytes(), nil
}

// Save implements store.Persister.
func (p *persister) Save(ctx context.Context, old, data []byte) error {
	return p.write(ctx, old, state{data: string(data), exists: true})
}

// Delete implements store.Persister.
func (p *persister) Delete(ctx context.Context, old []byte) error {
	return p.write(ctx, old, state{})
}

// write replaces the saved data. An attempt whose answer was lost may be repeated, since the
// operation has a name.
func (p *persister) write(ctx context.Context, old []byte, next state) error {
	op := rand.Text()
	reply, err := p.run(ctx, writeScript,
		op, flag(old != nil), string(old), flag(next.exists), next.data, p.channel())
	if err != nil {
		return err
	}
	if len(reply) != 2 {
		return fmt.Errorf("redisstore: Redis answered a write with %d values, and not with 2", len(reply))
	}
	if reply[0] != int64(1) {
		return fmt.Errorf("%w (the key %q of Redis)", store.ErrConflict, p.key)
	}
	if next.version, err = parseVersion(reply[1]); err != nil {
		return err
	}
	p.note(next)
	return nil
}

// note remembers what is saved, unless something newer is known. It returns what is known then.
func (p *persister) note(saved state) state {
	p.mu.Lock()
	defer p.mu.Unlock()
	if saved.version >= p.known.version {
		p.known = saved
	}
	return p.known
}

// knows reports whether the Persister knows of a saved session.
func (p *persister) knows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known.exists
}

// Watch implements store.Persister.
func (p *persister) Watch(changed func()) (stop func(), err error) {
	if p.bad != nil {
		return nil, p.bad
	}
	return listen(p.client, p.channel(), func(message string) {
		if message != unlocked {
			changed()
		}
	}), nil
}

func (p *persister) channel() string { return p.key + ":changed" }

// The pauses between the attempts to reach Redis while it is away.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// run runs a script. While Redis is away, run waits for its return until ctx ends.
func (p *persister) run(ctx context.Context, script *redis.Script, args ...any) ([]any, error) {
	return p.patiently(ctx, func() ([]any, error) {
		return p.attempt(ctx, script, args...).Await(ctx)
	})
}

// attempt runs a script once. The client need not follow the context of a command.
func (p *persister) attempt(
	ctx context.Context, script *redis.Script, args ...any,
) *future.Future[[]any] {
	return future.Go(func() ([]any, error) {
		reply, err := script.Run(ctx, p.client, []string{p.key}, args...).Result()
		if list, ok := reply.([]any); ok {
			return list, err
		}
		return []any{reply}, err
	})
}

// patiently calls fn until it succeeds, fails for good, or ctx ends.
func (p *persister) patiently(ctx context.Context, fn func() ([]any, error)) ([]any, error) {
	if p.bad != nil {
		return nil, p.bad
	}

	var last error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if ctx.Err() != nil {
			return nil, awayError(ctx, last)
		}
		reply, err := fn()
		switch {
		case err == nil:
			return reply, nil
		case ctx.Err() != nil:
			return nil, awayError(ctx, last)
		case redis.HasErrorPrefix(err, "WRONGTYPE"), redis.HasErrorPrefix(err, "FOREIGN"):
			return nil, fmt.Errorf("%w: the key %q of Redis: %w", store.ErrForeign, p.key, err)
		case !isPassing(err):
			return nil, fmt.Errorf("redisstore: the key %q: %w", p.key, err)
		}
		last = err
		sleep(ctx, jitter(pause))
	}
}

// errNoAnswer says that ctx ended before Redis answered.
var errNoAnswer = errors.New("redisstore: Redis has not answered")

// awayError returns the error for a Redis that was away until ctx ended. It does not match the cause
// of ctx, which may be store.ErrBusy.
func awayError(ctx context.Context, last error) error {
	if last == nil {
		return fmt.Errorf("%w: %w", errNoAnswer, ctx.Err())
	}
	return fmt.Errorf("redisstore: Redis is away: %w: %w", ctx.Err(), last)
}

// isPassing reports whether an error of Redis may pass by itself: Redis is away, starts, or changes
// its roles.
func isPassing(err error) bool {
	if errors.Is(err, redis.ErrClosed) {
		return false
	}
	if _, ok := errors.AsType[redis.Error](err); !ok {
		return true
	}
	for _, prefix := range []string{
		"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS",
		"max number of clients reached",
	} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

func flag(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}

// parseState reads a version and data, either of which may be missing.
func parseState(reply []any) (saved state, err error) {
	if len(reply) != 2 {
		return state{}, fmt.Errorf("redisstore: Redis answered with %d values, and not with 2", len(reply))
	}
	if reply[0] != nil {
		if saved.version, err = parseVersion(reply[0]); err != nil {
			return state{}, err
		}
	}
	saved.data, saved.exists = reply[1].(string)
	return saved, nil
}

func parseVersion(reply any) (int64, error) {
	text, _ := reply.(string)
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redisstore: Redis answered with the version %v", reply)
	}
	return version, nil
}

// bytes returns the data as a Persister does: nil if nothing is saved.
func (s state) bytes() []byte {
	if !s.exists {
		return nil
	}
	return []byte(s.data)
}
