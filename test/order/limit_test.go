package order_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

// arrival is a request as a fake network got it: when, since the start, and with which token.
type arrival struct {
	at    time.Duration
	path  string
	token string
}

// arrivals is a fake network in which time is that of synctest. It answers the nth request with the
// nth status, and further ones with the last.
type arrivals struct {
	statuses   []int
	retryAfter string // of a refused status

	start time.Time
	mu    sync.Mutex
	list  []arrival
}

// startFake returns a client over a fake network that answers with these statuses in turn.
func startFake(statuses ...int) (*axle.Client, *arrivals) {
	a := &arrivals{statuses: statuses, start: time.Now()}
	c, _ := axletest.NewFakeClient(a.answer)
	return c, a
}

func (a *arrivals) answer(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, arrival{time.Since(a.start), r.URL.Path, r.Header.Get("Authorization")})
	status := a.statuses[min(len(a.list), len(a.statuses))-1]
	resp := axletest.Reply(r, status, "{}")
	if status >= 400 && a.retryAfter != "" {
		resp.Header.Set("Retry-After", a.retryAfter)
	}
	return resp, nil
}

// times returns when the requests arrived. A limiter computes in fractions of a second, and may be a
// nanosecond early.
func (a *arrivals) times() (list []time.Duration) {
	for _, one := range a.list {
		list = append(list, one.at.Round(time.Microsecond))
	}
	return list
}

func TestOrder_LimitIsFartherThanAuthSoThatATokenIsAttachedAfterTheWait(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, a := startFake(http.StatusOK)
			session, _ := newSession()
			c.Use(inOrder(nearer, auth.New(session), limit.New(limit.WithRate(1, time.Minute, 1))))

			_, err := c.Get(t.Context(), "/first")
			require.NoError(t, err)
			time.AfterFunc(30*time.Second, func() {
				_, err := session.RefreshToken(t.Context())
				assert.NoError(t, err)
			})
			_, err = c.Get(t.Context(), "/second")
			require.NoError(t, err)

			token := "Bearer t2"
			if nearer {
				token = "Bearer t1"
			}
			assert.Equal(t, []arrival{{0, "/first", "Bearer t1"}, {time.Minute, "/second", token}}, a.list)
		})
	}
}

func TestOrder_EachRetryWaitsItsTurnWithLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := startFake(http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusOK)
		c.Use(limit.New(limit.WithRate(1, 10*time.Second, 1)), retry.New(soon))

		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, []time.Duration{0, 10 * time.Second, 20 * time.Second}, a.times())
	})
}

func TestOrder_LimitIsNearerThanRetrySoThatOtherCallsHoldBackWhileOneRetries(t *testing.T) {
	for _, farther := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, a := startFake(http.StatusTooManyRequests, http.StatusOK)
			a.retryAfter = "30"
			c.Use(inOrder(farther, limit.New(), retry.New()))

			var calls sync.WaitGroup
			calls.Go(func() {
				_, err := c.Get(t.Context(), "/refused")
				assert.NoError(t, err)
			})
			time.Sleep(time.Second)
			_, err := c.Get(t.Context(), "/other")
			require.NoError(t, err)
			calls.Wait()

			other := 30 * time.Second
			if farther {
				other = time.Second
			}
			for _, one := range a.list {
				if one.path == "/other" {
					assert.Equal(t, other, one.at)
				}
			}
		})
	}
}

func TestOrder_AHitOfACacheTakesNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := startFake(http.StatusOK)
		c.Use(limit.New(limit.WithRate(1, time.Hour, 1)), cache())

		for range 3 {
			_, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
		}
		assert.Equal(t, []time.Duration{0}, a.times())
		assert.Zero(t, time.Since(a.start))
	})
}
