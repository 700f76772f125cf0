package streams_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
)

// tick is the data of an event.
type tick struct {
	N int `json:"n"`
}

// writeTick writes the event of a number, in one of the forms that the standard allows.
func writeTick(b *bytes.Buffer, n int) {
	end := []string{"\n", "\r\n", "\r"}[n%3]
	line := func(text string) { b.WriteString(text + end) }

	line(": " + strconv.Itoa(n))
	line("id: " + strconv.Itoa(n))
	if n%2 == 0 {
		line("event: even")
	}
	line(`data: {"n":`)
	line("data:" + strconv.Itoa(n) + "}")
	line("")
}

// eventFeed serves the ticks from the one after Last-Event-ID on. It cuts each connection at the
// number of bytes that cuts says next, in one of three ways.
type eventFeed struct {
	ticks   int
	cuts    []int
	cut     atomic.Int64  // how many connections were cut
	onCut   func(cut int) // before the nth cut, counted from 1
	retries string        // the field that is sent first
}

func (f *eventFeed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	if last == f.ticks {
		w.WriteHeader(http.StatusNoContent)
		return
	}

	var stream bytes.Buffer
	stream.WriteString(f.retries)
	for n := last + 1; n <= f.ticks; n++ {
		writeTick(&stream, n)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	cut := int(f.cut.Load())
	if cut == len(f.cuts) || f.cuts[cut] >= stream.Len() {
		_, _ = w.Write(stream.Bytes())
		return
	}
	f.cut.Add(1)

	_, _ = w.Write(stream.Bytes()[:f.cuts[cut]])
	_ = http.NewResponseController(w).Flush()
	f.onCut(cut + 1)
	switch cut % 3 {
	case 0: // the server ends the response in the middle of an event
	case 1: // the connection is closed
		panic(http.ErrAbortHandler)
	case 2: // the connection is reset, and bytes on their way are lost
		_ = connOf(r).SetLinger(0)
		panic(http.ErrAbortHandler)
	}
}

// The figures of docs/streams.md.
func TestEvents_TenThousandEventsComeOnceEachOverAHundredCutsAndTwentyExpiries(t *testing.T) {
	const ticks, cuts, expiries = 10_000, 100, 20

	var whole bytes.Buffer
	for n := range ticks {
		writeTick(&whole, n+1)
	}

	for name, plugins := range map[string][]axle.Plugin{"auth": nil, "auth and retry": {retry.New()}} {
		t.Run(name, func(t *testing.T) {
			feed := &eventFeed{ticks: ticks, retries: "retry: 1\n"}
			for range cuts {
				// Somewhat less than a hundredth on average, so that all the cuts come before the end.
				feed.cuts = append(feed.cuts, rand.IntN(whole.Len()*8/5/(cuts+1)))
			}
			server := newAPI(t, feed.ServeHTTP)
			feed.onCut = func(cut int) {
				if cut%(cuts/expiries) == 0 {
					server.expire()
				}
			}

			next := 1
			for event, err := range axle.Events[tick](t.Context(), server.client(plugins...), "/ticks") {
				require.NoError(t, err)
				require.Equal(t, next, event.Data.N, "none is lost, and none comes twice")
				require.Equal(t, strconv.Itoa(next), event.ID)
				require.Equal(t, map[bool]string{true: "even", false: "message"}[next%2 == 0], event.Type)
				next++
			}

			assert.Equal(t, ticks+1, next)
			assert.EqualValues(t, cuts, feed.cut.Load())
			assert.Equal(t, figures{expiries: expiries, refreshes: expiries, refused: expiries}, server.figures())
		})
	}
}

func TestEvents_AnInstalledRetryAppliesToEachConnection(t *testing.T) {
	var requests atomic.Int64
	server := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 1, 3: // the first connection fails, which ends the iteration without a retry
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "retry: 1\nid: 1\ndata: {\"n\":1}\n\n")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})

	var attempts []int
	client := server.client(retry.New(
		retry.WithBackoff(time.Millisecond, time.Millisecond),
		retry.OnRetry(func(_ context.Context, e retry.Event) { attempts = append(attempts, e.Attempt) }),
	))
	for event, err := range axle.Events[tick](t.Context(), client, "/ticks") {
		require.NoError(t, err)
		assert.Equal(t, 1, event.Data.N)
	}
	assert.EqualValues(t, 4, requests.Load())
	assert.Len(t, attempts, 2)
}

func TestPages_ATokenThatExpiresBetweenTwoPagesIsRefreshedAndNoPageComesTwice(t *testing.T) {
	var expire func()
	server := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if page < 9 {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, page+1))
		}
		fmt.Fprintf(w, "[%d]", page)
		if page%3 == 2 {
			expire()
		}
	})
	expire = server.expire

	next := 0
	for page, err := range axle.Pages[[]int](t.Context(), server.client(), "/items", axle.NextLink) {
		require.NoError(t, err)
		assert.Equal(t, []int{next}, page)
		next++
	}
	assert.Equal(t, 10, next)
	assert.Equal(t, figures{expiries: 3, refreshes: 3, refused: 3}, server.figures())
}

func TestPoll_ATokenThatExpiresWhileTheJobRunsIsRefreshed(t *testing.T) {
	polls := 0
	var expire func()
	server := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "/jobs/7")
			w.WriteHeader(http.StatusAccepted)
			expire()
			return
		}
		if polls++; polls < 5 {
			w.WriteHeader(http.StatusAccepted)
			expire()
			return
		}
		fmt.Fprint(w, `{"n":7}`)
	})
	expire = server.expire

	done, err := axle.Poll[tick](t.Context(), server.client(), "/jobs", nil, axle.PollInterval(1e6, 1e6),
		func(r *axle.Request) { r.SetMethod(http.MethodPost) })
	require.NoError(t, err)
	assert.Equal(t, tick{7}, done)
	assert.Equal(t, figures{expiries: 5, refreshes: 5, refused: 5}, server.figures())
}
