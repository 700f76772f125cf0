package axleotel_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
	axleotel "github.com/axlehttp/axle/otel"
)

// Events of retries.

func newRetry(tel *telemetry) *retry.Interceptor {
	return retry.New(retry.WithBackoff(time.Microsecond, time.Millisecond), retry.OnRetry(tel.OnRetry))
}

func TestRetry_IsAnEventOfTheCallBeforeItsReplay(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, onceUnavailable(), newRetry(tel))
	_, err := client.Get(t.Context(), "/", axle.Operation("users.get"))
	require.NoError(t, err)

	span := tel.spans().calls().one(t)
	require.Equal(t, []string{"axle.attempt", "axle.retry", "axle.replay"}, events(span))
	event := attributes(span.Events[1].Attributes)
	assert.Equal(t, int64(1), event["axle.attempt"], "the attempt that failed")
	assert.Equal(t, "503", event["error.type"])
	assert.Contains(t, event, "axle.retry.wait")

	points := metric[metricdata.DataPoint[int64]](t, tel, "axle.retries")
	require.Len(t, points, 1)
	assert.Equal(t, int64(1), points[0].Value)
	assert.Equal(t, "users.get", attributes(points[0].Attributes.ToSlice())["axle.operation"])
	assert.Zero(t, tel.count(t, "axle.retries.given_up"))
}

func TestRetry_ACallThatIsGivenUpHasTheReason(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}, newRetry(tel))
	_, err := client.Get(t.Context(), "/")
	require.Error(t, err)

	span := tel.spans().calls().one(t)
	last := span.Events[len(span.Events)-1]
	assert.Equal(t, "axle.retry.given_up", last.Name)
	assert.Equal(t, string(retry.NoAttemptsLeft), attributes(last.Attributes)["axle.retry.reason"])
	assert.Equal(t, int64(2), tel.count(t, "axle.retries"))
	points := metric[metricdata.DataPoint[int64]](t, tel, "axle.retries.given_up")
	require.Len(t, points, 1)
	assert.Equal(t, string(retry.NoAttemptsLeft), attributes(points[0].Attributes.ToSlice())["axle.retry.reason"])
}

func TestRetry_OfAFulfilledResponseHasItsStatus(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok, retry.New(
		retry.WithBackoff(time.Microsecond, time.Millisecond),
		retry.WithCondition(func(resp *axle.Response, _ *axle.Error) bool { return resp.Request.Attempt() == 1 }),
		retry.OnRetry(tel.OnRetry),
	))
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	event := attributes(tel.spans().calls().one(t).Events[1].Attributes)
	assert.Equal(t, int64(200), event["http.response.status_code"])
}

func TestRetry_OfASkippedCallIsNoEventAndNotCounted(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, onceUnavailable(), newRetry(tel))
	ctx, caller := tel.tracer.Start(t.Context(), "caller")
	_, err := client.Get(ctx, "/", axleotel.Skip)
	require.NoError(t, err)
	caller.End()
	assert.Empty(t, tel.spans().one(t).Events)
	assert.Zero(t, tel.count(t, "axle.retries"))
}

func TestRetry_WithoutTheInterceptorInTheClientIsCounted(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, onceUnavailable(), newRetry(tel))
	client.Interceptors.Request.Clear()
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, int64(1), tel.count(t, "axle.retries"))
}
