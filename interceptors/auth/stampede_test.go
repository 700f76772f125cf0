package auth_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/axletest"
)

// The stampedes are over real sockets: the counts are asserted, the times are not.

func TestStampede_ManyCallsOnADeadTokenRefreshOnce(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			w := loopback(t, k)
			answered := make(chan struct{}) // closed by the first 200, which comes after the refresh
			var once sync.Once
			w.api.leaving = func(r *http.Request, status int) {
				switch {
				case status == http.StatusOK:
					once.Do(func() { close(answered) })
				case strings.HasSuffix(r.URL.Path, "7"):
					<-answered // a fault: some 401s are late
				}
			}
			w.api.expire()
			n := 500
			if axletest.IsFetched() {
				n = 100 // the relay takes some milliseconds for each request
			}
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					resp, err := w.client.R(context.Background()).SetBody("payload").Post("/data/" + string(rune('0'+i%10)))
					if errs[i] = err; err == nil && resp.String() != "payload" {
						t.Errorf("call %d got %q", i, resp.String())
					}
				})
			}
			wg.Wait()
			for _, err := range errs {
				assert.NoError(t, err)
			}
			calls, _, refreshes, reuses := w.api.count()
			assert.Equal(t, n, calls)
			assert.Equal(t, 1, refreshes)
			assert.Zero(t, reuses)
			assert.Zero(t, w.logouts.Load())
		})
	}
}

func TestP1_EveryConcurrent401IsAnswered(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			w := loopback(t, k)
			for range 30 { // one expiry after another
				w.api.expire()
				var calls []*future.Future[*axle.Response]
				for range 20 {
					calls = append(calls, w.get(context.Background(), "/data"))
				}
				for _, call := range calls {
					resp, err := result(call)
					requireOK(t, resp, err)
				}
			}
			_, _, refreshes, reuses := w.api.count()
			assert.Equal(t, 30, refreshes)
			assert.Zero(t, reuses)
		})
	}
}
