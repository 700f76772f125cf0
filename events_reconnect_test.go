package axle_test

import (
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
)

func TestEvents_ACutIsConnectedAgainFromTheLastWholeEvent(t *testing.T) {
	for name, end := range map[string]error{
		"the server ends the stream": nil,
		"the network fails":          errReset,
		"the stream breaks off":      io.ErrUnexpectedEOF,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server := newEventClient(
					eventAnswer{stream: "retry: 0\nid: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n", end: end},
					eventAnswer{stream: "id: 3\ndata: c\n\ndata: d\n\nid\ndata: e\n\n", end: end},
					eventAnswer{status: 204},
				)
				var got []string
				for event, err := range axle.Events[string](t.Context(), c, "/events") {
					require.NoError(t, err)
					got = append(got, event.ID+event.Data)
				}
				assert.Equal(t, []string{"1a", "2b", "3c", "3d", "e"}, got)
				// After an empty ID there is none to go on from.
				assert.Equal(t, []string{"0s GET", "0s GET 2", "0s GET"}, server.got)
				assert.True(t, server.closedAll())
			})
		})
	}
}

func TestEvents_TheCallersLastEventIDHoldsUntilTheStreamSetsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newEventClient(
			eventAnswer{stream: "retry: 0\ndata: a\n\n"},
			eventAnswer{stream: "id: 8\ndata: b\n\n"},
			eventAnswer{status: 204},
		)
		events, err := collect(axle.Events[string](t.Context(), c, "/events", func(r *axle.Request) {
			r.Header["last-event-id"] = []string{"7"} // in any spelling
		}))
		require.NoError(t, err)
		assert.Equal(t, "7", events[0].ID)
		assert.Equal(t, []string{"0s GET 7", "0s GET 7", "0s GET 8"}, server.got)
	})
}

func TestEvents_AnEmptyIDTakesBackTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newEventClient(eventAnswer{stream: "retry: 0\nid\ndata: a\n\n"}, eventAnswer{status: 204})
		_, err := texts(axle.Events[string](t.Context(), c, "/events", axle.WithHeader("Last-Event-ID", "7")))
		require.NoError(t, err)
		assert.Equal(t, []string{"0s GET 7", "0s GET"}, server.got)
	})
}

// Each connection is a call of its own.
func TestEvents_EachConnectionGoesThroughBothChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newEventClient(
			eventAnswer{stream: "retry: 0\ndata: a\n\n"}, eventAnswer{stream: "data: b\n\n"}, eventAnswer{status: 204})
		var trace callTrace
		trace.onRequest(c, "request")
		trace.onResponse(c, "response")
		got, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b"}, got)
		assert.Equal(t, []string{"request", "response", "request", "response", "request", "response"}, trace.taken())
	})
}

func TestEvents_TheWaitIsWhatTheServerSaysAndUpToAHalfLonger(t *testing.T) {
	for retry, want := range map[string]time.Duration{
		"":                               time.Second, // by default
		"retry: 200\n":                   200 * time.Millisecond,
		"retry: 0\n":                     0,
		"retry: 9e9\n":                   time.Second,     // not a number of milliseconds
		"retry: 999999999999999999999\n": 5 * time.Minute, // at most
	} {
		t.Run(retry, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := []eventAnswer{{stream: retry + "data: a\n\n"}}
				for range 20 {
					answers = append(answers, eventAnswer{stream: "data: b\n\n"})
				}
				c, _ := newEventClient(append(answers, eventAnswer{status: 204})...)

				waits := map[time.Duration]bool{}
				last := time.Now()
				for _, err := range axle.Events[string](t.Context(), c, "/events") {
					require.NoError(t, err)
					waits[time.Since(last)] = true
					last = time.Now()
				}
				delete(waits, 0)
				if want == 0 {
					assert.Empty(t, waits)
					return
				}
				assert.Greater(t, len(waits), 10, "they differ at random")
				for wait := range waits {
					assert.GreaterOrEqual(t, wait, want)
					assert.LessOrEqual(t, wait, want+want/2)
				}
			})
		})
	}
}

func TestEvents_AConnectionThatFailsIsTriedAgainWithDoublingWaits(t *testing.T) {
	passing := map[string]eventAnswer{"network": {refuse: errReset}}
	for _, status := range []int{408, 425, 429, 500, 502, 503, 504} {
		passing[fmt.Sprint(status)] = eventAnswer{status: status}
	}
	for name, failure := range passing {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := []eventAnswer{{stream: "id: 1\ndata: a\n\n"}}
				for range 9 {
					answers = append(answers, failure)
				}
				answers = append(answers, eventAnswer{stream: "id: 2\ndata: b\n\n"}, eventAnswer{status: 204})
				c, server := newEventClient(answers...)
				got, err := texts(axle.Events[string](t.Context(), c, "/events"))
				require.NoError(t, err)
				assert.Equal(t, []string{"a", "b"}, got)

				var starts []time.Duration
				for _, line := range server.got {
					at, _, _ := strings.Cut(line, " ")
					start, err := time.ParseDuration(at)
					require.NoError(t, err)
					starts = append(starts, start)
				}
				for i, least := range []float64{1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 1} {
					wait := (starts[i+1] - starts[i]).Seconds()
					assert.GreaterOrEqual(t, wait, 0.99*least, "wait %d", i)
					assert.LessOrEqual(t, wait, 1.51*least, "wait %d", i)
				}
			})
		})
	}
}

func TestEvents_ARetryAfterIsKeptTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newEventClient(
			eventAnswer{stream: "retry: 0\ndata: a\n\n"},
			eventAnswer{status: 503, header: map[string]string{"Retry-After": "100"}},
			eventAnswer{status: 204},
		)
		_, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.NoError(t, err)
		at, _, _ := strings.Cut(server.got[2], " ")
		wait, err := time.ParseDuration(at)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, wait, 100*time.Second)
		assert.LessOrEqual(t, wait, 150*time.Second)
	})
}

func TestEvents_TenFailuresInSuccessionEndTheIteration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []eventAnswer{{stream: "data: a\n\n"}}
		for range 20 {
			answers = append(answers, eventAnswer{refuse: errReset})
		}
		c, server := newEventClient(answers...)
		got, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.ErrorIs(t, err, axle.CodeNetwork)
		require.ErrorIs(t, err, errReset)
		assert.Equal(t, []string{"a"}, got)
		assert.Len(t, server.got, 11)
	})
}

// A quiet stream behind a proxy that ends it every minute is in order.
func TestEvents_AConnectionThatOpensIsNoFailureThoughItBringsNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []eventAnswer{{stream: ":\n\n"}}
		for range 50 {
			answers = append(answers, eventAnswer{stream: ":\n\n", end: errReset})
		}
		c, server := newEventClient(append(answers, eventAnswer{status: 204})...)
		_, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.NoError(t, err)
		assert.Len(t, server.got, 52)
	})
}

func TestEvents_TheFirstConnectionIsNotTriedAgain(t *testing.T) {
	for name, first := range map[string]eventAnswer{
		"network": {refuse: errReset}, "503": {status: 503}, "401": {status: 401},
	} {
		c, server := newEventClient(first)
		_, err := texts(axle.Events[string](t.Context(), c, "/events"))
		asAxle(t, err)
		assert.Len(t, server.got, 1, name)
	}
}

func TestEvents_AFailureThatDoesNotPassEndsTheIterationAtOnce(t *testing.T) {
	for name, failure := range map[string]eventAnswer{
		"401": {status: 401}, "403": {status: 403}, "404": {status: 404}, "410": {status: 410}, "501": {status: 501},
		"no event stream": {contentType: "text/html", stream: "<html>data: x\n\n"},
		"no Content-Type": {contentType: " "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server := newEventClient(eventAnswer{stream: "data: a\n\n"}, failure, eventAnswer{status: 204})
				got, err := texts(axle.Events[string](t.Context(), c, "/events"))
				asAxle(t, err)
				assert.Equal(t, []string{"a"}, got)
				assert.Len(t, server.got, 2)
				assert.True(t, server.closedAll())
			})
		})
	}
}

// To send a POST again would start its work twice.
func TestEvents_OnlyAGETIsConnectedAgain(t *testing.T) {
	post := func(r *axle.Request) { r.SetMethod(http.MethodPost).SetBody("question") }

	c, server := newEventClient(eventAnswer{stream: "data: a\n\ndata: b\n\n"})
	got, err := texts(axle.Events[string](t.Context(), c, "/chat", post))
	require.NoError(t, err, "the end of the response is the end of the events")
	assert.Equal(t, []string{"a", "b"}, got)
	assert.Len(t, server.got, 1)

	c, server = newEventClient(eventAnswer{stream: "data: a\n\ndata: b\n\n", end: errReset})
	got, err = texts(axle.Events[string](t.Context(), c, "/chat", post))
	require.ErrorIs(t, err, axle.CodeNetwork, "a stream that is not whole")
	assert.Equal(t, 200, asAxle(t, err).StatusCode())
	assert.Equal(t, []string{"a", "b"}, got)
	assert.Len(t, server.got, 1)
	assert.True(t, server.closedAll())
}
