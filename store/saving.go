package store

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/axlehttp/axle/internal/delay"
)

// This file saves what the memory has, now and again until it succeeds, and looks at the record when it
// may have changed.

// persist saves what the memory has and the record lacks, under the lock of the session. If that
// fails, the failure is reported, and a goroutine tries again until it succeeds.
func (s *UserStore[U]) persist(ctx context.Context) error {
	p := s.persistence
	if p == nil {
		return nil
	}
	s.mu.Lock()
	behind := p.isBehind()
	s.mu.Unlock()
	if !behind {
		return nil
	}

	err := s.trySave(context.WithoutCancel(ctx))
	if err != nil {
		s.saveLater(err, false)
	}
	return err
}

// trySave takes the lock and saves once.
func (s *UserStore[U]) trySave(ctx context.Context) error {
	p := s.persistence
	if _, err := p.holding.acquire(ctx); err != nil {
		return storageError("locking", err)
	}
	defer p.holding.release()
	return s.reconcile(ctx, true)
}

// The pauses between the attempts of saveLater grow from the first to the last.
const (
	firstSavePause = 50 * time.Millisecond
	lastSavePause  = 30 * time.Second
	lastLookPause  = 5 * time.Second // between two attempts to read
)

// saveLater reports that something could not be saved, and tries again on a goroutine of its own.
// If holds is true, the goroutine takes over a share of the lock, and keeps the lock until
// everything is saved. That is for a rotated token: as long as it is not saved, another holder
// would spend the old one again.
func (s *UserStore[U]) saveLater(failure error, holds bool) {
	p := s.persistence
	s.mu.Lock()
	p.trouble = failure
	alone := !p.saving
	p.saving = true
	s.mu.Unlock()

	p.report(failure)
	if !alone && !holds {
		return
	}
	go func() {
		if holds {
			defer p.holding.release()
		}
		s.saveUntilDone()
	}()
}

// saveUntilDone tries to save until nothing is left to save, or the store is closed.
func (s *UserStore[U]) saveUntilDone() {
	p := s.persistence
	for pause := firstSavePause; ; pause = min(2*pause, lastSavePause) {
		// The holders of many sessions in one storage must not all come back at the same moment.
		if delay.Wait(p.open, jittered(pause)) != nil {
			return
		}

		if err := s.trySave(p.open); err != nil {
			s.mu.Lock()
			p.trouble = err
			s.mu.Unlock()
			p.report(err)
			continue
		}

		s.mu.Lock()
		done := !p.isBehind()
		if done {
			p.saving = false
		}
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// look reads the record on a goroutine of its own, because it may have changed. The Persister's
// Watch calls look.
func (s *UserStore[U]) look() {
	p := s.persistence
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.looking {
		p.lookMore = true
		return
	}

	p.looking = true
	go s.lookUntilDone()
}

// lookUntilDone reads the record until that has succeeded and no change has been reported since, or
// until the store is closed.
func (s *UserStore[U]) lookUntilDone() {
	p := s.persistence
	pause := firstSavePause
	for again := true; again; {
		err := s.reconcile(p.open, false)
		isOpen := p.open.Err() == nil
		if err != nil && isOpen {
			p.report(err)
			_ = delay.Wait(p.open, jittered(pause))
			pause = min(2*pause, lastLookPause)
		}
		s.saveMissing()

		s.mu.Lock()
		again = isOpen && (err != nil || p.lookMore)
		p.lookMore, p.looking = false, again
		s.mu.Unlock()
	}
}

// jittered returns a time from the half of a pause to one and a half of it.
func jittered(pause time.Duration) time.Duration {
	return pause/2 + rand.N(pause) //nolint:gosec // the time of an attempt is no secret
}

// saveMissing saves what a look at the record has shown to be missing there: the storage went back to
// an older state, or a save of a login that has ended arrived late.
func (s *UserStore[U]) saveMissing() {
	p := s.persistence
	s.mu.Lock()
	missing := p.isBehind() && !p.saving && p.open.Err() == nil
	s.mu.Unlock()
	if !missing {
		return
	}
	if err := s.trySave(p.open); err != nil && p.open.Err() == nil {
		s.saveLater(err, false)
	}
}
