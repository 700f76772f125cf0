package axle_test

import (
	"compress/lzw"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle"
)

// exampleServer greets, fails twice at /flaky, and knows nothing else.
func exampleServer() *httptest.Server {
	tries := 0
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/flaky":
			if tries++; tries < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = fmt.Fprintf(w, `{"text":"attempt %d"}`, tries)
		case strings.HasPrefix(r.URL.Path, "/greet/"):
			_, _ = fmt.Fprintf(w, `{"text":"hello, %s"}`, strings.TrimPrefix(r.URL.Path, "/greet/"))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
}

type greeting struct {
	Text string `json:"text"`
}

func Example() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	g, err := axle.Get[greeting](context.Background(), client, "/greet/ada")
	fmt.Println(g.Text, err)

	_, err = client.Get(context.Background(), "/nowhere")
	failed, _ := errors.AsType[*axle.Error](err)
	fmt.Println(failed.StatusCode(), failed.Code)
	// Output:
	// hello, ada <nil>
	// 404 ERR_BAD_REQUEST
}

// The program of the package documentation, over a server that is busy at first.
func Example_tour() {
	busy := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy {
			busy = false
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintf(w, `[{"text":"traced by %s"}]`, r.Header.Get("X-Trace"))
	}))
	defer server.Close()
	traceOf := func(context.Context) string { return "t-1" }
	ctx := context.Background()

	client := axle.New().SetBaseURL(server.URL)

	client.Interceptors.Request.Use(
		func(ctx context.Context, req *axle.Request) (*axle.Request, error) {
			return req.SetHeader("X-Trace", traceOf(ctx)), nil
		}, nil)

	client.Interceptors.Response.Use(nil,
		func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
			if err.StatusCode() == http.StatusServiceUnavailable && err.Request.Attempt() == 1 {
				return err.Request.Replay() // the same call, once more
			}
			return nil, err
		})

	items, err := axle.Get[[]greeting](ctx, client, "/items")
	fmt.Println(items[0].Text, err)
	// Output: traced by t-1 <nil>
}

func ExampleChain_Use() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		fmt.Println("sending", r.Method, r.URL)
		return r, nil
	}, nil, axle.Named("announce"))
	client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() == http.StatusNotFound {
			return axle.NewResponse(err.Request, http.StatusOK, nil, []byte(`{"text":"nobody there"}`)), nil // recover
		}
		return nil, err
	}, axle.Named("not-found"))

	fmt.Println(client)
	g, err := axle.Get[greeting](context.Background(), client, "/nowhere")
	fmt.Println(g.Text, err)
	// Output:
	// request chain:  announce
	// response chain: not-found
	// sending GET /nowhere
	// nobody there <nil>
}

// A signature has to cover what the interceptors of an SDK add, so it is made after them.
func ExampleAfter() {
	sdk := axle.New().Use(
		axle.OnRequest("tenant", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			return r.SetHeader("X-Tenant", "acme"), nil
		}, nil),
	)

	sdk.Use(axle.OnRequest("signature", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return r.SetHeader("X-Signed", r.Header.Get("X-Tenant")), nil
	}, nil, axle.After("tenant")))

	fmt.Println(sdk)
	// Output:
	// request chain:  tenant -> signature
	// response chain: none
}

// The handler takes the envelope off before the SDK's own handler, which expects none.
func ExampleBefore() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"data":{"text":"hello"}}`)
	}))
	defer server.Close()
	sdk := axle.New().SetBaseURL(server.URL).Use(
		axle.OnResponse("print", func(_ context.Context, r *axle.Response) (*axle.Response, error) {
			fmt.Println("the SDK got", r.String())
			return r, nil
		}, nil),
	)

	sdk.Use(axle.OnResponse("unwrap", func(_ context.Context, r *axle.Response) (*axle.Response, error) {
		var envelope struct{ Data json.RawMessage }
		if err := r.Decode(&envelope); err != nil {
			return nil, err
		}
		return r.SetBytes(envelope.Data), nil
	}, nil, axle.Before("print")))

	g, err := axle.Get[greeting](context.Background(), sdk, "/")
	fmt.Println(g.Text, err)
	// Output:
	// the SDK got {"text":"hello"}
	// hello <nil>
}

func ExampleRequest_Replay() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	client.Use(axle.OnResponse("retry", nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		for tries := 1; tries < 5 && err.StatusCode() == http.StatusServiceUnavailable; tries++ {
			resp, again := err.Request.Replay()
			if again == nil {
				return resp, nil
			}
			if !errors.As(again, &err) {
				return nil, again
			}
		}
		return nil, err
	}))

	g, err := axle.Get[greeting](context.Background(), client, "/flaky")
	fmt.Println(g.Text, err)
	// Output: attempt 3 <nil>
}

// A count of the calls under way, as a loading indicator shows it. It returns to 0 however a call
// ends. The handler runs again for a replay, and so does its function at the end.
func ExampleRequest_OnEnd() {
	server := exampleServer()
	defer server.Close()
	var underWay atomic.Int64
	client := axle.New().SetBaseURL(server.URL).Use(
		axle.OnRequest("loading", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			fmt.Println("under way:", underWay.Add(1))
			r.OnEnd(func(*axle.Response, *axle.Error) { underWay.Add(-1) })
			return r, nil
		}, nil))

	_, err := client.Get(context.Background(), "/nowhere")
	fmt.Println("failed:", err != nil, "under way:", underWay.Load())
	// Output:
	// under way: 1
	// failed: true under way: 0
}

// apiError is the error type of an SDK.
type apiError struct {
	Status int
	call   *axle.Error
}

func (e *apiError) Error() string { return fmt.Sprintf("the API says %d", e.Status) }
func (e *apiError) Unwrap() error { return e.call }

func ExampleClient_SetErrorMapper() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL).SetErrorMapper(func(err *axle.Error) error {
		return &apiError{Status: err.StatusCode(), call: err}
	})

	_, err := client.Get(context.Background(), "/nowhere")
	fmt.Println(err)
	own, _ := errors.AsType[*apiError](err)
	fmt.Println(own.Status, errors.Is(err, axle.CodeBadRequest))
	// Output:
	// the API says 404
	// 404 true
}

func ExampleErrorBody() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprint(w, `{"detail":"the name is taken"}`)
	}))
	defer server.Close()

	_, err := axle.New().Post(context.Background(), server.URL, map[string]string{"name": "ada"})
	problem, ok := axle.ErrorBody[struct{ Detail string }](err)
	fmt.Println(ok, problem.Detail)
	// Output: true the name is taken
}

func ExampleResponseInto() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	var resp *axle.Response
	g, err := axle.Get[greeting](context.Background(), client, "/greet/ada", axle.ResponseInto(&resp))
	fmt.Println(g.Text, err, resp.StatusCode)

	_, err = axle.Get[greeting](context.Background(), client, "/nowhere", axle.ResponseInto(&resp))
	fmt.Println(err != nil, resp.StatusCode)
	// Output:
	// hello, ada <nil> 200
	// true 404
}

func ExampleClient_HTTPClient() {
	server := exampleServer()
	defer server.Close()
	client := axle.New()
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		fmt.Println("an SDK asks for", r.Method)
		return r, nil
	}, nil)

	sdk := client.HTTPClient() // any code that takes an *http.Client
	resp, err := sdk.Get(server.URL + "/greet/grace")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// an SDK asks for GET
	// 200 OK
}

// A cache answers from memory: the request handler that finds an entry lets no request out.
func ExampleRequest_Respond() {
	client := axle.New().SetBaseURL("https://api.example.com")
	cached := map[string][]byte{"/greet/ada": []byte(`{"text":"hello from the cache"}`)}

	client.Use(axle.OnRequest("cache", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if body, found := cached[r.URL]; found {
			r.Respond(axle.NewResponse(r, http.StatusOK, nil, body))
		}
		return r, nil
	}, nil))

	g, err := axle.Get[greeting](context.Background(), client, "/greet/ada")
	fmt.Println(g.Text, err)
	// Output: hello from the cache <nil>
}

// An interceptor that takes part in the calls that change something, and in no other.
func ExampleRunWhen() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	changesSomething := func(r *axle.Request) bool { return r.Method != http.MethodGet }
	client.Use(axle.OnRequest("audit", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		fmt.Println("audit:", r.Method, r.URL)
		return r, nil
	}, nil, axle.RunWhen(changesSomething)))

	_, err := client.Get(context.Background(), "/greet/ada")
	fmt.Println("GET", err)
	_, err = client.Post(context.Background(), "/greet/ada", nil)
	fmt.Println("POST", err)
	// Output:
	// GET <nil>
	// audit: POST /greet/ada
	// POST <nil>
}

// requestIDs is a plugin: it gives each request a number, and says how it is taken out again.
type requestIDs struct{ last atomic.Int64 }

func (ids *requestIDs) Install(c *axle.Client) (uninstall func()) {
	setID := func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return r.SetHeader("X-Request-Id", strconv.FormatInt(ids.last.Add(1), 10)), nil
	}
	return axle.OnRequest("request-ids", setID, nil).Install(c)
}

func ExamplePlugin() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "request %q", r.Header.Get("X-Request-Id"))
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL).Use(&requestIDs{})

	for range 2 {
		resp, err := client.Get(context.Background(), "/")
		fmt.Println(resp.String(), err)
	}
	// Output:
	// request "1" <nil>
	// request "2" <nil>
}

// The chains run under code that knows net/http alone. A redirect stays the http.Client's business.
func ExampleClient_RoundTripper() {
	server := exampleServer()
	defer server.Close()
	client := axle.New()
	client.Interceptors.Response.Use(func(_ context.Context, r *axle.Response) (*axle.Response, error) {
		r.Header.Set("X-Seen", r.Request.Method)
		return r, nil
	}, nil)

	hc := &http.Client{Transport: client.RoundTripper(), Timeout: time.Minute}
	resp, err := hc.Get(server.URL + "/greet/grace")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, resp.Header.Get("X-Seen"))
	// Output: 200 OK GET
}

func ExampleOperation() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	// A rule that differs by operation: this one may take longer than the client's others.
	limits := map[string]time.Duration{"greetings.get": time.Minute}
	client.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		limit, known := limits[req.Operation()]
		if _, set := req.Timeout(); known && !set {
			req.SetTimeout(limit)
		}
		return req, nil
	}, nil)

	resp, err := client.Get(context.Background(), "/greet/ada",
		axle.Operation("greetings.get"), axle.WithHeader("Accept-Language", "en"), axle.WithQuery("loud", "no"))
	if err != nil {
		fmt.Println(err)
		return
	}
	limit, _ := resp.Request.Timeout()
	fmt.Println(resp.Request.Operation(), limit)
	// Output: greetings.get 1m0s
}

func ExampleClient_SetRedirectCheck() {
	client := axle.New().SetRedirectCheck(func(next *http.Request, via []*http.Request) error {
		if next.URL.Hostname() != via[0].URL.Hostname() {
			return fmt.Errorf("a redirect to %s", next.URL.Hostname())
		}
		return nil
	})

	server := httptest.NewServer(http.RedirectHandler("http://elsewhere.test/", http.StatusFound))
	defer server.Close()
	_, err := client.Get(context.Background(), server.URL)
	fmt.Println(errors.Unwrap(err))
	// Output: a redirect to elsewhere.test
}

func ExampleClient_SetDecompressor() {
	// An encoding that one API has for itself. Brotli and Zstandard are set in the same way.
	client := axle.New().SetDecompressor("x-lzw", func(r io.Reader) (io.ReadCloser, error) {
		return lzw.NewReader(r, lzw.LSB, 8), nil
	})

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "x-lzw")
		out := lzw.NewWriter(w, lzw.LSB, 8)
		_, _ = out.Write([]byte("hello"))
		_ = out.Close()
	}))
	defer server.Close()
	resp, err := client.Get(context.Background(), server.URL)
	fmt.Println(resp.String(), err)
	// Output:
	// gzip, deflate, x-lzw
	// hello <nil>
}
