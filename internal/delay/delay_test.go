package delay_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/delay"
)

func TestDelay_IsReadAsSecondsOrAsADate(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	date := func(after time.Duration) string { return now.Add(after).Format(http.TimeFormat) }

	cases := []struct {
		name  string
		value string
		sent  string // the Date header
		want  time.Duration
	}{
		{"none", "", "", 0},
		{"seconds", "60", "", time.Minute},
		{"seconds, with space around", " 60 ", "", time.Minute},
		{"zero", "0", "", 0},
		{"less than zero", "-1", "", 0},
		{"a fraction", "1.5", "", 0},
		{"a word", "soon", "", 0},
		{"the most seconds of a Duration", "9223372036", "", 9223372036 * time.Second},
		{"seconds that overflow a Duration", "99999999999999", "", math.MaxInt64},
		{"seconds that overflow 64 bits", "99999999999999999999999", "", math.MaxInt64},
		{"a date", date(time.Minute), "", time.Minute},
		{"a date that has passed", date(-time.Minute), "", -time.Minute},
		{"a date by the server's clock", date(61 * time.Minute), date(time.Hour), time.Minute},
		{"a date beside a malformed Date", date(time.Minute), "now", time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{}
			if c.value != "" {
				header.Set("Retry-After", c.value)
			}
			if c.sent != "" {
				header.Set("Date", c.sent)
			}

			assert.Equal(t, c.want, delay.Of(header, now))
		})
	}
}

func TestDelay_MillisecondsGoBeforeSeconds(t *testing.T) {
	cases := []struct {
		name, value string
		want        time.Duration
	}{
		{"a number", " 1500 ", 1500 * time.Millisecond},
		{"a fraction", "0.5", 500 * time.Microsecond},
		{"zero", "0", 0},
		{"the least number that overflows", "9223372036854.7754", math.MaxInt64},
		{"a number that overflows", "1e300", math.MaxInt64},
		{"without end", "Inf", math.MaxInt64},
		{"malformed: the seconds hold", "soon", time.Minute},
		{"less than zero: the seconds hold", "-5", time.Minute},
		{"no number: the seconds hold", "NaN", time.Minute},
		{"none: the seconds hold", "", time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{"Retry-After": {"60"}, "Retry-After-Ms": {c.value}}
			assert.Equal(t, c.want, delay.Of(header, time.Now()))
		})
	}
}

func TestMayPass_IsEveryStatusOfAServerThatMayServeTheSameRequestLater(t *testing.T) {
	passing := map[int]bool{408: true, 425: true, 429: true}
	for status := 500; status <= 599; status++ {
		passing[status] = status != http.StatusNotImplemented
	}
	for status := range 1000 {
		assert.Equal(t, passing[status], delay.MayPass(status), status)
	}
}

func TestWait_ReturnsAfterTheTimeOrWithTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		start := time.Now()
		assert.NoError(t, delay.Wait(ctx, time.Minute))
		assert.Equal(t, time.Minute, time.Since(start))

		cause := errors.New("the caller has left")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		assert.Equal(t, cause, delay.Wait(ctx, time.Minute))
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
		assert.Equal(t, cause, delay.Wait(ctx, 0))
	})
}
