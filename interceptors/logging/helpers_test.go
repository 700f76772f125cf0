package logging_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/axletest"
)

// TestMain fails the package when a test leaves a goroutine behind.
func TestMain(m *testing.M) { axletest.Main(m) }

// journal is a logger's output, record by record.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type record map[string]any

// at returns the value at a dotted path, or nil.
func (r record) at(path string) any {
	var v any = map[string]any(r)
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func (j *journal) records(t *testing.T) []record {
	t.Helper()
	var out []record
	lines := bufio.NewScanner(strings.NewReader(j.String()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := record{}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		for name, v := range r {
			n, ok := v.(float64)
			switch {
			case !ok:
			case name == "duration":
				r[name] = time.Duration(n)
			default:
				r[name] = int(n)
			}
		}
		out = append(out, r)
	}
	return out
}

func (j *journal) only(t *testing.T) record {
	t.Helper()
	records := j.records(t)
	require.Len(t, records, 1, "records")
	return records[0]
}

// each returns one attribute of every record.
func each(records []record, name string) []any {
	var out []any
	for _, r := range records {
		out = append(out, r[name])
	}
	return out
}

// serve starts a server, and returns a client of it that closes its connections at the end.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, *axle.Client) {
	t.Helper()
	server := httptest.NewServer(h)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return server, axle.New().SetBaseURL(server.URL).SetTransport(transport)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// expiredOnce answers 401, and then 200.
func expiredOnce() http.HandlerFunc {
	calls := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, "hello")
	}
}

// onceMore is what auth does, in short: it sends what was answered with 401 again, by send.
func onceMore(send func(*axle.Request) (*axle.Response, error)) axle.Plugin {
	done := axle.NewKey[bool]("done")
	return axle.PluginFunc(func(c *axle.Client) func() {
		id := c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			if again, _ := done.Get(err.Request); again || err.StatusCode() != http.StatusUnauthorized {
				return nil, err
			}
			done.Set(err.Request, true)
			return send(err.Request)
		}, axle.Named("onceMore"))
		return func() { c.Interceptors.Response.Eject(id) }
	})
}

func replay(r *axle.Request) (*axle.Response, error) { return r.Replay() }

func redo(r *axle.Request) (*axle.Response, error) { return r.Client().Do(r) }

// memory answers without a socket.
func memory(status int) *axle.Client {
	return axle.New().SetBaseURL("http://h").SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}))
}

func levelLogger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
}
