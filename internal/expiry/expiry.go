// Package expiry judges when a token's time is over. Package auth and package store share it.
//
// It compares wall times. A [time.Time] that [time.Now] returned also carries a monotonic reading, and the comparisons of
// package time prefer that one. The monotonic clock stands still while a laptop sleeps, so that a token would seem to live on
// by as long as the laptop slept. Round(0) strips the reading.
package expiry

import (
	"time"

	"golang.org/x/oauth2"
)

// Passed reports whether the token had expired at that time. A token that is nil, or whose Expiry is unknown, never has.
func Passed(t *oauth2.Token, at time.Time) bool {
	left, known := Left(t, at)
	return known && left <= 0
}

// Within reports whether the token expires within d from now, or has expired. A token that is nil, or whose Expiry is
// unknown, never does.
func Within(t *oauth2.Token, d time.Duration) bool {
	left, known := Left(t, time.Now())
	return known && left <= d
}

// Left returns how long the token still lives at that time. It is negative for a token that has expired. The life of a token
// that is nil, or whose Expiry is zero, is not known.
func Left(t *oauth2.Token, at time.Time) (left time.Duration, known bool) {
	if t == nil || t.Expiry.IsZero() {
		return 0, false
	}
	return t.Expiry.Round(0).Sub(at.Round(0)), true
}
