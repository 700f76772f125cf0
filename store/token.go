package store

import (
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/wire"
)

// renewed returns the token that a session has after a refresh. That is the new token, with the
// refresh token and the type of the old one if it has none itself. If there is no new token, it is
// the old one.
func renewed(old, fresh *oauth2.Token) *oauth2.Token {
	if fresh == nil {
		return old
	}
	token := copyOf(fresh)
	if old != nil && token.RefreshToken == "" {
		token.RefreshToken = old.RefreshToken
	}
	return withTypeOf(old, token)
}

// withTypeOf gives a new token the type of the old one, if it has none. It does not modify either.
func withTypeOf(old, token *oauth2.Token) *oauth2.Token {
	if token == nil || old == nil || token.TokenType != "" || old.TokenType == "" {
		return token
	}
	typed := *token
	typed.TokenType = old.TokenType
	return &typed
}

// usable returns an error if no request can carry the token of a RefreshFunc. Such a token has no
// access token, or a byte in it or its type that no header value may have (RFC 9110 §5.5). The
// error does not contain the token.
func usable(token *oauth2.Token) error {
	if token == nil {
		return nil
	}
	if token.AccessToken == "" {
		return errors.New("store: the RefreshFunc returned a token without an access token")
	}
	if i := wire.BadHeaderByte(token.AccessToken); i >= 0 {
		return fmt.Errorf("store: the RefreshFunc returned an access token "+
			"with a control character at byte %d", i)
	}
	if i := wire.BadHeaderByte(token.TokenType); i >= 0 {
		return fmt.Errorf("store: the RefreshFunc returned a token type "+
			"with a control character at byte %d", i)
	}
	return nil
}

// isSameLogin reports whether two tokens are equal in everything that tells one login from another.
func isSameLogin(a, b *oauth2.Token) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.AccessToken == b.AccessToken && a.RefreshToken == b.RefreshToken &&
		a.TokenType == b.TokenType && a.Expiry.Equal(b.Expiry)
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
