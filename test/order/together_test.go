package order_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/interceptors/retry"
)

// The recommended order, with every interceptor of docs/order.md.
func TestOrder_AllTogether(t *testing.T) {
	tooMany := answer{status: http.StatusTooManyRequests, body: `{"error":"slow down"}`}
	c, b := start(t, unavailable, expired, tooMany, ok)
	session, refreshes := newAuth()
	var h records
	var log steps
	c.Use(
		sign(),
		logging.New(logging.WithLogger(h.logger())),
		session,
		limit.New(limit.WithRate(6000, time.Second, 10)),
		breaker.New(),
		retry.New(soon, retry.WithAttempts(4), retry.WithIdempotencyKey("Idempotency-Key")),
		cache(),
		unwrap(),
		log.witness("the last"),
	)
	assert.Equal(t, "request chain:  the last -> cache -> retry -> breaker -> limit -> auth -> logging -> signature\n"+
		"response chain: logging -> auth -> limit -> breaker -> retry -> cache -> unwrap -> the last", c.String())

	got, err := axle.Post[string](t.Context(), c, "/", "x")
	require.NoError(t, err)
	assert.Equal(t, "hello", got)

	assert.Equal(t, "503 401 429 200", h.String(), "a record of each attempt")
	assert.Equal(t, []string{"Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"}, b.arrived("Authorization"))
	assert.EqualValues(t, 1, refreshes.Load())
	keys := b.arrived("Idempotency-Key")
	for i, header := range b.requests {
		assert.Equal(t, keys[0], keys[i])
		assert.Equal(t, signatureOf(header), header.Get("X-Signature"))
	}
	assert.Equal(t, []string{"> the last", "> the last", "> the last", "> the last", "< the last 200"}, log.taken())

	got, err = axle.Post[string](t.Context(), c, "/", "x")
	require.NoError(t, err)
	assert.Equal(t, "hello", got)
	assert.Len(t, b.requests, 4, "the cache answers the second call")
}
