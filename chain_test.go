package axle_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestChain_RequestHandlersRunLastInFirstOut(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	for _, name := range []string{"a", "b", "c"} {
		log.onRequest(c, name)
	}
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"c", "b", "a"}, log.taken())
	assert.Equal(t, "c -> b -> a", c.Interceptors.Request.String())
}

func TestChain_ResponseHandlersRunFirstInFirstOut(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	for _, name := range []string{"a", "b", "c"} {
		log.onResponse(c, name)
	}
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c"}, log.taken())
	assert.Equal(t, "a -> b -> c", c.Interceptors.Response.String())
}

func TestChain_InterceptorOrderIsTheRequestChainsAloneAndMayChange(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "a")
	log.onRequest(c, "b")
	log.onResponse(c, "x")
	log.onResponse(c, "y")

	c.SetInterceptorOrder(axle.FIFO).SetInterceptorOrder(axle.FIFO)
	log.onRequest(c, "c")
	assert.Equal(t, "a -> b -> c", c.Interceptors.Request.String())
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c", "x", "y"}, log.taken())

	c.SetInterceptorOrder(axle.LIFO)
	assert.Equal(t, "c -> b -> a", c.Interceptors.Request.String())
	assert.Equal(t, "x -> y", c.Interceptors.Response.String())
}

func TestChain_NilHandlersPassThrough(t *testing.T) {
	for _, status := range []int{200, 500} {
		c, _ := newFakeClient(always(status, "body"))
		for range 3 {
			c.Interceptors.Request.Use(nil, nil)
			c.Interceptors.Response.Use(nil, nil)
		}
		resp, err := c.Get(t.Context(), "/")
		if status == 200 {
			require.NoError(t, err)
			assert.Equal(t, "body", resp.String())
		} else {
			assert.Equal(t, status, asAxle(t, err).StatusCode())
		}
	}
}

func TestChain_EjectRemovesOnePairOnce(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "a")
	b := log.onRequest(c, "b")
	log.onRequest(c, "c")

	assert.True(t, c.Interceptors.Request.Eject(b))
	assert.False(t, c.Interceptors.Request.Eject(b), "it is gone already")
	assert.False(t, c.Interceptors.Request.Eject(axle.InterceptorID{}), "the zero id is no interceptor's")
	assert.Equal(t, 2, c.Interceptors.Request.Len())
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"c", "a"}, log.taken())
}

func TestChain_AnIDIsOfOneChainAlone(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	request := c.Interceptors.Request.Use(nil, nil)
	response := c.Interceptors.Response.Use(nil, nil)
	assert.NotEqual(t, request, response)
	assert.False(t, c.Interceptors.Response.Eject(request))
	assert.False(t, c.Interceptors.Request.Eject(response))
}

func TestChain_ClearRemovesEveryPairAndKeepsTheOrder(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetInterceptorOrder(axle.FIFO)
	var log callTrace
	log.onRequest(c, "a")
	c.Interceptors.Request.Clear()
	assert.Zero(t, c.Interceptors.Request.Len())
	assert.Empty(t, c.Interceptors.Request.String())
	log.onRequest(c, "b")
	log.onRequest(c, "c")
	assert.Equal(t, "b -> c", c.Interceptors.Request.String())
}

func TestP11_IDsAreNeverReused(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	stale := c.Interceptors.Request.Use(nil, nil)
	seen := map[axle.InterceptorID]bool{stale: true}
	for range 3 {
		c.Interceptors.Request.Clear()
		fresh := c.Interceptors.Request.Use(nil, nil, axle.Named("newer"))
		assert.False(t, seen[fresh], "an id came back")
		seen[fresh] = true
		assert.False(t, c.Interceptors.Request.Eject(stale))
		assert.Equal(t, "newer", c.Interceptors.Request.String())
	}
}

func TestChain_IDsStayValidInAClone(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	id := c.Interceptors.Response.Use(nil, nil, axle.Named("both"))
	clone := c.Clone()
	assert.True(t, clone.Interceptors.Response.Eject(id))
	assert.Equal(t, "both", c.Interceptors.Response.String(), "the clone is independent")
	assert.True(t, c.Interceptors.Response.Eject(id))

	clone.SetInterceptorOrder(axle.FIFO)
	for _, name := range []string{"a", "b"} {
		clone.Interceptors.Request.Use(nil, nil, axle.Named(name))
		c.Interceptors.Request.Use(nil, nil, axle.Named(name))
	}
	assert.Equal(t, "a -> b", clone.Interceptors.Request.String())
	assert.Equal(t, "b -> a", c.Interceptors.Request.String())
}

func TestChain_AnUnnamedInterceptorIsCalledByTheLineThatAddedIt(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(nil, nil)
	assert.Regexp(t, `^chain_test\.go:\d+$`, c.Interceptors.Request.String())
	c.Interceptors.Response.Use(nil, nil, nil, axle.Named(""))
	assert.Regexp(t, `^chain_test\.go:\d+$`, c.Interceptors.Response.String())
}

func TestChain_RunWhenIsAskedOnceAtTheStartOfTheMergedRequestForBothChains(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 500, 200))
	c.SetHeader("X-Default", "merged")
	var log callTrace
	when := func(name string, holds bool) axle.UseOption {
		return axle.RunWhen(func(req *axle.Request) bool {
			log.add(name + "? " + req.Header.Get("X-Default") + req.Header.Get("X-Handler"))
			return holds
		})
	}
	useRequest(c, func(req *axle.Request) { req.SetHeader("X-Handler", "too late") })
	log.onRequest(c, "request", when("request", true))
	log.onRequest(c, "no request", when("no request", false))
	log.onResponse(c, "response", when("response", true))
	log.onResponse(c, "no response", when("no response", false))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	got := log.taken()
	asked := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !slices.Contains([]byte(s), '?') })
	assert.ElementsMatch(t, []string{"request? merged", "no request? merged", "response? merged", "no response? merged"}, asked)
	assert.ElementsMatch(t, asked, got[:4], "before any handler ran")
	assert.NotContains(t, got, "no request")
	assert.NotContains(t, got, "no response!")
	assert.Equal(t, []string{"request", "response!", "request", "response!", "request", "response"}, got[4:])
}

func TestChain_ANilRunWhenAlwaysHolds(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "a", axle.RunWhen(nil))
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, log.taken())
}

func TestChain_ADifferentAnswerOfRunWhenPicksADifferentChain(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "posts", axle.RunWhen(func(req *axle.Request) bool { return req.Method == http.MethodPost }))
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, log.taken())
	_, err = c.Post(t.Context(), "/", "x")
	require.NoError(t, err)
	assert.Equal(t, []string{"posts"}, log.taken())
}

// A call's chain, settings and RunWhen answers are those of its start.
func TestCall_IsASnapshot(t *testing.T) {
	for name, change := range map[string]func(c *axle.Client, later axle.InterceptorID, log *callTrace){
		"Use":   func(c *axle.Client, _ axle.InterceptorID, log *callTrace) { log.onResponse(c, "new") },
		"Eject": func(c *axle.Client, later axle.InterceptorID, _ *callTrace) { c.Interceptors.Response.Eject(later) },
		"Clear": func(c *axle.Client, _ axle.InterceptorID, _ *callTrace) { c.Interceptors.Response.Clear() },
		"settings": func(c *axle.Client, _ axle.InterceptorID, _ *callTrace) {
			c.SetBaseURL("http://other.test").SetHeader("X-New", "1")
		},
		"validate": func(c *axle.Client, _ axle.InterceptorID, _ *callTrace) {
			c.SetValidateStatus(func(int) bool { return false })
		},
		"order": func(c *axle.Client, _ axle.InterceptorID, _ *callTrace) { c.SetInterceptorOrder(axle.FIFO) },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				return reply(r, 200, r.URL.Host+r.Header.Get("X-New")), nil
			})
			var log callTrace
			var later axle.InterceptorID
			log.onRequest(c, "first")
			var once sync.Once
			useRequest(c, func(*axle.Request) { once.Do(func() { change(c, later, &log) }) })
			later = log.onResponse(c, "later")

			resp, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, "axle.test", resp.String())
			assert.Equal(t, []string{"first", "later"}, log.taken(), "the call in flight is not affected")

			resp, err = c.Get(t.Context(), "/")
			after := log.taken()
			switch name {
			case "Use":
				assert.Equal(t, []string{"first", "later", "new"}, after)
			case "Eject", "Clear":
				assert.Equal(t, []string{"first"}, after)
			case "settings":
				assert.Equal(t, "other.test1", resp.String())
			case "validate":
				assert.ErrorIs(t, err, axle.CodeBadResponse)
			}
		})
	}
}

func TestCall_AReplayKeepsTheSnapshotAndADoTakesANewOne(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.URL.Host), nil })
	var hosts callTrace
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		if resp.String() != "axle.test" {
			return resp, nil
		}
		c.Interceptors.Response.Clear()
		c.SetBaseURL("http://other.test")
		replayed, err := resp.Request.Replay()
		require.NoError(t, err)
		done, err := c.Do(resp.Request)
		require.NoError(t, err)
		hosts.add(replayed.String())
		hosts.add(done.String())
		return replayed, nil
	})
	hosts.onResponse(c, "after")
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"axle.test", "other.test", "after"}, hosts.taken())
}

// resty v2 runs hooks under a read lock, so a nested request and a registration deadlock.
func TestP6_RegistrationNeverBlocksACall(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	inHandler, registered := make(chan struct{}), make(chan struct{})
	useRequest(c, func(req *axle.Request) {
		if req.URL == "/nested" {
			return
		}
		close(inHandler)
		<-registered // another goroutine registers while this call is in a handler
		id := c.Interceptors.Request.Use(nil, nil)
		_, err := c.Get(req.Context(), "/nested")
		assert.NoError(t, err)
		c.Interceptors.Request.Eject(id)
	})
	go func() {
		<-inHandler
		c.Interceptors.Request.Use(nil, nil)
		c.Interceptors.Response.Use(nil, nil)
		c.SetHeader("X-A", "1").SetTimeout(0).SetInterceptorOrder(axle.FIFO)
		close(registered)
	}()
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, 2, c.Interceptors.Request.Len())
}

func TestP6_ACallNeverBlocksRegistration(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				var id axle.InterceptorID
				switch {
				case worker%2 == 0:
					_, err := c.Get(context.Background(), "/")
					assert.NoError(t, err)
				case i%10 == 9:
					c.Interceptors.Response.Clear()
				default:
					id = c.Interceptors.Response.Use(nil, nil, axle.Named(strconv.Itoa(i)))
					c.SetHeader("X-Worker", strconv.Itoa(worker))
					_ = c.Interceptors.Response.String()
					c.Interceptors.Response.Eject(id)
				}
			}
		})
	}
	wg.Wait()
}

func TestChain_ConcurrentUseLosesNoPair(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				keep := c.Interceptors.Request.Use(nil, nil)
				gone := c.Interceptors.Request.Use(nil, nil)
				assert.NotEqual(t, keep, gone)
				assert.True(t, c.Interceptors.Request.Eject(gone))
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 8*50, c.Interceptors.Request.Len())
}

func TestChain_AnAddedPairCostsNoAllocation(t *testing.T) {
	measure := func(pairs int) float64 {
		c, _ := newFakeClient(always(200, "{}"))
		for range pairs {
			passThroughPair(c)
		}
		ctx := t.Context()
		return testing.AllocsPerRun(200, func() {
			if _, err := c.Get(ctx, "/"); err != nil {
				t.Fatal(err)
			}
		})
	}
	measure(1) // warm up
	assert.InDelta(t, measure(0), measure(100), 0.5, "allocations of a call with 0 and with 100 pairs")
}
