package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/axlehttp/axle/store"
)

// Persister tests a store.Persister against every sentence of its documentation. Each sentence is a
// subtest that is named after it.
//
// A subtest calls open more than once, with its own t. All Persisters of one t must belong to the
// same session, as those of several processes do, and every t has a session of its own, of which
// nothing is saved yet. So open makes the session's name out of t.Name(), or puts the session into
// the folder that [Folder] returns for t:
//
//	sessiontest.Persister(t, func(t *testing.T) store.Persister {
//		return store.File(filepath.Join(sessiontest.Folder(t), "session.json"))
//	})
//
// Open registers with t.Cleanup what is to be closed. The subtests run one after the other, and take
// a few seconds together. If the session is in Folder, one of them starts the test binary again, as
// another holder of the lock, and kills it.
func Persister(t *testing.T, open func(t *testing.T) store.Persister) {
	t.Helper()
	for _, rule := range persisterRules {
		t.Run(rule.name, func(t *testing.T) {
			s := &storage{T: t, open: func() store.Persister { return openPersister(t, open) }}
			if os.Getenv(holderVariable) == t.Name() {
				holdUntilKilled(s)
				return
			}
			rule.test(s)
		})
	}
}

func openPersister(t *testing.T, open func(t *testing.T) store.Persister) store.Persister {
	t.Helper()
	p := open(t)
	if p == nil {
		t.Fatal("open returned no Persister")
	}
	return p
}

// persisterRules are the sentences of store.Persister's documentation.
var persisterRules = []struct {
	name string
	test func(*storage)
}{
	{"Load returns nil if nothing is saved", loadOfNothing},
	{"Load returns what Save was given", loadOfSaved},
	{"Load does not wait for the lock", loadBesideLock},
	{"Load never returns half of what Save was given", loadBesideSave},
	{"Save replaces the data if it is equal to old", saveOverEqual},
	{"Save changes nothing if something else is saved", saveOverOther},
	{"Save has saved for all holders when it returns", saveIsSeen},
	{"Delete removes the data if it is equal to old", deleteEqual},
	{"Delete changes nothing if something else is saved", deleteOther},
	{"Delete of nothing with a nil old is no error", deleteNothing},
	{"Lock is held by one caller alone", lockExcludes},
	{"Lock returns ErrBusy if ctx ends while another holder has it", lockBusy},
	{"Lock of a waiter that has given up stays free", lockAfterBusy},
	{"Lock goes to a waiter when it is released", lockHandedOn},
	{"Lock is held until Unlock", lockStaysHeld},
	{"Lock of a process that has died becomes free", lockOfDead},
	{"Unlock leaves a lock alone that is another's by now", unlockTwice},
	{"Save and Lock together lose no change", changesUnderLock},
	{"Watch reports each change within a second", watchChanges},
	{"Watch reports nothing after stop has returned", watchStopped},
	{"Watch returns at once", watchReturns},
	{"All methods return when their context ends", endedContext},
	{"All methods may be called by many goroutines at once", everythingAtOnce},
}

// storage is the session of one subtest.
type storage struct {
	*testing.T
	open func() store.Persister
}

// patience is the time for what the documentation sets no limit to, on a machine that is busy.
var patience = 10 * time.Second

// context returns a context that ends soon enough for a failure to be told.
func (s *storage) context() context.Context {
	ctx, cancel := context.WithTimeout(s.T.Context(), patience)
	s.Cleanup(cancel)
	return ctx
}

func (s *storage) load(p store.Persister) []byte {
	s.Helper()
	data, err := p.Load(s.context())
	if err != nil {
		s.Fatalf("Load: %v", err)
	}
	return data
}

// wantSaved wants that data is saved, and that nothing is saved if it is nil.
func (s *storage) wantSaved(p store.Persister, data []byte) {
	s.Helper()
	got := s.load(p)
	switch {
	case data == nil && got != nil:
		s.Errorf("Load returned %s, and nothing is saved", shown(got))
	case data != nil && got == nil:
		s.Errorf("Load returned nil, and %s is saved", shown(data))
	case !bytes.Equal(got, data):
		s.Errorf("Load returned %s, and %s is saved", shown(got), shown(data))
	}
}

// shown is data as a failure quotes it.
func shown(data []byte) string {
	const most = 40
	if len(data) > most {
		return quote(data[:most]) + "…"
	}
	return quote(data)
}

// locked calls fn while p has the lock, as the store does.
func (s *storage) locked(p store.Persister, fn func()) {
	s.Helper()
	lock, err := p.Lock(s.context())
	if err != nil {
		s.Fatalf("Lock: %v", err)
	}
	defer func() {
		if err := lock.Unlock(); err != nil {
			s.Errorf("Unlock: %v", err)
		}
	}()
	fn()
}

// save replaces old by data, under the lock.
func (s *storage) save(p store.Persister, old, data []byte) {
	s.Helper()
	s.locked(p, func() {
		if err := p.Save(s.context(), old, data); err != nil {
			s.Fatalf("Save of %s over %s: %v", shown(data), shown(old), err)
		}
	})
}

func (s *storage) delete(p store.Persister, old []byte) {
	s.Helper()
	s.locked(p, func() {
		if err := p.Delete(s.context(), old); err != nil {
			s.Fatalf("Delete of %s: %v", shown(old), err)
		}
	})
}

// within fails if fn takes longer than the limit, or returns an error. Since fn may outlive the test,
// it must not use t.
func (s *storage) within(limit time.Duration, what string, fn func() error) {
	s.Helper()
	done := make(chan error, 1)
	go func() { done <- fn() }()

	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			s.Errorf("%s: %v", what, err)
		}
	case <-timer.C:
		s.Fatalf("%s has not returned after %v", what, limit)
	}
}

// contents are data that storages are known to spoil.
var contents = []struct {
	name string
	data []byte
}{
	{"a short text", []byte("a session")},
	{"the JSON of a session", []byte(`{"format":"axle-session","token":{"access_token":"ä\u0000"}}` + "\n")},
	{"spaces and lines at the ends", []byte(" \r\n\ta session\n\n ")},
	{"one zero byte", []byte{0}},
	{"every byte, which is no UTF-8", everyByte()},
	{"100 KB of one letter", bytes.Repeat([]byte("a"), 100_000)},
	{"100 KB of every byte", bytes.Repeat(everyByte(), 400)},
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func loadOfNothing(s *storage) {
	p := s.open()
	s.wantSaved(p, nil)

	// That holds for a session of which the lock has been taken, too.
	s.locked(p, func() { s.wantSaved(p, nil) })
	s.wantSaved(s.open(), nil)
}

func loadOfSaved(s *storage) {
	p := s.open()
	var saved []byte
	for _, c := range contents {
		s.locked(p, func() {
			if err := p.Save(s.context(), saved, c.data); err != nil {
				s.Fatalf("Save of %s: %v", c.name, err)
			}
		})
		saved = c.data
		if got := s.load(s.open()); !bytes.Equal(got, saved) {
			s.Errorf("Save was given %s, %d bytes, and Load returned %d bytes that differ",
				c.name, len(saved), len(got))
		}
	}

	// A Persister may refuse to save empty data. If it does not, empty data is not nothing.
	s.locked(p, func() {
		if p.Save(s.context(), saved, []byte{}) != nil {
			return
		}
		if got := s.load(p); got == nil || len(got) > 0 {
			s.Errorf("Save was given empty data, and Load returned %s, nil: %t", shown(got), got == nil)
		}
	})
}

func loadBesideLock(s *storage) {
	holder, reader := s.open(), s.open()
	s.save(holder, nil, []byte("a session"))
	s.locked(holder, func() {
		for _, p := range []store.Persister{holder, reader} {
			s.within(patience/2, "Load beside a holder of the lock", func() error {
				_, err := p.Load(s.T.Context())
				return err
			})
			s.wantSaved(p, []byte("a session"))
		}
	})
}

func loadBesideSave(s *storage) {
	// Two sessions of different lengths, which no mixture of them is equal to.
	a, b := bytes.Repeat([]byte("a"), 50_000), bytes.Repeat([]byte("b"), 20_000)
	writer := s.open()
	s.save(writer, nil, a)

	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for range 4 {
		reader := s.open()
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := reader.Load(s.T.Context())
				if err != nil {
					s.Errorf("Load beside a Save: %v", err)
					return
				}
				if !bytes.Equal(got, a) && !bytes.Equal(got, b) {
					s.Errorf("Load beside a Save returned %s, %d bytes, which nobody has saved",
						shown(got), len(got))
					return
				}

				// A page has one thread. The browser grants the lock when no goroutine runs.
				if runtime.GOOS == "js" {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}

	// A slow storage gets fewer saves.
	end := time.Now().Add(2 * time.Second)
	for range 20 {
		if time.Now().After(end) {
			break
		}
		s.save(writer, a, b)
		s.save(writer, b, a)
	}
}

func saveOverEqual(s *storage) {
	first, second := s.open(), s.open()
	s.save(first, nil, []byte("one"))
	s.save(second, []byte("one"), []byte("two"))
	s.save(first, []byte("two"), []byte("two"))
	s.save(first, []byte("two"), []byte("three"))
	s.wantSaved(second, []byte("three"))
}

// others are values of old that are not equal to "a session".
var others = [][]byte{
	nil, {}, []byte("a"), []byte("a session "), []byte("a sessiom"), []byte("another session"),
}

func saveOverOther(s *storage) {
	p := s.open()
	s.locked(p, func() {
		s.wantConflict("Save over nothing", p.Save(s.context(), []byte("a session"), []byte("new")))
	})
	s.wantSaved(p, nil)

	s.save(p, nil, []byte("a session"))
	for _, holder := range []store.Persister{p, s.open()} {
		for _, old := range others {
			s.locked(holder, func() {
				s.wantConflict("Save over a session, with an old of "+shown(old),
					holder.Save(s.context(), old, []byte("new")))
			})
			s.wantSaved(p, []byte("a session"))
		}
	}
}

func (s *storage) wantConflict(what string, err error) {
	s.Helper()
	if !errors.Is(err, store.ErrConflict) {
		s.Errorf("%s: the error is %v, and ErrConflict is due", what, err)
	}
}

func saveIsSeen(s *storage) {
	p, reader := s.open(), s.open()
	var old []byte
	for text := range strings.FieldsSeq("one two three four five") {
		data := []byte(text)
		s.locked(p, func() {
			if err := p.Save(s.context(), old, data); err != nil {
				s.Fatalf("Save: %v", err)
			}
			s.wantSaved(reader, data)
			s.wantSaved(s.open(), data)
		})
		old = data
	}
}

func deleteEqual(s *storage) {
	first, second := s.open(), s.open()
	for range 2 {
		s.save(first, nil, []byte("a session"))
		s.delete(second, []byte("a session"))
		s.wantSaved(first, nil)
		s.wantSaved(second, nil)
		s.wantSaved(s.open(), nil)
	}
}

func deleteOther(s *storage) {
	p := s.open()
	s.locked(p, func() {
		s.wantConflict("Delete of a session where there is none",
			p.Delete(s.context(), []byte("a session")))
	})

	s.save(p, nil, []byte("a session"))
	for _, holder := range []store.Persister{p, s.open()} {
		for _, old := range others {
			s.locked(holder, func() {
				s.wantConflict("Delete with an old of "+shown(old), holder.Delete(s.context(), old))
			})
			s.wantSaved(p, []byte("a session"))
		}
	}
}

func deleteNothing(s *storage) {
	p := s.open()
	s.delete(p, nil)
	s.save(p, nil, []byte("a session"))
	s.delete(p, []byte("a session"))
	s.delete(p, nil)
	s.wantSaved(p, nil)
}

func endedContext(s *storage) {
	p, holder := s.open(), s.open()
	s.save(p, nil, []byte("a session"))
	s.locked(holder, func() {
		ctx, cancel := context.WithCancel(s.T.Context())
		cancel()

		// Each of them may fail or succeed, but for Lock.
		s.within(patience/2, "Load with a context that has ended", func() error {
			_, _ = p.Load(ctx)
			return nil
		})
		s.within(patience/2, "Save with a context that has ended", func() error {
			_ = holder.Save(ctx, []byte("a session"), []byte("a session"))
			return nil
		})
		s.within(patience/2, "Delete with a context that has ended", func() error {
			_ = holder.Delete(ctx, []byte("another session"))
			return nil
		})
		s.within(patience/2, "Lock with a context that has ended", func() error {
			lock, err := p.Lock(ctx)
			if err == nil {
				_ = lock.Unlock()
				return errTwoHolders
			}
			return nil
		})
	})
}

func everythingAtOnce(s *storage) {
	var all sync.WaitGroup
	shared := s.open()
	for i := range 8 {
		p := shared
		if i%2 > 0 {
			p = s.open()
		}
		all.Go(func() {
			stop, err := p.Watch(func() {})
			if err != nil {
				s.Errorf("Watch: %v", err)
				return
			}
			defer stop()

			for range 5 {
				if !s.changeOnce(p) {
					return
				}
			}
		})
	}
	all.Wait()
}

// changeOnce saves a session, or deletes the one that is saved. Any goroutine may call it.
func (s *storage) changeOnce(p store.Persister) bool {
	ctx := s.context()
	lock, err := p.Lock(ctx)
	if err != nil {
		s.Errorf("Lock: %v", err)
		return false
	}
	old, err := p.Load(ctx)
	switch {
	case err != nil:
	case old == nil:
		err = p.Save(ctx, nil, []byte("a session"))
	default:
		err = p.Delete(ctx, old)
	}
	if err != nil {
		s.Errorf("a change under the lock: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		s.Errorf("Unlock: %v", err)
	}
	return err == nil
}
