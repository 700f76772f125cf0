package breaker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/internal/axletest"
)

// server is a network in memory. A request for /204 gets that status, one for /broken no response,
// one for /cut a body that breaks off, one for /hang an answer when its context ends, and one for /
// what now says.
type server struct {
	*axletest.FakeTransport
	now string // a path
}

func newServer(now string, opts ...breaker.Option) (*axle.Client, *server) {
	s := &server{now: now}
	client, transport := axletest.NewFakeClient(s.answer)
	s.FakeTransport = transport
	return client.Use(breaker.New(opts...)), s
}

func (s *server) answer(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}

	path := r.URL.Path
	if path == "/" {
		path = s.now
	}
	switch path {
	case "/broken":
		return nil, errors.New("connection reset by peer")
	case "/hang":
		return axletest.Hang(r)
	case "/cut":
		body := io.MultiReader(strings.NewReader("begin"), failingReader{})
		return axletest.ReplyWith(r, http.StatusOK, io.NopCloser(body)), nil
	}
	status := 0
	for _, digit := range strings.TrimPrefix(path, "/") {
		status = status*10 + int(digit-'0')
	}
	return axletest.Reply(r, status, "body"), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// isRefused reports whether the breaker refuses a call, which is then not sent.
func (s *server) isRefused(t *testing.T, c *axle.Client, url string, edits ...func(*axle.Request)) bool {
	t.Helper()
	before := s.Sent.Load()
	_, err := c.Get(t.Context(), url, edits...)
	_, isOpen := errors.AsType[*breaker.OpenError](err)
	if isOpen {
		assert.Equal(t, axle.CodeInterceptor, axletest.AsAxle(t, err).Code)
		assert.Equal(t, before, s.Sent.Load(), "a call that is refused is not sent")
	}
	return isOpen
}

// fail makes this many calls, which the breaker lets through.
func (s *server) fail(t *testing.T, c *axle.Client, calls int) {
	t.Helper()
	for range calls {
		require.False(t, s.isRefused(t, c, "/500"))
	}
}

// times replays each failed call until it has this many attempts.
func times(attempts int) axle.Plugin {
	made := axle.NewKey[int]("attempts")
	return axle.OnResponse("times", nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		for {
			n, _ := made.Get(err.Request)
			if n+1 >= attempts {
				return nil, err
			}
			made.Set(err.Request, n+1)
			resp, failed := err.Request.Replay()
			if failed == nil {
				return resp, nil
			}
			if !errors.As(failed, &err) {
				return nil, failed
			}
		}
	})
}
