package retry_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

var errReset = errors.New("connection reset by peer")

// reset stands for a network error where a network has a list of statuses.
const reset = 0

// network answers the n-th request with the n-th status, and all later requests with the last one.
// It notes each request.
type network struct {
	statuses []int
	header   http.Header // of each response

	mu   sync.Mutex
	sent []*http.Request
	at   []time.Time
}

func answering(statuses ...int) *network { return &network{statuses: statuses} }

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = append(n.sent, r)
	n.at = append(n.at, time.Now())

	status := n.statuses[min(len(n.sent), len(n.statuses))-1]
	if status == reset {
		return nil, errReset
	}
	resp := axletest.Reply(r, status, http.StatusText(status))
	if n.header != nil {
		resp.Header = n.header.Clone()
	}
	return resp, nil
}

func (n *network) attempts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.sent)
}

// waits returns the times between the attempts.
func (n *network) waits() (list []time.Duration) {
	for i := 1; i < len(n.at); i++ {
		list = append(list, n.at[i].Sub(n.at[i-1]))
	}
	return list
}

// headers returns the values of a header, one for each attempt.
func (n *network) headers(name string) (list []string) {
	for _, r := range n.sent {
		list = append(list, r.Header.Get(name))
	}
	return list
}

func newClient(n http.RoundTripper, opts ...retry.Option) *axle.Client {
	return axle.New().SetBaseURL("http://axle.test").SetTransport(n).SetCookieJar(nil).Use(retry.New(opts...))
}

// events collects what OnRetry tells.
type events struct {
	mu   sync.Mutex
	list []retry.Event
}

func (e *events) option() retry.Option {
	return retry.OnRetry(func(_ context.Context, event retry.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.list = append(e.list, event)
	})
}

// finals returns the Final of each event.
func (e *events) finals() (list []retry.Reason) {
	for _, event := range e.list {
		list = append(list, event.Final)
	}
	return list
}

// inBubble runs a test whose waits take no time.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// asAxle returns the *axle.Error that err is.
func asAxle(t *testing.T, err error) *axle.Error {
	t.Helper()
	require.Error(t, err)
	return axletest.AsAxle(t, err)
}
