package store

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/detached"
)

// Logout ends the session. The user and the token are nil at once. Then Logout calls the function
// of [WithLogout], waits for it until ctx ends, and returns its error. If the session has ended
// already, Logout does nothing.
//
// A session that is kept by a Persister is removed from the storage before the function of WithLogout
// is called. Subscribers hear of the logout before that: a program that ends in between finds the
// session again. If the removal fails, the error matches [ErrStorage] or [ErrBusy], and the store tries
// again until it succeeds.
//
// If a refresh is in flight, it is spending the token, so WithLogout's function has to wait for it.
// The function is called when the refresh has settled, with the new token if there is one. It waits
// for the refresh timeout at most, and then gets the old token. Meanwhile another user may log in.
// A Logout that a RefreshFunc calls with its own context does not wait for that refresh.
func (s *UserStore[U]) Logout(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}

	// ctx may be the user's code, which is not called under a lock.
	nested := auth.Bypassed(ctx, s)

	s.settling.Lock()
	s.mu.Lock()
	inFlight := s.login.refresh
	if inFlight != nil && inFlight.phase == queued {
		// It spends nothing, and it will not.
		inFlight = nil
	}
	last, ended := s.end()
	s.mu.Unlock()
	s.settling.Unlock()
	if !ended {
		return nil
	}
	s.deliver()

	if s.onLogout == nil && s.persistence == nil {
		return nil
	}
	if nested {
		inFlight = nil
	}
	_, err := future.Go(func() (struct{}, error) {
		last, saveErr := s.saveEnd(ctx, last)
		return struct{}{}, errors.Join(s.tellLogout(ctx, last, inFlight), saveErr)
	}).Await(ctx)
	return err
}

// saveEnd deletes the saved session. It waits for a refresh of another holder, and returns the token
// that was saved last.
func (s *UserStore[U]) saveEnd(ctx context.Context, last *oauth2.Token) (*oauth2.Token, error) {
	p := s.persistence
	if p == nil {
		return last, nil
	}
	err := s.persist(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	if p.last != nil {
		last, p.last = p.last, nil
	}
	return last, err
}

// tellLogout calls WithLogout's function. If a refresh was in flight when the session ended,
// tellLogout waits for it first.
func (s *UserStore[U]) tellLogout(ctx context.Context, last *oauth2.Token, inFlight *refresh) error {
	if s.onLogout == nil {
		return nil
	}

	// A logout's response deletes cookies from the jar itself.
	ctx = cookies.WithoutPending(auth.Bypass(ctx, s))
	if inFlight != nil {
		last = s.newest(ctx, last, inFlight)

		// Where the tokens are cookies, the refresh may have brought the newest ones, and the jar
		// did not get them.
		ctx = inFlight.pending.LogoutContext(ctx)
	}

	_, err := detached.Run(ctx, s.timeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.onLogout(ctx, copyOf(last))
	})
	return err
}

// newest waits for the refresh of a login that is over, and returns the token that the server knows
// after it. If the refresh fails or does not settle within the time limit, that is the last token.
func (s *UserStore[U]) newest(ctx context.Context, last *oauth2.Token, inFlight *refresh) *oauth2.Token {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()

	out, err := inFlight.outcome.Await(ctx)
	if err != nil {
		return last
	}
	return renewed(last, out.token)
}
