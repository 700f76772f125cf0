package axleotel_test

import (
	"net/http"
	"testing"

	otelmetric "go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/axlehttp/axle"
	axleotel "github.com/axlehttp/axle/otel"
)

// BenchmarkCall measures a GET in memory without telemetry, with providers that record nothing, and
// with the SDK's.
func BenchmarkCall(b *testing.B) {
	base := roundTrip(func(r *http.Request) (*http.Response, error) { return reply(r, http.StatusOK, ""), nil })
	client := func() *axle.Client { return axle.New().SetBaseURL("http://api.test").SetCookieJar(nil) }
	traced := func(t trace.TracerProvider, m otelmetric.MeterProvider) *axle.Client {
		tel := axleotel.New(axleotel.WithTracerProvider(t), axleotel.WithMeterProvider(m))
		return client().SetTransport(tel.Transport(base)).Use(tel)
	}

	for _, x := range []struct {
		name   string
		client *axle.Client
	}{
		{"without", client().SetTransport(base)},
		{"noop", traced(nooptrace.NewTracerProvider(), noopmetric.NewMeterProvider())},
		{"SDK", traced(sdktrace.NewTracerProvider(), sdkmetric.NewMeterProvider())},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.client.Get(b.Context(), "/users/7"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
