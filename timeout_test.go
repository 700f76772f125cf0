package axle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/axletest"
)

// slowly answers after a second, with a body that takes another one.
func slowly(r *http.Request) (*http.Response, error) {
	wait := func() error {
		select {
		case <-time.After(time.Second):
			return nil
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
	if err := wait(); err != nil {
		return nil, err
	}
	return replyWith(r, 200, &watchedBody{Reader: io.MultiReader(strings.NewReader("a"), readFunc(func([]byte) (int, error) {
		if err := wait(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}))}), nil
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestResponse_DurationIsToTheEndOfTheBodyOrTheHeadersOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(slowly)
		resp, err := c.Get(context.Background(), "/")
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, resp.Duration())
		resp, err = c.R(context.Background()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, time.Second, resp.Duration())
		require.NoError(t, resp.Buffer())
		_, err = c.R(context.Background()).SetValidateStatus(func(int) bool { return false }).Get("/")
		assert.Equal(t, 2*time.Second, asAxle(t, err).Response.Duration(), "a refused one has it too")
	})
}

func TestResponse_ATimeLimitBoundsTheBodyOrTheHeadersOfAStream(t *testing.T) {
	for name, x := range map[string]struct {
		limit  time.Duration
		stream bool
		code   axle.Code // empty: none
	}{
		"enough":                         {3 * time.Second, false, ""},
		"up during the body":             {1500 * time.Millisecond, false, axle.CodeTimeout},
		"up before the headers":          {500 * time.Millisecond, false, axle.CodeTimeout},
		"a stream, after its headers":    {1500 * time.Millisecond, true, ""},
		"a stream, up before the header": {500 * time.Millisecond, true, axle.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFakeClient(slowly)
				resp, err := c.R(context.Background()).SetTimeout(x.limit).SetStream(x.stream).Get("/")
				if x.code != "" {
					assert.Equal(t, x.code, asAxle(t, err).Code)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				require.NoError(t, err)
				time.Sleep(time.Hour) // of a stream nobody hurries the reader
				require.NoError(t, resp.Buffer())
				assert.Equal(t, "a", resp.String())
			})
		})
	}
}

func TestTimeout_TheContextOfADispatchIsFreedWhenItIsOver(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"a response":           always(200, "whole"),
		"an upgrade":           always(101, ""),
		"a network that fails": func(*http.Request) (*http.Response, error) { return nil, errBoom },
		"a body that fails": func(r *http.Request) (*http.Response, error) {
			return replyWith(r, 200, io.NopCloser(axletest.FailingReader{})), nil
		},
	} {
		var sent context.Context
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			sent = r.Context()
			assert.NoError(t, sent.Err(), name)
			return answer(r)
		})
		_, _ = c.SetTimeout(time.Hour).Get(t.Context(), "/")
		assert.Equal(t, context.Canceled, sent.Err(), name)
	}
}

func TestResponse_TheCallersContextBoundsAStreamToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(slowly)
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		resp, err := c.R(ctx).SetTimeout(time.Hour).SetStream(true).Get("/")
		require.NoError(t, err)
		err = resp.Buffer()
		assert.Equal(t, axle.CodeTimeout, asAxle(t, err).Code)
		assert.Equal(t, "a", resp.String())

		cause := errors.New("enough")
		cancelable, stop := context.WithCancelCause(context.Background())
		resp, err = c.R(cancelable).SetStream(true).Get("/")
		require.NoError(t, err)
		stop(cause)
		err = resp.Buffer()
		assert.Equal(t, axle.CodeCanceled, asAxle(t, err).Code)
		require.ErrorIs(t, err, cause)
	})
}

// Respond.

// waitFor is a wait that only the end of its context ends.
func waitFor(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCall_AHandlersWaitThatEndsWithTheRequestsContextIsATimeoutOrACancellation(t *testing.T) {
	causeOf := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	wrapped := func(ctx context.Context) error { return fmt.Errorf("waiting for a turn: %w", waitFor(ctx)) }
	within := func(ctx context.Context) error {
		inner, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		return waitFor(inner)
	}
	ends := map[string]struct {
		begin func(ctx context.Context) (context.Context, context.CancelFunc)
		code  axle.Code
		kind  error
		cause error
	}{
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, axle.CodeTimeout, context.DeadlineExceeded, context.DeadlineExceeded},
		"a deadline with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, errBoom)
		}, axle.CodeTimeout, context.DeadlineExceeded, errBoom},
		"a cancellation": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, axle.CodeCanceled, context.Canceled, context.Canceled},
		"a cancellation with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errBoom) })
			return ctx, func() { cancel(nil) }
		}, axle.CodeCanceled, context.Canceled, errBoom},
	}
	chains := map[string]func(c *axle.Client, wait func(context.Context) error){
		"the request chain": func(c *axle.Client, wait func(context.Context) error) {
			c.Interceptors.Request.Use(func(ctx context.Context, _ *axle.Request) (*axle.Request, error) { return nil, wait(ctx) }, nil, axle.Named("queue"))
		},
		"the request chain, rejected": func(c *axle.Client, wait func(context.Context) error) {
			c.Interceptors.Request.Use(nil, func(ctx context.Context, _ *axle.Error) (*axle.Request, error) { return nil, wait(ctx) }, axle.Named("queue"))
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
		},
		"the response chain": func(c *axle.Client, wait func(context.Context) error) {
			c.Interceptors.Response.Use(func(ctx context.Context, _ *axle.Response) (*axle.Response, error) { return nil, wait(ctx) }, nil, axle.Named("queue"))
		},
		"the response chain, rejected": func(c *axle.Client, wait func(context.Context) error) {
			c.SetValidateStatus(func(int) bool { return false })
			c.Interceptors.Response.Use(nil, func(ctx context.Context, _ *axle.Error) (*axle.Response, error) { return nil, wait(ctx) }, axle.Named("queue"))
		},
		"the response chain, with what came before": func(c *axle.Client, wait func(context.Context) error) {
			c.SetValidateStatus(func(int) bool { return false })
			c.Interceptors.Response.Use(nil, func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
				return nil, errors.Join(err, wait(ctx))
			}, axle.Named("queue"))
		},
	}
	for end, x := range ends {
		for chain, install := range chains {
			for how, wait := range map[string]func(context.Context) error{"Err": waitFor, "Cause": causeOf, "wrapped": wrapped, "a context within it": within} {
				for _, behind := range []bool{false, true} {
					synctest.Test(t, func(t *testing.T) {
						name := fmt.Sprintf("%s, %s, %s, behind the bridge: %v", end, chain, how, behind)
						c, _ := newFakeClient(always(200, ""))
						install(c, wait)
						ctx, cancel := x.begin(t.Context())
						defer cancel()

						var err error
						if behind {
							_, err = c.RoundTripper().RoundTrip(newRequest(t, "GET", "http://axle.test/", nil).WithContext(ctx)) //nolint:bodyclose // there is none
						} else {
							_, err = c.Get(ctx, "/")
						}
						require.ErrorIs(t, err, x.code, name)
						require.ErrorIs(t, err, x.kind, name)
						require.ErrorIs(t, err, x.cause, name)
						assert.Equal(t, x.code, asAxle(t, err).Code, name)
						assert.Equal(t, x.code == axle.CodeTimeout, asAxle(t, err).Timeout(), name)
						assert.ErrorContains(t, err, "interceptor queue", name)
					})
				}
			}
		}
	}
}

func TestCall_AHandlersOwnTimeLimitIsTheHandlersError(t *testing.T) {
	for name, x := range map[string]struct {
		callerCancels bool
	}{
		"the request's context goes on":                {false},
		"the request's context ends in another manner": {true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := newFakeClient(always(200, ""))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				inner, stop := context.WithTimeout(context.WithoutCancel(resp.Request.Context()), time.Second)
				defer stop()
				err := waitFor(inner)
				if x.callerCancels {
					cancel()
				}
				return nil, err
			}, axle.Named("queue"))
			_, err := c.Get(ctx, "/")
			assert.Equal(t, axle.CodeInterceptor, asAxle(t, err).Code, name)
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			require.NotErrorIs(t, err, axle.CodeTimeout, name)
			assert.False(t, asAxle(t, err).Timeout(), name)
		})
	}
}

// lateContext has a deadline whose clock has not rung yet.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (l lateContext) Deadline() (time.Time, bool) { return l.deadline, true }

func TestError_AnHTTPClientsTimeoutIsATimeoutWhicheverWayItArrives(t *testing.T) {
	for name, x := range map[string]struct {
		deadline time.Duration
		code     axle.Code
	}{
		"after its deadline": {-time.Millisecond, axle.CodeTimeout},
		"called off before":  {time.Hour, axle.CodeCanceled},
	} {
		arrived := make(chan struct{})
		c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
		called := make(chan struct{})
		r := newRequest(t, "GET", c.BaseURL(), nil)
		r.Cancel = called //nolint:staticcheck // http.Client still uses it
		go func() { <-arrived; close(called) }()
		_, err := c.RoundTripper().RoundTrip(r.WithContext(lateContext{t.Context(), time.Now().Add(x.deadline)})) //nolint:bodyclose // there is none
		assert.Equal(t, x.code, asAxle(t, err).Code, "%s: %v", name, err)
	}
}

func TestError_HTTPClientTimeoutsAreTimeoutsEachTime(t *testing.T) {
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	var seen []axle.Code
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { seen = append(seen, err.Code); return nil, err })
	behind := c.HTTPClient()
	behind.Timeout = 2 * time.Millisecond
	for range 100 {
		_, err := behind.Do(newRequest(t, "GET", c.BaseURL(), nil)) //nolint:bodyclose // there is none
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
	}
	for _, code := range seen {
		assert.Equal(t, axle.CodeTimeout, code)
	}
	assert.NotEmpty(t, seen)
}
