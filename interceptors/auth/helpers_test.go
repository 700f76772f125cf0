package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

var errBoom = errors.New("boom")

// api is a server with short-lived access tokens "a1", "a2", … and refresh tokens "r1", "r2", … of
// which each can be spent once: spending one again revokes the session. Under cookies both travel
// as cookies. Any other path than that of the refresh needs the access token and answers with the
// body that it was sent.
type api struct {
	cookies bool

	mu           sync.Mutex
	number       int  // of the tokens that are current
	expired      bool // the current access token is refused
	revoked      bool
	calls        int // with a good token
	unauthorized int
	refreshes    int
	reuses       int
	tokens       []string // that arrived, in order; "" for none

	arriving func(*http.Request)                        // before the verdict
	leaving  func(r *http.Request, status int)          // after it, before the response
	refuse   func(w http.ResponseWriter) (refused bool) // a refresh, before a token is spent
}

const refreshPath = "/auth/refresh-token"

func newAPI(cookies bool) *api { return &api{cookies: cookies, number: 1} }

// expire makes the server refuse the current access token.
func (a *api) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = true
}

func (a *api) count() (calls, unauthorized, refreshes, reuses int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls, a.unauthorized, a.refreshes, a.reuses
}

func (a *api) refreshed() int { _, _, n, _ := a.count(); return n }

func (a *api) arrived() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.tokens...)
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.arriving != nil {
		a.arriving(r)
	}
	if r.URL.Path == refreshPath {
		a.refresh(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	status := a.judge(r)
	if a.leaving != nil {
		a.leaving(r, status)
	}
	w.WriteHeader(status)
	if status == http.StatusOK {
		_, _ = w.Write(body)
	} else {
		_, _ = io.WriteString(w, "who are you?")
	}
}

func (a *api) judge(r *http.Request) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if a.cookies {
		token = cookie(r, "access")
	}
	a.tokens = append(a.tokens, token)
	if a.expired || a.revoked || token != fmt.Sprintf("a%d", a.number) {
		a.unauthorized++
		return http.StatusUnauthorized
	}
	a.calls++
	return http.StatusOK
}

func (a *api) refresh(w http.ResponseWriter, r *http.Request) {
	if a.refuse != nil && a.refuse(w) {
		return
	}
	token := cookie(r, "refresh")
	if !a.cookies {
		var body struct {
			RefreshToken string `json:"refresh_token"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		token = body.RefreshToken
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked || token != fmt.Sprintf("r%d", a.number) {
		a.reuses++
		a.revoked = true
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	a.refreshes++
	a.number++
	a.expired = false
	if a.cookies {
		http.SetCookie(w, &http.Cookie{Name: "access", Value: fmt.Sprintf("a%d", a.number), Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "refresh", Value: fmt.Sprintf("r%d", a.number), Path: "/"})
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","expires_in":3600}`, a.number, a.number)
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// inMemory is a transport without sockets, for time that is not real. It gives up with the
// request's context.
type inMemory struct{ handler http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	served := r.Clone(context.WithoutCancel(r.Context()))
	if served.Body == nil {
		served.Body = http.NoBody
	}
	f := future.Go(func() (*http.Response, error) {
		defer served.Body.Close()
		rec := httptest.NewRecorder()
		m.handler.ServeHTTP(rec, served)
		return rec.Result(), nil
	})
	resp, err := f.Await(r.Context())
	if err != nil {
		return nil, err
	}
	resp.Request = r
	return resp, nil
}

// newClient returns a client whose base URL is http://api.test.
func newClient(transport http.RoundTripper) *axle.Client {
	return axle.New().SetBaseURL("http://api.test").SetTransport(transport)
}

// kind is a kind of session. Every rule holds for all of them.
type kind struct {
	store, cookies bool
	selected       bool // by auth.Select
}

func (k kind) String() string {
	name := map[bool]string{true: "store", false: "plain"}[k.store]
	name += map[bool]string{true: ", cookies", false: ", bearer"}[k.cookies]
	return name + map[bool]string{true: ", selected"}[k.selected]
}

// A session of cookies has them in a jar, which is not consulted where a browser's fetch sends: the
// browser has cookies of its own, as test/browser shows.
var kinds = slices.DeleteFunc([]kind{
	{store: true}, {store: true, cookies: true},
	{}, {cookies: true},
	{store: true, selected: true}, {store: true, cookies: true, selected: true},
}, func(k kind) bool { return k.cookies && axletest.IsFetched() })

type user struct{ Name string }

// world is a server, a client and a session of some kind.
type world struct {
	kind
	api     *api
	client  *axle.Client
	auth    *auth.Interceptor
	session auth.Session
	users   *store.UserStore[user] // of kind store
	plain   *plainSession          // of the other

	refresh   store.RefreshFunc // what the session refreshes by; tests may replace it before the first call
	logout    func(ctx context.Context) error
	refreshes atomic.Int64
	logouts   atomic.Int64
}

// plainSession is a Session as a user would write one.
type plainSession struct {
	w     *world
	mu    sync.Mutex
	token *oauth2.Token
}

func (s *plainSession) Token() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

func (s *plainSession) set(t *oauth2.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = t
}

func (s *plainSession) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	s.w.refreshes.Add(1)
	t, err := s.w.refresh(ctx, s.Token())
	if err == nil && t != nil {
		s.set(t)
	}
	return t, err
}

func (s *plainSession) Logout(ctx context.Context) error {
	s.w.logouts.Add(1)
	s.set(nil)
	if s.w.logout != nil {
		return s.w.logout(ctx)
	}
	return nil
}

func newWorld(k kind, transport http.RoundTripper, a *api, baseURL string, opts ...auth.Option) *world {
	w := &world{kind: k, api: a}
	jar, _ := cookiejar.New(nil)
	w.client = axle.New().SetBaseURL(baseURL).SetTransport(transport).SetCookieJar(jar)
	w.refresh = store.Endpoint(w.client, refreshPath)
	token := &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"}
	if k.cookies {
		token = nil
		u, _ := w.client.R(context.Background()).SetURL("/").ResolveURL()
		jar.SetCookies(u, []*http.Cookie{
			{Name: "access", Value: "a1", Path: "/"},
			{Name: "refresh", Value: "r1", Path: "/"},
		})
	}
	if k.store {
		w.users = store.New[user](func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			w.refreshes.Add(1)
			return w.refresh(ctx, current)
		}, store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
			w.logouts.Add(1)
			if w.logout != nil {
				return w.logout(ctx)
			}
			return nil
		}))
		w.users.Login(user{"ada"}, token)
		w.session = w.users
	} else {
		w.plain = &plainSession{w: w, token: token}
		w.session = w.plain
	}
	w.auth = auth.New(w.session, opts...)
	if k.selected {
		w.auth = auth.Select(func(*axle.Request) auth.StatefulSession { return w.users }, opts...)
	}
	w.client.Use(w.auth)
	return w
}

// eachKind tells one story for every kind of session, in time that is not real and over a network
// in memory. The story ends when all goroutines have: none can be left behind.
func eachKind(t *testing.T, story func(t *testing.T, w *world), opts ...auth.Option) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI(k.cookies)
				story(t, newWorld(k, inMemory{a}, a, "http://api.test", opts...))
			})
		})
	}
}

// loopback is the same over real sockets.
func loopback(t *testing.T, k kind, opts ...auth.Option) *world {
	t.Helper()
	a := newAPI(k.cookies)
	server := httptest.NewServer(a)
	transport := &http.Transport{MaxIdleConnsPerHost: 200, MaxConnsPerHost: 200}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return newWorld(k, transport, a, server.URL, opts...)
}

// get starts a call.
func (w *world) get(ctx context.Context, path string) *future.Future[*axle.Response] {
	return future.Go(func() (*axle.Response, error) { return w.client.Get(ctx, path) })
}

// together starts n calls. Their responses come when the server has judged all of them.
func (w *world) together(t *testing.T, n int) []*future.Future[*axle.Response] {
	t.Helper()
	judged := newGate()
	w.api.leaving = func(r *http.Request, status int) {
		if status == http.StatusUnauthorized && r.URL.Path == "/together" {
			judged.pass()
		}
	}
	calls := make([]*future.Future[*axle.Response], n)
	for i := range calls {
		calls[i] = w.get(t.Context(), "/together")
	}
	synctest.Wait()
	require.EqualValues(t, n, judged.waiting.Load())
	judged.open()
	return calls
}

// result waits for a call that has been started.
func result(f *future.Future[*axle.Response]) (*axle.Response, error) {
	return f.Await(context.Background())
}

func isDone(f *future.Future[*axle.Response]) bool {
	select {
	case <-f.Done():
		return true
	default:
		return false
	}
}

// gate lets nobody pass until it is opened.
type gate struct {
	waiting atomic.Int64
	opened  chan struct{}
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

func (g *gate) pass() { g.waiting.Add(1); <-g.opened }
func (g *gate) open() { close(g.opened) }

// delayRefresh makes refreshes wait at the returned gate before they do anything.
func (w *world) delayRefresh() *gate {
	g, refresh := newGate(), w.refresh
	w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		g.pass()
		return refresh(ctx, current)
	}
	return g
}

// failRefresh makes every refresh fail.
func (w *world) failRefresh(err error) {
	w.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, err }
}

// requireOK asks that a call succeeded.
func requireOK(t *testing.T, resp *axle.Response, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// require401 asks that a call failed with the original 401.
func require401(t *testing.T, err error) *axle.Error {
	t.Helper()
	require.Error(t, err)
	e, ok := err.(*axle.Error) //nolint:errorlint // the contract is about the error itself
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, http.StatusUnauthorized, e.StatusCode(), "%v", err)
	assert.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, "who are you?", e.Response.String())
	return e
}
