// Package retryafter reads from a failed call how long the server asks its clients to wait
// (Retry-After, RFC 9110 §10.2.3). The sessions of package auth and of package store share it.
// Neither sends a request to a token endpoint during the pause.
package retryafter

import (
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/delay"
)

// Limit is the longest pause. A server that asks for a longer one gets the next request after this
// time.
const Limit = 5 * time.Minute

// Pause is a time during which no request is sent to a server. The zero Pause is over. A Pause is a
// plain value.
type Pause struct {
	until time.Time // by the wall clock
}

// Of returns the pause that the response of a failed call asks for. The error holds that response
// as an [axle.Error] or as an [oauth2.RetrieveError]. Retry-After is a number of seconds or a date.
// Of returns the zero Pause if there is no response, if the response has no such header, or if the
// header is malformed or names a time that has passed.
func Of(err error, now time.Time) Pause {
	now = now.Round(0)

	wait := delay.Of(headerOf(err), now)
	if wait <= 0 {
		return Pause{}
	}
	return Pause{now.Add(min(wait, Limit))}
}

// Holds reports whether the pause is still on at the given time, by the wall clock. Setting the
// clock back by more than the limit ends the pause.
func (p Pause) Holds(now time.Time) bool {
	left := p.until.Sub(now.Round(0))
	return left > 0 && left <= Limit
}

// headerOf returns the header of the response that made the call fail, or nil.
func headerOf(err error) http.Header {
	retrieve, ok := errors.AsType[*oauth2.RetrieveError](err)
	if ok && retrieve != nil && retrieve.Response != nil {
		return retrieve.Response.Header
	}

	if call, ok := errors.AsType[*axle.Error](err); ok && call != nil && call.Response != nil {
		return call.Response.Header
	}

	return nil
}
