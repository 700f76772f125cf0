package store

import (
	"context"
	"fmt"
	"time"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/expiry"
)

const (
	// keepFreshPause is how long KeepFresh waits after the first failure. The pause doubles with each further one.
	keepFreshPause = 10 * time.Second

	// keepFreshLook is how long KeepFresh sleeps at most before it looks at the wall clock again, and its longest pause after
	// failures. Timers run by the monotonic clock, which stands still while a laptop sleeps.
	keepFreshLook = time.Minute

	// keepFreshLeast is the least time between a refresh and the next one, for tokens that live hardly longer than a moment.
	keepFreshLeast = time.Second
)

// KeepFresh refreshes the session's token whenever it is within before of its expiry, by the wall clock, so that a program that is
// idle for a while finds it fresh. It returns when ctx ends, with ctx's cause, or when the session ends or another login takes
// its place, with auth.ErrSessionChanged: call it again after the next Login. It is meant for a goroutine of its own.
//
// The refreshes run beside the calls, which go out with the current token until that has expired. A failed one costs no call, is
// tried again after a pause, of ten seconds and then up to a minute, and ends the session only if the server refused.
//
// A token whose whole life is not longer than before is refreshed when half of that life is over. A token without an expiry, and
// one that came expired from a refresh, since the clock is ahead, are left to the 401s: KeepFresh waits for another. A before
// of zero or less is an error, and so is a ctx from within a refresh of the same session.
//
// Several KeepFresh of one session share their refreshes.
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

	// pause is the one after the last failure, and resume is its end.
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

		// Whether ctx or the session has ended meanwhile, the next turn tells.
		if _, err := s.refreshSince(ctx, true, now.Generation); err != nil {
			pause = min(max(2*pause, keepFreshPause), keepFreshLook)
			resume = time.Now().Round(0).Add(pause)
		} else {
			pause, resume = 0, time.Time{}
		}
	}
}

// dueBy returns when the session's token is to be refreshed. It is not known for a token that does not tell.
func dueBy(now auth.Snapshot, before time.Duration) (due time.Time, known bool) {
	left, known := expiry.Left(now.Token, now.Obtained)
	if !known {
		return time.Time{}, false
	}

	// A login may bring a token that it had long before: only of a refresh's token is the whole life known.
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

// sleep returns after that time, and before that when ctx ends, when the state changes, or when the wall clock is to be looked at.
// A token whose expiry is not known needs no clock.
func sleep(ctx context.Context, changed <-chan struct{}, known bool, wait time.Duration) {
	var over <-chan time.Time
	if known {
		timer := time.NewTimer(min(wait, keepFreshLook))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-over:
	}
}
