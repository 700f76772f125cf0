package limit_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/internal/axletest"
)

// timeline notes when each request reached the network, counted from its own start.
type timeline struct {
	start time.Time
	mu    sync.Mutex
	sent  []time.Duration
}

func newTimeline() *timeline { return &timeline{start: time.Now()} }

func (l *timeline) note() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, time.Since(l.start))
	return len(l.sent)
}

// answering returns a client whose first response has this status and header, and whose others are
// empty 200s.
func answering(status int, header http.Header, opts ...limit.Option) (*axle.Client, *timeline) {
	sent := newTimeline()
	client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
		if sent.note() > 1 {
			return axletest.Reply(r, http.StatusOK, ""), nil
		}
		resp := axletest.Reply(r, status, "")
		resp.Header = header.Clone()
		return resp, nil
	})
	return client.Use(limit.New(opts...)), sent
}

// quiet returns a client whose network answers each request with an empty 200.
func quiet(opts ...limit.Option) (*axle.Client, *timeline) {
	return answering(http.StatusOK, http.Header{}, opts...)
}

func get(t *testing.T, c *axle.Client, url string, edits ...func(*axle.Request)) {
	t.Helper()
	_, err := c.Get(t.Context(), url, edits...)
	require.NoError(t, err)
}

// refused returns the WaitError of a call that failed with this code.
func refused(t *testing.T, err error, code axle.Code) *limit.WaitError {
	t.Helper()
	assert.Equal(t, code, axletest.AsAxle(t, err).Code)
	wait, ok := errors.AsType[*limit.WaitError](err)
	require.True(t, ok, "%v", err)
	return wait
}

func seconds(n ...float64) []time.Duration {
	list := make([]time.Duration, len(n))
	for i, s := range n {
		list[i] = time.Duration(s * float64(time.Second))
	}
	return list
}
