package store

import (
	"context"
)

// This file makes the memory and the record equal: it writes what the record lacks, and adopts what
// another holder has saved.

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
		// A change that was made since the state was read is still to be saved.
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
	if complete {
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
	case p.unsaved:
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
		if p.counter > 0 {
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

	case r.Refreshes > p.refreshes:
		// The record may be the one that this store's own refresh has just saved. The refresh
		// publishes it itself.
		if p.spending != nil && p.spending == s.login.refresh {
			return noDifference
		}
		return refreshedElsewhere

	case r.Counter > p.counter:
		return changedElsewhere
	}
	return noDifference
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
