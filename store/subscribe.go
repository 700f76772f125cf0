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

// subscriber is one function that is told of transitions.
type subscriber[U any] struct {
	fn   func(state, previous State[U])
	gone atomic.Bool
}

// transition is one change of the state, and who is told of it: those subscribed when it happened.
type transition[U any] struct {
	state, previous State[U]
	to              []*subscriber[U] // the subscribers who have not been told
}

// queueLimit is how many transitions may wait for a slow subscriber before they are coalesced.
const queueLimit = 1024

// Subscribe calls fn for every transition from now on: once, in order, one at a time, outside any lock. It may call the store.
//
// A transition that its caller makes (Login, Logout, SetState) is told on the caller's goroutine before it returns, unless another
// is telling already. One that a refresh makes is told on a goroutine of its own, and the refresh does not wait: the call that
// needed the refresh may have returned before, and a program that ends then has not been told. A program that has to keep a
// rotated token, as a command-line tool, does that in its [RefreshFunc].
//
// A panic of fn is recovered and reported to [slog.Default] with its stack, and the tokens are masked in what it says. The others
// are told all the same. While a subscriber does not return, transitions wait. Beyond 1024 of them the newest are coalesced into
// one, from the state before the first of them to the state after the last: some states are never told then, but the previous
// state is always the one that was told before.
//
// After unsubscribe fn is not called again, except that a call under way goes on. A nil fn is not called.
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
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if len(s.subscribers) == 0 {
		return
	}

	// The last transition of a long queue takes up the new one, if the same subscribers are to be told of both.
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
		if !finished { // a subscriber called Goexit: the others are told all the same
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
		next.to = next.to[1:] // before the call: a subscriber that calls Goexit has been told
		s.mu.Unlock()
		if !sub.gone.Load() {
			sub.tell(state, previous)
		}
		s.mu.Lock()
	}
	s.queue = nil
	s.delivering = false
	finished = true
	s.mu.Unlock()
}

// tell calls the subscriber. Its panic must end neither the program nor the goroutine of somebody who only logged in.
func (sub *subscriber[U]) tell(state, previous State[U]) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("store: a subscriber panicked",
				"panic", masked(fmt.Sprint(v), state.Token, previous.Token), "stack", string(debug.Stack()))
		}
	}()
	sub.fn(state, previous)
}

// masked returns text without the secrets of the tokens.
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
