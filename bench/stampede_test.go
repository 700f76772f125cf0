package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	restyv2 "github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

const stampeding = 1000 // calls

// stampeders are the ways to live with a token that dies, each as its users write it. Each answers a call of a session whose
// access token is dead, and fails if it does not get the item.
var stampeders = []struct {
	name string
	make func(base string, transport http.RoundTripper) func(ctx context.Context) (item, error)
}{
	{"axle", axleStampeder},
	{"resty v2, each call refreshes", restyNaive},
	{"resty v2 + singleflight", restySingleflight},
	{"x/oauth2, expiry known", func(base string, transport http.RoundTripper) func(context.Context) (item, error) {
		return oauth2Stampeder(base, transport, time.Now().Add(-time.Minute))
	}},
	{"x/oauth2, expiry unknown", func(base string, transport http.RoundTripper) func(context.Context) (item, error) {
		return oauth2Stampeder(base, transport, time.Time{})
	}},
}

func axleStampeder(base string, transport http.RoundTripper) func(context.Context) (item, error) {
	c := newAxle(base, transport, 0)
	users := store.New[struct{}](store.Endpoint(c, refreshPath))
	users.Login(struct{}{}, &oauth2.Token{AccessToken: deadToken, RefreshToken: firstRefresh})
	return axlePeer("axle", c.Use(auth.New(users))).get
}

// tokens are what both users of resty keep.
type tokens struct {
	refresher
	mu  sync.Mutex
	now *oauth2.Token
}

func newTokens(base string, transport http.RoundTripper) *tokens {
	return &tokens{
		refresher: refresher{&http.Client{Transport: transport}, base},
		now:       &oauth2.Token{AccessToken: deadToken, RefreshToken: firstRefresh},
	}
}

func (t *tokens) get() *oauth2.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

func (t *tokens) renew(ctx context.Context) error {
	fresh, err := t.refresh(ctx, t.get().RefreshToken)
	if err == nil {
		t.mu.Lock()
		t.now = fresh
		t.mu.Unlock()
	}
	return err
}

// restyWith retries a 401 once, after what refresh does.
func restyWith(t *tokens, base string, transport http.RoundTripper, refresh func(context.Context)) func(context.Context) (item, error) {
	c := newRestyV2(base, transport, 0).SetDisableWarn(true).
		SetRetryCount(1).SetRetryWaitTime(time.Millisecond).SetRetryMaxWaitTime(time.Millisecond).
		OnBeforeRequest(func(_ *restyv2.Client, r *restyv2.Request) error {
			r.SetAuthToken(t.get().AccessToken)
			return nil
		}).
		AddRetryCondition(func(r *restyv2.Response, _ error) bool {
			return r.StatusCode() == http.StatusUnauthorized && r.Request.Attempt == 1
		}).
		AddRetryHook(func(r *restyv2.Response, _ error) { refresh(r.Request.Context()) })
	return restyV2Peer("resty v2", c).get
}

func restyNaive(base string, transport http.RoundTripper) func(context.Context) (item, error) {
	t := newTokens(base, transport)
	return restyWith(t, base, transport, func(ctx context.Context) { _ = t.renew(ctx) }) // the retry's 401 tells
}

func restySingleflight(base string, transport http.RoundTripper) func(context.Context) (item, error) {
	t := newTokens(base, transport)
	var group singleflight.Group
	return restyWith(t, base, transport, func(ctx context.Context) {
		_, _, _ = group.Do("refresh", func() (any, error) { return nil, t.renew(ctx) })
	})
}

func oauth2Stampeder(base string, transport http.RoundTripper, expiry time.Time) func(context.Context) (item, error) {
	dead := &oauth2.Token{AccessToken: deadToken, RefreshToken: firstRefresh, Expiry: expiry}
	source := &refreshSource{refresher: refresher{&http.Client{Transport: transport}, base}, token: firstRefresh}
	c := &http.Client{Transport: &oauth2.Transport{Base: transport, Source: oauth2.ReuseTokenSource(dead, source)}}
	return plainPeer("x/oauth2", c, base).get
}

// refreshSource is asked by one goroutine at a time.
type refreshSource struct {
	refresher
	token string
}

func (s *refreshSource) Token() (*oauth2.Token, error) {
	fresh, err := s.refresh(context.Background(), s.token)
	if err == nil {
		s.token = fresh.RefreshToken
	}
	return fresh, err
}

type outcome struct {
	refreshes, failures int
	revoked             bool
	took                time.Duration
}

// stampede has calls at once on a dead token, over sockets that are open already.
func stampede(tb testing.TB, build func(string, http.RoundTripper) func(context.Context) (item, error), l life, late bool, calls int) outcome {
	tb.Helper()
	a := newAPI(l, late, calls)
	server := httptest.NewServer(a)
	defer server.Close()
	transport := &http.Transport{MaxIdleConns: 2 * calls, MaxIdleConnsPerHost: 2 * calls, IdleConnTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	ctx := context.Background()
	atOnce(calls, func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+warmPath, http.NoBody)
		if err != nil {
			tb.Error(err)
			return
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			tb.Error(err)
			return
		}
		resp.Body.Close()
	})
	call := build(server.URL, transport)
	var failures atomic.Int64
	took := atOnce(calls, func() {
		if err := check(call(ctx)); err != nil {
			failures.Add(1)
		}
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	return outcome{a.refreshes, int(failures.Load()), a.revoked, took}
}

// atOnce runs fn on n goroutines that start together, and returns how long the last took.
func atOnce(n int, fn func()) time.Duration {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for range n {
		done.Go(func() {
			ready.Done()
			<-start
			fn()
		})
	}
	ready.Wait()
	began := time.Now()
	close(start)
	done.Wait()
	return time.Since(began)
}

func arrives(late bool) string {
	if late {
		return "some 401s late"
	}
	return "all 401s at once"
}

// BenchmarkStampede is a thousand calls on a dead token. Its own metrics count: ns/op has the making of the server in it.
func BenchmarkStampede(b *testing.B) {
	for _, s := range stampeders { // else the first row pays for a process that starts
		stampede(b, s.make, stays, false, stampeding)
	}
	for _, late := range []bool{false, true} {
		for _, l := range []life{stays, rotates, watched} {
			for _, s := range inOrder(stampeders) {
				b.Run(strings.Join([]string{l.String(), arrives(late), s.name}, "/"), func(b *testing.B) {
					var sum outcome
					revoked := 0
					for range b.N {
						o := stampede(b, s.make, l, late, stampeding)
						sum.refreshes += o.refreshes
						sum.failures += o.failures
						sum.took += o.took
						if o.revoked {
							revoked++
						}
					}
					n := float64(b.N)
					b.ReportMetric(float64(sum.refreshes)/n, "refreshes")
					b.ReportMetric(float64(sum.failures)/n, "failures")
					b.ReportMetric(float64(revoked)/n, "revoked")
					b.ReportMetric(float64(sum.took.Nanoseconds())/n, "wall-ns")
				})
			}
		}
	}
}

func TestStampede_AxleRefreshesOnceAndFailsNoCall(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, l := range []life{stays, rotates, watched} {
			t.Run(l.String()+", "+arrives(late), func(t *testing.T) {
				t.Parallel()
				o := stampede(t, axleStampeder, l, late, stampeding)
				assert.Equal(t, 1, o.refreshes)
				assert.Zero(t, o.failures)
				assert.False(t, o.revoked)
			})
		}
	}
}

// The table's other rows show what the peers do, and not a fault of their users: where nothing can go wrong, nothing does.
func TestStampede_PeersFailNoCallOfATokenThatStaysValid(t *testing.T) {
	const calls = 200
	assert.Equal(t, calls, stampede(t, restyNaive, stays, false, calls).refreshes)
	for _, s := range stampeders {
		want := 0
		if s.name == "x/oauth2, expiry unknown" {
			want = calls
		}
		assert.Equal(t, want, stampede(t, s.make, stays, false, calls).failures, s.name)
	}
}
