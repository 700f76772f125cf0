package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/store"
)

// The pauses between two attempts to get a lock that another has. The word that the lock is free
// ends a pause.
const (
	firstLook = 25 * time.Millisecond
	lastLook  = time.Second
)

// Lock implements store.Persister.
func (p *persister) Lock(ctx context.Context) (store.Lock, error) {
	l := &lock{persister: p, holder: rand.Text()}
	refused, err := l.acquire(ctx)
	if refused != nil {
		err = l.await(ctx, refused)
	}
	if err != nil {
		return nil, err
	}

	l.stop, l.stopped = make(chan struct{}), make(chan struct{})
	go l.keep()
	return l, nil
}

func (p *persister) busyError(refused *refusal) error {
	return fmt.Errorf("%w (%s, the key %q of Redis)", store.ErrBusy, refused.reason, p.key)
}

// lock is the lock of a session in Redis.
type lock struct {
	persister *persister
	holder    string // a random name

	stop    chan struct{} // closed by the first Unlock
	stopped chan struct{} // closed when the goroutine that extends the lock has ended
	unlock  sync.Once

	mu sync.Mutex

	// extended is when the last extension was sent that Redis has confirmed.
	extended time.Time

	lost error // why the lock may be another's by now; nil: it is not
}

// refusal says why the lock was not granted.
type refusal struct {
	wait   time.Duration // until the lock may be granted
	reason string
}

// acquire asks for the lock once. If the lock was refused, there is a refusal.
func (l *lock) acquire(ctx context.Context) (*refusal, error) {
	p := l.persister
	var last *future.Future[[]any]
	reply, err := p.patiently(ctx, func() ([]any, error) {
		l.extended = time.Now()
		last = p.attempt(ctx, lockScript, l.holder, p.lease.Milliseconds(), flag(p.knows()))
		return last.Await(ctx)
	})

	// Redis may have granted the lock although the answer came too late.
	if last != nil && (err != nil || ctx.Err() != nil) {
		go func() {
			<-last.Done()
			_ = l.release()
		}()
	}

	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return &refusal{reason: "the time was over"}, nil
	case len(reply) != 3:
		return nil, fmt.Errorf("redisstore: Redis answered with %d values, and not with 3", len(reply))
	case reply[0] == int64(1):
		return nil, nil
	}

	wait, _ := reply[1].(int64)
	refused := &refusal{time.Duration(wait) * time.Millisecond, "another holder has it"}
	if reply[2] == int64(1) {
		refused.reason = "Redis has started, and may have lost the lock of a holder"
	}
	return refused, nil
}

// await asks for the lock again and again, after it was refused.
func (l *lock) await(ctx context.Context, refused *refusal) error {
	p, wake := l.persister, make(chan struct{}, 1)
	stop := listen(p.client, p.channel(), func(message string) {
		if message == unlocked {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	})
	defer stop()

	for look := firstLook; ; look = min(2*look, lastLook) {
		timer := time.NewTimer(jitter(min(look, refused.wait+time.Millisecond)))
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return p.busyError(refused)
		}
		timer.Stop()

		next, err := l.acquire(ctx)
		switch {
		case errors.Is(err, errNoAnswer) && time.Since(l.extended) < lastLook:
			// The time was over in the middle of one more attempt.
			return p.busyError(refused)
		case err != nil || next == nil:
			return err
		}
		refused = next
	}
}

// keep extends the lock every third of the lease until Unlock, or until another holder has it. It
// goes on while Redis is away, since Redis may take the lock back from its holder.
func (l *lock) keep() {
	defer close(l.stopped)
	third := l.persister.lease / 3
	timer := time.NewTimer(third)
	defer timer.Stop()

	for {
		select {
		case <-l.stop:
			return
		case <-timer.C:
		}

		next := third
		switch has, err := l.extend(third); {
		case err != nil:
			next = third / 4
		case !has:
			return
		}
		timer.Reset(next)
	}
}

// extend extends the lock once, within a limit.
func (l *lock) extend(limit time.Duration) (has bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p, sent := l.persister, time.Now()
	reply, err := p.attempt(ctx, extendScript, l.holder, p.lease.Milliseconds()).Await(ctx)
	if err != nil {
		return false, err
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if len(reply) != 1 || reply[0] != int64(1) {
		l.lost = errors.New("redisstore: another holder has got the lock")
		return false, nil
	}
	l.notice(p.lease)
	l.extended = sent
	return true, nil
}

// notice notes that more than a limit has passed since the last extension. The wall clock counts
// the time during which the machine slept, and the monotonic clock is never set back. Once that has
// happened, the lock stays lost to Held: somebody else may have had it in between.
func (l *lock) notice(limit time.Duration) {
	now := time.Now()
	passed := max(now.Sub(l.extended), now.Round(0).Sub(l.extended.Round(0)))
	if l.lost == nil && passed >= limit {
		l.lost = fmt.Errorf("redisstore: the lock could not be extended for %v, and its lease is %v",
			passed.Round(time.Millisecond), l.persister.lease)
	}
}

// Held implements store.Lock. It asks the clocks, and not Redis. A tenth of the lease is left for
// what the holder does next.
func (l *lock) Held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notice(l.persister.lease * 9 / 10)
	return l.lost
}

// Unlock implements store.Lock.
func (l *lock) Unlock() (err error) {
	l.unlock.Do(func() {
		close(l.stop)
		<-l.stopped
		err = l.release()
	})
	return err
}

// release releases the lock if the holder has it. If Redis is away, the lock ends with its lease.
func (l *lock) release() error {
	p := l.persister
	ctx, cancel := context.WithTimeout(context.Background(), p.lease/3)
	defer cancel()
	_, err := p.run(ctx, unlockScript, l.holder, p.channel())
	return err
}
