// Custom-interceptor shows an interceptor of your own as a plugin, in etag.go, and its test, in
// etag_test.go.
//
//	go run ./_examples/custom-interceptor
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/axlehttp/axle"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "custom-interceptor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sent, notModified := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			notModified++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		_, _ = fmt.Fprint(w, "a large document")
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL).Use(new(ETags))
	fmt.Println(client)

	for range 3 {
		resp, err := client.Get(ctx, "/document")
		if err != nil {
			return err
		}
		fmt.Printf("GET /document   %s, %q\n", resp.Status, resp.String())
	}

	fmt.Printf("the server sent the document %d time, and responded with 304 %d times\n", sent, notModified)
	if sent != 1 || notModified != 2 {
		return errors.New("that is not what a cache is for")
	}
	return nil
}
