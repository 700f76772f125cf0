package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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
		if pauseFor(p.open, jittered(pause)); p.open.Err() != nil {
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
			pauseFor(p.open, jittered(pause))
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

// pauseFor returns after the time, or when ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
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

// reconcile makes the memory and the record equal. A login, logout or change of this store that is
// not saved yet is written, if mayWrite is true. Then the lock of the session is held. Anything
// else in the record comes from another holder, and the memory adopts it.
func (s *UserStore[U]) reconcile(ctx context.Context, mayWrite bool) error {
	p := s.persistence
	var written bool
	var edits uint64

	return p.change(ctx, func(at saved) (*record, error) {
		user, err := decodeUser[U](at.record)
		if err != nil {
			return nil, err
		}

		s.settling.Lock()
		s.adoptCookies(at)
		s.mu.Lock()
		before := s.version
		s.adopt(at, user)
		next, state := s.toWrite(at), s.state
		changed := s.version != before
		edits = p.edits
		s.mu.Unlock()
		s.settling.Unlock()
		if changed {
			go s.deliver()
		}

		written = mayWrite && next != at.record
		if !written {
			return at.record, nil
		}
		if next == nil {
			return nil, nil
		}

		return next, s.complete(at, next, state.User)
	}, func(at saved) {
		// What has changed since the state was read is still to be saved.
		s.mu.Lock()
		defer s.mu.Unlock()
		p.noteWritten(at, written && edits == p.edits)
	})
}

// complete adds the user and the cookies to the record that is to replace the one that was read. No
// lock of the store is held, since the user's MarshalJSON and the cookie jar may be the user's code.
func (s *UserStore[U]) complete(at saved, next *record, user *U) error {
	// The cookies belong to the token. A change of the user alone keeps those of the record.
	if !at.isOf(next.Login) || at.record.Refreshes < next.Refreshes {
		if list, ok := s.persistence.readCookies(nil); ok {
			next.Cookies = list
		}
	}

	var err error
	next.User, err = encodeUser(user)
	return err
}

// noteWritten notes what is saved now. If complete is true, that is all that the memory has. The
// lock is held.
func (p *persistence) noteWritten(at saved, complete bool) {
	if at.isOf(p.login) && at.record.Counter > p.counter && at.record.Refreshes == p.refreshes {
		p.know(at.record)
	}
	if complete && at.isOf(p.login) {
		p.unsaved = false
	}
	if p.endingOf(at) == nil {
		p.leftover = false
	}
	if !p.isBehind() {
		p.trouble = nil
	}
}

// toWrite returns the record that is to be saved in place of the one that was read: the same one if
// the storage lacks nothing, and nil if the record is to be deleted. See complete for what it lacks.
// The lock is held.
func (s *UserStore[U]) toWrite(at saved) *record {
	p := s.persistence
	ended := p.endingOf(at)
	switch {
	case p.unsaved && (p.counter == 0 || at.lost || at.isOf(p.login)):
		return s.recordOver(at)
	case (at.lost || ended != nil) && p.login != "":
		p.edit()
		return s.recordOver(at)
	case ended != nil:
		if at.record.Refreshes > ended.refreshes {
			p.last = at.record.Token
		}
		return nil
	}
	return at.record
}

// recordOver returns the memory's session as the record that follows the one that was read. The
// lock is held.
func (s *UserStore[U]) recordOver(at saved) *record {
	p := s.persistence
	if at.isOf(p.login) && at.record.Refreshes > p.refreshes {
		// This store's own refresh has just saved a new token, and it publishes the token next.
		next := *at.record
		next.Counter++
		return &next
	}

	next := &record{
		Login:     p.login,
		Counter:   p.counter + 1,
		Refreshes: p.refreshes,
		Token:     s.state.Token,
		Obtained:  s.login.obtained,
	}

	// A refresh that is under way keeps its intent. It has the same token to spend.
	if at.isOf(p.login) {
		next.Counter = max(p.counter, at.record.Counter) + 1
		next.Cookies = at.record.Cookies
		if at.record.Refreshes == p.refreshes {
			next.Spending = at.record.Spending
		}
	}
	return next
}

// difference says how the record differs from what the memory has.
type difference int

const (
	noDifference difference = iota
	endedElsewhere
	endedHere          // the record is that of a login that has ended in this store
	otherLogin         // another holder has logged in
	wentBack           // the storage went back to an older record of the login
	refreshedElsewhere // another holder has refreshed the login
	changedElsewhere   // another holder has changed the user, or written an intent
)

// differenceOf compares the record with the memory. The lock is held.
func (s *UserStore[U]) differenceOf(at saved) difference {
	p := s.persistence
	switch r := at.record; {
	case at.lost:
		return noDifference

	case r == nil:
		// A login without a record has not been saved yet. It has not ended elsewhere.
		if p.login != "" && p.counter > 0 {
			return endedElsewhere
		}
		return noDifference

	case p.endingOf(at) != nil:
		return endedHere

	case r.Login != p.login:
		// The login of this store may be newer, and is saved next.
		if p.unsaved && p.counter == 0 {
			return noDifference
		}
		return otherLogin

	case p.isOlder(at):
		return wentBack

	case r.Counter <= p.counter:
		return noDifference

	case r.Refreshes > p.refreshes:
		// The record may be the one that this store's own refresh has just saved. The refresh
		// publishes it itself.
		if p.spending != nil && p.spending == s.login.refresh {
			return noDifference
		}
		return refreshedElsewhere
	}
	return changedElsewhere
}

// adopt takes over what another holder has saved: a newer token or user of the same login, another
// login, or the end of the login. Both locks are held.
func (s *UserStore[U]) adopt(at saved, user *U) {
	p := s.persistence
	switch r := at.record; s.differenceOf(at) {
	case endedElsewhere:
		s.leave(login{ended: true})
		s.publish(State[U]{})
		p.forget()

	case endedHere:
		p.leftover = true

	case otherLogin:
		s.leave(login{obtained: r.Obtained, refreshed: r.Refreshes > 0})
		s.publish(State[U]{User: user, Token: r.Token})
		p.know(r)
		p.unsaved = false

	case wentBack:
		p.edit()

	case refreshedElsewhere:
		s.adoptChange(r, user, true)

	case changedElsewhere:
		s.adoptChange(r, user, false)
	}
}

// adoptChange takes over a newer record of the same login. Both locks are held.
func (s *UserStore[U]) adoptChange(r *record, user *U, refreshed bool) {
	p := s.persistence
	next := s.state
	if !p.unsaved {
		next.User = user
	}
	p.know(r)
	if !refreshed {
		s.publish(next)
		return
	}

	own := s.login.refresh
	next.Token = r.Token
	s.generation.Refresh++
	s.login = login{obtained: r.Obtained, refreshed: true, refresh: own}
	if own == nil || own.phase != queued {
		s.publish(next)
		return
	}

	// A refresh that still waits for the lock is not needed any more. Whoever has the lock may have
	// been stopped with it.
	next.CheckingAuth = false
	s.login.refresh = nil
	s.publish(next)
	own.wait.resolve(s.snapshot())
}

// decodeUser reads the user of a record, which may be nil.
func decodeUser[U any](r *record) (*U, error) {
	if r == nil || len(r.User) == 0 {
		return nil, nil
	}
	user := new(U)
	if err := contained(func() error { return json.Unmarshal(r.User, user) }); err != nil {
		return nil, fmt.Errorf("%w: %w: the saved user is no %T", ErrStorage, ErrForeign, *user)
	}
	return user, nil
}

func encodeUser[U any](user *U) (json.RawMessage, error) {
	if user == nil {
		return nil, nil
	}
	var data []byte
	err := contained(func() (err error) { data, err = json.Marshal(user); return err })
	if err != nil {
		return nil, fmt.Errorf("%w: the user cannot be encoded: %w", ErrStorage, err)
	}
	return data, nil
}

// contained calls code of the user's type, or of a Persister. A panic or a Goexit is an error.
func contained(work func() error) error {
	_, err := future.Go(func() (struct{}, error) { return struct{}{}, work() }).Await(context.Background())
	return err
}
