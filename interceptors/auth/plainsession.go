package auth

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/observed"
	"github.com/axlehttp/axle/internal/retryafter"
)

// watcher makes a plain [Session] a [StatefulSession]: it counts the generations and shares one
// refresh. plainrefresh.go has the refresh.
//
// A plain session tells nothing but its token, so the watcher reads the token before each call and
// compares it with the one before:
//
//   - Another token is another refresh.
//   - Another token that comes during a refresh, and that RefreshToken did not return, is another
//     login.
//   - A token that is gone is a logout. A token that comes after none is a login.
//
// The session may guard its token by a lock that its RefreshToken and Logout hold. For this reason
// the watcher does not read the token during a refresh or from within one, and it never reads it
// while it holds its own lock. If a call of the session has not returned, the watcher reads the
// token on a goroutine of its own, so that a caller can give up.
//
// A watcher is safe for concurrent use.
type watcher struct {
	Session

	// marked is the session that [Bypass] marks in contexts: the plain session, or the watcher if
	// the plain session cannot be compared.
	marked Session

	// timeout bounds each call of RefreshToken and Logout, and each wait for Token.
	timeout time.Duration

	observer Observer // nil: none

	slot future.Shared[Snapshot]

	// mu guards the fields below. No method of the session is called under it.
	mu sync.Mutex

	phase      phase
	generation Generation
	obtained   time.Time // when token was obtained

	// token is the one to attach: the token that the session reported, or the one that
	// RefreshToken returned. access is its access token, kept because a session may write into
	// its token.
	token  *oauth2.Token
	access string

	// reported is the access token that the session reported last. It differs from access if the
	// session did not keep the token that RefreshToken returned.
	reported string

	// Readings of the token are numbered from 1. A reading up to outdated started before the
	// newest one that is known, or before a refresh ended, so its result is dropped.
	readings uint64
	outdated uint64

	// runningCalls counts the calls of RefreshToken and Logout that have not returned.
	runningCalls int

	// unreturned is the last call of RefreshToken, until that call returns.
	unreturned *refreshCall

	// observed is the refresh in flight, or the last one, as the observer sees it. It is nil without
	// an observer.
	observed *observed.Refresh

	// onlyEarly is true if all who wait for the refresh in flight are early, see [IsEarly].
	onlyEarly bool

	failures uint64 // failed refreshes that somebody waited for
	failure  error  // the last of them

	// Until pause is over, refreshes fail at once with pauseErr. The response that pauseErr holds
	// had a Retry-After.
	pause    retryafter.Pause
	pauseErr error
}

// phase is where the current login of a watched session is. The zero value is open.
type phase int

const (
	// open: the token is attached, and a refused call refreshes.
	open phase = iota

	// leaving: a refresh has failed, and the session's Logout has not returned.
	leaving

	// unconfirmed: the session's Logout has returned, and the session could not be asked for its
	// token since. It counts as open. The next token that differs is another login.
	unconfirmed

	// ended: the session reported that it has no token any more.
	ended
)

// isActive reports whether calls belong to the session.
func (p phase) isActive() bool { return p == open || p == unconfirmed }

// errStuck is the error of a call that waited in vain for the session's Token.
var errStuck = fmt.Errorf("auth: the session does not answer: %w", context.DeadlineExceeded)

// watch returns a watcher of s. The timeout bounds each refresh and each logout. A nil observer is
// none.
func watch(s Session, timeout time.Duration, o Observer) *watcher {
	w := &watcher{
		Session: s, marked: s, timeout: timeout, observer: o, generation: Generation{Login: 1},
	}
	if !reflect.ValueOf(s).Comparable() {
		w.marked = w
	}

	// This notes when the first token was there. A panic of the session fails the first call, which
	// reads the token again.
	_, _ = guard("the session", func() (Snapshot, error) { return w.update(context.Background()) })
	return w
}

// Snapshot implements StatefulSession.
func (w *watcher) Snapshot() Snapshot {
	s, _ := w.update(context.Background())
	return s
}

// RefreshSince implements StatefulSession.
func (w *watcher) RefreshSince(ctx context.Context, seen Generation) (Snapshot, error) {
	if ctx.Err() != nil {
		return Snapshot{}, context.Cause(ctx)
	}

	// A token that the session has got by itself makes a refresh unnecessary.
	if _, err := w.update(ctx); err != nil {
		return Snapshot{}, err
	}

	f, now, err := w.joinSince(ctx, seen)
	if f.Future == nil {
		return now, err
	}
	return observed.Await(ctx, f.observed, f.Future)
}

// inFlight is a refresh in flight, for one of its callers.
type inFlight struct {
	*future.Future[Snapshot]
	observed *observed.Refresh // nil: no observer is told of this caller
}

// update reads the session's token and returns the state after that. During a refresh, and under a
// context of [Bypass], it does not read the token and returns the state as it is known. ctx bounds
// the wait for a session of which a call has not returned.
func (w *watcher) update(ctx context.Context) (Snapshot, error) {
	bypassed := Bypassed(ctx, w.marked)

	w.mu.Lock()
	if bypassed || w.slot.InFlight() != nil {
		defer w.mu.Unlock()
		now := w.state()
		// The session's own Logout tells the server by a request with the token. The token is
		// attached to that request, and to no other.
		now.Active = now.Active || bypassed
		return now, nil
	}
	w.readings++
	reading, mayBlock := w.readings, w.runningCalls > 0
	w.mu.Unlock()

	token, err := w.readToken(ctx, mayBlock)
	if err != nil {
		return Snapshot{}, err
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if reading > w.outdated && w.slot.InFlight() == nil {
		w.outdated = reading
		w.observe(token)
	}
	return w.state(), nil
}

// readToken returns the session's token. If the session may block, it returns at the latest when
// ctx or the time limit ends.
func (w *watcher) readToken(ctx context.Context, mayBlock bool) (*oauth2.Token, error) {
	if !mayBlock {
		return w.Token(), nil
	}

	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, errStuck)
	defer cancel()
	return future.Go(func() (*oauth2.Token, error) { return w.Token(), nil }).Await(ctx)
}

// joinSince joins the refresh in flight or starts one. It returns no future if the session is not
// at the generation any more, or is in a pause: then the state and the error are the outcome.
func (w *watcher) joinSince(
	ctx context.Context, seen Generation,
) (inFlight, Snapshot, error) {
	isEarly := IsEarly(ctx) // asks ctx, which may be the user's code, so not under the lock

	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.state()
	switch {
	case now.Generation.Login != seen.Login:
		return inFlight{}, now, ErrSessionChanged
	case now.Generation.Refresh != seen.Refresh:
		return inFlight{}, now, nil
	case w.pause.Holds(time.Now()):
		return inFlight{}, now, w.pauseErr
	}

	// startEarlyRefresh lets one early refresh run at a time, so a caller who joins an early one is
	// not early, and needs it.
	next := observed.New(w.observer)
	f, joined := w.slot.Join(func() (Snapshot, error) { return observed.Run(ctx, next, w.refresh) })
	if !joined {
		w.observed = next
	}
	w.onlyEarly = isEarly && !joined

	// An early caller does not count as one who waits.
	if w.onlyEarly {
		return inFlight{Future: f}, Snapshot{}, nil
	}
	return inFlight{f, w.observed}, Snapshot{}, nil
}

// The caller of each method below holds mu.

// state returns the state as it is known.
func (w *watcher) state() Snapshot {
	refreshing := w.slot.InFlight() != nil
	return Snapshot{
		Token:      w.token,
		Generation: w.generation,
		Active:     w.phase.isActive(),
		Refreshing: refreshing,
		Early:      refreshing && w.onlyEarly,
		Obtained:   w.obtained,
		Failures:   w.failures,
		Failure:    w.failure,
	}
}

// observe takes in the token that the session reports while it does not refresh.
func (w *watcher) observe(token *oauth2.Token) {
	access := accessTokenOf(token)
	sameReport := access == w.reported
	w.reported = access

	afterLogout := w.phase == leaving || w.phase == unconfirmed
	if w.phase == unconfirmed {
		w.phase = open
	}

	switch {
	case sameReport && access != w.access:
		// The session did not keep the token that RefreshToken returned. That token stays.
		return

	case access == w.access:
		// Nothing has changed but perhaps the rest of the token.

	case access == "":
		w.generation.Login++
		w.phase = ended

	case afterLogout, w.access == "":
		w.beginLogin()

	default:
		w.generation.Refresh++
		w.obtained = time.Now()
	}
	w.token, w.access = token, access
}

// beginLogin begins a login and forgets what belonged to the login before.
func (w *watcher) beginLogin() {
	w.generation.Login++
	w.phase = open
	w.obtained = time.Now()
	w.pause = retryafter.Pause{}
}

// beginLoginWith begins a login with a token that the session reports after a call of it.
func (w *watcher) beginLoginWith(token *oauth2.Token) {
	w.beginLogin()
	w.token, w.access, w.reported = token, accessTokenOf(token), accessTokenOf(token)
}

// isNew reports whether the session reports a token, and another one than it reported last.
func (w *watcher) isNew(token *oauth2.Token) bool {
	access := accessTokenOf(token)
	return access != "" && access != w.reported
}

func accessTokenOf(t *oauth2.Token) string {
	if t == nil {
		return ""
	}
	return t.AccessToken
}
