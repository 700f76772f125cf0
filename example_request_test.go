package axle_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/axlehttp/axle"
)

func ExampleKey() {
	retried := axle.NewKey[bool]("retried") // axios: config._retry = true
	r := axle.New().R(context.Background())
	retried.Set(r, true)
	on, ok := retried.Get(r.Clone())
	fmt.Println(on, ok)
	// Output: true true
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

// A stream is read as it arrives, and the caller closes it.
func ExampleRequest_SetStream() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "first line\nsecond line\n")
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	resp, err := client.R(context.Background()).SetStream(true).Get("/log")
	if err != nil {
		fmt.Println(err)
		return
	}
	stream := resp.Stream()
	defer stream.Close()

	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	fmt.Println(lines.Err())
	// Output:
	// first line
	// second line
	// <nil>
}

// A value is escaped, so that it stays one segment of the path.
func ExampleRequest_SetPathParam() {
	client := axle.New().SetBaseURL("https://api.example.com/v1")

	r := client.R(context.Background()).SetURL("/users/{id}/files/{name}").
		SetPathParam("id", "7").SetPathParam("name", "a/b c.txt")
	u, err := r.ResolveURL()
	fmt.Println(u, err)

	_, err = client.R(context.Background()).SetPathParam("id", "..").Get("/users/{id}")
	refused, _ := errors.AsType[*axle.Error](err)
	fmt.Println(refused.Code, refused.Message)
	// Output:
	// https://api.example.com/v1/users/7/files/a%2Fb%20c.txt <nil>
	// ERR_BAD_OPTION_VALUE the path parameter {id} makes a segment "." or "..", which would climb the path
}

func ExampleKey_SetDefault() {
	client := axle.New()
	tenant := axle.NewKey[string]("tenant")
	tenant.SetDefault(client, "acme")

	request := client.R(context.Background())
	name, _ := tenant.Get(request)
	fmt.Println(name)

	tenant.Set(request, "globex")
	name, _ = tenant.Get(request)
	fmt.Println(name)

	tenant.Delete(request)
	name, _ = tenant.Get(request)
	fmt.Println(name)
	// Output:
	// acme
	// globex
	// acme
}
