package auth

import (
	"context"
	"time"

	"github.com/axlehttp/axle/internal/expiry"
)

// earlyPause is how long after a failed early refresh the next one is tried.
const earlyPause = 10 * time.Second

// WithEarlyRefresh refreshes ahead of the token's Expiry, by the wall clock. The default, also for
// before <= 0, is off.
//
// A call that comes when the token expires within this time starts the refresh and does not wait
// for it. Until the token has expired, calls go out with it. If such a refresh fails, no call
// fails for it. It is tried again ten seconds later at the earliest, and the session ends only if
// the server refused, see [KeepSession].
//
// A call that comes after the expiry waits for a refresh before it is sent, also if the token was
// restored from disk. If that refresh fails, the call is not sent.
//
// Two kinds of token are not refreshed over and over. A token that had no more than this time left
// when the session got it is used until it has expired. A token that had expired when it came from
// a refresh is sent as it is, since the clock of this machine must be ahead.
//
// Without this option the expiry decides nothing: a token that has expired is sent, and its 401
// refreshes it.
func WithEarlyRefresh(before time.Duration) Option {
	return func(i *Interceptor) { i.early = before }
}

// waitForRefresh waits for the refresh that a request needs, and returns the session's state after
// it. It starts a refresh that requests will need soon, and does not wait for that one.
func (i *Interceptor) waitForRefresh(ctx context.Context, t *tracked, now Snapshot) (Snapshot, error) {
	expired := expiry.Passed(now.Token, time.Now()) && !t.arrivedExpired(now)

	switch {
	case now.Refreshing && (expired || !now.Early):
		return t.refreshSince(ctx, now.Generation, false, nil)
	case now.Refreshing:
		return now, nil
	case i.early > 0 && expired:
		return t.refreshSince(ctx, now.Generation, false, nil)
	case i.early > 0 && t.isDue(now, i.early):
		t.startEarlyRefresh(ctx, now.Generation)
	}
	return now, nil
}

// isDue reports whether the token expires within the given time, and so is refreshed early. A token
// that was due already when the session got it is never due: each refresh could bring another such
// token.
func (t *tracked) isDue(s Snapshot, before time.Duration) bool {
	if !expiry.Within(s.Token, before) {
		return false
	}
	leftAtFirst, _ := expiry.Left(s.Token, t.obtained(s))
	return leftAtFirst > before
}

// startEarlyRefresh starts an early refresh and does not wait for it. It does nothing while an
// early refresh runs, and for a pause after one that failed.
func (t *tracked) startEarlyRefresh(ctx context.Context, seen Generation) {
	if t.isUnrecognizable || !t.earlyIsBlocked.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)

	go func() {
		// Only a success shortens the pause. A session that ends this goroutine keeps it.
		pause := earlyPause
		defer func() {
			if pause == 0 {
				t.earlyIsBlocked.Store(false)
				return
			}
			time.AfterFunc(pause, func() { t.earlyIsBlocked.Store(false) })
		}()

		if _, err := t.refreshSince(ctx, seen, true, nil); err == nil {
			pause = 0
		}
	}()
}
