package auth

import (
	"errors"
	"fmt"
	"net/textproto"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/wire"
)

const defaultHeader = "Authorization"

// WithHeader sets the header that carries the token, and how: WithHeader("X-Api-Key", func(t *oauth2.Token) string { return
// t.AccessToken }). The default is "Authorization" with the token's type and the access token, "Bearer …".
//
// The header goes to allowed origins alone, is redacted, and is compared when a 401 comes back, as Authorization is. A call
// whose caller sets it is left alone. An empty value attaches nothing.
//
// value is called for each request of a session that has a token, by many goroutines at once, and must not modify the token. If
// it panics, the call fails. A name that is no header's, or is one that the transport or the cookie jar writes, and a nil value
// fail every call, with CodeBadOption.
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

// reservedHeaders are written by the transport, or by the cookie jar.
var reservedHeaders = map[string]bool{
	"Connection": true, "Content-Length": true, "Cookie": true, "Host": true, "Keep-Alive": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// headerValue is what a token is sent as. It is computed once for a token.
type headerValue struct {
	access, kind string // of the token, compared by value: a session may write into it
	value        string
	err          error
}

// headerOf returns the value of the header that carries the session's token. An empty one attaches nothing.
func (i *Interceptor) headerOf(t *tracked, token *oauth2.Token) (string, error) {
	if token == nil {
		return "", nil
	}
	if i.headerValue != nil {
		value, err := guard("the function of WithHeader", func() (string, error) { return i.headerValue(token), nil })
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

// errUnsendable is a token that no header can hold.
var errUnsendable = errors.New("the session's token has a control character, which no header can hold")

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
