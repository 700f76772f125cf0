package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
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
