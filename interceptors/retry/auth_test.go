package retry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
)

// session is a plain session, whose refresh counts, and fails if there is an error for it.
type session struct {
	token     atomic.Pointer[oauth2.Token]
	refreshes atomic.Int64
	fails     error
}

func newSession() *session {
	s := new(session)
	s.token.Store(&oauth2.Token{AccessToken: "old"})
	return s
}

func (s *session) Token() *oauth2.Token         { return s.token.Load() }
func (s *session) Logout(context.Context) error { return nil }

func (s *session) RefreshToken(context.Context) (*oauth2.Token, error) {
	s.refreshes.Add(1)
	if s.fails != nil {
		return nil, s.fails
	}
	s.token.Store(&oauth2.Token{AccessToken: "new"})
	return s.Token(), nil
}

// inBothOrders runs a test with auth nearer to the network, and with retry nearer to it.
func inBothOrders(t *testing.T, test func(t *testing.T, use func(c *axle.Client, a, r axle.Plugin) *axle.Client)) {
	inBubble(t, "auth, then retry", func(t *testing.T) {
		test(t, func(c *axle.Client, a, r axle.Plugin) *axle.Client { return c.Use(a, r) })
	})
	inBubble(t, "retry, then auth", func(t *testing.T) {
		test(t, func(c *axle.Client, a, r axle.Plugin) *axle.Client { return c.Use(r, a) })
	})
}

func plainClient(n http.RoundTripper) *axle.Client {
	return axle.New().SetBaseURL("http://axle.test").SetTransport(n).SetCookieJar(nil)
}

func TestAuth_ACallRefreshesAtMostOnceInEitherOrder(t *testing.T) {
	for name, statuses := range map[string][]int{
		"a failure before":     {503, 401, 200},
		"a failure after":      {401, 503, 200},
		"the refusal stays":    {401, 401},
		"refused once more":    {401, 503, 401},
		"failures around":      {503, 401, 503, 401},
		"retried like no 401s": {503, 503, 401, 200},
	} {
		t.Run(name, func(t *testing.T) {
			inBothOrders(t, func(t *testing.T, use func(c *axle.Client, a, r axle.Plugin) *axle.Client) {
				n, s := answering(statuses...), newSession()
				c := use(plainClient(n), auth.New(s), retry.New(retry.WithAttempts(len(statuses))))
				_, err := c.Get(t.Context(), "/")
				assert.Equal(t, statuses[len(statuses)-1] == 200, err == nil, "%v", err)
				assert.EqualValues(t, 1, s.refreshes.Load())
				assert.Equal(t, len(statuses), n.attempts())
			})
		})
	}
}

func TestAuth_AConditionThatRetriesA401RefreshesNoMoreThanOnce(t *testing.T) {
	for name, fails := range map[string]error{"the refresh succeeds": nil, "the refresh fails": errors.New("invalid_grant")} {
		t.Run(name, func(t *testing.T) {
			inBothOrders(t, func(t *testing.T, use func(c *axle.Client, a, r axle.Plugin) *axle.Client) {
				n, s := answering(401), newSession()
				s.fails = fails
				c := use(plainClient(n), auth.New(s), retry.New(retry.WithCondition(always), retry.WithAttempts(5)))
				_, err := c.Get(t.Context(), "/")
				assert.Equal(t, 401, asAxle(t, err).StatusCode())
				assert.EqualValues(t, 1, s.refreshes.Load())
			})
		})
	}
}

func TestAuth_AReplayAfterARefreshCountsAsAnAttempt(t *testing.T) {
	inBothOrders(t, func(t *testing.T, use func(c *axle.Client, a, r axle.Plugin) *axle.Client) {
		n, s := answering(401, 503), newSession()
		_, err := use(plainClient(n), auth.New(s), retry.New()).Get(t.Context(), "/")
		assert.Equal(t, 503, asAxle(t, err).StatusCode())
		assert.Equal(t, 3, n.attempts())
		assert.Equal(t, []string{"Bearer old", "Bearer new", "Bearer new"}, n.headers("Authorization"))
	})
}

func TestAuth_AFailedRefreshIsNotRetried(t *testing.T) {
	inBothOrders(t, func(t *testing.T, use func(c *axle.Client, a, r axle.Plugin) *axle.Client) {
		n, s := answering(401), newSession()
		s.fails = errReset
		_, err := use(plainClient(n), auth.New(s), retry.New()).Get(t.Context(), "/")
		assert.ErrorIs(t, err, errReset)
		assert.Equal(t, 401, asAxle(t, err).StatusCode())
		assert.EqualValues(t, 1, s.refreshes.Load())
		assert.Equal(t, 1, n.attempts())
	})
}

func TestAuth_TheRequestsOfARefreshAreNeverRetried(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"a refused status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a lost response":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			var posts, gets atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/refresh" || r.URL.Path == "/token" {
					posts.Add(1)
					answer(w, r)
					return
				}
				gets.Add(1)
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer server.Close()

			c := axle.New().SetBaseURL(server.URL)
			defer c.HTTPClient().CloseIdleConnections()
			refreshes := map[string]store.RefreshFunc{
				"Endpoint": store.Endpoint(c, "/refresh"),
				"a function of the program's": func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
					_, err := c.Put(ctx, "/refresh", nil, retry.With(retry.WithCondition(always)))
					return nil, err
				},
				"OAuth2, over HTTPClient": func(ctx context.Context, t *oauth2.Token) (*oauth2.Token, error) {
					ctx = context.WithValue(ctx, oauth2.HTTPClient, c.HTTPClient())
					endpoint := oauth2.Endpoint{TokenURL: server.URL + "/token", AuthStyle: oauth2.AuthStyleInParams}
					return store.OAuth2(&oauth2.Config{Endpoint: endpoint})(ctx, t)
				},
			}
			c.Use(retry.New(retry.WithIdempotencyKey("Idempotency-Key"), retry.WithBackoff(0, 0)))
			for name, refresh := range refreshes {
				t.Run(name, func(t *testing.T) {
					posts.Store(0)
					gets.Store(0)
					s := store.New[string](refresh)
					s.Login("ada", &oauth2.Token{AccessToken: "old", RefreshToken: "r1"})
					uninstall := auth.New(s).Install(c)
					defer uninstall()

					_, err := c.Get(t.Context(), "/")
					require.Error(t, err)
					assert.EqualValues(t, 1, posts.Load())
					assert.EqualValues(t, 1, gets.Load())
				})
			}
		})
	}
}
