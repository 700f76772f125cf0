// Package observed tells an observer of a refresh and of those who wait for it. Package auth and
// package store use it, each for its own refreshes. It imports future alone.
package observed

import (
	"context"
	"errors"
	"sync"

	"github.com/axlehttp/axle/future"
)

// Observer is auth.Observer.
type Observer interface {
	Refresh(ctx context.Context) (own context.Context, done func(err error))
	Wait(ctx context.Context) (done func(refresh context.Context, err error))
}

// Refresh is one refresh and its observer. A nil Refresh has no observer, and costs nothing. It is
// safe for concurrent use.
type Refresh struct {
	observer Observer

	mu  sync.Mutex
	own context.Context // the context that the observer returned; nil until then
}

// New returns a refresh that has not begun; nil for a nil observer.
func New(o Observer) *Refresh {
	if o == nil {
		return nil
	}
	return &Refresh{observer: o}
}

// errNotReturned is the error that an observer is told of a refresh that panics or ends its
// goroutine.
var errNotReturned = errors.New("the refresh panicked or ended its goroutine")

// Run runs the refresh, and returns its outcome. It is called once.
func Run[T any](
	ctx context.Context, r *Refresh, refresh func(context.Context) (T, error),
) (value T, err error) {
	if r == nil {
		return refresh(ctx)
	}

	own, done := r.observer.Refresh(ctx)
	r.mu.Lock()
	r.own = own
	r.mu.Unlock()

	err = errNotReturned
	defer func() { done(err) }()
	return refresh(own)
}

// Await waits for an outcome of the refresh, as future.Await does.
func Await[T any](ctx context.Context, r *Refresh, outcome *future.Future[T]) (value T, err error) {
	if r == nil {
		return outcome.Await(ctx)
	}

	done := r.observer.Wait(ctx)
	value, err = outcome.Await(ctx)
	r.mu.Lock()
	own := r.own
	r.mu.Unlock()
	done(own, err)
	return value, err
}
