// Package store keeps a user and the tokens of their login: zustand's user store, in Go.
//
//	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
//	client.Use(auth.New(session))
//
// A [UserStore] is an auth.StatefulSession: it refreshes at most once per generation however many ask, and fences what comes
// late from a login that is over. store.go is the state and who may change it, refresh.go the one refresh in flight,
// subscribe.go who is told, endpoint.go the ways to get a new token.
//
// No user code, and no network, is ever called under the store's lock. One thing of the user's is called while Login, Logout and SetState
// wait: the cookie jar that gets what a refresh's answers set. It may read the store, and must not change it.
package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/detached"
)

// State is what a store holds. What is published is never modified: to change it, see [UserStore.SetState].
type State[U any] struct {
	User         *U            // nil: nobody known
	Token        *oauth2.Token // nil where the API keeps its tokens in cookies
	CheckingAuth bool          // a refresh is in flight
}

// RefreshFunc gets a new token for the current one, which is nil where there is none. A new token without a refresh token
// keeps the old refresh token; nil and nil keep the whole token, for cookies. Its context is detached from every caller's,
// ends after the refresh timeout, and is under auth.Bypass.
//
// Cookies that are set by the answers to its requests are held back, if an axle client sends the requests with that context, through
// [axle.Client.HTTPClient] too. The RefreshFunc's own later requests carry them. They reach the jar together with the new token, or
// with a failure that leaves the session as it is. If the login is over by then they never do.
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
	flight      *flight   // nil: no refresh
	subscribers []*subscriber[U]
	queue       []transition[U]
	delivering  bool
}

type options struct {
	logoutWhen func(error) bool
	onLogout   func(context.Context, *oauth2.Token) error
	timeout    time.Duration
}

// Option configures [New].
type Option func(*options)

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

// WithLogoutWhen decides which failed refresh ends the session. The default, also for nil, is every one, as in the reference.
func WithLogoutWhen(fn func(refreshErr error) bool) Option {
	return func(o *options) {
		if fn != nil {
			o.logoutWhen = fn
		}
	}
}

// RejectedOnly is for [WithLogoutWhen]: the session ends if the server refused (400, 401, 403), not if the network failed.
func RejectedOnly(refreshErr error) bool { return auth.Refused(refreshErr) }

// WithLogout sets what Logout does beyond clearing: tell the server, empty the jar. It runs after the session has ended, with the
// last token, on a context that is detached from every caller's, ends after the refresh timeout, and under which calls are
// neither held nor refreshed.
func WithLogout(fn func(ctx context.Context, last *oauth2.Token) error) Option {
	return func(o *options) { o.onLogout = fn }
}

// WithRefreshTimeout bounds RefreshFunc and WithLogout's function. Who waits returns then, even if they ignore their context. The
// default, also for d <= 0, is 30 s.
func WithRefreshTimeout(d time.Duration) Option {
	return func(o *options) {
		if d > 0 {
			o.timeout = d
		}
	}
}

// State returns the state as it stands.
func (s *UserStore[U]) State() State[U] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Token returns the current token, which must not be modified.
func (s *UserStore[U]) Token() *oauth2.Token { return s.State().Token }

// Login starts a session. Whatever still runs for the one before changes nothing any more.
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

// same compares what a login is made of.
func same(a, b *oauth2.Token) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.AccessToken == b.AccessToken && a.RefreshToken == b.RefreshToken && a.TokenType == b.TokenType && a.Expiry.Equal(b.Expiry)
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// begin starts a login. The lock is held.
func (s *UserStore[U]) begin(state State[U]) {
	s.detach()
	s.generation.Login++
	s.ended, s.obtained, s.refreshed, s.failure = false, time.Now(), false, nil
	state.CheckingAuth = false
	s.publish(state)
}

// end ends the session, if it has not ended. The lock is held.
func (s *UserStore[U]) end() (last *oauth2.Token, ended bool) {
	if s.ended {
		return nil, false
	}
	last = s.state.Token
	s.detach()
	s.generation.Login++
	s.ended, s.refreshed, s.failure = true, false, nil
	s.publish(State[U]{})
	return last, true
}

// detach leaves the refresh in flight to itself. The lock is held.
func (s *UserStore[U]) detach() {
	if s.flight != nil {
		s.flight.reject(auth.ErrSessionChanged)
		s.flight = nil
	}
}

// Logout ends the session: the user and the token are nil when it returns. Then it does what [WithLogout] says, within ctx, and
// returns the error of that. A session that has ended already is left alone.
func (s *UserStore[U]) Logout(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	s.settling.Lock()
	s.mu.Lock()
	last, ended := s.end()
	s.mu.Unlock()
	s.settling.Unlock()
	if !ended {
		return nil
	}
	s.deliver()
	if s.onLogout == nil {
		return nil
	}
	_, err := future.Go(func() (struct{}, error) { return struct{}{}, s.tellLogout(ctx, last) }).Await(ctx)
	return err
}

// tellLogout runs WithLogout's function.
func (s *UserStore[U]) tellLogout(ctx context.Context, last *oauth2.Token) error {
	if s.onLogout == nil {
		return nil
	}
	ctx = cookies.Unstaged(auth.Bypass(ctx, s)) // a logout's answer deletes cookies from the jar itself
	_, err := detached.Run(ctx, s.timeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.onLogout(ctx, copyOf(last))
	}, nil)
	return err
}

var errNilContext = errors.New("store: the context is nil")

// TokenSource returns the same session as x/oauth2 has it, for any other library: its Token is the store's, refreshed once for all
// when it has expired. ctx bounds its waits. An ended session and one without a token are errors. Give it to an oauth2.Transport:
// oauth2.NewClient would keep a token until its expiry, and miss what becomes of the session before.
func (s *UserStore[U]) TokenSource(ctx context.Context) oauth2.TokenSource {
	return tokenSource[U]{s, ctx}
}

type tokenSource[U any] struct {
	store *UserStore[U]
	ctx   context.Context
}

func (t tokenSource[U]) Token() (*oauth2.Token, error) {
	if t.ctx == nil {
		return nil, errNilContext
	}
	now := t.store.Snapshot()
	if now.Active && !auth.Bypassed(t.ctx, t.store) && (now.Refreshing || now.Token != nil && !now.Token.Valid()) {
		var err error
		if now, err = t.store.RefreshSince(t.ctx, now.Generation); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	switch {
	case !now.Active:
		return nil, auth.ErrSessionChanged
	case now.Token == nil || now.Token.AccessToken == "":
		return nil, errors.New("store: the session has no token")
	}
	return copyOf(now.Token), nil
}
