package bench

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	restyv2 "github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

const callers = 100

func perProcessor(n int) int { return max(1, n/runtime.GOMAXPROCS(0)) }

func inMemory() http.RoundTripper { return memory{} }

func memoryPeers() []peer {
	var all []peer
	all = append(all, newPeers(memoryURL, inMemory)...)
	all = append(all, leanPeers(memoryURL, inMemory)...)
	return append(all, pairPeers(memoryURL, inMemory)...)
}

// BenchmarkMemory is a call without sockets: what a client costs by itself.
func BenchmarkMemory(b *testing.B) {
	b.Run("GET", func(b *testing.B) {
		for _, p := range inOrder(memoryPeers()) {
			measure(b, p.name, p.get)
			p.close()
		}
	})
	b.Run("POST", func(b *testing.B) {
		for _, p := range inOrder(memoryPeers()) {
			measure(b, p.name, func(ctx context.Context) (item, error) { return p.post(ctx, &sent) })
			p.close()
		}
	})
}

// BenchmarkAttach is a token attached to each call while nothing expires, beside the same call without.
func BenchmarkAttach(b *testing.B) {
	for _, p := range inOrder(attachPeers()) {
		measure(b, p.name, p.get)
	}
}

func attachPeers() []peer {
	token := func() *oauth2.Token {
		return &oauth2.Token{AccessToken: "token", RefreshToken: "refresh", Expiry: time.Now().Add(time.Hour)}
	}
	users := store.New[struct{}](nil)
	users.Login(struct{}{}, token())
	source := oauth2.ReuseTokenSource(token(), nil)
	return []peer{
		axlePeer("axle, without", newAxle(memoryURL, memory{}, 0)),
		axlePeer("axle, auth interceptor", newAxle(memoryURL, memory{}, 0).Use(auth.New(users))),
		plainPeer("http.Client, without", &http.Client{Transport: memory{}}, memoryURL),
		plainPeer("http.Client, oauth2.Transport", &http.Client{Transport: &oauth2.Transport{Base: memory{}, Source: source}}, memoryURL),
		restyV2Peer("resty v2, without", newRestyV2(memoryURL, memory{}, 0)),
		restyV2Peer("resty v2, SetAuthToken", newRestyV2(memoryURL, memory{}, 0).SetAuthToken("token").SetDisableWarn(true)),
	}
}

// BenchmarkLoopback is a call over a socket of this machine. The server runs in the same process, and its allocations are counted.
func BenchmarkLoopback(b *testing.B) {
	server := newItemServer()
	defer server.Close()
	for _, p := range inOrder(newPeers(server.URL, pooled)) {
		measure(b, "one at a time/"+p.name, p.get)
		p.close()
	}
	for _, p := range inOrder(newPeers(server.URL, pooled)) {
		for range 5 { // the sockets are opened before the clock runs
			atOnce(callers, func() {
				if err := check(p.get(context.Background())); err != nil {
					b.Error(err)
				}
			})
		}
		measureParallel(b, "a hundred at once/"+p.name, callers, p.get)
		p.close()
	}
}

func pooled() http.RoundTripper {
	return &http.Transport{MaxIdleConns: 2 * callers, MaxIdleConnsPerHost: 2 * callers, IdleConnTimeout: time.Minute}
}

func newItemServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(answer)
	}))
}

// BenchmarkBridge is a client that others wrote, over net/http and over axle's chains. It goes over a socket, and the chains have
// handlers, since nobody uses a bridge without either. The server's allocations are counted.
func BenchmarkBridge(b *testing.B) {
	server := newItemServer()
	defer server.Close()
	for _, p := range inOrder(bridgePeers(server.URL)) {
		measure(b, p.name, p.get)
		p.close()
	}
}

func bridgePeers(base string) []peer {
	return []peer{
		plainPeer("http.Client", &http.Client{Transport: pooled()}, base),
		plainPeer("http.Client of axle, 10 pairs", newAxle(base, pooled(), 10).SetCookieJar(nil).HTTPClient(), base),
	}
}

// A row of a table is worth nothing if the clients do different work.

func TestPeers_DoTheSameWork(t *testing.T) {
	server := newItemServer()
	defer server.Close()
	all := append(memoryPeers(), attachPeers()...)
	all = append(all, bridgePeers(server.URL)...)
	all = append(all, newPeers(server.URL, pooled)...)
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			defer p.close()
			got, err := p.get(t.Context())
			require.NoError(t, err)
			assert.Equal(t, sent, got)
			got, err = p.post(t.Context(), &sent)
			require.NoError(t, err)
			assert.Equal(t, sent, got)
		})
	}
}

func TestPeers_SendTheSameJSON(t *testing.T) {
	var got []byte
	var kind string
	spy := func() http.RoundTripper {
		return transportFunc(func(r *http.Request) (*http.Response, error) {
			var err error
			if got, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
			kind, _, err = mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err != nil {
				return nil, err
			}
			return memory{}.RoundTrip(r)
		})
	}
	for _, p := range newPeers(memoryURL, spy) {
		_, err := p.post(t.Context(), &sent)
		require.NoError(t, err, p.name)
		assert.JSONEq(t, string(answer), string(got), p.name)
		assert.Equal(t, jsonType[0], kind, p.name)
		p.close()
	}
}

func TestAttach_SendsTheToken(t *testing.T) {
	var got string
	spy := transportFunc(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Authorization")
		return memory{}.RoundTrip(r)
	})
	users := store.New[struct{}](nil)
	users.Login(struct{}{}, &oauth2.Token{AccessToken: "token"})
	clients := []peer{
		axlePeer("axle", newAxle(memoryURL, spy, 0).Use(auth.New(users))),
		plainPeer("x/oauth2", &http.Client{Transport: &oauth2.Transport{
			Base: spy, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"}),
		}}, memoryURL),
		restyV2Peer("resty v2", restyv2.New().SetBaseURL(memoryURL).SetTransport(spy).SetAuthToken("token").SetDisableWarn(true)),
	}
	for _, p := range clients {
		got = ""
		require.NoError(t, check(p.get(t.Context())), p.name)
		assert.Equal(t, "Bearer token", got, p.name)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The counts that do not vary from run to run are held by tests; docs/benchmarks.md has the rest.

func TestMemory_AllocatesNoMoreThanRestyV2(t *testing.T) {
	ours := axlePeer("axle", newAxle(memoryURL, memory{}, 0))
	theirs := restyV2Peer("resty v2", newRestyV2(memoryURL, memory{}, 0))
	assert.LessOrEqual(t, allocations(t, ours.get), allocations(t, theirs.get), "GET")
	post := func(p peer) func(context.Context) (item, error) {
		return func(ctx context.Context) (item, error) { return p.post(ctx, &sent) }
	}
	assert.LessOrEqual(t, allocations(t, post(ours)), allocations(t, post(theirs)), "POST")
}

func TestMemory_AnInterceptorPairAllocatesNothing(t *testing.T) {
	none := axlePeer("axle", newAxle(memoryURL, memory{}, 0))
	many := axlePeer("axle", newAxle(memoryURL, memory{}, 1000))
	assert.InDelta(t, allocations(t, none.get), allocations(t, many.get), 0)
}

func TestAttach_AllocatesOnceAtMost(t *testing.T) {
	peers := attachPeers()
	assert.LessOrEqual(t, allocations(t, peers[1].get)-allocations(t, peers[0].get), 1.0)
}

func TestBridge_WithHandlersOverASocketAllocatesLittleMoreThanHTTPClient(t *testing.T) {
	server := newItemServer()
	defer server.Close()
	peers := bridgePeers(server.URL)

	// The server's allocations vary from call to call, and an average is rounded down to a whole number. So a hundred calls
	// count as one.
	hundred := func(get func(context.Context) (item, error)) func(context.Context) (item, error) {
		return func(ctx context.Context) (last item, err error) {
			for range 100 {
				if last, err = get(ctx); err != nil {
					return last, err
				}
			}
			return last, nil
		}
	}
	theirs, ours := allocations(t, hundred(peers[0].get))/100, allocations(t, hundred(peers[1].get))/100
	for _, p := range peers {
		p.close()
	}
	assert.LessOrEqual(t, ours, 1.08*theirs, "the handlers' URL, header and query, and the request that the transport gets")
}

func allocations(t *testing.T, call func(context.Context) (item, error)) float64 {
	t.Helper()
	ctx := t.Context()
	return testing.AllocsPerRun(200, func() {
		if err := check(call(ctx)); err != nil {
			t.Fatal(err)
		}
	})
}
