package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/axlehttp/axle/future"
)

// holding is the lock of the session as one store has it. All that the store does at the same time
// shares one Lock. So a RefreshFunc may log in or out: it does not wait for the lock of its own
// refresh.
type holding struct {
	persister Persister
	limit     time.Duration // for the wait for the lock

	mu       sync.Mutex
	users    int // those who have the lock or wait for it
	lock     Lock
	acquired *future.Future[Lock] // nil: nobody waits for the lock
}

// acquire waits for the lock until ctx ends, and for the limit at most. Each acquire without an
// error needs a release.
func (h *holding) acquire(ctx context.Context) (Lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.limit, ErrBusy)
	defer cancel()

	for {
		lock, acquired := h.join()
		if lock != nil {
			return lock, nil
		}

		// If another caller began the wait, it may end before the time of this one is over.
		lock, err := acquired.Await(ctx)
		switch {
		case err == nil:
			return lock, nil
		case ctx.Err() != nil || !errors.Is(err, ErrBusy):
			h.release()
			return nil, err
		}
		h.release()
	}
}

// join becomes a user of the lock. If the store has the lock, join returns it, and otherwise the
// wait for it.
func (h *holding) join() (Lock, *future.Future[Lock]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if h.lock == nil && h.acquired == nil {
		h.acquired = future.Go(h.wait)
	}
	return h.lock, h.acquired
}

// wait gets the lock from the Persister. If every caller has given up meanwhile, it releases the
// lock at once.
func (h *holding) wait() (Lock, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), h.limit, ErrBusy)
	defer cancel()

	got := false
	defer func() {
		if !got {
			h.mu.Lock()
			h.acquired = nil
			h.mu.Unlock()
		}
	}()
	lock, err := h.persister.Lock(ctx)
	if err != nil {
		return nil, err
	}
	got = true

	h.mu.Lock()
	h.acquired = nil
	wanted := h.users > 0
	if wanted {
		h.lock = lock
	}
	h.mu.Unlock()

	if !wanted {
		_ = lock.Unlock()
	}
	return lock, nil
}

// release gives up one acquire. The last one unlocks.
func (h *holding) release() {
	h.mu.Lock()
	h.users--
	var last Lock
	if h.users == 0 {
		last, h.lock = h.lock, nil
	}
	h.mu.Unlock()

	if last != nil {
		_ = last.Unlock()
	}
}
