package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
)

// The server fails. After two failed calls in a row, nothing is sent to it for a while.
func Example() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	client.Use(breaker.New(
		breaker.WithFailures(2),
		breaker.OnChange(func(c breaker.Change) { fmt.Println("the circuit was", c.From, "and is", c.To) }),
	))

	for range 4 {
		_, err := client.Get(context.Background(), "/")
		open, isOpen := errors.AsType[*breaker.OpenError](err)
		fmt.Println("refused:", isOpen && !open.Until.IsZero())
	}
	fmt.Println("requests:", requests)
	// Output:
	// refused: false
	// the circuit was closed and is open
	// refused: false
	// refused: true
	// refused: true
	// requests: 2
}

// A health check asks the server at any time. Its outcome does not count.
func ExampleSkip() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()

	ctx := context.Background()
	client := axle.New().SetBaseURL(server.URL)
	client.Use(breaker.New(breaker.WithFailures(1)))

	_, _ = client.Get(ctx, "/items")
	_, err := client.Get(ctx, "/items")
	_, isOpen := errors.AsType[*breaker.OpenError](err)
	fmt.Println("items refused:", isOpen)

	_, err = client.Get(ctx, "/health", breaker.Skip)
	fmt.Println("health:", err)
	// Output:
	// items refused: true
	// health: <nil>
}
