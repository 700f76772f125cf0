package sdks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

const (
	refreshPath = "/auth/refresh-token"
	witnessed   = "X-Witnessed" // on each request that went through the chains
	parallel    = 20
)

// api is a server whose access token the test ends when it likes, and whose refresh tokens rotate: one that is spent again is
// recorded, and ends the session (RFC 9700 §4.14.2).
type api struct {
	*httptest.Server
	lifetime time.Duration           // of access tokens, as told to the client
	together atomic.Pointer[meeting] // 401s are answered when so many are due

	mu        sync.Mutex
	issued    int
	access    string // the one that is good; empty: none
	refresh   string // the one that is good; empty: the session has ended
	spent     map[string]bool
	reused    []string
	refreshes int
	refused   int
	accepted  int
	bypassed  []string // what came past the chains
}

// newAPI starts a server that guards next. It speaks HTTP/1.1, unless configure says otherwise.
func newAPI(t *testing.T, next http.Handler, configure ...func(*httptest.Server)) *api {
	t.Helper()
	a := &api{lifetime: time.Hour, refresh: "refresh-0", spent: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+refreshPath, a.answerRefresh)
	mux.Handle("/", a.guard(next))
	a.Server = httptest.NewUnstartedServer(mux)
	for _, c := range configure {
		c(a.Server)
	}
	if a.TLS == nil && !a.EnableHTTP2 {
		a.Start()
	} else {
		a.StartTLS()
	}
	t.Cleanup(a.Close)
	return a
}

// guard answers 401 without reading the body, as a gateway does.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.admit(r) {
			next.ServeHTTP(w, r)
			return
		}
		a.together.Load().attend(r.Context())
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"code": "unauthorized", "message": "Bad credentials"})
	})
}

func (a *api) admit(r *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Header.Get(witnessed) == "" {
		a.bypassed = append(a.bypassed, r.Method+" "+r.URL.RequestURI())
	}
	if a.access == "" || r.Header.Get("Authorization") != "Bearer "+a.access {
		a.refused++
		return false
	}
	a.accepted++
	return true
}

func (a *api) answerRefresh(w http.ResponseWriter, r *http.Request) {
	var given struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if given.RefreshToken == "" || given.RefreshToken != a.refresh {
		if a.spent[given.RefreshToken] {
			a.reused = append(a.reused, given.RefreshToken)
			a.access, a.refresh = "", ""
		}
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_grant"})
		return
	}
	a.spent[a.refresh] = true
	a.refreshes++
	a.issued++
	a.access, a.refresh = fmt.Sprintf("access-%d", a.issued), fmt.Sprintf("refresh-%d", a.issued)
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": a.access, "refresh_token": a.refresh, "token_type": "Bearer", "expires_in": int(a.lifetime.Seconds()),
	})
}

// expire ends the access token before its time: the client does not know.
func (a *api) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.access = ""
}

// end ends the whole session.
func (a *api) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.access, a.refresh = "", ""
}

// counts are what a test compares.
type counts struct {
	refreshes, refused, accepted int
	reused                       []string // refresh tokens that were spent twice
	bypassed                     []string // calls that the chains have not seen
}

func (a *api) counts() counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return counts{a.refreshes, a.refused, a.accepted, a.reused, a.bypassed}
}

// session is somebody's who has logged in; the first access token is dead, which only the server knows.
func (a *api) session(c *axle.Client) *store.UserStore[string] {
	st := store.New[string](store.Endpoint(c, refreshPath))
	st.Login("ada", &oauth2.Token{AccessToken: "access-0", RefreshToken: "refresh-0", Expiry: time.Now().Add(a.lifetime)})
	return st
}

// client is what an application has: a session, and here a witness.
func (a *api) client() (*axle.Client, *witness) {
	w := &witness{}
	c := axle.New().SetBaseURL(a.URL).SetTransport(a.Client().Transport)
	return c.Use(auth.New(a.session(c)), w), w
}

// witness is an interceptor of the test's own: it writes down each request, the replays too, and marks it for the server.
type witness struct {
	mu   sync.Mutex
	seen []string
}

// Install implements axle.Plugin.
func (w *witness) Install(c *axle.Client) (uninstall func()) {
	return axle.OnRequest("witness", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		u, err := r.ResolveURL()
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, r.Method+" "+u.RequestURI())
		return r.SetHeader(witnessed, "yes"), nil
	}, nil).Install(c)
}

// requests are those seen, but for the refreshes.
func (w *witness) requests() (seen []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if s != "POST "+refreshPath {
			seen = append(seen, s)
		}
	}
	return seen
}

// tell is the story that each SDK goes through. A call is one request, and compares what it gets; it is given what to send, of some
// length. As every call succeeds, and no more requests are accepted than there are calls, each was accepted once.
func tell(t *testing.T, a *api, w *witness, call func(ctx context.Context, text string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	require.NoError(t, call(ctx, textOf(0)), "a dead token is no matter of the caller's")
	require.Equal(t, counts{refreshes: 1, refused: 1, accepted: 1}, a.counts())

	require.NoError(t, call(ctx, textOf(1)))
	require.Equal(t, counts{refreshes: 1, refused: 1, accepted: 2}, a.counts(), "the new token is kept")

	a.expire()
	a.together.Store(newMeeting(parallel)) // every call gets its 401 before any of them refreshes
	var wg sync.WaitGroup
	for n := range parallel {
		wg.Go(func() { assert.NoError(t, call(ctx, textOf(2+n))) })
	}
	wg.Wait()
	assert.Equal(t, counts{refreshes: 2, refused: 1 + parallel, accepted: 2 + parallel}, a.counts(), "one refresh for all")
	assert.Len(t, w.requests(), 2+1+2*parallel, "the chains have seen all of it: the calls and the replays")
}

// textOf is another text for each call, of a few bytes to half a megabyte.
func textOf(n int) string {
	mark := fmt.Sprintf("text-%d;", n)
	return strings.Repeat(mark, []int{1, 100, 10_000, 64_000}[n%4])
}

// same compares without filling the screen.
func same(got, sent string) error {
	if got != sent {
		return fmt.Errorf("%d bytes came back of %d that were sent, or others", len(got), len(sent))
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// meeting lets those who attend go on when all are there. A nil one keeps nobody.
type meeting struct {
	missing  atomic.Int64
	complete chan struct{}
}

func newMeeting(of int) *meeting {
	m := &meeting{complete: make(chan struct{})}
	m.missing.Store(int64(of))
	return m
}

func (m *meeting) attend(ctx context.Context) {
	if m == nil {
		return
	}
	if m.missing.Add(-1) == 0 {
		close(m.complete)
	}
	select {
	case <-m.complete:
	case <-ctx.Done():
	}
}

// expired lets the token's time be over.
func expired(s *store.State[string]) { s.Token.Expiry = time.Now().Add(-time.Minute) }
