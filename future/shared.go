package future

import "sync"

// Shared is a slot for at most one future in flight. A caller who comes while the slot is taken
// joins that future. A caller who comes later starts a new one. Shared remembers no outcome. The
// zero value is an empty slot, ready to use.
type Shared[T any] struct {
	mu       sync.Mutex
	inFlight *Future[T]
}

// Join returns the future in flight and true, and does not call fn. If there is no future in
// flight, Join starts fn on a new goroutine, as [Go] does, and returns its future and false.
//
// The slot is emptied when fn ends, with any outcome (a value, an error, a panic, a Goexit) and
// before any waiter wakes. So a waiter that calls Join again does not get the future that has just
// settled. fn may use the Shared, but must not wait for its own future. fn outlives the wait of the
// caller who started it, so fn should not use that caller's context.
//
// For a nil fn Join returns a rejected future and leaves the slot as it is.
func (s *Shared[T]) Join(fn func() (T, error)) (f *Future[T], joined bool) {
	if fn == nil {
		return Rejected[T](errNilFunc), false
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight != nil {
		return s.inFlight, true
	}

	// The function below captures a new variable. If it captured f, each caller who joins would pay
	// an allocation.
	started := pending[T]()
	s.inFlight = started
	go run(fn, func(v T, err error) {
		s.empty(started)
		started.settleAndNotify(v, err)
	})
	return started, false
}

// InFlight returns the future in flight, or nil when the slot is empty.
func (s *Shared[T]) InFlight() *Future[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight
}

// Forget empties the slot, so that the next Join starts a new future. A future that was in flight
// runs on and settles for the callers who have it. When it settles, it leaves a newer future in the
// slot.
func (s *Shared[T]) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight = nil
}

// empty empties the slot if it still holds f. Only the goroutine of f calls it.
func (s *Shared[T]) empty(f *Future[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight == f {
		s.inFlight = nil
	}
}
