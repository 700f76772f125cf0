package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/limit"
)

// A client that sends at most fifty requests a second. Of six calls at the same time, two go out at
// once, and the others follow every 20 milliseconds.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	client.Use(limit.New(limit.WithRate(50, time.Second, 2)))

	start := time.Now()
	for range 6 {
		if _, err := client.Get(context.Background(), "/"); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("waited:", time.Since(start) >= 79*time.Millisecond)
	// Output: waited: true
}

// The server says that its limit is reached for ten minutes. The next call fails at once, since it
// would wait for longer than a minute.
func ExampleWaitError() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("RateLimit", `"default";r=0;t=600`)
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	client.Use(limit.New())

	_, err := client.Get(context.Background(), "/")
	fmt.Println("the first:", err)

	_, err = client.Get(context.Background(), "/")
	if wait, ok := errors.AsType[*limit.WaitError](err); ok {
		fmt.Println("the second has to wait for", wait.Wait.Round(time.Minute))
	}
	// Output:
	// the first: <nil>
	// the second has to wait for 10m0s
}
