// Package expiry judges whether a token has expired. Package auth and package store share it.
//
// It compares wall times. A [time.Time] that [time.Now] returned also carries a monotonic reading,
// and the comparisons of package time prefer that reading. The monotonic clock stops while a laptop
// sleeps, and a token would seem to live longer by the length of that sleep. Round(0) strips the
// reading.
package expiry

import (
	"time"

	"golang.org/x/oauth2"
)

// Passed reports whether the token had expired at the given time. It is false for a nil token and
// for an unknown expiry.
func Passed(t *oauth2.Token, now time.Time) bool {
	left, known := Left(t, now)
	return known && left <= 0
}

// Within reports whether the token has expired or will expire within d. It is false for a nil token
// and for an unknown expiry.
func Within(t *oauth2.Token, d time.Duration) bool {
	left, known := Left(t, time.Now())
	return known && left <= d
}

// Left returns the time from now to the token's expiry. It is negative for a token that has
// expired. It is not known for a nil token and for a token whose Expiry is zero.
func Left(t *oauth2.Token, now time.Time) (left time.Duration, known bool) {
	if t == nil || t.Expiry.IsZero() {
		return 0, false
	}
	return t.Expiry.Round(0).Sub(now.Round(0)), true
}
