// Package axleotel traces and measures the calls of an axle client by OpenTelemetry.
//
//	telemetry := axleotel.New()
//	client := axle.New().SetTransport(telemetry.Transport(axle.DefaultTransport()))
//	session := store.New[User](
//		store.Endpoint(client, "/auth/refresh-token"), store.WithObserver(telemetry))
//
//	client.Use(
//		auth.New(session),
//		retry.New(retry.OnRetry(telemetry.OnRetry)),
//		telemetry, // the last, so that its span is there when the others run
//	)
//
// A trace of a call then has three kinds of spans:
//
//   - One span for the call, of kind INTERNAL. It has an event for each attempt, each replay, each
//     retry and each wait for a refresh.
//   - Below it, one span of kind CLIENT for each request that goes out, by otelhttp. So each attempt
//     and each redirect has one.
//   - One span for each refresh. It is the root of a trace of its own, because it runs for many
//     calls and may outlive them. It links to the call that it began for, and every call that waited
//     for it links to it.
//
// The spans of calls and requests have the attributes of the semantic conventions for HTTP clients.
// The kind of a call's span is INTERNAL because the conventions want one CLIENT span for each request
// that goes out, and because many backends count the CLIENT spans.
//
// No span has a header, a body, or a secret of a URL. URLs and errors are written as axle prints
// them.
//
// # Metrics
//
//	axle.replays                replays of calls, by whatever interceptor
//	axle.retries                retries, of those replays that interceptors/retry asked for
//	axle.retries.given_up       calls that interceptors/retry gave up, with the reason
//	axle.refresh.duration       each refresh of a session, in seconds
//	axle.refresh.wait.duration  each wait of a caller for a refresh, in seconds
//	axle.refresh.waiters        callers that wait now
//
// otelhttp adds http.client.request.duration and http.client.request.body.size, for each request
// that goes out.
//
// The files, in the order to read them: call.go has the span of a call, transport.go those of its
// requests, refresh.go those of the refreshes, retry.go the events of retries, and metrics.go the
// instruments.
package axleotel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
)

// scope is the name under which the spans and the metrics are reported.
const scope = "github.com/axlehttp/axle/otel"

// Interceptor is an [axle.Plugin] for the spans of calls, and an [auth.Observer] for those of
// refreshes. One Interceptor may be installed in many clients and may observe many sessions. It is
// safe for concurrent use. Make one with [New].
type Interceptor struct {
	tracers     trace.TracerProvider
	meters      metric.MeterProvider
	propagators propagation.TextMapPropagator

	tracer  trace.Tracer
	metrics instruments
	calls   *axle.Key[*call]
}

var (
	_ axle.Plugin   = (*Interceptor)(nil)
	_ auth.Observer = (*Interceptor)(nil)
)

// Option configures [New]. A nil Option does nothing.
type Option func(*Interceptor)

// WithTracerProvider sets the provider of the spans. The default, also for nil, is the global
// provider.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(i *Interceptor) { i.tracers = p }
}

// WithMeterProvider sets the provider of the metrics. The default, also for nil, is the global
// provider.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(i *Interceptor) { i.meters = p }
}

// WithPropagators sets what [Interceptor.Transport] writes into the headers of each request, so that
// the server's spans belong to the same trace. The default, also for nil, are the global ones, which
// write nothing until the program sets them.
func WithPropagators(p propagation.TextMapPropagator) Option {
	return func(i *Interceptor) { i.propagators = p }
}

// New returns an interceptor that traces and measures every call.
func New(opts ...Option) *Interceptor {
	i := &Interceptor{calls: axle.NewKey[*call]("otel")}
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}

	if i.tracers == nil {
		i.tracers = otel.GetTracerProvider()
	}
	if i.meters == nil {
		i.meters = otel.GetMeterProvider()
	}
	if i.propagators == nil {
		i.propagators = otel.GetTextMapPropagator()
	}
	i.tracer = i.tracers.Tracer(scope)
	i.metrics = newInstruments(i.meters.Meter(scope))
	return i
}

// Skip is an edit that keeps a call out of the traces and the metrics of this package: its own span,
// the spans of its requests, and those of the calls that its handlers make under its context. A
// refresh that the call begins has a span all the same.
//
// Skip marks the request's context. A SetContext after it takes the mark away.
func Skip(r *axle.Request) {
	r.SetContext(context.WithValue(r.Context(), attemptKey{}, skippedAttempt))
}

// Install implements [axle.Plugin]. It adds a handler named "otel" to the request chain of c.
//
// Install it after the other interceptors. Its handler is then the first of the request chain, and
// the others run under the span of the call. In a client with [axle.FIFO], install it first.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	id := c.Interceptors.Request.Use(i.begin, i.beginRejected, axle.Named("otel"))
	return func() { c.Interceptors.Request.Eject(id) }
}

func (i *Interceptor) begin(ctx context.Context, r *axle.Request) (*axle.Request, error) {
	i.beginAttempt(ctx, r)
	return r, nil
}

// beginRejected is for a request that an earlier request handler has rejected: the call has a span
// all the same.
func (i *Interceptor) beginRejected(ctx context.Context, err *axle.Error) (*axle.Request, error) {
	i.beginAttempt(ctx, err.Request)
	return nil, err
}
