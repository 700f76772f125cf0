package retry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
)

// A server is busy for two attempts. The log has a line for each retry.
func Example() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprint(w, "hello")
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	client.Use(retry.New(retry.OnRetry(func(_ context.Context, e retry.Event) {
		fmt.Println("attempt", e.Attempt, "got", e.Response.StatusCode, "and the next one is in", e.Wait)
	})))

	resp, err := client.Get(context.Background(), "/")
	fmt.Println(resp.String(), err)
	// Output:
	// attempt 1 got 503 and the next one is in 1ms
	// attempt 2 got 503 and the next one is in 1ms
	// hello <nil>
}

// A POST is sent again only with a key, by which the server recognizes it.
func ExampleWithIdempotencyKey() {
	seen := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if !seen[key] {
			seen[key] = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "the same order:", len(key) == 36)
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	client.Use(retry.New(
		retry.WithIdempotencyKey("Idempotency-Key"),
		retry.WithBackoff(time.Millisecond, time.Millisecond),
	))

	resp, err := client.Post(context.Background(), "/orders", map[string]int{"item": 7})
	fmt.Print(resp.String())
	fmt.Println(err)
	// Output:
	// the same order: true
	// <nil>
}

// One call must not take long, and another one must not be sent twice.
func ExampleWith() {
	client := axle.New().SetBaseURL("https://api.example.com").Use(retry.New())

	_ = client.R(context.Background()).With(retry.With(retry.WithAttempts(2)))
	_ = client.R(context.Background()).With(retry.Skip)
	// Output:
}
