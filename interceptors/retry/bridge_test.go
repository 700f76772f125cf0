package retry_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestBridge_RetriesBehindAnHTTPClient(t *testing.T) {
	var got []string
	c := axletest.NewLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if got = append(got, r.Method+" "+string(body)); len(got)%3 != 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "done")
	})
	c.Use(retry.New(retry.WithBackoff(0, 0), retry.WithIdempotencyKey("Idempotency-Key")))

	bodies := map[string]io.Reader{
		"GET": nil, "PUT": strings.NewReader("a"), "POST": bytes.NewReader([]byte("b")), "PATCH": axletest.Opaque("c"),
	}
	for method, body := range bodies {
		got = nil
		resp, err := c.HTTPClient().Do(axletest.NewRequest(t, method, c.BaseURL(), body))
		require.NoError(t, err)
		read, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "done", string(read))
		require.Len(t, got, 3, method)
		assert.Equal(t, got[0], got[2])
	}
}

func TestBridge_TheLastFailureIsAResponseWithItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(500, 502, 503)
		resp, err := newClient(n).HTTPClient().Do(axletest.NewRequest(t, http.MethodGet, "http://axle.test/", nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, 503, resp.StatusCode)
		assert.Equal(t, "Service Unavailable", string(body))
		assert.Equal(t, 3, n.attempts())
	})
}

func TestBridge_ARetryAfterThatIsTooLongLeavesTheResponseUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(429)
		n.header = http.Header{"Retry-After": {"3600"}}
		resp, err := newClient(n).HTTPClient().Do(axletest.NewRequest(t, http.MethodGet, "http://axle.test/", nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "Too Many Requests", string(body))
	})
}

func TestBridge_TheTimeLimitOfTheHTTPClientBoundsTheWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		n.header = http.Header{"Retry-After": {"4"}}
		above := newClient(n, retry.WithAttempts(9)).HTTPClient()
		above.Timeout = 10 * time.Second

		start := time.Now()
		resp, err := above.Do(axletest.NewRequest(t, http.MethodGet, "http://axle.test/", nil))
		require.NoError(t, err)
		assert.NoError(t, resp.Body.Close())
		assert.Equal(t, 3, n.attempts())
		assert.Equal(t, 8*time.Second, time.Since(start), "a wait that would pass the limit is not begun")
	})
}

func TestBridge_AWaitThatEndsWithTheContextIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		c := newClient(answering(503), retry.WithBackoff(time.Hour, time.Hour))
		_, err := c.HTTPClient().Do( //nolint:bodyclose // there is none
			axletest.NewRequest(t, http.MethodGet, "http://axle.test/", nil).WithContext(ctx))
		assert.ErrorIs(t, err, context.Canceled)
	})
}
