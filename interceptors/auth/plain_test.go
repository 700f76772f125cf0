package auth_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
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
)

// This file has the rules for a plain Session. The interceptor knows its state by its token alone.

// scripted is a plain Session whose methods a test writes, with a client and a server. A test may
// set its token at any time.
type scripted struct {
	client *axle.Client

	mu    sync.Mutex
	token *oauth2.Token
	good  string   // the access tokens that the server accepts, each followed by a space
	sent  []string // the access tokens that arrived, in order; "" for none

	read     func() // called when Token has read the token, before it returns
	refresh  func(ctx context.Context) (*oauth2.Token, error)
	logout   func(ctx context.Context) error
	arriving func(r *http.Request, token string)

	readings, refreshes, logouts atomic.Int64
}

// newScripted returns a session that has the token, and a client with the interceptor. The server
// accepts no token yet.
func newScripted(token *oauth2.Token, opts ...auth.Option) *scripted {
	s := &scripted{token: token}
	s.client = newClient(inMemory{s}).SetCookieJar(nil).Use(auth.New(s, opts...))
	return s
}

func (s *scripted) Token() *oauth2.Token {
	s.readings.Add(1)
	s.mu.Lock()
	token, read := s.token, s.read
	s.mu.Unlock()

	if read != nil {
		read()
	}
	return token
}

func (s *scripted) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	s.refreshes.Add(1)
	return s.refresh(ctx)
}

func (s *scripted) Logout(ctx context.Context) error {
	s.logouts.Add(1)
	if s.logout == nil {
		s.says("")
		return nil
	}
	return s.logout(ctx)
}

// ServeHTTP accepts the good tokens.
func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	s.sent = append(s.sent, token)
	arriving := s.arriving
	s.mu.Unlock()
	if arriving != nil {
		arriving(r, token)
	}

	s.mu.Lock()
	isGood := token != "" && strings.Contains(s.good, token+" ")
	s.mu.Unlock()
	if !isGood {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("who are you?"))
	}
}

// says sets the access token that the session reports. An empty one leaves it without a token.
func (s *scripted) says(access string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = bearer(access)
}

// accept makes the server accept these tokens and no other.
func (s *scripted) accept(tokens ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = strings.Join(tokens, " ") + " "
}

// refreshBy makes each refresh call the function and then return the access token or the error.
func (s *scripted) refreshBy(do func(), returned string, err error) {
	s.refresh = func(context.Context) (*oauth2.Token, error) {
		if do != nil {
			do()
		}
		return bearer(returned), err
	}
}

func (s *scripted) get(ctx context.Context) *future.Future[*axle.Response] {
	return future.Go(func() (*axle.Response, error) { return s.client.Get(ctx, "/data") })
}

func (s *scripted) arrived() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.sent...)
}

func bearer(access string) *oauth2.Token {
	if access == "" {
		return nil
	}
	return &oauth2.Token{AccessToken: access}
}

func TestPlain_ASessionThatKeepsItsNewTokenToItselfIsAskedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refreshBy(func() { s.says("a2") }, "", nil)
		s.accept("a2")
		for range 3 {
			resp, err := s.client.Get(t.Context(), "/data")
			requireOK(t, resp, err)
		}
		assert.Equal(t, []string{"a1", "a2", "a2", "a2"}, s.arrived())
		assert.EqualValues(t, 1, s.refreshes.Load())
	})
}

func TestPlain_ATokenThatRefreshTokenReturnsIsSentThoughTheSessionDoesNotKeepIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		for _, next := range []string{"a2", "a3"} {
			s.refreshBy(nil, next, nil)
			s.accept(next)
			for range 3 {
				resp, err := s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
			}
		}
		assert.Equal(t, []string{"a1", "a2", "a2", "a2", "a2", "a3", "a3", "a3"}, s.arrived())
		assert.EqualValues(t, 2, s.refreshes.Load())

		// What the session says for itself counts again as soon as it says something new.
		s.accept("own")
		s.says("own")
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		s.says("")
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, []string{"own", ""}, s.arrived()[8:])
		assert.EqualValues(t, 2, s.refreshes.Load())
	})
}

func TestPlain_AFailedRefreshOfATokenThatWasNotKeptLogsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refreshBy(nil, "a2", nil)
		s.accept("a2")
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)

		s.accept()
		s.refreshBy(nil, "", errBoom)
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorIs(t, err, errBoom)
		assert.EqualValues(t, 1, s.logouts.Load())
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, []string{"a1", "a2", "a2", ""}, s.arrived())
	})
}

func TestPlain_ARefreshThatA401NeedsStaysNeededWhenAnEarlyCallerJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("t0", time.Hour), auth.WithEarlyRefresh(window))
		s.accept("t0")
		refreshing := newGate()
		s.refreshBy(refreshing.pass, "", errBoom)
		time.Sleep(55 * time.Minute)

		delayed := s.delayReadings(2) // the reading of the early refresh, before it starts
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		synctest.Wait()
		require.EqualValues(t, 1, delayed[0].waiting.Load())

		s.accept("t1")
		refused := s.get(t.Context())
		synctest.Wait()
		require.EqualValues(t, 1, refreshing.waiting.Load())
		delayed[0].open()
		synctest.Wait()

		later := s.get(t.Context())
		synctest.Wait()
		require.False(t, isDone(later), "a call that comes now waits, since the token was refused")
		refreshing.open()
		_, err = result(refused)
		require.ErrorIs(t, err, errBoom)
		_, err = result(later)
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, []string{"t0", "t0"}, s.arrived())
		assert.EqualValues(t, 1, s.logouts.Load())
	})
}

func TestPlain_ATokenThatNoHeaderCanHoldMakesTheRefreshFail(t *testing.T) {
	const bad = "a\n2"
	for name, c := range map[string]struct {
		says, returned string
		err            error
		want           string
	}{
		"it is returned and kept":                 {bad, bad, nil, "control character"},
		"it begins with the character":            {"\na2", "\na2", nil, "control character"},
		"it is returned and not kept":             {"a1", bad, nil, "control character"},
		"the session keeps it to itself":          {bad, "", nil, "control character"},
		"the refresh returns it with its failure": {"a1", bad, errBoom, "boom"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.refreshBy(func() { s.says(c.says) }, c.returned, c.err)
				_, err := s.client.Get(t.Context(), "/data")
				require401(t, err)
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "a\n2")
				assert.EqualValues(t, 1, s.logouts.Load())
				_, err = s.client.Get(t.Context(), "/data")
				require401(t, err)
				assert.Equal(t, []string{"a1", ""}, s.arrived())
			})
		})
	}
}

func TestPlain_ATokenThatNoHeaderCanHoldEndsTheSessionAlsoIfItsRefreshWasEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("a1", time.Hour), auth.WithEarlyRefresh(window))
		s.accept("a1")
		s.refreshBy(func() { s.says("a\n2") }, "a\n2", nil)
		time.Sleep(55 * time.Minute)
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		synctest.Wait()
		assert.EqualValues(t, 1, s.logouts.Load())
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, []string{"a1", ""}, s.arrived())
	})
}

// listed is a plain session of a type that cannot be compared.
type listed struct {
	*scripted
	_ []int
}

func TestPlain_TwoSessionsOfATypeThatCannotBeComparedAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ofBob := newScripted(bearer("bobs"))
		ofBob.client = axle.New().SetBaseURL("http://api.test").SetTransport(inMemory{ofBob}).
			Use(auth.New(listed{scripted: ofBob}))
		ofBob.accept("bobs")

		ofAda := newScripted(bearer("a1"))
		ofAda.client = axle.New().SetBaseURL("http://api.test").SetTransport(inMemory{ofAda}).
			Use(auth.New(listed{scripted: ofAda}))
		ofAda.accept("a2")
		ofAda.refresh = func(ctx context.Context) (*oauth2.Token, error) {
			_, own := ofAda.client.Get(ctx, "/nested") // carries no token and waits for nobody
			require401(t, own)
			_, err := ofBob.client.Get(ctx, "/tokens-of-ada") // as bob
			return bearer("a2"), err
		}

		resp, err := ofAda.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, []string{"a1", "", "a2"}, ofAda.arrived())
		assert.Equal(t, []string{"bobs"}, ofBob.arrived())
	})
}

func TestPlain_ATokenIsJudgedByTheTimeAtWhichItWasObtained(t *testing.T) {
	// Each way brings the token "new" into a session whose first token came long before.
	ways := map[string]func(t *testing.T, s *scripted, token *oauth2.Token){
		"at the start": nil,
		"from outside": func(_ *testing.T, s *scripted, token *oauth2.Token) { s.set(token) },
		"by a login": func(t *testing.T, s *scripted, token *oauth2.Token) {
			s.says("")
			_, err := s.client.Get(t.Context(), "/data")
			require401(t, err)
			s.set(token)
		},
		"by a refresh": func(t *testing.T, s *scripted, token *oauth2.Token) {
			s.refresh = func(context.Context) (*oauth2.Token, error) { s.set(token); return token, nil }
			resp, err := s.client.Get(t.Context(), "/data")
			requireOK(t, resp, err)
		},
		"by a refresh, not kept": func(t *testing.T, s *scripted, token *oauth2.Token) {
			s.refresh = func(context.Context) (*oauth2.Token, error) { return token, nil }
			resp, err := s.client.Get(t.Context(), "/data")
			requireOK(t, resp, err)
		},
		"by a refresh, kept by the session to itself": func(t *testing.T, s *scripted, token *oauth2.Token) {
			s.refresh = func(context.Context) (*oauth2.Token, error) { s.set(token); return nil, nil }
			resp, err := s.client.Get(t.Context(), "/data")
			requireOK(t, resp, err)
		},
		"by a login during a refresh": func(t *testing.T, s *scripted, token *oauth2.Token) {
			s.refresh = func(context.Context) (*oauth2.Token, error) { s.set(token); return bearer("a2"), nil }
			_, err := s.client.Get(t.Context(), "/data")
			require401(t, err)
		},
		"by a login during a logout": func(t *testing.T, s *scripted, token *oauth2.Token) {
			s.refreshBy(nil, "", errBoom)
			s.logout = func(context.Context) error { s.set(token); return nil }
			_, err := s.client.Get(t.Context(), "/data")
			require401(t, err)
		},
	}
	for name, bring := range ways {
		for _, c := range []struct {
			what      string
			life      time.Duration
			refreshes int64
		}{
			{"lives longer than the window", time.Hour, 1},
			{"lives shorter than the window", 5 * time.Minute, 0},
			{"lives as long as the window", window, 0},
		} {
			t.Run(name+", "+c.what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					first := living("old", 100*time.Hour)
					if bring == nil {
						first = living("new", c.life)
					}
					s := newScripted(first, auth.WithEarlyRefresh(window))
					s.accept("new")
					if bring != nil {
						time.Sleep(time.Hour)
						bring(t, s, living("new", c.life))
						resp, err := s.client.Get(t.Context(), "/data") // the token is seen
						requireOK(t, resp, err)
					}

					began := s.refreshes.Load()
					s.refreshBy(nil, "", errBoom)
					time.Sleep(c.life - 3*time.Minute)
					resp, err := s.client.Get(t.Context(), "/data")
					requireOK(t, resp, err)
					synctest.Wait()
					assert.Equal(t, c.refreshes, s.refreshes.Load()-began)
				})
			})
		}
	}
}

func (s *scripted) set(token *oauth2.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

func TestPlain_ATokenWhoseLifeIsProlongedIsNotRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("a1", time.Hour), auth.WithEarlyRefresh(window))
		s.refreshBy(nil, "", errBoom)
		s.accept("a1")
		time.Sleep(55 * time.Minute)
		s.set(living("a1", time.Hour)) // the same access token, with another expiry
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		synctest.Wait()
		assert.Zero(t, s.refreshes.Load())
	})
}

func TestPlain_ASessionThatIsStuckFailsTheCallsWithinTheTimeLimit(t *testing.T) {
	for name, c := range map[string]struct {
		limit time.Duration // of the call
		want  time.Duration
		code  axle.Code
	}{
		"the session's limit": {time.Hour, 5 * time.Second, axle.CodeInterceptor},
		"the call's":          {time.Second, time.Second, axle.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"), auth.WithRefreshTimeout(5*time.Second))
				refused, delayed := s.leaving(t, func() {})
				s.read = delayed.pass // the lock that the logout holds

				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				began := time.Now()
				_, err := s.client.Get(ctx, "/data")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, c.code)
				assert.Equal(t, c.want, time.Since(began))

				delayed.open()
				_, err = result(refused)
				require.ErrorIs(t, err, errBoom)
				assert.Equal(t, []string{"a1"}, s.arrived())
			})
		})
	}
}

// tooMany is the error of a token endpoint that asks its clients to wait for a minute.
func tooMany() error {
	return &oauth2.RetrieveError{Response: &http.Response{
		StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"60"}},
	}}
}

func TestPlain_ATokenThatComesAfterASessionProvedUnchangedIsARefreshs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"), auth.WithRefreshTimeout(5*time.Second))
		s.refreshBy(nil, "", errBoom)
		delayed := newGate()
		s.logout = func(context.Context) error { delayed.pass(); return nil }
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)

		slow := newGate()
		s.arriving = func(_ *http.Request, token string) {
			if token == "a1" {
				slow.pass()
			}
		}
		call := s.get(t.Context()) // the session says the same as before its logout, which has not returned
		synctest.Wait()
		s.says("a2")
		s.accept("a2")
		slow.open()
		resp, err := result(call)
		requireOK(t, resp, err)
		assert.Equal(t, []string{"a1", "a1", "a2"}, s.arrived())
		assert.EqualValues(t, 1, s.refreshes.Load())
		delayed.open()
	})
}

func TestPlain_ARefreshThatFailsAndLeavesATokenThatNoHeaderCanHoldFailsForItsOwnReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refreshBy(func() { s.says("b\n2") }, "", errBoom)
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorIs(t, err, errBoom)
		assert.Zero(t, s.logouts.Load(), "the token is another login's")
	})
}

func TestPlain_AWaitingCallIsSentWithTheNewTokenWhereverTheSessionKeepsIt(t *testing.T) {
	for name, c := range map[string]struct{ says, returned string }{
		"returned and kept":    {"a2", "a2"},
		"returned, not kept":   {"a1", "a2"},
		"kept to the session":  {"a2", ""},
		"neither, as a cookie": {"a1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				refreshing := newGate()
				s.refreshBy(func() { refreshing.pass(); s.says(c.says) }, c.returned, nil)
				refused := s.get(t.Context())
				synctest.Wait()
				waiting := s.get(t.Context())
				synctest.Wait()
				require.False(t, isDone(waiting))

				want := "a2"
				if c.says != want && c.returned != want {
					want = "a1"
				}
				s.accept(want)
				refreshing.open()
				for _, call := range []*future.Future[*axle.Response]{refused, waiting} {
					resp, err := result(call)
					requireOK(t, resp, err)
				}
				assert.Equal(t, []string{"a1", want, want}, s.arrived())
			})
		})
	}
}

func TestPlain_AFailureThatKeepsTheSessionIsSharedByTheCallsThatWereUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refreshBy(nil, "", auth.ErrNestedRefresh)
		slow := newGate()
		s.arriving = func(r *http.Request, _ string) {
			if r.URL.Path == "/late" {
				slow.pass()
			}
		}
		late := future.Go(func() (*axle.Response, error) { return s.client.Get(t.Context(), "/late") })
		synctest.Wait()
		_, err := s.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, auth.ErrNestedRefresh)
		slow.open()
		_, err = result(late)
		require.ErrorIs(t, err, auth.ErrNestedRefresh)
		assert.EqualValues(t, 1, s.refreshes.Load(), "one refresh for both")

		_, err = s.client.Get(t.Context(), "/data")
		require.ErrorIs(t, err, auth.ErrNestedRefresh)
		assert.EqualValues(t, 2, s.refreshes.Load(), "a later call tries again")
	})
}

func TestPlain_AnEarlyRefreshWhoseTokenNoHeaderCanHoldKeepsASessionThatDidNotKeepIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("a1", time.Hour), auth.WithEarlyRefresh(window))
		s.accept("a1")
		s.refreshBy(nil, "a\n2", nil)
		time.Sleep(55 * time.Minute)
		for range 2 {
			resp, err := s.client.Get(t.Context(), "/data")
			requireOK(t, resp, err)
			synctest.Wait()
		}
		assert.Zero(t, s.logouts.Load())
		assert.Equal(t, []string{"a1", "a1"}, s.arrived())
	})
}

func TestPlain_ARetryAfterIsKeptToByASessionThatIsOpenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refreshBy(nil, "", tooMany())
		s.logout = func(context.Context) error { return nil }
		for range 3 {
			_, err := s.client.Get(t.Context(), "/data")
			require401(t, err)
		}
		assert.EqualValues(t, 1, s.refreshes.Load())
		time.Sleep(time.Minute)
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.EqualValues(t, 2, s.refreshes.Load())
	})
}
