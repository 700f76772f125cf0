package axleotel_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
	axleotel "github.com/axlehttp/axle/otel"
)

// telemetry is an interceptor whose spans and metrics stay in memory.
type telemetry struct {
	*axleotel.Interceptor
	exporter *tracetest.InMemoryExporter
	tracer   trace.Tracer // for spans of the tests' own
	reader   *sdkmetric.ManualReader
}

func newTelemetry(t *testing.T) *telemetry {
	t.Helper()
	exporter, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() {
		_ = tracers.Shutdown(t.Context())
		_ = meters.Shutdown(t.Context())
	})

	return &telemetry{
		Interceptor: axleotel.New(
			axleotel.WithTracerProvider(tracers),
			axleotel.WithMeterProvider(meters),
			axleotel.WithPropagators(propagation.TraceContext{}),
			nil,
		),
		exporter: exporter, tracer: tracers.Tracer("test"), reader: reader,
	}
}

// client returns a client of a server over real sockets, with the telemetry installed after the
// other plugins.
func (tel *telemetry) client(t *testing.T, serve http.HandlerFunc, plugins ...axle.Plugin) *axle.Client {
	t.Helper()
	server := httptest.NewServer(serve)
	client := axle.New().SetBaseURL(server.URL).SetTransport(tel.Transport(axle.DefaultTransport()))
	t.Cleanup(func() {
		client.HTTPClient().CloseIdleConnections()
		server.Close()
	})
	return client.Use(plugins...).Use(tel)
}

// spans are the spans that have ended so far, in the order in which they started.
func (tel *telemetry) spans() spans {
	list := spans(tel.exporter.GetSpans())
	slices.SortStableFunc(list, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return list
}

type spans []tracetest.SpanStub

// ofKind returns the spans of calls and refreshes (INTERNAL), or of requests (CLIENT).
func (s spans) ofKind(kind trace.SpanKind) spans {
	return slices.DeleteFunc(slices.Clone(s), func(span tracetest.SpanStub) bool { return span.SpanKind != kind })
}

func (s spans) calls() spans {
	return slices.DeleteFunc(s.ofKind(trace.SpanKindInternal),
		func(span tracetest.SpanStub) bool { return span.Name == "refresh" })
}

func (s spans) requests() spans { return s.ofKind(trace.SpanKindClient) }

func (s spans) named(name string) spans {
	return slices.DeleteFunc(slices.Clone(s), func(span tracetest.SpanStub) bool { return span.Name != name })
}

func (s spans) names() (names []string) {
	for _, span := range s {
		names = append(names, span.Name)
	}
	return names
}

// one returns the only span.
func (s spans) one(t *testing.T) tracetest.SpanStub {
	t.Helper()
	require.Len(t, s, 1, "%v", s.names())
	return s[0]
}

// attributes returns attributes by their names.
func attributes(list []attribute.KeyValue) map[string]any {
	byName := map[string]any{}
	for _, kv := range list {
		byName[string(kv.Key)] = kv.Value.AsInterface()
	}
	return byName
}

// events returns the names of a span's events, in order.
func events(span tracetest.SpanStub) (names []string) {
	for _, event := range span.Events {
		names = append(names, event.Name)
	}
	return names
}

// metric returns the points of an instrument; none if nothing was recorded.
func metric[P any](t *testing.T, tel *telemetry, name string) []P {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, tel.reader.Collect(t.Context(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				return any(data.DataPoints).([]P)
			case metricdata.Histogram[float64]:
				return any(data.DataPoints).([]P)
			}
		}
	}
	return nil
}

// count returns the sum of a counter's points.
func (tel *telemetry) count(t *testing.T, name string) (sum int64) {
	t.Helper()
	for _, point := range metric[metricdata.DataPoint[int64]](t, tel, name) {
		sum += point.Value
	}
	return sum
}

// reply returns a response in memory. A body is JSON.
func reply(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}
