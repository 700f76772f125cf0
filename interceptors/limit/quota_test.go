package limit_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/internal/axletest"
)

// A server allows a hundred requests in each ten seconds, and tells how many are left. Ten callers
// call as fast as they can for five minutes. A response takes a tenth of a second.
func TestQuota_AClientThatHeedsTheServersLimitIsHardlyRefused(t *testing.T) {
	const quota, window = 100, 10 * time.Second
	run := func(opts ...limit.Option) (accepted, refused int) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var mu sync.Mutex
			used := map[int]int{} // by the number of the window
			client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				this := int(time.Since(start) / window)
				used[this]++
				left := quota - used[this]
				if left < 0 {
					refused++
				} else {
					accepted++
				}
				reset := window - time.Since(start)%window
				mu.Unlock()

				time.Sleep(100 * time.Millisecond)
				resp := axletest.Reply(r, http.StatusOK, "")
				if left < 0 {
					resp.StatusCode = http.StatusTooManyRequests
				}
				resp.Header.Set("RateLimit-Remaining", strconv.Itoa(max(left, 0)))
				resp.Header.Set("RateLimit-Reset", strconv.FormatFloat(reset.Seconds(), 'f', 3, 64))
				return resp, nil
			})
			if opts != nil {
				client.Use(limit.New(opts...))
			}

			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					for time.Since(start) < 5*time.Minute {
						_, _ = client.Get(t.Context(), "/")
					}
				})
			}
			wg.Wait()
		})
		return accepted, refused
	}

	accepted, refused := run()
	t.Logf("without limit: %d accepted, %d refused", accepted, refused)
	assert.Greater(t, refused, 20_000)

	accepted, refused = run(limit.WithMaxWait(time.Minute))
	t.Logf("with limit: %d accepted, %d refused", accepted, refused)
	assert.LessOrEqual(t, refused, 10*30, "at most those that were on their way when the limit was reached")
	assert.GreaterOrEqual(t, accepted, 29*quota)
}
