package retry_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestAttempts_AreThreeByDefaultAndAsManyAsTheOptionSays(t *testing.T) {
	for want, opts := range map[int][]retry.Option{
		3: nil, 1: {retry.WithAttempts(1)}, 2: {retry.WithAttempts(2)}, 7: {retry.WithAttempts(7)},
	} {
		inBubble(t, "", func(t *testing.T) {
			n := answering(503)
			_, err := newClient(n, opts...).Get(t.Context(), "/")
			assert.Equal(t, 503, asAxle(t, err).StatusCode())
			assert.Equal(t, want, n.attempts())
			assert.Equal(t, want, asAxle(t, err).Request.Attempt())
		})
	}
}

func TestAttempts_TheCallerGetsTheErrorOfTheLastOneUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := axle.New().SetBaseURL("http://axle.test").SetTransport(answering(500, 502, 503))
		var seen *axle.Error
		axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
			seen = err
			return nil, err
		})
		_, err := c.Use(retry.New()).Get(t.Context(), "/")
		assert.Equal(t, 503, seen.StatusCode())
		assert.ErrorIs(t, err, seen)
		assert.Equal(t, seen.Error(), err.Error())
		assert.Equal(t, "Service Unavailable", asAxle(t, err).Response.String())
	})
}

func TestAttempts_ACallWhoseConditionNeverEndsStillEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := axle.New().SetBaseURL("http://axle.test").SetTransport(answering(200))
		c.Use(retry.New(retry.WithCondition(always)))
		c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) {
			asked++
			return nil, errReset
		}, nil)
		_, err := c.Get(t.Context(), "/")
		assert.ErrorIs(t, err, errReset)
		assert.Equal(t, 2, asked, "the first attempt, and one replay, which is not sent either")
	})
}

func TestAttempts_TwoInterceptorsInOneClientDoNotMultiplyThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		_, err := newClient(n).Use(retry.New()).Get(t.Context(), "/")
		assert.Equal(t, 503, asAxle(t, err).StatusCode())
		assert.Equal(t, 3, n.attempts())
	})
}

func TestAttempts_OfACallThatAHandlerMakesFromItsOwnRequestCountOn(t *testing.T) {
	again := func(c *axle.Client) {
		axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
			if err.Request.Nested() {
				return nil, err
			}
			return c.Do(err.Request)
		})
	}

	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		before := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
		again(before)
		_, err := before.Use(retry.New()).Get(t.Context(), "/")
		assert.Error(t, err)
		assert.Equal(t, 1+3, n.attempts(), "the outer call, and the inner one with its retries")

		n = answering(503)
		after := newClient(n)
		again(after)
		_, err = after.Get(t.Context(), "/")
		assert.Error(t, err)
		assert.Equal(t, 3+1, n.attempts(), "the outer call has spent the retries of the inner one")
	})
}

func TestAttempts_EndAlsoIfAHandlerReturnsTheFailureOfAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c, other := plainClient(n), plainClient(n)
		axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
			return other.Get(err.Request.Context(), "/fallback")
		})
		_, err := c.Use(retry.New()).Get(t.Context(), "/")
		assert.Equal(t, 503, asAxle(t, err).StatusCode())
		assert.Equal(t, 3+3, n.attempts(), "each attempt with its fallback")
	})
}

func TestAttempts_OfACallThatIsOverAreNotThoseOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n)
		_, err := c.Get(t.Context(), "/")
		_, err = c.Do(asAxle(t, err).Request)
		assert.Error(t, err)
		assert.Equal(t, 6, n.attempts())
	})
}
