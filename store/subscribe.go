package store

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/redact"
)

// subscriber is one function that is called for transitions.
type subscriber[U any] struct {
	fn   func(state, previous State[U])
	gone atomic.Bool
}

// transition is one change of the state. It goes to those who were subscribed when it happened.
type transition[U any] struct {
	state, previous State[U]
	to              []*subscriber[U] // those who have not been called yet
}

// queueLimit is how many transitions wait for a slow subscriber before they are merged.
const queueLimit = 1024

// Subscribe calls fn for every transition from now on. It calls fn once for each, in order, one at
// a time, and outside any lock. fn may call the store.
//
// After Login, Logout and SetState fn runs on the caller's goroutine before the method returns,
// unless another goroutine is calling subscribers already. After a refresh fn runs on another
// goroutine, and the refresh does not wait for it. So the call that needed the refresh may return
// before fn has run, and a program that ends at that moment has not called fn. A program that must
// store a rotated token, as a command-line tool does, stores it in its [RefreshFunc].
//
// A panic of fn is recovered and reported to [slog.Default] with its stack. The tokens are masked
// in the report. The other subscribers are called nevertheless.
//
// Transitions wait while a subscriber does not return. If 1024 wait, further ones are merged into
// the last one. Its state becomes the newest, and the states between are never reported. The
// previous state is always the one that was reported before.
//
// After unsubscribe fn is not called again. A call that is running goes on. A nil fn is not called.
func (s *UserStore[U]) Subscribe(fn func(state, previous State[U])) (unsubscribe func()) {
	if fn == nil {
		return func() {}
	}

	// The queued transitions share the list, so it is replaced and never modified.
	sub := &subscriber[U]{fn: fn}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(slices.Clip(s.subscribers), sub)

	return func() {
		sub.gone.Store(true)

		s.mu.Lock()
		defer s.mu.Unlock()
		s.subscribers = slices.DeleteFunc(slices.Clone(s.subscribers), func(other *subscriber[U]) bool {
			return other == sub
		})
	}
}

// publish replaces the state and queues the transition. The lock is held. Its caller must call
// deliver when it has released the lock.
func (s *UserStore[U]) publish(next State[U]) {
	previous := s.state
	s.state = next
	s.version++

	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if len(s.subscribers) == 0 {
		return
	}

	// The last transition of a long queue takes in the new one, if both go to the same subscribers.
	if n := len(s.queue); n >= queueLimit {
		if last := &s.queue[n-1]; slices.Equal(last.to, s.subscribers) {
			last.state = next
			return
		}
	}
	s.queue = append(s.queue, transition[U]{next, previous, s.subscribers})
}

// nextChange returns a channel that is closed by the next transition. The lock is held.
func (s *UserStore[U]) nextChange() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// deliver calls the subscribers for the queued transitions. If another goroutine does that already,
// or a caller further up on this one, deliver returns at once.
func (s *UserStore[U]) deliver() {
	s.mu.Lock()
	if s.delivering {
		s.mu.Unlock()
		return
	}
	s.delivering = true

	// If a subscriber calls Goexit, this goroutine ends, and another one calls the other
	// subscribers.
	finished := false
	defer func() {
		if !finished {
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

		// The subscriber is taken from the list before the call, since it may not return.
		sub, state, previous := next.to[0], next.state, next.previous
		next.to = next.to[1:]
		s.mu.Unlock()
		if !sub.gone.Load() {
			sub.call(state, previous)
		}
		s.mu.Lock()
	}
	s.queue = nil
	s.delivering = false
	finished = true
	s.mu.Unlock()
}

// call calls the subscriber and recovers its panic. The panic must not end the program, nor the
// goroutine of a caller who only logged in.
func (sub *subscriber[U]) call(state, previous State[U]) {
	defer func() {
		if v := recover(); v != nil {
			text := masked(fmt.Sprint(v), state.Token, previous.Token)
			slog.Error("store: a subscriber panicked", "panic", text, "stack", string(debug.Stack()))
		}
	}()
	sub.fn(state, previous)
}

// masked returns the text without the secrets of the tokens.
func masked(text string, tokens ...*oauth2.Token) string {
	for _, token := range tokens {
		if token == nil {
			continue
		}

		idToken, _ := token.Extra("id_token").(string)
		for _, secret := range []string{token.AccessToken, token.RefreshToken, idToken} {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, redact.Mask)
			}
		}
	}
	return redact.Text(text)
}
