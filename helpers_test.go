package axle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// errBoom is what a handler fails with where it does not matter what.
var errBoom = errors.New("boom")

// fakeTransport answers requests in memory and counts them.
type fakeTransport struct {
	answer func(*http.Request) (*http.Response, error)
	sent   atomic.Int64
}

func (f *fakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	f.sent.Add(1)
	return f.answer(r)
}

// overResty makes newClient put a resty client beneath the chains: see TestEngine_BothKeepTheRules.
var overResty = false

// newClient is axle.New over the engine that is under test.
func newClient() *axle.Client {
	c := axle.New()
	if overResty {
		c.SetEngine(func(*resty.Client) {})
	}
	return c
}

// newFakeClient returns a client for http://axle.test whose requests are answered in memory.
func newFakeClient(answer func(*http.Request) (*http.Response, error)) (*axle.Client, *fakeTransport) {
	f := &fakeTransport{answer: answer}
	return newClient().SetBaseURL("http://axle.test").SetTransport(f).SetCookieJar(nil), f
}

// reply is an answer from a fake network.
func reply(r *http.Request, status int, body string) *http.Response {
	return replyWith(r, status, io.NopCloser(strings.NewReader(body)))
}

func replyWith(r *http.Request, status int, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Header: http.Header{}, Body: body, ContentLength: -1, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// always answers every request alike.
func always(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) { return reply(r, status, body), nil }
}

// inTurn answers the nth request with the nth status, and further ones with the last; the body is "n".
func inTurn(statuses ...int) func(*http.Request) (*http.Response, error) {
	var n atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		i := int(n.Add(1))
		return reply(r, statuses[min(i, len(statuses))-1], strings.Repeat("n", i)), nil
	}
}

// unreachable is a network that fails.
func unreachable(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }

// callTrace records what ran, in order.
type callTrace struct {
	mu    sync.Mutex
	steps []string
}

func (l *callTrace) add(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, step)
}

func (l *callTrace) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := l.steps
	l.steps = nil
	return steps
}

// onRequest adds a pass-through pair to the request chain that records "name" or "name!" (rejected).
func (l *callTrace) onRequest(c *axle.Client, name string, opts ...axle.UseOption) axle.InterceptorID {
	return c.Interceptors.Request.Use(
		func(_ context.Context, req *axle.Request) (*axle.Request, error) { l.add(name); return req, nil },
		func(_ context.Context, err *axle.Error) (*axle.Request, error) { l.add(name + "!"); return nil, err },
		append(opts, axle.Named(name))...)
}

// onResponse does the same in the response chain.
func (l *callTrace) onResponse(c *axle.Client, name string, opts ...axle.UseOption) axle.InterceptorID {
	return c.Interceptors.Response.Use(
		func(_ context.Context, resp *axle.Response) (*axle.Response, error) { l.add(name); return resp, nil },
		func(_ context.Context, err *axle.Error) (*axle.Response, error) { l.add(name + "!"); return nil, err },
		append(opts, axle.Named(name))...)
}

// useRequest adds a fulfilled handler to the request chain that only acts.
func useRequest(c *axle.Client, act func(req *axle.Request)) axle.InterceptorID {
	return c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		act(req)
		return req, nil
	}, nil)
}

// useRejected adds a rejected handler to the response chain.
func useRejected(c *axle.Client, handle func(err *axle.Error) (*axle.Response, error), opts ...axle.UseOption) axle.InterceptorID {
	return c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) { return handle(err) }, opts...)
}

// useFulfilled adds a fulfilled handler to the response chain.
func useFulfilled(c *axle.Client, handle func(resp *axle.Response) (*axle.Response, error), opts ...axle.UseOption) axle.InterceptorID {
	return c.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) { return handle(resp) }, nil, opts...)
}

// asAxle is the *axle.Error that err is, not one that it wraps.
func asAxle(t *testing.T, err error) *axle.Error {
	t.Helper()
	require.Error(t, err)
	e, ok := err.(*axle.Error) //nolint:errorlint // the contract is about the error itself
	require.True(t, ok, "%T is not an *axle.Error: %v", err, err)
	require.NotNil(t, e)
	return e
}

// watchedBody counts how often it is closed, and fails reads after that.
type watchedBody struct {
	io.Reader
	closed atomic.Int64
}

func newWatchedBody(text string) *watchedBody { return &watchedBody{Reader: strings.NewReader(text)} }

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.closed.Load() > 0 {
		return 0, errors.New("read after close")
	}
	return b.Reader.Read(p)
}

func (b *watchedBody) Close() error { b.closed.Add(1); return nil }

func (b *watchedBody) isClosed() bool { return b.closed.Load() > 0 }

// watchedBodies answers every request with a fresh body, and keeps them all.
type watchedBodies struct {
	mu     sync.Mutex
	bodies []*watchedBody
	status func(n int) int // of the nth, from 1; nil: 200
}

func (w *watchedBodies) answer(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := newWatchedBody("streamed")
	w.bodies = append(w.bodies, b)
	status := http.StatusOK
	if w.status != nil {
		status = w.status(len(w.bodies))
	}
	return replyWith(r, status, b), nil
}

// open says which bodies have not been closed, counted from 1.
func (w *watchedBodies) open() (numbers []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, b := range w.bodies {
		if !b.isClosed() {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// newLoopback starts a server on the loopback interface and a client for it; both are gone when the test ends.
func newLoopback(t *testing.T, handler http.HandlerFunc) *axle.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return newClient().SetBaseURL(server.URL).SetTransport(transport)
}
