package axleotel_test

import (
	"context"
	"net/http"

	otelmetric "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/retry"
	axleotel "github.com/axlehttp/axle/otel"
)

// The names and signatures that are promised. If this file compiles they are kept.
var (
	_ func(...axleotel.Option) *axleotel.Interceptor                   = axleotel.New
	_ func(trace.TracerProvider) axleotel.Option                       = axleotel.WithTracerProvider
	_ func(otelmetric.MeterProvider) axleotel.Option                   = axleotel.WithMeterProvider
	_ func(propagation.TextMapPropagator) axleotel.Option              = axleotel.WithPropagators
	_ func(*axle.Request)                                              = axleotel.Skip
	_ axle.Plugin                                                      = (*axleotel.Interceptor)(nil)
	_ auth.Observer                                                    = (*axleotel.Interceptor)(nil)
	_ func(*axleotel.Interceptor, context.Context, retry.Event)        = (*axleotel.Interceptor).OnRetry
	_ func(*axleotel.Interceptor, http.RoundTripper) http.RoundTripper = (*axleotel.Interceptor).Transport
)
