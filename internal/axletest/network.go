package axletest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// ErrBoom is the error of a handler or a network where the test does not care which error it is.
var ErrBoom = errors.New("boom")

// FakeTransport answers requests in memory and counts them.
type FakeTransport struct {
	Answer func(*http.Request) (*http.Response, error)
	Sent   atomic.Int64
}

// RoundTrip counts the request, answers it and closes its body.
func (f *FakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	f.Sent.Add(1)
	return f.Answer(r)
}

// RoundTripFunc is a transport that is one function.
type RoundTripFunc func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f RoundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// NewRequest returns a request that carries the context of the test.
func NewRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	return req
}

// Reply is a response from a fake network.
func Reply(r *http.Request, status int, body string) *http.Response {
	return ReplyWith(r, status, io.NopCloser(strings.NewReader(body)))
}

// ReplyWith is a response from a fake network. Its body has no known length.
func ReplyWith(r *http.Request, status int, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status:        http.StatusText(status),
		StatusCode:    status,
		Header:        http.Header{},
		Body:          body,
		ContentLength: -1,
		Request:       r,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
	}
}

// Always answers every request alike.
func Always(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) { return Reply(r, status, body), nil }
}

// Unreachable is a network that fails.
func Unreachable(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }

// Hang answers when the context of the request ends, as a transport does.
func Hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}
