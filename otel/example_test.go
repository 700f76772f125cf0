package axleotel_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	axleotel "github.com/axlehttp/axle/otel"
	"github.com/axlehttp/axle/store"
)

// A call whose token has expired. Its span has the events, and a link to the span of the refresh.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/auth/refresh-token":
			_, _ = io.WriteString(w, `{"access_token":"new"}`)
		case r.Header.Get("Authorization") != "Bearer new":
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()

	exporter := tracetest.NewInMemoryExporter() // a program has an OTLP exporter here
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	telemetry := axleotel.New(axleotel.WithTracerProvider(tracers))

	transport := axle.DefaultTransport()
	defer transport.CloseIdleConnections()
	client := axle.New().SetBaseURL(server.URL).SetTransport(telemetry.Transport(transport))
	session := store.New[string](
		store.Endpoint(client, "/auth/refresh-token"), store.WithObserver(telemetry))
	session.Login("ada", &oauth2.Token{AccessToken: "old", RefreshToken: "refresh"})
	client.Use(auth.New(session), telemetry)

	_, err := client.Get(context.Background(), "/users/7", axle.Operation("users.get"))
	fmt.Println("error:", err)

	for _, span := range exporter.GetSpans() {
		if span.Name != "users.get" {
			continue
		}
		for _, event := range span.Events {
			fmt.Println(event.Name)
		}
		for range span.Links {
			fmt.Println("a link to the refresh")
		}
	}
	// Output:
	// error: <nil>
	// axle.attempt
	// axle.refresh.wait
	// axle.refresh.waited
	// axle.replay
	// a link to the refresh
}
