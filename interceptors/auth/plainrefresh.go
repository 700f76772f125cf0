package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/detached"
	"github.com/axlehttp/axle/internal/retryafter"
)

// refresh is one refresh of a plain session: RefreshToken, and after a failure Logout. It runs on
// the goroutine of the watcher's slot.
func (w *watcher) refresh(ctx context.Context) (Snapshot, error) {
	returned, err := w.refreshToken(withBypass(ctx, w.marked, false))

	// From here on the session's own requests, which are those of its Logout, carry its token.
	ctx = withBypass(ctx, w.marked, true)

	// A token that no header can hold is as good as none.
	reported, known := w.readTokenAfterCall(ctx)
	if err == nil && (!canCarry(returned) || !canCarry(reported)) {
		err = fmt.Errorf("auth: RefreshToken: %w", errUnsendable)
	}
	if err == nil {
		return w.refreshed(returned, reported, known)
	}

	login, needsLogout := w.refreshFailed(err, reported)
	if !needsLogout {
		return Snapshot{}, err
	}

	logoutErr := w.callLogout(ctx)
	reported, known = w.readTokenAfterCall(ctx)
	w.loggedOut(login, reported, known)
	return Snapshot{}, join(err, logoutErr, "and the logout failed")
}

// refreshed takes in a refresh that succeeded: the token that RefreshToken returned, and the token
// that the session reports now, if known.
func (w *watcher) refreshed(returned, reported *oauth2.Token, known bool) (Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outdated = w.readings
	login := w.generation.Login
	token, access := returned, accessTokenOf(returned)

	if known {
		switch nowReported := accessTokenOf(reported); {
		case nowReported == w.reported:
			// RefreshToken returned a new token that the session did not keep, or none.

		case nowReported == "":
			// Somebody has logged out meanwhile.
			w.observe(reported)

		case nowReported == access:
			w.reported = nowReported
			token = reported

		case access == "":
			// RefreshToken kept its new token and returned none.
			w.reported = nowReported
			token, access = reported, nowReported

		default:
			// Somebody has logged in meanwhile.
			w.beginLoginWith(reported)
		}
	}

	// The slot empties together with the change of the generation, so that no caller of the new
	// generation joins the refresh that led to it.
	w.slot.Forget()
	if w.generation.Login != login {
		return w.state(), ErrSessionChanged
	}

	w.generation.Refresh++
	w.obtained = time.Now()
	if access != "" {
		w.token, w.access = token, access
	}
	return w.state(), nil
}

// refreshFailed takes in a refresh that failed, and reports whether Logout is due for it. Then the
// watcher is leaving, in a Login of its own, which is returned.
func (w *watcher) refreshFailed(err error, reported *oauth2.Token) (login uint64, needsLogout bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outdated = w.readings

	// The requests of Logout must not wait for this refresh.
	w.slot.Forget()
	w.pause, w.pauseErr = retryafter.Of(err, time.Now()), err

	// If the session stored the token that no header can hold, it has lost the one before, and
	// nobody has logged in.
	isNew := w.isNew(reported)
	isSpoiled := isNew && errors.Is(err, errUnsendable)

	switch {
	case isNew && !isSpoiled:
		// Somebody has logged in meanwhile. That login stays.
		w.beginLoginWith(reported)
		return 0, false

	case w.onlyEarly && KeepSession(w.token, err) && !isSpoiled:
		// Nobody waited for the refresh, and the token is still good.
		return 0, false

	case errors.Is(err, ErrNestedRefresh), errors.Is(err, ErrSessionChanged):
		// These say nothing of the login.
		w.failures++
		w.failure = err
		return 0, false
	}

	w.generation.Login++
	w.phase = leaving
	return w.generation.Login, true
}

// loggedOut takes in that the Logout of a failed refresh has returned, in the Login that
// refreshFailed returned.
//
// A session that reports the same token as before is open again. This is so for a session whose
// tokens are cookies, since it never tells of a logout. It is so for a session that keeps its token
// after Logout, too: the next refused call refreshes it.
func (w *watcher) loggedOut(login uint64, reported *oauth2.Token, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.generation.Login != login {
		return
	}

	// Unless the session reports another token, it is open again with the token before, and a
	// RefreshToken that has overrun its time limit still belongs to it.
	if w.unreturned != nil {
		w.unreturned.login = login
	}
	if !known {
		w.phase = unconfirmed
		return
	}

	w.outdated = w.readings
	access := accessTokenOf(reported)
	switch {
	case w.isNew(reported):
		w.beginLogin()
	case access == "" && w.reported != "":
		w.phase = ended
	default:
		w.phase = open
	}
	w.token, w.access, w.reported = reported, access, access
}

// refreshCall is one call of RefreshToken.
type refreshCall struct {
	// login is the Login that the call was made in. After a Logout that left the session as it was,
	// it is the Login that followed.
	login   uint64
	outcome *future.Future[*oauth2.Token]
}

// refreshToken calls RefreshToken, detached from the caller who asked for it.
//
// A RefreshToken that overruns the time limit may still spend the refresh token, so no other one is
// started beside it. If such a call still runs, refreshToken waits for it instead, within the time
// limit.
func (w *watcher) refreshToken(ctx context.Context) (*oauth2.Token, error) {
	w.mu.Lock()
	earlier, login := w.unreturned, w.generation.Login
	isOfThisLogin := earlier != nil && earlier.login == login
	w.mu.Unlock()
	if earlier == nil {
		return w.callRefreshToken(ctx, login)
	}

	returned, overrun, err := w.await(earlier)
	if overrun || isOfThisLogin {
		return returned, err
	}

	// The outcome of the earlier call belongs to the login before. If the session reports another
	// token now, the earlier call may have stored it, so the present login is over too.
	reported, _ := w.readTokenAfterCall(ctx)
	w.mu.Lock()
	isNew := w.isNew(reported)
	w.mu.Unlock()
	if isNew {
		return nil, ErrSessionChanged
	}
	return w.callRefreshToken(ctx, login)
}

// callRefreshToken calls RefreshToken and waits for it within the time limit.
func (w *watcher) callRefreshToken(ctx context.Context, login uint64) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.timeout)
	defer cancel()

	call := &refreshCall{login: login}
	w.mu.Lock()
	w.runningCalls++
	w.unreturned = call
	call.outcome = future.Go(func() (*oauth2.Token, error) {
		defer w.callReturned(call)
		return w.RefreshToken(ctx)
	})
	w.mu.Unlock()

	returned, _, err := w.await(call)
	return returned, err
}

// await waits for the outcome of a call, within the time limit. A call that takes longer has
// overrun, and the error says so.
func (w *watcher) await(call *refreshCall) (returned *oauth2.Token, overrun bool, err error) {
	clock := time.NewTimer(w.timeout)
	defer clock.Stop()
	select {
	case <-call.outcome.Done():
	case <-clock.C:
	}

	// A call that returns just as the time limit is reached counts.
	select {
	case <-call.outcome.Done():
		returned, err = call.outcome.Await(context.Background())
		return returned, false, err
	default:
		return nil, true, fmt.Errorf("auth: RefreshToken has not returned after %v: %w",
			w.timeout, context.DeadlineExceeded)
	}
}

// callLogout calls Logout, detached from the caller who asked for the refresh, within the time
// limit.
func (w *watcher) callLogout(ctx context.Context) error {
	w.mu.Lock()
	w.runningCalls++
	w.mu.Unlock()

	_, err := detached.Run(ctx, w.timeout, func(ctx context.Context) (struct{}, error) {
		defer w.callReturned(nil)
		return struct{}{}, w.Logout(ctx)
	})
	return err
}

// callReturned notes that a call of the session has returned. The call is nil for Logout.
func (w *watcher) callReturned(call *refreshCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runningCalls--
	if call != nil && w.unreturned == call {
		w.unreturned = nil
	}
}

// readTokenAfterCall returns the token that the session reports after a call of it. The token is
// not known if another call has not returned, or if Token panics or overruns the time limit.
func (w *watcher) readTokenAfterCall(ctx context.Context) (token *oauth2.Token, known bool) {
	w.mu.Lock()
	mayBlock := w.runningCalls > 0
	w.mu.Unlock()
	if mayBlock {
		return nil, false
	}

	token, err := detached.Run(ctx, w.timeout, func(context.Context) (*oauth2.Token, error) {
		return w.Token(), nil
	})
	return token, err == nil
}
