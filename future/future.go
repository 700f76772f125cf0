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

// Future is a value of type T, or an error, that arrives later. It settles once: resolved, with a value, or
// rejected, with a non-nil error and the zero T.
//
// A nil *Future and the zero Future behave as rejected, with an error that says so; they never block.
type Future[T any] struct {
	done chan struct{} // closed by settle; value and err are frozen from then on

	mu       sync.Mutex
	watchers watchers // run by settle; nil once settled

	value T
	err   error
}

// watcher is told that the future it watches has settled. It may settle another future in turn, and then returns those who
// watch that one, for its caller to tell: if it told them itself, a chain of a million futures would need a stack as deep.
type watcher func() watchers

type watchers map[*watcher]struct{}

// tell runs watchers, those whom they return, and so on, one after the other.
func tell(told watchers) {
	var few [4]watchers // most have nobody who waits behind them
	rest := append(few[:0], told)
	for len(rest) > 0 {
		last := len(rest) - 1
		told, rest = rest[last], rest[:last]
		for fn := range told {
			if next := (*fn)(); next != nil {
				rest = append(rest, next)
			}
		}
	}
}

// Go runs fn on a goroutine of its own and returns the future of its outcome. If fn returns an error the value
// beside it is dropped. A panic or [runtime.Goexit] in fn rejects with a [*PanicError].
func Go[T any](fn func() (T, error)) *Future[T] {
	if fn == nil {
		return Rejected[T](errNilFunc)
	}
	f := pending[T]()
	go run(fn, f.settle)
	return f
}

// Resolved returns a future that has already resolved with v.
func Resolved[T any](v T) *Future[T] {
	f := pending[T]()
	f.settle(v, nil)
	return f
}

// Rejected returns a future that has already been rejected with err. A nil err is replaced by one that says so.
func Rejected[T any](err error) *Future[T] {
	f := pending[T]()
	f.reject(err)
	return f
}

// WithResolvers returns a pending future and the two functions that settle it. The first call of either wins and
// the later ones do nothing. reject(nil) rejects with an error that says so.
func WithResolvers[T any]() (f *Future[T], resolve func(T), reject func(error)) {
	f = pending[T]()
	return f, func(v T) { f.settle(v, nil) }, f.reject
}

// Await returns the outcome of f, once there is one. When ctx ends first, it ends this wait alone, never the work
// nor anyone else's wait, and the error matches both ctx.Err() and [context.Cause] of ctx under [errors.Is]. A
// settled future wins over a finished ctx. A nil ctx is an error.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	var zero T
	if ctx == nil {
		return zero, errNilContext
	}
	f = f.orRejected()
	select {
	case <-f.done:
	case <-ctx.Done():
		if !f.settled() {
			return zero, waitError(ctx)
		}
	}
	return f.value, f.err
}

// Done returns a channel that is closed when f settles.
func (f *Future[T]) Done() <-chan struct{} {
	return f.orRejected().done
}

// Then continues f: once f resolves, fn runs on a goroutine of its own with the value, and the returned future
// settles as fn does. If f rejects, so does the returned future, with the same error, and fn is not called.
//
// As with a promise, fn never runs inside the call to Then, even if f has settled, and continuations of one future
// delay neither each other nor its waiters. They run in no particular order. A panic or [runtime.Goexit] in fn
// rejects with a [*PanicError]. [Future.Catch] and [Future.Finally] run their functions likewise.
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
			return out.rejectQuietly(f.err)
		}
		go run(func() (U, error) { return fn(f.value) }, out.settle)
		return nil
	})
	return out
}

// Catch is [Then] for a rejection: once f rejects, fn runs with the error, and the returned future settles as fn
// does. If f resolves, so does the returned future, with the same value, and fn is not called.
func (f *Future[T]) Catch(fn func(error) (T, error)) *Future[T] {
	if fn == nil {
		return Rejected[T](errNilFunc)
	}
	f = f.orRejected()
	out := pending[T]()
	f.watch(func() watchers {
		if f.err == nil {
			return out.settleQuietly(f.value, nil)
		}
		go run(func() (T, error) { return fn(f.err) }, out.settle)
		return nil
	})
	return out
}

// Finally runs fn once f settles, either way, and the returned future then settles as f did. Only a panic or
// [runtime.Goexit] in fn replaces the outcome.
func (f *Future[T]) Finally(fn func()) *Future[T] {
	if fn == nil {
		return Rejected[T](errNilFunc)
	}
	f = f.orRejected()
	out := pending[T]()
	f.watch(func() watchers {
		go run(func() (T, error) { fn(); return f.value, f.err }, out.settle)
		return nil
	})
	return out
}

func pending[T any]() *Future[T] {
	return &Future[T]{done: make(chan struct{})}
}

// orRejected gives a nil or zero future, which has no channel to wait on, the outcome its docs promise.
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

// settle gives f its outcome, unless it has one, wakes the waiters and tells the watchers.
func (f *Future[T]) settle(v T, err error) {
	if told := f.settleQuietly(v, err); told != nil {
		tell(told)
	}
}

// settleQuietly gives f its outcome, unless it has one, and wakes the waiters. The watchers are the caller's to tell.
func (f *Future[T]) settleQuietly(v T, err error) watchers {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled() {
		return nil
	}
	if err == nil {
		f.value = v
	}
	f.err = err
	told := f.watchers
	f.watchers = nil
	close(f.done)
	return told
}

func (f *Future[T]) reject(err error) {
	if told := f.rejectQuietly(err); told != nil {
		tell(told)
	}
}

func (f *Future[T]) rejectQuietly(err error) watchers {
	if err == nil {
		err = errNilReason
	}
	var zero T
	return f.settleQuietly(zero, err)
}

// watch calls fn once f has settled: at once if it has, else on the goroutine that settles it. So fn must be quick
// and ours; a caller's function gets a goroutine. Until then stop makes f forget fn.
func (f *Future[T]) watch(fn watcher) (stop func()) {
	f.mu.Lock()
	if f.settled() {
		f.mu.Unlock()
		if told := fn(); told != nil {
			tell(told)
		}
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

// waitError says why ctx ended, keeping both the kind (canceled, deadline exceeded) and the cause.
func waitError(ctx context.Context) error {
	kind, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, kind) {
		return cause
	}
	return fmt.Errorf("%w: %w", kind, cause)
}
