package limit_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestRate_RequestsBeyondTheBurstGoOutEvenlySpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet(limit.WithRate(120, time.Minute, 3))
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { get(t, client, "/") })
		}
		wg.Wait()
		assert.Equal(t, seconds(0, 0, 0, 0.5, 1, 1.5), sent.sent)
	})
}

func TestRate_HoldsForAllRequestsOrForEachOriginAlone(t *testing.T) {
	cases := map[string]struct {
		opts []limit.Option
		want []time.Duration
	}{
		"all":       {[]limit.Option{limit.WithRate(1, time.Second, 1)}, seconds(0, 1, 2)},
		"by origin": {[]limit.Option{limit.WithRate(1, time.Second, 1), limit.WithPerOrigin()}, seconds(0, 0, 1)},
		"no rate":   {[]limit.Option{limit.WithPerOrigin()}, seconds(0, 0, 0)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, sent := quiet(c.opts...)
				get(t, client, "/")
				get(t, client, "http://other.test/")
				get(t, client, "http://OTHER.test:80/")
				assert.Equal(t, c.want, sent.sent)
			})
		})
	}
}

func TestRate_IsSharedByTheClientsOfOneInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := newTimeline()
		shared := limit.New(limit.WithRate(1, time.Second, 1))
		for range 3 {
			client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
				sent.note()
				return axletest.Reply(r, http.StatusOK, ""), nil
			})
			get(t, client.Use(shared), "/")
		}
		assert.Equal(t, seconds(0, 1, 2), sent.sent)
	})
}

// again replays each refused response once.
func again(c *axle.Client) {
	done := axle.NewKey[bool]("done")
	axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if before, _ := done.Get(err.Request); before {
			return nil, err
		}
		done.Set(err.Request, true)
		return err.Request.Replay()
	})
}

func TestRate_EachReplayAndEachNestedCallWaitsInItsTurn(t *testing.T) {
	resend := func(c *axle.Client) {
		done := axle.NewKey[bool]("done")
		axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
			if before, _ := done.Get(err.Request); before {
				return nil, err
			}
			done.Set(err.Request, true)
			return c.Do(err.Request)
		})
	}
	for name, sendAgain := range map[string]func(*axle.Client){"Replay": again, "Do": resend} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, sent := answering(http.StatusInternalServerError, nil, limit.WithRate(1, time.Second, 1))
				sendAgain(client)
				get(t, client, "/")
				assert.Equal(t, seconds(0, 1), sent.sent)
			})
		})
	}
}

func TestRate_DoesNotCountARequestThatIsNotSentOrThatSkips(t *testing.T) {
	respond := func(r *axle.Request) { r.Respond(axle.NewResponse(r, http.StatusOK, nil, nil)) }
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet(limit.WithRate(1, time.Minute, 1))
		cached := axletest.UseRequest(client, respond)
		for range 5 {
			get(t, client, "/")
		}
		client.Interceptors.Request.Eject(cached)
		for range 5 {
			get(t, client, "/", limit.Skip)
		}
		get(t, client, "/")
		assert.Equal(t, seconds(0, 0, 0, 0, 0, 0), sent.sent)
	})
}

func TestRate_TheClientsTimeLimitDoesNotBoundTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet(limit.WithRate(1, time.Second, 1))
		client.SetTimeout(time.Millisecond)
		get(t, client, "/")
		get(t, client, "/")
		assert.Equal(t, seconds(0, 1), sent.sent)
	})
}

func TestWait_EndsWithTheContext(t *testing.T) {
	errGone := errors.New("the user is gone")
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet(limit.WithRate(1, time.Second, 1))
		get(t, client, "/")

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(300*time.Millisecond, func() { cancel(errGone) })
		_, err := client.Get(ctx, "/")
		assert.Equal(t, axle.CodeCanceled, axletest.AsAxle(t, err).Code)
		require.ErrorIs(t, err, errGone)
		assert.Equal(t, 300*time.Millisecond, time.Since(sent.start))

		// The request that gave up has not spent the turn of the next one.
		get(t, client, "/")
		assert.Equal(t, seconds(0, 1), sent.sent)
	})
}

func TestWait_ThatWouldPassTheDeadlineIsRefusedAtOnceAsATimeout(t *testing.T) {
	for name, first := range map[string]struct {
		header      http.Header
		opts        []limit.Option
		isAnnounced bool
	}{
		"of the rate":   {nil, []limit.Option{limit.WithRate(1, 10*time.Second, 1)}, false},
		"of the server": {http.Header{"Ratelimit": {`"a";r=0;t=10`}}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, sent := answering(http.StatusOK, first.header, first.opts...)
				get(t, client, "/")

				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := client.Get(ctx, "/")
				wait := refused(t, err, axle.CodeTimeout)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, limit.WaitError{
					Origin: "http://axle.test", Until: sent.start.Add(10 * time.Second), Wait: 10 * time.Second,
					Announced: first.isAnnounced,
				}, *wait)
				assert.Zero(t, time.Since(sent.start), "it did not wait")
			})
		})
	}
}

func TestWait_ThatEndsBeforeTheDeadlineIsWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet(limit.WithRate(1, 10*time.Second, 1))
		get(t, client, "/")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		_, err := client.Get(ctx, "/")
		require.NoError(t, err)
		assert.Equal(t, seconds(0, 10), sent.sent)
	})
}

func TestWait_LongerThanItsMostIsRefusedAtOnce(t *testing.T) {
	cases := map[string]struct {
		opts     []limit.Option
		asked    string
		isSpared bool
	}{
		"a minute, by default":            {nil, "60", false},
		"more than a minute, by default":  {nil, "61", true},
		"longer than set":                 {[]limit.Option{limit.WithMaxWait(5 * time.Second)}, "6", true},
		"as long as set":                  {[]limit.Option{limit.WithMaxWait(6 * time.Second)}, "6", false},
		"any, for zero":                   {[]limit.Option{limit.WithMaxWait(0)}, "1", true},
		"any, for less than zero":         {[]limit.Option{limit.WithMaxWait(-time.Hour)}, "1", true},
		"as long as set, with a nil edit": {[]limit.Option{nil, limit.WithMaxWait(time.Hour)}, "3600", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, sent := answering(http.StatusTooManyRequests, http.Header{"Retry-After": {c.asked}}, c.opts...)
				_, _ = client.Get(t.Context(), "/")
				_, err := client.Get(t.Context(), "/")
				if !c.isSpared {
					require.NoError(t, err)
					return
				}
				wait := refused(t, err, axle.CodeInterceptor)
				assert.True(t, wait.Announced)
				assert.Zero(t, time.Since(sent.start))
			})
		})
	}
}

func TestWait_OfRefusedRequestsSpendsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet(limit.WithRate(1, time.Second, 1), limit.WithMaxWait(time.Second))
		get(t, client, "/")
		var wg sync.WaitGroup
		wg.Go(func() { get(t, client, "/") })
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				_, err := client.Get(t.Context(), "/")
				assert.Error(t, err)
			})
		}
		wg.Wait()
		get(t, client, "/")
		assert.Equal(t, seconds(0, 1, 2), sent.sent)
	})
}

func TestError_SaysWhichLimitIsReachedAndUntilWhen(t *testing.T) {
	until := time.Date(2026, 11, 26, 12, 0, 5, 0, time.UTC)
	err := limit.WaitError{Origin: "https://api.example.com", Until: until, Wait: 5 * time.Second}
	assert.Equal(t, "limit: the client's own limit for https://api.example.com is reached until 2026-11-26T12:00:05Z, "+
		"which is in 5s", err.Error())
	err.Announced = true
	assert.Contains(t, err.Error(), "the server's limit")
}

func TestError_SaysWhatTheWaitWouldPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := quiet(limit.WithRate(1, time.Minute, 1), limit.WithMaxWait(time.Second))
		get(t, client, "/")
		_, err := client.Get(t.Context(), "/")
		assert.ErrorContains(t, err, "the wait would be longer than WithMaxWait allows, 1s: limit: the client's own limit")

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = client.Get(ctx, "/")
		assert.ErrorContains(t, err, "the wait would pass the context's deadline: limit: the client's own limit")
	})
}

func TestNew_AWrongRateFailsEveryCallBeforeItIsSent(t *testing.T) {
	for name, opt := range map[string]limit.Option{
		"no requests":     limit.WithRate(0, time.Second, 1),
		"less than none":  limit.WithRate(-1, time.Second, 1),
		"no period":       limit.WithRate(1, 0, 1),
		"negative period": limit.WithRate(1, -time.Second, 1),
		"no burst":        limit.WithRate(1, time.Second, 0),
	} {
		t.Run(name, func(t *testing.T) {
			client, sent := quiet(opt)
			_, err := client.Get(t.Context(), "/")
			assert.Equal(t, axle.CodeBadOption, axletest.AsAxle(t, err).Code)
			assert.ErrorContains(t, err, "limit: WithRate(")
			assert.Empty(t, sent.sent)
		})
	}
}

func TestInstall_ReturnsWhatRemovesBothHandlers(t *testing.T) {
	client, _ := quiet()
	uninstall := limit.New().Install(client)
	assert.Equal(t, "limit -> limit", client.Interceptors.Request.String())
	assert.Equal(t, "limit -> limit", client.Interceptors.Response.String())
	uninstall()
	assert.Equal(t, "limit", client.Interceptors.Request.String())
	assert.Equal(t, "limit", client.Interceptors.Response.String())
}

func TestLimit_AURLThatCannotBeResolvedIsTheDispatchsToRefuse(t *testing.T) {
	client, sent := quiet(limit.WithPerOrigin(), limit.WithRate(1, time.Hour, 1))
	_, err := client.Get(t.Context(), "ftp://other.test/")
	assert.Equal(t, axle.CodeInvalidURL, axletest.AsAxle(t, err).Code)
	assert.Empty(t, sent.sent)
}

func TestLimit_AllocatesNothingInACallThatDoesNotWait(t *testing.T) {
	answer := func(r *http.Request) (*http.Response, error) { return axletest.Reply(r, http.StatusOK, ""), nil }
	measure := func(plugins ...axle.Plugin) float64 {
		client, _ := axletest.NewFakeClient(answer)
		client.Use(plugins...)
		return testing.AllocsPerRun(200, func() { _, _ = client.Get(context.Background(), "/") })
	}
	plain := measure()
	assert.LessOrEqual(t, measure(limit.New()), plain, "the server's limits alone")
	assert.LessOrEqual(t, measure(limit.New(limit.WithRate(1e9, time.Second, 1e9))), plain, "one rate")
	assert.LessOrEqual(t, measure(limit.New(limit.WithPerOrigin(), limit.WithRate(1e9, time.Second, 1e9))), plain)

	skipping := func() float64 {
		client, _ := axletest.NewFakeClient(answer)
		return testing.AllocsPerRun(200, func() { _, _ = client.Get(context.Background(), "/", limit.Skip) })
	}
	bare := skipping()
	client, _ := axletest.NewFakeClient(answer)
	client.Use(limit.New(limit.WithRate(1, time.Hour, 1)))
	assert.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		_, _ = client.Get(context.Background(), "/", limit.Skip)
	}), bare, "a call that skips")
}
