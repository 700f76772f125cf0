package axle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestCall_WhatAHandlerReturnsIsTheNextState(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.URL.Path), nil })
	c.SetInterceptorOrder(axle.FIFO)
	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		return &axle.Request{URL: "/other"}, nil // in the place of req, with nothing else filled in
	}, nil)
	useRequest(c, func(req *axle.Request) {
		assert.Equal(t, "/other", req.URL)
		assert.NotNil(t, req.Header)
		assert.NotNil(t, req.Query)
		assert.Same(t, c, req.Client())
		req.Header.Set("X-A", "1")
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		assert.Equal(t, "/other", resp.Request.URL)
		return axle.NewResponse(nil, 299, nil, []byte("replaced "+resp.String())), nil
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		assert.Equal(t, "/other", resp.Request.URL, "an empty Request is filled in")
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "replaced /other", resp.String())
	assert.Equal(t, 299, resp.StatusCode)
}

func TestRespond_ALaterHandlerCanTellThatNothingWillBeSent(t *testing.T) {
	c, _ := newFakeClient(always(200, "sent"))
	c.SetInterceptorOrder(axle.FIFO)
	var told []bool
	tell := func(r *axle.Request) { told = append(told, r.Responded()) }

	useRequest(c, tell)
	useRequest(c, func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 200, nil, nil)) })
	useRequest(c, tell)
	useRequest(c, func(r *axle.Request) { r.Respond(nil) })
	useRequest(c, tell)
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []bool{false, true, false}, told)
}

// A short cut is of the request chain that took it, and is gone with that chain's failure.
func TestRespond_ARequestThatALaterHandlerRejectedIsSentWhenItIsSentAgain(t *testing.T) {
	c, network := newFakeClient(always(200, "sent"))
	c.SetInterceptorOrder(axle.FIFO)
	first := true
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if first {
			r.Respond(axle.NewResponse(nil, 200, nil, []byte("short cut")))
		}
		return r, nil
	}, nil)
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if first {
			first = false
			return nil, errBoom
		}
		return r, nil
	}, nil)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return c.Do(err.Request) })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "sent", resp.String())
	assert.EqualValues(t, 1, network.Sent.Load())
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestCall_StatusesThatValidateStatusRefusesAreErrors(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		status, _ := strconv.Atoi(r.URL.Path[1:])
		return reply(r, status, "body"), nil
	})
	c.SetValidateStatus(func(status int) bool { return status != 202 })
	for path, code := range map[string]axle.Code{"/202": axle.CodeBadResponse, "/404": "", "/200": ""} {
		resp, err := c.Get(t.Context(), path)
		if code == "" {
			require.NoError(t, err)
			assert.Equal(t, "body", resp.String())
			continue
		}
		e := asAxle(t, err)
		assert.Equal(t, code, e.Code)
		assert.Equal(t, "body", e.Response.String())
		assert.Same(t, e.Request, e.Response.Request)
	}
}

// The caller's Request is never modified.

func TestCall_WorksOnACopyOfTheCallersRequest(t *testing.T) {
	c, _ := newFakeClient(always(500, ""))
	c.SetHeader("X-Default", "default").SetQueryParam("d", "default")
	key := axle.NewKey[int]("key")
	useRequest(c, func(req *axle.Request) {
		req.Header.Set("X-Own", "changed")
		req.Header["X-List"][0] = "changed"
		req.Query["q"][0] = "changed"
		req.Body.(url.Values)["form"][0] = "changed"
		req.SetURL("/changed").SetMethod(http.MethodPatch).SetPathParam("p", "changed").SetTimeout(1).SetQueryParam("n", "1")
		req.SetTimeout(0)
		key.Set(req, 1)
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return c.Do(err.Request) })

	mine := &axle.Request{
		Method: http.MethodPost, URL: "/{p}", Header: http.Header{"X-Own": {"own"}, "X-List": {"own"}},
		Query: url.Values{"q": {"own"}}, Body: url.Values{"form": {"own"}},
	}
	mine.SetPathParam("p", "own")
	c.Interceptors.Response.Clear()
	for range 2 {
		_, err := c.Do(mine)
		assert.NotSame(t, mine, asAxle(t, err).Request)
		assert.Equal(t, "/changed", asAxle(t, err).Request.URL, "Error.Request is the copy")
		assert.Equal(t, http.MethodPost, mine.Method)
		assert.Equal(t, "/{p}", mine.URL)
		assert.Equal(t, http.Header{"X-Own": {"own"}, "X-List": {"own"}}, mine.Header)
		assert.Equal(t, url.Values{"q": {"own"}}, mine.Query)
		assert.Equal(t, url.Values{"form": {"own"}}, mine.Body)
		_, found := key.Get(mine)
		assert.False(t, found)
		assert.Nil(t, mine.Client())
	}
}

func TestCall_ARequestMayBeSentAgainAndFromManyGoroutines(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return reply(r, 200, r.Header.Get("X-Count")+r.URL.RawQuery+string(body)), nil
	})
	useRequest(c, func(req *axle.Request) { req.Header.Add("X-Count", "1"); req.Query.Add("n", "1") })
	mine := c.R(t.Context()).SetMethod(http.MethodPost).SetURL("/").SetBody([]byte("body"))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 5 {
				resp, err := c.Do(mine)
				if assert.NoError(t, err) {
					assert.Equal(t, "1n=1body", resp.String())
				}
			}
		})
	}
	wg.Wait()
}

func TestCall_HandlersGetTheCopyMergedWithTheDefaults(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetHeader("X-A", "default").SetHeader("X-B", "default").SetQueryParam("a", "default").SetQueryParam("b", "default")
	var seen *axle.Request
	useRequest(c, func(req *axle.Request) { seen = req })
	resp, err := c.R(t.Context()).SetHeader("x-a", "own").SetQueryParam("a", "own").Get("/")
	require.NoError(t, err)

	// A browser has a User-Agent of its own.
	delete(seen.Header, "User-Agent")
	assert.Equal(t, http.Header{
		"X-A": {"own"}, "X-B": {"default"}, "Accept": {"application/json, text/plain, */*"},
	}, seen.Header)
	assert.Equal(t, url.Values{"a": {"own"}, "b": {"default"}}, seen.Query)
	assert.Equal(t, http.MethodGet, seen.Method)
	assert.Same(t, seen, resp.Request)
	assert.Same(t, c, seen.Client())
}

// The ctx that a handler gets is its request's.

type ctxKey struct{}

func TestCall_AContextThatAHandlerSetIsSeenByLaterHandlersAndTheTransport(t *testing.T) {
	for _, status := range []int{200, 500} {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			assert.Equal(t, "set", r.Context().Value(ctxKey{}))
			return reply(r, status, ""), nil
		})
		c.SetInterceptorOrder(axle.FIFO)
		var log callTrace
		see := func(ctx context.Context) {
			if value, ok := ctx.Value(ctxKey{}).(string); ok {
				log.add(value)
			}
		}
		useRequest(c, func(req *axle.Request) { req.SetContext(context.WithValue(req.Context(), ctxKey{}, "set")) })
		c.Interceptors.Request.Use(func(ctx context.Context, req *axle.Request) (*axle.Request, error) { see(ctx); return req, nil }, nil)
		c.Interceptors.Response.Use(
			func(ctx context.Context, resp *axle.Response) (*axle.Response, error) {
				see(ctx)
				resp.Request.SetContext(context.WithValue(ctx, ctxKey{}, "again"))
				return resp, nil
			},
			func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
				see(ctx)
				err.Request.SetContext(context.WithValue(ctx, ctxKey{}, "again"))
				return nil, err
			})
		c.Interceptors.Response.Use(
			func(ctx context.Context, resp *axle.Response) (*axle.Response, error) { see(ctx); return resp, nil },
			func(ctx context.Context, err *axle.Error) (*axle.Response, error) { see(ctx); return nil, err })
		_, _ = c.Get(t.Context(), "/")
		assert.Equal(t, []string{"set", "set", "again"}, log.taken())
	}
}

func TestCall_AContextThatAHandlerSetBoundsTheDispatch(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	cause := errors.New("the handler's")
	useRequest(c, func(req *axle.Request) {
		ctx, cancel := context.WithCancelCause(req.Context())
		cancel(cause)
		req.SetContext(ctx)
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeCanceled)
	require.ErrorIs(t, err, cause)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, network.Sent.Load())
}

func TestCall_ANilContextFailsTheCall(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "request")
	log.onResponse(c, "response")
	_, err := c.Get(nil, "/") //nolint:staticcheck // the bad input that this is about
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Empty(t, log.taken(), "no handler is given a nil context")
	useRequest(c, func(req *axle.Request) { req.SetContext(nil) }) //nolint:staticcheck // likewise
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadOption)
	_, err = c.Do(nil)
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Zero(t, network.Sent.Load())
}

func TestCall_ACachedResponseMayAnswerManyCalls(t *testing.T) {
	for _, way := range []string{"Respond", "return"} {
		t.Run(way, func(t *testing.T) {
			c, network := newFakeClient(always(200, "cached"))
			cached, err := c.Get(t.Context(), "/cached")
			require.NoError(t, err)
			synthetic := axle.NewResponse(nil, 200, nil, []byte("cached"))
			pick := func(req *axle.Request) *axle.Response {
				if req.Query.Has("synthetic") {
					return synthetic
				}
				return cached
			}
			if way == "Respond" {
				useRequest(c, func(req *axle.Request) { req.Respond(pick(req)) })
			} else {
				c.SetTransport(&fakeTransport{Answer: always(500, "")})
				useRejected(c, func(err *axle.Error) (*axle.Response, error) { return pick(err.Request), nil })
			}
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				resp.Header.Set("X-Seen", resp.Request.URL)
				resp.Request.SetHeader("X-Seen", "1")
				return resp.SetBytes(append([]byte(nil), resp.Bytes()...)), nil
			})
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					var text string
					_, err := c.R(context.Background()).With(func(r *axle.Request) {
						if i%2 == 0 {
							r.SetQueryParam("synthetic", "1")
						}
					}).SetResult(&text).Get("/" + strconv.Itoa(i))
					assert.NoError(t, err)
					assert.Equal(t, "cached", text)
				})
			}
			wg.Wait()
			assert.Nil(t, synthetic.Request)
			assert.Empty(t, cached.Header.Get("X-Seen"))
			assert.Empty(t, synthetic.Header.Get("X-Seen"))
			assert.Equal(t, "/cached", cached.Request.URL)
			assert.EqualValues(t, 1, network.Sent.Load())
		})
	}
}

// dio deadlocks when an interceptor calls the instance that runs it.
func TestP3_HandlerMayCallTheClientAtAnyDepth(t *testing.T) {
	const deep = 20
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.URL.Path), nil })
	c.SetInterceptorOrder(axle.FIFO)
	descend := func(ctx context.Context, req *axle.Request, via string) {
		depth, _ := strconv.Atoi(strings.TrimPrefix(req.URL, "/"))
		if depth >= deep || req.Header.Get("X-Via") == "leaf" {
			return
		}
		edit := func(r *axle.Request) { r.SetHeader("X-Via", via) }
		if via == "response" {
			edit = func(r *axle.Request) { r.SetHeader("X-Via", "leaf") }
		}
		resp, err := c.Get(ctx, "/"+strconv.Itoa(depth+1), edit)
		if assert.NoError(t, err) {
			assert.Equal(t, "/"+strconv.Itoa(depth+1), resp.String())
		}
	}
	c.Interceptors.Request.Use(func(ctx context.Context, req *axle.Request) (*axle.Request, error) {
		descend(ctx, req, "request")
		return req, nil
	}, nil)
	c.Interceptors.Response.Use(func(ctx context.Context, resp *axle.Response) (*axle.Response, error) {
		descend(ctx, resp.Request, "response")
		return resp, nil
	}, nil)
	resp, err := c.Get(t.Context(), "/0")
	require.NoError(t, err)
	assert.Equal(t, "/0", resp.String())
	assert.EqualValues(t, deep+1+deep, network.Sent.Load())
}

// resty keeps state on a Request, so that a second run doubles the query or sends an empty body.
func TestP5_EveryDispatchIsAFreshEngineRequest(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return reply(r, 500, r.URL.RequestURI()+" "+string(body)), nil
	})
	c.SetQueryParam("d", "1")
	var seen callTrace
	for range 3 {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) {
			seen.add(err.Response.String())
			return err.Request.Replay()
		})
	}
	mine := c.R(t.Context()).SetQueryParam("q", "1").SetBody(map[string]int{"n": 1})
	for range 2 {
		_, err := mine.Post("/?own=1")
		seen.add(asAxle(t, err).Response.String())
	}
	for _, line := range seen.taken() {
		assert.Equal(t, `/?own=1&d=1&q=1 {"n":1}`, line)
	}
}

func TestNested_IsACallThatAHandlerSendsFromItsOwnRequest(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200, 200))
	var nested []bool
	useRequest(c, func(r *axle.Request) { nested = append(nested, r.Nested()) })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return c.Do(err.Request) })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	_, err = c.Do(resp.Request)
	require.NoError(t, err)
	assert.Equal(t, []bool{false, true, false}, nested)
}

func TestCall_ANilFormStaysNilForTheHandlers(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var seen any
	useRequest(c, func(r *axle.Request) { seen = r.Body })
	_, err := c.R(t.Context()).SetBody(url.Values(nil)).Post("/")
	require.NoError(t, err)
	assert.Equal(t, url.Values(nil), seen)
}

func TestCall_TheMapsThatAHandlerTakesAwayAreThereAgainForTheNext(t *testing.T) {
	take := map[string]func(*axle.Request){
		"the header": func(r *axle.Request) { r.Header = nil },
		"the query":  func(r *axle.Request) { r.Query = nil },
	}
	for name, take := range take {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(always(200, ""))
			c.SetInterceptorOrder(axle.FIFO)
			look := func(r *axle.Request) {
				assert.NotNil(t, r.Header)
				assert.NotNil(t, r.Query)
			}
			useRequest(c, take)
			useRequest(c, look)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { take(resp.Request); return resp, nil })
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { look(resp.Request); return nil, errBoom })
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { take(err.Request); return nil, err })
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { look(err.Request); return nil, err })
			_, err := c.Get(t.Context(), "/")
			require.ErrorIs(t, err, errBoom)
		})
	}
}

func TestAttempt_IsThatOfTheCallAndNotOfTheCallAround(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 500, 200))
	var seen []int
	useRequest(c, func(r *axle.Request) { seen = append(seen, r.Attempt()) })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if err.Request.Nested() {
			return err.Request.Replay()
		}
		return c.Do(err.Request)
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []int{0, 0, 1}, seen)
}

func TestCall_ARequestPassesOverHandlersWithoutAFulfilledOne(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Request, error) {
		t.Error("a rejected request handler ran without an error")
		return nil, err
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestCall_HandlersSeeTheMethodThatIsSent(t *testing.T) {
	for given, sent := range map[string]string{"": "GET", "patch": "PATCH"} {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.Method), nil })
		var seen string
		useRequest(c, func(r *axle.Request) { seen = r.Method })
		resp, err := c.Do(&axle.Request{Method: given, URL: "/"})
		require.NoError(t, err)
		assert.Equal(t, sent, seen)
		assert.Equal(t, sent, resp.String())
	}
}

func TestCall_HTTPNoBodyIsNoBody(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		assert.Empty(t, r.Header.Get("Content-Type"), "a default labels no empty request")
		return reply(r, 200, ""), nil
	})
	c.SetHeader("Content-Type", "text/x-default")
	useRequest(c, func(r *axle.Request) { assert.Nil(t, r.Body) })
	_, err := c.R(t.Context()).SetBody(http.NoBody).Post("/")
	require.NoError(t, err)
}
