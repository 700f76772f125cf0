package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
)

const streamed = 64 << 20 // bytes

// zeros is a reader that only reads: it can neither seek nor tell its length, as a pipe.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

type onlyWriter struct{ io.Writer } // without ReadFrom, so that all copies use the buffer that they are given

// newStreamServer answers a GET with so many bytes as it is asked for, and a POST with the number of bytes that came.
func newStreamServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, 64<<10)
		if r.Method == http.MethodPost {
			n, err := io.CopyBuffer(onlyWriter{io.Discard}, r.Body, buffer)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
			_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
			return
		}
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		_, _ = io.CopyBuffer(onlyWriter{w}, &zeros{n}, buffer)
	}))
}

// A streamer sends n bytes and returns what the server counted, or gets n bytes and returns what it counted itself.
type streamer struct {
	name     string
	up, down func(ctx context.Context, n int64) (int64, error)
	close    func()
}

func streamers(base string) []streamer {
	axles := newAxle(base, pooled(), 0)
	return []streamer{
		plainStreamer("net/http", &http.Client{Transport: pooled()}, base),
		axleStreamer("axle", axles),
		plainStreamer("http.Client of axle", newAxle(base, pooled(), 0).HTTPClient(), base),
	}
}

func plainStreamer(name string, c *http.Client, base string) streamer {
	return streamer{
		name: name,
		up: func(ctx context.Context, n int64) (int64, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/", &zeros{n})
			if err != nil {
				return 0, err
			}
			resp, err := c.Do(req)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return 0, err
			}
			return strconv.ParseInt(string(text), 10, 64)
		},
		down: func(ctx context.Context, n int64) (int64, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/?n="+strconv.FormatInt(n, 10), http.NoBody)
			if err != nil {
				return 0, err
			}
			resp, err := c.Do(req)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			return drain(resp.Body)
		},
		close: c.CloseIdleConnections,
	}
}

func axleStreamer(name string, c *axle.Client) streamer {
	return streamer{
		name: name,
		up: func(ctx context.Context, n int64) (int64, error) {
			resp, err := c.Post(ctx, "/", &zeros{n})
			if err != nil {
				return 0, err
			}
			return strconv.ParseInt(resp.String(), 10, 64)
		},
		down: func(ctx context.Context, n int64) (sum int64, err error) {
			resp, err := c.R(ctx).SetStream(true).SetQueryParam("n", strconv.FormatInt(n, 10)).Get("/")
			if err != nil {
				return 0, err
			}
			body := resp.Stream()
			defer func() { err = errors.Join(err, body.Close()) }()
			return drain(body)
		},
		close: func() { c.HTTPClient().CloseIdleConnections() },
	}
}

func drain(r io.Reader) (int64, error) {
	return io.CopyBuffer(onlyWriter{io.Discard}, r, make([]byte, 64<<10))
}

// BenchmarkStream is 64 MB each way, over a socket of this machine. The server's buffers are counted in all rows.
func BenchmarkStream(b *testing.B) {
	server := newStreamServer()
	defer server.Close()
	ways := []struct {
		name string
		way  func(streamer) func(context.Context, int64) (int64, error)
	}{
		{"up", func(s streamer) func(context.Context, int64) (int64, error) { return s.up }},
		{"down", func(s streamer) func(context.Context, int64) (int64, error) { return s.down }},
	}
	for _, w := range ways {
		for _, s := range inOrder(streamers(server.URL)) {
			b.Run(w.name+"/"+s.name, func(b *testing.B) {
				b.SetBytes(streamed)
				b.ReportAllocs()
				runtime.GC()
				peak := watchHeap()
				for b.Loop() {
					if err := stream(w.way(s), streamed); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(peak()), "peak-B")
			})
			s.close()
		}
	}
}

func stream(way func(context.Context, int64) (int64, error), n int64) error {
	got, err := way(context.Background(), n)
	if err == nil && got != n {
		err = fmt.Errorf("%d of %d bytes", got, n)
	}
	return err
}

// watchHeap samples how far the heap grows, garbage included, until it is asked.
func watchHeap() (peak func() uint64) {
	heap := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before, highest := heap(), uint64(0)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if now := heap(); now > before {
					highest = max(highest, now-before)
				}
			}
		}
	})
	return func() uint64 {
		close(done)
		watching.Wait()
		return highest
	}
}

// An upload keeps up to axle.ReplayLimit bytes for a replay, however long it is.
func TestStream_MemoryIsFlat(t *testing.T) {
	server := newStreamServer()
	defer server.Close()
	for _, s := range streamers(server.URL) {
		t.Run(s.name, func(t *testing.T) {
			defer s.close()
			for name, way := range map[string]func(context.Context, int64) (int64, error){"up": s.up, "down": s.down} {
				bytes := func(n int64) int64 { return allocated(func() { assert.NoError(t, stream(way, n)) }) }
				bytes(1)
				assert.Less(t, bytes(streamed)-bytes(streamed/8), int64(1<<20), name)
			}
		})
	}
}

func allocated(fn func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}
