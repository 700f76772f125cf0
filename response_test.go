package axle_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestResponse_ANewOneIsSynthetic(t *testing.T) {
	r := new(axle.Request)
	for status, text := range map[int]string{200: "200 OK", 404: "404 Not Found", 599: "599"} {
		resp := axle.NewResponse(r, status, nil, []byte("body"))
		assert.Equal(t, text, resp.Status)
		assert.Equal(t, status, resp.StatusCode)
		assert.NotNil(t, resp.Header)
		assert.Same(t, r, resp.Request)
		assert.Equal(t, []byte("body"), resp.Bytes())
		assert.Nil(t, resp.Raw())
		assert.Zero(t, resp.Duration())
		require.NoError(t, resp.Buffer())
	}
}

func TestResponse_TheStreamOfABodyInMemoryIsReadAnewEachTime(t *testing.T) {
	resp := axle.NewResponse(nil, 200, nil, []byte("body"))
	for range 2 {
		stream := resp.Stream()
		got, err := io.ReadAll(stream)
		require.NoError(t, err)
		assert.Equal(t, "body", string(got))
		require.NoError(t, stream.Close())
	}
	assert.Equal(t, "body", resp.String())
	for name, empty := range map[string]*axle.Response{
		"none": axle.NewResponse(nil, 204, nil, nil), "zero": new(axle.Response), "nil stream": axle.NewResponse(nil, 200, nil, []byte("x")).SetStream(nil),
	} {
		got, err := io.ReadAll(empty.Stream())
		require.NoError(t, err, name)
		assert.Empty(t, got, name)
	}
}

func TestResponse_AStreamIsUnreadUntilBuffer(t *testing.T) {
	var bodies watchedBodies
	c, _ := newFakeClient(bodies.Answer)
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Nil(t, resp.Bytes())
	assert.Empty(t, resp.String())
	assert.Equal(t, []int{1}, bodies.Open())
	first := make([]byte, 3)
	_, err = io.ReadFull(resp.Stream(), first)
	require.NoError(t, err)
	require.NoError(t, resp.Buffer())
	assert.Equal(t, "streamed", string(first)+resp.String(), "the rest of it")
	assert.Empty(t, bodies.Open())
	require.NoError(t, resp.Buffer(), "once more does nothing")
	assert.Equal(t, "eamed", resp.String())
	again, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Equal(t, "eamed", string(again))
}

func TestResponse_BufferKeepsWhatCameBeforeAnErrorAndCloses(t *testing.T) {
	body := &watchedBody{Reader: io.MultiReader(strings.NewReader("half"), failingReader{})}
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return replyWith(r, 200, body), nil })
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	err = resp.Buffer()
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, "half", resp.String())
	assert.Same(t, resp, e.Response)
	assert.EqualValues(t, 1, body.Closed.Load())
}

func TestResponse_SetBytesReplacesTheBodyAndClosesAStream(t *testing.T) {
	body := newWatchedBody("streamed")
	resp := axle.NewResponse(nil, 200, nil, []byte("old")).SetStream(body)
	assert.Nil(t, resp.Bytes(), "SetStream replaces bytes")
	assert.Same(t, resp, resp.SetBytes([]byte("new")))
	assert.Equal(t, "new", resp.String())
	assert.EqualValues(t, 1, body.Closed.Load())
	got, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Equal(t, "new", string(got))
	assert.Nil(t, resp.SetBytes(nil).Bytes())
}

type upperCase struct{ io.ReadCloser }

func (u upperCase) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

func TestResponse_SetStreamWrapsTheOneBeforeInAHandler(t *testing.T) {
	for _, stream := range []bool{true, false} {
		var bodies watchedBodies
		c, _ := newFakeClient(bodies.Answer)
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
			if stream {
				assert.Equal(t, []int{1}, bodies.Open(), "it does not close what it wraps")
			}
			return resp.SetStream(upperCase{resp.Stream()}), nil
		})
		resp, err := c.R(t.Context()).SetStream(stream).Get("/")
		require.NoError(t, err)
		require.NoError(t, resp.Buffer())
		assert.Equal(t, "STREAMED", resp.String(), "%v", stream)
		assert.Empty(t, bodies.Open())
	}
}

// Response limits: after decompression; buffered, streamed, gzip and chunked (CVE-2019-10742, CVE-2025-58754).

func TestP10_EveryBodyIsClosedOnEveryPath(t *testing.T) {
	recovering := func(c *axle.Client) {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) {
			return axle.NewResponse(err.Request, 200, nil, nil), nil
		})
	}
	failing := func(*axle.Response) (*axle.Response, error) { return nil, errBoom }
	for name, prepare := range map[string]func(c *axle.Client, r *axle.Request, w *watchedBodies){
		"read":    func(*axle.Client, *axle.Request, *watchedBodies) {},
		"refused": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) { w.Status = func(int) int { return 500 } },
		"refused, streamed": func(_ *axle.Client, r *axle.Request, w *watchedBodies) {
			r.SetStream(true)
			w.Status = func(int) int { return 500 }
		},
		"a redirect": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) {
			w.Status = func(n int) int { return []int{302, 302, 200}[n-1] }
		},
		"too many redirects": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) { w.Status = func(int) int { return 302 } },
		"a redirect that a check refuses": func(_ *axle.Client, r *axle.Request, w *watchedBodies) {
			w.Status = func(int) int { return 302 }
			r.SetRedirectCheck(func(*http.Request, []*http.Request) error { return errBoom })
		},
		"a redirect that is the answer": func(c *axle.Client, _ *axle.Request, w *watchedBodies) {
			w.Status = func(int) int { return 302 }
			c.SetMaxRedirects(0)
		},
		"too large":       func(c *axle.Client, _ *axle.Request, _ *watchedBodies) { c.SetResponseLimit(1) },
		"does not decode": func(_ *axle.Client, r *axle.Request, _ *watchedBodies) { r.SetResult(new(item)) },
		"recovered": func(c *axle.Client, _ *axle.Request, w *watchedBodies) {
			w.Status = func(int) int { return 500 }
			recovering(c)
		},
		"replaced, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				return axle.NewResponse(resp.Request, 200, nil, nil), nil
			})
		},
		"unwrapped, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes(nil), nil })
		},
		"rejected, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) { r.SetStream(true); useFulfilled(c, failing) },
		"neither, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, nil })
		},
		"replayed, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.Request.Replay() })
			useFulfilled(c, failing)
		},
		"sent again by Do, streamed": func(c *axle.Client, r *axle.Request, w *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if len(w.All()) > 1 {
					return nil, errBoom
				}
				return c.Do(resp.Request)
			})
		},
		"an upgrade nobody asked for": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) { w.Status = func(int) int { return 101 } },
		"an upgrade that is accepted and not streamed": func(_ *axle.Client, r *axle.Request, w *watchedBodies) {
			w.Status = func(int) int { return 101 }
			r.SetValidateStatus(nil)
		},
		"a cancelled context": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			ctx, cancel := context.WithCancel(t.Context())
			r.SetContext(ctx).SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { cancel(); err := resp.Buffer(); return resp, err })
		},
	} {
		for _, timeout := range []time.Duration{0, time.Hour} {
			t.Run(name, func(t *testing.T) {
				var bodies watchedBodies
				c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
					resp, err := bodies.Answer(r)
					resp.Header.Set("Location", "/next")
					return resp, err
				})
				c.SetTimeout(timeout)
				r := c.R(t.Context())
				prepare(c, r, &bodies)
				_, _ = r.Get("/")
				assert.NotEmpty(t, bodies.All())
				assert.Empty(t, bodies.Open())
			})
		}
	}
}

func TestP10_AStreamThatTheCallerGetsIsTheCallersToCloseOnce(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Hour} {
		var bodies watchedBodies
		c, _ := newFakeClient(bodies.Answer)
		resp, err := c.SetTimeout(timeout).R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, []int{1}, bodies.Open())
		require.NoError(t, resp.Stream().Close())
		assert.EqualValues(t, 1, bodies.All()[0].Closed.Load())
	}
}

// Statuses.

func TestResponse_ValidateStatusPerRequestWinsAndNilAcceptsAll(t *testing.T) {
	only := func(accepted int) func(int) bool { return func(status int) bool { return status == accepted } }
	for name, x := range map[string]struct {
		client func(*axle.Client)
		own    func(*axle.Request)
		ok     []int
	}{
		"the default":       {nil, nil, []int{200, 204, 299}},
		"the client's":      {func(c *axle.Client) { c.SetValidateStatus(only(404)) }, nil, []int{404}},
		"the client's nil":  {func(c *axle.Client) { c.SetValidateStatus(nil) }, nil, []int{200, 204, 299, 304, 404, 500}},
		"the request's":     {func(c *axle.Client) { c.SetValidateStatus(only(404)) }, func(r *axle.Request) { r.SetValidateStatus(only(500)) }, []int{500}},
		"the request's nil": {func(c *axle.Client) { c.SetValidateStatus(only(404)) }, func(r *axle.Request) { r.SetValidateStatus(nil) }, []int{200, 204, 299, 304, 404, 500}},
		"that of a handler too": {nil, func(r *axle.Request) {
			useRequest(r.Client(), func(r *axle.Request) { r.SetValidateStatus(only(304)) })
		}, []int{304}},
	} {
		var ok []int
		for _, status := range []int{200, 204, 299, 304, 404, 500} {
			c, _ := newFakeClient(always(status, ""))
			if x.client != nil {
				x.client(c)
			}
			resp, err := c.R(t.Context()).With(x.own).Get("/")
			if err == nil {
				assert.Equal(t, status, resp.StatusCode)
				ok = append(ok, status)
				continue
			}
			assert.Equal(t, status, asAxle(t, err).StatusCode(), name)
			assert.NotNil(t, asAxle(t, err).Response, name)
		}
		assert.Equal(t, x.ok, ok, name)
	}
}

func TestResponse_ARefusedStatusKeepsHeadersAndBody(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"id":7}`)
	})
	_, err := c.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeBadRequest, e.Code)
	assert.Equal(t, "429 Too Many Requests", e.Response.Status)
	assert.Equal(t, "7", e.Response.Header.Get("Retry-After"))
	var v item
	require.NoError(t, e.Response.Decode(&v))
	assert.Equal(t, 7, v.ID)
	assert.Equal(t, e.Request, e.Response.Request)
}

func TestResponse_ABodyThatBreaksOffIsANetworkErrorThatKeepsWhatCame(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	_, err := c.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "half", e.Response.String())
	assert.Equal(t, 200, e.StatusCode())
}

func TestResponse_RawIsTheNetHTTPResponse(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "1") })
	resp, err := c.Get(t.Context(), "/a")
	require.NoError(t, err)
	raw := resp.Raw()
	require.NotNil(t, raw)
	assert.Equal(t, "HTTP/1.1", raw.Proto)
	assert.Equal(t, "/a", raw.Request.URL.Path)
	assert.Equal(t, "1", resp.Header.Get("X-A"))
	assert.Equal(t, "200 OK", resp.Status)
}

// Time.

func TestRespond_AStreamIsBufferedUnlessOneWasAskedFor(t *testing.T) {
	for _, stream := range []bool{false, true} {
		body := newWatchedBody("made")
		c, network := newFakeClient(unreachable)
		useRequest(c, func(r *axle.Request) { r.Respond(axle.NewResponse(r, 200, nil, nil).SetStream(body)) })
		var seen []byte
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { seen = resp.Bytes(); return resp, nil })
		resp, err := c.R(t.Context()).SetStream(stream).Get("/")
		require.NoError(t, err)
		assert.Equal(t, stream, seen == nil)
		assert.Equal(t, !stream, body.IsClosed())
		require.NoError(t, resp.Buffer())
		assert.Equal(t, "made", resp.String())
		assert.True(t, body.IsClosed())
		assert.Zero(t, network.Sent.Load())
	}
}

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
			body := newWatchedBody("")
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				assert.True(t, body.IsClosed(), "before anything is sent")
				return reply(r, 200, ""), nil
			})
			c.SetInterceptorOrder(axle.FIFO)
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

func TestRespond_AStreamThatBreaksFailsTheCall(t *testing.T) {
	for name, test := range map[string]struct {
		code  axle.Code
		cause error
		end   bool
	}{
		"by itself":              {axle.CodeNetwork, errBoom, false},
		"when the context ended": {axle.CodeCanceled, context.Canceled, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(unreachable)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			useRequest(c, func(r *axle.Request) {
				if test.end {
					cancel()
				}
				r.Respond(axle.NewResponse(r, 200, nil, nil).SetStream(io.NopCloser(failingReader{})))
			})
			_, err := c.Get(ctx, "/")
			require.ErrorIs(t, err, test.cause)
			assert.Equal(t, test.code, asAxle(t, err).Code)
			assert.Zero(t, network.Sent.Load())
		})
	}
}
