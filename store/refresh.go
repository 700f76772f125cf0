package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/detached"
)

// flight is one refresh. It belongs to the generation that it started in.
type flight struct {
	from    auth.Generation
	early   bool                          // all who wait for it are early; under the store's lock
	outcome *future.Future[auth.Snapshot] // settled by who empties the slot; ErrSessionChanged when its login ends from outside
	resolve func(auth.Snapshot)
	reject  func(error)

	stage    *cookies.Stage // the cookies that its answers set
	returned atomic.Bool    // the RefreshFunc has: nothing more will be set
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
	staged, stage := cookies.Hold(ctx)
	f.stage = stage
	token, err := detached.Run(staged, s.timeout,
		func(ctx context.Context) (*oauth2.Token, error) {
			defer f.returned.Store(true)
			token, err := s.refresh(ctx, current)
			if err == nil && token != nil && token.AccessToken == "" {
				err = errors.New("store: the RefreshFunc returned a token without an access token")
			}
			return token, err
		},
		func(token *oauth2.Token, err error) { // after the timeout
			if err == nil {
				s.succeed(f, token)
			} else {
				s.settleCookies(f)
			}
			stage.Close()
		})
	if err == nil {
		s.succeed(f, token)
	} else {
		s.fail(ctx, f, err)
	}
	if f.returned.Load() {
		stage.Close()
	}
}

// isCurrent reports whether the login that f belongs to goes on, and no other refresh has come first.
func (s *UserStore[U]) isCurrent(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight == f || s.generation == f.from
}

// settleCookies gives the jar what a failed refresh's answers set, as a browser does, unless the login is over.
func (s *UserStore[U]) settleCookies(f *flight) {
	s.settling.Lock()
	defer s.settling.Unlock()
	if s.isCurrent(f) {
		f.commitCookies()
	} else {
		f.stage.Drop()
	}
}

// commitCookies is called under settling. A jar that panics costs its cookies alone: the tokens may be spent, and are kept.
func (f *flight) commitCookies() {
	if err := f.stage.Commit(); err != nil {
		slog.Error("store: a cookie jar failed to take what a refresh's answers set", "error", err)
	}
}

// succeed publishes the new token, unless its login is over, or it comes late and another refresh has come first. The slot empties
// with it.
func (s *UserStore[U]) succeed(f *flight, token *oauth2.Token) {
	s.settling.Lock()
	if !s.isCurrent(f) {
		f.stage.Drop()
		s.settling.Unlock()
		return
	}
	f.commitCookies() // before the state says that calls need not wait any more

	s.mu.Lock()
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
	s.settling.Unlock()
	f.resolve(now)
	s.deliver()
}

// fail empties the slot and, if this failure ends the session, logs out, before it wakes those who wait. A late success that came
// first stands.
func (s *UserStore[U]) fail(ctx context.Context, f *flight, err error) {
	ends := s.ends(err)
	s.settling.Lock()
	s.mu.Lock()
	if s.flight != f { // a login or a logout has detached it, or its own late success came while ends was asking
		s.mu.Unlock()
		f.stage.Drop()
		s.settling.Unlock()
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
		switch {
		case overtaken:
			f.stage.Drop()
		case f.returned.Load(): // else its late outcome settles them
			f.commitCookies()
		}
		s.settling.Unlock()
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
	f.stage.Drop()
	s.settling.Unlock()
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
