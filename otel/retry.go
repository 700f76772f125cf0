package axleotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle/interceptors/retry"
)

// OnRetry writes a retry into the span of its call, or that the call was given up and why. It is a
// function for [retry.OnRetry].
func (i *Interceptor) OnRetry(ctx context.Context, e retry.Event) {
	a := attemptOf(ctx)
	if a == skippedAttempt {
		return
	}

	attrs := append(make([]attribute.KeyValue, 0, 3), attribute.Int("axle.attempt", e.Attempt))
	switch {
	case e.Err != nil:
		attrs = append(attrs, semconv.ErrorTypeKey.String(errorType(e.Err)))
	case e.Response != nil:
		attrs = append(attrs, semconv.HTTPResponseStatusCode(e.Response.StatusCode))
	}

	// Without the interceptor in the client there is no call to take the attributes from.
	var measured []metric.AddOption
	if a != nil {
		measured = append(measured, a.measured)
	}

	name := "axle.retry"
	if e.Final == "" {
		attrs = append(attrs, attribute.Float64("axle.retry.wait", e.Wait.Seconds()))
		i.metrics.retries.Add(ctx, 1, measured...)
	} else {
		name = "axle.retry.given_up"
		reason := attribute.String("axle.retry.reason", string(e.Final))
		attrs = append(attrs, reason)
		i.metrics.retriesGivenUp.Add(ctx, 1, append(measured, metric.WithAttributes(reason))...)
	}
	trace.SpanFromContext(ctx).AddEvent(name, trace.WithAttributes(attrs...))
}
