package store

import (
	"slices"
	"sync/atomic"
)

// subscriber is one function that is told of transitions.
type subscriber[U any] struct {
	fn   func(state, previous State[U])
	gone atomic.Bool
}

// transition is one change of the state, and who is told of it: those subscribed when it happened.
type transition[U any] struct {
	state, previous State[U]
	to              []*subscriber[U] // who has not been told
}

// Subscribe calls fn for every transition from now on: once, in order, one at a time, outside any lock. It may call the store.
//
// A transition that its caller makes (Login, Logout, SetState) is told on the caller's goroutine before it returns, unless another
// is telling already; one that a refresh makes is told on a goroutine of its own, and the refresh does not wait. After
// unsubscribe fn is not called again, except that a call under way goes on. A nil fn is not called. A panic of fn is that of the
// goroutine that tells; the others are told all the same.
func (s *UserStore[U]) Subscribe(fn func(state, previous State[U])) (unsubscribe func()) {
	if fn == nil {
		return func() {}
	}
	sub := &subscriber[U]{fn: fn}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(slices.Clip(s.subscribers), sub)
	return func() {
		sub.gone.Store(true)
		s.mu.Lock()
		defer s.mu.Unlock()
		var rest []*subscriber[U]
		for _, other := range s.subscribers {
			if other != sub {
				rest = append(rest, other)
			}
		}
		s.subscribers = rest
	}
}

// publish replaces the state and queues the transition. The lock is held; who calls it calls deliver after.
func (s *UserStore[U]) publish(next State[U]) {
	previous := s.state
	s.state = next
	s.version++
	if len(s.subscribers) > 0 {
		s.queue = append(s.queue, transition[U]{next, previous, s.subscribers})
	}
}

// deliver tells the queued transitions, unless another goroutine, or a caller further up on this one, is at it.
func (s *UserStore[U]) deliver() {
	s.mu.Lock()
	if s.delivering {
		s.mu.Unlock()
		return
	}
	s.delivering = true
	finished := false
	defer func() {
		if !finished { // a subscriber panicked: the others are told all the same
			s.mu.Lock()
			s.delivering = false
			s.mu.Unlock()
			go s.deliver()
		}
	}()
	for len(s.queue) > 0 {
		next := &s.queue[0]
		if len(next.to) == 0 {
			s.queue = s.queue[1:]
			continue
		}
		sub, state, previous := next.to[0], next.state, next.previous
		next.to = next.to[1:] // before the call: who panics has been told
		s.mu.Unlock()
		if !sub.gone.Load() {
			sub.fn(state, previous)
		}
		s.mu.Lock()
	}
	s.queue = nil
	s.delivering = false
	finished = true
	s.mu.Unlock()
}
