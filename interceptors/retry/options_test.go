package retry_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestOptions_WrongOnesFailEveryCallBeforeItIsSent(t *testing.T) {
	wrong := map[string]retry.Option{
		"WithAttempts(0): ":                 retry.WithAttempts(0),
		"WithAttempts(-1): ":                retry.WithAttempts(-1),
		"WithBackoff(-1ns, 1ns): ":          retry.WithBackoff(-1, 1),
		"WithBackoff(2ns, 1ns): ":           retry.WithBackoff(2, 1),
		"WithMaxRetryAfter(-1s): ":          retry.WithMaxRetryAfter(-time.Second),
		"WithBudget(-0.1, 1): ":             retry.WithBudget(-0.1, 1),
		"WithBudget(NaN, 1): ":              retry.WithBudget(math.NaN(), 1),
		"WithBudget(1, -1): ":               retry.WithBudget(1, -1),
		`WithIdempotencyKey(""): `:          retry.WithIdempotencyKey(""),
		`WithIdempotencyKey("two words"): `: retry.WithIdempotencyKey("two words"),
	}
	for text, opt := range wrong {
		inBubble(t, text, func(t *testing.T) {
			n := answering(200)
			for _, c := range []*axle.Client{newClient(n, opt), newClient(n, nil, opt, retry.WithAttempts(3))} {
				_, err := c.Get(t.Context(), "/")
				assert.ErrorIs(t, err, axle.CodeBadOption)
				assert.ErrorContains(t, err, "retry: "+text)
			}

			_, err := newClient(n).Get(t.Context(), "/", retry.With(opt))
			assert.ErrorIs(t, err, axle.CodeBadOption)
			assert.Zero(t, n.attempts())
		})
	}
}

func TestBudget_IsNoOptionOfOneCall(t *testing.T) {
	n := answering(200)
	_, err := newClient(n).Get(t.Context(), "/", retry.With(retry.WithBudget(1, 1)))
	assert.ErrorIs(t, err, axle.CodeBadOption)
	assert.ErrorContains(t, err, "retry: With: WithBudget is an option of New alone")
}

func TestBudget_AnEndlessOneNeverRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n, retry.WithBudget(math.Inf(1), math.MaxInt))
		assert.Equal(t, 300, attemptsOf(t, c, n, 100))
	})
}

func TestSkip_LeavesTheCallAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n, retry.WithIdempotencyKey("Idempotency-Key"), retry.WithCondition(always))
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			_, err := c.R(t.Context()).With(retry.Skip).Execute(method, "/")
			assert.Equal(t, 503, asAxle(t, err).StatusCode())
		}
		assert.Equal(t, []string{"", ""}, n.headers("Idempotency-Key"))
	})
}

func TestWith_ChangesTheOptionsForOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		var all, one events
		c := newClient(n, retry.WithAttempts(2), retry.WithBackoff(0, 0), all.option())

		_, _ = c.Get(t.Context(), "/", retry.With(retry.WithAttempts(4), one.option()), retry.With(retry.WithAttempts(5)))
		assert.Equal(t, 5, n.attempts())
		assert.Len(t, one.list, 5)
		assert.Len(t, all.list, 5, "functions of OnRetry are added")
		assert.Equal(t, []time.Duration{0, 0, 0, 0}, n.waits(), "options that With does not name stay")

		_, _ = c.Get(t.Context(), "/")
		assert.Equal(t, 5+2, n.attempts(), "the next call has the options of New")
		assert.Len(t, one.list, 5)
	})
}

func TestWith_MayTurnOnRetriesForOnePost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503, 200)
		_, err := newClient(n).Post(t.Context(), "/", nil, retry.With(retry.WithIdempotencyKey("Request-Id")))
		require.NoError(t, err)
		ids := n.headers("Request-Id")
		assert.NotEmpty(t, ids[0])
		assert.Equal(t, ids[0], ids[1])
	})
}

func TestInstall_ReturnsWhatRemovesTheHandlers(t *testing.T) {
	n := answering(503)
	c := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
	uninstall := retry.New().Install(c)
	assert.Equal(t, "retry", c.Interceptors.Request.String())
	assert.Equal(t, "retry", c.Interceptors.Response.String())

	uninstall()
	assert.Zero(t, c.Interceptors.Request.Len()+c.Interceptors.Response.Len())
	_, err := c.Get(t.Context(), "/")
	assert.Error(t, err)
	assert.Equal(t, 1, n.attempts())
}

func TestInstall_TwiceInOneClientDoesNotMultiplyTheAttempts(t *testing.T) {
	n := answering(503)
	c := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
	i := retry.New(retry.WithBackoff(0, 0))
	c.Use(i, i)
	_, err := c.Get(t.Context(), "/")
	assert.Error(t, err)
	assert.Equal(t, 3, n.attempts())
}

// Conditions.

func TestCondition_DecidesAboutEveryOutcomeAndEveryMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(202, 409, reset, 200)
		var seen []int
		condition := func(resp *axle.Response, err *axle.Error) bool {
			status := 0
			if resp != nil {
				status = resp.StatusCode
			}
			if err != nil {
				assert.Equal(t, status, err.StatusCode())
			}
			seen = append(seen, status)
			return status != 200
		}
		c := newClient(n, retry.WithCondition(condition), retry.WithAttempts(5))
		resp, err := c.Post(t.Context(), "/", "body")
		require.NoError(t, err)
		assert.Equal(t, 200, resp.StatusCode)
		assert.Equal(t, []int{202, 409, 0, 200}, seen)
	})
}

func TestCondition_AFulfilledResponseThatStillCallsForARetryIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(202)
		resp, err := newClient(n, retry.WithCondition(always)).Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, 202, resp.StatusCode)
		assert.Equal(t, "Accepted", resp.String())
		assert.Equal(t, 3, n.attempts())
	})
}

func TestCondition_TheDefaultIsAPartOfOthers(t *testing.T) {
	// The servers of some APIs say in a header whether a retry makes sense.
	condition := func(resp *axle.Response, err *axle.Error) bool {
		if resp != nil {
			switch resp.Header.Get("X-Should-Retry") {
			case "true":
				return true
			case "false":
				return false
			}
		}
		return retry.DefaultCondition(resp, err)
	}
	for value, attempts := range map[string][2]int{"true": {2, 2}, "false": {1, 1}, "": {2, 1}} {
		inBubble(t, value, func(t *testing.T) {
			for i, status := range []int{503, 409} {
				n := answering(status)
				n.header = http.Header{"X-Should-Retry": {value}}
				c := newClient(n, retry.WithCondition(condition), retry.WithAttempts(2))
				_, _ = c.Get(t.Context(), "/")
				assert.Equal(t, attempts[i], n.attempts(), "status %d", status)
			}
		})
	}
}

func TestCondition_MayReadTheBodyOfARefusedResponse(t *testing.T) {
	type problem struct{ Code string }
	isBusy := func(_ *axle.Response, err *axle.Error) bool {
		body, ok := axle.ErrorBody[problem](err)
		return ok && body.Code == "busy" && err.StatusCode() == http.StatusBadRequest
	}
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		if sent == 1 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":"busy"}`)
		}
	}))
	defer server.Close()

	c := axle.New().SetBaseURL(server.URL)
	c.Use(retry.New(retry.WithBackoff(0, 0), retry.WithCondition(isBusy)))
	_, err := c.Post(t.Context(), "/", nil)
	require.NoError(t, err, "and a fulfilled response has no body of an error")
	assert.Equal(t, 2, sent)
}

func TestCondition_AStatusThatTheClientAcceptsIsNoFailure(t *testing.T) {
	n := answering(503)
	resp, err := newClient(n).SetValidateStatus(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, 503, resp.StatusCode)
	assert.Equal(t, 1, n.attempts())
}

// Idempotency keys.

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestIdempotencyKey_IsTheSameInAllAttemptsAndAnotherInEachCall(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPatch, "post"} {
		inBubble(t, method, func(t *testing.T) {
			n := answering(503)
			c := newClient(n, retry.WithIdempotencyKey("PayPal-Request-Id"))
			req := c.R(t.Context()).SetMethod(method)
			for range 2 {
				_, err := c.Do(req)
				assert.Equal(t, 503, asAxle(t, err).StatusCode())
			}

			keys := n.headers("PayPal-Request-Id")
			require.Len(t, keys, 6)
			assert.Regexp(t, uuid4, keys[0])
			assert.Equal(t, []string{keys[0], keys[0], keys[0], keys[3], keys[3], keys[3]}, keys)
			assert.NotEqual(t, keys[0], keys[3])
		})
	}
}

func TestIdempotencyKey_IsForMethodsThatAreNotIdempotentAlone(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		n := answering(200)
		_, err := newClient(n, retry.WithIdempotencyKey("Idempotency-Key")).R(t.Context()).Execute(method, "/")
		require.NoError(t, err)
		assert.Equal(t, []string{""}, n.headers("Idempotency-Key"), method)
	}
}

func TestIdempotencyKey_OfTheCallerIsKeptAndMakesTheCallRetryable(t *testing.T) {
	cases := []struct {
		name, header string
		opts         []retry.Option
		attempts     int
	}{
		{"the option's name", "Order-Key", []retry.Option{retry.WithIdempotencyKey("order-key")}, 3},
		{"a usual name, without an option", "Idempotency-Key", nil, 3},
		{"another usual name, without an option", "X-Idempotency-Key", nil, 3},
		{"an unknown name, without an option", "Order-Key", nil, 1},
	}
	for _, c := range cases {
		inBubble(t, c.name, func(t *testing.T) {
			n := answering(503)
			_, err := newClient(n, c.opts...).R(t.Context()).SetHeader(c.header, "mine").Post("/")
			assert.Error(t, err)
			assert.Len(t, n.headers(c.header), c.attempts)
			for _, value := range n.headers(c.header) {
				assert.Equal(t, "mine", value)
			}
		})
	}
}

func TestIdempotencyKey_OfAFailedCallIsKeptWhenItsRequestIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := newClient(n, retry.WithIdempotencyKey("Idempotency-Key"))
		_, err := c.Post(t.Context(), "/", nil)
		_, err = c.Do(asAxle(t, err).Request)
		assert.Error(t, err)
		keys := n.headers("Idempotency-Key")
		require.Len(t, keys, 6)
		assert.Equal(t, keys[0], keys[5])
	})
}

func TestIdempotencyKey_EachHeaderHasItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(404)
		c := newClient(n, retry.WithIdempotencyKey("First-Key"))
		_, err := c.Post(t.Context(), "/", nil)
		_, err = c.Do(asAxle(t, err).Request.With(retry.With(retry.WithIdempotencyKey("Second-Key"))))
		assert.Error(t, err)
		first, second := n.headers("First-Key"), n.headers("Second-Key")
		assert.Equal(t, first[0], first[1])
		assert.Regexp(t, uuid4, second[1])
		assert.NotEqual(t, first[1], second[1])
	})
}

func TestIdempotencyKey_ThatAHandlerTookAwayMakesTheCallUnsafeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
		axletest.UseRequest(c, func(r *axle.Request) { r.Header.Del("Order-Key") })
		_, err := c.Use(retry.New(retry.WithIdempotencyKey("Order-Key"))).Post(t.Context(), "/", nil)
		assert.Error(t, err)
		assert.Equal(t, 1, n.attempts())
	})
}

// Events.

func TestEvents_TellOfEachRetryAndOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503, reset, 429)
		var told events
		var contexts []context.Context
		observe := retry.OnRetry(func(ctx context.Context, _ retry.Event) { contexts = append(contexts, ctx) })
		type key struct{}
		_, err := newClient(n, told.option(), retry.OnRetry(nil), observe).
			Get(context.WithValue(t.Context(), key{}, "value"), "/")
		require.Len(t, told.list, 3)
		for i, e := range told.list {
			assert.Equal(t, i+1, e.Attempt)
			assert.Equal(t, "value", contexts[i].Value(key{}))
		}

		first, second, last := told.list[0], told.list[1], told.list[2]
		assert.Equal(t, 503, first.Response.StatusCode)
		assert.Same(t, first.Err.Response, first.Response)
		assert.Nil(t, second.Response)
		assert.ErrorIs(t, second.Err, errReset)
		assert.Equal(t, []time.Duration{first.Wait, second.Wait}, n.waits())

		assert.Equal(t, 429, last.Response.StatusCode)
		assert.Zero(t, last.Wait)
		assert.Equal(t, []retry.Reason{"", "", retry.NoAttemptsLeft}, told.finals())
		assert.ErrorIs(t, err, last.Err)
	})
}

func TestEvents_ThereIsNoneOfACallThatIsNotOneToRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told events
		for _, status := range []int{200, 404} {
			_, _ = newClient(answering(status), told.option()).Get(t.Context(), "/")
		}
		_, _ = newClient(answering(503), told.option()).Post(t.Context(), "/", nil)
		assert.Empty(t, told.list)
	})
}

// The cost.

func TestRetry_ACallThatGoesWellAllocatesNothingMore(t *testing.T) {
	measure := func(plugins ...axle.Plugin) float64 {
		n := answering(503)
		c := axle.New().SetBaseURL("http://axle.test").SetTransport(n).SetCookieJar(nil).Use(plugins...)

		// A budget that is not full earns.
		_, _ = c.Get(t.Context(), "/", retry.With(retry.WithAttempts(2)))
		n.statuses = []int{200}
		n.sent, n.at = make([]*http.Request, 0, 1000), make([]time.Time, 0, 1000)
		return testing.AllocsPerRun(200, func() { _, _ = c.Get(t.Context(), "/") })
	}
	opts := []retry.Option{
		retry.WithIdempotencyKey("Idempotency-Key"), retry.WithBackoff(0, 0), retry.WithBudget(0.001, 100),
	}
	assert.InDelta(t, measure(), measure(retry.New(opts...)), 0)
}
