package future

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var (
	errNilContext = errors.New("future: Await was given a nil context")
	errNilFunc    = errors.New("future: nil function")
	errNilFuture  = errors.New("future: nil future")
	errNilReason  = errors.New("future: rejected with a nil error")
)

// Future is a value of type T, or an error, that arrives later. It settles once: it is resolved
// with a value, or it is rejected with a non-nil error and the zero T.
//
// A nil *Future and the zero Future behave like a future that was rejected with an error that says
// so. They never block.
type Future[T any] struct {
	// done is closed when the future settles. The value and the error do not change after that.
	done  chan struct{}
	value T
	err   error

	mu       sync.Mutex
	watchers watchers // nil once the future has settled
}

// A watcher is a function that a future calls when it settles. If the watcher settles another
// future, it returns the watchers of that future for its caller to notify. If it notified them
// itself, a chain of a million futures would need a million stack frames.
type watcher func() watchers

type watchers map[*watcher]struct{}

// notify calls the watchers, then the watchers that these return, and so on.
func (w watchers) notify() {
	// A list for most cases, which costs no allocation.
	var room [4]watchers
	waiting := append(room[:0], w)

	for len(waiting) > 0 {
		last := len(waiting) - 1
		current := waiting[last]
		waiting = waiting[:last]

		for fn := range current {
			if next := (*fn)(); next != nil {
				waiting = append(waiting, next)
			}
		}
	}
}

// Go runs fn on a new goroutine and returns the future of its outcome. If fn returns an error, the
// value beside the error is dropped. A panic or [runtime.Goexit] in fn rejects the future with a
// [*PanicError].
func Go[T any](fn func() (T, error)) *Future[T] {
	if fn == nil {
		return Rejected[T](errNilFunc)
	}
	f := pending[T]()
	go run(fn, f.settleAndNotify)
	return f
}

// Resolved returns a future that has already resolved with v.
func Resolved[T any](v T) *Future[T] {
	f := pending[T]()
	f.settle(v, nil)
	return f
}

// Rejected returns a future that has already been rejected with err. A nil err is replaced by an
// error that says that it was nil.
func Rejected[T any](err error) *Future[T] {
	f := pending[T]()
	f.reject(err)
	return f
}

// WithResolvers returns a pending future and the two functions that settle it. The first call of
// either function settles the future, and later calls do nothing. reject(nil) rejects with an error
// that says that it was nil.
func WithResolvers[T any]() (f *Future[T], resolve func(T), reject func(error)) {
	f = pending[T]()
	return f, func(v T) { f.settleAndNotify(v, nil) }, func(err error) { f.reject(err).notify() }
}

// Await waits until f settles and returns its outcome. If ctx ends first, only this wait ends. The
// work and all other waits go on. The error then matches ctx.Err() and [context.Cause] of ctx under
// [errors.Is]. If f has settled and ctx has ended too, Await returns the outcome of f. A nil ctx is
// an error.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	var zero T
	if ctx == nil {
		return zero, errNilContext
	}
	f = f.orRejected()

	select {
	case <-f.done:
	case <-ctx.Done():
		// If both are ready, select picks one at random.
		if !f.settled() {
			return zero, contextError(ctx)
		}
	}
	return f.value, f.err
}

// Done returns a channel that is closed when f settles.
func (f *Future[T]) Done() <-chan struct{} {
	return f.orRejected().done
}

// Then continues f. When f resolves, fn runs on a new goroutine with the value, and the returned
// future settles with the outcome of fn. If f rejects, the returned future rejects with the same
// error and fn is not called.
//
// As with a JavaScript promise, fn never runs inside the call to Then, even if f has settled. The
// continuations of one future run in no particular order, and none delays another one or a waiter.
// A panic or [runtime.Goexit] in fn rejects the returned future with a [*PanicError]. The same
// holds for [Future.Catch] and [Future.Finally].
//
// Then is a function because a Go method cannot introduce the type U.
func Then[T, U any](f *Future[T], fn func(T) (U, error)) *Future[U] {
	if fn == nil {
		return Rejected[U](errNilFunc)
	}
	f = f.orRejected()

	out := pending[U]()
	f.watch(func() watchers {
		if f.err != nil {
			return out.reject(f.err)
		}
		go run(func() (U, error) { return fn(f.value) }, out.settleAndNotify)
		return nil
	})
	return out
}

// Catch is [Then] for a rejection. When f rejects, fn runs with the error, and the returned future
// settles with the outcome of fn. If f resolves, the returned future resolves with the same value
// and fn is not called.
func (f *Future[T]) Catch(fn func(error) (T, error)) *Future[T] {
	if fn == nil {
		return Rejected[T](errNilFunc)
	}
	f = f.orRejected()

	out := pending[T]()
	f.watch(func() watchers {
		if f.err == nil {
			return out.settle(f.value, nil)
		}
		go run(func() (T, error) { return fn(f.err) }, out.settleAndNotify)
		return nil
	})
	return out
}

// Finally runs fn when f settles, with either outcome. The returned future then settles with the
// outcome of f. Only a panic or [runtime.Goexit] in fn replaces that outcome.
func (f *Future[T]) Finally(fn func()) *Future[T] {
	if fn == nil {
		return Rejected[T](errNilFunc)
	}
	f = f.orRejected()

	out := pending[T]()
	f.watch(func() watchers {
		go run(func() (T, error) { fn(); return f.value, f.err }, out.settleAndNotify)
		return nil
	})
	return out
}

func pending[T any]() *Future[T] {
	return &Future[T]{done: make(chan struct{})}
}

// orRejected replaces a nil or zero future, which has no channel to wait on, by the rejected future
// that the documentation of [Future] promises.
func (f *Future[T]) orRejected() *Future[T] {
	if f == nil || f.done == nil {
		return Rejected[T](errNilFuture)
	}
	return f
}

func (f *Future[T]) settled() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// settleAndNotify settles f and notifies its watchers.
func (f *Future[T]) settleAndNotify(v T, err error) { f.settle(v, err).notify() }

// settle gives f its outcome, unless f has one, and wakes the waiters. It returns the watchers of
// f, which the caller must notify or return.
func (f *Future[T]) settle(v T, err error) watchers {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled() {
		return nil
	}

	if err == nil {
		f.value = v
	}
	f.err = err

	toNotify := f.watchers
	f.watchers = nil
	close(f.done)
	return toNotify
}

// reject is [Future.settle] for an error.
func (f *Future[T]) reject(err error) watchers {
	if err == nil {
		err = errNilReason
	}
	var zero T
	return f.settle(zero, err)
}

// watch makes f call fn when it settles, on the goroutine that settles it. If f has settled, watch
// calls fn itself. Therefore fn must be quick and must not call a function of the user. The stop
// function removes fn from a future that has not settled.
func (f *Future[T]) watch(fn watcher) (stop func()) {
	f.mu.Lock()
	if f.settled() {
		f.mu.Unlock()
		fn().notify()
		return func() {}
	}
	defer f.mu.Unlock()

	if f.watchers == nil {
		f.watchers = make(watchers)
	}
	f.watchers[&fn] = struct{}{}

	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, &fn)
	}
}

// contextError returns an error that matches ctx.Err() and also the cause of ctx.
func contextError(ctx context.Context) error {
	kind, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, kind) {
		return cause
	}
	return fmt.Errorf("%w: %w", kind, cause)
}
