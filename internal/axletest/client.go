package axletest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// overResty makes NewClient put a resty client beneath the chains.
var overResty = false

// RunOverResty runs tests as subtests whose clients send through resty in place of net/http.
// No other test may run at the same time.
func RunOverResty(t *testing.T, rules map[string]func(*testing.T)) {
	t.Helper()
	overResty = true
	defer func() { overResty = false }()

	for name, rule := range rules {
		t.Run("resty/"+name, rule)
	}
}

// NewClient is axle.New over the engine that is under test: see RunOverResty.
func NewClient() *axle.Client {
	c := axle.New()
	if overResty {
		c.SetEngine(func(*resty.Client) {})
	}
	return c
}

// NewFakeClient returns a client for http://axle.test whose requests are answered in memory, and its
// transport. The client has no cookie jar.
func NewFakeClient(answer func(*http.Request) (*http.Response, error)) (*axle.Client, *FakeTransport) {
	f := &FakeTransport{Answer: answer}
	return NewClient().SetBaseURL("http://axle.test").SetTransport(f).SetCookieJar(nil), f
}

// NewLoopback starts a server on the loopback interface and returns a client for it. Both are gone
// when the test ends.
func NewLoopback(t *testing.T, handler http.HandlerFunc) *axle.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return NewClient().SetBaseURL(server.URL).SetTransport(transport)
}

// UseRequest adds a fulfilled handler to the request chain that only acts.
func UseRequest(c *axle.Client, act func(req *axle.Request)) axle.InterceptorID {
	return c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		act(req)
		return req, nil
	}, nil)
}

// UseFulfilled adds a fulfilled handler to the response chain.
func UseFulfilled(
	c *axle.Client, handle func(resp *axle.Response) (*axle.Response, error), opts ...axle.UseOption,
) axle.InterceptorID {
	return c.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		return handle(resp)
	}, nil, opts...)
}

// UseRejected adds a rejected handler to the response chain.
func UseRejected(
	c *axle.Client, handle func(err *axle.Error) (*axle.Response, error), opts ...axle.UseOption,
) axle.InterceptorID {
	return c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		return handle(err)
	}, opts...)
}

// UsePassThroughPair adds to both chains a pair whose handlers hand on what they get.
func UsePassThroughPair(c *axle.Client) {
	c.Interceptors.Request.Use(
		func(_ context.Context, req *axle.Request) (*axle.Request, error) { return req, nil },
		func(_ context.Context, err *axle.Error) (*axle.Request, error) { return nil, err })
	c.Interceptors.Response.Use(
		func(_ context.Context, resp *axle.Response) (*axle.Response, error) { return resp, nil },
		func(_ context.Context, err *axle.Error) (*axle.Response, error) { return nil, err })
}

// AsAxle returns the *axle.Error that err itself is. It does not look at the errors that err wraps.
func AsAxle(t *testing.T, err error) *axle.Error {
	t.Helper()
	require.Error(t, err)
	e, ok := err.(*axle.Error) //nolint:errorlint // the contract is about the error itself
	require.True(t, ok, "%T is not an *axle.Error: %v", err, err)
	require.NotNil(t, e)
	return e
}
