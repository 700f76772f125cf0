package security_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// item is a result.
type item struct{ ID int }

// Bad input fails the call with CodeBadOption, before anything is sent.

func TestBadInput_IsRefusedAndNothingIsSent(t *testing.T) {
	onRequest := func(edit func(r *axle.Request)) func(*axle.Client, *axle.Request) {
		return func(_ *axle.Client, r *axle.Request) { edit(r) }
	}
	inHandler := func(edit func(r *axle.Request)) func(*axle.Client, *axle.Request) {
		return func(c *axle.Client, _ *axle.Request) { useRequest(c, edit) }
	}
	for name, x := range map[string]struct {
		prepare func(c *axle.Client, r *axle.Request)
		says    string
	}{
		"a nil context":                   {onRequest(func(r *axle.Request) { r.SetContext(nil) }), "context is nil"}, //nolint:staticcheck // that is what is tested
		"a nil context of a handler":      {inHandler(func(r *axle.Request) { r.SetContext(nil) }), "context is nil"}, //nolint:staticcheck // likewise
		"a negative timeout":              {onRequest(func(r *axle.Request) { r.SetTimeout(-time.Second) }), "timeout is negative"},
		"a negative timeout of a handler": {inHandler(func(r *axle.Request) { r.SetTimeout(-1) }), "timeout is negative"},
		"a stream with a result":          {onRequest(func(r *axle.Request) { r.SetStream(true).SetResult(new(item)) }), "exclude each other"},
		"a handler's stream with a result": {func(c *axle.Client, r *axle.Request) {
			r.SetResult(new(item))
			useRequest(c, func(r *axle.Request) { r.SetStream(true) })
		}, "exclude each other"},
		"a result that is no pointer":      {onRequest(func(r *axle.Request) { r.SetResult(item{}) }), "pointer"},
		"a result that is a nil pointer":   {onRequest(func(r *axle.Request) { r.SetResult((*item)(nil)) }), "pointer"},
		"a result that is a map":           {onRequest(func(r *axle.Request) { r.SetResult(map[string]any{}) }), "pointer"},
		"a method with a space":            {onRequest(func(r *axle.Request) { r.SetMethod("GET /evil") }), "not a token"},
		"a method with a line break":       {onRequest(func(r *axle.Request) { r.SetMethod("GET\r\nX-Evil: 1") }), "not a token"},
		"a method with a colon":            {onRequest(func(r *axle.Request) { r.SetMethod("GET:") }), "not a token"},
		"a method beyond ASCII":            {onRequest(func(r *axle.Request) { r.SetMethod("GËT") }), "not a token"},
		"a method of a handler":            {inHandler(func(r *axle.Request) { r.Method = "a b" }), "not a token"},
		"a default header":                 {func(c *axle.Client, _ *axle.Request) { c.SetHeader("X-A", "a\r\nX-Evil: 1") }, "X-A"},
		"a default header's name":          {func(c *axle.Client, _ *axle.Request) { c.SetHeader("X A", "a") }, `"X A"`},
		"a sensitive default header":       {func(c *axle.Client, _ *axle.Request) { c.SetHeader("Authorization", "Bearer s3cret\n") }, "Authorization"},
		"a handler's header":               {inHandler(func(r *axle.Request) { r.Header["X-A"] = []string{"fine", "a\nb"} }), "X-A"},
		"a path parameter that climbs":     {onRequest(func(r *axle.Request) { r.SetURL("/{id}").SetPathParam("id", "..") }), "climb"},
		"a path parameter without a value": {onRequest(func(r *axle.Request) { r.SetURL("/{id}").SetPathParam("other", "1") }), "{id}"},
		"a body that cannot be encoded":    {onRequest(func(r *axle.Request) { r.SetBody(make(chan int)) }), "chan int"},
		"a nil buffer as a body":           {onRequest(func(r *axle.Request) { r.SetBody((*bytes.Buffer)(nil)) }), "nil *bytes.Buffer"},
		"a nil reader as a body":           {onRequest(func(r *axle.Request) { r.Body = (*strings.Reader)(nil) }), "nil *strings.Reader"},
		"a nil multipart as a body":        {onRequest(func(r *axle.Request) { r.SetBody((*axle.Multipart)(nil)) }), "nil *axle.Multipart"},
		"parameters that are no object":    {onRequest(func(r *axle.Request) { r.SetParams(1) }), "query parameters"},
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(always(200, "{}"))
			var inChain []axle.Code
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				assert.NotNil(t, err.Request)
				inChain = append(inChain, err.Code)
				return nil, err
			})
			r := c.R(t.Context()).SetURL("/")
			x.prepare(c, r)
			resp, err := c.Do(r)
			assert.Nil(t, resp)
			e := asAxle(t, err)
			assert.Equal(t, axle.CodeBadOption, e.Code)
			assert.ErrorContains(t, err, x.says)
			assert.NotContains(t, err.Error(), "s3cret")
			assert.Nil(t, e.Response)
			assert.Zero(t, network.Sent.Load())
			if name != "a nil context" { // without one no handler can run
				assert.Equal(t, []axle.Code{axle.CodeBadOption}, inChain, "rejected handlers see it")
			}
		})
	}
}

// CR, LF and NUL in header names and values: CVE-2026-40175.

func TestAdvisory_ControlCharactersInHeadersAreRefused(t *testing.T) {
	refuses := func(t *testing.T, what string, set func(c *axle.Client, r *axle.Request)) {
		t.Helper()
		c, network := newFakeClient(always(200, ""))
		r := c.R(t.Context()).SetURL("/")
		set(c, r)
		_, err := c.Do(r)
		assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, what)
		assert.Zero(t, network.Sent.Load(), what)
		assert.NotContains(t, err.Error(), "\r\n", what)
	}
	for char := range rune(0x80) {
		isControl := char < ' ' && char != '\t' || char == 0x7f
		value := "a" + string(char) + "b"
		if isControl {
			refuses(t, fmt.Sprintf("value %q", value), func(_ *axle.Client, r *axle.Request) { r.SetHeader("X-A", value) })
			refuses(t, fmt.Sprintf("default %q", value), func(c *axle.Client, _ *axle.Request) { c.SetHeader("X-A", value) })
		} else {
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.Header.Get("X-A")), nil })
			resp, err := c.R(t.Context()).SetHeader("X-A", value).Get("/")
			require.NoError(t, err, "value %q", value)
			assert.Equal(t, value, resp.String())
		}
		isToken := char > ' ' && char < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, char)
		name := "X" + string(char) + "A"
		if !isToken {
			refuses(t, fmt.Sprintf("name %q", name), func(_ *axle.Client, r *axle.Request) { r.Header[name] = []string{"v"} })
			refuses(t, fmt.Sprintf("default name %q", name), func(c *axle.Client, _ *axle.Request) { c.SetHeader(name, "v") })
		}
	}
	refuses(t, "an empty name", func(_ *axle.Client, r *axle.Request) { r.Header[""] = []string{"v"} })
	refuses(t, "a name beyond ASCII", func(_ *axle.Client, r *axle.Request) { r.Header["X-Ä"] = []string{"v"} })
	refuses(t, "Host", func(_ *axle.Client, r *axle.Request) { r.SetHeader("Host", "a\r\nX-Evil: 1") })
	refuses(t, "Content-Type", func(_ *axle.Client, r *axle.Request) { r.SetBody("x").SetHeader("Content-Type", "a\r\nX-Evil: 1") })
	refuses(t, "User-Agent", func(_ *axle.Client, r *axle.Request) { r.SetHeader("User-Agent", "a\x00") })
}

func TestAdvisory_ControlCharactersInHeadersAreRefusedInTheBridge(t *testing.T) {
	for name, set := range map[string]func(c *axle.Client, r *http.Request){
		"the request's": func(_ *axle.Client, r *http.Request) { r.Header["X-A"] = []string{"a\r\nb"} },
		"a name":        func(_ *axle.Client, r *http.Request) { r.Header["X\nA"] = []string{"a"} },
		"the client's":  func(c *axle.Client, _ *http.Request) { c.SetHeader("X-A", "a\x00") },
		"a handler's": func(c *axle.Client, _ *http.Request) {
			useRequest(c, func(r *axle.Request) { r.SetHeader("X-A", "\n") })
		},
	} {
		c, network := newFakeClient(always(200, ""))
		body := newWatchedBody("body")
		r := newRequest(t, "POST", "http://axle.test/", body)
		set(c, r)
		resp, err := c.RoundTripper().RoundTrip(r)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.Nil(t, resp)
		assert.Zero(t, network.Sent.Load(), name)
		assert.True(t, body.IsClosed(), name)
	}
}

func TestBadInput_ANilContextOfEveryWayIn(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	var none context.Context
	for name, send := range map[string]func() error{
		"R":     func() error { _, err := c.R(none).Get("/"); return err },
		"Get":   func() error { _, err := c.Get(none, "/"); return err },
		"Post":  func() error { _, err := c.Post(none, "/", "x"); return err },
		"typed": func() error { _, err := axle.Get[item](none, c, "/"); return err },
		"an edit": func() error {
			_, err := c.Get(t.Context(), "/", func(r *axle.Request) { r.SetContext(none) })
			return err
		},
		"Do": func() error { _, err := c.Do(new(axle.Request).SetURL("/").SetContext(none)); return err },
	} {
		err := send()
		assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, name)
		assert.ErrorContains(t, err, "context is nil", name)
	}
	assert.Zero(t, network.Sent.Load())
	assert.NotPanics(t, func() { assert.NotNil(t, c.R(none).Context(), "it is never nil") })
	_, err := c.Do(&axle.Request{URL: "/"})
	require.NoError(t, err, "a Request that was written, not started, has the background context")
}

func TestBadInput_ARequestThatIsNilOrHasNoClient(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	_, err := c.Do(nil)
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeBadOption, e.Code)
	assert.NotNil(t, e.Request)
	_, err = axle.Do[item](c, nil)
	assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code)
	_, err = new(axle.Request).Get("/")
	assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code)
	assert.ErrorContains(t, err, "no client")
	_, err = new(axle.Request).Replay()
	assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code)
	assert.Zero(t, network.Sent.Load())
}

func TestBadInput_NilsThatMeanNothing(t *testing.T) {
	c, network := newFakeClient(always(200, "ok"))
	c.Interceptors.Request.Use(nil, nil)
	c.Interceptors.Response.Use(nil, nil, nil, axle.RunWhen(nil))
	c.Use(nil)
	resp, err := c.Get(t.Context(), "/", nil, func(r *axle.Request) { r.With(nil).SetRedirectCheck(nil).OnUploadProgress(nil).OnDownloadProgress(nil) })
	require.NoError(t, err)
	assert.Equal(t, "ok", resp.String())
	resp, err = c.Do(&axle.Request{URL: "/", Header: nil, Query: nil})
	require.NoError(t, err)
	assert.Equal(t, "ok", resp.String())
	assert.EqualValues(t, 2, network.Sent.Load())
	assert.False(t, c.Interceptors.Request.Eject(axle.InterceptorID{}), "the zero id is no interceptor's")
}

func TestBadInput_MethodsAreSentInUpperCaseAndNoneIsGET(t *testing.T) {
	for given, want := range map[string]string{"": "GET", "post": "POST", "PaTch": "PATCH", "m-search": "M-SEARCH", "X!#$%&'*+-.^_`|~9": "X!#$%&'*+-.^_`|~9"} {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.Method), nil })
		resp, err := c.Do(c.R(t.Context()).SetMethod(given).SetURL("/"))
		require.NoError(t, err, given)
		assert.Equal(t, want, resp.String())
	}
}
