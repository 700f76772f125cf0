package axios_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// The recipes of docs/porting-from-axios.md, and their tests.

func loading(show func(on bool), opts ...axle.UseOption) axle.Plugin {
	var mu sync.Mutex
	var underWay int
	add := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		underWay += n
		if n > 0 && underWay == 1 || n < 0 && underWay == 0 {
			show(underWay > 0)
		}
	}

	return axle.OnRequest("loading", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
		add(1)
		r.OnEnd(func(*axle.Response, *axle.Error) { add(-1) })
		return r, nil
	}, nil, opts...)
}

func cancelAll(opts ...axle.UseOption) (plugin axle.Plugin, abort func(cause error)) {
	var mu sync.Mutex
	pending := map[context.Context]context.CancelCauseFunc{}
	contextOfCall := axle.NewKey[context.Context]("cancel-all")

	plugin = axle.OnRequest("cancel-all", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
		if ctx, isReplay := contextOfCall.Get(r); isReplay {
			return r.SetContext(ctx), nil
		}

		ctx, cancel := context.WithCancelCause(ctx)
		mu.Lock()
		pending[ctx] = cancel
		mu.Unlock()

		contextOfCall.Set(r, ctx)
		r.SetContext(ctx).OnEnd(func(*axle.Response, *axle.Error) {
			mu.Lock()
			delete(pending, ctx)
			mu.Unlock()
			cancel(nil)
		})
		return r, nil
	}, nil, opts...)

	abort = func(cause error) {
		mu.Lock()
		defer mu.Unlock()
		for _, cancel := range pending {
			cancel(cause)
		}
	}
	return plugin, abort
}

var errReplaced = errors.New("a later call has taken its place")

func latestOnly(keyOf func(r *axle.Request) string, opts ...axle.UseOption) axle.Plugin {
	type pending struct {
		ctx    context.Context
		cancel context.CancelCauseFunc
	}
	var mu sync.Mutex
	latest := map[string]*pending{}
	ofCall := axle.NewKey[*pending]("latest-only")

	return axle.OnRequest("latest-only", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
		if p, isReplay := ofCall.Get(r); isReplay {
			return r.SetContext(p.ctx), nil
		}

		p := &pending{}
		p.ctx, p.cancel = context.WithCancelCause(ctx)
		key := keyOf(r)
		mu.Lock()
		before := latest[key]
		latest[key] = p
		mu.Unlock()
		if before != nil {
			before.cancel(errReplaced)
		}

		ofCall.Set(r, p)
		r.SetContext(p.ctx).OnEnd(func(*axle.Response, *axle.Error) {
			mu.Lock()
			if latest[key] == p {
				delete(latest, key)
			}
			mu.Unlock()
			p.cancel(nil)
		})
		return r, nil
	}, nil, opts...)
}

func atMost(n int, opts ...axle.UseOption) axle.Plugin {
	turns := make(chan struct{}, n)
	hasTurn := axle.NewKey[bool]("at-most")

	return axle.OnRequest("at-most", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
		if isReplay, _ := hasTurn.Get(r); isReplay {
			return r, nil
		}
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}

		hasTurn.Set(r, true)
		r.OnEnd(func(*axle.Response, *axle.Error) { <-turns })
		return r, nil
	}, nil, opts...)
}

func within(d time.Duration, opts ...axle.UseOption) axle.Plugin {
	contextOfCall := axle.NewKey[context.Context]("within")

	return axle.OnRequest("within", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
		if ctx, isReplay := contextOfCall.Get(r); isReplay {
			return r.SetContext(ctx), nil
		}
		ctx, cancel := context.WithTimeout(ctx, d)
		contextOfCall.Set(r, ctx)
		r.SetContext(ctx).OnEnd(func(*axle.Response, *axle.Error) { cancel() })
		return r, nil
	}, nil, opts...)
}

// useReplayOnce has each 503 replayed.
func useReplayOnce(c *axle.Client) {
	c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() == http.StatusServiceUnavailable {
			return err.Request.Replay()
		}
		return nil, err
	})
}

func TestRecipes_ALoadingIndicatorIsOnWhileACallIsUnderWayAndOffHoweverItEnds(t *testing.T) {
	for name, test := range map[string]struct {
		path string
		act  func(c *axle.Client)
	}{
		"fulfilled": {path: "/200"},
		"refused":   {path: "/500"},
		"replayed":  {path: "/503", act: useReplayOnce},
		"not sent":  {path: "ftp://x/"},
		"a panic in a handler": {path: "/200", act: func(c *axle.Client) {
			useRequest(c, func(*axle.Request) { panic("boom") })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				var status int
				_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
				w.WriteHeader(status)
			})
			if test.act != nil {
				test.act(c)
			}
			var shown []bool
			c.Use(loading(func(on bool) { shown = append(shown, on) }))
			func() {
				defer func() { _ = recover() }()
				_, _ = c.Get(t.Context(), test.path)
			}()
			assert.Equal(t, []bool{true, false}, shown)
		})
	}
}

func TestRecipes_ALoadingIndicatorIsOnWhileAStreamIsReadAndOnceForManyCalls(t *testing.T) {
	c := newLoopback(t, echo)
	var shown []bool
	c.Use(loading(func(on bool) { shown = append(shown, on) }))
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []bool{true}, shown)
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, []bool{true, false}, shown)
}

var errLeft = errors.New("the page was left")

// blocking is a server whose requests to /wait last until they are canceled, and which counts them.
func blocking(t *testing.T) (c *axle.Client, arrived chan string) {
	t.Helper()
	arrived = make(chan string, 100)
	c = newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			arrived <- r.URL.String()
			<-r.Context().Done()
		case "/stream":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	return c, arrived
}

func TestRecipes_CancelAllEndsTheCallsUnderWayAndNoLaterOne(t *testing.T) {
	c, arrived := blocking(t)
	plugin, abort := cancelAll()
	c.Use(plugin)

	var g sync.WaitGroup
	for range 10 {
		g.Go(func() {
			_, err := c.Get(t.Context(), "/wait")
			assert.ErrorIs(t, err, axle.CodeCanceled)
			assert.ErrorIs(t, err, errLeft)
		})
	}
	for range 10 {
		<-arrived
	}
	stream, err := c.R(t.Context()).SetStream(true).Get("/stream")
	require.NoError(t, err)
	abort(errLeft)
	g.Wait()

	_, err = io.ReadAll(stream.Stream())
	require.Error(t, err, "a stream is a call under way until it is closed")
	require.NoError(t, stream.Stream().Close())

	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	abort(errLeft) // nothing is under way
}

func TestRecipes_CancelAllHoldsForAReplay(t *testing.T) {
	c, _ := newFakeClient(always(http.StatusServiceUnavailable, ""))
	plugin, abort := cancelAll()
	c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		abort(errLeft)
		return err.Request.Replay()
	})
	c.Use(plugin)
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeCanceled)
	assert.ErrorIs(t, err, errLeft)
}

func methodAndURL(r *axle.Request) string { return r.Method + " " + r.URL }

func TestRecipes_ALaterCallCancelsTheEarlierOneOfTheSameKey(t *testing.T) {
	c, arrived := blocking(t)
	c.Use(latestOnly(methodAndURL))

	var g sync.WaitGroup
	for range 3 {
		g.Go(func() {
			_, err := c.Get(t.Context(), "/wait")
			assert.ErrorIs(t, err, axle.CodeCanceled)
			assert.ErrorIs(t, err, errReplaced)
		})
		<-arrived
	}

	// Another key cancels none, and neither does a call that has ended.
	ctx, cancel := context.WithCancel(t.Context())
	g.Go(func() {
		_, err := c.Get(ctx, "/wait")
		assert.ErrorIs(t, err, axle.CodeCanceled)
		assert.NotErrorIs(t, err, errReplaced)
	})
	<-arrived
	for range 2 {
		_, err := c.Get(t.Context(), "/other")
		require.NoError(t, err)
	}
	cancel()
	g.Wait()
}

func TestRecipes_AReplayDoesNotCancelItsOwnCallAndAReplacedCallIsNotReplayed(t *testing.T) {
	var answers atomic.Int32
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
		if answers.Add(1) <= 2 {
			return reply(r, http.StatusServiceUnavailable, ""), nil
		}
		return reply(r, 200, ""), nil
	})
	var first context.Context
	c.Interceptors.Response.Use(nil, func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
		first = ctx
		if _, again := err.Request.Replay(); again == nil {
			t.Error("the second attempt was refused by the server")
		}
		assert.NoError(t, ctx.Err(), "the handler may go on waiting")
		return err.Request.Replay()
	})
	c.Use(latestOnly(methodAndURL))
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.EqualValues(t, 3, network.Sent.Load())
	require.ErrorIs(t, first.Err(), context.Canceled, "it is released at the end")

	// A later call arrives while the earlier one is between two attempts.
	answers.Store(1)
	c, network = newFakeClient(func(r *http.Request) (*http.Response, error) {
		if answers.Add(1) <= 2 {
			return reply(r, http.StatusServiceUnavailable, ""), nil
		}
		return reply(r, 200, ""), nil
	})
	c.Interceptors.Response.Use(nil, func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() == http.StatusServiceUnavailable {
			_, later := c.Get(t.Context(), "/")
			assert.NoError(t, later)
			return err.Request.Replay()
		}
		return nil, err
	})
	c.Use(latestOnly(methodAndURL))
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errReplaced)
	assert.EqualValues(t, 2, network.Sent.Load(), "the replaced call was not sent again")
}

func TestRecipes_NoMoreCallsThanTheLimitRunAtATimeAndEachGivesItsTurnBack(t *testing.T) {
	var now, most atomic.Int32
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if r.URL.Path == "/503" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	useReplayOnce(c)
	c.Use(atMost(3))

	var g sync.WaitGroup
	for i := range 60 {
		g.Go(func() {
			switch i % 3 {
			case 0:
				_, err := c.Get(t.Context(), "/200")
				assert.NoError(t, err)
			case 1:
				_, err := c.Get(t.Context(), "/503")
				assert.Error(t, err)
			case 2:
				resp, err := c.R(t.Context()).SetStream(true).Get("/200")
				assert.NoError(t, err)
				assert.NoError(t, resp.Stream().Close())
			}
		})
	}
	g.Wait()
	assert.LessOrEqual(t, most.Load(), int32(3))
}

func TestRecipes_AWaitForATurnEndsWithTheContext(t *testing.T) {
	c, arrived := blocking(t)
	c.Use(atMost(1))
	ctx, cancel := context.WithCancelCause(t.Context())
	var g sync.WaitGroup
	g.Go(func() { _, _ = c.Get(ctx, "/wait") })
	<-arrived

	second, giveUp := context.WithCancelCause(t.Context())
	giveUp(errLeft)
	_, err := c.Get(second, "/")
	require.ErrorIs(t, err, axle.CodeCanceled)
	require.ErrorIs(t, err, errLeft)
	cancel(nil)
	g.Wait()
}

// refreshing is a client whose session has a dead token and refreshes by that same client. The
// refresh is answered when answer is closed.
func refreshing(t *testing.T) (c *axle.Client, noRefresh axle.UseOption, asked, answer chan struct{}) {
	t.Helper()
	asked, answer = make(chan struct{}), make(chan struct{})
	var fresh atomic.Bool
	c = newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/refresh":
			close(asked)
			<-answer
			fresh.Store(true)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"new","token_type":"Bearer"}`)
		case !fresh.Load():
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	s := store.New[struct{}](store.Endpoint(c, "/refresh"))
	s.SetState(func(st *store.State[struct{}]) { st.Token = &oauth2.Token{AccessToken: "old", RefreshToken: "r"} })
	c.Use(auth.New(s))
	noRefresh = axle.RunWhen(func(r *axle.Request) bool { return !auth.Bypassed(r.Context(), s) })
	return c, noRefresh, asked, answer
}

func TestRecipes_ARefreshNeedsNoTurnOfTheLimit(t *testing.T) {
	c, noRefresh, _, answer := refreshing(t)
	close(answer)
	c.Use(atMost(1, noRefresh))
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
}

func TestRecipes_CancelAllEndsAWaitForARefreshAndTheRefreshGoesOn(t *testing.T) {
	c, noRefresh, asked, answer := refreshing(t)
	plugin, abort := cancelAll(noRefresh)
	begun := make(chan struct{}, 10)
	c.Use(axle.OnRequest("begun", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		begun <- struct{}{}
		return r, nil
	}, nil, noRefresh), plugin)

	var g sync.WaitGroup
	for range 10 {
		g.Go(func() {
			_, err := c.Get(t.Context(), "/")
			assert.ErrorIs(t, err, axle.CodeCanceled)
			assert.ErrorIs(t, err, errLeft)
		})
	}
	<-asked
	for range 10 {
		<-begun
	}
	abort(errLeft)
	g.Wait()

	close(answer)
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err, "by the token of the refresh that went on")
}

func TestRecipes_ATimeLimitOfTheWholeCallIsOneForAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(40 * time.Second):
				return reply(r, http.StatusServiceUnavailable, ""), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		useReplayOnce(c)
		c.Use(within(time.Minute))

		began := time.Now()
		_, err := c.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(began))
		assert.EqualValues(t, 2, network.Sent.Load())
	})
}

func TestRecipes_ATimeLimitIsReleasedAtTheEndAndCutsNoStreamBefore(t *testing.T) {
	c := newLoopback(t, echo)
	var ofCall context.Context
	c.Interceptors.Response.Use(func(ctx context.Context, r *axle.Response) (*axle.Response, error) {
		ofCall = ctx
		return r, nil
	}, nil)
	c.Use(within(time.Hour))
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	require.NoError(t, ofCall.Err())
	_, err = io.ReadAll(resp.Stream())
	require.NoError(t, err)
	require.NoError(t, resp.Stream().Close())
	require.ErrorIs(t, ofCall.Err(), context.Canceled)
}
