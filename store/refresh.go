package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/detached"
	"github.com/axlehttp/axle/internal/expiry"
	"github.com/axlehttp/axle/internal/retryafter"
)

// flight is one call of the RefreshFunc. It belongs to the login that it started in. No other is started in that login until
// it has returned, however long that takes: two would spend the same refresh token.
type flight struct {
	token   *future.Future[*oauth2.Token] // what the RefreshFunc comes to; a token that no request can carry is an error
	pending *cookies.Pending              // the cookies that the answers to its requests set

	// The fields below are guarded by the store's lock.

	waiting  *waiting // nil while nobody waits: the time limit has passed, and nobody has asked since
	needed   bool     // somebody has asked for it who was not early
	returned bool     // the RefreshFunc has returned
	overran  bool     // its time limit has passed, and the callers who waited then were told so
}

// waiting is what callers who ask for a refresh wait for, at most for the time limit. The future settles with the state after the
// flight, or with its failure. It is auth.ErrSessionChanged when the login ends from outside.
type waiting struct {
	outcome *future.Future[auth.Snapshot]
	resolve func(auth.Snapshot)
	reject  func(error)

	limit   *time.Timer // nil if the RefreshFunc has returned already
	early   bool        // everybody who waits asked early
	expired bool        // the limit has passed, and WithLogoutWhen's function is being asked about that
}

// pause is what a token endpoint's Retry-After asks for. Until it is over a refresh fails with the same error as the last one.
type pause struct {
	retryafter.Pause
	failure error
}

// Snapshot implements auth.StatefulSession.
func (s *UserStore[U]) Snapshot() auth.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *UserStore[U]) snapshot() auth.Snapshot {
	refreshing := s.flight != nil && s.flight.waiting != nil
	return auth.Snapshot{
		Token:      s.state.Token,
		Generation: s.generation,
		Active:     !s.ended,
		Refreshing: refreshing,
		Early:      refreshing && s.flight.waiting.early,
		Obtained:   s.obtained,
		Refreshed:  s.refreshed,
		Failures:   s.failures,
		Failure:    s.failure,
	}
}

// RefreshToken refreshes the session and returns the new token, nil where it is a cookie. Concurrent calls share one refresh.
//
// An ended session, and one that ends or is replaced meanwhile, is auth.ErrSessionChanged. A refresh that takes longer than the
// refresh timeout fails with [context.DeadlineExceeded]; later calls wait for that same refresh, again for at most the
// timeout, until its RefreshFunc returns. After a failure whose answer had a Retry-After, calls fail with that same error,
// without sending anything, until then, or for five minutes if it asks for more.
func (s *UserStore[U]) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	after, err := s.refreshIf(ctx, false, func() bool { return true })
	return after.Token, err
}

// RefreshSince implements auth.StatefulSession: it refreshes as [UserStore.RefreshToken] does if the session is still at seen.
func (s *UserStore[U]) RefreshSince(ctx context.Context, seen auth.Generation) (auth.Snapshot, error) {
	return s.refreshSince(ctx, false, seen)
}

func (s *UserStore[U]) refreshSince(ctx context.Context, idle bool, seen auth.Generation) (auth.Snapshot, error) {
	now, err := s.refreshIf(ctx, idle, func() bool { return s.generation == seen })
	if err == nil && now.Generation.Login != seen.Login {
		err = auth.ErrSessionChanged
	}
	return now, err
}

// refreshIf joins or starts a refresh if the condition, asked under the lock, holds. Its caller is early if idle says that no call
// needs the token, or if ctx says so and the token has not expired meanwhile.
func (s *UserStore[U]) refreshIf(ctx context.Context, idle bool, condition func() bool) (auth.Snapshot, error) {
	if ctx == nil {
		return auth.Snapshot{}, errNilContext
	}
	if ctx.Err() != nil {
		never, _, _ := future.WithResolvers[auth.Snapshot]()
		return never.Await(ctx)
	}
	// Not under the lock: ctx may be the user's code.
	nested, early := auth.Bypassed(ctx, s), auth.IsEarly(ctx)

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
	case s.flight == nil && s.pause.Holds(time.Now()):
		err := s.pause.failure
		s.mu.Unlock()
		return now, err
	}
	early = idle || early && !expiry.Passed(now.Token, time.Now())
	w := s.join(ctx, early)
	s.mu.Unlock()

	return w.outcome.Await(ctx)
}

// join makes the caller one of those who wait for the login's flight, and starts the flight if there is none. The lock is held;
// ctx lends its values.
func (s *UserStore[U]) join(ctx context.Context, early bool) *waiting {
	if s.flight == nil {
		s.start(ctx)
	}
	f := s.flight
	f.needed = f.needed || !early

	if f.waiting == nil {
		s.wait(ctx, f)
	}
	f.waiting.early = f.waiting.early && early
	return f.waiting
}

// start puts a refresh in flight. The lock is held, so that ctx, which may be the user's code, is not asked here.
func (s *UserStore[U]) start(ctx context.Context) {
	staged, pending := cookies.NewPending(ctx)
	f := &flight{pending: pending}
	s.flight = f

	current, deadline := copyOf(s.state.Token), time.Now().Add(s.timeout)
	f.token = future.Go(func() (*oauth2.Token, error) {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(auth.Bypass(staged, s)), deadline)
		defer cancel()
		token, err := s.refresh(ctx, current)
		if err == nil {
			err = usable(token)
		}
		return token, err
	})
	go func() {
		<-f.token.Done()
		token, err := f.token.Await(ctx)
		s.land(ctx, f, token, err)
	}()
}

// wait begins a wait for the flight, which ends at the time limit. The lock is held.
func (s *UserStore[U]) wait(ctx context.Context, f *flight) {
	w := &waiting{early: true}
	w.outcome, w.resolve, w.reject = future.WithResolvers[auth.Snapshot]()
	f.waiting = w
	if !f.returned {
		w.limit = time.AfterFunc(s.timeout, func() { s.overrun(ctx, f, w) })
	}

	state := s.state
	state.CheckingAuth = true
	s.publish(state)
	go s.deliver()
}

// land takes the outcome of the RefreshFunc, whenever it comes. If the login of the flight is over, the outcome changes nothing.
func (s *UserStore[U]) land(ctx context.Context, f *flight, token *oauth2.Token, err error) {
	// Not under the lock: err may be the user's code.
	timedOut := errors.Is(err, context.DeadlineExceeded)
	asked := pause{retryafter.Of(err, time.Now()), err}

	s.settling.Lock()
	s.mu.Lock()
	current, w := s.flight == f, f.waiting
	if current {
		f.returned = true
		if w != nil && w.limit != nil {
			w.limit.Stop()
		}
	}
	s.mu.Unlock()

	switch {
	case !current:
		s.settleCookies(f, false)
		s.settling.Unlock()

	case err == nil:
		// The cookies come first: calls need not wait any more once the state says so.
		s.settleCookies(f, true)
		s.mu.Lock()
		s.succeed(token)
		now := s.snapshot()
		// A caller may have joined while the jar took the cookies.
		w = f.waiting
		s.mu.Unlock()
		s.settling.Unlock()
		if w != nil {
			w.resolve(now)
		}
		s.deliver()

	default:
		s.mu.Lock()
		s.pause = asked
		judged := w != nil && w.expired
		told := f.waiting == nil && f.overran && timedOut
		if told {
			// The RefreshFunc gave up at its time limit, and its callers have been told so already.
			s.flight = nil
		}
		s.mu.Unlock()
		if told {
			s.settleCookies(f, true)
		}
		s.settling.Unlock()

		// If the time-out of this refresh is being judged, this failure adds nothing to it. The judge empties the slot.
		if !told && !judged {
			s.fail(ctx, f, err)
		}
	}
}

// settleCookies gives the jar what the answers of a refresh that has returned have set, or drops it. The store's settling lock is
// held, so that the jar has no longer than the refresh timeout. A jar that panics or takes longer costs its cookies alone: the tokens
// may be spent, and are kept.
func (s *UserStore[U]) settleCookies(f *flight, keep bool) {
	if !keep {
		f.pending.Drop()
	} else if err := f.pending.Commit(s.timeout); err != nil {
		slog.Error("store: a cookie jar failed to take what a refresh's answers set", "error", err)
	}
}

// overrun ends a wait whose time limit has passed. The flight stays where it is.
func (s *UserStore[U]) overrun(ctx context.Context, f *flight, w *waiting) {
	s.mu.Lock()
	if s.flight != f || f.waiting != w || f.returned {
		s.mu.Unlock()
		return
	}
	f.overran, w.expired = true, true
	s.mu.Unlock()

	s.fail(ctx, f, fmt.Errorf("store: the refresh has not finished after %v: %w", s.timeout, context.DeadlineExceeded))
}

// succeed stores the new token, and empties the slot with it. The lock is held.
func (s *UserStore[U]) succeed(token *oauth2.Token) {
	s.flight = nil
	s.generation.Refresh++
	s.obtained, s.refreshed = time.Now(), true
	s.failure, s.pause = nil, pause{}
	s.publish(State[U]{User: s.state.User, Token: renewed(s.state.Token, token)})
}

// fail ends the wait for a flight that has failed or has overrun its time limit. If that ends the session, it logs out before it
// wakes those who wait. A late success that came first stands.
func (s *UserStore[U]) fail(ctx context.Context, f *flight, err error) {
	ends, refused := s.ends(err), auth.Refused(err)

	s.settling.Lock()
	s.mu.Lock()
	current, returned, w := s.flight == f, f.returned, f.waiting
	ended := current && ends && (f.needed || refused)
	var last *oauth2.Token
	if current {
		last = s.state.Token
		s.settleFailure(f, err, ended)
	}
	s.mu.Unlock()
	if returned {
		// A failure that leaves the session as it is leaves its cookies too, as in a browser.
		s.settleCookies(f, current && !ended)
	}
	s.settling.Unlock()

	switch {
	case !current:
		// A login or a logout has detached the flight, or its own late success came while WithLogoutWhen's function was asked.
		return
	case ended:
		go s.deliver()
		if logoutErr := s.tellLogout(ctx, last, nil); logoutErr != nil {
			err = fmt.Errorf("%w (and the logout failed: %w)", err, logoutErr)
		}
		if w != nil {
			w.reject(err)
		}
	default:
		if w != nil {
			w.reject(err)
		}
		s.deliver()
	}
}

// settleFailure writes a failed refresh into the state. The slot stays taken while the RefreshFunc runs on. The lock is held.
func (s *UserStore[U]) settleFailure(f *flight, err error, ended bool) {
	waited := f.waiting != nil
	f.waiting = nil
	if f.returned {
		s.flight = nil
	}
	if f.needed {
		s.failures++
		s.failure = err
	}

	if ended {
		s.end()
	} else if waited {
		state := s.state
		state.CheckingAuth = false
		s.publish(state)
	}
}

// ends asks WithLogoutWhen's function whether a failure ends the session. A function that does not answer, because it panics,
// exits or takes longer than the refresh timeout, is taken for a yes. A refresh that was nested in itself, or in one of a session
// that changed, never ends the session.
func (s *UserStore[U]) ends(err error) bool {
	if errors.Is(err, auth.ErrNestedRefresh) || errors.Is(err, auth.ErrSessionChanged) {
		return false
	}
	yes, failed := detached.Run(context.Background(), s.timeout, func(context.Context) (bool, error) {
		return s.logoutWhen(err), nil
	})
	return yes || failed != nil
}
