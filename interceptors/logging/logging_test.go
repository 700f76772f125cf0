package logging_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/logging"
)

func TestLogging_ARecordSaysWhatHappened(t *testing.T) {
	var j journal
	server, client := serve(t, answer(http.StatusCreated, "hello"))
	_, err := client.Use(logging.New(logging.WithLogger(j.logger()))).Post(t.Context(), "/a b", nil)
	require.NoError(t, err)

	r := j.only(t)
	assert.Positive(t, r["duration"])
	delete(r, "duration")
	delete(r, "time")
	assert.Equal(t, record{
		"level": "INFO", "msg": "http request", "method": "POST", "url": server.URL + "/a%20b",
		"status": 201, "bytes": 5, "attempt": 1,
	}, r)
}

func TestLogging_OneRecordPerAttempt(t *testing.T) {
	for _, tc := range []struct {
		name     string
		use      func(log axle.Plugin) []axle.Plugin
		statuses []any
		attempts []any
	}{
		{"before a replay", func(log axle.Plugin) []axle.Plugin { return []axle.Plugin{log, onceMore(replay)} }, []any{401, 200}, []any{1, 2}},
		{"after a replay: per call", func(log axle.Plugin) []axle.Plugin { return []axle.Plugin{onceMore(replay), log} }, []any{200}, []any{2}},
		{"before and after", func(log axle.Plugin) []axle.Plugin { return []axle.Plugin{log, onceMore(replay), log} }, []any{401, 200, 200}, []any{1, 2, 2}},
		{"before a Do, which goes on counting", func(log axle.Plugin) []axle.Plugin { return []axle.Plugin{log, onceMore(redo)} }, []any{401, 200}, []any{1, 2}},
		{"after a Do: its record, and the outer call's", func(log axle.Plugin) []axle.Plugin { return []axle.Plugin{onceMore(redo), log} }, []any{200, 200}, []any{2, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, expiredOnce())
			_, err := client.Use(tc.use(logging.New(logging.WithLogger(j.logger())))...).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, tc.statuses, each(j.records(t), "status"))
			assert.Equal(t, tc.attempts, each(j.records(t), "attempt"))
		})
	}
}

func TestLogging_ARequestStartsAtOneEachTimeItIsSent(t *testing.T) {
	var j journal
	_, client := serve(t, answer(200, ""))
	req := client.Use(logging.New(logging.WithLogger(j.logger()))).R(t.Context())
	for range 2 {
		_, err := req.Get("/")
		require.NoError(t, err)
	}
	assert.Equal(t, []any{1, 1}, each(j.records(t), "attempt"))
}

func TestLogging_AnUnsentRequestHasARecord(t *testing.T) {
	boom := func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errors.New("boom") }
	for _, tc := range []struct {
		name    string
		install func(c *axle.Client, log axle.Plugin)
	}{
		{"failed before logging's handler", func(c *axle.Client, log axle.Plugin) {
			c.Use(log).Interceptors.Request.Use(boom, nil, axle.Named("bomb"))
		}},
		{"failed after it", func(c *axle.Client, log axle.Plugin) {
			c.Interceptors.Request.Use(boom, nil, axle.Named("bomb"))
			c.Use(log)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			server, client := serve(t, answer(200, ""))
			tc.install(client, logging.New(logging.WithLogger(j.logger())))
			_, err := client.Get(t.Context(), "/x")
			require.ErrorIs(t, err, axle.CodeInterceptor)

			r := j.only(t)
			assert.Equal(t, "ERROR", r["level"])
			assert.Equal(t, server.URL+"/x", r["url"])
			assert.Equal(t, "ERR_INTERCEPTOR", r["code"])
			assert.Contains(t, r["error"], "interceptor bomb: boom")
			assert.Equal(t, 1, r["attempt"])
			assert.Contains(t, r, "duration")
			assert.NotContains(t, r, "status")
			assert.NotContains(t, r, "bytes")
		})
	}
}

func TestLogging_AReplayThatFailsUnsentIsAnAttempt(t *testing.T) {
	var j journal
	_, client := serve(t, expiredOnce())
	client.Use(logging.New(logging.WithLogger(j.logger())), onceMore(replay))
	sent := 0
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if sent++; sent == 2 {
			return nil, errors.New("no token")
		}
		return r, nil
	}, nil)
	_, err := client.Get(t.Context(), "/")
	require.Error(t, err)
	assert.Equal(t, []any{1, 2}, each(j.records(t), "attempt"))
	assert.Equal(t, []any{"ERR_BAD_REQUEST", "ERR_INTERCEPTOR"}, each(j.records(t), "code"))
}

func TestLogging_DurationWithoutAResponseIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		client := axle.New().SetBaseURL("https://api.example.com").SetTimeout(3 * time.Second)
		client.SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		_, err := client.Use(logging.New(logging.WithLogger(j.logger()))).Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeTimeout)
		r := j.only(t)
		assert.Equal(t, 3*time.Second, r["duration"])
		assert.Equal(t, "ETIMEDOUT", r["code"])
		assert.NotContains(t, r, "status")
	})
}

func TestLogging_Levels(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name   string
		ctx    context.Context //nolint:containedctx // a table's
		status int
		url    string
		level  string
	}{
		{"fulfilled", t.Context(), 200, "/", "INFO"},
		{"a refused 304", t.Context(), 304, "/", "WARN"},
		{"a refused 404", t.Context(), 404, "/", "WARN"},
		{"a refused 500", t.Context(), 500, "/", "ERROR"},
		{"cancelled", canceled, 200, "/", "INFO"},
		{"bad input", t.Context(), 200, "ftp://x/", "ERROR"},
		{"no server", t.Context(), 200, "http://127.0.0.1:1/", "ERROR"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status) })
			_, _ = client.Use(logging.New(logging.WithLogger(j.logger()))).Get(tc.ctx, tc.url)
			assert.Equal(t, tc.level, j.only(t)["level"])
		})
	}
}

func TestLogging_LevelFunction(t *testing.T) {
	var j journal
	_, client := serve(t, expiredOnce())
	client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithLevel(func(resp *axle.Response, err *axle.Error) slog.Level {
		if err == nil && resp.Request.URL == "/health" {
			return slog.LevelDebug
		}
		return logging.Level(resp, err)
	})))
	_, err := client.Get(t.Context(), "/health")
	require.Error(t, err)
	_, err = client.Get(t.Context(), "/health")
	require.NoError(t, err)
	assert.Equal(t, []any{"WARN", "DEBUG"}, each(j.records(t), "level"))
	assert.NotPanics(t, func() { logging.New(nil, logging.WithLevel(nil)).Install(client)() })
}

func TestLogging_DefaultLoggerIsLookedUpAtCallTime(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	_, client := serve(t, answer(200, ""))
	client.Use(logging.New(logging.WithLogger(nil)))
	var j journal
	slog.SetDefault(j.logger())
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	j.only(t)
}

type contextHandler struct{ slog.Handler }

type traceKey struct{}

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.Any("trace", ctx.Value(traceKey{})))
	return h.Handler.Handle(ctx, r)
}

func TestLogging_TheLoggerGetsTheRequestsContext(t *testing.T) {
	var j journal
	_, client := serve(t, answer(200, ""))
	client.Use(logging.New(logging.WithLogger(slog.New(contextHandler{j.logger().Handler()}))))
	_, err := client.Get(context.WithValue(t.Context(), traceKey{}, "t-1"), "/")
	require.NoError(t, err)
	assert.Equal(t, "t-1", j.only(t)["trace"])
}

func TestLogging_SyntheticAndEmptyResponses(t *testing.T) {
	var j journal
	server, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5") // as a HEAD's answer has it
	})
	client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10), logging.WithHeaders()))
	_, err := client.Head(t.Context(), "/")
	require.NoError(t, err)
	_, err = client.Get(t.Context(), "/", func(r *axle.Request) {
		r.Respond(axle.NewResponse(nil, 200, nil, []byte("cached")))
	})
	require.NoError(t, err)
	httpClient := client.HTTPClient() // behind the bridge every body is a stream
	resp, err := httpClient.Head(server.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	assert.Equal(t, []any{0, 6, 0}, each(j.records(t), "bytes"))
	assert.Equal(t, []any{200, 200, 200}, each(j.records(t), "status"))
	assert.Equal(t, []any{nil, "[no type, 6 bytes]", nil}, []any{j.records(t)[0].at("response.body"), j.records(t)[1].at("response.body"), j.records(t)[2].at("response.body")})
	for _, r := range j.records(t) {
		// The clock of a browser is too coarse for a response that nobody sent.
		if runtime.GOOS != "js" {
			assert.Positive(t, r["duration"], "a synthetic response's is measured")
		}
	}
}

func TestLogging_UninstallRemovesTheHandlers(t *testing.T) {
	var j journal
	_, client := serve(t, answer(200, ""))
	log := logging.New(logging.WithLogger(j.logger()))
	first, second := log.Install(client), log.Install(client)
	assert.Equal(t, "logging -> logging", client.Interceptors.Response.String())
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []any{1, 1}, each(j.records(t), "attempt"), "installed twice, it logs twice and counts once each")

	first()
	first()
	assert.Equal(t, 1, client.Interceptors.Request.Len())
	second()
	assert.Zero(t, client.Interceptors.Request.Len()+client.Interceptors.Response.Len())
	_, err = client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Len(t, j.records(t), 2)
}

func TestLogging_ManyClientsAndCallsShareOneInterceptor(t *testing.T) {
	var j journal
	_, a := serve(t, answer(200, `{"token":"x"}`))
	_, b := serve(t, answer(404, `{"token":"x"}`))
	log := logging.New(logging.WithLogger(j.logger()), logging.WithHeaders(), logging.WithBodies(100))
	a.Use(log, onceMore(replay))
	b.Use(log)
	var calls sync.WaitGroup
	for range 20 {
		for _, c := range []*axle.Client{a, b} {
			calls.Go(func() { _, _ = c.Post(t.Context(), "/", map[string]int{"a": 1}) })
		}
	}
	for range 20 {
		calls.Go(func() { log.Install(a)() })
	}
	calls.Wait()
	assert.GreaterOrEqual(t, len(j.records(t)), 40)
	for _, n := range each(j.records(t), "attempt") {
		assert.Equal(t, 1, n)
	}
}

func TestLogging_CostsNothingWhereItIsDisabled(t *testing.T) {
	measure := func(status int, opts ...logging.Option) float64 {
		client := memory(status)
		if opts != nil {
			client.Use(logging.New(opts...))
		}
		return testing.AllocsPerRun(200, func() { _, _ = client.Get(t.Context(), "/") })
	}
	all := []logging.Option{logging.WithHeaders(), logging.WithBodies(100)}
	const within = 0.5 // the runtime's own
	assert.InDelta(t, measure(200), measure(200, append(all, logging.WithLogger(slog.New(slog.DiscardHandler)))...), within)
	assert.InDelta(t, measure(404), measure(404, append(all, logging.WithLogger(levelLogger(slog.LevelError+1)))...), within)
	assert.InDelta(t, measure(200)+1, measure(200, append(all, logging.WithLogger(levelLogger(slog.LevelWarn)))...), within,
		"one where only failures are logged: the attempt's number and start")
}

func BenchmarkLogging(b *testing.B) {
	for name, opts := range map[string][]logging.Option{
		"none": nil, "disabled": {logging.WithLogger(slog.New(slog.DiscardHandler))}, "failures": {logging.WithLogger(levelLogger(slog.LevelWarn))},
		"enabled": {logging.WithLogger(levelLogger(slog.LevelInfo))}, "headers": {logging.WithLogger(levelLogger(slog.LevelInfo)), logging.WithHeaders()},
	} {
		b.Run(name, func(b *testing.B) {
			client := memory(200)
			if opts != nil {
				client.Use(logging.New(opts...))
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = client.Get(b.Context(), "/")
			}
		})
	}
}

func Example() {
	handler := slog.NewTextHandler(exampleOutput{}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{} // they differ each time
		}
		return a
	}})
	client := axle.New().SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
		body := `{"access_token":"s3cr3t","expires_in":3600}`
		header := http.Header{"Content-Type": {"application/json"}}
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}))
	client.Use(logging.New(logging.WithLogger(slog.New(handler)), logging.WithBodies(200)))

	_, err := client.Post(context.Background(), "https://api.example.com/login?code=s3cr3t", url.Values{"user": {"gopher"}, "password": {"s3cr3t"}})
	fmt.Println(err)
	// Output:
	// level=INFO msg="http request" method=POST url="https://api.example.com/login?code=REDACTED" status=200 bytes=43 attempt=1 request.body="password=REDACTED&user=gopher" response.body="{\"access_token\":\"REDACTED\",\"expires_in\":3600}"
	// <nil>
}

// exampleOutput is os.Stdout at the time of the record: go test replaces it.
type exampleOutput struct{}

func (exampleOutput) Write(p []byte) (int, error) { return fmt.Print(string(p)) }

func TestLogging_TheOperationIsInTheRecordOfACallThatHasOne(t *testing.T) {
	for _, status := range []int{200, 404} {
		out := &journal{}
		c := memory(status)
		c.Use(logging.New(logging.WithLogger(out.logger())))
		_, _ = c.Get(t.Context(), "/users/7", axle.Operation("users.get"))
		_, _ = c.Get(t.Context(), "/users/7")

		records := out.records(t)
		require.Len(t, records, 2)
		assert.Equal(t, "users.get", records[0]["operation"], status)
		assert.NotContains(t, records[1], "operation", status)
	}
}
