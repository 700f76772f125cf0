package axleotel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	axleotel "github.com/axlehttp/axle/otel"
	"github.com/axlehttp/axle/store"
)

// Spans of refreshes. The server of these tests accepts the token "new" alone, and gives it out at
// /refresh. The session has the token "old".

type user struct{}

// plainSession is an auth.Session as a user would write one.
type plainSession struct {
	token   atomic.Pointer[oauth2.Token]
	refresh store.RefreshFunc
}

func (s *plainSession) Token() *oauth2.Token { return s.token.Load() }

func (s *plainSession) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	token, err := s.refresh(ctx, s.Token())
	if err == nil {
		s.token.Store(token)
	}
	return token, err
}

func (s *plainSession) Logout(context.Context) error { return nil }

// refreshing is a client of a session, over a network in memory.
type refreshing struct {
	*telemetry
	*axle.Client
	session auth.Session
	refresh func() (status int) // called at /refresh before it responds
}

func (f *refreshing) serve(r *http.Request) (*http.Response, error) {
	status, body := http.StatusUnauthorized, ""
	switch {
	case r.URL.Path == "/refresh":
		status, body = f.refresh(), `{"access_token":"new","refresh_token":"newer"}`
	case r.Header.Get("Authorization") == "Bearer new":
		status = http.StatusOK
	case r.URL.Path == "/second":
		time.Sleep(time.Second)
	}
	return reply(r, status, body), nil
}

// get starts a call.
func (f *refreshing) get(path string) *future.Future[*axle.Response] {
	return future.Go(func() (*axle.Response, error) { return f.Get(context.Background(), path) })
}

// eachSession tells one story for a store and for a plain session, in time that is not real.
func eachSession(t *testing.T, story func(t *testing.T, f *refreshing)) {
	t.Helper()
	for _, kind := range []string{"store", "plain"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &refreshing{telemetry: newTelemetry(t), refresh: func() int { return http.StatusOK }}
				f.Client = axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).
					SetTransport(f.Transport(roundTrip(f.serve)))

				old := &oauth2.Token{AccessToken: "old", RefreshToken: "refresh"}
				refresh := store.Endpoint(f.Client, "/refresh")
				if kind == "store" {
					users := store.New[user](refresh, store.WithObserver(f))
					users.Login(user{}, old)
					f.session = users
				} else {
					plain := &plainSession{refresh: refresh}
					plain.token.Store(old)
					f.session = plain
				}
				f.Use(auth.New(f.session, auth.WithObserver(f)), f)
				story(t, f)
			})
		})
	}
}

func TestRefresh_ItsSpanLinksToTheCallItBeganForAndEveryCallThatWaitedLinksToIt(t *testing.T) {
	eachSession(t, func(t *testing.T, f *refreshing) {
		release := make(chan struct{})
		f.refresh = func() int {
			<-release
			return http.StatusOK
		}

		// The first call begins the refresh. The second is under way then. It joins the refresh after
		// its 401, which comes a second later. The third joins before its first attempt.
		second := f.get("/second")
		synctest.Wait()
		first := f.get("/first")
		time.Sleep(2 * time.Second)
		third := f.get("/third")
		time.Sleep(time.Second)
		assert.Equal(t, int64(3), f.count(t, "axle.refresh.waiters"))
		close(release)
		for _, call := range []*future.Future[*axle.Response]{first, second, third} {
			_, err := call.Await(t.Context())
			require.NoError(t, err)
		}
		synctest.Wait()

		refresh := f.spans().named("refresh").one(t)
		assert.False(t, refresh.Parent.IsValid(), "it is a root")
		assert.Equal(t, trace.SpanKindInternal, refresh.SpanKind)
		assert.Equal(t, codes.Unset, refresh.Status.Code)

		calling := byPath(f.spans().calls())
		require.Len(t, refresh.Links, 1)
		assert.Equal(t, calling["/first"].SpanContext.SpanID(), refresh.Links[0].SpanContext.SpanID())

		for i, path := range []string{"/first", "/second", "/third"} {
			call := calling[path]
			require.Len(t, call.Links, 1, path)
			assert.Equal(t, refresh.SpanContext.SpanID(), call.Links[0].SpanContext.SpanID(), path)

			want := []string{"axle.attempt", "axle.refresh.wait", "axle.refresh.waited", "axle.replay"}
			if path == "/third" {
				want = want[:3]
			}
			assert.Equal(t, want, events(call), path)
			waited := attributes(call.Events[2].Attributes)["axle.refresh.wait.duration"]
			assert.InDelta(t, float64(3-i), waited, 0.001, "seconds that %s waited", path)
		}

		// The requests of the refresh are in its trace, and are no resends of the call.
		inRefresh := calling["/refresh"]
		assert.Equal(t, refresh.SpanContext.SpanID(), inRefresh.Parent.SpanID())
		sent := childOf(t, f.spans().requests(), inRefresh)
		assert.NotContains(t, attributes(sent.Attributes), "http.request.resend_count")

		assert.Zero(t, f.count(t, "axle.refresh.waiters"))
		assert.Equal(t, int64(2), f.count(t, "axle.replays"))
		assertHistogram(t, f, "axle.refresh.duration", 1, 3, nil)
		assertHistogram(t, f, "axle.refresh.wait.duration", 3, 6, nil)
	})
}

// byPath returns the spans by the paths of their URLs.
func byPath(list spans) map[string]tracetest.SpanStub {
	found := map[string]tracetest.SpanStub{}
	for _, span := range list {
		full, _ := attributes(span.Attributes)["url.full"].(string)
		found[full[len("http://api.test"):]] = span
	}
	return found
}

func childOf(t *testing.T, list spans, parent tracetest.SpanStub) tracetest.SpanStub {
	t.Helper()
	for _, span := range list {
		if span.Parent.SpanID() == parent.SpanContext.SpanID() {
			return span
		}
	}
	require.Fail(t, "no span below", parent.Name)
	return tracetest.SpanStub{}
}

// assertHistogram compares the only point of a histogram.
func assertHistogram(t *testing.T, f *refreshing, name string, count uint64, sum float64, errorType any) {
	t.Helper()
	points := metric[metricdata.HistogramDataPoint[float64]](t, f.telemetry, name)
	require.Len(t, points, 1, name)
	assert.Equal(t, count, points[0].Count, name)
	assert.InDelta(t, sum, points[0].Sum, 0.001, name)
	assert.Equal(t, errorType, attributes(points[0].Attributes.ToSlice())["error.type"], name)
}

func TestRefresh_ItsFailureIsTheStatusOfItsSpanAndTheEndOfTheWait(t *testing.T) {
	eachSession(t, func(t *testing.T, f *refreshing) {
		f.refresh = func() int { return http.StatusForbidden }
		_, err := f.Get(t.Context(), "/first")
		require.Error(t, err)
		synctest.Wait()

		refresh := f.spans().named("refresh").one(t)
		assert.Equal(t, codes.Error, refresh.Status.Code)
		assert.Contains(t, refresh.Status.Description, "403 Forbidden")
		assert.Equal(t, "403", attributes(refresh.Attributes)["error.type"])

		call := byPath(f.spans().calls())["/first"]
		require.Equal(t, []string{"axle.attempt", "axle.refresh.wait", "axle.refresh.waited"}, events(call))
		assert.Equal(t, "403", attributes(call.Events[2].Attributes)["error.type"])
		assertHistogram(t, f, "axle.refresh.duration", 1, 0, "403")
		assertHistogram(t, f, "axle.refresh.wait.duration", 1, 0, "403")
	})
}

func TestRefresh_AWaitThatItsCallerEndsLinksToARefreshThatGoesOn(t *testing.T) {
	eachSession(t, func(t *testing.T, f *refreshing) {
		release := make(chan struct{})
		f.refresh = func() int {
			<-release
			return http.StatusOK
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f.Get(ctx, "/first")
		require.ErrorIs(t, err, context.DeadlineExceeded)

		call := f.spans().calls().one(t)
		assert.Equal(t, "ETIMEDOUT", attributes(call.Attributes)["error.type"])
		assert.Empty(t, f.spans().named("refresh"))
		close(release)
		synctest.Wait()
		refresh := f.spans().named("refresh").one(t)
		require.Len(t, call.Links, 1)
		assert.Equal(t, refresh.SpanContext.SpanID(), call.Links[0].SpanContext.SpanID())
	})
}

func TestRefresh_OneThatNoCallAskedForHasASpanWithoutLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry(t)
		users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return nil, errors.New("no token for access_token=hunter2")
		}, store.WithObserver(tel))
		_, err := users.RefreshToken(t.Context())
		require.Error(t, err)

		refresh := tel.spans().one(t)
		assert.Empty(t, refresh.Links)
		assert.Equal(t, "no token for access_token=REDACTED", refresh.Status.Description)
		assert.Equal(t, "_OTHER", attributes(refresh.Attributes)["error.type"])
	})
}

func TestRefresh_UnderLoadThereIsOneSpanForEachRefreshAndEveryWaitIsLinked(t *testing.T) {
	tel := newTelemetry(t)
	var mu sync.Mutex
	good, refreshes := 1, 0
	client := tel.client(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path == "/refresh":
			refreshes++
			fmt.Fprintf(w, `{"access_token":"a%d"}`, good)
		case r.Header.Get("Authorization") != fmt.Sprintf("Bearer a%d", good):
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	users := store.New[user](store.Endpoint(client, "/refresh"), store.WithObserver(tel))
	users.Login(user{}, &oauth2.Token{AccessToken: "a1"})
	client.Interceptors.Request.Clear()
	client.Use(auth.New(users), tel)

	const expiries, callsEach = 5, 40
	for range expiries {
		mu.Lock()
		good++
		mu.Unlock()
		var wg sync.WaitGroup
		for range callsEach {
			wg.Go(func() {
				_, err := client.Get(t.Context(), "/")
				assert.NoError(t, err)
			})
		}
		wg.Wait()
	}

	ids := map[trace.SpanID]bool{}
	for _, refresh := range tel.spans().named("refresh") {
		ids[refresh.SpanContext.SpanID()] = true
	}
	assert.Len(t, ids, expiries)
	assert.Equal(t, expiries, refreshes)

	waits := 0
	for _, call := range tel.spans().calls() {
		for _, event := range call.Events {
			if event.Name == "axle.refresh.waited" {
				waits++
			}
		}
		for _, link := range call.Links {
			assert.True(t, ids[link.SpanContext.SpanID()])
			waits--
		}
	}
	assert.Zero(t, waits, "each wait has one link")
}

func TestSkip_AWaitOfASkippedCallIsNotCountedAndTheRefreshHasASpan(t *testing.T) {
	eachSession(t, func(t *testing.T, f *refreshing) {
		ctx, caller := f.tracer.Start(t.Context(), "caller")
		_, err := f.Get(ctx, "/first", axleotel.Skip)
		require.NoError(t, err)
		caller.End()
		synctest.Wait()

		assert.Empty(t, f.spans().named("caller").one(t).Events)
		assert.Empty(t, metric[metricdata.HistogramDataPoint[float64]](t, f.telemetry, "axle.refresh.wait.duration"))
		f.spans().named("refresh").one(t)
		assert.Len(t, f.spans().requests(), 1, "that of the refresh")
	})
}
