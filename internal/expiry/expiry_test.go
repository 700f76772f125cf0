package expiry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/expiry"
)

func TestExpiry_IsKnownAndOverFromThatVeryInstant(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		name  string
		token *oauth2.Token
		want  bool
	}{
		{"no token", nil, false},
		{"no expiry", &oauth2.Token{}, false},
		{"a nanosecond to go", &oauth2.Token{Expiry: now.Add(1)}, false},
		{"this instant", &oauth2.Token{Expiry: now}, true},
		{"past", &oauth2.Token{Expiry: now.Add(-time.Hour)}, true},
		{"past, in another time zone", &oauth2.Token{Expiry: now.Add(-1).In(time.FixedZone("", 7200))}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, expiry.Passed(c.token, now))
		})
	}
}

func TestExpiry_WithinATimeFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := &oauth2.Token{Expiry: time.Now().Add(time.Minute)}

		assert.False(t, expiry.Within(token, time.Minute-1))
		assert.True(t, expiry.Within(token, time.Minute))

		time.Sleep(2 * time.Minute)
		assert.True(t, expiry.Within(token, 0), "the token has expired")

		assert.False(t, expiry.Within(&oauth2.Token{}, time.Hour), "its expiry is unknown")
		assert.False(t, expiry.Within(nil, time.Hour))
	})
}

// While a laptop sleeps, the wall clock goes on and the monotonic clock does not. A test cannot
// make two times that differ in this way. It can check that the monotonic reading is stripped.
func TestExpiry_IsComparedByTheWallClock(t *testing.T) {
	start := time.Now()
	token := &oauth2.Token{Expiry: start.Add(time.Hour)}
	assert.NotEqual(t, token.Expiry, token.Expiry.Round(0), "the expiry has a monotonic reading")

	left, known := expiry.Left(token, start)
	assert.True(t, known)
	assert.Equal(t, token.Expiry.Round(0).Sub(start.Round(0)), left)
}
