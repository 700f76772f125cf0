package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle/store"
)

// shortly is a time after which what waits has had its chance to go wrong.
const shortly = 50 * time.Millisecond

// waitShortly gives what is tested that chance. The kit knows nothing of it but its methods: no event
// tells that a caller waits in one of them, or that it will do nothing more.
func waitShortly() { time.Sleep(shortly) }

func quote(data []byte) string { return strconv.Quote(string(data)) }

func lockExcludes(s *storage) {
	shared := s.open()
	var inside, entered atomic.Int32
	var all sync.WaitGroup

	for i := range 6 {
		p := shared
		if i%2 > 0 {
			p = s.open()
		}
		all.Go(func() {
			for range 5 {
				lock, err := p.Lock(s.context())
				if err != nil {
					s.Errorf("Lock: %v", err)
					return
				}

				entered.Add(1)
				if others := inside.Add(1) - 1; others > 0 {
					s.Errorf("%d other holders have the lock at the same time", others)
				}
				if err := lock.Held(); err != nil {
					s.Errorf("Held: %v", err)
				}

				// The others have a moment to come in, where they must not.
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				if err := lock.Unlock(); err != nil {
					s.Errorf("Unlock: %v", err)
				}
			}
		})
	}

	all.Wait()
	if entered.Load() != 30 && !s.Failed() {
		s.Errorf("the lock was taken %d times, and 30 are due", entered.Load())
	}
}

func lockBusy(s *storage) {
	p := s.open()
	s.locked(p, func() {
		for _, waiter := range []store.Persister{p, s.open()} {
			s.wantBusy(waiter, aDeadline)
			s.wantBusy(waiter, aCancellation)
		}
	})
}

// ending makes a context that ends shortly.
type ending func(parent context.Context) (context.Context, context.CancelFunc)

func aDeadline(parent context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(parent, shortly)
}

func aCancellation(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	timer := time.AfterFunc(shortly, func() { cancel(errors.New("the caller has given up")) })
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// wantBusy wants that Lock waits until its context ends, and no longer.
func (s *storage) wantBusy(p store.Persister, ends ending) {
	s.Helper()
	s.within(patience/2, "Lock, while another holder has the lock", func() error {
		// On a busy machine the context could end before Lock begins, if it were made any earlier.
		ctx, cancel := ends(s.T.Context())
		defer cancel()

		lock, err := p.Lock(ctx)
		switch {
		case err == nil:
			_ = lock.Unlock()
			return errTwoHolders
		case !errors.Is(err, store.ErrBusy):
			return fmt.Errorf("ErrBusy is due when its context ends, and the error is: %w", err)
		case ctx.Err() == nil:
			return errors.New("ErrBusy came too early")
		}
		return nil
	})
}

// errTwoHolders is the failure of a Lock that excludes nobody.
var errTwoHolders = errors.New("the caller got the lock, and another holder has it")

func lockAfterBusy(s *storage) {
	p, waiter := s.open(), s.open()
	s.locked(p, func() {
		for range 3 {
			s.wantBusy(waiter, aDeadline)
		}
	})
	for _, next := range []store.Persister{s.open(), waiter, p} {
		s.locked(next, func() {})
	}
}

func lockHandedOn(s *storage) {
	p := s.open()
	var waiters sync.WaitGroup
	var got atomic.Int32
	s.locked(p, func() {
		for _, waiter := range []store.Persister{p, s.open(), s.open()} {
			waiters.Go(func() {
				lock, err := waiter.Lock(s.context())
				if err != nil {
					s.Errorf("Lock: %v", err)
					return
				}
				got.Add(1)
				_ = lock.Unlock()
			})
		}

		waitShortly()
		if got.Load() > 0 {
			s.Errorf("%d waiters got the lock of another holder", got.Load())
		}
	})
	waiters.Wait()
}

func lockStaysHeld(s *storage) {
	p := s.open()
	lock, err := p.Lock(s.context())
	if err != nil {
		s.Fatalf("Lock: %v", err)
	}

	// Neither another lock's end nor any other operation releases it.
	if err := p.Save(s.context(), nil, []byte("a session")); err != nil {
		s.Errorf("Save: %v", err)
	}
	if err := p.Delete(s.context(), []byte("a session")); err != nil {
		s.Errorf("Delete: %v", err)
	}
	if err := lock.Held(); err != nil {
		s.Errorf("Held: %v", err)
	}
	s.wantBusy(s.open(), aDeadline)

	if err := lock.Unlock(); err != nil {
		s.Errorf("Unlock: %v", err)
	}
	s.locked(s.open(), func() {})
}

func unlockTwice(s *storage) {
	p := s.open()
	first, err := p.Lock(s.context())
	if err != nil {
		s.Fatalf("Lock: %v", err)
	}
	if err := first.Unlock(); err != nil {
		s.Fatalf("Unlock: %v", err)
	}

	for _, next := range []store.Persister{p, s.open()} {
		s.locked(next, func() {
			// Whether that is an error is not said.
			_ = first.Unlock()
			s.wantBusy(s.open(), aDeadline)
		})
	}
}

// changesUnderLock counts in the session's data, as the refreshes of many holders do.
func changesUnderLock(s *storage) {
	const holders, changes = 4, 10
	shared := s.open()
	var all sync.WaitGroup
	for i := range holders {
		p := shared
		if i%2 > 0 {
			p = s.open()
		}
		all.Go(func() {
			for range changes {
				if !s.countUp(p) {
					return
				}
			}
		})
	}
	all.Wait()

	if got := len(s.load(shared)); got != holders*changes && !s.Failed() {
		s.Errorf("%d holders made %d changes each under the lock, and %d of them are saved",
			holders, changes, got)
	}
}

func (s *storage) countUp(p store.Persister) bool {
	ctx := s.context()
	lock, err := p.Lock(ctx)
	if err != nil {
		s.Errorf("Lock: %v", err)
		return false
	}
	old, err := p.Load(ctx)
	if err == nil {
		err = p.Save(ctx, old, append(slices.Clip(old), 'x'))
	}
	if err != nil {
		s.Errorf("a change under the lock: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		s.Errorf("Unlock: %v", err)
	}
	return err == nil
}
