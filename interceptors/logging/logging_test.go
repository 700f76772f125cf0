package logging_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/logging"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
			if n, ok := v.(float64); ok {
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
func redo(r *axle.Request) (*axle.Response, error)   { return r.Client().Do(r) }

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
		assert.Equal(t, int(3*time.Second), r["duration"])
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

func TestP10_RedactionIsTheDefault(t *testing.T) {
	const secret = "s3cr3t-value"
	handlers := map[string]http.HandlerFunc{
		"fulfilled": answer(200, `{"access_token":"`+secret+`"}`),
		"refused":   answer(401, `{"access_token":"`+secret+`"}`),
		"broken": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			var j journal
			server, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Set-Cookie", "session="+secret)
				w.Header().Set("X-Refreshed-Token", secret)
				w.Header().Set("X-Mine", secret)
				w.Header().Set("Content-Location", "https://me:"+secret+"@example.com/?code="+secret)
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("X-Plain", "plain-response")
				h(w, r)
			})
			client.SetSensitiveHeaders("X-Mine").SetCookieJar(nil).SetHeader("X-Api-Key", secret).SetQueryParam("api_key", secret)
			client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithHeaders(), logging.WithBodies(1<<10)))
			u := strings.Replace(server.URL, "http://", "http://me:"+secret+"@", 1) + "/?access_token=" + secret + "&page=2#" + secret
			_, _ = client.Post(t.Context(), u, map[string]string{"password": secret, "name": "gopher"}, func(r *axle.Request) {
				r.SetHeader("Authorization", "Bearer "+secret).SetHeader("Cookie", "session="+secret).SetHeader("X-Mine", secret)
				r.SetHeader("X-Plain", "plain-request")
			})

			r := j.only(t)
			assert.NotContains(t, j.String(), secret)
			assert.NotContains(t, j.String(), url.QueryEscape(secret))
			assert.Contains(t, r["url"], "page=2")
			assert.Contains(t, r.at("request.body"), "gopher")
			for _, name := range []string{"Authorization", "Cookie", "X-Mine"} {
				assert.Equal(t, "REDACTED", r.at("request.header."+name), name)
			}
			assert.Equal(t, "plain-request", r.at("request.header.X-Plain"))
			if name == "broken" {
				assert.NotContains(t, r, "response")
				return
			}
			for _, name := range []string{"Set-Cookie", "X-Refreshed-Token", "X-Mine"} {
				assert.Equal(t, "REDACTED", r.at("response.header."+name), name)
			}
			assert.Equal(t, "plain-response", r.at("response.header.X-Plain"))
			assert.Contains(t, r.at("response.body"), "access_token")
		})
	}
}

func TestLogging_NeitherHeadersNorBodiesUnlessAskedFor(t *testing.T) {
	var j journal
	_, client := serve(t, answer(200, `{"a":1}`))
	_, err := client.Use(logging.New(logging.WithLogger(j.logger()))).Post(t.Context(), "/", map[string]int{"b": 2})
	require.NoError(t, err)
	assert.NotContains(t, j.only(t), "request")
	assert.NotContains(t, j.only(t), "response")
}

func TestLogging_ErrorTextsAreScrubbed(t *testing.T) {
	const secret = "s3cr3t-value"
	for _, tc := range []struct{ text, want string }{
		{`Get "https://me:s3cr3t-value@h/p?access_token=s3cr3t-value&a=1": dial`, `Get "https://REDACTED@h/p?access_token=REDACTED&a=1": dial`},
		{`no answer from https://h/p?token=s3cr3t-value: reset`, `no answer from https://h/p?token=REDACTED: reset`},
		{`postgres://me:s3cr3t-value@db/x is down`, `postgres://REDACTED@db/x is down`},
		{`sent Authorization: Bearer s3cr3t-value, refused`, `sent Authorization: Bearer REDACTED, refused`},
		{`sent eyJhbGciOiJIUzI1NiJ9.s3cr3t-value.abc twice`, `sent REDACTED twice`},
		{`grant refresh_token=s3cr3t-value&x=1 failed`, `grant refresh_token=REDACTED&x=1 failed`},
		{`(password=p)s3cr3t-value'x).`, `(password=REDACTED).`},
		{`token=x, pin=1`, `token=REDACTED, pin=REDACTED`},
		{`with access%5Ftoken=s3cr3t-value`, `with access%5Ftoken=REDACTED`},
		{`password="my \" s3cr3t-value", user="me"`, `password=REDACTED, user="me"`},
		{`Response: {"refresh_token": "s3cr3t-value", "error": "x"}`, `Response: {"refresh_token": "REDACTED", "error": "x"}`},
		{`Response: "{\"refresh_token\":\"a\\\"s3cr3t-value\",\"error\":\"x\"}"`, `Response: "{\"refresh_token\":\"REDACTED\",\"error\":\"x\"}"`},
		{`{"pin": 12345678}`, `{"pin": "REDACTED"}`},
		{`the token: it has expired; keyboard=us`, `the token: it has expired; keyboard=us`}, // what went wrong stays readable
	} {
		t.Run(tc.text, func(t *testing.T) {
			var j journal
			client := axle.New().SetTransport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New(tc.text) }))
			_, err := client.Use(logging.New(logging.WithLogger(j.logger()))).Get(t.Context(), "http://h/")
			require.ErrorIs(t, err, axle.CodeNetwork)
			text := j.only(t)["error"]
			assert.NotContains(t, text, secret)
			assert.Equal(t, "axle: GET http://h/: ERR_NETWORK: "+tc.want, text)
		})
	}
}

func TestLogging_TokenLikeBodyFieldsAreRedacted(t *testing.T) {
	const asJSON, asForm, asText = "application/json", "application/x-www-form-urlencoded", "text/plain; charset=utf-8"
	for _, tc := range []struct{ name, contentType, body, want string }{
		{"top level", asJSON, `{"access_token":"x","expires_in":60}`, `{"access_token":"REDACTED","expires_in":60}`},
		{"any depth", asJSON, `{"a":[{"b":{"refreshToken":"x","c":1}}]}`, `{"a":[{"b":{"refreshToken":"REDACTED","c":1}}]}`},
		{"any type", asJSON, `{"pin":1234,"client_secret":["x",{"y":"z"}],"password":{"x":[1]},"token":null}`,
			`{"pin":"REDACTED","client_secret":"REDACTED","password":"REDACTED","token":null}`},
		{"an escaped name", asJSON, `{"access\u005ftoken":"x"}`, `{"access_token":"REDACTED"}`},
		{"a problem", "application/problem+json", `{"title":"no","token":"x"}`, `{"title":"no","token":"REDACTED"}`},
		{"order, numbers and repetitions stay", asJSON, `{"z":1.50,"a":12345678901234567890,"z":"<&>"}`, `{"z":1.50,"a":12345678901234567890,"z":"<&>"}`},
		{"a URL in a value", asJSON, `{"next":"https://h/?access_token=x&p=2"}`, `{"next":"https://h/?access_token=REDACTED&p=2"}`},
		{"JSON in a string", asJSON, `{"payload":"{\"password\":\"x\",\"a\":1}"}`, `{"payload":"{\"password\":\"REDACTED\",\"a\":1}"}`},
		{"a bare JWT", asJSON, `"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.sig"`, `"REDACTED"`},
		{"several values", asJSON, "{\"token\":\"x\"}\n{\"token\":\"y\"}\n", "{\"token\":\"REDACTED\"}\n{\"token\":\"REDACTED\"}"},
		{"cut off in a secret", asJSON, `{"a":1,"access_token":"xyz`, `{"a":1,"access_token":… [unreadable from here]`},
		{"broken before a secret", asJSON, `{"a":1,,"access_token":"xyz"}`, `{"a":1,… [unreadable from here]`},
		{"JSON that is called text", asText, ` {"password":"x"}`, `{"password":"REDACTED"}`},
		{"JSON that is called text, after white space", asText, strings.Repeat(" ", 100) + `{"password":["x"]}`, `{"password":"REDACTED"}`},
		{"JSON that is called a form", asForm, `{"password":"x"}`, `{"password":"REDACTED"}`},
		{"JSON without a type", "", `{"password":"x"}`, `{"password":"REDACTED"}`},
		{"a form", asForm, "grant_type=refresh_token&refresh_token=x&user%5Bpassword%5D=y&a=1", "grant_type=refresh_token&refresh_token=REDACTED&user%5Bpassword%5D=REDACTED&a=1"},
		{"a form as it should not be", asForm, "password=a;b'c d<e>&a=1", "password=REDACTED&a=1"},
		{"text", asText, "hello\nPassword: x y\nfine: yes\napi_key=x", "hello\nPassword: REDACTED\nfine: yes\napi_key=REDACTED"},
		{"text without a type", "", "hello", "[no type, 5 bytes]"},
		{"an image", "image/png", "\x89PNG", "[image/png, 4 bytes]"},
		{"markup", "text/html", "<input name=csrf value=x>", "[text/html, 25 bytes]"},
		{"binary that is called JSON", asJSON, "{\"a\x00\":1}", "[application/json, 8 bytes]"},
		{"nothing", asJSON, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want any
			if tc.want != "" {
				want = tc.want
			}
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{tc.contentType}
				_, _ = io.WriteString(w, tc.body)
			})
			resp, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10))).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, tc.body, resp.String(), "the body itself stays as it is")
			assert.Equal(t, want, j.only(t).at("response.body"))
			assert.Equal(t, len(tc.body), j.only(t)["bytes"])
		})
	}
}

func TestLogging_RequestBodies(t *testing.T) {
	for _, tc := range []struct {
		name string
		body any
		want any
	}{
		{"none", nil, nil},
		{"JSON", struct {
			Password string `json:"password"`
		}{"x"}, `{"password":"REDACTED"}`},
		{"a form", url.Values{"client_secret": {"x"}, "a": {"1"}}, "a=1&client_secret=REDACTED"},
		{"text", "hello", "hello"},
		{"bytes", []byte("hello"), "[application/octet-stream, 5 bytes]"},
		{"a stream", strings.NewReader("hello"), "[stream]"},
		{"what cannot be encoded", func() {}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
			resp, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10))).Post(t.Context(), "/", tc.body)
			assert.Equal(t, tc.want, j.only(t).at("request.body"))
			if tc.want == "[stream]" {
				require.NoError(t, err)
				assert.Equal(t, "hello", resp.String(), "the stream was sent whole")
			}
		})
	}
}

func TestLogging_BodiesAreCutAtTheLimit(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, body string
		limit                   int
		want                    string
	}{
		{"at a rune", "text/plain", "aöö", 2, "a… (5 bytes)"},
		{"exactly", "text/plain", "aöö", 5, "aöö"},
		{"JSON", "application/json", `{"a":"0123456789"}`, 8, `{"a":"01… (18 bytes)`},
		{"a secret across the limit", "application/json", `{"token":"0123456789"}`, 12, `{"token":"RE… (22 bytes)`},
		{"userinfo across the limit", "text/plain", "http://me:0123456789@h/", 14, "http://REDACTE… (23 bytes)"},
		{"nothing but type and length", "application/json", `{"a":1}`, 0, "[application/json, 7 bytes]"},
		{"a negative limit", "application/json", `{"a":1}`, -1, "[application/json, 7 bytes]"},
		{"a long secret", "application/x-www-form-urlencoded", "token=" + strings.Repeat("x", 1<<13), 100, "token=REDACTED… (8198 bytes)"},
		{"long text", "text/plain", strings.Repeat("x", 1<<16), 3, "xxx… (65536 bytes)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				_, _ = io.WriteString(w, tc.body)
			})
			_, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(tc.limit))).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, tc.want, j.only(t).at("response.body"))
		})
	}
}

func TestLogging_NestingIsBounded(t *testing.T) {
	for _, body := range []string{strings.Repeat("[", 1<<20), `{"token":` + strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18)} {
		var j journal
		client := memory(200)
		client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<30)))
		_, err := client.Get(t.Context(), "/", func(r *axle.Request) {
			r.Respond(axle.NewResponse(nil, 200, http.Header{"Content-Type": {"application/json"}}, []byte(body)))
		})
		require.NoError(t, err)
		shown, _ := j.only(t).at("response.body").(string)
		assert.True(t, strings.HasSuffix(shown, "… [unreadable from here]"))
		assert.Less(t, len(shown), 1<<17)
	}
}

func TestLogging_StreamsAreNeverTouched(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flush bool
		bytes any
	}{
		{"of announced length", false, 5},
		{"of unknown length", true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.flush {
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, "hello")
			})
			client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10), logging.WithHeaders()))
			resp, err := client.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			defer resp.Stream().Close()
			assert.Equal(t, "[stream]", j.only(t).at("response.body"))
			assert.Equal(t, tc.bytes, j.only(t)["bytes"])
			body, err := io.ReadAll(resp.Stream())
			require.NoError(t, err)
			assert.Equal(t, "hello", string(body))
		})
	}
}

func TestLogging_AnEncodedBodyIsOpaque(t *testing.T) {
	var j journal
	_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "zstd")
		_, _ = io.WriteString(w, `{"a":1}`)
	})
	_, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10))).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "[application/json, 7 bytes]", j.only(t).at("response.body"))
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
		assert.Positive(t, r["duration"], "a synthetic response's is measured")
	}
}

func TestLogging_AnInvalidURLIsRedactedToo(t *testing.T) {
	var j journal
	client := axle.New().Use(logging.New(logging.WithLogger(j.logger())))
	_, err := client.Get(t.Context(), "ftp://me:s3cr3t@h/?token=s3cr3t")
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	assert.Equal(t, "ftp://REDACTED@h/?token=REDACTED", j.only(t)["url"])
	assert.NotContains(t, j.String(), "s3cr3t")
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

// memory answers without a socket.
func memory(status int) *axle.Client {
	return axle.New().SetBaseURL("http://h").SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}))
}

func levelLogger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
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
