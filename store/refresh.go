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
	"github.com/axlehttp/axle/internal/observed"
	"github.com/axlehttp/axle/internal/redact"
	"github.com/axlehttp/axle/internal/retryafter"
)

// This file reads top to bottom as one refresh goes. A caller joins the refresh of the login, or
// starts it, and waits. The refresh settles when the RefreshFunc has returned. If it overruns the
// time limit, only the wait ends. A failure may end the session.

// refresh is one call of the RefreshFunc. It belongs to the login that it started in. No other
// refresh is started in that login until the RefreshFunc has returned, however long that takes,
// because two refreshes would spend the same refresh token.
type refresh struct {
	outcome *future.Future[outcome] // of the RefreshFunc, and saved
	pending *cookies.Pending        // the cookies that its responses have set

	since  uint64 // the refreshes of the saved login when this one started
	locked bool   // the lock of the saved session is held until the refresh has settled

	// observed is the refresh as the observer sees it. It is nil without an observer.
	observed *observed.Refresh

	// The fields below are guarded by the store's lock.

	phase  phase
	wait   *wait // nil: nobody waits
	needed bool  // a call needs the new token; false: all callers were early

	// answered says that the RefreshFunc has returned, and that its outcome is being saved.
	answered bool
}

// phase says how far a refresh has come.
type phase int

const (
	// running: the RefreshFunc runs, and its callers wait.
	running phase = iota

	// overdue: the RefreshFunc runs on after the time limit. WithLogoutWhen's function is being
	// asked about that, and the callers still wait.
	overdue

	// abandoned: the RefreshFunc runs on, and nobody waits. A new caller makes it running again.
	abandoned

	// returned: the RefreshFunc has returned. If it failed, WithLogoutWhen's function may be being
	// asked about that.
	returned

	// queued: the refresh waits for the lock of the saved session, or reads the record. Nothing has
	// been sent. The lock has a time limit of its own.
	queued
)

// wait is shared by all callers who wait for a refresh. It ends after the time limit at the latest.
type wait struct {
	// outcome is the state after the refresh, or its failure. It is auth.ErrSessionChanged if the
	// login ends meanwhile.
	outcome *future.Future[auth.Snapshot]
	resolve func(auth.Snapshot)
	reject  func(error)

	limit *time.Timer // nil: the RefreshFunc had returned before the wait began
	early bool        // all who wait are early
}

// stopLimit stops the clock of a wait, which may be nil.
func (w *wait) stopLimit() {
	if w != nil && w.limit != nil {
		w.limit.Stop()
	}
}

// pause is the time during which the token endpoint wants no request (Retry-After). Meanwhile every
// refresh fails with the failure that asked for the pause.
type pause struct {
	retryafter.Pause
	failure error
}

// RefreshToken refreshes the session and returns the new token. The token is nil where the API
// keeps its tokens in cookies. Concurrent calls share one refresh.
//
// The error is auth.ErrSessionChanged if the session has ended, or if it ends or is replaced during
// the refresh. A refresh that takes longer than the refresh timeout fails with
// [context.DeadlineExceeded]. Until its RefreshFunc returns, later calls wait for that same
// refresh, each again for the timeout at most. After a failure with a Retry-After header, calls
// fail with that same error and send nothing until the time is over, or for five minutes if the
// header asks for more.
//
// With a Persister, the error matches [ErrBusy] or [ErrStorage] if the refresh was not sent. If there
// is a new token and it could not be saved yet, RefreshToken returns the token and an error that
// matches ErrStorage.
//
// If ctx ends first, only this wait ends.
func (s *UserStore[U]) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	after, err := s.refreshIf(ctx, false, func() bool { return true })
	if err == nil {
		err = s.unsaved()
	}
	return after.Token, err
}

// RefreshSince implements auth.StatefulSession. It refreshes as [UserStore.RefreshToken] does if
// the session is still at the generation seen. Otherwise it returns the current state.
func (s *UserStore[U]) RefreshSince(ctx context.Context, seen auth.Generation) (auth.Snapshot, error) {
	return s.refreshSince(ctx, false, seen)
}

func (s *UserStore[U]) refreshSince(
	ctx context.Context, idle bool, seen auth.Generation,
) (auth.Snapshot, error) {
	now, err := s.refreshIf(ctx, idle, func() bool { return s.generation == seen })
	if err == nil && now.Generation.Login != seen.Login {
		err = auth.ErrSessionChanged
	}
	return now, err
}

// refreshIf joins or starts a refresh if the condition holds. The lock is held while it is asked.
//
// The caller is early if idle is true, which means that no call needs the token. It is also early
// if ctx says so and the token has not expired meanwhile.
func (s *UserStore[U]) refreshIf(
	ctx context.Context, idle bool, condition func() bool,
) (auth.Snapshot, error) {
	if ctx == nil {
		return auth.Snapshot{}, errNilContext
	}
	if ctx.Err() != nil {
		never, _, _ := future.WithResolvers[auth.Snapshot]()
		return never.Await(ctx)
	}

	// ctx may be the user's code, which is not called under the lock.
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
	case s.login.refresh == nil && s.login.pause.Holds(time.Now()):
		err := s.login.pause.failure
		s.mu.Unlock()
		return now, err
	}
	early = idle || early && !expiry.Passed(now.Token, time.Now())
	w := s.join(ctx, early)
	r := s.login.refresh
	s.mu.Unlock()

	// An early caller does not count as one who waits.
	if early {
		return w.outcome.Await(ctx)
	}
	return observed.Await(ctx, r.observed, w.outcome)
}

// join adds a caller to the wait for the login's refresh, and starts the refresh if there is none.
// The refresh gets the values of ctx. The lock is held.
func (s *UserStore[U]) join(ctx context.Context, early bool) *wait {
	if s.login.refresh == nil {
		s.start(ctx)
	}
	r := s.login.refresh
	r.needed = r.needed || !early

	if r.wait == nil {
		s.beginWait(ctx, r)
	}
	r.wait.early = r.wait.early && early
	return r.wait
}

// start starts a refresh. The lock is held, so ctx may be wrapped here but not asked.
func (s *UserStore[U]) start(ctx context.Context) {
	own, pending := cookies.NewPending(ctx)
	r := &refresh{pending: pending, observed: observed.New(s.observer)}
	s.login.refresh = r

	current := copyOf(s.state.Token)
	if p := s.persistence; p != nil {
		r.phase, r.since = queued, p.refreshes
	}
	r.outcome = future.Go(func() (outcome, error) {
		own := context.WithoutCancel(auth.Bypass(own, s))
		if s.persistence != nil {
			return s.spend(own, r)
		}
		token, err := s.call(own, r, current)
		return outcome{token: token}, err
	})

	go func() {
		// ctx may have ended long before. It does not matter to a future that has settled.
		<-r.outcome.Done()
		out, err := r.outcome.Await(ctx)
		s.settle(ctx, r, out, err)
		s.letGo(r, out)
	}()
}

// call calls the RefreshFunc, whose time limit begins now.
func (s *UserStore[U]) call(
	ctx context.Context, r *refresh, current *oauth2.Token,
) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	return observed.Run(ctx, r.observed, func(ctx context.Context) (*oauth2.Token, error) {
		token, err := s.refreshFunc(ctx, current)
		if err == nil {
			err = usable(token)
		}
		return token, err
	})
}

// beginWait begins a wait for a refresh and publishes that the session is being checked. The lock
// is held.
func (s *UserStore[U]) beginWait(ctx context.Context, r *refresh) {
	w := &wait{early: true}
	w.outcome, w.resolve, w.reject = future.WithResolvers[auth.Snapshot]()
	r.wait = w
	if r.phase != returned && r.phase != queued {
		r.phase = running
		if !r.answered {
			s.startLimit(ctx, r)
		}
	}

	s.publishChecking(true)
	go s.deliver()
}

// startLimit starts the clock of the wait for a refresh. The lock is held.
func (s *UserStore[U]) startLimit(ctx context.Context, r *refresh) {
	w := r.wait
	w.limit = time.AfterFunc(s.timeout, func() { s.overrun(ctx, r, w) })
}

// settle ends a refresh whose RefreshFunc has returned, early or late. If the login of the refresh
// is over, nothing of the session changes.
func (s *UserStore[U]) settle(ctx context.Context, r *refresh, out outcome, err error) {
	// err may be the user's code, which is not called under a lock.
	timedOut := errors.Is(err, context.DeadlineExceeded)
	asked := pause{retryafter.Of(err, time.Now()), err}

	s.settling.Lock()
	s.mu.Lock()
	current, before := s.login.refresh == r, r.phase
	told := before == abandoned && timedOut
	if current {
		r.phase = returned
		r.wait.stopLimit()
		s.login.pause = asked
	}
	if current && told {
		s.login.refresh = nil
	}
	s.mu.Unlock()

	failed := false
	switch {
	case !current:
		s.settleCookies(r, false)
	case err == nil:
		// The jar gets the cookies first. Once the state says that the refresh is over, calls do
		// not wait any more.
		//
		// The saved cookies of another holder's refresh are in the jar already. Those of the
		// response that refused this one must not replace them.
		s.settleCookies(r, !out.adopted || !s.persistence.savesCookies())
		s.succeed(r, out)
	case told:
		// The RefreshFunc gave up at its time limit, and its callers have been told of that before.
		s.settleCookies(r, true)
	case before == overdue:
		// WithLogoutWhen's function is being asked about the overrun, and this failure adds nothing
		// to it. The goroutine that asks ends the refresh.
	default:
		failed = true
	}
	s.settling.Unlock()

	if failed {
		s.fail(ctx, r, err)
		return
	}
	s.deliver()
}

// succeed stores the new token and wakes the callers. They may have joined at any time until now.
func (s *UserStore[U]) succeed(r *refresh, out outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if out.adopted {
		// The memory has the new token already.
		s.login.refresh = nil
		s.publishChecking(false)
	} else {
		s.generation.Refresh++
		s.login = login{obtained: time.Now(), refreshed: true}
		s.persistence.noteRotated(out)
		s.publish(State[U]{User: s.state.User, Token: renewed(s.state.Token, out.token)})
	}

	if r.wait != nil {
		r.wait.resolve(s.snapshot())
	}
}

// overrun ends a wait whose time limit has passed. The refresh goes on.
func (s *UserStore[U]) overrun(ctx context.Context, r *refresh, w *wait) {
	s.mu.Lock()
	overran := s.login.refresh == r && r.wait == w && r.phase == running && !r.answered
	if overran {
		r.phase = overdue
	}
	s.mu.Unlock()

	if overran {
		s.fail(ctx, r, fmt.Errorf("store: the refresh has not finished after %v: %w",
			s.timeout, context.DeadlineExceeded))
	}
}

// fail ends the wait for a refresh that has failed or has overrun its time limit. If the failure
// ends the session, the logout comes before the callers wake.
func (s *UserStore[U]) fail(ctx context.Context, r *refresh, err error) {
	ends, refused := s.ends(err), auth.Refused(err)

	s.settling.Lock()
	s.mu.Lock()
	current, hasReturned := s.login.refresh == r, r.phase == returned
	w, last := r.wait, s.state.Token
	ended := current && ends && (r.needed || refused)
	if current {
		s.noteFailure(r, err)
		if ended {
			s.end()
		} else if w != nil {
			s.publishChecking(false)
		}
	}
	s.mu.Unlock()

	// A failure that leaves the session as it is leaves its cookies too, as in a browser.
	if hasReturned {
		s.settleCookies(r, current && !ended)
	}
	s.settling.Unlock()

	// A login or a logout has left the refresh to itself, or the refresh has succeeded while
	// WithLogoutWhen's function was asked about its overrun. Nobody waits for it any more.
	if !current {
		return
	}

	if ended {
		// The end is saved before anybody hears of it.
		_ = s.persist(ctx)
		go s.deliver()
		if logoutErr := s.tellLogout(ctx, last, nil); logoutErr != nil {
			err = fmt.Errorf("%w (and the logout failed: %w)", err, logoutErr)
		}
	}
	if w != nil {
		w.reject(err)
	}
	s.deliver()
}

// noteFailure ends the wait of a refresh and notes its failure. While the RefreshFunc runs on, no
// other refresh takes its place. The lock is held.
func (s *UserStore[U]) noteFailure(r *refresh, err error) {
	r.wait = nil
	if r.phase == returned {
		s.login.refresh = nil
	} else {
		r.phase = abandoned
	}

	if r.needed {
		s.failures++
		s.login.failure = err
	}
}

// publishChecking publishes whether a refresh is in flight. The lock is held.
func (s *UserStore[U]) publishChecking(checking bool) {
	next := s.state
	next.CheckingAuth = checking
	s.publish(next)
}

// ends asks WithLogoutWhen's function whether a failure ends the session. If the function does not
// answer, because it panics, exits or takes longer than the refresh timeout, that counts as a yes.
// A refresh that was nested in itself, or in one of a session that changed, never ends the session,
// nor does one that was not sent. A refresh token that is lost always does.
func (s *UserStore[U]) ends(err error) bool {
	switch {
	case errors.Is(err, auth.ErrNestedRefresh), errors.Is(err, auth.ErrSessionChanged), isNotSent(err):
		return false
	case errors.Is(err, ErrOutcomeUnknown):
		return true
	}

	yes, failed := detached.Run(context.Background(), s.timeout, func(context.Context) (bool, error) {
		return s.logoutWhen(err), nil
	})
	return yes || failed != nil
}

// settleCookies gives the pending cookies of a refresh that has returned to the jar, or drops them.
// The settling lock is held, so the jar has no longer than the refresh timeout. A jar that panics
// or takes longer loses its cookies only. The tokens are kept, since the old ones may be spent.
func (s *UserStore[U]) settleCookies(r *refresh, keep bool) {
	if !keep {
		r.pending.Drop()
		return
	}
	if err := r.pending.Commit(s.timeout); err != nil {
		slog.Error("store: a cookie jar failed to take the cookies of a refresh",
			"error", redact.Text(err.Error()))
	}
}
