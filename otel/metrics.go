package axleotel

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

// instruments record the metrics.
type instruments struct {
	replays        metric.Int64Counter
	retries        metric.Int64Counter
	retriesGivenUp metric.Int64Counter

	refreshDuration     metric.Float64Histogram
	refreshWaitDuration metric.Float64Histogram
	refreshWaiters      metric.Int64UpDownCounter
}

// durations are the bounds of the histograms, in seconds. They are those of the conventions for
// http.client.request.duration.
var durations = metric.WithExplicitBucketBoundaries(
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

func newInstruments(m metric.Meter) (i instruments) {
	i.replays = made(m.Int64Counter("axle.replays",
		metric.WithUnit("{replay}"), metric.WithDescription("Replays of calls.")))
	i.retries = made(m.Int64Counter("axle.retries",
		metric.WithUnit("{retry}"), metric.WithDescription("Retries of calls.")))
	i.retriesGivenUp = made(m.Int64Counter("axle.retries.given_up",
		metric.WithUnit("{call}"), metric.WithDescription("Calls that were not retried any more.")))

	i.refreshDuration = made(m.Float64Histogram("axle.refresh.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of the refreshes of sessions."), durations))
	i.refreshWaitDuration = made(m.Float64Histogram("axle.refresh.wait.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of the waits for a refresh."), durations))
	i.refreshWaiters = made(m.Int64UpDownCounter("axle.refresh.waiters",
		metric.WithUnit("{call}"), metric.WithDescription("Callers that wait for a refresh.")))
	return i
}

// made returns an instrument. A meter that refuses to make one returns one that records nothing, and
// the refusal is reported as OpenTelemetry reports its own errors.
func made[T any](instrument T, err error) T {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}
