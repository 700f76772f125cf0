package axleotel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
	axleotel "github.com/axlehttp/axle/otel"
)

// Spans of calls.

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// onceUnavailable responds to the first request with a 503, and to the others with a 200.
func onceUnavailable() http.HandlerFunc {
	var requests atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		ok(w, r)
	}
}

// again replays a call whose first attempt failed.
var again = axle.OnResponse("again", nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
	if err.Request.Attempt() > 1 {
		return nil, err
	}
	return err.Request.Replay()
})

func TestCall_ItsSpanHasTheNameAndTheAttributesOfTheConventions(t *testing.T) {
	for name, x := range map[string]struct {
		method, url string
		edit        func(*axle.Request)
		name        string
		want        map[string]any
	}{
		"a URL":                  {http.MethodGet, "/users/7", nil, "GET", map[string]any{"http.request.method": "GET"}},
		"a method in lower case": {"post", "/users", nil, "POST", map[string]any{"http.request.method": "POST"}},
		"an unknown method":      {"PURGE", "/users/7", nil, "HTTP", map[string]any{"http.request.method": "_OTHER"}},
		"a template": {
			http.MethodGet, "/users/{id}?page={page}",
			func(r *axle.Request) { r.SetPathParam("id", "7").SetPathParam("page", "2") }, "GET /users/{id}",
			map[string]any{"http.request.method": "GET", "url.template": "/users/{id}"},
		},
		"an operation": {
			http.MethodGet, "/users/{id}",
			func(r *axle.Request) { r.SetPathParam("id", "7").With(axle.Operation("users.get")) }, "users.get",
			map[string]any{"http.request.method": "GET", "url.template": "/users/{id}", "axle.operation": "users.get"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t)
			client := tel.client(t, ok)
			req := client.R(t.Context()).With(x.edit)
			resp, err := req.Execute(x.method, x.url)
			require.NoError(t, err)

			span := tel.spans().calls().one(t)
			assert.Equal(t, x.name, span.Name)
			assert.Equal(t, trace.SpanKindInternal, span.SpanKind)
			assert.Equal(t, codes.Unset, span.Status.Code)

			u := resp.Raw().Request.URL
			want := map[string]any{
				"url.full": u.String(), "server.address": "127.0.0.1", "server.port": port(t, u.Port()),
				"http.response.status_code": int64(200), "axle.attempts": int64(1),
			}
			maps.Copy(want, x.want)
			assert.Equal(t, want, attributes(span.Attributes))
		})
	}
}

func port(t *testing.T, text string) (number int64) {
	t.Helper()
	_, err := fmt.Sscan(text, &number)
	require.NoError(t, err)
	return number
}

func TestCall_IsUnderTheSpanOfItsCaller(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	ctx, caller := tel.tracer.Start(t.Context(), "caller")
	_, err := client.Get(ctx, "/")
	require.NoError(t, err)
	assert.Equal(t, caller.SpanContext().SpanID(), tel.spans().calls().one(t).Parent.SpanID())
}

func TestCall_TheOtherHandlersRunUnderItsSpanInEveryAttempt(t *testing.T) {
	tel := newTelemetry(t)
	var seen []trace.SpanID
	note := func(ctx context.Context) { seen = append(seen, trace.SpanContextFromContext(ctx).SpanID()) }
	client := tel.client(t, onceUnavailable(),
		axle.OnRequest("request", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
			note(ctx)
			return r, nil
		}, nil),
		again,
		axle.OnResponse("response", func(ctx context.Context, r *axle.Response) (*axle.Response, error) {
			note(ctx)
			return r, nil
		}, nil),
	)
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)

	id := tel.spans().calls().one(t).SpanContext.SpanID()
	assert.Equal(t, []trace.SpanID{id, id, id}, seen)
}

func TestCall_HasOneSpanWithAnEventForEachAttempt(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, onceUnavailable(), again)
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)

	span := tel.spans().calls().one(t)
	assert.Equal(t, []string{"axle.attempt", "axle.replay"}, events(span))
	assert.Equal(t, int64(1), attributes(span.Events[0].Attributes)["axle.attempt"])
	assert.Equal(t, int64(2), attributes(span.Events[1].Attributes)["axle.attempt"])
	assert.Equal(t, int64(2), attributes(span.Attributes)["axle.attempts"])
	assert.Equal(t, int64(1), tel.count(t, "axle.replays"))
}

func TestCall_AReplayOfAnAttemptThatWasNotSentIsNoCallOfItsOwn(t *testing.T) {
	tel := newTelemetry(t)
	refusals := 0
	client := tel.client(t, ok,
		axle.OnRequest("refusing", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			if refusals++; refusals == 1 {
				return nil, errors.New("not yet")
			}
			return r, nil
		}, nil),
		again,
	)
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"axle.attempt", "axle.replay"}, events(tel.spans().calls().one(t)))
}

func TestCall_AFailureIsTheStatusOfItsSpan(t *testing.T) {
	boom := errors.New("boom")
	for name, x := range map[string]struct {
		serve     http.HandlerFunc
		edit      func(*axle.Request)
		plugin    axle.Plugin
		errorType string
	}{
		"a refused status": {
			serve:     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
			errorType: "404",
		},
		"a network that fails": {
			serve:     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			errorType: "ERR_NETWORK",
		},
		"a time limit": {
			serve:     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			edit:      func(r *axle.Request) { r.SetTimeout(10 * time.Millisecond) },
			errorType: "ETIMEDOUT",
		},
		"a handler": {
			plugin: axle.OnResponse("boom", func(context.Context, *axle.Response) (*axle.Response, error) {
				return nil, boom
			}, nil),
			errorType: "ERR_INTERCEPTOR",
		},
		"a request handler": {
			plugin: axle.OnRequest("boom", func(context.Context, *axle.Request) (*axle.Request, error) {
				return nil, boom
			}, nil),
			errorType: "ERR_INTERCEPTOR",
		},
		"a request that cannot be sent": {
			edit:      func(r *axle.Request) { r.SetBody(make(chan int)) },
			errorType: "ERR_BAD_OPTION_VALUE",
		},
		"a body that does not decode": {
			edit:      func(r *axle.Request) { r.SetResult(new(struct{ A int })) },
			errorType: "ERR_BAD_RESPONSE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t)
			serve := x.serve
			if serve == nil {
				serve = ok
			}
			client := tel.client(t, serve)
			if x.plugin != nil {
				client.Use(x.plugin)
			}

			_, err := client.R(t.Context()).With(x.edit).Post("/")
			require.Error(t, err)
			span := tel.spans().calls().one(t)
			assert.Equal(t, codes.Error, span.Status.Code)
			assert.Equal(t, err.Error(), span.Status.Description)
			assert.Equal(t, x.errorType, attributes(span.Attributes)["error.type"])
		})
	}
}

func TestCall_ARequestThatAnEarlierHandlerRejectsHasASpan(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	client.Use(axle.OnRequest("outside", func(context.Context, *axle.Request) (*axle.Request, error) {
		return nil, errors.New("boom")
	}, nil))
	_, err := client.Get(t.Context(), "/")
	require.Error(t, err)
	assert.Equal(t, codes.Error, tel.spans().calls().one(t).Status.Code)
}

func TestCall_OfAStreamTheSpanEndsWhenTheStreamIsClosed(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	resp, err := client.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Empty(t, tel.spans().calls())

	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, "hello", string(body))
	tel.spans().calls().one(t)
}

func TestCall_ARequestThatIsSentTwiceHasTwoSpans(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	req := client.R(t.Context())
	resp, err := req.Get("/")
	require.NoError(t, err)

	// The request of an earlier call has the values of that call's keys.
	_, err = client.Do(resp.Request)
	require.NoError(t, err)
	_, err = req.Get("/")
	require.NoError(t, err)
	assert.Len(t, tel.spans().calls(), 3)
	assert.Zero(t, tel.count(t, "axle.replays"))
}

func TestCall_WhatAHandlerSendsHasASpanBelowThatOfItsCall(t *testing.T) {
	for name, send := range map[string]func(ctx context.Context, err *axle.Error) *axle.Request{
		"the request of the call": func(_ context.Context, err *axle.Error) *axle.Request { return err.Request },
		"another request": func(ctx context.Context, err *axle.Error) *axle.Request {
			return err.Request.Client().R(ctx).SetURL("/fallback")
		},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t)
			client := tel.client(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}, axle.OnResponse("sending", nil, func(ctx context.Context, err *axle.Error) (*axle.Response, error) {
				if err.Request.Nested() || strings.HasSuffix(err.Request.URL, "/fallback") {
					return nil, err
				}
				return err.Request.Client().Do(send(ctx, err))
			}))
			_, err := client.Get(t.Context(), "/")
			require.Error(t, err)

			calls := tel.spans().calls()
			require.Len(t, calls, 2)
			assert.Equal(t, calls[0].SpanContext.SpanID(), calls[1].Parent.SpanID())
			assert.Equal(t, []string{"axle.attempt"}, events(calls[0]))
			assert.Equal(t, []string{"axle.attempt"}, events(calls[1]))
		})
	}
}

func TestCall_BehindAnHTTPClientTheSpanEndsWithTheBody(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, client.BaseURL()+"/", http.NoBody)
	require.NoError(t, err)
	resp, err := client.HTTPClient().Do(req)
	require.NoError(t, err)
	assert.Empty(t, tel.spans().calls())

	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	call := tel.spans().calls().one(t)
	assert.Equal(t, call.SpanContext.SpanID(), tel.spans().requests().one(t).Parent.SpanID())
}

func TestSkip_KeepsACallOutOfTracesAndMetrics(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, onceUnavailable(), again)
	_, err := client.Get(t.Context(), "/", axleotel.Skip)
	require.NoError(t, err)
	assert.Empty(t, tel.spans())
	assert.Zero(t, tel.count(t, "axle.replays"))
}

func TestSkip_TheHandlersAllocateNothing(t *testing.T) {
	measure := func(plugins ...axle.Plugin) float64 {
		client := axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).Use(plugins...).
			SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
			}))
		return testing.AllocsPerRun(200, func() { _, _ = client.Get(t.Context(), "/", axleotel.Skip) })
	}
	assert.InDelta(t, measure(), measure(newTelemetry(t)), 0)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestInstall_WithoutItCallsHaveNoSpans(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	client.Interceptors.Request.Clear()
	uninstall := tel.Install(client)
	assert.Equal(t, 1, client.Interceptors.Request.Len())
	uninstall()
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, tel.spans().calls())
	tel.spans().requests().one(t)
}

func TestNew_WithoutProvidersItUsesTheGlobalOnes(t *testing.T) {
	tel := axleotel.New()
	client := newTelemetry(t).client(t, ok).SetTransport(tel.Transport(nil)).Use(tel)
	defer client.HTTPClient().CloseIdleConnections()
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
}
