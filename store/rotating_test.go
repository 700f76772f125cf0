package store_test

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/oauth2"
)

// rotating is a token server that rotates refresh tokens and notices one that is spent twice.
type rotating struct {
	mu      sync.Mutex
	current int
	spent   int // refreshes
	reused  int
	fail    error         // what the next refresh fails with, after it has rotated
	slow    chan struct{} // nil: answers at once
}

func (r *rotating) token() *oauth2.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	return tokenNamed(fmt.Sprint(r.current))
}

func (r *rotating) refresh(_ context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	if r.slow != nil {
		<-r.slow
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if current == nil || current.RefreshToken != fmt.Sprintf("refresh-%d", r.current) {
		r.reused++
		return nil, &oauth2.RetrieveError{ErrorCode: "invalid_grant"}
	}
	r.current++
	r.spent++
	if r.fail != nil {
		err := r.fail
		r.fail = nil
		return nil, err
	}
	return tokenNamed(fmt.Sprint(r.current)), nil
}
