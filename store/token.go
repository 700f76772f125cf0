package store

import (
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/wire"
)

// renewed returns the token that a session has after a refresh: the new one, with the refresh token and the type of the old one
// where it brings none of its own, or the old one if there is no new one.
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

// usable returns an error if no request can carry the new token: it is empty, or it or its type has a byte that no header value
// may have (RFC 9110 §5.5). The error does not hold the token.
func usable(token *oauth2.Token) error {
	if token == nil {
		return nil
	}
	if token.AccessToken == "" {
		return errors.New("store: the RefreshFunc returned a token without an access token")
	}
	if i := wire.BadHeaderByte(token.AccessToken); i >= 0 {
		return fmt.Errorf("store: the RefreshFunc returned an access token with a control character at byte %d", i)
	}
	if i := wire.BadHeaderByte(token.TokenType); i >= 0 {
		return fmt.Errorf("store: the RefreshFunc returned a token type with a control character at byte %d", i)
	}
	return nil
}

// withTypeOf gives a new token the type of the old one, if it has none.
func withTypeOf(old, token *oauth2.Token) *oauth2.Token {
	if token == nil || old == nil || token.TokenType != "" || old.TokenType == "" {
		return token
	}
	typed := *token
	typed.TokenType = old.TokenType
	return &typed
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
