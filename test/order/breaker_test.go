package order_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/retry"
)

func TestOrder_BreakerIsFartherThanAuthAndLimitSoThatARefusedCallNeitherRefreshesNorTakesATurn(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, a := startFake(http.StatusServiceUnavailable)
			session, refreshes := newSession()
			c.Use(inOrder(nearer,
				auth.New(session, auth.WithEarlyRefresh(time.Minute)),
				limit.New(limit.WithRate(1, 20*time.Second, 1)),
				breaker.New(breaker.WithFailures(1))))

			_, err := c.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadResponse)
			session.Login(user{"ada"}, &oauth2.Token{AccessToken: "old", Expiry: time.Now().Add(-time.Hour)})

			_, err = c.Get(t.Context(), "/")
			var open *breaker.OpenError
			require.ErrorAs(t, err, &open)
			assert.Len(t, a.list, 1)
			if nearer {
				assert.EqualValues(t, 1, refreshes.Load())
				assert.Equal(t, 20*time.Second, time.Since(a.start).Round(time.Second))
			} else {
				assert.Zero(t, refreshes.Load())
				assert.Zero(t, time.Since(a.start))
			}
		})
	}
}

func TestOrder_ACallCountsOnceWithBreakerInWhicheverOrderItAndRetryAre(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		c, b := start(t, unavailable)
		c.Use(inOrder(reverse, breaker.New(breaker.WithFailures(2)), retry.New(soon)))

		for range 3 {
			_, err := c.Get(t.Context(), "/")
			require.Error(t, err)
		}
		assert.Len(t, b.requests, 6, "two calls of three attempts; the third call is refused")
	}
}

func TestOrder_RetryDoesNotRetryTheRefusalOfBreakerInWhicheverOrderTheyAre(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		c, b := start(t, unavailable)
		var attempts int
		c.Use(inOrder(reverse,
			breaker.New(breaker.WithFailures(1)),
			retry.New(retry.WithAttempts(1), retry.OnRetry(func(context.Context, retry.Event) { attempts++ }))))

		for range 3 {
			_, err := c.Get(t.Context(), "/")
			require.Error(t, err)
		}
		assert.Len(t, b.requests, 1)
		assert.Equal(t, 1, attempts, "retry was asked of the first call alone")
	}
}

func TestOrder_ARetryIsRefusedIfTheCircuitHasOpenedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := startFake(http.StatusServiceUnavailable)
		a.retryAfter = "10"
		c.Use(breaker.New(breaker.WithFailures(1)), retry.New())

		time.AfterFunc(time.Second, func() {
			_, _ = c.Get(t.Context(), "/other", retry.Skip)
		})
		_, err := c.Get(t.Context(), "/")
		var open *breaker.OpenError
		require.ErrorAs(t, err, &open)
		assert.Equal(t, []time.Duration{0, time.Second}, a.times())
	})
}

// fallback recovers from each error.
func fallback() axle.Plugin {
	return axle.OnResponse("fallback", nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		return axle.NewResponse(err.Request, http.StatusOK, nil, []byte("a fallback")), nil
	})
}

func TestOrder_AFallbackIsFartherThanBreakerAndRetryOrTheySeeNoFailure(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		c, b := start(t, unavailable)
		c.Use(inOrder(nearer, breaker.New(breaker.WithFailures(1)), retry.New(soon), fallback()))

		for range 5 {
			got, err := axle.Get[string](t.Context(), c, "/")
			require.NoError(t, err)
			assert.Equal(t, "a fallback", got)
		}
		if nearer {
			assert.Len(t, b.requests, 5, "every call is sent once")
		} else {
			assert.Len(t, b.requests, 3, "three attempts, and the circuit is open")
		}
	}
}

func TestOrder_AHitOfACachePassesAnOpenBreaker(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		c, _ := start(t, ok, unavailable)
		c.Use(inOrder(nearer, breaker.New(breaker.WithFailures(1)), cache()))

		_, err := c.Get(t.Context(), "/cached")
		require.NoError(t, err)
		_, err = c.Get(t.Context(), "/fails")
		require.Error(t, err)

		_, err = c.Get(t.Context(), "/cached")
		if nearer {
			var open *breaker.OpenError
			assert.ErrorAs(t, err, &open)
		} else {
			assert.NoError(t, err)
		}
	}
}
