package future

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrEmpty is the rejection of [Any] and [Race] when given no futures.
var ErrEmpty = errors.New("future: Any and Race need at least one future")

// Settled is one outcome in the result of [AllSettled]. If Err is not nil, Value is the zero T.
type Settled[T any] struct {
	Value T
	Err   error
}

// All resolves when all of fs have resolved, with their values in the order of fs. It rejects as
// soon as one of fs rejects, with that error. Without futures, All resolves with an empty slice.
//
// This holds for every combinator: it ends no work, and the futures that it no longer needs run on.
// Among futures that have settled before the call, the earlier argument counts as the first to
// settle. A nil future counts as rejected.
func All[T any](fs ...*Future[T]) *Future[[]T] {
	values := make([]T, len(fs))
	if len(fs) == 0 {
		return Resolved(values)
	}

	out := pending[[]T]()
	remaining := countdown(len(fs))
	watchAll(fs, out, func(i int, f *Future[T]) watchers {
		if f.err != nil {
			return out.reject(f.err)
		}

		values[i] = f.value
		if remaining() > 0 {
			return nil
		}
		return out.settle(values, nil)
	})
	return out
}

// AllSettled resolves when all of fs have settled, with their outcomes in the order of fs. It never
// rejects. Without futures, AllSettled resolves with an empty slice.
func AllSettled[T any](fs ...*Future[T]) *Future[[]Settled[T]] {
	outcomes := make([]Settled[T], len(fs))
	if len(fs) == 0 {
		return Resolved(outcomes)
	}

	out := pending[[]Settled[T]]()
	remaining := countdown(len(fs))
	watchAll(fs, out, func(i int, f *Future[T]) watchers {
		outcomes[i] = Settled[T]{Value: f.value, Err: f.err}
		if remaining() > 0 {
			return nil
		}
		return out.settle(outcomes, nil)
	})
	return out
}

// Any resolves as soon as one of fs resolves, with that value. If all of fs reject, Any rejects
// with an error that wraps all of their errors, in the order of fs. Without futures, Any rejects
// with [ErrEmpty].
func Any[T any](fs ...*Future[T]) *Future[T] {
	if len(fs) == 0 {
		return Rejected[T](ErrEmpty)
	}

	out := pending[T]()
	errs := make([]error, len(fs))
	remaining := countdown(len(fs))
	watchAll(fs, out, func(i int, f *Future[T]) watchers {
		if f.err == nil {
			return out.settle(f.value, nil)
		}

		errs[i] = f.err
		if remaining() > 0 {
			return nil
		}
		return out.reject(fmt.Errorf("future: all rejected: %w", errors.Join(errs...)))
	})
	return out
}

// Race settles with the outcome of the first of fs that settles. Without futures, Race rejects with
// [ErrEmpty]. JavaScript's Promise.race would stay pending for ever.
func Race[T any](fs ...*Future[T]) *Future[T] {
	if len(fs) == 0 {
		return Rejected[T](ErrEmpty)
	}

	out := pending[T]()
	watchAll(fs, out, func(_ int, f *Future[T]) watchers { return out.settle(f.value, f.err) })
	return out
}

// watchAll calls settled for each of fs when it settles, until out settles. Then it stops watching
// the others. A future that never settles would otherwise remember every race that it took part in.
func watchAll[T, U any](fs []*Future[T], out *Future[U], settled func(i int, f *Future[T]) watchers) {
	stops := make([]func(), len(fs))
	for i, f := range fs {
		f = f.orRejected()
		stops[i] = f.watch(func() watchers { return settled(i, f) })
	}

	out.watch(func() watchers {
		for _, stop := range stops {
			stop()
		}
		return nil
	})
}

// countdown returns a function that counts down from n. Each call returns the next lower number.
func countdown(n int) func() int64 {
	var remaining atomic.Int64
	remaining.Store(int64(n))
	return func() int64 { return remaining.Add(-1) }
}
