package axle_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// Which answers a call closes, and which it leaves open.

func TestCall_AResponseThatAHandlerTakesOutOfPlayIsClosed(t *testing.T) {
	replaced := func(*axle.Response) (*axle.Response, error) { return axle.NewResponse(nil, 200, nil, nil), nil }
	for name, handle := range map[string]func(*axle.Response) (*axle.Response, error){
		"replaced":                      replaced,
		"rejected by a plain error":     func(*axle.Response) (*axle.Response, error) { return nil, errBoom },
		"rejected, with it":             func(r *axle.Response) (*axle.Response, error) { return r, errBoom },
		"rejected by an error about it": func(r *axle.Response) (*axle.Response, error) { return nil, &axle.Error{Code: "E", Response: r} },
		"no result":                     func(*axle.Response) (*axle.Response, error) { return nil, nil },
		"a replay's in its place":       func(r *axle.Response) (*axle.Response, error) { return r.Request.Replay() },
		"a Do's in its place":           func(r *axle.Response) (*axle.Response, error) { return r.Request.Client().Do(r.Request) },
		"two replays": func(r *axle.Response) (*axle.Response, error) {
			if _, err := r.Request.Replay(); err != nil {
				return nil, err
			}
			return r.Request.Replay()
		},
		"replayed, and another instead": func(r *axle.Response) (*axle.Response, error) {
			_, err := r.Request.Replay()
			return axle.NewResponse(nil, 200, nil, nil), err
		},
		"replayed, and rejected": func(r *axle.Response) (*axle.Response, error) {
			_, err := r.Request.Replay()
			return nil, errors.Join(err, errBoom)
		},
		"replayed, and the replay rejected": func(r *axle.Response) (*axle.Response, error) {
			again, err := r.Request.Replay()
			return nil, errors.Join(err, &axle.Error{Code: "E", Response: again})
		},
		"replayed, and both returned": func(r *axle.Response) (*axle.Response, error) {
			again, _ := r.Request.Replay()
			return again, errBoom
		},
	} {
		t.Run(name, func(t *testing.T) {
			var network watchedBodies
			c, _ := newFakeClient(network.Answer)
			first := true
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if !first {
					return resp, nil
				}
				first = false
				return handle(resp)
			})
			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			if err != nil {
				assert.Empty(t, network.Open())
				return
			}
			// What the caller gets, and only that, is still open.
			body, err := io.ReadAll(resp.Stream())
			require.NoError(t, err)
			if len(body) > 0 {
				assert.Len(t, network.Open(), 1)
			}
			resp.Stream().Close()
			assert.Empty(t, network.Open())
		})
	}
}

func TestCall_AResponseThatIsHandedOnStaysOpen(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(network.Answer)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		return resp.SetStream(struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader("wrapped "), resp.Stream()), resp.Stream()}), nil
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		other := *resp
		other.Request = nil
		return &other, nil
	})
	c.Interceptors.Response.Use(nil, nil)
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Equal(t, "wrapped streamed", string(body))
	assert.Len(t, network.Open(), 1)
	resp.Stream().Close()
	assert.Empty(t, network.Open())
}

func TestCall_AResponseStaysOpenInEachFormInWhichAHandlerReturnsItsStream(t *testing.T) {
	type wrapped struct { // which Go cannot compare
		io.ReadCloser
		_ []byte
	}
	wrap := func(r *axle.Response) io.ReadCloser { return wrapped{ReadCloser: r.Stream()} }
	for name, handle := range map[string]func(*axle.Response) *axle.Response{
		"a copy":                    func(r *axle.Response) *axle.Response { c := *r; return &c },
		"wrapped":                   func(r *axle.Response) *axle.Response { return r.SetStream(wrap(r)) },
		"a copy that is wrapped":    func(r *axle.Response) *axle.Response { c := *r; return c.SetStream(wrap(r)) },
		"the original, wrapped too": func(r *axle.Response) *axle.Response { c := *r; c.SetStream(wrap(r)); return r },
		"another response": func(r *axle.Response) *axle.Response {
			return axle.NewResponse(r.Request, 200, nil, nil).SetStream(r.Stream())
		},
		"a copy of another request's": func(r *axle.Response) *axle.Response {
			c := *r
			c.Request = c.Request.Clone()
			return &c
		},
	} {
		t.Run(name, func(t *testing.T) {
			var network watchedBodies
			c, _ := newFakeClient(network.Answer)
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { return handle(r), nil })
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { return handle(r), nil })
			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)

			assert.Len(t, network.Open(), 1)
			body, err := io.ReadAll(resp.Stream())
			require.NoError(t, err)
			assert.Equal(t, "streamed", string(body))
			require.NoError(t, resp.Stream().Close())
			assert.Empty(t, network.Open())
		})
	}
}

func TestResponse_ItsCopiesShareOneStream(t *testing.T) {
	body := newWatchedBody("streamed")
	resp := axle.NewResponse(nil, 200, nil, nil).SetStream(newWatchedBody("before"))
	other := *resp
	other.SetStream(body)
	assert.Same(t, body, resp.Stream())

	other.SetBytes([]byte("in memory"))
	assert.True(t, body.IsClosed())
	assert.Equal(t, "in memory", other.String())
	assert.Empty(t, resp.String(), "a body in memory is each copy's own")
}

func TestCall_UnlessStreamingBodiesAreReadAndClosedBeforeHandlersRun(t *testing.T) {
	for _, status := range []int{200, 500} {
		network := watchedBodies{Status: func(int) int { return status }}
		c, _ := newFakeClient(network.Answer)
		look := func(resp *axle.Response) {
			assert.Equal(t, "streamed", resp.String())
			assert.Empty(t, network.Open())
		}
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { look(resp); return resp, nil })
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { look(err.Response); return nil, err })
		_, _ = c.Get(t.Context(), "/")
		assert.Len(t, network.All(), 1)
	}
}

func TestCall_ARefusedStatusIsReadEvenOfAStream(t *testing.T) {
	network := watchedBodies{Status: func(int) int { return 500 }}
	c, _ := newFakeClient(network.Answer)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		assert.Equal(t, "streamed", err.Response.String())
		assert.Empty(t, network.Open())
		return nil, err
	})
	_, err := c.R(t.Context()).SetStream(true).Get("/")
	assert.Equal(t, "streamed", asAxle(t, err).Response.String())
}

func TestCall_APanicOfAHandlerClosesTheBodiesAndPropagates(t *testing.T) {
	for name, handle := range map[string]func(c *axle.Client, resp *axle.Response){
		"at once":        func(*axle.Client, *axle.Response) { panic("boom") },
		"after a replay": func(_ *axle.Client, resp *axle.Response) { _, _ = resp.Request.Replay(); panic("boom") },
		"in a replay": func(c *axle.Client, resp *axle.Response) {
			_, _ = resp.Request.Replay(func(*axle.Request) { panic("boom") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			var network watchedBodies
			c, _ := newFakeClient(network.Answer)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { handle(c, resp); return resp, nil })
			body := newWatchedBody("sent")
			assert.PanicsWithValue(t, "boom", func() {
				_, _ = c.R(t.Context()).SetStream(true).SetBody(struct{ io.ReadCloser }{body}).Post("/")
			})
			assert.NotEmpty(t, network.All())
			assert.Empty(t, network.Open())
			assert.True(t, body.IsClosed(), "the request's body")
		})
	}
	t.Run("Goexit", func(t *testing.T) {
		var network watchedBodies
		c, _ := newFakeClient(network.Answer)
		useFulfilled(c, func(*axle.Response) (*axle.Response, error) { runtime.Goexit(); return nil, nil })
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.R(t.Context()).SetStream(true).Get("/") })
		wg.Wait()
		assert.Len(t, network.All(), 1)
		assert.Empty(t, network.Open())
	})
	t.Run("in the request chain", func(t *testing.T) {
		c, _ := newFakeClient(always(200, ""))
		c.SetInterceptorOrder(axle.FIFO)
		answer, body := newWatchedBody("answer"), newWatchedBody("sent")
		useRequest(c, func(req *axle.Request) { req.Respond(axle.NewResponse(req, 200, nil, nil).SetStream(answer)) })
		useRequest(c, func(*axle.Request) { panic("boom") })
		assert.PanicsWithValue(t, "boom", func() {
			_, _ = c.R(t.Context()).SetBody(struct{ io.ReadCloser }{body}).Post("/")
		})
		assert.True(t, answer.IsClosed())
		assert.True(t, body.IsClosed())
	})
	t.Run("in RunWhen", func(t *testing.T) {
		c, _ := newFakeClient(always(200, ""))
		c.Interceptors.Request.Use(nil, nil, axle.RunWhen(func(*axle.Request) bool { panic("boom") }))
		body := newWatchedBody("sent")
		assert.PanicsWithValue(t, "boom", func() {
			_, _ = c.R(t.Context()).SetBody(struct{ io.ReadCloser }{body}).Post("/")
		})
		assert.True(t, body.IsClosed())
	})
	t.Run("in ValidateStatus", func(t *testing.T) {
		var network watchedBodies
		c, _ := newFakeClient(network.Answer)
		c.SetValidateStatus(func(int) bool { panic("boom") })
		assert.PanicsWithValue(t, "boom", func() { _, _ = c.Get(t.Context(), "/") })
		assert.Len(t, network.All(), 1)
		assert.Empty(t, network.Open())
	})
}

func TestCall_APanicLeavesTheClientUsable(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	id := useRequest(c, func(*axle.Request) { panic("boom") })
	assert.Panics(t, func() { _, _ = c.Get(t.Context(), "/") })
	assert.True(t, c.Interceptors.Request.Eject(id))
	_, err := c.Get(t.Context(), "/")
	assert.NoError(t, err)
}

// Calling the client from handlers.
