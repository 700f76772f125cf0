package auth_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

var tenantKey = axle.NewKey[string]("tenant")

func forTenant(name string) func(*axle.Request) {
	return func(r *axle.Request) { tenantKey.Set(r, name) }
}

// tenants are sessions by name, and a client that chooses among them. The server takes the tokens
// "NAME-1", "NAME-2", … of which the last is good.
type tenants struct {
	sessions map[string]*store.UserStore[user]
	client   *axle.Client
	chosen   atomic.Int64 // how often choose was asked

	refreshes map[string]int
	arrived   []string
}

func newTenants(names ...string) *tenants {
	w := &tenants{sessions: map[string]*store.UserStore[user]{}, refreshes: map[string]int{}}
	for _, name := range names {
		w.sessions[name] = store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			w.refreshes[name]++
			return &oauth2.Token{AccessToken: name + "-2"}, nil
		})
		w.sessions[name].Login(user{name}, &oauth2.Token{AccessToken: name + "-1"})
	}
	w.client = axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).
		SetTransport(responding(func(r *http.Request) int {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			w.arrived = append(w.arrived, token)
			if !strings.HasSuffix(token, "-2") {
				return http.StatusUnauthorized
			}
			return http.StatusOK
		})).
		Use(auth.Select(w.choose))
	return w
}

func (w *tenants) choose(r *axle.Request) auth.StatefulSession {
	w.chosen.Add(1)
	name, _ := tenantKey.Get(r)
	return w.sessions[name] // a nil pointer in an interface for a name that is nobody's
}

func TestSelect_EachRequestHasTheSessionThatIsChosenForIt(t *testing.T) {
	w := newTenants("a", "b")
	for range 2 {
		for _, name := range []string{"a", "b"} {
			resp, err := w.client.Get(t.Context(), "/", forTenant(name))
			requireOK(t, resp, err)
		}
	}
	assert.Equal(t, []string{"a-1", "a-2", "b-1", "b-2", "a-2", "b-2"}, w.arrived)
	assert.Equal(t, map[string]int{"a": 1, "b": 1}, w.refreshes)
}

func TestSelect_NoSessionLeavesTheCallAlone(t *testing.T) {
	for name, choose := range map[string]func(*axle.Request) auth.StatefulSession{
		"nil": func(*axle.Request) auth.StatefulSession { return nil },
		"a nil pointer in the interface": func(*axle.Request) auth.StatefulSession {
			return (*store.UserStore[user])(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := axle.New().SetTransport(seeing(&seen, http.StatusUnauthorized)).Use(auth.Select(choose))
			_, err := client.Get(t.Context(), "http://api.test/") // nor needs it a base URL
			require.ErrorIs(t, err, axle.CodeBadRequest)
			assert.Equal(t, []string{""}, seen)
		})
	}
}

func TestSelect_IsAskedOnceForACallAndItsReplaysAndWhatAHandlerSendsAgain(t *testing.T) {
	w := newTenants("a", "b")
	again := 0
	w.client.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		tenantKey.Set(resp.Request, "b") // too late
		if again++; again == 1 {
			return resp.Request.Client().Do(resp.Request)
		}
		return resp, nil
	}, nil)

	resp, err := w.client.Get(t.Context(), "/", forTenant("a"))
	requireOK(t, resp, err)
	assert.Equal(t, []string{"a-1", "a-2", "a-2"}, w.arrived)
	assert.EqualValues(t, 1, w.chosen.Load())

	tenantKey.Set(resp.Request, "b")
	resp, err = w.client.Do(resp.Request) // by its caller: a call of its own
	requireOK(t, resp, err)
	assert.Equal(t, []string{"b-1", "b-2"}, w.arrived[3:])
	assert.EqualValues(t, 2, w.chosen.Load())

	w.chosen.Store(0)
	_, err = w.client.Get(t.Context(), "/", auth.Skip)
	require.Error(t, err)
	assert.Zero(t, w.chosen.Load(), "nor for a call that is skipped")
}

func TestSelect_NoSessionHoldsForTheWholeCallToo(t *testing.T) {
	w := newTenants("a")
	w.client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		if err.Request.Attempt() > 1 {
			return nil, err
		}
		return err.Request.Replay(forTenant("a"))
	})
	_, err := w.client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, []string{"", ""}, w.arrived)
	assert.EqualValues(t, 1, w.chosen.Load())
}

func TestSelect_BadInputIsAnErrorOfTheCall(t *testing.T) {
	for name, c := range map[string]struct {
		choose func(*axle.Request) auth.StatefulSession
		code   axle.Code
		says   string
	}{
		"nil":      {nil, axle.CodeBadOption, "Select: the function is nil"},
		"a panic":  {func(*axle.Request) auth.StatefulSession { panic("ouch") }, axle.CodeInterceptor, "the function of Select panicked: "},
		"a broken": {func(*axle.Request) auth.StatefulSession { return &panickingStore{} }, axle.CodeInterceptor, "the session panicked"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			client := newClient(seeing(&seen, 200)).Use(auth.Select(c.choose))
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, c.code)
			assert.ErrorContains(t, err, c.says)
			assert.Empty(t, seen)
		})
	}
}

// incomparable is a session that is no pointer and cannot be compared.
type incomparable struct {
	*store.UserStore[user]
	_ []string
}

func TestSelect_ASessionThatCannotBeComparedWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTenants("a")
		client := w.client.Clone()
		client.Interceptors.Request.Clear()
		client.Interceptors.Response.Clear()
		client.Use(auth.Select(func(*axle.Request) auth.StatefulSession {
			return incomparable{UserStore: w.sessions["a"]}
		}, auth.WithEarlyRefresh(window)))
		w.sessions["a"] = store.New[user](func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			_, err := client.Get(ctx, "/nested") // must not wait for the refresh that it is part of
			assert.ErrorIs(t, err, axle.CodeBadRequest)
			return living("a-2", time.Hour), nil
		})
		w.sessions["a"].Login(user{"a"}, living("a-1", time.Minute))

		resp, err := client.Get(t.Context(), "/")
		requireOK(t, resp, err)
		assert.Equal(t, []string{"a-1", "", "a-2"}, w.arrived)
	})
}

func TestSelect_EachSessionIsRefreshedEarlyByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions, slow := map[string]*store.UserStore[user]{}, newGate()
		for _, name := range []string{"a", "b"} {
			sessions[name] = store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				slow.pass()
				return nil, errBoom
			})
			sessions[name].Login(user{name}, living(name, time.Hour))
		}
		var seen []string
		client := newClient(seeing(&seen, 200)).
			Use(auth.Select(func(r *axle.Request) auth.StatefulSession {
				name, _ := tenantKey.Get(r)
				return sessions[name]
			}, auth.WithEarlyRefresh(window)))

		time.Sleep(55 * time.Minute)
		for _, name := range []string{"a", "b", "a", "b"} {
			_, err := client.Get(t.Context(), "/", forTenant(name))
			require.NoError(t, err)
		}
		synctest.Wait()
		assert.EqualValues(t, 2, slow.waiting.Load())
		slow.open()
		synctest.Wait()

		_, err := client.Get(t.Context(), "/", forTenant("a"))
		require.NoError(t, err)
		synctest.Wait()
		assert.EqualValues(t, 2, slow.waiting.Load(), "not before the pause is over")
		assert.Equal(t, []string{"Bearer a", "Bearer b", "Bearer a", "Bearer b", "Bearer a"}, seen)
	})
}

func TestSelect_KeepsNoSessionAliveForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions = 100
		var dropped atomic.Int64
		client := axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).SetTransport(roundTrip(emptyResponse)).
			Use(auth.Select(func(*axle.Request) auth.StatefulSession {
				s := store.New[user](nil)
				runtime.AddCleanup(s, func(n *atomic.Int64) { n.Add(1) }, &dropped)
				s.Login(user{}, &oauth2.Token{AccessToken: "t"})
				return s
			}))
		for range sessions {
			_, err := client.Get(t.Context(), "/")
			require.NoError(t, err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for range 1000 {
			if dropped.Load() == sessions {
				return
			}
			runtime.GC()
			runtime.Gosched()
		}
		assert.EqualValues(t, sessions, dropped.Load())
		runtime.KeepAlive(client)
	})
}

func TestSelect_ManyCallsOfManySessionsRefreshEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refreshes [5]atomic.Int64
		var sessions [5]*store.UserStore[user]
		for n := range sessions {
			sessions[n] = store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				refreshes[n].Add(1)
				return &oauth2.Token{AccessToken: "fresh"}, nil
			})
			sessions[n].Login(user{}, &oauth2.Token{AccessToken: "stale"})
		}
		index := axle.NewKey[int]("session")
		client := newClient(inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer fresh" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.Copy(w, r.Body)
		})}).Use(auth.Select(func(r *axle.Request) auth.StatefulSession {
			n, _ := index.Get(r)
			return sessions[n]
		}))
		var calls []*future.Future[*axle.Response]
		for n := range 100 {
			calls = append(calls, future.Go(func() (*axle.Response, error) {
				return client.Get(t.Context(), "/", func(r *axle.Request) { index.Set(r, n%len(sessions)) })
			}))
		}
		for _, call := range calls {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		for n := range refreshes {
			assert.EqualValues(t, 1, refreshes[n].Load())
		}
	})
}
