package store_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

// TestMain fails the package when a test leaves a goroutine behind.
func TestMain(m *testing.M) { axletest.Main(m) }

var (
	_ auth.StatefulSession = (*store.UserStore[user])(nil)

	errBoom = errors.New("boom")
)

type user struct{ Name string }

// tokenNamed is an access and a refresh token that belong together.
func tokenNamed(name string) *oauth2.Token {
	return &oauth2.Token{AccessToken: "access-" + name, RefreshToken: "refresh-" + name, TokenType: "Bearer"}
}

// expired is a token whose time is over.
func expired(token *oauth2.Token) *oauth2.Token {
	token.Expiry = time.Now().Add(-time.Hour)
	return token
}

// server is a RefreshFunc that the test answers by hand. It ignores its context.
type server struct {
	mu   sync.Mutex
	asks []*ask
}

// ask is one call of the RefreshFunc.
type ask struct {
	ctx     context.Context
	current *oauth2.Token
	answer  chan func() (*oauth2.Token, error)
}

func (s *server) refresh(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	a := &ask{ctx, current, make(chan func() (*oauth2.Token, error), 1)}
	s.mu.Lock()
	s.asks = append(s.asks, a)
	s.mu.Unlock()
	return (<-a.answer)()
}

func (s *server) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asks)
}

// asked is the nth call, from 1, once everything in the bubble has come to rest.
func (s *server) asked(t *testing.T, n int) *ask {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.GreaterOrEqual(t, len(s.asks), n, "the RefreshFunc was not called")
	return s.asks[n-1]
}

// end makes the call end as how does, which runs inside it, and waits for what follows.
func (a *ask) end(how func() (*oauth2.Token, error)) {
	a.answer <- how
	synctest.Wait()
}

func (a *ask) succeed(token *oauth2.Token) {
	a.end(func() (*oauth2.Token, error) { return token, nil })
}

func (a *ask) fail(err error) { a.end(func() (*oauth2.Token, error) { return nil, err }) }

// refreshing asks for a refresh and does not wait.
func refreshing(ctx context.Context, s *store.UserStore[user]) *future.Future[*oauth2.Token] {
	return future.Go(func() (*oauth2.Token, error) { return s.RefreshToken(ctx) })
}

// outcome is what a call has come to, once everything in the bubble has come to rest.
func outcome[T any](t *testing.T, f *future.Future[T]) (T, error) {
	t.Helper()
	synctest.Wait()
	requireDone(t, f)
	return f.Await(t.Context())
}

func requireDone[T any](t *testing.T, f *future.Future[T]) {
	t.Helper()
	select {
	case <-f.Done():
	default:
		require.FailNow(t, "the call still waits")
	}
}

func requireWaiting[T any](t *testing.T, f *future.Future[T]) {
	t.Helper()
	synctest.Wait()
	select {
	case <-f.Done():
		_, err := f.Await(t.Context())
		require.FailNow(t, "the call does not wait", "%v", err)
	default:
	}
}

// always is a RefreshFunc with one answer.
func always(token *oauth2.Token, err error) store.RefreshFunc {
	return func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return token, err }
}

// loggedIn is a store of ada's, with the token named old.
func loggedIn(refresh store.RefreshFunc, opts ...store.Option) *store.UserStore[user] {
	s := store.New[user](refresh, opts...)
	s.Login(user{"ada"}, tokenNamed("old"))
	return s
}

// requireLoggedOut wants nobody, no token and an ended session.
func requireLoggedOut(t *testing.T, s *store.UserStore[user]) {
	t.Helper()
	require.Equal(t, store.State[user]{}, s.State())
	require.False(t, s.Snapshot().Active)
}

// requireStillIn wants ada with the token of that name, in a session that does not refresh.
func requireStillIn(t *testing.T, s *store.UserStore[user], token string) {
	t.Helper()
	require.Equal(t, store.State[user]{User: &user{"ada"}, Token: tokenNamed(token)}, s.State())
	now := s.Snapshot()
	require.True(t, now.Active)
	require.False(t, now.Refreshing)
}

// requirePanic wants an error that holds a panic with that value.
func requirePanic(t *testing.T, err error, value any) {
	t.Helper()
	p, ok := errors.AsType[*future.PanicError](err)
	require.True(t, ok, "want a *future.PanicError, got %v", err)
	require.Equal(t, value, p.Value)
}

// newLoopback starts a server on the loopback interface; client is for it, with no connection left
// when the test ends.
func newLoopback(t *testing.T, handler http.HandlerFunc) (client *axle.Client, url string) {
	t.Helper()
	httpServer := httptest.NewServer(handler)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		httpServer.Close()
	})
	return axle.New().SetBaseURL(httpServer.URL).SetTransport(transport), httpServer.URL
}
