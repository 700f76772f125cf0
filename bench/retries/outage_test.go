package retries

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The scenario: each client makes a call every five seconds, whether or not the one before has
// ended. The server works, fails for ten minutes, and works again.
const (
	period = 5 * time.Second
	warmUp = 30 * time.Second
	outage = 10 * time.Minute
	after  = time.Minute
)

// failing is how the server fails.
type failing string

const (
	byReset failing = "resets"
	by503   failing = "503s"
)

// server is one server and the network before it.
type server struct {
	fails failing
	start time.Time

	mu      sync.Mutex
	seconds []int // the requests in each second
}

var errReset = errors.New("read: connection reset by peer")

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	at := time.Since(s.start)
	s.mu.Lock()
	s.seconds[int(at/time.Second)]++
	s.mu.Unlock()

	status := http.StatusOK
	if isDown(at) {
		if s.fails == byReset {
			return nil, errReset
		}
		status = http.StatusServiceUnavailable
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r,
	}, nil
}

func isDown(at time.Duration) bool { return at >= warmUp && at < warmUp+outage }

func (s *server) requests(from, to time.Duration) (sum int) {
	for _, n := range s.seconds[from/time.Second : to/time.Second] {
		sum += n
	}
	return sum
}

// outageResult is what a peer did in the scenario.
type outageResult struct {
	calls    int // that began while the server was down
	requests int // that reached the server while it was down

	// waiting is the number of calls that had begun before the server's return and ended after it.
	// lastEnd is when the last of them ended, since the return. failedAfter counts the failures of
	// calls that began after the return.
	waiting     int
	lastEnd     time.Duration
	failedAfter int

	// peak is the highest number of requests in one second after the return, in proportion to the
	// number that the clients make without retries.
	peak float64
}

func (r outageResult) load() float64 { return float64(r.requests) / float64(r.calls) }

// runOutage runs the scenario in a bubble of its own.
func runOutage(t *testing.T, p peer, fails failing, clients int) (result outageResult) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const end = warmUp + outage + after
		s := &server{fails: fails, start: time.Now(), seconds: make([]int, (end+10*time.Minute)/time.Second)}

		var mu sync.Mutex
		var wg sync.WaitGroup
		call := func(do send) {
			began := time.Since(s.start)
			err := do(t.Context(), http.MethodGet, "/", nil)
			ended := time.Since(s.start)

			mu.Lock()
			defer mu.Unlock()
			const back = warmUp + outage
			switch {
			case isDown(began):
				result.calls++
				if ended >= back {
					result.waiting++
					result.lastEnd = max(result.lastEnd, ended-back)
				}
			case began >= back && err != nil:
				result.failedAfter++
			}
		}
		for i := range clients {
			do := p.new(s)
			wg.Go(func() {
				time.Sleep(period * time.Duration(i) / time.Duration(clients))
				for time.Since(s.start) < end {
					wg.Go(func() { call(do) })
					time.Sleep(period)
				}
			})
		}
		wg.Wait()

		result.requests = s.requests(warmUp, warmUp+outage)
		highest := 0
		for at := warmUp + outage; at < end; at += time.Second {
			highest = max(highest, s.requests(at, at+time.Second))
		}
		result.peak = float64(highest) / (float64(clients) / period.Seconds())
	})
	return result
}
