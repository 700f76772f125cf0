package axle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

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

	fmt.Println(client.Interceptors.Request, "/", client.Interceptors.Response)
	g, err := axle.Get[greeting](context.Background(), client, "/nowhere")
	fmt.Println(g.Text, err)
	// Output:
	// announce / not-found
	// sending GET /nowhere
	// nobody there <nil>
}

func ExampleRequest_Replay() {
	server := exampleServer()
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
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
	}, axle.Named("retry"))

	g, err := axle.Get[greeting](context.Background(), client, "/flaky")
	fmt.Println(g.Text, err)
	// Output: attempt 3 <nil>
}

func ExampleKey() {
	retried := axle.NewKey[bool]("retried") // axios: config._retry = true
	r := axle.New().R(context.Background())
	retried.Set(r, true)
	on, ok := retried.Get(r.Clone())
	fmt.Println(on, ok)
	// Output: true true
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

func ExampleRequest_Curl() {
	r := axle.New().SetBaseURL("https://api.example.com").R(context.Background()).
		SetMethod(http.MethodPost).SetURL("/login").SetHeader("Authorization", "Bearer s3cret").
		SetBody(map[string]string{"name": "ada", "password": "s3cret"})
	fmt.Println(r.Curl())
	// Output: curl -X POST https://api.example.com/login -H 'Authorization: REDACTED' -H 'Content-Type: application/json' --data-raw '{"name":"ada","password":"REDACTED"}'
}

func ExampleMultipart() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, header, err := r.FormFile("picture")
		_, _ = fmt.Fprint(w, r.FormValue("title"), ", ", header.Filename, ", ", header.Size, " bytes, ", err)
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)
	form := axle.NewMultipart().Field("title", "a cat").File("picture", "cat.png", strings.NewReader("meow"))
	resp, err := client.Post(context.Background(), "/upload", form)
	fmt.Println(resp.String(), err)
	// Output: a cat, cat.png, 4 bytes, <nil> <nil>
}
