package retryafter_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/retryafter"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// pauseOf returns how long the pause holds, to the second.
func pauseOf(p retryafter.Pause) (seconds int) {
	for p.Holds(now.Add(time.Duration(seconds) * time.Second)) {
		seconds++
	}
	return seconds
}

func date(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

func TestRetryAfter_IsReadAsSecondsOrAsADateAndCapped(t *testing.T) {
	cases := []struct {
		name   string
		header http.Header
		want   int
	}{
		{"none", http.Header{}, 0},
		{"seconds", http.Header{"Retry-After": {"60"}}, 60},
		{"seconds, with space around", http.Header{"Retry-After": {" 60 "}}, 60},
		{"zero", http.Header{"Retry-After": {"0"}}, 0},
		{"less than zero", http.Header{"Retry-After": {"-1"}}, 0},
		{"seconds over the cap", http.Header{"Retry-After": {"301"}}, 300},
		{"seconds that overflow a Duration", http.Header{"Retry-After": {"99999999999999"}}, 300},
		{"seconds that overflow 64 bits", http.Header{"Retry-After": {"99999999999999999999999"}}, 300},
		{"a date", http.Header{"Retry-After": {date(now.Add(time.Minute))}}, 60},
		{"a date that has passed", http.Header{"Retry-After": {date(now.Add(-time.Minute))}}, 0},
		{"a date over the cap", http.Header{"Retry-After": {date(now.Add(time.Hour))}}, 300},
		{"a date by the server's clock", http.Header{
			"Retry-After": {date(now.Add(61 * time.Minute))}, "Date": {date(now.Add(time.Hour))},
		}, 60},
		{"neither", http.Header{"Retry-After": {"soon"}}, 0},
		{"a fraction", http.Header{"Retry-After": {"1.5"}}, 0},
	}
	for _, c := range cases {
		errs := map[string]error{
			"axle":            &axle.Error{Response: axle.NewResponse(nil, http.StatusServiceUnavailable, c.header, nil)},
			"oauth2":          &oauth2.RetrieveError{Response: &http.Response{Header: c.header}},
			"oauth2, wrapped": fmt.Errorf("refreshing: %w", &oauth2.RetrieveError{Response: &http.Response{Header: c.header}}),
		}
		for kind, err := range errs {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				assert.Equal(t, c.want, pauseOf(retryafter.Of(err, now)))
			})
		}
	}
}

func TestRetryAfter_AnErrorWithoutAResponseAsksForNoPause(t *testing.T) {
	for name, err := range map[string]error{
		"nil":                  nil,
		"a plain error":        errors.New("boom"),
		"axle, no response":    &axle.Error{Code: axle.CodeNetwork},
		"oauth2, no response":  &oauth2.RetrieveError{},
		"axle, a nil pointer":  (*axle.Error)(nil),
		"axle, without header": &axle.Error{Response: axle.NewResponse(nil, http.StatusOK, nil, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, retryafter.Pause{}, retryafter.Of(err, now))
			assert.False(t, retryafter.Pause{}.Holds(now))
		})
	}
}

func TestRetryAfter_AClockThatWasSetBackEndsThePause(t *testing.T) {
	err := &oauth2.RetrieveError{Response: &http.Response{Header: http.Header{"Retry-After": {"60"}}}}
	pause := retryafter.Of(err, now)
	assert.True(t, pause.Holds(now.Add(-time.Minute)))
	assert.False(t, pause.Holds(now.Add(-time.Hour)))
}
