package retry_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
)

func TestBackoff_IsARandomTimeUpToALimitThatDoubles(t *testing.T) {
	cases := []struct {
		name   string
		opts   []retry.Option
		limits []time.Duration // of each wait
	}{
		{"by default", nil, []time.Duration{
			500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second,
		}},
		{"of the options", []retry.Option{retry.WithBackoff(3*time.Second, 10*time.Second)}, []time.Duration{
			3 * time.Second, 6 * time.Second, 10 * time.Second, 10 * time.Second,
		}},
		{"the same each time", []retry.Option{retry.WithBackoff(time.Second, time.Second)}, []time.Duration{
			time.Second, time.Second, time.Second,
		}},
		{"none", []retry.Option{retry.WithBackoff(0, 0)}, []time.Duration{0, 0, 0}},
	}
	for _, c := range cases {
		inBubble(t, c.name, func(t *testing.T) {
			const calls = 400
			attempts := len(c.limits) + 1
			longest, sum := make([]time.Duration, len(c.limits)), make([]time.Duration, len(c.limits))
			opts := slices.Concat(c.opts, []retry.Option{
				retry.WithAttempts(attempts), retry.WithBudget(1, calls*attempts),
			})
			for range calls {
				n := answering(503)
				_, err := newClient(n, opts...).Get(t.Context(), "/")
				require.Error(t, err)
				require.Len(t, n.waits(), len(c.limits))
				for i, wait := range n.waits() {
					longest[i] = max(longest[i], wait)
					sum[i] += wait
				}
			}

			// The waits are spread evenly over the whole time.
			for i, limit := range c.limits {
				assert.LessOrEqual(t, longest[i], limit, "wait %d", i+1)
				assert.GreaterOrEqual(t, longest[i], limit*9/10, "wait %d", i+1)
				assert.InDelta(t, limit/2, sum[i]/calls, float64(limit)/10, "wait %d", i+1)
			}
		})
	}
}

func TestRetryAfter_IsWaitedForAsSecondsAsADateAndAsMilliseconds(t *testing.T) {
	cases := map[string]func() http.Header{
		"seconds": func() http.Header { return http.Header{"Retry-After": {"20"}} },
		"a date": func() http.Header {
			return http.Header{"Retry-After": {time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)}}
		},
		"a date by a clock that is ahead": func() http.Header {
			ahead := time.Now().Add(time.Hour).UTC()
			return http.Header{
				"Date": {ahead.Format(http.TimeFormat)}, "Retry-After": {ahead.Add(20 * time.Second).Format(http.TimeFormat)},
			}
		},
		"milliseconds": func() http.Header { return http.Header{"Retry-After-Ms": {"20000"}} },
		"both: the milliseconds": func() http.Header {
			return http.Header{"Retry-After": {"21"}, "Retry-After-Ms": {"20000"}}
		},
	}
	for name, header := range cases {
		for _, status := range []int{429, 500, 503} {
			inBubble(t, name, func(t *testing.T) {
				n := answering(status, 200)
				n.header = header()
				_, err := newClient(n).Get(t.Context(), "/")
				require.NoError(t, err)
				assert.Equal(t, []time.Duration{20 * time.Second}, n.waits())
			})
		}
	}
}

func TestRetryAfter_ThatAsksForNoWaitLeavesItToTheBackoff(t *testing.T) {
	for _, value := range []string{"0", "-1", "soon", "Mon, 01 Jan 1990 00:00:00 GMT"} {
		inBubble(t, value, func(t *testing.T) {
			n := answering(503, 200)
			n.header = http.Header{"Retry-After": {value}}
			var told events
			_, err := newClient(n, told.option()).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Positive(t, n.waits()[0])
			assert.Equal(t, told.list[0].Wait, n.waits()[0])
		})
	}
}

func TestRetryAfter_AResponseThatAsksForMoreIsReturnedAndNotWaitedFor(t *testing.T) {
	cases := []struct {
		asks string
		opts []retry.Option
		want int // attempts
	}{
		{"60", nil, 2},
		{"61", nil, 1},
		{"99999999999999999999999", nil, 1},
		{"3600", []retry.Option{retry.WithMaxRetryAfter(time.Hour)}, 2},
		{"3601", []retry.Option{retry.WithMaxRetryAfter(time.Hour)}, 1},
		{"1", []retry.Option{retry.WithMaxRetryAfter(0)}, 1},
		{"0", []retry.Option{retry.WithMaxRetryAfter(0)}, 2},
	}
	for _, c := range cases {
		inBubble(t, c.asks, func(t *testing.T) {
			n := answering(429)
			n.header = http.Header{"Retry-After": {c.asks}}
			var told events
			start := time.Now()
			_, err := newClient(n, append(c.opts, told.option(), retry.WithAttempts(2))...).Get(t.Context(), "/")
			assert.Equal(t, 429, asAxle(t, err).StatusCode())
			assert.Equal(t, c.want, n.attempts())
			if c.want == 1 {
				assert.Zero(t, time.Since(start))
				assert.Equal(t, []retry.Reason{retry.RetryAfterTooLong}, told.finals())
			}
		})
	}
}

// Waits and the context.

func TestWait_NoAttemptBeginsAfterTheDeadline(t *testing.T) {
	for asked, attempts := range map[string]int{"4": 2, "5": 1, "6": 1} {
		inBubble(t, asked, func(t *testing.T) {
			n := answering(503)
			n.header = http.Header{"Retry-After": {asked}}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()

			var told events
			start := time.Now()
			_, err := newClient(n, told.option()).Get(ctx, "/")
			assert.Equal(t, 503, asAxle(t, err).StatusCode(), "the failure is returned at once")
			assert.NotErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, attempts, n.attempts())
			assert.Less(t, time.Since(start), 5*time.Second)
			assert.Equal(t, retry.PastDeadline, told.finals()[attempts-1])
		})
	}
}

func TestWait_EndsWithTheContextAndHoldsTheFailureBefore(t *testing.T) {
	cause := errors.New("the user left")
	cases := map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want axle.Code
		is   []error
	}{
		"a cancellation": {
			end: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Second, func() { cancel(cause) })
				return ctx, func() { cancel(nil) }
			},
			want: axle.CodeCanceled, is: []error{context.Canceled, cause},
		},
		"a deadline that the context does not tell": {
			end: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				return withoutDeadline{ctx}, cancel
			},
			want: axle.CodeTimeout, is: []error{context.DeadlineExceeded},
		},
	}
	for name, c := range cases {
		for _, failure := range []int{503, reset} {
			inBubble(t, name, func(t *testing.T) {
				n := answering(failure)
				ctx, cancel := c.end(t.Context())
				defer cancel()

				var told events
				client := newClient(n, told.option(), retry.WithBackoff(time.Hour, time.Hour))
				start := time.Now()
				_, err := client.Get(ctx, "/")
				assert.Equal(t, time.Second, time.Since(start))
				assert.Equal(t, c.want, asAxle(t, err).Code)
				for _, target := range c.is {
					assert.ErrorIs(t, err, target)
				}
				assert.Equal(t, 1, n.attempts())
				assert.Equal(t, []retry.Reason{"", retry.WaitEnded}, told.finals())

				if failure == reset {
					assert.ErrorIs(t, err, errReset, "the failure before the wait")
					return
				}
				assert.ErrorIs(t, err, axle.CodeBadResponse, "the failure before the wait")
				assert.Equal(t, "Service Unavailable", asAxle(t, err).Response.String())
			})
		}
	}
}

// withoutDeadline is a context that ends without telling when.
type withoutDeadline struct{ context.Context }

func (withoutDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

func TestWait_ThatEndedGivesItsRetryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n, retry.WithBudget(0, 1), retry.WithBackoff(time.Hour, time.Hour))
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Nanosecond, cancel)
			_, err := c.Get(ctx, "/")
			assert.ErrorIs(t, err, axle.CodeCanceled, "it has waited")
		}
	})
}
