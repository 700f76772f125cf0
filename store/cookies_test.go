package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// cookieServer keeps its sessions in a cookie, as a backend for browsers does.
type cookieServer struct {
	mu       sync.Mutex
	sessions map[string]string // sid to user
	count    int

	entered chan struct{} // told when a refresh has come in; nil: nobody is told
	release chan struct{} // a refresh is not answered before this is closed; nil: at once
	status  int           // of a refresh's answer, if not 200
	body    string        // of a refresh's answer
}

func (c *cookieServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/login":
		c.begin(w, r.URL.Query().Get("user"))
	case "/logout":
		c.end(w, r)
	case "/redirect": // the later requests of the refresh need the cookies of the earlier ones
		http.SetCookie(w, &http.Cookie{Name: "step", Value: "1", Path: "/"})
		http.Redirect(w, r, "/redirected", http.StatusTemporaryRedirect)
	case "/redirected":
		if _, err := r.Cookie("step"); err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "step", Path: "/", MaxAge: -1})
		http.Redirect(w, r, refreshPath, http.StatusTemporaryRedirect)
	case refreshPath:
		c.rotate(w, r)
	case "/me":
		user, _ := c.of(r)
		if user == "" {
			user = "nobody"
		}
		_, _ = fmt.Fprint(w, user)
	}
}

func (c *cookieServer) begin(w http.ResponseWriter, user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	sid := fmt.Sprintf("%s-%d", user, c.count)
	c.sessions[sid] = user
	http.SetCookie(w, &http.Cookie{Name: "sid", Value: sid, Path: "/", HttpOnly: true})
}

func (c *cookieServer) of(r *http.Request) (user, sid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cookie, err := r.Cookie("sid")
	if err != nil {
		return "", ""
	}
	return c.sessions[cookie.Value], cookie.Value
}

func (c *cookieServer) end(w http.ResponseWriter, r *http.Request) {
	_, sid := c.of(r)
	c.mu.Lock()
	delete(c.sessions, sid)
	c.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "sid", Path: "/", MaxAge: -1})
}

// rotate answers late with a session that is alive, whatever has happened meanwhile.
func (c *cookieServer) rotate(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie("step"); err == nil {
		w.WriteHeader(http.StatusConflict) // it was deleted two answers ago
		return
	}
	user, _ := c.of(r)
	if c.entered != nil {
		c.entered <- struct{}{}
	}
	if c.release != nil {
		<-c.release
	}
	c.begin(w, user)
	w.Header().Set("Content-Type", "application/json")
	if c.status != 0 {
		w.WriteHeader(c.status)
	}
	_, _ = fmt.Fprint(w, c.body)
}

// inMemory is a transport to a handler, for bubbles of synctest.
func inMemory(handler http.Handler) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		served := r.Clone(r.Context())
		if served.Body == nil {
			served.Body = http.NoBody
		}
		handler.ServeHTTP(w, served)
		_ = served.Body.Close()
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
}

// byHTTPClient refreshes by an http.Client that the client made.
func byHTTPClient(c *axle.Client, path string) store.RefreshFunc {
	hc := c.HTTPClient()
	return func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BaseURL()+path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := hc.Do(req)
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("refused: %s", resp.Status)
		}
		if len(resp.Cookies()) == 0 {
			return nil, errors.New("the RefreshFunc does not see the cookie that the answer sets")
		}
		return nil, nil
	}
}

// cookieWays are the ways by which a refresh can set cookies.
var cookieWays = map[string]func(c *axle.Client) store.RefreshFunc{
	"Endpoint": func(c *axle.Client) store.RefreshFunc { return store.Endpoint(c, refreshPath) },
	"Endpoint, along redirects": func(c *axle.Client) store.RefreshFunc {
		return store.Endpoint(c, "/redirect")
	},
	"Endpoint, over a configured engine": func(c *axle.Client) store.RefreshFunc {
		return store.Endpoint(c.SetEngine(func(rc *resty.Client) { rc.SetHeader("X-Engine", "yes") }), refreshPath)
	},
	"Endpoint, over a configured engine, along redirects": func(c *axle.Client) store.RefreshFunc {
		return store.Endpoint(c.SetEngine(func(*resty.Client) {}), "/redirect")
	},
	"a RefreshFunc of the user's": func(c *axle.Client) store.RefreshFunc {
		return func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			_, err := c.Post(ctx, refreshPath, nil, auth.Skip)
			return nil, err
		}
	},
	"one that calls through a clone": func(c *axle.Client) store.RefreshFunc {
		return store.Endpoint(c.Clone(), refreshPath)
	},
	"OAuth2, by HTTPClient()": func(c *axle.Client) store.RefreshFunc {
		refresh := withClient(c.HTTPClient(), store.OAuth2(configFor(c.BaseURL())))
		return func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			_, _ = refresh(ctx, tokenNamed("old")) // the cookie is what counts here
			return nil, nil
		}
	},
	"HTTPClient()":                  func(c *axle.Client) store.RefreshFunc { return byHTTPClient(c, refreshPath) },
	"HTTPClient(), along redirects": func(c *axle.Client) store.RefreshFunc { return byHTTPClient(c, "/redirect") },
}

// me asks who the server takes the client for, directly and under HTTPClient().
func me(t *testing.T, client *axle.Client) string {
	t.Helper()
	direct, err := client.Get(context.Background(), "/me", auth.Skip)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, client.BaseURL()+"/me", nil)
	require.NoError(t, err)
	resp, err := client.Clone().HTTPClient().Do(req)
	require.NoError(t, err)
	below := axle.NewResponse(nil, resp.StatusCode, resp.Header, nil).SetStream(resp.Body)
	require.NoError(t, below.Buffer())
	require.Equal(t, direct.String(), below.String(), "the cookies under HTTPClient() are the same")
	return direct.String()
}

func signIn(t *testing.T, client *axle.Client, s *store.UserStore[user], name string) {
	t.Helper()
	_, err := client.Post(context.Background(), "/login", nil, axleQuery("user", name), auth.Skip)
	require.NoError(t, err)
	s.Login(user{name}, nil)
}

func axleQuery(name, value string) func(*axle.Request) {
	return func(r *axle.Request) { r.SetQueryParam(name, value) }
}

func TestLateCookies_ARefreshOfALoginThatIsOverSetsNone(t *testing.T) {
	tellServer := func(c *axle.Client) store.Option {
		return store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
			_, err := c.Post(ctx, "/logout", nil)
			return err
		})
	}
	empty := func(c *axle.Client) store.Option {
		return store.WithLogout(func(context.Context, *oauth2.Token) error { c.ClearCookies(); return nil })
	}
	logout := func(t *testing.T, _ *axle.Client, s *store.UserStore[user]) {
		require.NoError(t, s.Logout(context.Background()))
	}
	for _, meanwhile := range []struct {
		name string
		opt  func(*axle.Client) store.Option
		does func(t *testing.T, client *axle.Client, s *store.UserStore[user])
		want string // who the server takes the client for at the end
	}{
		{"a logout that the server is told", tellServer, logout, "nobody"},
		{"a logout that empties the jar", empty, logout, "nobody"},
		{"a logout, and another's login", empty, func(t *testing.T, client *axle.Client, s *store.UserStore[user]) {
			logout(t, client, s)
			signIn(t, client, s, "bob")
		}, "bob"},
		{"another's login alone", empty, func(t *testing.T, client *axle.Client, s *store.UserStore[user]) {
			signIn(t, client, s, "bob")
		}, "bob"},
		{"a SetState that ends the session", empty, func(_ *testing.T, client *axle.Client, s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { *state = store.State[user]{} })
			client.ClearCookies()
		}, "nobody"},
	} {
		for name, way := range cookieWays {
			t.Run(meanwhile.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &cookieServer{sessions: map[string]string{}, release: make(chan struct{})}
					client := axle.New().SetBaseURL("http://axle.test").SetTransport(inMemory(server))
					s := store.New[user](way(client), meanwhile.opt(client))
					client.Use(auth.New(s))
					signIn(t, client, s, "ada")
					call := refreshing(t.Context(), s)
					requireWaiting(t, call)

					ended := make(chan struct{})
					go func() {
						defer close(ended)
						meanwhile.does(t, client, s)
					}()
					synctest.Wait()
					close(server.release)
					<-ended
					synctest.Wait()

					assert.Equal(t, meanwhile.want, me(t, client))
					_, err := outcome(t, call)
					require.ErrorIs(t, err, auth.ErrSessionChanged)
				})
			})
		}
	}
}

func TestLateCookies_ALogoutDuringARefreshRevokesWhatTheRefreshBrought(t *testing.T) {
	for name, tell := range map[string]func(ctx context.Context, c *axle.Client) error{
		"by the client": func(ctx context.Context, c *axle.Client) error {
			_, err := c.Post(ctx, "/logout", nil)
			return err
		},
		"by HTTPClient()": func(ctx context.Context, c *axle.Client) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BaseURL()+"/logout", nil)
			if err != nil {
				return err
			}
			resp, err := c.HTTPClient().Do(req)
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &cookieServer{sessions: map[string]string{}, release: make(chan struct{})}
				client := axle.New().SetBaseURL("http://axle.test").SetTransport(inMemory(server))
				s := store.New[user](store.Endpoint(client, refreshPath), store.WithLogout(func(ctx context.Context, _ *oauth2.Token) error {
					return tell(ctx, client)
				}))
				signIn(t, client, s, "ada")
				call := refreshing(t.Context(), s)
				requireWaiting(t, call)
				left := make(chan error, 1)
				go func() { left <- s.Logout(context.Background()) }()
				synctest.Wait()
				close(server.release)
				require.NoError(t, <-left)

				assert.Equal(t, map[string]string{"ada-1": "ada"}, server.sessions, "the session that the refresh brought is over")
				u, err := url.Parse(client.BaseURL())
				require.NoError(t, err)
				assert.Empty(t, client.HTTPClient().Jar.Cookies(u), "what the logout's answer deletes is deleted")
				_, err = outcome(t, call)
				require.ErrorIs(t, err, auth.ErrSessionChanged)
			})
		})
	}
}

func TestLateCookies_ReachTheJarTogetherWithTheNewState(t *testing.T) {
	for name, way := range cookieWays {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &cookieServer{sessions: map[string]string{}}
				client := axle.New().SetBaseURL("http://axle.test").SetTransport(inMemory(server))
				refresh := way(client)
				returns := make(chan struct{})
				s := store.New[user](func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
					token, err := refresh(ctx, current)
					<-returns
					return token, err
				})
				signIn(t, client, s, "ada")
				sid := func() string {
					u, err := url.Parse(client.BaseURL())
					require.NoError(t, err)
					return client.HTTPClient().Jar.Cookies(u)[0].Value
				}
				require.Equal(t, "ada-1", sid())

				call := refreshing(t.Context(), s)
				requireWaiting(t, call)
				assert.Equal(t, "ada-1", sid(), "the answer is there, and the refresh has not settled")

				close(returns)
				_, err := outcome(t, call)
				require.NoError(t, err)
				assert.Equal(t, "ada-2", sid())
				assert.Equal(t, "ada", me(t, client))
			})
		})
	}
}

func TestLateCookies_OverRealSockets(t *testing.T) {
	for name, way := range cookieWays {
		t.Run(name, func(t *testing.T) {
			server := &cookieServer{sessions: map[string]string{}, entered: make(chan struct{}), release: make(chan struct{})}
			client, _ := newLoopback(t, server.ServeHTTP)
			refresh, returned := way(client), make(chan struct{}, 1)
			s := store.New[user](func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
				defer func() { returned <- struct{}{} }()
				return refresh(ctx, current)
			})
			client.Use(auth.New(s))
			signIn(t, client, s, "ada")
			call := refreshing(t.Context(), s)
			<-server.entered
			client.ClearCookies()
			signIn(t, client, s, "bob")
			close(server.release)
			<-returned
			assert.Equal(t, "bob", me(t, client))
			_, err := call.Await(t.Context())
			require.ErrorIs(t, err, auth.ErrSessionChanged)

			server.entered = nil
			_, err = s.RefreshToken(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "bob", me(t, client), "the next refresh sets its own")
		})
	}
}

func TestLateCookies_OfAFailedRefreshAreKeptIfTheSessionIs(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		want   string
	}{
		{"it goes on", http.StatusServiceUnavailable, "ada-2"},
		{"it ends", http.StatusUnauthorized, "ada-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &cookieServer{sessions: map[string]string{}, status: c.status}
			client, base := newLoopback(t, server.ServeHTTP)
			s := store.New[user](store.Endpoint(client, refreshPath), store.WithLogoutWhen(store.RejectedOnly))
			signIn(t, client, s, "ada")
			_, err := s.RefreshToken(t.Context())
			require.Error(t, err)
			u, err := url.Parse(base)
			require.NoError(t, err)
			assert.Equal(t, c.want, client.HTTPClient().Jar.Cookies(u)[0].Value)
		})
	}
}

func TestLateCookies_OfARefreshThatOverranItsTimeCountIfItDoes(t *testing.T) {
	for _, c := range []struct {
		name      string
		opt       store.Option
		meanwhile func(s *store.UserStore[user])
		status    int
		want      string
	}{
		{"a success of the same login", store.WithLogoutWhen(store.RejectedOnly), func(*store.UserStore[user]) {}, 0, "ada-2"},
		{"a failure of the same login", store.WithLogoutWhen(store.RejectedOnly), func(*store.UserStore[user]) {}, http.StatusBadGateway, "ada-2"},
		{"a success of a login that is over", store.WithLogoutWhen(store.RejectedOnly), func(s *store.UserStore[user]) {
			s.Login(user{"bob"}, nil)
		}, 0, "ada-1"},
		{"a failure of a login that is over", store.WithLogoutWhen(store.RejectedOnly), func(s *store.UserStore[user]) {
			s.Login(user{"bob"}, nil)
		}, http.StatusBadGateway, "ada-1"},
		{"a success after the time limit has ended the session", nil, func(*store.UserStore[user]) {}, 0, "ada-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &cookieServer{sessions: map[string]string{}, release: make(chan struct{}), status: c.status}
				client := axle.New().SetBaseURL("http://axle.test").SetTransport(inMemory(server))
				s := store.New[user](func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
					_, err := client.Post(context.WithoutCancel(ctx), refreshPath, nil)
					return nil, err
				}, c.opt, store.WithRefreshTimeout(time.Second))
				signIn(t, client, s, "ada")
				_, err := s.RefreshToken(t.Context())
				require.ErrorIs(t, err, context.DeadlineExceeded)

				c.meanwhile(s)
				close(server.release)
				synctest.Wait()

				u, err := url.Parse(client.BaseURL())
				require.NoError(t, err)
				assert.Equal(t, c.want, client.HTTPClient().Jar.Cookies(u)[0].Value)
			})
		})
	}
}

// watchedJar calls back when it is given cookies.
type watchedJar struct {
	http.CookieJar
	given func()
}

func (j *watchedJar) SetCookies(u *url.URL, list []*http.Cookie) {
	j.given()
	j.CookieJar.SetCookies(u, list)
}

func TestLateCookies_ALogoutSeesThemAndTheNewTokenOrNeither(t *testing.T) {
	server := &cookieServer{sessions: map[string]string{}, body: `{"access_token":"access-new","token_type":"Bearer"}`}
	client, base := newLoopback(t, server.ServeHTTP)
	inner, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar := &watchedJar{inner, func() {}}
	client.SetCookieJar(jar)
	u, err := url.Parse(base)
	require.NoError(t, err)
	var last *oauth2.Token
	var sid string
	s := store.New[user](store.Endpoint(client, refreshPath), store.WithLogout(func(_ context.Context, token *oauth2.Token) error {
		last, sid = token, inner.Cookies(u)[0].Value
		return nil
	}))
	signIn(t, client, s, "ada")
	s.SetState(func(state *store.State[user]) { state.Token = tokenNamed("old") })

	left := make(chan error, 1)
	jar.given = func() {
		assert.Equal(t, "access-old", s.State().Token.AccessToken, "the jar may read the store")
		go func() { left <- s.Logout(context.Background()) }()
		for range 1000 { // the logout has every chance to come in between
			runtime.Gosched()
		}
		assert.True(t, s.Snapshot().Active, "a logout comes after the refresh that is settling")
	}
	token, err := s.RefreshToken(t.Context())

	require.NoError(t, err)
	require.NoError(t, <-left)
	assert.Equal(t, "access-new", token.AccessToken)
	assert.Equal(t, "access-new", last.AccessToken)
	assert.Equal(t, "ada-2", sid)
	requireLoggedOut(t, s)
}

func TestLateCookies_AJarThatPanicsCostsItsCookiesAlone(t *testing.T) {
	server := &cookieServer{sessions: map[string]string{}, body: `{"access_token":"access-new","token_type":"Bearer"}`}
	client, _ := newLoopback(t, server.ServeHTTP)
	inner, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar := &watchedJar{inner, func() { panic("spilled tea") }}
	client.SetCookieJar(jar)
	s := loggedIn(store.Endpoint(client, refreshPath))
	token, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "access-new", token.AccessToken)
	jar.given = func() {}
	require.NoError(t, s.Logout(t.Context()), "nothing is held")
}

func TestLateCookies_AnXSRFHeaderHasWhatTheRefreshItselfWasGiven(t *testing.T) {
	var got string
	client, _ := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("X-XSRF-TOKEN")
		http.SetCookie(w, &http.Cookie{Name: "XSRF-TOKEN", Value: "1", Path: "/"})
	})
	client.SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN")
	s := store.New[user](func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
		if _, err := client.Get(ctx, "/csrf"); err != nil {
			return nil, err
		}
		_, err := client.Post(ctx, refreshPath, nil)
		return nil, err
	})
	_, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1", got)
}

func TestLateCookies_AJarThatDoesNotReturnHoldsNobodyLongerThanTheRefreshTimeout(t *testing.T) {
	for name, hang := range map[string]func(s *store.UserStore[user], until <-chan struct{}){
		"it waits for something else": func(_ *store.UserStore[user], until <-chan struct{}) { <-until },
		"it calls Login":              func(s *store.UserStore[user], _ <-chan struct{}) { s.Login(user{"the jar"}, nil) },
		"it calls Logout":             func(s *store.UserStore[user], _ <-chan struct{}) { _ = s.Logout(context.Background()) },
		"it calls SetState": func(s *store.UserStore[user], _ <-chan struct{}) {
			s.SetState(func(now *store.State[user]) { now.User = nil })
		},
		"it asks for a refresh": func(s *store.UserStore[user], _ <-chan struct{}) { _, _ = s.RefreshToken(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			server := &cookieServer{sessions: map[string]string{}, body: `{"access_token":"access-new","token_type":"Bearer"}`}
			client, _ := newLoopback(t, server.ServeHTTP)
			inner, err := cookiejar.New(nil)
			require.NoError(t, err)
			until, returned := make(chan struct{}), make(chan struct{})
			var s *store.UserStore[user]
			client.SetCookieJar(&watchedJar{inner, func() {
				defer close(returned)
				hang(s, until)
			}})
			s = loggedIn(store.Endpoint(client, refreshPath), store.WithRefreshTimeout(300*time.Millisecond))

			token, err := s.RefreshToken(t.Context())
			if err == nil { // else the jar has changed the login first
				assert.Equal(t, "access-new", token.AccessToken)
			} else {
				require.ErrorIs(t, err, auth.ErrSessionChanged)
			}
			close(until)
			<-returned
			s.Login(user{"grace"}, nil)
			assert.Equal(t, "grace", s.State().User.Name)
		})
	}
}
