package auth

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/expiry"
)

// tracked is a session together with what the interceptor remembers of it between calls. It is safe
// for concurrent use.
type tracked struct {
	session StatefulSession

	// watcher is the same as session if the session is a plain one, and else nil.
	watcher *watcher

	// marked is the session that [Bypass] marks in contexts.
	marked Session

	// header is the header's value for the token that was attached last.
	header atomic.Pointer[headerValue]

	// seen is the last generation that was seen.
	seen atomic.Pointer[sighting]

	// earlyIsBlocked is true while an early refresh runs, and for a pause after one that failed.
	earlyIsBlocked atomic.Bool

	// isUnrecognizable is true if the session cannot be compared, so that it is not recognized when
	// [Select] returns it again. Nothing is remembered of it.
	isUnrecognizable bool
}

// track returns a session that nothing is known of yet.
func track(s StatefulSession) *tracked { return &tracked{session: s, marked: s} }

// trackPlain returns a plain session with its watcher. The timeout bounds its refreshes and
// logouts. A nil observer is none.
func trackPlain(s Session, timeout time.Duration, o Observer) *tracked {
	w := watch(s, timeout, o)
	return &tracked{session: w, watcher: w, marked: w.marked}
}

// snapshot asks the session for its state. A panic of the session is an error of the call.
func (t *tracked) snapshot(ctx context.Context) (Snapshot, error) {
	return guard("the session", func() (now Snapshot, err error) {
		// A watcher may have to wait for a plain session, so it needs the caller's context.
		if t.watcher != nil {
			now, err = t.watcher.update(ctx)
		} else {
			now = t.session.Snapshot()
		}

		if err == nil {
			t.sight(now)
		}
		return now, err
	})
}

// refreshSince asks the session for a refresh. A panic of the session is an error of the call.
func (t *tracked) refreshSince(
	ctx context.Context, seen Generation, early bool, refused *axle.Response,
) (Snapshot, error) {
	asked := &ask{Context: ctx, by: t, early: early, response: refused}
	now, err := guard("the session", func() (Snapshot, error) { return t.session.RefreshSince(asked, seen) })
	asked.leave(err == nil)
	return now, err
}

// guard calls a function that users wrote. If the function panics, guard returns an error that
// names it.
func guard[T any](name string, fn func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked := &future.PanicError{Value: p, Stack: debug.Stack()}
			err = fmt.Errorf("auth: %s panicked: %w", name, panicked)
		}
	}()
	return fn()
}

// sighting is the first time that a generation of a session was seen. It is never modified.
type sighting struct {
	generation Generation
	at         time.Time

	// firstRefresh is the Refresh of the first generation of this Login that was seen. In a later
	// generation of the Login, the token came from a refresh.
	firstRefresh uint64
}

// sight returns the sighting of the state's generation, and remembers it if it is the newest.
func (t *tracked) sight(s Snapshot) *sighting {
	last := t.seen.Load()
	if last != nil && last.generation == s.Generation {
		return last
	}

	first := &sighting{generation: s.Generation, at: time.Now(), firstRefresh: s.Generation.Refresh}
	if last != nil && last.generation.Login == s.Generation.Login {
		first.firstRefresh = last.firstRefresh
	}

	// A state that was read earlier and comes later does not replace a newer one.
	isNewest := last == nil ||
		last.generation.Login <= s.Generation.Login && last.generation.Refresh <= s.Generation.Refresh
	if isNewest {
		t.seen.Store(first)
	}
	return first
}

// obtained returns when the session got its token. If the session does not say so, this is when the
// interceptor first saw the token.
func (t *tracked) obtained(s Snapshot) time.Time {
	if !s.Obtained.IsZero() {
		return s.Obtained
	}
	return t.sight(s).at
}

// arrivedExpired reports whether the token had expired already when it came from a refresh. Then
// the clock of this machine is ahead, and another refresh would bring another such token.
func (t *tracked) arrivedExpired(s Snapshot) bool {
	// A session may not say that a refresh brought its token. Then what was seen of it decides.
	fromRefresh := s.Refreshed || s.Generation.Refresh != t.sight(s).firstRefresh
	return fromRefresh && expiry.Passed(s.Token, t.obtained(s))
}
