package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/axlehttp/axle"
)

// api is a resource server at an origin of its own. It asks the provider about every bearer (RFC 7662), and answers a call with
// the call's body, or its path where it has none.
type api struct {
	*httptest.Server
	provider *provider
	checker  rs.ResourceServer
	together atomic.Pointer[meeting] // 401s are answered when so many are due

	mu       sync.Mutex
	accepted map[string]int             // by call
	refused  map[string]int             // by bearer
	served   map[string]map[string]bool // by bearer: the workers
	workers  int
	revoked  int // bearers, of toRevoke
	toRevoke int
}

func newAPI(t *testing.T, p *provider) *api {
	t.Helper()
	a := &api{provider: p, accepted: map[string]int{}, refused: map[string]int{}, served: map[string]map[string]bool{}}
	var err error
	a.checker, err = rs.NewResourceServerClientCredentials(t.Context(), p.issuer, clientID, clientSecret, rs.WithClient(p.client))
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/{worker}/{n}", a.serve)
	a.Server = httptest.NewServer(mux)
	clientOf(a.Server)
	t.Cleanup(a.Close)
	return a
}

// axle returns a client of this API.
func (a *api) axle(plugins ...axle.Plugin) *axle.Client {
	return axle.New().SetBaseURL(a.URL).SetTransport(a.Client().Transport).Use(plugins...)
}

// revokeAfterServing has each access token revoked as soon as it has served every worker, count times. So no two expiries hit
// one call, which has no right to a second refresh, and all else is left to chance.
func (a *api) revokeAfterServing(workers, count int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.workers, a.toRevoke = workers, count
}

func (a *api) allRevoked() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.revoked == a.toRevoke
}

func (a *api) acceptedCalls() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.accepted)
}

func (a *api) refusedBearers() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.refused)
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	active, err := a.check(r.Context(), bearer)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	case !active:
		a.mu.Lock()
		a.refused[bearer]++
		a.mu.Unlock()
		a.together.Load().attend(r.Context())
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "invalid token", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodGet {
		body = []byte(r.URL.Path)
	}
	if a.accept(bearer, r.PathValue("worker"), r.URL.Path) {
		if err := a.provider.revoke(r.Context(), bearer); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	_, _ = w.Write(body)
}

func (a *api) check(ctx context.Context, bearer string) (active bool, err error) {
	if bearer == "" {
		return false, nil
	}
	answer, err := rs.Introspect[*oidc.IntrospectionResponse](ctx, a.checker, bearer)
	if err != nil {
		return false, err
	}
	return answer.Active, nil
}

// accept records a call, and reports whether its bearer is to be revoked now.
func (a *api) accept(bearer, worker, call string) (revoke bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accepted[call]++
	if a.revoked == a.toRevoke {
		return false
	}
	if a.served[bearer] == nil {
		a.served[bearer] = map[string]bool{}
	}
	if before := len(a.served[bearer]); before == a.workers {
		return false // revoked already; this call was checked before
	}
	a.served[bearer][worker] = true
	if len(a.served[bearer]) < a.workers {
		return false
	}
	a.revoked++
	return true
}

// call makes a worker's n-th call, a GET or a POST with one of several kinds of body, and compares the answer.
func call(ctx context.Context, c *axle.Client, worker string, n int) error {
	path := fmt.Sprintf("/%s/%d", worker, n)
	text := strings.Repeat(path, 1+n%5*1000)
	want := text
	var body any
	switch n % 4 {
	case 0:
		resp, err := c.Get(ctx, path)
		return compare(resp, err, path)
	case 1:
		body = text
	case 2:
		body, want = map[string]string{"text": text}, `{"text":"`+text+`"}`
	case 3:
		body = io.MultiReader(strings.NewReader(text)) // can neither seek nor be made anew
	}
	resp, err := c.Post(ctx, path, body)
	return compare(resp, err, want)
}

func compare(resp *axle.Response, err error, want string) error {
	switch {
	case err != nil:
		return err
	case resp.String() != want:
		return errors.New("another body than was sent arrived for " + resp.Request.URL)
	}
	return nil
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

func (m *meeting) arrive() {
	if m.missing.Add(-1) == 0 {
		close(m.complete)
	}
}

func (m *meeting) wait(ctx context.Context) {
	select {
	case <-m.complete:
	case <-ctx.Done():
	}
}

func (m *meeting) attend(ctx context.Context) {
	if m != nil {
		m.arrive()
		m.wait(ctx)
	}
}
