package axle_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// A value goes to the next pair's fulfilled handler, an error to the next pair's rejected one.

func TestCall_ARejectedHandlerSeesTheErrorOfAnEarlierPairAndNotOfItsOwn(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onResponse(c, "a")
	c.Interceptors.Response.Use(
		func(context.Context, *axle.Response) (*axle.Response, error) { log.add("b"); return nil, errBoom },
		func(_ context.Context, err *axle.Error) (*axle.Response, error) { log.add("b!"); return nil, err })
	log.onResponse(c, "c")
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, []string{"a", "b", "c!"}, log.taken())
}

func TestCall_ARejectedResponseHandlerMayRecover(t *testing.T) {
	c, _ := newFakeClient(always(500, "down"))
	var log callTrace
	log.onResponse(c, "a")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return axle.NewResponse(err.Request, 200, nil, []byte("recovered")), nil
	})
	log.onResponse(c, "c")
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "recovered", resp.String())
	assert.Equal(t, []string{"a!", "c"}, log.taken())
}

func TestCall_ErrorFromRequestHandlerSkipsDispatchAndIsOfferedToResponseChain(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "second")
	c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	log.onResponse(c, "third")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, err.Response)
		return axle.NewResponse(nil, 200, nil, []byte("recovered")), nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "recovered", resp.String())
	assert.Equal(t, []string{"second!", "third!"}, log.taken())
	assert.Zero(t, network.Sent.Load())
}

func TestCall_AnErrorPassesOverHandlersWithoutARejectedOne(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	c.SetInterceptorOrder(axle.FIFO)
	c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	useRequest(c, func(*axle.Request) { t.Error("a fulfilled request handler ran on an error") })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		t.Error("a fulfilled response handler ran on an error")
		return resp, nil
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.Zero(t, network.Sent.Load())
}

func TestCall_ARejectedHandlerMayRecoverWithTheRefusedResponseItself(t *testing.T) {
	c, _ := newFakeClient(always(503, "refused"))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Response, nil })
	var later int
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		later = resp.StatusCode
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "refused", resp.String())
	assert.Equal(t, 503, later)
}

func TestCall_AResponseThatAHandlerReturnsBesideAnErrorIsClosed(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	body := newWatchedBody("nobody reads this")
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		return axle.NewResponse(resp.Request, 200, nil, nil).SetStream(body), errBoom
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.True(t, body.IsClosed())
}

func TestCall_ALaterRequestHandlerMayRecoverWithARequest(t *testing.T) {
	c, network := newFakeClient(always(200, "sent"))
	var log callTrace
	log.onRequest(c, "third")
	c.Interceptors.Request.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Request, error) {
		require.NotNil(t, err.Request)
		return err.Request, nil
	})
	c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "sent", resp.String())
	assert.Equal(t, []string{"third"}, log.taken())
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestP8_RejectedHandlersSeeEveryErrorAndMayRecover(t *testing.T) {
	for name, fail := range map[string]func() (*axle.Client, string){
		"network": func() (*axle.Client, string) { c, _ := newFakeClient(unreachable); return c, "/" },
		"status":  func() (*axle.Client, string) { c, _ := newFakeClient(always(404, "")); return c, "/" },
		"bad URL": func() (*axle.Client, string) { c, _ := newFakeClient(unreachable); return c, "ftp://x/" },
		"bad value": func() (*axle.Client, string) {
			c, _ := newFakeClient(unreachable)
			return c.SetHeader("X", "a\r\nb"), "/"
		},
		"too large": func() (*axle.Client, string) {
			c, _ := newFakeClient(always(200, "xxxx"))
			return c.SetResponseLimit(2), "/"
		},
		"broken body": func() (*axle.Client, string) {
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				return replyWith(r, 200, io.NopCloser(io.MultiReader(strings.NewReader("x"), brokenReader{}))), nil
			})
			return c, "/"
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, path := fail()
			_, failure := c.Get(t.Context(), path)
			assert.NotNil(t, asAxle(t, failure).Request)

			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				assert.NotNil(t, err.Request)
				assert.Equal(t, asAxle(t, failure).Code, err.Code)
				return axle.NewResponse(err.Request, 200, nil, []byte("recovered")), nil
			})
			resp, err := c.Get(t.Context(), path)
			require.NoError(t, err)
			assert.Equal(t, "recovered", resp.String())
		})
	}
}

func TestCall_TheErrorOfARejectedRequestHandlerIsAboutTheEarlierErrorsRequestAndResponse(t *testing.T) {
	for name, failure := range map[string]error{"an error of its own": errBoom, "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(always(200, ""))
			c.SetInterceptorOrder(axle.FIFO)
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) {
				login := &axle.Request{URL: "/login"}
				return nil, &axle.Error{Code: axle.CodeBadRequest, Request: login, Response: axle.NewResponse(login, 403, nil, nil)}
			}, nil)
			c.Interceptors.Request.Use(nil, func(context.Context, *axle.Error) (*axle.Request, error) { return nil, failure })
			_, err := c.Get(t.Context(), "/")
			e := asAxle(t, err)
			assert.Equal(t, axle.CodeInterceptor, e.Code)
			assert.Equal(t, "/login", e.Request.URL)
			assert.Equal(t, 403, e.StatusCode())
			assert.Zero(t, network.Sent.Load())
		})
	}
}

func TestCall_TheStreamOfARequestHandlersErrorIsClosedBeforeAnotherHandlerRuns(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	body := newWatchedBody("nobody reads this")
	useRequest(c, func(*axle.Request) {})
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return nil, &axle.Error{Code: axle.CodeNetwork, Response: axle.NewResponse(r, 200, nil, nil).SetStream(body)}
	}, nil)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		assert.True(t, body.IsClosed())
		return axle.NewResponse(err.Request, 200, nil, nil), nil
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.True(t, body.IsClosed())
}

func TestCall_AValueBesideAnErrorDoesNotHideTheError(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	id := c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { return r, errBoom }, nil)
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.Zero(t, network.Sent.Load())

	c.Interceptors.Request.Eject(id)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp, errBoom })
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
}

func TestCall_TheResponseOfAHandlersErrorStaysOpenForTheNextHandler(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	body := newWatchedBody("why")
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		made := axle.NewResponse(resp.Request, 502, nil, nil).SetStream(body)
		return made, &axle.Error{Code: axle.CodeBadResponse, Request: resp.Request, Response: made}
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		assert.False(t, body.IsClosed())
		return nil, err
	})
	_, err := c.Get(t.Context(), "/")
	require.Error(t, err)
	assert.True(t, body.IsClosed())
}
