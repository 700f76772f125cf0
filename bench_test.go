package axle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle"
)

// The benchmarks have plain resty v2 and net/http beside axle, doing the same work in the same run. bench/ has all peers.

type benchItem struct {
	ID   int      `json:"id"`
	Name string   `json:"name"`
	Tags []string `json:"tags"`
	Text string   `json:"text"`
}

// benchBody is 300 bytes of JSON.
var benchBody = func() []byte {
	body := []byte(`{"id":7,"name":"a name","tags":["one","two","three"],"text":"`)
	body = append(body, bytes.Repeat([]byte("x"), 300-len(body)-2)...)
	return append(body, `"}`...)
}()

var jsonType = []string{"application/json"}

// benchTransport answers in memory.
type benchTransport struct{}

func (benchTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Header: http.Header{"Content-Type": jsonType},
		Body: io.NopCloser(bytes.NewReader(benchBody)), ContentLength: int64(len(benchBody)), Request: r,
	}, nil
}

func benchClient(pairs int) *axle.Client {
	c := axle.New().SetBaseURL("http://axle.test").SetTransport(benchTransport{}).SetCookieJar(nil)
	for range pairs {
		c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { return r, nil }, nil)
		c.Interceptors.Response.Use(func(_ context.Context, r *axle.Response) (*axle.Response, error) { return r, nil }, nil)
	}
	return c
}

func BenchmarkCall(b *testing.B) {
	ctx := context.Background()
	for _, pairs := range []int{0, 1, 10, 100, 1000} {
		c := benchClient(pairs)
		b.Run(fmt.Sprintf("axle/pairs=%d", pairs), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := axle.Get[benchItem](ctx, c, "/items/7"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("resty", func(b *testing.B) {
		c := resty.New().SetBaseURL("http://axle.test").SetTransport(benchTransport{})
		b.ReportAllocs()
		for b.Loop() {
			var item benchItem
			if _, err := c.R().SetContext(ctx).SetResult(&item).Get("/items/7"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) {
		c := &http.Client{Transport: benchTransport{}}
		b.ReportAllocs()
		for b.Loop() {
			var item benchItem
			if err := plainGet(ctx, c, "http://axle.test/items/7", &item); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func plainGet(ctx context.Context, c *http.Client, url string, item *benchItem) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, item)
}

// newBenchServer answers over a socket. It runs in the same process, and its allocations are counted.
func newBenchServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(benchBody)
	}))
}

func BenchmarkLoopback(b *testing.B) {
	server := newBenchServer()
	defer server.Close()
	ctx := context.Background()
	transport := func() *http.Transport { return &http.Transport{MaxIdleConnsPerHost: 100} }
	b.Run("axle", func(b *testing.B) {
		c := axle.New().SetBaseURL(server.URL).SetTransport(transport())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := axle.Get[benchItem](ctx, c, "/items/7"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("resty", func(b *testing.B) {
		c := resty.New().SetBaseURL(server.URL).SetTransport(transport())
		b.ReportAllocs()
		for b.Loop() {
			var item benchItem
			if _, err := c.R().SetContext(ctx).SetResult(&item).Get("/items/7"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) {
		c := &http.Client{Transport: transport()}
		b.ReportAllocs()
		for b.Loop() {
			var item benchItem
			if err := plainGet(ctx, c, server.URL+"/items/7", &item); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The next two tests are the guard of docs/benchmarks.md in the root module: times vary, allocations do not. bench/ compares with
// resty v2 too. That a pair allocates nothing is pinned in chain_test.go, and attaching a token in interceptors/auth.

func TestCall_AllocatesNoMoreThanIsPinned(t *testing.T) {
	c := benchClient(0)
	ctx := t.Context()
	got := testing.AllocsPerRun(200, func() {
		if _, err := axle.Get[benchItem](ctx, c, "/items/7"); err != nil {
			t.Fatal(err)
		}
	})
	assert.LessOrEqual(t, got, 40.0)
}

func TestBridge_WithHandlersOverASocketAllocatesLittleMoreThanHTTPClient(t *testing.T) {
	server := newBenchServer()
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	// The server's allocations are counted too. They vary from call to call, and AllocsPerRun rounds
	// its average down to a whole number. So a hundred calls count as one run.
	const calls = 100
	measure := func(c *http.Client) float64 {
		ctx := t.Context()
		return testing.AllocsPerRun(20, func() {
			for range calls {
				var item benchItem
				if err := plainGet(ctx, c, server.URL+"/items/7", &item); err != nil {
					t.Fatal(err)
				}
			}
		}) / calls
	}

	theirs := measure(&http.Client{Transport: transport})
	ours := measure(benchClient(10).SetTransport(transport).HTTPClient())
	assert.LessOrEqual(t, ours, 1.08*theirs, "http.Client itself allocates %v times", theirs)
}

func TestCall_SensitiveDefaultsCostNoMoreForTheirQuery(t *testing.T) {
	c := benchClient(0).SetQueryParam("api_kez", "1") // as long
	plain := testing.AllocsPerRun(100, func() { _, _ = c.Get(t.Context(), "/items/7") })
	c = benchClient(0).SetQueryParam("api_key", "1")
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = c.Get(t.Context(), "/items/7") }), plain)
}
