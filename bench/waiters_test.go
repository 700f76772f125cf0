package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// crowd is a number of axle's calls that wait for one refresh, in memory.
type crowd struct {
	refreshes, failures int64
	heap, stack         float64 // bytes per waiter, beyond those of a goroutine that waits for a channel
	spent               time.Duration
}

// A waiter is a way to wait for the refresh.
type waiter struct {
	name  string
	most  float64 // bytes of heap: a pin, a little above what it is
	held  bool    // the refresh runs before the calls start
	plain bool    // not axle: each call holds its 401 and waits for a channel, which is the least that it can keep
}

var waiters = []waiter{
	{name: "axle, calls with their 401s", most: 3200},
	{name: "axle, calls held before they are sent", most: 2048, held: true},
	{name: "net/http, calls with their 401s, on a channel", most: 1500, plain: true},
}

// gather has calls wait for a refresh.
func gather(calls int, w waiter) crowd {
	var refreshes, failures atomic.Int64
	refreshing, release := make(chan struct{}), make(chan struct{})
	users := store.New[struct{}](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		if refreshes.Add(1) == 1 {
			close(refreshing)
		}
		<-release
		return &oauth2.Token{AccessToken: "fresh", RefreshToken: "next"}, nil
	})
	users.Login(struct{}{}, &oauth2.Token{AccessToken: deadToken, RefreshToken: firstRefresh})
	dead := gate{open: make(chan struct{})}
	transport := transportFunc(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "Bearer "+deadToken {
			dead.wait(r.Context(), calls)
			return &http.Response{
				StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: r,
			}, nil
		}
		return memory{}.RoundTrip(r)
	})
	call := axlePeer("axle", newAxle(memoryURL, transport, 0).Use(auth.New(users))).get
	if w.plain {
		call = plainWaiter(&http.Client{Transport: transport}, users, release)
	}

	ctx := context.Background()
	var ready, done, refresh sync.WaitGroup
	start := make(chan struct{})
	ready.Add(calls)
	for range calls {
		done.Go(func() {
			ready.Done()
			<-start
			if err := check(call(ctx)); err != nil {
				failures.Add(1)
			}
		})
	}
	ready.Wait()
	before := settled()
	if w.held || w.plain {
		refresh.Go(func() { _, _ = users.RefreshToken(ctx) })
		<-refreshing
	}
	close(start)
	<-refreshing
	after := settled()
	began := time.Now()
	close(release)
	done.Wait()
	spent := time.Since(began)
	refresh.Wait()
	per := func(before, after uint64) float64 { return float64(int64(after)-int64(before)) / float64(calls) }
	return crowd{
		refreshes: refreshes.Load(), failures: failures.Load(), spent: spent,
		heap: per(before.HeapAlloc, after.HeapAlloc), stack: per(before.StackInuse, after.StackInuse),
	}
}

// plainWaiter is the 401, the wait and the second try, written out.
func plainWaiter(c *http.Client, users *store.UserStore[struct{}], release chan struct{}) func(context.Context) (item, error) {
	send := func(ctx context.Context, token string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, memoryURL+path, http.NoBody)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return c.Do(req)
	}
	return func(ctx context.Context) (item, error) {
		refused, err := send(ctx, deadToken)
		if err != nil {
			return item{}, err
		}
		<-release
		refused.Body.Close()
		token, err := users.TokenSource(ctx).Token() // which waits for the refresh no longer than it runs
		if err != nil {
			return item{}, err
		}
		resp, err := send(ctx, token.AccessToken)
		if err != nil {
			return item{}, err
		}
		return decode(resp)
	}
}

// settled is the memory in use once nothing moves any more.
func settled() runtime.MemStats {
	var last, now runtime.MemStats
	for range 100 {
		time.Sleep(20 * time.Millisecond)
		runtime.GC()
		runtime.ReadMemStats(&now)
		if now.Mallocs-last.Mallocs < 100 && now.HeapAlloc < last.HeapAlloc+4096 {
			break
		}
		last = now
	}
	return now
}

// BenchmarkWaiters is ten thousand calls that wait for one refresh.
func BenchmarkWaiters(b *testing.B) {
	for _, waiter := range inOrder(waiters) {
		b.Run(waiter.name, func(b *testing.B) {
			var heap, stack, refreshes, failures, spent float64
			for range b.N {
				w := gather(waiting, waiter)
				heap += w.heap
				stack += w.stack
				refreshes += float64(w.refreshes)
				failures += float64(w.failures)
				spent += float64(w.spent.Nanoseconds())
			}
			n := float64(b.N)
			b.ReportMetric(heap/n, "heap-B")
			b.ReportMetric(stack/n, "stack-B")
			b.ReportMetric(refreshes/n, "refreshes")
			b.ReportMetric(failures/n, "failures")
			b.ReportMetric(spent/n, "wall-ns")
		})
	}
}

const waiting = 10_000

func TestWaiters_TenThousandShareOneRefresh(t *testing.T) {
	calls := waiting
	if raceEnabled {
		calls = 5000 // the race detector follows no more than 8128 goroutines
	}
	for _, waiter := range waiters {
		w := gather(calls, waiter)
		assert.EqualValues(t, 1, w.refreshes, waiter.name)
		assert.Zero(t, w.failures, waiter.name)
		t.Logf("%s: %.0f bytes of heap and %.0f of stack per waiter", waiter.name, w.heap, w.stack)
		if !raceEnabled {
			assert.Less(t, w.heap, waiter.most, waiter.name)
		}
	}
}
