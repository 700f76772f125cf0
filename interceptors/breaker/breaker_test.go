package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
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

func TestCircuit_OpensAfterFiveFailedCallsInARow(t *testing.T) {
	client, server := newServer("/200")
	server.fail(t, client, 4)
	require.False(t, server.isRefused(t, client, "/200"), "a success ends the row")
	server.fail(t, client, 5)
	assert.True(t, server.isRefused(t, client, "/200"))
}

func TestCircuit_OpensAfterAsManyFailuresAsSet(t *testing.T) {
	for _, n := range []int{1, 3} {
		client, server := newServer("/200", breaker.WithFailures(n))
		server.fail(t, client, n)
		assert.True(t, server.isRefused(t, client, "/200"), n)
	}
}

func TestCircuit_OpensAtAFailureRateWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithFailureRate(0.5, 10, time.Minute))
		server.fail(t, client, 9)
		time.Sleep(2 * time.Minute)

		// The failures before the window do not count, and nine calls are too few.
		server.fail(t, client, 4)
		for range 5 {
			require.False(t, server.isRefused(t, client, "/200"))
		}
		server.fail(t, client, 1)
		assert.True(t, server.isRefused(t, client, "/200"), "five of ten")

		client, server = newServer("/200", breaker.WithFailureRate(0.5, 10, time.Minute))
		for range 7 {
			require.False(t, server.isRefused(t, client, "/200"))
		}
		server.fail(t, client, 6)
		assert.False(t, server.isRefused(t, client, "/200"), "six of thirteen")
	})
}

func TestCircuit_OpensByTheLastOfWithFailuresAndWithFailureRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithFailureRate(1, 1, time.Minute), breaker.WithFailures(2))
		server.fail(t, client, 1)
		require.False(t, server.isRefused(t, client, "/401"))
		server.fail(t, client, 1)
		time.Sleep(time.Hour)
		server.fail(t, client, 1)
		assert.True(t, server.isRefused(t, client, "/200"), "a row of failures has no window")
	})
}

func TestCircuit_ARequestThatACacheAnswersIsNotRefused(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	server.fail(t, client, 1)
	id := axletest.UseRequest(client, func(r *axle.Request) {
		r.Respond(axle.NewResponse(r, http.StatusOK, nil, nil))
	})
	assert.False(t, server.isRefused(t, client, "/200"))
	client.Interceptors.Request.Eject(id)
	assert.True(t, server.isRefused(t, client, "/200"))
}

func TestCircuit_OfEachOriginIsItsOwn(t *testing.T) {
	client, server := newServer("/200")
	server.fail(t, client, 5)
	assert.True(t, server.isRefused(t, client, "http://AXLE.test:80/200"))
	assert.False(t, server.isRefused(t, client, "http://other.test/200"))
}

func TestCircuit_IsSharedByTheClientsOfOneInterceptor(t *testing.T) {
	client, server := newServer("/200")
	other := client.Clone()
	server.fail(t, client, 3)
	server.fail(t, other, 2)
	assert.True(t, server.isRefused(t, client, "/200"))
	assert.True(t, server.isRefused(t, other, "/200"))
}

func TestOpenError_SaysWhichOriginAndUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithOpenFor(time.Minute))
		server.fail(t, client, 5)
		until := time.Now().Add(time.Minute)
		time.Sleep(20 * time.Second)

		_, err := client.Get(t.Context(), "/200")
		open, isOpen := errors.AsType[*breaker.OpenError](err)
		require.True(t, isOpen, "%v", err)
		assert.Equal(t, breaker.OpenError{Origin: "http://axle.test", Until: until}, *open)
		assert.ErrorContains(t, err, "breaker: http://axle.test has failed, and gets no request until "+
			until.Format(time.RFC3339))

		// At the time that the error said, a call goes through.
		time.Sleep(time.Until(open.Until))
		assert.False(t, server.isRefused(t, client, "/200"))
	})
}

func TestHalfOpen_AProbeThatSucceedsClosesTheCircuitAndOneThatFailsOpensIt(t *testing.T) {
	for probe, isClosed := range map[string]bool{"/200": true, "/404": true, "/500": false, "/broken": false} {
		t.Run(probe, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/200")
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)
				require.False(t, server.isRefused(t, client, probe))
				assert.Equal(t, !isClosed, server.isRefused(t, client, "/200"))
			})
		})
	}
}

func TestHalfOpen_OnlyTheProbesGoThrough(t *testing.T) {
	for _, probes := range []int{1, 3} {
		t.Run(fmt.Sprint(probes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/hang", breaker.WithProbes(probes))
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)

				// They are in flight until they are cancelled.
				ctx, cancel := context.WithCancel(t.Context())
				started := time.Now()
				for range probes {
					go func() { _, _ = client.Get(ctx, "/hang") }()
				}
				synctest.Wait()
				time.Sleep(10 * time.Second)

				_, err := client.Get(t.Context(), "/200")
				open, isOpen := errors.AsType[*breaker.OpenError](err)
				require.True(t, isOpen, "%v", err)
				assert.Equal(t, started.Add(30*time.Second), open.Until, "another probe may go out then")
				cancel()
				synctest.Wait()
			})
		})
	}
}

func TestHalfOpen_AllProbesHaveToSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithProbes(3))
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)
		assert.False(t, server.isRefused(t, client, "/200"))
		assert.False(t, server.isRefused(t, client, "/200"))
		assert.False(t, server.isRefused(t, client, "/500"))
		assert.True(t, server.isRefused(t, client, "/200"))
	})
}

func TestHalfOpen_AProbeThatIsNeitherMakesRoomForAnother(t *testing.T) {
	boom := errors.New("boom")
	cases := map[string]func(t *testing.T, client *axle.Client){
		"cancelled by its caller": func(t *testing.T, client *axle.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := client.Get(ctx, "/hang")
			assert.Equal(t, axle.CodeCanceled, axletest.AsAxle(t, err).Code)
		},
		"refused before it is sent": func(t *testing.T, client *axle.Client) {
			_, err := client.Get(t.Context(), "/200", axle.WithHeader("bad name", "x"))
			assert.Equal(t, axle.CodeBadOption, axletest.AsAxle(t, err).Code)
		},
		"refused by a later request handler": func(t *testing.T, client *axle.Client) {
			id := client.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) {
				return nil, boom
			}, nil, axle.After("breaker"))
			defer client.Interceptors.Request.Eject(id)
			_, err := client.Get(t.Context(), "/200")
			assert.ErrorIs(t, err, boom)
		},
		"of which a request handler panics": func(t *testing.T, client *axle.Client) {
			id := axletest.UseRequest(client, func(*axle.Request) { panic(boom) })
			defer client.Interceptors.Request.Eject(id)
			assert.PanicsWithError(t, "boom", func() { _, _ = client.Get(t.Context(), "/200") })
		},
		"answered by a handler": func(t *testing.T, client *axle.Client) {
			id := client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				return r.Respond(axle.NewResponse(r, http.StatusInternalServerError, nil, nil)), nil
			}, nil, axle.After("breaker"))
			defer client.Interceptors.Request.Eject(id)
			_, err := client.Get(t.Context(), "/200")
			assert.Error(t, err)
		},
	}
	for name, probe := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/200")
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)
				probe(t, client)
				require.False(t, server.isRefused(t, client, "/200"), "another probe")
				assert.False(t, server.isRefused(t, client, "/200"), "which has closed the circuit")
			})
		})
	}
}

func TestHalfOpen_AProbeThatHangsLeavesItsSlotToAnother(t *testing.T) {
	cases := map[string]struct {
		late     string // what becomes of the probe that hangs, after the other
		isClosed bool
	}{
		"and its success counts when it comes": {"/200", true},
		"and its failure counts when it comes": {"/500", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var release [2]chan string
				for i := range release {
					release[i] = make(chan string)
				}
				server := &server{}
				client, transport := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/probe" {
						r.URL.Path = <-release[r.URL.Query().Get("n")[0]-'0']
					}
					return server.answer(r)
				})
				server.FakeTransport = transport
				client.Use(breaker.New())
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)

				get := func(url string) { _, _ = client.Get(t.Context(), url) }
				go get("/probe?n=0")
				synctest.Wait()
				time.Sleep(30*time.Second - time.Nanosecond)
				require.True(t, server.isRefused(t, client, "/200"))
				time.Sleep(time.Nanosecond)
				go get("/probe?n=1")
				synctest.Wait()
				require.True(t, server.isRefused(t, client, "/200"), "there is one slot")

				release[0] <- c.late
				synctest.Wait()
				assert.Equal(t, !c.isClosed, server.isRefused(t, client, "/200"))
				release[1] <- "/200"
				synctest.Wait()
			})
		})
	}
}

func TestHalfOpen_AProbeThatHungMakesRoomOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200")
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		// The first probe hangs and is cancelled after the second one has taken its slot.
		first, cancelFirst := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(first, "/hang") }()
		time.Sleep(30 * time.Second)
		second, cancelSecond := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(second, "/hang") }()
		synctest.Wait()
		cancelFirst()
		synctest.Wait()
		assert.True(t, server.isRefused(t, client, "/200"))

		// The slot of the second one is free when that is cancelled.
		cancelSecond()
		synctest.Wait()
		assert.False(t, server.isRefused(t, client, "/200"))
	})
}

func TestOpenError_SaysWhenTheOldestProbeInFlightLeavesItsSlot(t *testing.T) {
	until := func(t *testing.T, client *axle.Client) time.Time {
		t.Helper()
		_, err := client.Get(t.Context(), "/200")
		open, isOpen := errors.AsType[*breaker.OpenError](err)
		require.True(t, isOpen, "%v", err)
		return open.Until
	}
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithProbes(2))
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		// Of two probes, the first is cancelled after five seconds, and a third takes its slot.
		begin := time.Now()
		first, cancelFirst := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(first, "/hang") }()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		others, cancelOthers := context.WithCancel(t.Context())
		defer cancelOthers()
		go func() { _, _ = client.Get(others, "/hang") }()
		time.Sleep(3 * time.Second)
		assert.Equal(t, begin.Add(30*time.Second), until(t, client))
		cancelFirst()
		synctest.Wait()
		go func() { _, _ = client.Get(others, "/hang") }()
		synctest.Wait()
		assert.Equal(t, begin.Add(32*time.Second), until(t, client))

		// When one fails, the circuit is open for thirty seconds from then on.
		cancelOthers()
		synctest.Wait()
		third, cancelThird := context.WithCancel(t.Context())
		defer cancelThird()
		go func() { _, _ = client.Get(third, "/hang") }()
		time.Sleep(time.Second)
		server.fail(t, client, 1)
		assert.Equal(t, time.Now().Add(30*time.Second), until(t, client))
		cancelThird()
		synctest.Wait()
	})
}

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

func TestReplay_OfACallThatStartedBeforeTheCircuitOpenedIsRefused(t *testing.T) {
	client, server := newServer("/200")
	var others func()
	axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
		if others == nil || err.StatusCode() != 503 {
			return nil, err
		}
		others()
		return err.Request.Replay()
	})
	others = func() { server.fail(t, client, 5) }
	sent := server.Sent.Load()
	_, err := client.Get(t.Context(), "/503")
	_, isOpen := errors.AsType[*breaker.OpenError](err)
	assert.True(t, isOpen, "%v", err)
	assert.EqualValues(t, 6, server.Sent.Load()-sent)
}

func TestReplay_OfACallThatIsNoProbeIsRefusedWhileAProbeIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200")
		axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
			if err.StatusCode() != 503 {
				return nil, err
			}
			time.Sleep(time.Minute)
			return err.Request.Replay()
		})
		var failed error
		go func() { _, failed = client.Get(t.Context(), "/503") }()
		synctest.Wait()
		server.fail(t, client, 5)
		time.Sleep(50 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(ctx, "/hang") }()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		_, isOpen := errors.AsType[*breaker.OpenError](failed)
		assert.True(t, isOpen, "%v", failed)
		cancel()
		synctest.Wait()
	})
}

func TestReplay_OfAProbeIsRefusedIfAnotherProbeHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithProbes(2))
		axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
			if err.StatusCode() != 503 {
				return nil, err
			}
			server.fail(t, client, 1)
			return err.Request.Replay()
		})
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)
		_, err := client.Get(t.Context(), "/503")
		_, isOpen := errors.AsType[*breaker.OpenError](err)
		assert.True(t, isOpen, "%v", err)
	})
}

func TestReplay_OfAProbeGoesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/500")
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
			server.now = "/200"
			return err.Request.Replay()
		})
		_, err := client.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.False(t, server.isRefused(t, client, "/200"))
	})
}

func TestSkip_ARequestIsNeitherRefusedNorCounted(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	_, _ = client.Get(t.Context(), "/500", breaker.Skip)
	require.False(t, server.isRefused(t, client, "/500"))
	require.True(t, server.isRefused(t, client, "/200"))
	assert.False(t, server.isRefused(t, client, "/200", breaker.Skip))
	assert.True(t, server.isRefused(t, client, "/200"), "the success of a request that skips does not close it")
}

func TestOnChange_IsToldEachChangeAndMayUseTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var client *axle.Client
		var told []string
		start := time.Now()
		client, server := newServer("/200", breaker.OnChange(func(c breaker.Change) {
			_, _ = client.Get(t.Context(), "/200", breaker.Skip)
			_, _ = client.Get(t.Context(), "http://other.test/200")
			text := fmt.Sprintf("%s: %s to %s", c.Origin, c.From, c.To)
			if !c.Until.IsZero() {
				text += fmt.Sprintf(" until %v", c.Until.Sub(start))
			}
			told = append(told, text)
		}))
		server.fail(t, client, 5)
		time.Sleep(40 * time.Second)
		server.fail(t, client, 1)
		time.Sleep(40 * time.Second)
		require.False(t, server.isRefused(t, client, "/200"))
		assert.Equal(t, []string{
			"http://axle.test: closed to open until 30s",
			"http://axle.test: open to half-open",
			"http://axle.test: half-open to open until 1m10s",
			"http://axle.test: open to half-open",
			"http://axle.test: half-open to closed",
		}, told)
	})
}

func TestOnChange_EachFunctionIsTold(t *testing.T) {
	var told []string
	tell := func(name string) breaker.Option {
		return breaker.OnChange(func(c breaker.Change) { told = append(told, name+" "+string(c.To)) })
	}
	client, server := newServer("/200", breaker.WithFailures(1), tell("first"), breaker.OnChange(nil), tell("second"))
	server.fail(t, client, 1)
	assert.Equal(t, []string{"first open", "second open"}, told)
}

func TestOnChange_IsToldOfAProbeWhenItGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last breaker.State
		client, server := newServer("/200", breaker.OnChange(func(c breaker.Change) { last = c.To }))
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(ctx, "/hang") }()
		synctest.Wait()
		assert.Equal(t, breaker.HalfOpen, last)
		cancel()
		synctest.Wait()
	})
}

func TestNew_AWrongOptionFailsEveryCallBeforeItIsSent(t *testing.T) {
	for name, opt := range map[string]breaker.Option{
		"WithFailures(0)":             breaker.WithFailures(0),
		"WithOpenFor(0s)":             breaker.WithOpenFor(0),
		"WithProbes(0)":               breaker.WithProbes(0),
		"WithProbes(2000000)":         breaker.WithProbes(2e6),
		"WithFailureRate(0, 1, 1s)":   breaker.WithFailureRate(0, 1, time.Second),
		"WithFailureRate(1.1, 1, 1s)": breaker.WithFailureRate(1.1, 1, time.Second),
		"WithFailureRate(0.5, 0, 1s)": breaker.WithFailureRate(0.5, 0, time.Second),
		"WithFailureRate(0.5, 1, 0s)": breaker.WithFailureRate(0.5, 1, 0),
	} {
		t.Run(name, func(t *testing.T) {
			client, server := newServer("/200", nil, opt)
			_, err := client.Get(t.Context(), "/200")
			assert.Equal(t, axle.CodeBadOption, axletest.AsAxle(t, err).Code)
			assert.ErrorContains(t, err, "breaker: "+name)
			assert.Zero(t, server.Sent.Load())
		})
	}
}

func TestInstall_ReturnsWhatRemovesBothHandlers(t *testing.T) {
	client, _ := newServer("/200")
	uninstall := breaker.New().Install(client)
	assert.Equal(t, "breaker -> breaker", client.Interceptors.Request.String())
	assert.Equal(t, "breaker -> breaker", client.Interceptors.Response.String())
	uninstall()
	assert.Equal(t, "breaker", client.Interceptors.Request.String())
	assert.Equal(t, "breaker", client.Interceptors.Response.String())
}

func TestInstall_TwiceInOneClientWorksOnce(t *testing.T) {
	client, server := newServer("/200")
	client.Interceptors.Request.Clear()
	client.Interceptors.Response.Clear()
	both := breaker.New()
	client.Use(both, both)
	server.fail(t, client, 5)
	assert.True(t, server.isRefused(t, client, "/200"))
}

func TestBreaker_AURLThatCannotBeResolvedIsTheDispatchsToRefuse(t *testing.T) {
	client, _ := newServer("/200")
	_, err := client.Get(t.Context(), "ftp://other.test/")
	assert.Equal(t, axle.CodeInvalidURL, axletest.AsAxle(t, err).Code)
}

func TestBreaker_AllocatesLittleInACallAndNothingInOneThatSkips(t *testing.T) {
	answer := func(r *http.Request) (*http.Response, error) { return axletest.Reply(r, http.StatusOK, ""), nil }
	measure := func(edit func(*axle.Request), plugins ...axle.Plugin) float64 {
		client, _ := axletest.NewFakeClient(answer)
		client.Use(plugins...)
		return testing.AllocsPerRun(200, func() { _, _ = client.Get(context.Background(), "/", edit) })
	}
	assert.LessOrEqual(t, measure(breaker.Skip, breaker.New()), measure(breaker.Skip))
	nothing := func(*axle.Request) {}
	assert.LessOrEqual(t, measure(nothing, breaker.New()), measure(nothing)+4)
}

func TestBreaker_ManyOriginsDoNotMixAndOldOnesAreForgotten(t *testing.T) {
	client, server := newServer("/200", breaker.WithFailures(1))
	server.fail(t, client, 1)
	require.True(t, server.isRefused(t, client, "/200"))
	for n := range 2500 {
		_, err := client.Get(t.Context(), "http://h"+strings.Repeat("x", n%7)+fmt.Sprint(n)+".test/200")
		require.NoError(t, err)
	}
	assert.False(t, server.isRefused(t, client, "/200"), "more than a thousand origins later, it is forgotten")
}
