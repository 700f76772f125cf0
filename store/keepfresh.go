package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/expiry"
)

const (
	// keepFreshPause is the pause after the first failure. It doubles with each further failure.
	keepFreshPause = 10 * time.Second

	// keepFreshSleep is the longest time that KeepFresh sleeps before it looks at the wall clock
	// again, and its longest pause after failures. Timers run by the monotonic clock, which stops
	// while a laptop sleeps.
	keepFreshSleep = time.Minute

	// keepFreshLeast is the shortest time between two refreshes, for tokens that expire in a
	// moment.
	keepFreshLeast = time.Second

	// keepFreshSpread is the divisor of the time for which a token is to be used: so much of it may
	// come off at random.
	keepFreshSpread = 10
)

// KeepFresh refreshes the session's token when the time before its expiry has come, by the wall
// clock. So a program that is idle for a while has a fresh token afterwards. It is meant for a
// goroutine of its own. Several KeepFresh of one session share their refreshes.
//
// It returns the cause of ctx when ctx ends. It returns auth.ErrSessionChanged when the session
// ends or another login takes its place. Call it again after the next Login.
//
// The time is drawn at random: up to a tenth of the time for which the token was to be used comes off
// it. So sessions that began together do not refresh together for ever, and of many processes that
// share a session one refreshes, and the others have its token before their own time comes.
//
// Calls do not wait for such a refresh. They go out with the current token until that has expired.
// A failed refresh fails no call. It is tried again after a pause, which grows from ten seconds to
// a minute, and it ends the session only if the server refused.
//
// A token that lives no longer than before is refreshed after half of its life. A token without an
// expiry is not refreshed, nor is one that came expired from a refresh because this machine's clock
// is ahead. KeepFresh waits for another token then.
//
// A before of zero or less is an error, and so is the context of a refresh of the same session.
func (s *UserStore[U]) KeepFresh(ctx context.Context, before time.Duration) error {
	switch {
	case ctx == nil:
		return errNilContext
	case before <= 0:
		return fmt.Errorf("store: KeepFresh: refreshing %v before the expiry is not before it", before)
	case auth.Bypassed(ctx, s):
		return auth.ErrNestedRefresh
	}

	login := s.Snapshot().Generation.Login

	// Each generation with a token draws its own time.
	var drawnFor auth.Generation
	var earlier float64

	// The pause after the last failure, and its end.
	var pause time.Duration
	var resume time.Time

	for {
		s.mu.Lock()
		now, changed := s.snapshot(), s.nextChange()
		s.mu.Unlock()

		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !now.Active || now.Generation.Login != login {
			return auth.ErrSessionChanged
		}
		if now.Generation != drawnFor {
			drawnFor, earlier = now.Generation, rand.Float64() //nolint:gosec // no secret
		}

		due, known := dueBy(now, before, earlier)
		if known && due.Before(resume) {
			due = resume
		}
		if wait := time.Until(due.Round(0)); !known || wait > 0 {
			sleep(ctx, changed, known, wait)
			continue
		}

		// If ctx or the session has ended meanwhile, the next iteration returns.
		if _, err := s.refreshSince(ctx, true, now.Generation); err != nil {
			pause = min(max(2*pause, keepFreshPause), keepFreshSleep)
			resume = time.Now().Round(0).Add(pause)
		} else {
			pause, resume = 0, time.Time{}
		}
	}
}

// dueBy returns the time at which the session's token is to be refreshed. The number earlier, from 0
// to 1, says how much of the most that may come off the time does. The time is not known for a token
// that has no expiry or came expired.
func dueBy(now auth.Snapshot, before time.Duration, earlier float64) (due time.Time, known bool) {
	left, known := expiry.Left(now.Token, now.Obtained)
	if !known || now.Refreshed && left <= 0 {
		return time.Time{}, false
	}

	// A refreshed token that lives no longer than before is used for half of its life. The token of
	// a login may be an old one, whose whole life is not known.
	used := max(left, 0) - before
	if now.Refreshed && used <= 0 {
		used = left / 2
	}
	if used > 0 {
		used -= time.Duration(earlier * float64(used) / keepFreshSpread)
	}
	if now.Refreshed {
		used = max(used, keepFreshLeast)
	}
	return now.Obtained.Round(0).Add(used), true
}

// sleep returns when the time is over, when ctx ends, when the state changes, or when it is time to
// look at the wall clock again. If the time is not known, there is no clock to look at.
func sleep(ctx context.Context, changed <-chan struct{}, known bool, wait time.Duration) {
	var over <-chan time.Time
	if known {
		timer := time.NewTimer(min(wait, keepFreshSleep))
		defer timer.Stop()
		over = timer.C
	}

	select {
	case <-ctx.Done():
	case <-changed:
	case <-over:
	}
}
