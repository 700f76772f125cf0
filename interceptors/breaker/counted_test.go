package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestOutcome_IsAFailureForTheNetworkAndTimeAndStatusesFrom500(t *testing.T) {
	const failure, success, neither = "failure", "success", "neither"
	within := func(d time.Duration) func(*axle.Request) {
		return func(r *axle.Request) { r.SetTimeout(d) }
	}
	accept := func(r *axle.Request) { r.SetValidateStatus(nil) }
	unreadable := func(r *axle.Request) { r.SetBody(iotest.ErrReader(os.ErrDeadlineExceeded)) }
	cases := []struct {
		name  string
		url   string
		edits []func(*axle.Request)
		want  string
	}{
		{"a 200", "/200", nil, success},
		{"a 304", "/304", nil, success},
		{"a 401", "/401", nil, success},
		{"a 429", "/429", nil, success},
		{"a 500", "/500", nil, failure},
		{"a 501", "/501", nil, success},
		{"a 503", "/503", nil, failure},
		{"a 599", "/599", nil, failure},
		{"a 500 that the call accepts", "/500", []func(*axle.Request){accept}, failure},
		{"no response", "/broken", nil, failure},
		{"a body that breaks off", "/cut", nil, failure},
		{"the time limit", "/hang", []func(*axle.Request){within(time.Second)}, failure},
		{"a body over the limit", "/200", []func(*axle.Request){func(r *axle.Request) { r.Client().SetResponseLimit(1) }}, success},
		{"a body that does not decode", "/200", []func(*axle.Request){func(r *axle.Request) { r.SetResult(new(int)) }}, success},
		{"bad input", "/200", []func(*axle.Request){axle.WithHeader("bad name", "x")}, neither},
		{"a body that cannot be read", "/200", []func(*axle.Request){unreadable}, neither},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/200")

				// Five failures in a row open the circuit. Then two more are missing, or one if the call
				// counts as a failure. A success ends the row.
				server.fail(t, client, 3)
				_, _ = client.Get(t.Context(), c.url, c.edits...)
				server.fail(t, client, 1)
				got := success
				if server.isRefused(t, client, "/500") {
					got = failure
				} else if server.isRefused(t, client, "/500") {
					got = neither
				}
				assert.Equal(t, c.want, got)
			})
		})
	}
}

func TestOutcome_ACallersDeadlineIsAFailureAndItsCancellationIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithFailures(2))
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, _ = client.Get(ctx, "/hang")
		}
		require.False(t, server.isRefused(t, client, "/200"))
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = client.Get(ctx, "/hang")
			cancel()
		}
		assert.True(t, server.isRefused(t, client, "/200"))
	})
}

func TestOutcome_AHandlersOwnTimeoutBeforeSendingIsNoFailure(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	id := client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return nil, &axle.Error{Code: axle.CodeTimeout, Request: r}
	}, nil, axle.After("breaker"))
	_, err := client.Get(t.Context(), "/200")
	require.Error(t, err)
	client.Interceptors.Request.Eject(id)
	assert.False(t, server.isRefused(t, client, "/200"))
}

func TestOutcome_WithConditionTakesThePlaceOfTheDefault(t *testing.T) {
	isQuota := func(resp *axle.Response, err *axle.Error) bool {
		return err != nil && err.StatusCode() == http.StatusTooManyRequests || resp != nil && resp.StatusCode == http.StatusNonAuthoritativeInfo
	}
	for url, isFailure := range map[string]bool{"/429": true, "/203": true, "/500": false, "/broken": false} {
		client, server := newServer("/200", breaker.WithCondition(isQuota), breaker.WithFailures(1))
		_, _ = client.Get(t.Context(), url)
		assert.Equal(t, isFailure, server.isRefused(t, client, "/200"), url)
	}
	client, server := newServer("/200", breaker.WithCondition(isQuota), breaker.WithCondition(nil))
	server.fail(t, client, 5)
	assert.True(t, server.isRefused(t, client, "/200"), "nil is the default again")
}

func TestOutcome_TheDefaultIsAPartOfOtherConditions(t *testing.T) {
	isOverloaded := func(resp *axle.Response, err *axle.Error) bool {
		return err.StatusCode() == http.StatusTooManyRequests || breaker.DefaultCondition(resp, err)
	}
	for url, isFailure := range map[string]bool{
		"/429": true, "/500": true, "/broken": true, "/200": false, "/404": false, "/501": false,
	} {
		client, server := newServer("/200", breaker.WithCondition(isOverloaded), breaker.WithFailures(1))
		_, _ = client.Get(t.Context(), url)
		assert.Equal(t, isFailure, server.isRefused(t, client, "/200"), url)
	}
}

func TestCount_ACallCountsOnceHoweverManyAttemptsItTook(t *testing.T) {
	client, server := newServer("/200")
	client.Use(times(3))
	server.fail(t, client, 4)
	assert.EqualValues(t, 12, server.Sent.Load())
	require.False(t, server.isRefused(t, client, "/500"))
	assert.True(t, server.isRefused(t, client, "/500"))
}

func TestCount_WithPerAttemptEachAttemptCounts(t *testing.T) {
	client, server := newServer("/200", breaker.WithPerAttempt())
	client.Use(times(3))
	_, err := client.Get(t.Context(), "/500")
	assert.Equal(t, 500, axletest.AsAxle(t, err).StatusCode())
	_, err = client.Get(t.Context(), "/500")
	_, isOpen := errors.AsType[*breaker.OpenError](err)
	assert.True(t, isOpen, "the third attempt of the second call is refused: %v", err)
	assert.EqualValues(t, 5, server.Sent.Load())
}

func TestCount_TheLastAttemptWithAnOutcomeDecides(t *testing.T) {
	cases := map[string]struct {
		replay func(r *axle.Request) // the edit of the second attempt, which follows a 500
		isOpen bool
	}{
		"a success":                      {func(r *axle.Request) { r.SetURL("/200") }, false},
		"a failure":                      {func(r *axle.Request) { r.SetURL("/broken") }, true},
		"one that is not sent":           {func(r *axle.Request) { r.SetHeader("bad name", "x") }, true},
		"one that its caller cancels":    {canceled, true},
		"one that goes to another place": {func(r *axle.Request) { r.SetURL("http://other.test/200") }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client, server := newServer("/200", breaker.WithFailures(1))
			axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
				if err.StatusCode() != 500 {
					return nil, err
				}
				return err.Request.Replay(c.replay)
			})
			_, _ = client.Get(t.Context(), "/500")
			assert.Equal(t, c.isOpen, server.isRefused(t, client, "/200"))
			assert.False(t, server.isRefused(t, client, "http://other.test/200"))
		})
	}
}

// canceled is an edit that gives a request a context which has ended.
func canceled(r *axle.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	r.SetContext(ctx)
}

func TestCount_AnAttemptThatIsNotSentLeavesTheOutcomeOfTheEarlierOne(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if r.Attempt() > 0 {
			return nil, &axle.Error{Code: axle.CodeTimeout, Request: r}
		}
		return r, nil
	}, nil, axle.After("breaker"))
	axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })

	_, err := client.Get(t.Context(), "/401")
	assert.Equal(t, axle.CodeTimeout, axletest.AsAxle(t, err).Code)
	assert.False(t, server.isRefused(t, client, "/200"))
}

func TestCount_AFulfilledResponseThatALaterHandlerReplaysDoesNotCount(t *testing.T) {
	cases := []struct {
		first, then string
		isStream    bool
		failures    int // that open the circuit
		isOpen      bool
	}{
		{"/500", "/200", false, 1, false},
		{"/500", "/200", true, 1, false},
		{"/200", "/500", false, 2, true},

		// The stream of the first response has counted when its headers came.
		{"/200", "/500", true, 2, false},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s, then %s, stream %t", c.first, c.then, c.isStream), func(t *testing.T) {
			client, server := newServer("/200", breaker.WithFailures(c.failures))
			id := axletest.UseFulfilled(client, func(resp *axle.Response) (*axle.Response, error) {
				if resp.Request.Attempt() > 1 {
					return resp, nil
				}
				return resp.Request.Replay(func(r *axle.Request) { r.SetURL(c.then) })
			})
			for range 2 {
				resp, err := client.R(t.Context()).SetValidateStatus(nil).SetStream(c.isStream).Get(c.first)
				require.NoError(t, err)
				require.NoError(t, resp.Stream().Close())
			}
			client.Interceptors.Response.Eject(id)
			assert.Equal(t, c.isOpen, server.isRefused(t, client, "/200"))
		})
	}
}

// useDoOnce adds a handler that sends each failed call once more, by Do.
func useDoOnce(client *axle.Client) {
	done := axle.NewKey[bool]("done")
	axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
		if before, _ := done.Get(err.Request); before {
			return nil, err
		}
		done.Set(err.Request, true)
		return client.Do(err.Request)
	})
}

func TestCount_TheReplaysOfANestedCallCountOnceWithIt(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(3))
	client.Use(times(3))
	useDoOnce(client)
	server.fail(t, client, 1)
	assert.False(t, server.isRefused(t, client, "/200"), "two failed calls, of several attempts each")
}

func TestCount_ALaterHandlersVerdictDoesNotChangeTheServers(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
		return axle.NewResponse(err.Request, http.StatusOK, nil, []byte("a fallback")), nil
	})
	_, err := client.Get(t.Context(), "/500")
	require.NoError(t, err)
	resp, err := client.Get(t.Context(), "/200")
	require.NoError(t, err)
	assert.Equal(t, "a fallback", resp.String(), "the circuit is open")
	assert.EqualValues(t, 1, server.Sent.Load())
}

func TestCount_ARequestThatAHandlerSendsByDoIsACallOfItsOwn(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(4))
	useDoOnce(client)
	server.fail(t, client, 2)
	assert.True(t, server.isRefused(t, client, "/200"), "two calls in each of two calls")
}

func TestCount_ARequestThatItsCallerSendsAgainIsANewCall(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(2))
	_, err := client.Get(t.Context(), "/500")
	_, err = client.Do(axletest.AsAxle(t, err).Request)
	assert.Equal(t, 500, axletest.AsAxle(t, err).StatusCode())
	assert.True(t, server.isRefused(t, client, "/200"))
}

func TestCount_AStreamCountsWhenItsHeadersHaveCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200")
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		resp, err := client.R(t.Context()).SetStream(true).Get("/cut")
		require.NoError(t, err)
		assert.False(t, server.isRefused(t, client, "/200"), "the stream is open, and the circuit closed")
		require.Error(t, resp.Buffer())
		assert.False(t, server.isRefused(t, client, "/200"), "a stream that breaks off is no failure")
	})
}

func TestCount_BehindTheBridgeARefusedStatusCountsWhenItsBodyIsClosed(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	bridged := client.HTTPClient()
	get := func(path string) (*http.Response, error) {
		return bridged.Do(axletest.NewRequest(t, http.MethodGet, "http://axle.test"+path, nil))
	}
	resp, err := get("/500")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	_, err = get("/200")
	open, isOpen := errors.AsType[*breaker.OpenError](err)
	require.True(t, isOpen, "%v", err)
	assert.Equal(t, "http://axle.test", open.Origin)
	assert.EqualValues(t, 1, server.Sent.Load())
}
