package auth

import (
	"context"
	"time"

	"github.com/axlehttp/axle/internal/expiry"
)

// earlyPause is how long after a failed early refresh the next one is tried.
const earlyPause = 10 * time.Second

// WithEarlyRefresh refreshes ahead of the token's Expiry, by the wall clock. The default, also for before <= 0, is off.
//
// A call that comes when the token expires within this time starts the refresh, and does not wait for it: until the token has
// expired, calls go out with it. If such a refresh fails, no call fails for it. It is tried again ten seconds later at the
// earliest, and the session ends only if the server refused, see [KeepSession].
//
// A call that comes after the expiry waits for a refresh before it is sent, also if the token was restored from disk or has
// lived shorter than this time: one that was obtained when it was due already is used to its end. A token that had expired
// when it came from a refresh is sent as it is, since the clock of this machine must be ahead. If the refresh fails, the call is
// not sent.
//
// Without this option the expiry decides nothing: a token that has expired is sent, and its 401 refreshes it.
func WithEarlyRefresh(before time.Duration) Option {
	return func(i *Interceptor) { i.early = before }
}

// hold lets a request wait for the refresh that it needs, and starts one that it will need soon. It returns the state to send
// the request in.
func (i *Interceptor) hold(ctx context.Context, t *tracked, now Snapshot) (Snapshot, error) {
	expired := expiry.Passed(now.Token, time.Now()) && !t.arrivedExpired(now)

	switch {
	case now.Refreshing && (expired || !now.Early):
		return t.refreshSince(ctx, now.Generation, ask{})
	case now.Refreshing:
		return now, nil
	case i.early > 0 && expired:
		return t.refreshSince(ctx, now.Generation, ask{})
	case i.early > 0 && t.isDue(now, i.early):
		t.refreshBeside(ctx, now.Generation)
	}
	return now, nil
}

// isDue reports whether the token is in the last part of its life, in which it is refreshed early. A token that was obtained in
// that part already never is: each refresh could bring another such token.
func (t *tracked) isDue(s Snapshot, before time.Duration) bool {
	if !expiry.Within(s.Token, before) {
		return false
	}
	leftAtFirst, _ := expiry.Left(s.Token, t.obtained(s))
	return leftAtFirst > before
}

// refreshBeside starts an early refresh, which nobody waits for, unless one runs already or has failed just now.
func (t *tracked) refreshBeside(ctx context.Context, seen Generation) {
	if t.isNew || !t.beside.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)

	go func() {
		pause := earlyPause // also for a session that ends this goroutine
		defer func() {
			if pause == 0 {
				t.beside.Store(false)
				return
			}
			time.AfterFunc(pause, func() { t.beside.Store(false) })
		}()

		if _, err := t.refreshSince(ctx, seen, ask{early: true}); err == nil {
			pause = 0
		}
	}()
}
