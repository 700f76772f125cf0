package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/detached"
)

// holding is the lock of the session as one store has it. All that the store does at the same time
// shares one Lock. So a RefreshFunc may log in or out: it does not wait for the lock of its own
// refresh.
type holding struct {
	persister Persister
	limit     time.Duration // for the wait for the lock

	mu    sync.Mutex
	users int // those who have the lock or wait for it
	lock  Lock
	queue *queue // nil: nobody waits for the lock
}

// queue is one wait for the lock.
type queue struct {
	acquired *future.Future[Lock]
	leave    context.CancelFunc
}

// acquire waits for the lock until ctx ends, and for the limit at most. Each acquire without an
// error needs a release.
func (h *holding) acquire(ctx context.Context) (Lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.limit, ErrBusy)
	defer cancel()

	for {
		lock, q, own := h.join()
		if lock != nil {
			return lock, nil
		}

		// If another caller began the wait, it may end before the time of this one is over.
		lock, err := q.acquired.Await(ctx)
		switch {
		case err == nil:
			return lock, nil
		case own || ctx.Err() != nil || !errors.Is(err, ErrBusy):
			h.release()
			return nil, err
		}
		h.release()
	}
}

// join becomes a user of the lock. If the store has the lock, join returns it, and otherwise the
// wait for it, which is the caller's own if the caller has begun it.
func (h *holding) join() (lock Lock, waits *queue, own bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if h.lock == nil && h.queue == nil {
		ctx, leave := context.WithTimeoutCause(context.Background(), h.limit, ErrBusy)
		q := &queue{leave: leave}
		own = true
		q.acquired = future.Go(func() (Lock, error) { return h.wait(ctx, q) })
		h.queue = q
	}
	return h.lock, h.queue, own
}

// wait gets the lock from the Persister. If every caller has given up meanwhile, it releases the
// lock at once.
func (h *holding) wait(ctx context.Context, q *queue) (Lock, error) {
	defer q.leave()

	var lock Lock
	err := contained(func() (err error) { lock, err = h.persister.Lock(ctx); return err })

	h.mu.Lock()
	wanted := h.queue == q
	if wanted {
		h.queue = nil
		if err == nil {
			h.lock = lock
		}
	}
	h.mu.Unlock()

	if err == nil && !wanted {
		h.unlock(lock)
	}
	return lock, err
}

// release gives up one acquire. The last one unlocks, or ends the wait for the lock.
func (h *holding) release() {
	h.mu.Lock()
	h.users--
	var last Lock
	if h.users == 0 {
		last, h.lock = h.lock, nil
		if h.queue != nil {
			h.queue.leave()
			h.queue = nil
		}
	}
	h.mu.Unlock()

	if last != nil {
		h.unlock(last)
	}
}

// unlock waits for the end of Unlock, and for the limit at most.
func (h *holding) unlock(lock Lock) {
	_, _ = detached.Run(context.Background(), h.limit, func(context.Context) (struct{}, error) {
		return struct{}{}, lock.Unlock()
	})
}

// held asks the lock whether it is still held.
func (p *persistence) held(ctx context.Context, lock Lock) error {
	_, err := detached.Run(ctx, p.limit, func(context.Context) (struct{}, error) {
		return struct{}{}, lock.Held()
	})
	return err
}
