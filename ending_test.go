package axle_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// ends records the ends of calls: "ok 200", or the code of the error.
type ends struct{ callTrace }

func (e *ends) note(resp *axle.Response, err *axle.Error) {
	switch {
	case (resp == nil) == (err == nil):
		e.add(fmt.Sprintf("not exactly one: %v, %v", resp, err))
	case err != nil:
		e.add(string(err.Code))
	default:
		e.add(fmt.Sprint("ok ", resp.StatusCode))
	}
}

// named returns a function that records its name.
func (e *ends) named(name string) func(*axle.Response, *axle.Error) {
	return func(*axle.Response, *axle.Error) { e.add(name) }
}

// useOnEnd has a request handler register the record.
func (e *ends) useOnEnd(c *axle.Client) {
	useRequest(c, func(r *axle.Request) { r.OnEnd(e.note) })
}

func TestOnEnd_RunsOnceHoweverTheCallEnds(t *testing.T) {
	ok := always(200, `{"a":1}`)
	for name, test := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		set    func(c *axle.Client)
		edit   func(r *axle.Request)
		want   string
	}{
		"fulfilled":               {answer: ok, want: "ok 200"},
		"a refused status":        {answer: always(500, ""), want: "ERR_BAD_RESPONSE"},
		"no network":              {answer: unreachable, want: "ERR_NETWORK"},
		"a body that ends early":  {answer: brokenBody, want: "ERR_NETWORK"},
		"a body not decoded":      {answer: ok, edit: func(r *axle.Request) { r.SetResult(new([]int)) }, want: "ERR_BAD_RESPONSE"},
		"a bad method":            {answer: ok, edit: func(r *axle.Request) { r.SetMethod("a b") }, want: "ERR_BAD_OPTION_VALUE"},
		"a nil context":           {answer: ok, edit: func(r *axle.Request) { r.SetContext(nil) }, want: "ERR_BAD_OPTION_VALUE"}, //nolint:staticcheck // meant
		"a bad URL":               {answer: ok, edit: func(r *axle.Request) { r.SetURL("ftp://x/") }, want: "ERR_INVALID_URL"},
		"a canceled context":      {answer: ok, edit: cancelFirst, want: "ERR_CANCELED"},
		"a bad setting":           {answer: ok, set: func(c *axle.Client) { c.SetTimeout(-1) }, want: "ERR_BAD_OPTION_VALUE"},
		"no result of a handler":  {answer: ok, set: func(c *axle.Client) { useFulfilled(c, nothing) }, want: "ERR_INTERCEPTOR"},
		"an error of a handler":   {answer: ok, set: func(c *axle.Client) { useFulfilled(c, fails) }, want: "ERR_INTERCEPTOR"},
		"a recovery by a handler": {answer: unreachable, set: func(c *axle.Client) { useRejected(c, recovers) }, want: "ok 203"},
		"a short cut": {answer: ok, set: func(c *axle.Client) {
			useRequest(c, func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 204, nil, nil)) })
		}, want: "ok 204"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(test.answer)
			if test.set != nil {
				test.set(c)
			}
			var caller ends
			r := c.R(t.Context()).SetMethod("GET").SetURL("/").With(test.edit)
			r.OnEnd(caller.note)
			_, _ = c.Do(r)
			assert.Equal(t, []string{test.want}, caller.taken(), "of the caller")

			// A handler is not reached by a call whose context is nil.
			if name == "a nil context" {
				return
			}
			var handler ends
			handler.useOnEnd(c)
			_, _ = c.Do(c.R(t.Context()).SetMethod("GET").SetURL("/").With(test.edit))
			assert.Equal(t, []string{test.want}, handler.taken(), "of a handler")
		})
	}
}

func brokenBody(r *http.Request) (*http.Response, error) {
	return replyWith(r, 200, io.NopCloser(failingReader{})), nil
}

func cancelFirst(r *axle.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	r.SetContext(ctx)
}

func nothing(*axle.Response) (*axle.Response, error) { return nil, nil }
func fails(*axle.Response) (*axle.Response, error)   { return nil, errBoom }
func recovers(*axle.Error) (*axle.Response, error)   { return axle.NewResponse(nil, 203, nil, nil), nil }

func TestOnEnd_RunsForACallThatHasNoClient(t *testing.T) {
	var e ends
	r := &axle.Request{}
	r.OnEnd(e.note)
	_, err := r.Get("/")
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Equal(t, []string{"ERR_BAD_OPTION_VALUE"}, e.taken())
}

func TestOnEnd_RunsAfterAPanicOrGoexitInAHandler(t *testing.T) {
	leave := map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit}
	chains := map[string]func(c *axle.Client, act func()){
		"request handler": func(c *axle.Client, act func()) { useRequest(c, func(*axle.Request) { act() }) },
		"response handler": func(c *axle.Client, act func()) {
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { act(); return r, nil })
		},
		"handler in a replay": func(c *axle.Client, act func()) {
			useRequest(c, func(r *axle.Request) {
				if r.Attempt() > 0 {
					act()
				}
			})
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { return r.Request.Replay() })
		},
		"RunWhen": func(c *axle.Client, act func()) {
			c.Interceptors.Request.Use(nil, nil, axle.RunWhen(func(*axle.Request) bool { act(); return true }))
		},
	}
	send := map[string]func(c *axle.Client, r *axle.Request){
		"Do":     func(c *axle.Client, r *axle.Request) { _, _ = c.Do(r) },
		"stream": func(c *axle.Client, r *axle.Request) { _, _ = c.Do(r.SetStream(true)) },
	}
	for how, act := range leave {
		for where, use := range chains {
			for by, do := range send {
				t.Run(how+" in a "+where+" by "+by, func(t *testing.T) {
					c, _ := newFakeClient(always(200, ""))
					use(c, act)
					var e ends
					r := c.R(t.Context()).SetURL("/a")
					r.OnEnd(e.note)
					r.OnEnd(func(_ *axle.Response, err *axle.Error) {
						assert.NotNil(t, err.Request)
						assert.ErrorContains(t, err, "panicked or called runtime.Goexit")
					})

					var panicked any
					var g sync.WaitGroup
					g.Go(func() {
						defer func() { panicked = recover() }()
						do(c, r)
					})
					g.Wait()
					assert.Equal(t, []string{"ERR_INTERCEPTOR"}, e.taken())
					if how == "panic" {
						assert.Equal(t, "boom", panicked, "the panic goes on")
					}
				})
			}
		}
	}
}

func TestOnEnd_FunctionsRunInTheReverseOrder(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var e ends
	useRequest(c, func(r *axle.Request) { r.OnEnd(e.named("handler 1")); r.OnEnd(e.named("handler 2")) })
	useFulfilled(c, func(r *axle.Response) (*axle.Response, error) {
		r.Request.OnEnd(e.named("response handler"))
		return r, nil
	})
	r := c.R(t.Context())
	r.OnEnd(e.named("caller 1"))
	r.OnEnd(e.named("caller 2"))
	_, err := r.Get("/")
	require.NoError(t, err)
	assert.Equal(t, []string{"response handler", "handler 2", "handler 1", "caller 2", "caller 1"}, e.taken())
}

func TestOnEnd_RunsAfterTheOutermostHandlerAndTheDecoding(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"a":1}`))
	var e ends
	useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { e.add("handler"); return r, nil })
	var result struct{ A int }
	r := c.R(t.Context()).SetResult(&result)
	r.OnEnd(func(*axle.Response, *axle.Error) { e.add(fmt.Sprint("end with ", result.A)) })
	_, err := r.Get("/")
	require.NoError(t, err)
	assert.Equal(t, []string{"handler", "end with 1"}, e.taken())
}

func TestOnEnd_IsOncePerCallOverReplays(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 500, 200))
	var e, attempts, edits ends
	useRequest(c, func(r *axle.Request) { r.OnEnd(attempts.note) })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.OnEnd(edits.note) })
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	r := c.R(t.Context())
	r.OnEnd(e.note)
	_, err := r.Get("/")
	require.NoError(t, err)

	assert.Equal(t, []string{"ok 200"}, e.taken(), "the caller's, once")
	assert.Equal(t, []string{"ok 200", "ok 200", "ok 200"}, attempts.taken(), "a handler's, once per registration")
	assert.Equal(t, []string{"ok 200"}, edits.taken(), "an edit's, though the replay it was for failed")
}

func TestOnEnd_ACallersFunctionRunsForEachCallOfItsRequest(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var n atomic.Int32
	r := c.R(t.Context()).SetURL("/")
	r.OnEnd(func(*axle.Response, *axle.Error) { n.Add(1) })

	var g sync.WaitGroup
	for range 50 {
		g.Go(func() {
			_, err := c.Do(r)
			assert.NoError(t, err)
		})
	}
	g.Wait()
	assert.EqualValues(t, 50, n.Load())

	// A copy of the caller's has them too.
	_, err := c.Do(r.Clone())
	require.NoError(t, err)
	assert.EqualValues(t, 51, n.Load())
}

func TestOnEnd_AnInnerCallEndsApart(t *testing.T) {
	var e ends
	for name, inner := range map[string]func(c *axle.Client, r *axle.Request) (*axle.Response, error){
		"Do of its own request": func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r) },
		"Do of a clone":         func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r.Clone()) },
		"a verb":                func(_ *axle.Client, r *axle.Request) (*axle.Response, error) { return r.Get("/other") },
		"Do by another client": func(_ *axle.Client, r *axle.Request) (*axle.Response, error) {
			other, _ := newFakeClient(always(200, ""))
			e.useOnEnd(other)
			return other.Do(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(inTurn(500, 200))
			e.useOnEnd(c)
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				resp, failed := inner(c, err.Request)
				e.add("inner returned")
				return resp, failed
			})
			r := c.R(t.Context())
			r.OnEnd(e.named("caller"))
			_, err := r.Get("/")
			require.NoError(t, err)
			assert.Equal(t, []string{"ok 200", "inner returned", "ok 200", "caller"}, e.taken())
		})
	}
}

func TestOnEnd_ARequestThatAHandlerMadeBringsItsFunctions(t *testing.T) {
	var e ends
	made := (&axle.Request{}).SetURL("/made")
	made.OnEnd(e.named("1"))
	made.OnEnd(e.named("2"))
	for name, use := range map[string]func(c *axle.Client){
		"a request": func(c *axle.Client) {
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return made, nil }, nil)
		},
		"the request of a response": func(c *axle.Client) {
			useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return axle.NewResponse(made, 200, nil, nil), nil })
		},
		"the request of an error": func(c *axle.Client) {
			useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, &axle.Error{Request: made} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(always(200, ""))
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { return r, nil })
			use(c)

			// The replay comes to the handler again.
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { return r.Request.Replay() })
			r := c.R(t.Context())
			r.OnEnd(e.named("caller"))
			_, _ = r.Get("/")
			assert.Equal(t, []string{"2", "1", "caller"}, e.taken())
		})
	}

	t.Run("the caller's own request", func(t *testing.T) {
		c, _ := newFakeClient(always(200, ""))
		r := c.R(t.Context()).SetURL("/")
		r.OnEnd(e.named("caller"))
		c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return r, nil }, nil)
		_, err := c.Do(r)
		require.NoError(t, err)
		assert.Equal(t, []string{"caller"}, e.taken())
	})
}

func TestOnEnd_OfACallThatHasReturnedRunsAtOnce(t *testing.T) {
	for name, withOne := range map[string]bool{"with a function before": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(inTurn(200, 500, 200))
			var e ends
			if withOne {
				useRequest(c, func(r *axle.Request) { r.OnEnd(func(*axle.Response, *axle.Error) {}) })
			}
			resp, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
			resp.Request.OnEnd(e.note)
			assert.Equal(t, []string{"ok 200"}, e.taken())

			_, err = c.Get(t.Context(), "/")
			asAxle(t, err).Request.OnEnd(e.note)
			assert.Equal(t, []string{"ERR_BAD_RESPONSE"}, e.taken())

			resp, err = c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			resp.Request.OnEnd(e.note)
			assert.Equal(t, []string{"ok 200"}, e.taken(), "the stream is still open")
			require.NoError(t, resp.Stream().Close())
			assert.Empty(t, e.taken())
		})
	}
}

func TestOnEnd_WithinAFunctionRunsAtOnce(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var e ends
	useRequest(c, func(r *axle.Request) {
		r.OnEnd(func(resp *axle.Response, _ *axle.Error) {
			e.add("outer")
			resp.Request.OnEnd(e.named("inner"))
			e.add("outer again")
		})
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"outer", "inner", "outer again"}, e.taken())
}

func TestOnEnd_ACopyThatACallHandedOutBringsNoFunctions(t *testing.T) {
	c, _ := newFakeClient(always(500, ""))
	var e ends
	r := c.R(t.Context())
	r.OnEnd(e.note)
	_, err := r.Get("/")
	require.Equal(t, []string{"ERR_BAD_RESPONSE"}, e.taken())

	_, err = c.Do(asAxle(t, err).Request)
	require.Error(t, err)
	assert.Empty(t, e.taken())
}

func TestOnEnd_APanicInAFunctionGoesOnAfterTheOthers(t *testing.T) {
	for name, stream := range map[string]bool{"in memory": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			var network watchedBodies
			c, _ := newFakeClient(network.Answer)
			var e ends
			r := c.R(t.Context()).SetStream(stream)
			r.OnEnd(e.note)
			r.OnEnd(func(*axle.Response, *axle.Error) { panic("boom") })
			r.OnEnd(e.note)
			assert.PanicsWithValue(t, "boom", func() {
				resp, err := r.Get("/")
				require.NoError(t, err)
				_ = resp.Stream().Close()
			})
			assert.Equal(t, []string{"ok 200", "ok 200"}, e.taken())
			assert.Empty(t, network.Open())
		})
	}
}

func TestOnEnd_MayBeCalledByManyGoroutinesOfAHandler(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var n atomic.Int32
	useFulfilled(c, func(r *axle.Response) (*axle.Response, error) {
		var g sync.WaitGroup
		for range 50 {
			g.Go(func() { r.Request.OnEnd(func(*axle.Response, *axle.Error) { n.Add(1) }) })
		}
		g.Wait()
		return r, nil
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.EqualValues(t, 50, n.Load())
}

func TestOnEnd_ANilFunctionIsIgnored(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useRequest(c, func(r *axle.Request) { r.OnEnd(nil) })
	r := c.R(t.Context())
	r.OnEnd(nil)
	_, err := r.Get("/")
	require.NoError(t, err)
}

func TestOnEnd_CostsACallWithoutItNothing(t *testing.T) {
	// A stream without a function stays what the network gave.
	body := newWatchedBody("text")
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return replyWith(r, 200, body), nil })
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Same(t, body, resp.Stream())

	// A function costs its own memory alone: the function and its link in the list.
	c = benchClient(0)
	plain := testing.AllocsPerRun(200, func() { _, _ = c.Get(t.Context(), "/") })
	useRequest(c, func(r *axle.Request) { r.OnEnd(func(*axle.Response, *axle.Error) {}) })
	assert.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = c.Get(t.Context(), "/") }), plain+1)
}
