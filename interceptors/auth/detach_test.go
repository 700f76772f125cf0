package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// This file has the rules for a request that is sent again, and for a session that changes between
// two attempts of a call.

func TestDetach_ARequestThatIsSentAgainOutsideItsSessionCarriesNoToken(t *testing.T) {
	for name, c := range map[string]struct {
		before func(t *testing.T, s *scripted, r *axle.Request)
		want   string
	}{
		"it is skipped":     {func(_ *testing.T, _ *scripted, r *axle.Request) { auth.Skip(r) }, ""},
		"nobody logged in":  {func(_ *testing.T, s *scripted, _ *axle.Request) { s.says("") }, ""},
		"another logged in": {func(_ *testing.T, s *scripted, _ *axle.Request) { s.says("bobs") }, "bobs"},
		"it is authorized by its sender": {func(_ *testing.T, _ *scripted, r *axle.Request) {
			r.SetHeader("Authorization", "Bearer own")
		}, "own"},
		"it is authorized by its URL": {func(_ *testing.T, _ *scripted, r *axle.Request) {
			r.SetURL("http://ada:secret@api.test/data")
		}, "Basic YWRhOnNlY3JldA=="},
		"it is skipped and authorized by its sender": {func(_ *testing.T, _ *scripted, r *axle.Request) {
			auth.Skip(r)
			r.SetHeader("Authorization", "Bearer own")
		}, "own"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.accept("a1")
				resp, err := s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)

				s.accept()
				s.refreshBy(nil, "", errBoom)
				c.before(t, s, resp.Request)
				_, err = s.client.Do(resp.Request)
				require.Error(t, err)
				assert.Equal(t, []string{"a1", c.want}, s.arrived())
			})
		})
	}
}

func TestDetach_WhatAHandlerSendsAgainOutsideTheSessionCarriesNoToken(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(r *axle.Request)
		want string
	}{
		"it is skipped": {auth.Skip, ""},
		"it is skipped, and authorized by the handler": {func(r *axle.Request) {
			auth.Skip(r)
			r.SetHeader("Authorization", "Bearer own")
		}, "own"},
		"it is sent as it was": {func(*axle.Request) {}, "a1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.accept("a1", "own")
				again := 0
				s.client.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
					if again++; again > 1 {
						return resp, nil
					}
					c.edit(resp.Request)
					return resp.Request.Client().Do(resp.Request)
				}, nil)
				resp, err := s.client.R(t.Context()).SetValidateStatus(nil).Get("/data")
				require.NoError(t, err)
				assert.Equal(t, c.want == "", resp.StatusCode == http.StatusUnauthorized)
				assert.Equal(t, []string{"a1", c.want}, s.arrived())
			})
		})
	}
}

func TestDetach_OneThatIsSentAgainIsNoLongerTheSessionsWhenSelectChoosesNobody(t *testing.T) {
	users, refreshes := countingStore()
	var seen []string
	var chosen auth.StatefulSession = users
	client := newClient(seeing(&seen, http.StatusOK)).
		Use(auth.Select(func(*axle.Request) auth.StatefulSession { return chosen }))
	resp, err := client.Get(t.Context(), "/")
	requireOK(t, resp, err)
	chosen = nil
	resp, err = client.Do(resp.Request)
	requireOK(t, resp, err)
	require.Len(t, seen, 2)
	assert.NotEmpty(t, seen[0])
	assert.Empty(t, seen[1])
	assert.Zero(t, refreshes.Load())
}

// changing is a StatefulSession that is in the state now, and in the state then once it has moved
// or was asked to refresh.
type changing struct {
	now, then auth.Snapshot
	moved     atomic.Bool // it is in the state then already
	refreshes atomic.Int64
}

func (c *changing) Token() *oauth2.Token                                { return c.now.Token }
func (c *changing) RefreshToken(context.Context) (*oauth2.Token, error) { return nil, errBoom }
func (c *changing) Logout(context.Context) error                        { return nil }

func (c *changing) Snapshot() auth.Snapshot {
	if c.moved.Load() {
		return c.then
	}
	return c.now
}

func (c *changing) RefreshSince(context.Context, auth.Generation) (auth.Snapshot, error) {
	c.refreshes.Add(1)
	c.moved.Store(true)
	return c.then, nil
}

func at(login, refresh uint64, token *oauth2.Token) auth.Snapshot {
	return auth.Snapshot{Token: token, Generation: auth.Generation{Login: login, Refresh: refresh}, Active: true}
}

func TestDetach_ARefreshAfterWhichTheTokensAreCookiesTakesTheHeaderOff(t *testing.T) {
	session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, nil)}
	var seen []string
	client := newClient(seeing(&seen, http.StatusUnauthorized)).Use(auth.New(session))
	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, []string{"Bearer a1", ""}, seen)
}

// ended is a state in which nobody is logged in.
func ended(login uint64) auth.Snapshot {
	return auth.Snapshot{Generation: auth.Generation{Login: login}}
}

func TestWait_ARequestThatWaitsIsNotSentIfTheSessionChangesMeanwhile(t *testing.T) {
	for name, then := range map[string]auth.Snapshot{
		"it ended":                        ended(2),
		"it ended, in the same login":     ended(1),
		"another login began":             at(2, 0, bearer("bobs")),
		"another login began, by cookies": at(2, 0, nil),
	} {
		t.Run(name, func(t *testing.T) {
			session := &changing{now: at(1, 0, bearer("a1")), then: then}
			session.now.Refreshing = true
			var seen []string
			client := newClient(seeing(&seen, http.StatusOK)).Use(auth.New(session))
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, auth.ErrSessionChanged)
			require.ErrorIs(t, err, axle.CodeInterceptor)
			require.ErrorContains(t, err, "auth: not sent")
			assert.Empty(t, seen)
		})
	}
}

func TestWait_A401StandsIfItsLoginIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		then   auth.Snapshot
		reason error
	}{
		"it ended in the refresh":             {ended(2), auth.ErrSessionChanged},
		"another login began in the refresh":  {at(2, 0, bearer("bobs")), auth.ErrSessionChanged},
		"it ended in the refresh's own login": {ended(1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			session := &changing{now: at(1, 0, bearer("a1")), then: c.then}
			var seen []string
			client := newClient(seeing(&seen, http.StatusUnauthorized)).
				Use(auth.New(session))
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadRequest)
			if c.reason != nil {
				require.ErrorIs(t, err, c.reason)
				assert.Equal(t, []string{"Bearer a1"}, seen)
			}
			assert.NotContains(t, seen, "Bearer bobs")
			assert.EqualValues(t, 1, session.refreshes.Load())
		})
	}
}

func TestWait_ItsEndByTheCallersContextIsTheErrorOfTheCall(t *testing.T) {
	for name, c := range map[string]struct {
		isHeld  bool // before it is sent; else its 401 waits
		isLate  bool // its deadline passes; else it is canceled
		code    axle.Code
		message string
	}{
		"a waiting request that is canceled":    {true, false, axle.CodeCanceled, "auth: not sent"},
		"a waiting request that takes too long": {true, true, axle.CodeTimeout, "auth: not sent"},
		"a 401 that is canceled":                {false, false, axle.CodeCanceled, "auth: the wait for the refresh ended"},
		"a 401 that takes too long":             {false, true, axle.CodeTimeout, "auth: the wait for the refresh ended"},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				delayed := w.delayRefresh()
				w.api.expire()
				if c.isHeld {
					w.get(t.Context(), "/data")
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				call := w.get(ctx, "/data")
				synctest.Wait()
				require.False(t, isDone(call))
				if !c.isLate {
					cancel()
				}
				_, err := result(call)
				e, ok := errors.AsType[*axle.Error](err)
				require.True(t, ok)
				assert.Equal(t, c.code, e.Code)
				assert.Contains(t, e.Message, c.message)
				assert.Equal(t, c.isHeld, e.Response == nil)
				assert.Zero(t, w.logouts.Load())
				delayed.open()
			})
		})
	}
}

func TestDetach_ACallThatWasMadeByNobodyStaysNobodysWhenItIsSentAgain(t *testing.T) {
	for name, resend := range map[string]func(r *axle.Request) (*axle.Response, error){
		"by Replay": func(r *axle.Request) (*axle.Response, error) { return r.Replay() },
		"by Do":     func(r *axle.Request) (*axle.Response, error) { return r.Client().Do(r) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				users := store.New[user](nil)
				users.Login(user{"ada"}, bearer("adas"))
				require.NoError(t, users.Logout(t.Context()))
				var seen []string
				client := newClient(seeing(&seen, http.StatusUnauthorized))
				tries := 0
				client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
					if tries++; tries > 1 {
						return nil, err
					}
					users.Login(user{"bob"}, bearer("bobs"))
					return resend(err.Request)
				})
				client.Use(auth.New(users))
				_, err := client.Get(t.Context(), "/")
				require.ErrorIs(t, err, axle.CodeBadRequest)
				assert.Equal(t, []string{"", ""}, seen)
			})
		})
	}
}

func TestPlain_A401OfACallThatWasMadeWhileItLoggedOutStandsThoughTheSessionIsOpenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		slow := newGate()
		s.arriving = func(_ *http.Request, token string) {
			if token == "" {
				slow.pass()
			}
		}
		refused, delayed := s.leaving(t, func() {})
		call := s.get(t.Context())
		synctest.Wait()
		require.EqualValues(t, 1, slow.waiting.Load())
		delayed.open()
		_, err := result(refused)
		require.ErrorIs(t, err, errBoom)

		slow.open()
		_, err = result(call)
		require401(t, err)
		assert.EqualValues(t, 1, s.refreshes.Load())
		assert.Equal(t, []string{"a1", ""}, s.arrived())
	})
}

func TestOrigins_A401FromAnotherOriginIsTheSessionsOnlyIfItsTokensWentThere(t *testing.T) {
	elsewhere := httptest.NewServer(statusHandler(func(*http.Request) int { return http.StatusUnauthorized }))
	defer elsewhere.Close()
	api := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer api.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	both := []auth.Option{auth.WithAllowedOrigins(api.URL, elsewhere.URL)}
	for name, c := range map[string]struct {
		token     *oauth2.Token
		opts      []auth.Option
		refreshes int64
	}{
		"the base URL's origin alone is allowed":                      {nil, nil, 0},
		"both are allowed":                                            {nil, both, 1},
		"both are allowed, but the token did not follow the redirect": {bearer("t"), both, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var refreshes atomic.Int64
			users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				refreshes.Add(1)
				return nil, errBoom
			})
			users.Login(user{}, c.token)
			client := axle.New().SetBaseURL(api.URL).SetTransport(transport).Use(auth.New(users, c.opts...))
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadRequest)
			assert.Equal(t, c.refreshes, refreshes.Load())
		})
	}
}

func TestOrigins_ARedirectedRequestOfTheBridgeCarriesNoTokenElsewhere(t *testing.T) {
	var atElsewhere []string
	elsewhere := httptest.NewServer(statusHandler(func(r *http.Request) int {
		atElsewhere = append(atElsewhere, r.Header.Get("X-Session"))
		return http.StatusUnauthorized
	}))
	defer elsewhere.Close()
	api := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer api.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	for name, token := range map[string]*oauth2.Token{"a token": bearer("t"), "cookies": nil} {
		t.Run(name, func(t *testing.T) {
			atElsewhere = nil
			users, refreshes := countingStore()
			users.Login(user{}, token)
			client := axle.New().SetBaseURL(api.URL).SetTransport(transport).
				Use(auth.New(users, withKey(), auth.WithAllowedOrigins(api.URL, elsewhere.URL)))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, http.NoBody)
			require.NoError(t, err)
			resp, err := client.HTTPClient().Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
			assert.Equal(t, []string{""}, atElsewhere)
			assert.Zero(t, refreshes.Load(), "the 401 is not the session's")
		})
	}
}

func TestDetach_WhatAHandlerSendsAgainCarriesNoTokenOnceTheTokensAreCookies(t *testing.T) {
	session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, nil)}
	var seen []string
	client := newClient(seeing(&seen, http.StatusOK)).Use(auth.New(session))
	client.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		if session.moved.Swap(true) {
			return resp, nil
		}
		return resp.Request.Client().Do(resp.Request)
	}, nil)
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"Bearer a1", ""}, seen)
}

func TestDetach_A401OfWhatAHandlerAuthorizedItselfIsNotACookieSessions(t *testing.T) {
	session := &changing{now: at(1, 0, nil), then: at(1, 1, nil)}
	var seen []string
	status := http.StatusOK
	client := newClient(responding(func(r *http.Request) int {
		seen = append(seen, r.Header.Get("Authorization"))
		return status
	})).Use(auth.New(session))
	client.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		status = http.StatusUnauthorized
		return resp.Request.Client().Do(resp.Request.SetHeader("Authorization", "Bearer own"))
	}, nil)
	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, []string{"", "Bearer own"}, seen)
	assert.Zero(t, session.refreshes.Load())
}

func TestAttach_AnAtSignThatIsNoUserinfoKeepsTheToken(t *testing.T) {
	var seen []string
	client := newClient(seeing(&seen, http.StatusOK)).Use(auth.New(bearerSession("t")))
	_, err := client.Get(t.Context(), "/users/ada@example.com")
	require.NoError(t, err)
	assert.Equal(t, []string{"Bearer t"}, seen)
}

func TestWait_A401StandsIfItsSessionChangedWhileTheCallWasUnderWay(t *testing.T) {
	for name, then := range map[string]auth.Snapshot{
		"it ended":                     ended(2),
		"it ended, in the same login":  ended(1),
		"another login began":          at(2, 0, bearer("bobs")),
		"another login, refreshed too": at(2, 1, bearer("bobs")),
	} {
		t.Run(name, func(t *testing.T) {
			session := &changing{now: at(1, 0, bearer("a1")), then: then}
			var seen []string
			client := newClient(responding(func(r *http.Request) int {
				seen = append(seen, r.Header.Get("Authorization"))
				session.moved.Store(true)
				return http.StatusUnauthorized
			})).Use(auth.New(session))
			_, err := client.Get(t.Context(), "/")
			e, ok := errors.AsType[*axle.Error](err)
			require.True(t, ok)
			assert.Equal(t, http.StatusUnauthorized, e.StatusCode())
			assert.NoError(t, e.Err)
			assert.Equal(t, []string{"Bearer a1"}, seen)
			assert.Zero(t, session.refreshes.Load())
		})
	}
}
