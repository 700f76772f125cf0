package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/detached"
)

// flight is one refresh. It belongs to the generation that it started in.
type flight struct {
	from    auth.Generation
	early   bool                          // all who wait for it are early; under the store's lock
	outcome *future.Future[auth.Snapshot] // settled by who empties the slot; ErrSessionChanged when its login ends from outside
	resolve func(auth.Snapshot)
	reject  func(error)
}

// Snapshot implements auth.StatefulSession.
func (s *UserStore[U]) Snapshot() auth.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *UserStore[U]) snapshot() auth.Snapshot {
	return auth.Snapshot{
		Token:      s.state.Token,
		Generation: s.generation,
		Active:     !s.ended,
		Refreshing: s.flight != nil,
		Obtained:   s.obtained,
		Early:      s.flight != nil && s.flight.early,
		Refreshed:  s.refreshed,
		Failures:   s.failures,
		Failure:    s.failure,
	}
}

// RefreshToken refreshes the session and returns the new token, nil where it is a cookie. Concurrent calls share one refresh. An
// ended session, and one that ends or is replaced meanwhile, is auth.ErrSessionChanged.
func (s *UserStore[U]) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	after, err := s.refreshIf(ctx, func() bool { return true })
	return after.Token, err
}

// RefreshSince implements auth.StatefulSession: it refreshes if the session is still at seen.
func (s *UserStore[U]) RefreshSince(ctx context.Context, seen auth.Generation) (auth.Snapshot, error) {
	now, err := s.refreshIf(ctx, func() bool { return s.generation == seen })
	if err == nil && now.Generation.Login != seen.Login {
		err = auth.ErrSessionChanged
	}
	return now, err
}

// refreshIf joins or starts a refresh if the condition, asked under the lock, holds.
func (s *UserStore[U]) refreshIf(ctx context.Context, condition func() bool) (auth.Snapshot, error) {
	if ctx == nil {
		return auth.Snapshot{}, errNilContext
	}
	if ctx.Err() != nil {
		never, _, _ := future.WithResolvers[auth.Snapshot]()
		return never.Await(ctx)
	}
	nested, early := auth.Bypassed(ctx, s), auth.IsEarly(ctx) // not under the lock: ctx may be the user's code
	s.mu.Lock()
	now := s.snapshot()
	switch {
	case !now.Active:
		s.mu.Unlock()
		return now, auth.ErrSessionChanged
	case !condition():
		s.mu.Unlock()
		return now, nil
	case nested:
		s.mu.Unlock()
		return now, auth.ErrNestedRefresh
	}
	f := s.flight
	if f == nil {
		f = s.start(ctx)
	}
	f.early = f.early && early
	s.mu.Unlock()
	return f.outcome.Await(ctx)
}

// start puts a refresh in flight. The lock is held; ctx lends its values.
func (s *UserStore[U]) start(ctx context.Context) *flight {
	f := &flight{from: s.generation, early: true}
	f.outcome, f.resolve, f.reject = future.WithResolvers[auth.Snapshot]()
	s.flight = f
	state := s.state
	state.CheckingAuth = true
	s.publish(state)
	go s.deliver()
	go s.run(ctx, f, copyOf(state.Token))
	return f
}

// run is the refresh, from its start to its end.
func (s *UserStore[U]) run(ctx context.Context, f *flight, current *oauth2.Token) {
	ctx = auth.Bypass(ctx, s)
	token, err := detached.Run(ctx, s.timeout,
		func(ctx context.Context) (*oauth2.Token, error) {
			token, err := s.refresh(ctx, current)
			if err == nil && token != nil && token.AccessToken == "" {
				err = errors.New("store: the RefreshFunc returned a token without an access token")
			}
			return token, err
		},
		func(token *oauth2.Token, err error) { // after the timeout
			if err == nil {
				s.succeed(f, token)
			}
		})
	if err == nil {
		s.succeed(f, token)
	} else {
		s.fail(ctx, f, err)
	}
}

// succeed publishes the new token, unless its login is over, or it comes late and another refresh has come first. The slot empties
// with it.
func (s *UserStore[U]) succeed(f *flight, token *oauth2.Token) {
	s.mu.Lock()
	if s.flight != f && s.generation != f.from {
		s.mu.Unlock()
		return
	}
	s.generation.Refresh++
	s.obtained, s.refreshed, s.failure = time.Now(), true, nil
	if s.flight == f {
		s.flight = nil
	}
	next := State[U]{User: s.state.User, Token: s.state.Token, CheckingAuth: s.flight != nil}
	if token != nil {
		old := next.Token
		if next.Token = copyOf(token); next.Token.RefreshToken == "" && old != nil {
			next.Token.RefreshToken = old.RefreshToken
		}
	}
	s.publish(next)
	now := s.snapshot()
	s.mu.Unlock()
	f.resolve(now)
	s.deliver()
}

// fail empties the slot and, if this failure ends the session, logs out, before it wakes those who wait. A late success that came
// first stands.
func (s *UserStore[U]) fail(ctx context.Context, f *flight, err error) {
	ends := s.ends(err)
	s.mu.Lock()
	if s.flight != f { // a login or a logout has detached it, or its own late success came while ends was asking
		s.mu.Unlock()
		return
	}
	s.flight = nil
	if !f.early {
		s.failures++
		s.failure = err
	}
	overtaken := s.generation != f.from // by the late success of the one before: what failed was with its old token
	if overtaken || !ends || f.early && auth.KeepSession(s.state.Token, err) {
		state := s.state
		state.CheckingAuth = false
		s.publish(state)
		now := s.snapshot()
		s.mu.Unlock()
		if overtaken {
			f.resolve(now)
		} else {
			f.reject(err)
		}
		s.deliver()
		return
	}
	last, _ := s.end()
	s.mu.Unlock()
	go s.deliver()
	if logoutErr := s.tellLogout(ctx, last); logoutErr != nil {
		err = fmt.Errorf("%w (and the logout failed: %w)", err, logoutErr)
	}
	f.reject(err)
}

// ends asks which failure ends the session. A refresh that was nested in itself, or in one of a session that changed, never does;
// a user's function that panics is taken for a yes.
func (s *UserStore[U]) ends(err error) bool {
	if errors.Is(err, auth.ErrNestedRefresh) || errors.Is(err, auth.ErrSessionChanged) {
		return false
	}
	yes, failed := future.Go(func() (bool, error) { return s.logoutWhen(err), nil }).Await(context.Background())
	return yes || failed != nil
}
