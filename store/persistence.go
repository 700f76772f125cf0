package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
)

// persistence is the link between a store and its Persister. It knows which part of the memory's
// session is not saved yet. A store without a Persister has none, and the methods of a nil
// persistence do nothing.
type persistence struct {
	persister Persister
	holding   holding
	report    func(error)
	limit     time.Duration // for one operation of the storage
	client    *axle.Client  // whose cookies are saved; nil: none are

	// step has a value in it while the record is read and changed, so that one read and its change
	// belong together. Those who wait for it give up when their context ends.
	step chan struct{}

	stopWatching func()

	// open ends when the store is closed. It bounds the work that no caller waits for.
	open  context.Context
	close context.CancelFunc

	// The fields below are guarded by the store's lock.

	// login is the login that the memory has, as the record names it. It is empty for a session
	// that has never been saved, and for one that has ended.
	login string

	// counter and refreshes are those of the newest record of the login that the memory knows. If
	// counter is zero, the login has no record yet.
	counter, refreshes uint64

	unsaved bool   // the memory has a login, or a change of it, that the record lacks
	edits   uint64 // counts what there was to save

	// ended are the last logins that have ended in this store, by a logout or by the next login. The
	// memory never adopts them again, since a save may reach the storage late. If leftover is true, the
	// record may be one of them, and it is to be deleted.
	ended    []ending
	leftover bool

	// last is the token of a record that was deleted, if another holder had refreshed it.
	last *oauth2.Token

	// unsent is the last intent whose refresh token was not sent, because the save of the intent
	// returned an error. The record may have it nevertheless. It is nil if there was none.
	unsent *intent

	spending *refresh // the refresh that alone changes the token; nil: none
	trouble  error    // the last failure to save; nil if everything is saved
	saving   bool     // a goroutine tries again to save
	looking  bool     // a goroutine reads the record, since it may have changed
	lookMore bool     // the record may have changed again
}

// saved is the record as it was read. The record is nil if nothing is saved.
type saved struct {
	data   []byte
	record *record
	lost   bool // the storage has lost the record by itself
}

// isOf reports whether the record is that of a login.
func (at saved) isOf(login string) bool { return at.record != nil && at.record.Login == login }

// ending is a login that has ended in this store.
type ending struct {
	login     string
	refreshes uint64 // that the memory knew
}

// maxEnded is how many endings are kept. Only a save that is on its way for a long time needs more
// than one.
const maxEnded = 8

// moveOn notes that the user leaves the login, for a new one or for none. The lock is held.
func (p *persistence) moveOn(ended bool) {
	if p == nil {
		return
	}
	if p.login != "" {
		p.ended = append(p.ended, ending{p.login, p.refreshes})
		p.ended = p.ended[max(0, len(p.ended)-maxEnded):]
		p.leftover = true
	}

	p.forget()
	if !ended {
		p.login = newLoginID()
		p.edit()
	}
}

// forget notes that the memory has no login. The lock is held.
func (p *persistence) forget() {
	p.login, p.counter, p.refreshes, p.unsaved = "", 0, 0, false
}

// edit notes that the memory has something that the record lacks. The lock is held.
func (p *persistence) edit() {
	if p != nil && p.login != "" {
		p.unsaved = true
		p.edits++
	}
}

// endingOf returns the ending of the record's login, or nil if it has not ended in this store. The
// lock is held.
func (p *persistence) endingOf(at saved) *ending {
	for i := range p.ended {
		if at.isOf(p.ended[i].login) {
			return &p.ended[i]
		}
	}
	return nil
}

// isOlder reports whether the record is an older one of the memory's login. That is so if the
// storage went back to an older state. The lock is held.
func (p *persistence) isOlder(at saved) bool {
	if !at.isOf(p.login) {
		return false
	}
	r := at.record
	return r.Refreshes < p.refreshes || r.Refreshes == p.refreshes && r.Counter < p.counter
}

// know notes the position of the record that the memory has now. The lock is held.
func (p *persistence) know(r *record) {
	p.login, p.counter, p.refreshes = r.Login, r.Counter, r.Refreshes
}

// isBehind reports whether the storage lacks something that the memory has. The lock is held.
func (p *persistence) isBehind() bool { return p.unsaved || p.leftover }

// load reads the record.
func (p *persistence) load(ctx context.Context) (saved, error) {
	data, err := future.Go(func() ([]byte, error) { return p.persister.Load(ctx) }).Await(ctx)
	if errors.Is(err, ErrLost) {
		return saved{lost: true}, nil
	}
	if err != nil {
		return saved{}, storageError("reading", err)
	}
	r, err := decodeRecord(data)
	if err != nil {
		return saved{}, storageError("reading", err)
	}
	return saved{data: data, record: r}, nil
}

// write replaces the record that was read. A nil next deletes it.
func (p *persistence) write(ctx context.Context, at saved, next *record) (saved, error) {
	var data []byte
	if next != nil {
		var err error
		if data, err = next.encode(); err != nil {
			return saved{}, err
		}
	}

	_, err := future.Go(func() (struct{}, error) {
		if data == nil {
			return struct{}{}, p.persister.Delete(ctx, at.data)
		}
		return struct{}{}, p.persister.Save(ctx, at.data, data)
	}).Await(ctx)
	if err != nil {
		return saved{}, storageError("writing", err)
	}
	return saved{data: data, record: next}, nil
}

// maxConflicts is how often a change of the record is tried again because somebody else has changed
// the record without the lock.
const maxConflicts = 10

// change reads the record and replaces it by what edit returns. If edit returns the record that it
// was given, nothing is written. The lock of the session is held. Edit may be called more than
// once. Note gets the record as it is saved then, before anybody else can change it through this
// store.
func (p *persistence) change(
	ctx context.Context, edit func(at saved) (*record, error), note func(at saved),
) error {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.leave()

	for conflicts := 0; ; conflicts++ {
		at, err := p.load(ctx)
		if err != nil {
			return err
		}
		next, err := edit(at)
		if err != nil {
			return err
		}

		if next != at.record {
			at, err = p.write(ctx, at, next)
		}
		switch {
		case err == nil:
			note(at)
			return nil
		case !errors.Is(err, ErrConflict), conflicts == maxConflicts:
			return err
		}
	}
}

func (p *persistence) enter(ctx context.Context) error {
	select {
	case p.step <- struct{}{}:
		return nil
	case <-ctx.Done():
		return storageError("waiting for another operation on", context.Cause(ctx))
	}
}

func (p *persistence) leave() { <-p.step }

// storageError returns an error that matches ErrStorage, or ErrBusy if the lock was another's.
func storageError(operation string, err error) error {
	if errors.Is(err, ErrBusy) || errors.Is(err, ErrStorage) {
		return err
	}
	return fmt.Errorf("%w: %s the saved session: %w", ErrStorage, operation, err)
}

// isNotSent reports whether a refresh failed before its refresh token was sent, because of the lock
// or of the storage. Such a failure never ends the session.
func isNotSent(err error) bool { return errors.Is(err, ErrBusy) || errors.Is(err, ErrStorage) }

// contained calls code of the user's type, or of a Persister. A panic or a Goexit is an error.
func contained(work func() error) error {
	_, err := future.Go(func() (struct{}, error) { return struct{}{}, work() }).Await(context.Background())
	return err
}
