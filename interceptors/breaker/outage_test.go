package breaker_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/internal/axletest"
)

// Twenty callers call once a second each, for twenty minutes. In the middle, the server is down
// for ten minutes: it answers each request after a tenth of a second with a 503.
func TestOutage_TheServerGetsOnlyProbesAndEveryCallSucceedsSoonAfterIt(t *testing.T) {
	sent, after := outage(t)
	t.Logf("without the breaker: %d requests during the outage, and failed calls for %v after it", sent, after)
	assert.Greater(t, sent, 10_000)

	sent, after = outage(t, breaker.New())
	t.Logf("with the breaker: %d requests during the outage, and failed calls for %v after it", sent, after)
	assert.LessOrEqual(t, sent, 40)
	assert.Less(t, after, 31*time.Second)
}

// outage returns how many requests the server got while it was down, and for how long calls still
// failed when it was up again.
func outage(t *testing.T, plugins ...axle.Plugin) (sent int, after time.Duration) {
	const callers, begin, end = 20, 5 * time.Minute, 15 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
			status := http.StatusOK
			if now := time.Since(start); now >= begin && now < end {
				status = http.StatusServiceUnavailable
				mu.Lock()
				sent++
				mu.Unlock()
			}
			time.Sleep(100 * time.Millisecond)
			return axletest.Reply(r, status, ""), nil
		})
		client.Use(plugins...)

		var wg sync.WaitGroup
		for n := range callers {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * time.Second / callers)
				for time.Since(start) < begin+end {
					if _, err := client.Get(t.Context(), "/"); err != nil {
						mu.Lock()
						after = max(after, time.Since(start)-end)
						mu.Unlock()
					}
					time.Sleep(time.Second)
				}
			})
		}
		wg.Wait()
	})
	return sent, after
}
