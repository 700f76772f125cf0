package axle_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestCall_NonNilErrorWinsOverValue(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp, errBoom })
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.EqualValues(t, 1, network.Sent.Load())

	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) { return req, errBoom }, nil)
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestCall_NilErrorPointerIsNoError(t *testing.T) {
	c, _ := newFakeClient(always(500, ""))
	var none *axle.Error
	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) { return req, none }, nil)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return axle.NewResponse(nil, 200, nil, nil), none })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp, none })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode)

	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, none })
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.ErrNoResult, "and with no value there is no result")
}

func TestCall_AnErrorOfAxlesIsPassedOnAsItIs(t *testing.T) {
	c, _ := newFakeClient(always(500, ""))
	var first *axle.Error
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { first = err; return nil, err })
	c.Interceptors.Response.Use(nil, nil)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { assert.Same(t, first, err); return nil, err })
	_, err := c.Get(t.Context(), "/")
	assert.Same(t, first, err)
}

func TestCall_AnErrorOfAxlesGetsAnEmptyRequestFilledIn(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	own := &axle.Error{Code: "E_QUOTA", Message: "spent"}
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, own })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { require.NotNil(t, err.Request); return nil, err })
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, "/here", e.Request.URL)
	assert.Nil(t, e.Response)
	assert.ErrorIs(t, err, axle.Code("E_QUOTA"))
	assert.ErrorIs(t, err, own)
	assert.Nil(t, own.Request, "the handler's own error is not modified")
}

func TestCall_APlainErrorGetsCodeInterceptorTheCallsRequestAndTheResponseAtHand(t *testing.T) {
	c, _ := newFakeClient(always(200, "at hand"))
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errBoom }, axle.Named("breaker"))
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeInterceptor, e.Code)
	assert.Equal(t, "/here", e.Request.URL)
	assert.Equal(t, "at hand", e.Response.String())
	assert.Equal(t, errBoom, e.Unwrap())
	assert.Contains(t, err.Error(), "breaker")
}

func TestCall_APlainErrorOfARejectedHandlerKeepsTheResponseAtHand(t *testing.T) {
	c, _ := newFakeClient(always(503, "at hand"))
	useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, errBoom })
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeInterceptor, e.Code)
	assert.Equal(t, 503, e.StatusCode())
	assert.NotErrorIs(t, err, axle.CodeBadResponse, "the error before is gone, as in a promise chain")
}

func TestCall_APlainErrorAroundAnErrorOfAxlesKeepsItsCodeRequestAndResponse(t *testing.T) {
	c, _ := newFakeClient(always(404, "inner"))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return nil, errors.Join(errBoom, err)
	}, axle.Named("joiner"))
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeBadRequest, e.Code)
	assert.Equal(t, "inner", e.Response.String())
	assert.Equal(t, "/here", e.Request.URL)
	assert.ErrorIs(t, err, errBoom)
	assert.Contains(t, err.Error(), "joiner")

	c.Interceptors.Response.Clear()
	other, _ := newFakeClient(unreachable)
	useRejected(c, func(*axle.Error) (*axle.Response, error) {
		_, err := other.Get(context.Background(), "/elsewhere")
		return nil, errors.Join(err)
	})
	_, err = c.Get(t.Context(), "/here")
	e = asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	assert.Equal(t, "/elsewhere", e.Request.URL)
	assert.Nil(t, e.Response)
}

func TestCall_APlainErrorAroundANilErrorPointerIsAPlainError(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var none *axle.Error
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errors.Join(errBoom, none) })
	_, err := c.Get(t.Context(), "/")
	assert.Equal(t, axle.CodeInterceptor, asAxle(t, err).Code)
	assert.ErrorIs(t, err, errBoom)
	assert.NotErrorIs(t, err, axle.CodeTimeout)
	assert.NotEmpty(t, err.Error())
}

func TestCall_NeitherValueNorErrorIsAnErrorThatNamesTheInterceptor(t *testing.T) {
	for _, status := range []int{200, 500} {
		c, _ := newFakeClient(always(status, "at hand"))
		c.Interceptors.Response.Use(
			func(context.Context, *axle.Response) (*axle.Response, error) { return nil, nil },
			func(context.Context, *axle.Error) (*axle.Response, error) { return nil, nil }, axle.Named("forgetful"))
		_, err := c.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.ErrNoResult)
		assert.Equal(t, axle.CodeInterceptor, asAxle(t, err).Code)
		assert.Equal(t, status, asAxle(t, err).StatusCode())
		assert.Contains(t, err.Error(), "forgetful")
	}
	c, network := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(nil, func(context.Context, *axle.Error) (*axle.Request, error) { return nil, nil }, axle.Named("second"))
	c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, nil }, nil, axle.Named("first"))
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.ErrNoResult)
	assert.Contains(t, err.Error(), "second")
	assert.Zero(t, network.Sent.Load())
}

func TestCall_NothingIsSwallowed(t *testing.T) {
	c, _ := newFakeClient(unreachable)
	for range 3 {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { return nil, err })
	}
	resp, err := c.Get(t.Context(), "/")
	assert.Nil(t, resp)
	assert.ErrorIs(t, err, axle.CodeNetwork)
}

func TestCall_ASharedErrorIsNeverModified(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	sentinel := &axle.Error{Code: "E_MAINTENANCE", Message: "closed for today"}
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, sentinel })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { err.Request.SetHeader("X", "1"); return nil, err })
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			_, err := c.Get(context.Background(), "/"+strconv.Itoa(i))
			assert.ErrorIs(t, err, sentinel)
			if e, ok := errors.AsType[*axle.Error](err); assert.True(t, ok) {
				assert.Equal(t, "/"+strconv.Itoa(i), e.Request.URL)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, &axle.Error{Code: "E_MAINTENANCE", Message: "closed for today"}, sentinel)
}

func TestCall_TheErrorOfOneCallMayBeTheErrorOfManyOthers(t *testing.T) {
	c, _ := newFakeClient(always(500, "shared"))
	_, shared := c.Get(t.Context(), "/shared")
	useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, shared })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		err.Request.SetHeader("X", "1")
		assert.Same(t, err.Request, err.Response.Request)
		return nil, err
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := c.Get(context.Background(), "/")
			assert.ErrorIs(t, err, shared)
		})
	}
	wg.Wait()
	assert.Empty(t, asAxle(t, shared).Request.Header.Get("X"))
}
