// Package delay is for requests that are sent again: after which statuses, after how long a wait if
// the server asks for one (Retry-After, RFC 9110 §10.2.3, and Retry-After-Ms, as Azure and OpenAI
// send it), and the wait itself. It imports nothing of axle's, so that package axle can use it.
// Package retryafter is for the errors of calls.
package delay

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MayPass reports whether a status says that the server cannot serve the request now, and may serve
// the same request later.
func MayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= 500 && status <= 599
}

// Of returns how long to wait from now on. Retry-After-Ms, a number of milliseconds, is the more
// exact one and goes first. Retry-After is a number of seconds or a date. A date that has passed
// gives zero or less. A number that no Duration can hold gives the longest one. A header that is
// missing or malformed gives zero.
func Of(header http.Header, now time.Time) time.Duration {
	milliseconds := strings.TrimSpace(header.Get("Retry-After-Ms"))
	if ms, err := strconv.ParseFloat(milliseconds, 64); err == nil && ms >= 0 {
		return ofMilliseconds(ms)
	}

	value := strings.TrimSpace(header.Get("Retry-After"))
	const most = uint64(math.MaxInt64 / time.Second)
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil && seconds <= most {
		return time.Duration(seconds) * time.Second
	} else if err == nil || errors.Is(err, strconv.ErrRange) {
		return math.MaxInt64
	}

	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}

	// The date was made by the server's clock, and the Date header shows that clock. The local
	// clock may differ.
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		return date.Sub(sent)
	}
	return date.Sub(now)
}

func ofMilliseconds(ms float64) time.Duration {
	if wait := ms * float64(time.Millisecond); wait < math.MaxInt64 {
		return time.Duration(wait)
	}
	return math.MaxInt64
}

// Wait returns after d, or when ctx ends. Its error is the cause of a context that has ended.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}
