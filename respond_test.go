package axle_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestRespond_YieldsTheResponseAndSendsNothing(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "later")
	useRequest(c, func(req *axle.Request) {
		req.Respond(axle.NewResponse(nil, 203, http.Header{"X-From": {"cache"}}, []byte("cached")))
	})
	log.onResponse(c, "response")
	resp, err := c.Get(t.Context(), "/here")
	require.NoError(t, err)
	assert.Equal(t, "cached", resp.String())
	assert.Equal(t, "cache", resp.Header.Get("X-From"))
	assert.Equal(t, "/here", resp.Request.URL)
	assert.Nil(t, resp.Raw())
	assert.Equal(t, []string{"later", "response"}, log.taken(), "both chains run on")
	assert.Zero(t, network.Sent.Load())
}

func TestRespond_IsJudgedByValidateStatus(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var body *watchedBody
	useRequest(c, func(req *axle.Request) {
		body = newWatchedBody("gone")
		req.Respond(axle.NewResponse(nil, 410, nil, nil).SetStream(body))
	})
	_, err := c.R(t.Context()).SetStream(true).Get("/")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeBadRequest, e.Code)
	assert.Equal(t, "gone", e.Response.String(), "a refused status is read")
	assert.Same(t, e.Request, e.Response.Request)
	assert.True(t, body.IsClosed())

	resp, err := c.R(t.Context()).SetValidateStatus(nil).Get("/")
	require.NoError(t, err)
	assert.Equal(t, 410, resp.StatusCode)
}

func TestRespond_ANilResponseTakesItBack(t *testing.T) {
	c, network := newFakeClient(always(200, "sent"))
	useRequest(c, func(req *axle.Request) { req.Respond(nil) })
	useRequest(c, func(req *axle.Request) { req.Respond(axle.NewResponse(nil, 200, nil, []byte("cached"))) })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "sent", resp.String())
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestRespond_LastsForOneDispatch(t *testing.T) {
	c, network := newFakeClient(always(200, "sent"))
	once := true
	useRequest(c, func(req *axle.Request) {
		if once {
			req.Respond(axle.NewResponse(nil, 500, nil, nil))
		}
		once = false
	})
	again := useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "sent", resp.String())

	once = true
	c.Interceptors.Response.Eject(again)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return c.Do(err.Request) })
	resp, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "sent", resp.String())
	assert.EqualValues(t, 2, network.Sent.Load())
}

func TestRespond_MayAnswerADoFromAResponseHandler(t *testing.T) {
	c, network := newFakeClient(always(500, ""))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return c.Do(err.Request.Respond(axle.NewResponse(nil, 200, nil, []byte("cached"))))
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "cached", resp.String())
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestRespond_AnAnswerThatIsNotUsedIsClosed(t *testing.T) {
	for name, after := range map[string]func(req *axle.Request) (*axle.Request, error){
		"a later handler fails":         func(*axle.Request) (*axle.Request, error) { return nil, errBoom },
		"a later handler takes it back": func(r *axle.Request) (*axle.Request, error) { return r.Respond(nil), nil },
		"a later handler has another": func(r *axle.Request) (*axle.Request, error) {
			return r.Respond(axle.NewResponse(nil, 200, nil, nil)), nil
		},
		"a later handler's other request": func(*axle.Request) (*axle.Request, error) { return &axle.Request{URL: "/other"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(always(200, ""))
			c.SetInterceptorOrder(axle.FIFO)
			body := newWatchedBody("")
			useRequest(c, func(req *axle.Request) { req.Respond(axle.NewResponse(nil, 200, nil, nil).SetStream(body)) })
			c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { return after(r) }, nil)
			_, err := c.Get(t.Context(), "/")
			if err != nil {
				require.ErrorIs(t, err, errBoom)
			}
			assert.True(t, body.IsClosed())
		})
	}
}
