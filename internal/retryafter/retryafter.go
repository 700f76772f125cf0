// Package retryafter reads from a failed call how long the server asks to be left alone (RFC 9110 §10.2.3). The sessions of
// package auth and package store share it: neither asks a token endpoint again before its time.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
)

// Limit is the longest pause that is kept to. A server that asks for more is asked again after this time.
const Limit = 5 * time.Minute

// Pause is the time until which a server is left alone. The zero Pause holds nobody. It is a plain value.
type Pause struct {
	until time.Time // by the wall clock
}

// Of returns the pause that a failed call's answer asks for: the Retry-After of an [axle.Error]'s or an
// [oauth2.RetrieveError]'s response, in seconds or as a date. It is the zero Pause if there is no answer, no such header, or a
// value that is malformed or past.
func Of(err error, now time.Time) Pause {
	now = now.Round(0)

	wait := parse(headerOf(err), now)
	if wait <= 0 {
		return Pause{}
	}
	return Pause{now.Add(min(wait, Limit))}
}

// Holds reports whether the pause is still on at that time, by the wall clock. A clock that was set back by more than the limit
// ends it.
func (p Pause) Holds(now time.Time) bool {
	left := p.until.Sub(now.Round(0))
	return left > 0 && left <= Limit
}

// headerOf returns the header of the answer that made the call fail, or nil.
func headerOf(err error) http.Header {
	if retrieve, ok := errors.AsType[*oauth2.RetrieveError](err); ok && retrieve != nil && retrieve.Response != nil {
		return retrieve.Response.Header
	}
	if call, ok := errors.AsType[*axle.Error](err); ok && call != nil && call.Response != nil {
		return call.Response.Header
	}
	return nil
}

func parse(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))

	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		// More seconds than the limit could overflow a Duration.
		return time.Duration(min(seconds, uint64(Limit/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return Limit
	}

	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	// The date is by the server's clock, which its own Date header tells. The local clock may differ.
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		return date.Sub(sent)
	}
	return date.Sub(now)
}
