package future

import "sync"

// Shared is a slot for at most one future in flight: whoever comes while it is occupied joins, whoever comes later
// starts anew. It remembers no outcome. The zero value is ready, and idle.
type Shared[T any] struct {
	mu       sync.Mutex
	inFlight *Future[T]
}

// Join returns the future in flight, joined being true, and does not call fn; or, if there is none, starts fn on a
// goroutine of its own as [Go] does and returns its future, joined being false.
//
// The slot empties when fn ends, whatever the outcome (value, error, panic, Goexit), and before any waiter wakes: a
// waiter that calls Join again starts anew, or joins someone who did. fn may use the Shared, but must not wait for
// its own future. It outlives the wait of whoever started it, so a context it captures should be no caller's own.
//
// A nil fn returns a rejected future and leaves the slot as it is.
func (s *Shared[T]) Join(fn func() (T, error)) (f *Future[T], joined bool) {
	if fn == nil {
		return Rejected[T](errNilFunc), false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight != nil {
		return s.inFlight, true
	}
	own := pending[T]() // not f: captured below, it would cost those who join an allocation
	s.inFlight = own
	go run(fn, func(v T, err error) {
		s.release(own)
		own.settle(v, err)
	})
	return own, false
}

// InFlight returns the future in flight, or nil when the slot is empty.
func (s *Shared[T]) InFlight() *Future[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight
}

// Forget detaches the future in flight, if any: the next Join starts anew beside it. The one detached runs on and
// settles for those who hold it, and leaves alone whatever the slot holds by then.
func (s *Shared[T]) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight = nil
}

// release empties the slot if it still holds f. Only f's own goroutine calls it.
func (s *Shared[T]) release(f *Future[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight == f {
		s.inFlight = nil
	}
}
