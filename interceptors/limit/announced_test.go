package limit_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestAnnounced_NothingGoesOutBeforeTheServersLimitIsReset(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // synctest's
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	unix := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }

	const ok, tooMany, unavailable = http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable
	cases := []struct {
		name   string
		status int
		fields string // "Name: value" lines
		want   float64
	}{
		{"nothing", ok, "", 0},
		{"nothing, with a 429", tooMany, "", 0},

		{"Retry-After of a 429", tooMany, "Retry-After: 7", 7},
		{"Retry-After of a 503", unavailable, "Retry-After: 7", 7},
		{"Retry-After of another status", http.StatusAccepted, "Retry-After: 7", 0},
		{"Retry-After of zero", tooMany, "Retry-After: 0", 0},
		{"Retry-After that is neither", tooMany, "Retry-After: soon", 0},
		{"Retry-After with a date", tooMany, "Retry-After: " + date(9*time.Second), 9},
		{"Retry-After with a date by the server's clock", tooMany,
			"Retry-After: " + date(time.Hour+9*time.Second) + "\nDate: " + date(time.Hour), 9},
		{"Retry-After with a date that has passed", tooMany, "Retry-After: " + date(-time.Hour), 0},

		{"RateLimit", ok, `RateLimit: "default";r=0;t=30`, 30},
		{"RateLimit with something left", ok, `RateLimit: "default";r=1;t=30`, 0},
		{"RateLimit of two limits, one reached", ok, `RateLimit: "burst";r=0;t=2, "daily";r=9;t=3000`, 2},
		{"RateLimit of two limits, both reached", ok, `RateLimit: "burst";r=0;t=2,"daily";r=0;t=20`, 20},
		{"RateLimit in two lines", ok, "RateLimit: a;r=0;t=2\nRateLimit: b;r=0;t=20", 20},
		{"RateLimit with a separator in its name", ok, `RateLimit: "a;r=0;t=9,\";r=0;t=9;";r=3;t=30`, 0},
		{"RateLimit with space around", ok, `RateLimit: "default" ; r=0 ; t=30 `, 30},
		{"RateLimit without a time", ok, `RateLimit: "default";r=0`, 0},
		{"RateLimit below zero", ok, `RateLimit: "default";r=-3;t=30`, 30},
		{"RateLimit in its older form", ok, "RateLimit: limit=100, remaining=0, reset=30", 30},
		{"RateLimit in its older form, with something left", ok, "RateLimit: limit=100, remaining=7, reset=30", 0},
		{"RateLimit-Policy alone", tooMany, `RateLimit-Policy: "default";q=100;w=10`, 0},

		{"RateLimit-Remaining and -Reset", ok, "RateLimit-Remaining: 0\nRateLimit-Reset: 8", 8},
		{"RateLimit-Remaining with something left", ok, "RateLimit-Remaining: 1\nRateLimit-Reset: 8", 0},
		{"RateLimit-Reset of a 429 alone", tooMany, "RateLimit-Reset: 8", 8},
		{"RateLimit-Reset of a 429 with something left", tooMany, "RateLimit-Remaining: 5\nRateLimit-Reset: 8", 0},
		{"RateLimit-Reset alone", ok, "RateLimit-Reset: 8", 0},

		{"X-RateLimit in seconds", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 8", 8},
		{"X-RateLimit in parts of a second", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 0.25", 0.25},
		{"X-RateLimit since 1970", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 946684808", 8},
		{"X-RateLimit since 1970, by the server's clock", ok,
			"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: " + unix(50*365*24*time.Hour+8*time.Second) +
				"\nDate: " + date(50*365*24*time.Hour), 8},
		{"X-RateLimit since 1970 in milliseconds", ok,
			"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: " + unix(50*365*24*time.Hour+8*time.Second) + "250" +
				"\nDate: " + date(50*365*24*time.Hour), 8.25},
		{"X-RateLimit with a text", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1m30s", 90},
		{"X-RateLimit with a text below zero", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: -1m", 0},
		{"X-RateLimit that has passed", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: -5", 0},
		{"X-RateLimit that is neither", ok, "X-RateLimit-Remaining: none\nX-RateLimit-Reset: 8", 0},
		{"X-RateLimit that is no number", ok, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: NaN", 0},
		{"X-Rate-Limit", ok, "X-Rate-Limit-Remaining: 0\nX-Rate-Limit-Reset: 8", 8},

		{"the longest of several", tooMany,
			"Retry-After: 3\nRateLimit: a;r=0;t=5\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 4", 5},
		{"more than an hour", ok, `RateLimit: "daily";r=0;t=86400`, 3600},
		{"more seconds since 1970 than a Duration holds", ok,
			"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999999999", 3600},
		{"more than a Duration holds", tooMany, "Retry-After: 99999999999999999999999999", 3600},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := http.Header{}
				for line := range strings.Lines(c.fields) {
					name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
					header.Add(name, value)
				}
				client, sent := answering(c.status, header, limit.WithMaxWait(2*time.Hour))
				_, _ = client.Get(t.Context(), "/")
				get(t, client, "/")
				assert.InDelta(t, c.want, sent.sent[1].Seconds(), 1e-6)
			})
		})
	}
}

func TestAnnounced_APauseHoldsForItsOriginAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := answering(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}})
		_, _ = client.Get(t.Context(), "/")
		get(t, client, "http://other.test/")
		get(t, client, "http://axle.test:80/")
		assert.Equal(t, seconds(0, 0, 7), sent.sent)
	})
}

func TestAnnounced_AfterARedirectTheLastOriginAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := newTimeline()
		client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
			sent.note()
			resp := axletest.Reply(r, http.StatusOK, "")
			if r.URL.Host == "axle.test" {
				resp.StatusCode, resp.Header = http.StatusFound, http.Header{"Location": {"http://other.test/"}}
			} else {
				resp.Header = http.Header{"Ratelimit": {"a;r=0;t=7"}}
			}
			return resp, nil
		})
		client.Use(limit.New())
		get(t, client, "/")
		get(t, client, "/")
		get(t, client, "http://other.test/")
		assert.Equal(t, seconds(0, 0, 0, 0, 7), sent.sent)
	})
}

func TestAnnounced_APauseThatBeginsDuringAWaitHoldsTheWaitingRequestToo(t *testing.T) {
	cases := map[string]struct {
		opts []limit.Option
		want time.Duration // when the request that waits goes out
	}{
		"a wait for the server":             {nil, 9 * time.Second},
		"a wait for the rate takes anew":    {[]limit.Option{limit.WithRate(1, 4*time.Second, 2)}, 9 * time.Second},
		"a wait for a rate with rare turns": {[]limit.Option{limit.WithRate(1, 8*time.Second, 2)}, 16 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := newTimeline()
				client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
					sent.note()
					resp := axletest.Reply(r, http.StatusOK, "")
					if after, err := time.ParseDuration(r.URL.Query().Get("after")); err == nil {
						time.Sleep(after)
						resp.Header.Set("RateLimit", "a;r=0;t="+r.URL.Query().Get("t"))
					}
					return resp, nil
				})
				client.Use(limit.New(c.opts...))

				var wg sync.WaitGroup
				wg.Go(func() { get(t, client, "/?after=3s&t=6") })
				synctest.Wait()
				if c.opts == nil {
					get(t, client, "/?after=0s&t=5")
				} else {
					get(t, client, "/")
				}
				wg.Go(func() { get(t, client, "/") })
				wg.Wait()
				assert.InDelta(t, c.want, sent.sent[2], float64(time.Microsecond))
			})
		})
	}
}

func TestAnnounced_TheRateSpacesTheRequestsThatWaitedForTheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := answering(http.StatusTooManyRequests, http.Header{"Retry-After": {"10"}},
			limit.WithRate(1, time.Second, 2))
		_, _ = client.Get(t.Context(), "/")
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { get(t, client, "/") })
		}
		wg.Wait()
		assert.Equal(t, seconds(0, 10, 10, 11, 12, 13), sent.sent)
	})
}

func TestAnnounced_AResponseThatAHandlerMadeCausesNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := quiet()
		id := axletest.UseRequest(client, func(r *axle.Request) {
			header := http.Header{"Retry-After": {"7"}}
			r.Respond(axle.NewResponse(r, http.StatusTooManyRequests, header, nil))
		})
		_, _ = client.Get(t.Context(), "/")
		client.Interceptors.Request.Eject(id)
		get(t, client, "/")
		assert.Equal(t, seconds(0), sent.sent)
	})
}

func TestAnnounced_TheResponseOfARequestThatSkipsCausesNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := answering(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}})
		_, _ = client.Get(t.Context(), "/", limit.Skip)
		get(t, client, "/")
		assert.Equal(t, seconds(0, 0), sent.sent)
	})
}

func TestAnnounced_EachAttemptsResponseIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, sent := answering(http.StatusServiceUnavailable, http.Header{"Retry-After": {"7"}})
		again(client)
		get(t, client, "/")
		assert.Equal(t, seconds(0, 7), sent.sent, "the replay waits for the pause that its first attempt caused")
	})
}
