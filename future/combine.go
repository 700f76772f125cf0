package future

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrEmpty is the rejection of [Any] and [Race] when given no futures.
var ErrEmpty = errors.New("future: Any and Race need at least one future")

// Settled is one outcome in the result of [AllSettled]: Value if Err is nil, else the zero T.
type Settled[T any] struct {
	Value T
	Err   error
}

// All resolves with every value, in the order of fs, once all of fs resolve, and rejects with the first rejection
// as soon as there is one. All of none resolves with an empty slice.
//
// A combinator ends no work: the futures it no longer needs run on. Among futures settled before the call, the
// earlier argument counts as the first to settle. A nil future counts as rejected.
func All[T any](fs ...*Future[T]) *Future[[]T] {
	values := make([]T, len(fs))
	if len(fs) == 0 {
		return Resolved(values)
	}
	out := pending[[]T]()
	left := countdown(len(fs))
	watchAll(fs, out, func(i int, f *Future[T]) watchers {
		if f.err != nil {
			return out.rejectQuietly(f.err)
		}
		values[i] = f.value
		if left() > 0 {
			return nil
		}
		return out.settleQuietly(values, nil)
	})
	return out
}

// AllSettled resolves with every outcome, in the order of fs, once all of fs settle. It never rejects.
// AllSettled of none resolves with an empty slice.
func AllSettled[T any](fs ...*Future[T]) *Future[[]Settled[T]] {
	outcomes := make([]Settled[T], len(fs))
	if len(fs) == 0 {
		return Resolved(outcomes)
	}
	out := pending[[]Settled[T]]()
	left := countdown(len(fs))
	watchAll(fs, out, func(i int, f *Future[T]) watchers {
		outcomes[i] = Settled[T]{Value: f.value, Err: f.err}
		if left() > 0 {
			return nil
		}
		return out.settleQuietly(outcomes, nil)
	})
	return out
}

// Any resolves with the first value as soon as one of fs resolves. Once all have rejected, it rejects with an error
// in which [errors.Is] and [errors.As] find each of theirs, in the order of fs. Any of none rejects with [ErrEmpty].
func Any[T any](fs ...*Future[T]) *Future[T] {
	if len(fs) == 0 {
		return Rejected[T](ErrEmpty)
	}
	out := pending[T]()
	errs := make([]error, len(fs))
	left := countdown(len(fs))
	watchAll(fs, out, func(i int, f *Future[T]) watchers {
		if f.err == nil {
			return out.settleQuietly(f.value, nil)
		}
		errs[i] = f.err
		if left() > 0 {
			return nil
		}
		return out.rejectQuietly(fmt.Errorf("future: all rejected: %w", errors.Join(errs...)))
	})
	return out
}

// Race settles as the first of fs to settle does. Race of none rejects with [ErrEmpty], where JavaScript's would
// stay pending for ever.
func Race[T any](fs ...*Future[T]) *Future[T] {
	if len(fs) == 0 {
		return Rejected[T](ErrEmpty)
	}
	out := pending[T]()
	watchAll(fs, out, func(_ int, f *Future[T]) watchers { return out.settleQuietly(f.value, f.err) })
	return out
}

// watchAll calls on for each of fs as it settles, until out does. Then it detaches from the rest: a future that
// never settles, raced a million times, must not remember a million races.
func watchAll[T, U any](fs []*Future[T], out *Future[U], on func(i int, f *Future[T]) watchers) {
	stops := make([]func(), len(fs))
	for i, f := range fs {
		f = f.orRejected()
		stops[i] = f.watch(func() watchers { return on(i, f) })
	}
	out.watch(func() watchers {
		for _, stop := range stops {
			stop()
		}
		return nil
	})
}

// countdown returns a function that says how many of n are left after each call.
func countdown(n int) func() int64 {
	var left atomic.Int64
	left.Store(int64(n))
	return func() int64 { return left.Add(-1) }
}
