package axle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestError_ACodeIsAnErrorThatErrorsIsFinds(t *testing.T) {
	err := fmt.Errorf("around: %w", &axle.Error{Code: axle.CodeTimeout})
	assert.ErrorIs(t, err, axle.CodeTimeout)
	assert.NotErrorIs(t, err, axle.CodeCanceled)
	assert.EqualError(t, axle.CodeTimeout, "ETIMEDOUT")
}

func TestError_TheCauseIsSeenThrough(t *testing.T) {
	cause := &url.Error{Op: "cause", Err: errBoom}
	err := error(&axle.Error{Code: axle.CodeNetwork, Err: cause})
	assert.ErrorIs(t, err, errBoom)
	found, ok := errors.AsType[*url.Error](err)
	assert.True(t, ok)
	assert.Same(t, cause, found)
}

func TestError_TimeoutsAndCancellationsAreTheContextErrors(t *testing.T) {
	assert.ErrorIs(t, &axle.Error{Code: axle.CodeTimeout}, context.DeadlineExceeded)
	assert.ErrorIs(t, &axle.Error{Code: axle.CodeCanceled}, context.Canceled)
	assert.NotErrorIs(t, &axle.Error{Code: axle.CodeCanceled}, context.DeadlineExceeded)
	assert.NotErrorIs(t, &axle.Error{Code: axle.CodeNetwork}, context.Canceled)
	assert.True(t, (&axle.Error{Code: axle.CodeTimeout}).Timeout())
	assert.False(t, (&axle.Error{Code: axle.CodeNetwork}).Timeout())
	assert.True(t, (&url.Error{Err: &axle.Error{Code: axle.CodeTimeout}}).Timeout(), "url.Error asks it")
}

func TestError_StatusCodeIsZeroWithoutAResponse(t *testing.T) {
	assert.Zero(t, new(axle.Error).StatusCode())
	assert.Equal(t, 418, (&axle.Error{Response: axle.NewResponse(nil, 418, nil, nil)}).StatusCode())
}

func TestError_TextNamesMethodRedactedURLStatusCodeCauseAndTheInterceptor(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errBoom }, axle.Named("breaker"))
	_, err := c.R(t.Context()).SetQueryParam("access_token", "s3cret").SetQueryParam("page", "2").Post("/users")
	text := asAxle(t, err).Error()
	for _, part := range []string{"POST", "http://axle.test/users", "page=2", "200", "ERR_INTERCEPTOR", "breaker", "boom"} {
		assert.Contains(t, text, part)
	}
	assert.NotContains(t, text, "s3cret")
}

func TestError_TextOfAnErrorWithNothingInIt(t *testing.T) {
	var none *axle.Error
	assert.NotPanics(t, func() {
		_ = none.Error()
		_ = new(axle.Error).Error()
		_ = (&axle.Error{Request: new(axle.Request), Response: new(axle.Response)}).Error()
	})
	assert.NoError(t, none.Unwrap())
	assert.NotErrorIs(t, errors.Join(none), axle.CodeTimeout)
}

func TestError_CodesOfRefusedStatuses(t *testing.T) {
	for status, code := range map[int]axle.Code{
		302: axle.CodeBadResponse, 399: axle.CodeBadResponse, 400: axle.CodeBadRequest, 404: axle.CodeBadRequest,
		499: axle.CodeBadRequest, 500: axle.CodeBadResponse, 599: axle.CodeBadResponse,
	} {
		c, _ := newFakeClient(always(status, ""))
		_, err := c.Get(t.Context(), "/")
		e := asAxle(t, err)
		assert.Equal(t, code, e.Code, "%d", status)
		assert.Equal(t, status, e.StatusCode())
	}
}

func TestError_ANetworkFailureKeepsItsCauseAndNoURL(t *testing.T) {
	c, _ := newFakeClient(func(*http.Request) (*http.Response, error) { return nil, errBoom })
	_, err := c.Get(t.Context(), "/?api_key=s3cret")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	assert.Nil(t, e.Response)
	assert.ErrorIs(t, err, errBoom)
	assert.NotContains(t, err.Error(), "s3cret")
}

func TestError_ATimeLimitAndACallersDeadlineAreTimeouts(t *testing.T) {
	for name, call := range map[string]func(c *axle.Client) error{
		"the client's": func(c *axle.Client) error {
			_, err := c.SetTimeout(time.Second).Get(context.Background(), "/")
			return err
		},
		"the request's": func(c *axle.Client) error {
			_, err := c.R(context.Background()).SetTimeout(time.Second).Get("/")
			return err
		},
		"the caller's": func(c *axle.Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := c.Get(ctx, "/")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFakeClient(hang)
				start := time.Now()
				err := call(c)
				assert.Equal(t, time.Second, time.Since(start))
				assert.Equal(t, axle.CodeTimeout, asAxle(t, err).Code)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.NotErrorIs(t, err, context.Canceled)
				assert.True(t, asAxle(t, err).Timeout())
			})
		})
	}
}

func TestError_TheTimeLimitIsOfEachDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, network := newFakeClient(hang)
		c.SetTimeout(time.Second)
		for range 2 {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				require.NoError(t, err.Request.Context().Err(), "the request's own context goes on")
				return err.Request.Replay()
			})
		}
		start := time.Now()
		_, err := c.Get(context.Background(), "/")
		require.ErrorIs(t, err, axle.CodeTimeout)
		assert.EqualValues(t, 4, network.Sent.Load())
		assert.Equal(t, 4*time.Second, time.Since(start))
	})
}

func TestError_ACancellationKeepsItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(hang)
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(errBoom) })
		_, err := c.Get(ctx, "/")
		assert.Equal(t, axle.CodeCanceled, asAxle(t, err).Code)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, errBoom)
		assert.NotErrorIs(t, err, axle.CodeTimeout)
	})
}

func TestCall_AnotherClientsErrorAndResponseKeepTheirURL(t *testing.T) {
	two := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	one, _ := newFakeClient(always(200, ""))
	path := "/refused"
	useFulfilled(one, func(*axle.Response) (*axle.Response, error) { return two.Get(context.Background(), path) })
	_, err := one.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Contains(t, e.Error(), two.BaseURL()+"/refused")
	u, err := e.Request.ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, two.BaseURL()+"/refused", u.String())
	path = "/mirror"
	resp, err := one.Get(t.Context(), "/")
	require.NoError(t, err)
	u, err = resp.Request.ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, two.BaseURL()+"/mirror", u.String())
}
