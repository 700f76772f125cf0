package store

import (
	"context"
	"fmt"
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
)

// KeepFresh refreshes the session's token when the time before its expiry has come, by the wall
// clock. So a program that is idle for a while has a fresh token afterwards. It is meant for a
// goroutine of its own. Several KeepFresh of one session share their refreshes.
//
// It returns the cause of ctx when ctx ends. It returns auth.ErrSessionChanged when the session
// ends or another login takes its place. Call it again after the next Login.
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

		due, known := dueBy(now, before)
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

// dueBy returns the time at which the session's token is to be refreshed. It is not known for a
// token that has no expiry or came expired.
func dueBy(now auth.Snapshot, before time.Duration) (due time.Time, known bool) {
	left, known := expiry.Left(now.Token, now.Obtained)
	if !known {
		return time.Time{}, false
	}

	// A login may bring an old token, whose whole life is not known. A refresh brings a new one.
	due = now.Token.Expiry.Round(0).Add(-before)
	if !now.Refreshed {
		return due, true
	}

	if left <= 0 {
		return time.Time{}, false
	}
	if left <= before {
		due = now.Obtained.Round(0).Add(left / 2)
	}
	if least := now.Obtained.Round(0).Add(keepFreshLeast); due.Before(least) {
		due = least
	}
	return due, true
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
