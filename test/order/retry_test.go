package order_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/interceptors/retry"
)

// soon makes the waits of a retry short.
var soon = retry.WithBackoff(time.Millisecond, time.Millisecond)

func TestOrder_EachAttemptOfRetryIsLoggedAndHasTheTokenOfItsMoment(t *testing.T) {
	c, b := start(t, unavailable, expired, ok)
	session, refreshes := newAuth()
	var h records
	c.Use(logging.New(logging.WithLogger(h.logger())), session, retry.New(soon))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "503 401 200", h.String())
	assert.Equal(t, []string{"Bearer t1", "Bearer t1", "Bearer t2"}, b.arrived("Authorization"))
	assert.EqualValues(t, 1, refreshes.Load())
}

func TestOrder_LoggingAfterRetryWritesARecordPerCall(t *testing.T) {
	c, _ := start(t, unavailable, ok)
	var h records
	c.Use(retry.New(soon), logging.New(logging.WithLogger(h.logger())))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "200", h.String())
}

func TestOrder_ACallRefreshesOnceInWhicheverOrderAuthAndRetryAre(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		c, b := start(t, unavailable, expired, unavailable, expired)
		session, refreshes := newAuth()
		c.Use(inOrder(reverse, session, retry.New(soon, retry.WithAttempts(9))))

		_, err := c.Get(t.Context(), "/")
		assert.ErrorIs(t, err, axle.CodeBadRequest)
		assert.EqualValues(t, 1, refreshes.Load())
		assert.Len(t, b.arrived("Authorization"), 4)
	}
}

func TestOrder_RetryAfterAuthJudgesWhatAuthCouldNotMendAlone(t *testing.T) {
	for _, tt := range []struct {
		nearer bool
		want   []int
	}{
		{nearer: false, want: []int{http.StatusOK}},
		{nearer: true, want: []int{http.StatusUnauthorized, http.StatusOK}},
	} {
		c, _ := start(t, expired, ok)
		session, _ := newAuth()
		var judged []int
		c.Use(inOrder(tt.nearer, session, retry.New(retry.WithCondition(func(resp *axle.Response, err *axle.Error) bool {
			if err != nil {
				judged = append(judged, err.StatusCode())
			} else {
				judged = append(judged, resp.StatusCode)
			}
			return false
		}))))

		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, tt.want, judged)
	}
}

func TestOrder_WhatUnwrapsErrorsIsFartherThanRetryOrTheCallIsNotRetried(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		c, b := start(t, unavailable, ok)
		c.Use(inOrder(nearer, retry.New(soon), unwrap()))

		got, err := axle.Get[string](t.Context(), c, "/")
		if nearer {
			assert.ErrorIs(t, err, apiError("come back later"))
			assert.Len(t, b.requests, 1)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, "hello", got)
		assert.Len(t, b.requests, 2)
	}
}

func TestOrder_TheIdempotencyKeyOfRetryIsSignedToo(t *testing.T) {
	c, b := start(t, unavailable, ok)
	session, _ := newAuth()
	c.Use(sign(), session, retry.New(soon, retry.WithIdempotencyKey("Idempotency-Key")))

	_, err := c.Post(t.Context(), "/", "x")
	require.NoError(t, err)
	require.Len(t, b.requests, 2)
	for _, header := range b.requests {
		assert.NotEmpty(t, header.Get("Idempotency-Key"))
		assert.Equal(t, signatureOf(header), header.Get("X-Signature"))
	}
}
