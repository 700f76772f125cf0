package auth

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/expiry"
)

// tracked is one session, with what the interceptor remembers of it between its calls.
type tracked struct {
	session StatefulSession
	counted *counted // session, if it is a plain one's
	marked  Session  // the session that Bypass marks

	header atomic.Pointer[headerValue] // of the token that was attached last
	seen   atomic.Pointer[sighting]

	// beside is true while an early refresh runs, and for a pause after one that failed.
	beside atomic.Bool
	// isNew says that the session cannot be recognized when it comes again, so that nothing is remembered of it.
	isNew bool
}

// track returns a session that nothing is known of yet.
func track(s StatefulSession) *tracked { return &tracked{session: s, marked: s} }

// trackPlain makes a plain session a stateful one. timeout bounds its refreshes and logouts.
func trackPlain(s Session, timeout time.Duration) *tracked {
	c := count(s, timeout)
	return &tracked{session: c, counted: c, marked: c.mark}
}

// snapshot asks the session for its state. A panic of the session is an error of the call.
func (t *tracked) snapshot(ctx context.Context) (Snapshot, error) {
	return guard("the session", func() (now Snapshot, err error) {
		if t.counted != nil {
			now, err = t.counted.look(ctx)
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
func (t *tracked) refreshSince(ctx context.Context, seen Generation, asked ask) (Snapshot, error) {
	asked.by = t.marked
	ctx = context.WithValue(ctx, askKey{}, &asked)
	return guard("the session", func() (Snapshot, error) { return t.session.RefreshSince(ctx, seen) })
}

// guard calls what users wrote. A panic of it is an error that names it.
func guard[T any](what string, fn func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("auth: %s panicked: %w", what, &future.PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	return fn()
}

// sighting is when a generation of the session was first seen.
type sighting struct {
	generation Generation
	at         time.Time
	// began is the Refresh of the first generation of this Login that was seen. In a later one, the token is a refresh's.
	began uint64
}

// sight returns when the state's generation was first seen.
func (t *tracked) sight(s Snapshot) *sighting {
	last := t.seen.Load()
	if last != nil && last.generation == s.Generation {
		return last
	}

	first := &sighting{generation: s.Generation, at: time.Now(), began: s.Generation.Refresh}
	if last != nil && last.generation.Login == s.Generation.Login {
		first.began = last.began
	}
	if last == nil || last.generation.Login <= s.Generation.Login && last.generation.Refresh <= s.Generation.Refresh {
		t.seen.Store(first)
	}
	return first
}

// obtained returns when the session got its token: as the session says, else when the interceptor first saw it.
func (t *tracked) obtained(s Snapshot) time.Time {
	if !s.Obtained.IsZero() {
		return s.Obtained
	}
	return t.sight(s).at
}

// arrivedExpired reports whether the token came from a refresh and had expired when it came. The clock of this machine is ahead
// then, and another refresh would bring another such token. A session that does not say whether a refresh brought its token is
// judged by what the interceptor has seen of it.
func (t *tracked) arrivedExpired(s Snapshot) bool {
	fromRefresh := s.Refreshed || s.Generation.Refresh != t.sight(s).began
	return fromRefresh && expiry.Passed(s.Token, t.obtained(s))
}
