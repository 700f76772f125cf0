package store

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/detached"
)

// Logout ends the session: the user and the token are nil at once. Then it does what [WithLogout] says, within ctx, and returns the
// error of that. A session that has ended already is left alone.
//
// While a refresh is in flight, WithLogout's function has to wait for it, since the refresh is spending the token: the function
// runs when the refresh has settled, with the new token if there is one. It waits for the refresh timeout at most, and then gets
// the old token. Somebody else may log in meanwhile. A Logout that is called from within a RefreshFunc, with its context, does
// not wait for that refresh.
func (s *UserStore[U]) Logout(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	// Not under the lock: ctx may be the user's code.
	nested := auth.Bypassed(ctx, s)

	s.settling.Lock()
	s.mu.Lock()
	late := s.flight
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
	if nested {
		late = nil
	}
	_, err := future.Go(func() (struct{}, error) { return struct{}{}, s.tellLogout(ctx, last, late) }).Await(ctx)
	return err
}

// tellLogout runs WithLogout's function, after late has settled, if there is such a refresh.
func (s *UserStore[U]) tellLogout(ctx context.Context, last *oauth2.Token, late *flight) error {
	if s.onLogout == nil {
		return nil
	}
	ctx = cookies.WithoutPending(auth.Bypass(ctx, s)) // a logout's answer deletes cookies from the jar itself
	if late != nil {
		last = s.newest(ctx, last, late)
		// Where the tokens are cookies, the newest are those that the refresh was not allowed to leave in the jar.
		ctx = late.pending.LogoutContext(ctx)
	}
	_, err := detached.Run(ctx, s.timeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.onLogout(ctx, copyOf(last))
	})
	return err
}

// newest waits for the refresh of a login that is over, and returns the token that the server knows after it: last if the refresh
// fails or does not settle within the time limit.
func (s *UserStore[U]) newest(ctx context.Context, last *oauth2.Token, late *flight) *oauth2.Token {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()

	token, err := late.token.Await(ctx)
	if err != nil {
		return last
	}
	return renewed(last, token)
}
