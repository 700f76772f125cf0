package axleotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
)

// Refresh implements [auth.Observer]. It begins the span of a refresh, which is the root of a trace
// of its own, and links it to the span of the call that the refresh began for.
func (i *Interceptor) Refresh(ctx context.Context) (own context.Context, done func(err error)) {
	began := time.Now()
	opts := []trace.SpanStartOption{trace.WithNewRoot()}
	if trace.SpanContextFromContext(ctx).IsValid() {
		opts = append(opts, trace.WithLinks(trace.LinkFromContext(ctx)))
	}
	own, span := i.tracer.Start(ctx, "refresh", opts...)

	// The requests of the refresh are none of the call that it began for.
	own = context.WithValue(own, attemptKey{}, (*attempt)(nil))

	return own, func(err error) {
		i.metrics.refreshDuration.Record(own, time.Since(began).Seconds(),
			metric.WithAttributes(errorAttributes(err)...))
		if err != nil {
			span.SetAttributes(errorAttributes(err)...)
			span.SetStatus(codes.Error, shown(&axle.Error{Err: err}, "cause"))
		}
		span.End()
	}
}

// Wait implements [auth.Observer]. It writes the wait into the span of the call that waits, and
// links that span to the span of the refresh.
func (i *Interceptor) Wait(ctx context.Context) (done func(refresh context.Context, err error)) {
	if attemptOf(ctx) == skippedAttempt {
		return func(context.Context, error) {}
	}
	began, span := time.Now(), trace.SpanFromContext(ctx)
	span.AddEvent("axle.refresh.wait")
	i.metrics.refreshWaiters.Add(ctx, 1)

	return func(refresh context.Context, err error) {
		waited := time.Since(began).Seconds()
		i.metrics.refreshWaiters.Add(ctx, -1)
		i.metrics.refreshWaitDuration.Record(ctx, waited, metric.WithAttributes(errorAttributes(err)...))

		attrs := append(errorAttributes(err), attribute.Float64("axle.refresh.wait.duration", waited))
		span.AddEvent("axle.refresh.waited", trace.WithAttributes(attrs...))
		if refresh != nil {
			span.AddLink(trace.LinkFromContext(refresh))
		}
	}
}

// errorAttributes returns the attribute error.type of an error, and nothing for nil.
func errorAttributes(err error) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(errorType(err))}
}
