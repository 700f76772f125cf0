package auth

import (
	"errors"
	"fmt"
	"net/textproto"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/wire"
)

const defaultHeader = "Authorization"

// WithHeader sets the header that carries the token, and a function that returns the header's value
// for a token:
//
//	auth.WithHeader("X-Api-Key", func(t *oauth2.Token) string { return t.AccessToken })
//
// The default is "Authorization" with the token's type and the access token, as in "Bearer abc".
//
// The header is treated as Authorization is: it goes to allowed origins alone, it is redacted, and
// it is compared when a 401 comes back. A call whose caller sets the header is left alone. For an
// empty value nothing is attached.
//
// The function is called for each request of a session that has a token, by many goroutines at
// once, and must not modify the token. If it panics, the call fails.
//
// Every call fails with [axle.CodeBadOption] if the function is nil, if the name is not a valid
// header name, or if the header has another purpose: it frames the message, describes its body, or
// belongs to the transport or the cookie jar.
func WithHeader(name string, value func(*oauth2.Token) string) Option {
	return func(i *Interceptor) {
		name := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !wire.IsToken(name):
			i.bad = fmt.Errorf("auth: WithHeader: %q is not the name of a header", name)
		case reservedHeaders[name]:
			i.bad = fmt.Errorf("auth: WithHeader: the header %s cannot carry a token", name)
		case value == nil:
			i.bad = fmt.Errorf("auth: WithHeader: the function for the header %s is nil", name)
		}
		i.header, i.headerValue = name, value
	}
}

// reservedHeaders have a purpose of their own, so that none of them can carry a token.
var reservedHeaders = map[string]bool{
	// The transport and the engine write these.
	"Accept-Encoding":     true,
	"Connection":          true,
	"Content-Encoding":    true,
	"Content-Length":      true,
	"Content-Type":        true,
	"Expect":              true,
	"Host":                true,
	"Keep-Alive":          true,
	"Proxy-Authorization": true,
	"Proxy-Connection":    true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,

	// The cookie jar writes the first, and reads the second in responses.
	"Cookie":     true,
	"Set-Cookie": true,
}

// headerValue is the header's value for a token, computed once. It is never modified.
type headerValue struct {
	// access and kind are those of the token. They are kept by value, since a session may write into
	// its token.
	access, kind string

	value string
	err   error
}

// headerOf returns the value of the header that carries the session's token. For an empty value
// nothing is attached.
func (i *Interceptor) headerOf(t *tracked, token *oauth2.Token) (string, error) {
	if token == nil {
		return "", nil
	}
	if i.headerValue != nil {
		value, err := guard("the function of WithHeader", func() (string, error) {
			return i.headerValue(token), nil
		})
		if err != nil {
			return "", err
		}
		return value, checkValue(i.header, value)
	}

	if token.AccessToken == "" {
		return "", nil
	}

	last := t.header.Load()
	if last == nil || last.access != token.AccessToken || last.kind != token.TokenType {
		value := token.Type() + " " + token.AccessToken
		last = &headerValue{token.AccessToken, token.TokenType, value, checkValue(i.header, value)}
		t.header.Store(last)
	}
	return last.value, last.err
}

// errUnsendable is the error of a token that no header can hold.
var errUnsendable = errors.New("the session's token has a control character, which no header can hold")

// checkValue refuses a value that the header cannot hold. Its error does not show the value.
func checkValue(header, value string) error {
	if wire.BadHeaderByte(value) < 0 {
		return nil
	}
	return fmt.Errorf("the header %s: %w", header, errUnsendable)
}

// canCarry reports whether a header can hold the token.
func canCarry(t *oauth2.Token) bool {
	return t == nil || wire.BadHeaderByte(t.AccessToken) < 0 && wire.BadHeaderByte(t.TokenType) < 0
}
