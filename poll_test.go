package axle_test

import (
	"context"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// jobState is what a job's URL answers with.
type jobState struct {
	State string `json:"state"`
}

func isFinished(s jobState, _ *axle.Response) bool { return s.State == "finished" }

// jobAnswer is one answer of a jobServer.
type jobAnswer struct {
	status int
	body   string
	header map[string]string
}

var (
	running  = jobAnswer{status: 200, body: `{"state":"running"}`}
	finished = jobAnswer{status: 200, body: `{"state":"finished"}`}
)

func (a jobAnswer) with(name, value string) jobAnswer {
	header := map[string]string{name: value}
	maps.Copy(header, a.header)
	a.header = header
	return a
}

// jobServer is a network that gives its answers in turn, and then the last one again and again. It
// notes each request with the time since the first one.
type jobServer struct {
	answers []jobAnswer
	started time.Time
	got     []string
}

func (s *jobServer) answer(r *http.Request) (*http.Response, error) {
	if len(s.got) == 0 {
		s.started = time.Now()
	}
	s.got = append(s.got, time.Since(s.started).String()+" "+r.Method+" "+r.URL.RequestURI())

	a := s.answers[min(len(s.got), len(s.answers))-1]
	resp := reply(r, a.status, a.body)
	for name, value := range a.header {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

func newJobClient(answers ...jobAnswer) (*axle.Client, *jobServer) {
	s := &jobServer{answers: answers}
	c, _ := newFakeClient(s.answer)
	return c, s
}

func TestPoll_AsksUntilTheJobIsDoneAndReturnsItsLastValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(running, running, finished)
		job, err := axle.Poll(t.Context(), c, "/jobs/7?full=1", isFinished)
		require.NoError(t, err)
		assert.Equal(t, jobState{"finished"}, job)
		assert.Equal(t, []string{"0s GET /jobs/7?full=1", "1s GET /jobs/7?full=1", "2.5s GET /jobs/7?full=1"}, server.got)
	})
}

func TestPoll_EachWaitIsLongerByAHalfUpToTheLongest(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*axle.Request)
		want []time.Duration
	}{
		"by default": {nil, []time.Duration{
			1000, 1500, 2250, 3375, 5062, 7593, 11390, 17085, 25628, 30000, 30000,
		}},
		"as PollInterval says": {axle.PollInterval(100*time.Millisecond, 250*time.Millisecond), []time.Duration{
			100, 150, 225, 250, 250,
		}},
		"always the same": {axle.PollInterval(time.Millisecond, time.Millisecond), []time.Duration{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, _ := newJobClient(running)
				var waits []time.Duration
				last := time.Now()
				_, err := axle.Poll(t.Context(), client, "/jobs/7", func(jobState, *axle.Response) bool {
					waits = append(waits, time.Since(last).Truncate(time.Millisecond)/time.Millisecond)
					last = time.Now()
					return len(waits) > len(c.want)
				}, c.edit)
				require.NoError(t, err)
				assert.Equal(t, c.want, waits[1:])
			})
		})
	}
}

func TestPoll_WaitsAsLongAsRetryAfterAsksUpToFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(
			running.with("Retry-After", "20"),
			running.with("Retry-After", time.Now().Add(80*time.Second).UTC().Format(http.TimeFormat)),
			running.with("Retry-After", "86400"),
			running.with("Retry-After", "0"), // no wait that is asked for: the interval
			running.with("Retry-After", "soon"),
			finished,
		)
		_, err := axle.Poll(t.Context(), c, "/jobs/7", isFinished)
		require.NoError(t, err)
		assert.Equal(t, []string{
			"0s GET /jobs/7", "20s GET /jobs/7", "1m20s GET /jobs/7", "6m20s GET /jobs/7", "6m21s GET /jobs/7", "6m22.5s GET /jobs/7",
		}, server.got)
	})
}

func TestPoll_WithoutADoneFunctionAJobIsDoneWhenItIsNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(jobAnswer{status: 202}, jobAnswer{status: 202}, finished)
		job, err := axle.Poll[jobState](t.Context(), c, "/jobs/7", nil)
		require.NoError(t, err)
		assert.Equal(t, jobState{"finished"}, job)
		assert.Len(t, server.got, 3)
	})
}

func TestPoll_TheBodyOfA202MayBeAnythingUnlessAFunctionLooksAtIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accepted := jobAnswer{status: 202, body: "Accepted"}
		c, _ := newJobClient(accepted, finished)
		job, err := axle.Poll[jobState](t.Context(), c, "/jobs/7", nil)
		require.NoError(t, err)
		assert.Equal(t, jobState{"finished"}, job)

		c, _ = newJobClient(accepted, finished)
		_, err = axle.Poll(t.Context(), c, "/jobs/7", isFinished)
		require.ErrorIs(t, err, axle.CodeBadResponse)

		c, _ = newJobClient(accepted, jobAnswer{status: 200, body: "Done"})
		job, err = axle.Poll[jobState](t.Context(), c, "/jobs/7", nil)
		require.ErrorIs(t, err, axle.CodeBadResponse, "the value of the job has to decode")
		assert.Zero(t, job)
	})
}

func TestPoll_AStreamIsRefusedBeforeAnythingIsSent(t *testing.T) {
	c, server := newJobClient(finished)
	_, err := axle.Poll[jobState](t.Context(), c, "/", nil, func(r *axle.Request) { r.SetStream(true) })
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Empty(t, server.got)
}

// One call starts the job and polls it.
func TestPoll_FollowsTheURLThatAResponseNames(t *testing.T) {
	start := func(r *axle.Request) {
		r.SetMethod(http.MethodPost).SetBody(map[string]int{"n": 1}).SetQueryParam("dry", "1").SetPathParam("kind", "exports")
	}
	cases := map[string]struct {
		answers []jobAnswer
		want    []string
	}{
		"Location of a 202": {
			[]jobAnswer{{status: 202, header: map[string]string{"Location": "/jobs/7?a=1"}}, running, finished},
			[]string{"0s POST /exports?dry=1", "1s GET /jobs/7?a=1", "2.5s GET /jobs/7?a=1"},
		},
		"Location of a 201, absolute": {
			[]jobAnswer{{status: 201, header: map[string]string{"Location": "http://axle.test/jobs/7"}}, finished},
			[]string{"0s POST /exports?dry=1", "1s GET /jobs/7"},
		},
		"Operation-Location before Location": {
			[]jobAnswer{{status: 202, header: map[string]string{"Location": "/exports/7", "Operation-Location": "/operations/7"}}, finished},
			[]string{"0s POST /exports?dry=1", "1s GET /operations/7"},
		},
		"Operation-Location of any status": {
			[]jobAnswer{running.with("Operation-Location", "/operations/7"), finished},
			[]string{"0s POST /exports?dry=1", "1s GET /operations/7"},
		},
		"a new one on the way": {
			[]jobAnswer{{status: 202, header: map[string]string{"Location": "/jobs/7"}}, {status: 202, header: map[string]string{"Location": "8"}}, finished},
			[]string{"0s POST /exports?dry=1", "1s GET /jobs/7", "2.5s GET /jobs/8"},
		},
		"Location of a 200 is none": {
			[]jobAnswer{{status: 202, header: map[string]string{"Location": "/jobs/7"}}, running.with("Location", "/elsewhere"), finished},
			[]string{"0s POST /exports?dry=1", "1s GET /jobs/7", "2.5s GET /jobs/7"},
		},
		"with Retry-After": {
			[]jobAnswer{jobAnswer{status: 202, header: map[string]string{"Location": "/jobs/7"}}.with("Retry-After", "9"), finished},
			[]string{"0s POST /exports?dry=1", "9s GET /jobs/7"},
		},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server := newJobClient(one.answers...)
				useRequest(c, func(r *axle.Request) {
					if r.Method == http.MethodGet {
						assert.Nil(t, r.Body)
						assert.Empty(t, r.Header.Get("Content-Type"))
					}
				})
				job, err := axle.Poll(t.Context(), c, "/{kind}", isFinished, start, axle.WithHeader("Content-Type", "application/json"))
				require.NoError(t, err)
				assert.Equal(t, jobState{"finished"}, job)
				assert.Equal(t, one.want, server.got)
			})
		})
	}
}

// To send a POST again would start a second job.
func TestPoll_ARequestThatDoesMoreThanAskIsNotSentAgain(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "SEARCH"} {
		c, server := newJobClient(jobAnswer{status: 202})
		_, err := axle.Poll(t.Context(), c, "/exports", isFinished, func(r *axle.Request) { r.SetMethod(method) })
		e := asAxle(t, err)
		require.ErrorIs(t, err, axle.CodeBadResponse)
		assert.Contains(t, err.Error(), "names no URL to poll")
		assert.Equal(t, 202, e.StatusCode())
		assert.Len(t, server.got, 1)
	}
}

func TestPoll_NoCredentialFollowsTheJobToAnotherOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := map[string]string{}
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			got[r.URL.Host] = r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
			if r.URL.Host == "axle.test" {
				resp := reply(r, 202, "")
				resp.Header.Set("Location", "https://jobs.example/7")
				return resp, nil
			}
			return reply(r, 200, finished.body), nil
		})
		c.SetHeader("Authorization", "Bearer default ")
		_, err := axle.Poll(t.Context(), c, "/exports", isFinished, axle.WithHeader("X-Api-Key", "key"))
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"axle.test": "Bearer default key", "jobs.example": ""}, got)
	})
}

func TestPoll_EachPollIsACallOfItsOwnThroughBothChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newJobClient(running, finished)
		var trace callTrace
		trace.onRequest(c, "request")
		trace.onResponse(c, "response")
		_, err := axle.Poll(t.Context(), c, "/jobs/7", isFinished)
		require.NoError(t, err)
		assert.Equal(t, []string{"request", "response", "request", "response"}, trace.taken())
	})
}

func TestPoll_AWaitThatOutlastsTheDeadlineIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(running.with("Retry-After", "60"))
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()

		start := time.Now()
		job, err := axle.Poll(ctx, c, "/jobs/7", isFinished)
		require.ErrorIs(t, err, axle.CodeTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, err.Error(), "the wait would outlast the context's deadline")
		assert.Equal(t, 200, asAxle(t, err).StatusCode(), "the last poll")
		assert.Zero(t, time.Since(start))
		assert.Zero(t, job)
		assert.Len(t, server.got, 1)
	})
}

func TestPoll_AWaitThatEndsBeforeTheDeadlineIsWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(running.with("Retry-After", "60"), finished)
		ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
		defer cancel()
		_, err := axle.Poll(ctx, c, "/jobs/7", isFinished)
		require.NoError(t, err)
		assert.Equal(t, []string{"0s GET /jobs/7", "1m0s GET /jobs/7"}, server.got)
	})
}

func TestPoll_AWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newJobClient(running)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(errBoom) })

		start := time.Now()
		_, err := axle.Poll(ctx, c, "/jobs/7", isFinished)
		require.ErrorIs(t, err, axle.CodeCanceled)
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}

// What another process needs to go on is one text.
func TestPoll_CanGoOnLaterFromTheURLOfItsError(t *testing.T) {
	post := func(r *axle.Request) { r.SetMethod(http.MethodPost).SetQueryParam("dry", "1") }
	accepted := jobAnswer{status: 202}.with("Location", "/jobs/7")
	for name, one := range map[string]struct {
		answers []jobAnswer
		fail    func(r *http.Request) error
	}{
		"the time is over":   {[]jobAnswer{accepted.with("Retry-After", "60")}, nil},
		"a poll was refused": {[]jobAnswer{accepted, {status: 500}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newJobClient(one.answers...)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				_, err := axle.Poll(ctx, c, "/exports", isFinished, post)
				token := asAxle(t, err).Request.URL
				assert.Equal(t, "http://axle.test/jobs/7", token)

				again, server := newJobClient(finished)
				job, err := axle.Poll(t.Context(), again, token, isFinished)
				require.NoError(t, err)
				assert.Equal(t, jobState{"finished"}, job)
				assert.Equal(t, []string{"0s GET /jobs/7"}, server.got)
			})
		})
	}
}

func TestPollURL_IsWhatAPollGoesOnWith(t *testing.T) {
	cases := []struct {
		method string
		answer jobAnswer
		want   string
	}{
		{"POST", jobAnswer{status: 202}.with("Location", "/jobs/7"), "http://axle.test/jobs/7"},
		{"POST", jobAnswer{status: 201}.with("Location", "https://jobs.example/7"), "https://jobs.example/7"},
		{"POST", jobAnswer{status: 200}.with("Operation-Location", "jobs/7"), "http://axle.test/jobs/7"},
		{"POST", jobAnswer{status: 200}.with("Location", "/jobs/7"), ""},
		{"POST", jobAnswer{status: 202}, ""},
		{"POST", jobAnswer{status: 202}.with("Location", "http://[::1"), ""},
		{"GET", jobAnswer{status: 202}.with("Location", "/jobs/8"), "http://axle.test/jobs/8"},
		{"GET", running, "/start"},
		{"HEAD", running, "/start"},
	}
	for _, one := range cases {
		c, _ := newJobClient(one.answer)
		resp, err := c.R(t.Context()).Execute(one.method, "/start")
		require.NoError(t, err)
		assert.Equal(t, one.want, axle.PollURL(resp), "%+v", one)
	}
	assert.Empty(t, axle.PollURL(axle.NewResponse(nil, 200, nil, nil)))
}

func TestPollURL_IsAPathForAClientWithoutAbsoluteURLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(jobAnswer{status: 202}.with("Location", "/jobs/7"), finished)
		c.SetAllowAbsoluteURLs(false)
		started, err := c.Post(t.Context(), "/start", nil)
		require.NoError(t, err)
		token := axle.PollURL(started)
		assert.Equal(t, "/jobs/7", token)

		_, err = axle.Poll(t.Context(), c, token, isFinished)
		require.NoError(t, err)
		assert.Equal(t, []string{"0s POST /start", "0s GET /jobs/7"}, server.got)
	})
}

func TestPollInterval_ABadOneFailsBeforeAnythingIsSent(t *testing.T) {
	for _, one := range [][2]time.Duration{{0, time.Second}, {-1, 1}, {time.Second, time.Second - 1}, {1, time.Second}} {
		c, server := newJobClient(running)
		_, err := axle.Poll(t.Context(), c, "/", isFinished, axle.PollInterval(one[0], one[1]))
		require.ErrorIs(t, err, axle.CodeBadOption)
		require.ErrorContains(t, err, "PollInterval needs")
		assert.Empty(t, server.got)
	}
}

// A synthetic response, as of a cache, has no URL of net/http's.
func TestPoll_ALinkOfASyntheticResponseIsRelativeToItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newJobClient(finished)
		useRequest(c, func(r *axle.Request) {
			if r.URL == "/v1/start" {
				r.Respond(axle.NewResponse(r, 202, http.Header{"Location": {"jobs?id=7"}}, nil))
			}
		})
		_, err := axle.Poll(t.Context(), c, "/v1/start", isFinished)
		require.NoError(t, err)
		assert.Equal(t, []string{"0s GET /v1/jobs?id=7"}, server.got)
	})
}
