// Package store keeps a user and the tokens of their login: zustand's user store, in Go.
//
//	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
//	client.Use(auth.New(session))
//
// A [UserStore] is an auth.StatefulSession: it refreshes at most once per generation however many ask, and fences what comes
// late from a login that is over. store.go is the state and who may change it, refresh.go the one refresh in flight,
// subscribe.go who is told, keepfresh.go the refreshes of an idle program, endpoint.go the ways to get a new token.
//
// No user code, and no network, is ever called under the store's lock. One thing of the user's is called while Login, Logout and SetState
// wait: the cookie jar that gets what a refresh's answers set. It may read the store. If it changes the store it waits for itself, and
// for that, as for any other jar that does not return, everybody waits no longer than the refresh timeout.
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

// State is what a store holds. What is published is never modified: to change it, see [UserStore.SetState].
type State[U any] struct {
	User         *U            // nil: nobody known
	Token        *oauth2.Token // nil where the API keeps its tokens in cookies
	CheckingAuth bool          // a refresh is in flight
}

// RefreshFunc gets a new token for the current one, which is nil where there is none. A new token without a refresh token or
// without a type keeps that of the old one; nil and nil keep the whole token, for cookies. A token that no header can carry,
// since it or its type has a control character in it, is a failed refresh.
//
// Its context is detached from every caller's, ends after the refresh timeout, and is under auth.Bypass. A RefreshFunc should
// return then: callers do not wait longer, but no other refresh of the same login is started until it returns, since two would
// spend the same refresh token. One that never returns makes each later refresh of its login fail at its time limit. A new login
// starts its own. What a RefreshFunc comes to after the time limit counts if the login is still the same.
//
// Cookies that are set by the answers to its requests are held back, if an axle client sends the requests with that context, through
// [axle.Client.HTTPClient] too. The RefreshFunc's own later requests carry them. They reach the jar together with the new token, or
// with a failure that leaves the session as it is. If the login is over by then they never do.
//
// Store a rotated token for the next start of the program here, before returning it, if the program may end right after a call:
// subscribers may be told later than that, see [UserStore.Subscribe].
type RefreshFunc func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error)

// UserStore is a user, their token, and the one refresh in flight. Make one with [New]. It is safe for concurrent use.
//
// A ctx given to a method ends that wait alone, never the work. A session begins with Login, or with a SetState that sets a token
// or takes the user from or to nil; it ends with Logout, or with a failed refresh that ends it. A new store has one: with
// cookies, nobody need have logged in.
type UserStore[U any] struct {
	refresh    RefreshFunc
	logoutWhen func(error) bool
	onLogout   func(context.Context, *oauth2.Token) error
	timeout    time.Duration

	// settling orders the end of a refresh, its cookies included, against whatever begins or ends a login. It is taken before mu, and
	// a cookie jar may be called under it.
	settling sync.Mutex

	mu          sync.Mutex
	state       State[U]
	version     uint64 // of state
	generation  auth.Generation
	ended       bool
	obtained    time.Time // when the token was
	refreshed   bool      // the token was obtained by a refresh, not by a login
	failures    uint64    // how many refreshes have failed, early ones apart; never goes down
	failure     error     // the last of them, of this login
	pause       pause     // what the token endpoint's Retry-After asks for, of this login
	flight      *flight   // nil: no call of the RefreshFunc runs for this login
	subscribers []*subscriber[U]
	queue       []transition[U]
	delivering  bool
	changed     chan struct{} // closed by the next transition; nil: nobody waits for it
}

// New returns a store that refreshes by refresh. A nil refresh makes every refresh fail.
func New[U any](refresh RefreshFunc, opts ...Option) *UserStore[U] {
	o := options{logoutWhen: func(error) bool { return true }, timeout: 30 * time.Second}
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
	return &UserStore[U]{refresh: refresh, logoutWhen: o.logoutWhen, onLogout: o.onLogout, timeout: o.timeout}
}

// State returns the state as it stands.
func (s *UserStore[U]) State() State[U] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Token returns the current token, which must not be modified.
func (s *UserStore[U]) Token() *oauth2.Token { return s.State().Token }

// Login starts a session. Whatever still runs for the one before changes nothing any more. A nil token is for an API that keeps
// its tokens in cookies.
//
// The expiry is the token's Expiry. A token that was decoded from a login's answer has only ExpiresIn: the caller sets Expiry
// from it, or [auth.WithEarlyRefresh] and [UserStore.KeepFresh] leave the token to its 401.
func (s *UserStore[U]) Login(user U, token *oauth2.Token) {
	s.settling.Lock()
	s.mu.Lock()
	s.begin(State[U]{User: &user, Token: copyOf(token)})
	s.mu.Unlock()
	s.settling.Unlock()
	s.deliver()
}

// SetState changes the state in one step. The update gets a copy, of the user and the token too, to write to; it may call the
// store but not change it, and runs again if the state was changed meanwhile. It starts a new login only if it sets a token, or
// takes the user from or to nil: taken to nil with no token left, the session has ended. CheckingAuth is the store's to write. A nil update does nothing.
func (s *UserStore[U]) SetState(update func(*State[U])) {
	if update == nil {
		return
	}
	for {
		s.mu.Lock()
		before, version := s.state, s.version
		s.mu.Unlock()
		next := State[U]{User: copyOf(before.User), Token: copyOf(before.Token), CheckingAuth: before.CheckingAuth}
		update(&next)
		if s.replace(before, version, next) {
			s.deliver()
			return
		}
	}
}

func (s *UserStore[U]) replace(before State[U], version uint64, next State[U]) bool {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version != version {
		return false
	}
	next.User, next.Token, next.CheckingAuth = copyOf(next.User), copyOf(next.Token), before.CheckingAuth
	if reflect.DeepEqual(before.Token, next.Token) {
		next.Token = before.Token
	}
	switch setsToken := next.Token != nil && !same(before.Token, next.Token); {
	case setsToken || before.User == nil && next.User != nil:
		s.begin(next)
	case before.User != nil && next.User == nil:
		s.begin(next)
		s.ended = next.Token == nil
	default:
		s.publish(next)
	}
	return true
}

// begin starts a login. The lock is held.
func (s *UserStore[U]) begin(state State[U]) {
	s.leave()
	s.ended, s.obtained = false, time.Now()
	state.CheckingAuth = false
	s.publish(state)
}

// end ends the session, if it has not ended. The lock is held.
func (s *UserStore[U]) end() (last *oauth2.Token, ended bool) {
	if s.ended {
		return nil, false
	}
	last = s.state.Token
	s.leave()
	s.ended = true
	s.publish(State[U]{})
	return last, true
}

// leave leaves a login, and the refresh that may be in flight for it to itself. The lock is held.
func (s *UserStore[U]) leave() {
	if f := s.flight; f != nil && f.waiting != nil {
		if f.waiting.limit != nil {
			f.waiting.limit.Stop()
		}
		f.waiting.reject(auth.ErrSessionChanged)
	}
	s.flight = nil
	s.generation.Login++
	s.refreshed, s.failure, s.pause = false, nil, pause{}
}

var errNilContext = errors.New("store: the context is nil")
