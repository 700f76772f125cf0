package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

// attemptsOf makes a number of calls, one after the other, and returns the number of attempts.
func attemptsOf(t *testing.T, c *axle.Client, n *network, calls int) int {
	before := n.attempts()
	for range calls {
		_, _ = c.Get(t.Context(), "/")
	}
	return n.attempts() - before
}

func TestBudget_BeginsWithTheBurstAndRetriesEnd(t *testing.T) {
	for burst, opts := range map[int][]retry.Option{
		10: nil, 3: {retry.WithBudget(0.1, 3)}, 0: {retry.WithBudget(0.1, 0)},
	} {
		inBubble(t, fmt.Sprint(burst), func(t *testing.T) {
			n := answering(503)
			assert.Equal(t, 100+burst, attemptsOf(t, newClient(n, opts...), n, 100))
		})
	}
}

func TestBudget_EveryCallThatGoesWellEarnsAShareUpToTheBurst(t *testing.T) {
	cases := []struct{ calls, earned int }{{9, 0}, {10, 1}, {25, 2}, {1000, 3}}
	for _, c := range cases {
		for _, status := range []int{200, 404} {
			inBubble(t, fmt.Sprint(c.calls, " of ", status), func(t *testing.T) {
				n := answering(503)
				client := newClient(n, retry.WithBudget(0.1, 3), retry.WithAttempts(2))
				attemptsOf(t, client, n, 50)

				n.statuses = []int{status}
				n.sent = nil
				attemptsOf(t, client, n, c.calls)

				n.statuses = []int{503}
				assert.Equal(t, 50+c.earned, attemptsOf(t, client, n, 50))
			})
		}
	}
}

func TestBudget_ACallThatFailsEarnsNothingAlsoIfItIsNotOneToRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n, retry.WithBudget(1, 1))
		for range 20 {
			_, _ = c.Post(t.Context(), "/", nil)
			_, _ = c.Get(t.Context(), "/")
		}
		assert.Equal(t, 40+1, n.attempts())
	})
}

func TestBudget_IsSharedByTheClientsOfOneInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := retry.New()
		n := answering(503)
		for range 30 {
			c := axle.New().SetBaseURL("http://axle.test").SetTransport(n).Use(shared)
			_, _ = c.Get(t.Context(), "/")
		}
		assert.Equal(t, 30+10, n.attempts())
	})
}

func TestBudget_TheCallerGetsTheFailureAndObserversTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told events
		n := answering(503)
		_, err := newClient(n, retry.WithBudget(0.1, 1), told.option()).Get(t.Context(), "/")
		assert.Equal(t, 503, asAxle(t, err).StatusCode())
		assert.Equal(t, []retry.Reason{"", retry.BudgetSpent}, told.finals())
	})
}

func TestBudget_HoldsForConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := axletest.NewFakeClient(axletest.Always(http.StatusServiceUnavailable, ""))
		c.Use(retry.New())
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { _, _ = c.Get(t.Context(), "/") })
		}
		wg.Wait()
		assert.EqualValues(t, 500+10, n.Sent.Load())
	})
}

func TestBudget_ARequestThatCannotBeSentAgainCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			return axletest.Reply(r, 503, ""), nil
		})
		c.Use(retry.New(retry.WithBudget(0, 1)))
		for range 3 {
			_, err := c.Put(t.Context(), "/", io.MultiReader(&axletest.Endless{Left: axle.ReplayLimit + 1}))
			assert.ErrorIs(t, err, axle.ErrBodyConsumed)
		}
		_, _ = c.Put(t.Context(), "/", "body")
		assert.EqualValues(t, 3+2, n.Sent.Load())
	})
}

func TestBudget_ARetryThatARequestHandlerStopsCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n, retry.WithBudget(0, 1))
		stop := true
		c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			if stop && r.Attempt() > 0 {
				return nil, errors.New("no token")
			}
			return r, nil
		}, nil)
		assert.Equal(t, 3, attemptsOf(t, c, n, 3))

		stop = false
		assert.Equal(t, 3+1, attemptsOf(t, c, n, 3), "the one retry of the budget is still there")
	})
}
