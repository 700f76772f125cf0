// Package delay reads from a response's header how long the server asks its clients to wait
// (Retry-After, RFC 9110 §10.2.3). It imports nothing of axle's, so that package axle can use it.
// Package retryafter is for the errors of calls.
package delay

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Of returns how long to wait from now on, and whether the header says so. Retry-After is a number
// of seconds or a date. A date that has passed gives zero or less. A number that no Duration can
// hold gives the longest one. A header that is malformed says nothing.
func Of(header http.Header, now time.Time) (wait time.Duration, found bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))

	const most = uint64(math.MaxInt64 / time.Second)
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil && seconds <= most {
		return time.Duration(seconds) * time.Second, true //nolint:gosec // it is at most most
	} else if err == nil || errors.Is(err, strconv.ErrRange) {
		return math.MaxInt64, true
	}

	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}

	// The date was made by the server's clock, and the Date header shows that clock. The local
	// clock may differ.
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		return date.Sub(sent), true
	}
	return date.Sub(now), true
}
