// Package store keeps a user and the token of their login, like a user store of zustand.
//
//	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
//	client.Use(auth.New(session))
//
// A [UserStore] is an auth.StatefulSession. However many calls ask, it refreshes once for each
// generation. A late result of a login that is over changes nothing.
//
//	store.go        the state, and what begins and ends a login
//	refresh.go      the one refresh of a login, from its first caller to its end
//	logout.go       Logout, and telling the server
//	subscribe.go    telling of changes
//	keepfresh.go    refreshes while a program is idle
//	tokensource.go  the session as an oauth2.TokenSource
//	endpoint.go     a RefreshFunc for a JSON endpoint
//	oauth2.go       a RefreshFunc for the refresh grant
//
// The session of [Open] is kept by a [Persister]. These files have that, in the order to read them:
//
//	persister.go    the interface, and its errors
//	open.go         Open, Close and the options
//	record.go       the session as it is saved
//	persistence.go  the link to the Persister: one reading and changing of the record
//	holding.go      the lock, as all that one store does at a time shares it
//	spend.go        one refresh, from the lock to the saved token
//	reconcile.go    the memory and the record become equal
//	saving.go       saving until it succeeds, and looking for changes
//	cookies.go      the cookies that are saved with a session
//	file.go         the Persister of a file; localstorage.go is that of a browser
//
// Neither the user's code nor the network is called under the store's lock. Login, Logout and
// SetState do wait while the cookie jar, which may be the user's, gets the cookies of a refresh.
// The jar may read the store. If the jar changes the store, it waits for itself. For that, and for
// any other jar that does not return, everybody waits for the refresh timeout at most.
package store

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
)

// State is what a store holds. A published state is never modified. To change the state, see
// [UserStore.SetState].
type State[U any] struct {
	User         *U            // nil: nobody is known
	Token        *oauth2.Token // nil: there is none, or the API keeps its tokens in cookies
	CheckingAuth bool          // a refresh is in flight
}

// RefreshFunc gets a new token for the current one, which is nil if there is none.
//
// A new token without a refresh token or without a type keeps that of the old token. Nil and nil
// keep the whole token. That is for tokens in cookies. A token without an access token is a failed
// refresh, and so is one that no header can carry, because it or its type has a control character
// in it.
//
// The context is detached from every caller's. It ends after the refresh timeout, and it is under
// auth.Bypass. A RefreshFunc should return when it ends. Callers do not wait longer, but no other
// refresh of the same login starts until the RefreshFunc has returned, because two would spend the
// same refresh token. If it never returns, each later refresh of its login fails at the time limit.
// A new login starts its own refresh. An outcome after the time limit counts if the login is still
// the same.
//
// If an axle client sends the requests with that context, also through [axle.Client.HTTPClient],
// the cookies that the responses set do not reach the jar at once. The later requests of the same
// RefreshFunc carry them. They reach the jar together with the new token, or with a failure that
// leaves the session as it is. If the login is over by then, they are dropped.
//
// A program that may end right after a call stores a rotated token here, before it returns the
// token. Subscribers may be told later, see [UserStore.Subscribe].
type RefreshFunc func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error)

// UserStore is a user, their token, and the one refresh in flight. Make one with [New]. It is safe
// for concurrent use.
//
// If a ctx that a method was given ends, only that wait ends, and the work goes on. A session
// begins with Login, or with a SetState that sets a token or takes the user from or to nil. It ends
// with Logout, or with a failed refresh that ends it. A new store has a session, because with
// cookies nobody needs to have logged in.
type UserStore[U any] struct {
	refreshFunc RefreshFunc
	logoutWhen  func(error) bool
	onLogout    func(context.Context, *oauth2.Token) error
	timeout     time.Duration
	observer    auth.Observer // nil: none
	persistence *persistence  // nil: the session is kept in memory alone

	// settling is held while a refresh settles and while a login begins or ends. So a login cannot
	// change between the check that a refresh belongs to it and the moment when the jar and the
	// state have what the refresh brought. It is taken before mu. A cookie jar may be called under
	// it.
	settling sync.Mutex

	mu         sync.Mutex
	state      State[U]
	version    uint64 // counts the states
	generation auth.Generation
	login      login
	failures   uint64 // failed refreshes that a call needed, of all logins

	subscribers []*subscriber[U]
	queue       []transition[U]
	delivering  bool
	changed     chan struct{} // closed by the next transition; nil: nobody waits for that
}

// login is what a store knows of the current login beside its state. The next login, and the end of
// this one, replace it as a whole.
type login struct {
	ended     bool
	obtained  time.Time // when the token was set
	refreshed bool      // a refresh set the token
	failure   error     // of the last refresh; nil after a success
	pause     pause
	refresh   *refresh // nil: no RefreshFunc runs for this login
}

// New returns a store whose refreshes call the RefreshFunc. If that is nil, every refresh fails.
func New[U any](refresh RefreshFunc, opts ...Option) *UserStore[U] {
	s := build[U](refresh, opts)
	if s.persistence != nil {
		if err := s.persistence.checkClient(); err != nil {
			s.persistence.report(err)
		}
		if err := s.watch(); err != nil {
			s.persistence.report(err)
		}
		s.look()
	}
	return s
}

// build returns a store that does not look at its Persister yet.
func build[U any](refresh RefreshFunc, opts []Option) *UserStore[U] {
	o := options{
		logoutWhen:     func(error) bool { return true },
		timeout:        30 * time.Second,
		storageFailure: logStorageFailure,
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}

	if refresh == nil {
		refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return nil, errors.New("store: it was made without a RefreshFunc")
		}
	}
	return &UserStore[U]{
		refreshFunc: refresh,
		logoutWhen:  o.logoutWhen,
		onLogout:    o.onLogout,
		timeout:     o.timeout,
		observer:    o.observer,
		persistence: newPersistence(o),
	}
}

// State returns the current state.
func (s *UserStore[U]) State() State[U] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Token returns the current token, which must not be modified.
func (s *UserStore[U]) Token() *oauth2.Token { return s.State().Token }

// Login starts a session. Work that still runs for the session before changes nothing any more. A
// nil token is for an API that keeps its tokens in cookies.
//
// The token expires at its Expiry. A token that was decoded from the response of a login has only
// ExpiresIn, and the caller has to set Expiry from that. Without an Expiry, [auth.WithEarlyRefresh]
// and [UserStore.KeepFresh] do nothing, and the token is used until a 401.
//
// With a Persister the login is saved when Login returns. If the storage fails, or if another holder
// has the lock for longer than the refresh timeout, the function of [WithStorageFailure] is told, and
// saving goes on in the background. The session counts from the start of Login.
func (s *UserStore[U]) Login(user U, token *oauth2.Token) {
	s.settling.Lock()
	s.mu.Lock()
	s.begin(State[U]{User: &user, Token: copyOf(token)})
	s.mu.Unlock()
	s.settling.Unlock()

	_ = s.persist(context.Background())
	s.deliver()
}

// SetState changes the state in one step. The update writes to a copy of the state, whose user and
// token are copies too. It may call the store, but not change it. If the state changes meanwhile,
// the update runs again. A nil update does nothing.
//
// SetState starts a new login only if it sets another token, or takes the user from or to nil. If
// it takes the user to nil and leaves no token, the session has ended. The store alone writes
// CheckingAuth. With a Persister the change is saved as that of [UserStore.Login] is.
func (s *UserStore[U]) SetState(update func(*State[U])) {
	if update == nil {
		return
	}

	for {
		s.mu.Lock()
		before, version := s.state, s.version
		s.mu.Unlock()

		next := before
		next.User, next.Token = copyOf(before.User), copyOf(before.Token)
		update(&next)

		if s.replace(version, next) {
			_ = s.persist(context.Background())
			s.deliver()
			return
		}
	}
}

// replace writes the state that an update has made of the given version. It returns false if the
// store has another version by now.
func (s *UserStore[U]) replace(version uint64, next State[U]) bool {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version != version {
		return false
	}
	before := s.state

	// The update may have kept its pointers. A token without a change stays the published one, so
	// that two pointers show whether the token has changed.
	next.User, next.Token, next.CheckingAuth = copyOf(next.User), copyOf(next.Token), before.CheckingAuth
	if reflect.DeepEqual(before.Token, next.Token) {
		next.Token = before.Token
	}

	switch setsToken := next.Token != nil && !isSameLogin(before.Token, next.Token); {
	case setsToken || before.User == nil && next.User != nil:
		s.begin(next)
	case before.User != nil && next.User == nil && next.Token == nil:
		s.leave(login{ended: true})
		s.persistence.moveOn(true)
		next.CheckingAuth = false
		s.publish(next)
	case before.User != nil && next.User == nil:
		s.begin(next)
	default:
		s.persistence.edit()
		s.publish(next)
	}
	return true
}

// begin starts a login. Both locks are held.
func (s *UserStore[U]) begin(state State[U]) {
	s.leave(login{obtained: time.Now()})
	s.persistence.moveOn(false)
	state.CheckingAuth = false
	s.publish(state)
}

// end ends the session, if it has not ended, and returns the last token. Both locks are held.
func (s *UserStore[U]) end() (last *oauth2.Token, ended bool) {
	if s.login.ended {
		return nil, false
	}

	last = s.state.Token
	s.leave(login{ended: true})
	s.persistence.moveOn(true)
	s.publish(State[U]{})
	return last, true
}

// leave replaces the current login by the next one. A refresh of the current login runs on, but
// nobody waits for it any more. Both locks are held.
func (s *UserStore[U]) leave(next login) {
	if r := s.login.refresh; r != nil && r.wait != nil {
		r.wait.stopLimit()
		r.wait.reject(auth.ErrSessionChanged)
	}
	s.login = next
	s.generation.Login++
}

// Snapshot implements auth.StatefulSession.
func (s *UserStore[U]) Snapshot() auth.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

// snapshot returns the state as package auth has it. The lock is held.
func (s *UserStore[U]) snapshot() auth.Snapshot {
	var waiting *wait
	if s.login.refresh != nil {
		waiting = s.login.refresh.wait
	}

	return auth.Snapshot{
		Token:      s.state.Token,
		Generation: s.generation,
		Active:     !s.login.ended,
		Refreshing: waiting != nil,
		Early:      waiting != nil && waiting.early,
		Obtained:   s.login.obtained,
		Refreshed:  s.login.refreshed,
		Failures:   s.failures,
		Failure:    s.login.failure,
	}
}

var errNilContext = errors.New("store: the context is nil")
