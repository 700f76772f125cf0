package store

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
)

// This file is the refresh of a session that other processes share. It reads top to bottom: take
// the lock, read the record again, write the intent, spend the refresh token, and save the outcome.

// outcome is the result of a refresh that did not fail.
type outcome struct {
	token *oauth2.Token // that of the RefreshFunc; nil keeps the old one

	// adopted says that another holder has refreshed. The memory has its token already, and nothing
	// was sent.
	adopted bool

	// next is the record that was saved, or that could not be saved because of unsaved. It is nil
	// for a store without a Persister, and if the login is over.
	next    *record
	unsaved error
}

// spend refreshes a persisted session. If it has taken the lock, it sets r.locked, and the lock is
// kept until the refresh has settled.
func (s *UserStore[U]) spend(ctx context.Context, r *refresh) (outcome, error) {
	p := s.persistence
	lock, err := p.holding.acquire(ctx)
	if err != nil {
		return outcome{}, storageError("locking", err)
	}
	r.locked = true

	// Another holder may have refreshed, logged in or logged out. What this store could not save
	// before is saved now.
	if err := s.reconcile(ctx, true); err != nil {
		return outcome{}, err
	}
	current, err := s.mayBegin(r)
	if err != nil {
		return outcome{}, err
	}

	// From here to the end of the refresh, only this store changes the record's token.
	j := journal{persistence: p, lock: lock, current: current, since: r.since}
	if err := s.writeIntent(ctx, &j); err != nil {
		return outcome{}, err
	}
	if err := s.beginSpending(ctx, r); err != nil {
		return outcome{}, err
	}

	token, err := future.Go(func() (*oauth2.Token, error) { return s.call(ctx, r, current) }).
		Await(context.WithoutCancel(ctx))
	s.noteAnswer(r)
	if err != nil {
		return s.failed(ctx, r, &j, err)
	}
	return s.rotated(ctx, r, &j, token)
}

// mayBegin decides under the lock whether the refresh is still needed. There is an error if the
// login of r is over, or if another holder has refreshed since r was started. In the second case
// the memory has adopted the token of that holder, and the callers of r have it.
func (s *UserStore[U]) mayBegin(r *refresh) (current *oauth2.Token, err error) {
	p := s.persistence
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.login.refresh != r {
		return nil, auth.ErrSessionChanged
	}

	// The session of a new store, whose tokens are cookies, gets its record by its first refresh.
	if p.login == "" {
		p.login = newLoginID()
	}
	p.spending = r
	return copyOf(s.state.Token), nil
}

// beginSpending starts the clock of those who wait for the refresh. If the login has ended since
// the intent was written, there is an error, and nothing may be sent: a logout does not wait for a
// refresh that is queued.
func (s *UserStore[U]) beginSpending(ctx context.Context, r *refresh) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.login.refresh != r {
		return auth.ErrSessionChanged
	}

	r.phase = running
	s.startLimit(ctx, r)
	return nil
}

// noteAnswer ends the time limit of those who wait for the refresh. Its RefreshFunc has returned,
// and the storage has its own time limit. A slow one must not make a new token a failure.
func (s *UserStore[U]) noteAnswer(r *refresh) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.answered = true
}

// letGo releases the lock of a refresh that has settled. If the new token could not be saved, the
// lock is kept until it is.
func (s *UserStore[U]) letGo(r *refresh, out outcome) {
	p := s.persistence
	if p == nil {
		return
	}
	s.mu.Lock()
	if p.spending == r {
		p.spending = nil
	}
	s.mu.Unlock()

	switch {
	case out.unsaved != nil:
		s.saveLater(out.unsaved, true)
	case r.locked:
		p.holding.release()
	}
}

// noteRotated notes the outcome of a refresh that this store has made. The lock is held.
func (p *persistence) noteRotated(out outcome) {
	switch {
	case p == nil:
	case out.next != nil:
		p.know(out.next)
	default:
		p.refreshes++
		p.edit()
		p.trouble = out.unsaved
	}
}

// unsaved returns the failure to save the session, or nil if everything is saved.
func (s *UserStore[U]) unsaved() error {
	if s.persistence == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.persistence.trouble
}

// journal is one refresh as the record has it.
type journal struct {
	*persistence
	lock    Lock
	login   string
	since   uint64 // the refreshes of the login before this one
	current *oauth2.Token

	// unsettled says that the record had an intent already. So the refresh token may have been
	// spent before, by a holder that did not get, or could not save, the response.
	unsettled bool

	// intent is that of this refresh, once it is written.
	intent *intent

	// stray is the intent of another process that the record had. That process has died, since its
	// lock is free.
	stray *intent
}

// strayLimit is how long a request of a process that has died may be on its way to the server.
const strayLimit = time.Second

// awaitStray waits until a request of a process that has died has reached the server. If it came
// after this store's own request, a strict server would take it for a re-use of the token.
func (j *journal) awaitStray() {
	if j.stray != nil {
		time.Sleep(min(time.Until(j.stray.Since.Add(strayLimit)), strayLimit))
	}
}

// writeIntent notes in the record that the refresh token is about to be spent. If that fails, the
// storage would not take the new token either, and nothing is sent.
func (s *UserStore[U]) writeIntent(ctx context.Context, j *journal) error {
	s.mu.Lock()
	j.login = j.persistence.login
	unsent := j.persistence.unsent
	s.mu.Unlock()

	spending := &intent{ID: rand.Text(), Since: time.Now().UTC(), Holder: holder()}
	err := j.change(ctx, func(at saved) (*record, error) {
		next, err := s.follow(at, j)
		if err != nil {
			return nil, err
		}

		// The record may have this intent already, if a save did its work and said otherwise.
		if before := next.Spending; !before.is(spending) {
			j.unsettled, j.stray = before != nil && !before.is(unsent), nil
			if j.unsettled && before.Holder != holder() {
				j.stray = before
			}
		}
		next.Spending = spending
		return next, nil
	}, s.note)
	if err == nil {
		j.intent = spending
		j.awaitStray()

		// The lock may have gone while this process was stopped.
		if err = j.held(ctx, j.lock); err == nil {
			return nil
		}
		err = storageError("holding the lock of", err)
		s.withdrawIntent(ctx, j)
	}

	// An intent that stands although nothing was sent would make the next refusal an unknown outcome.
	if !j.unsettled {
		s.mu.Lock()
		j.persistence.unsent = spending
		s.mu.Unlock()
	}
	return storageError("writing", err)
}

// follow returns the record that follows the one that was read, for the same login. It is an error
// if the record is not that of the refresh any more.
func (s *UserStore[U]) follow(at saved, j *journal) (*record, error) {
	if at.isOf(j.login) && at.record.Refreshes == j.since {
		next := *at.record
		next.Counter++
		return &next, nil
	}

	// The record of a blank session has not been written yet. A lost one is written again, and so is
	// one that the storage has replaced by an older one.
	s.mu.Lock()
	mine := j.persistence.login == j.login
	next, user := s.recordOver(at), s.state.User
	missing := at.record == nil && (j.counter == 0 || at.lost)
	older := at.isOf(j.login) && at.record.Refreshes < j.since
	s.mu.Unlock()
	if !mine || !missing && !older {
		return nil, errSuperseded
	}

	next.Spending = j.intent
	return next, s.complete(at, next, user)
}

// errSuperseded says that the record is not that of the refresh any more.
var errSuperseded = fmt.Errorf("%w: %w", ErrStorage, ErrConflict)

// note notes a record that this store has written.
func (s *UserStore[U]) note(at saved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.persistence.noteWritten(at, false)
}

// withdrawIntent removes the intent of a refresh that was not sent.
func (s *UserStore[U]) withdrawIntent(ctx context.Context, j *journal) {
	if j.unsettled {
		return
	}
	s.amend(ctx, j, func(next *record) { next.Spending = nil })
}

// amend changes the record of a refresh, if it is still that. A failure to write is reported.
func (s *UserStore[U]) amend(ctx context.Context, j *journal, edit func(next *record)) (superseded bool) {
	err := j.change(ctx, func(at saved) (*record, error) {
		next, err := s.follow(at, j)
		if err == nil {
			edit(next)
		}
		return next, err
	}, s.note)
	switch {
	case errors.Is(err, errSuperseded):
		return true
	case err != nil:
		j.report(err)
	}
	return false
}

// The pauses between the attempts to save a rotated token, before the callers wake, and the time
// for all of that.
var rotatedPauses = []time.Duration{10 * time.Millisecond, 40 * time.Millisecond, 160 * time.Millisecond}

const rotatedLimit = 2 * time.Second

// rotated saves the new token. If the storage fails, it tries again a few times. The callers then
// get the new token nevertheless, since the old one is spent, and saving goes on in the background.
func (s *UserStore[U]) rotated(
	ctx context.Context, r *refresh, j *journal, token *oauth2.Token,
) (outcome, error) {
	// The cookies that the refresh has set reach the jar when it has settled.
	cookies, isRead := j.readCookies(r.pending)

	ctx, cancel := context.WithTimeout(ctx, rotatedLimit)
	defer cancel()

	after, obtained := renewed(j.current, token), time.Now()
	var next *record
	save := func() error {
		return j.change(ctx, func(at saved) (*record, error) {
			// An attempt that failed may have saved the token nevertheless.
			if at.isOf(j.login) && at.record.Refreshes == j.since+1 && isSameLogin(at.record.Token, after) {
				next = at.record
				return next, nil
			}

			var err error
			if next, err = s.follow(at, j); err != nil {
				return nil, err
			}
			next.Refreshes, next.Spending = j.since+1, nil
			next.Token, next.Obtained = after, obtained
			if isRead {
				next.Cookies = cookies
			}
			return next, nil
		}, func(saved) {})
	}

	err := save()
	for _, pause := range rotatedPauses {
		if err == nil || errors.Is(err, errSuperseded) || ctx.Err() != nil {
			break
		}
		time.Sleep(pause)
		err = save()
	}

	switch {
	case errors.Is(err, errSuperseded):
		out, err := s.superseded(ctx, r)
		switch {
		case errors.Is(err, auth.ErrSessionChanged):
			// The logout that has ended the login waits for the newest token.
			return outcome{token: token}, nil
		case errors.Is(err, errSuperseded):
			// The storage has gone back to the record of the refresh, whose token is spent.
			return outcome{token: token, unsaved: err}, nil
		}
		return out, err
	case err != nil:
		return outcome{token: token, unsaved: err}, nil
	}
	return outcome{token: token, next: next}, nil
}

// failed settles the intent of a refresh that has failed, and says which failure it was.
func (s *UserStore[U]) failed(ctx context.Context, r *refresh, j *journal, err error) (outcome, error) {
	refused := auth.Refused(err)
	superseded := s.amend(ctx, j, func(next *record) {
		if refused || !j.unsettled && !maySpend(err) {
			next.Spending = nil
		}
	})

	switch {
	case superseded:
		// The server refused a token that another holder has replaced meanwhile.
		if out, adoptErr := s.superseded(ctx, r); adoptErr == nil {
			return out, nil
		}
	case refused && j.unsettled:
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return outcome{}, err
}

// superseded adopts the record that has taken the place of the refresh's. The error is
// auth.ErrSessionChanged if that has ended the login, and errSuperseded if there is nothing to adopt.
func (s *UserStore[U]) superseded(ctx context.Context, r *refresh) (outcome, error) {
	p := s.persistence
	s.mu.Lock()
	if p.spending == r {
		p.spending = nil
	}
	s.mu.Unlock()

	if err := s.reconcile(ctx, true); err != nil {
		return outcome{}, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.login.refresh != r:
		return outcome{}, auth.ErrSessionChanged
	case p.refreshes > r.since:
		return outcome{adopted: true}, nil
	}
	return outcome{}, errSuperseded
}

// maySpend reports whether the server may have rotated the refresh token although the refresh
// failed. That is not so if the request never left this machine, or if the server has said clearly
// that it did nothing.
func maySpend(err error) bool {
	if errors.Is(err, errNothingToSpend) || errors.Is(err, auth.ErrNestedRefresh) ||
		errors.Is(err, axle.CodeBadOption) || errors.Is(err, axle.CodeInvalidURL) {
		return false
	}

	// The connection was never made.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return false
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return false
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return false
	}

	// A gateway answers 502 and 504 for a server that may have done its work. A 500 may come after
	// the work as well.
	switch status := statusOf(err); status {
	case 0, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	default:
		return status < http.StatusBadRequest
	}
}

// statusOf returns the status of the response that a refresh failed with, or zero.
func statusOf(err error) int {
	if retrieve, ok := errors.AsType[*oauth2.RetrieveError](err); ok && retrieve.Response != nil {
		return retrieve.Response.StatusCode
	}
	if call, ok := errors.AsType[*axle.Error](err); ok {
		return call.StatusCode()
	}
	return 0
}

// tabName names this page among the tabs of a browser, which all have the same process id.
var tabName = sync.OnceValue(rand.Text)

// holder names this process in an intent.
func holder() string {
	if runtime.GOOS == "js" {
		return "tab " + tabName()
	}
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on %s", os.Getpid(), host)
}
