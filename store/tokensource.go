package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/expiry"
)

// TokenSource returns the session as an oauth2.TokenSource, for any other library. Its tokens are
// those of the store.
//
// A token that has expired, by the wall clock, is refreshed first, once for all who ask. A token
// that came expired from a refresh is handed out, because then this machine's clock is ahead. A
// refresh that a call needs, because the token was refused, is waited for. An early refresh, see
// [UserStore.KeepFresh], is not.
//
// ctx bounds the waits. A failed refresh, an ended session and a session without a token are
// errors.
//
// Give the source to an oauth2.Transport. oauth2.NewClient would keep a token until its expiry, and
// would not notice a logout before that.
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
	if now.Active && !auth.Bypassed(t.ctx, t.store) && mustRefresh(now) {
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

// mustRefresh reports whether the token is of no use now. Either it has expired, or a call found it
// refused and waits for another.
func mustRefresh(now auth.Snapshot) bool {
	if now.Refreshing && !now.Early {
		return true
	}
	if now.Token == nil {
		return false
	}

	// If a refresh brought a token that was of no use at once, another refresh would bring the
	// same. A clock that is ahead takes each new token for expired.
	if now.Refreshed && (now.Token.AccessToken == "" || expiry.Passed(now.Token, now.Obtained)) {
		return false
	}
	return now.Token.AccessToken == "" || expiry.Passed(now.Token, time.Now())
}
