package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
)

// These tests are about logins and logouts of a plain Session, while the interceptor works with it.

func TestPlain_ALoginWhileItRefreshesIsAnotherSession(t *testing.T) {
	for name, c := range map[string]struct {
		returned string
		err      error
		want     error
	}{
		"and the refresh succeeds":                 {"a2", nil, auth.ErrSessionChanged},
		"and the refresh fails":                    {"", errBoom, errBoom},
		"and the refresh says that it was changed": {"", auth.ErrSessionChanged, auth.ErrSessionChanged},
		"and the refresh was nested":               {"", auth.ErrNestedRefresh, auth.ErrNestedRefresh},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.refreshBy(func() { s.says("bobs") }, c.returned, c.err)
				s.accept("bobs", "a2")

				// A call of ada's is under way until all is over.
				slow := newGate()
				s.arriving = func(r *http.Request, _ string) {
					if r.URL.Path == "/late" {
						slow.pass()
					}
				}
				late := future.Go(func() (*axle.Response, error) { return s.client.Get(t.Context(), "/late") })
				synctest.Wait()

				_, err := s.client.Get(t.Context(), "/data")
				require401(t, err)
				require.ErrorIs(t, err, c.want)
				slow.open()
				_, err = result(late)
				require401(t, err)
				assert.Equal(t, []string{"a1", "a1"}, s.arrived(), "no call of ada's is sent again in bob's name")
				assert.Zero(t, s.logouts.Load(), "bob stays")

				resp, err := s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
				assert.Equal(t, []string{"a1", "a1", "bobs"}, s.arrived())

				// Bob's token is refreshed as any other.
				s.accept("b2")
				s.refreshBy(func() { s.says("b2") }, "b2", nil)
				resp, err = s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
				assert.EqualValues(t, 2, s.refreshes.Load())
			})
		})
	}
}

func TestPlain_ALogoutWhileItRefreshesStays(t *testing.T) {
	for name, c := range map[string]struct {
		returned string
		err      error
		want     error
		logouts  int64
	}{
		"and the refresh succeeds":       {"a2", nil, auth.ErrSessionChanged, 0},
		"and the refresh returns nobody": {"", nil, auth.ErrSessionChanged, 0},
		"and the refresh fails":          {"", errBoom, errBoom, 1},
		"and the refresh was nested":     {"", auth.ErrNestedRefresh, auth.ErrNestedRefresh, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.refreshBy(func() { s.says("") }, c.returned, c.err)
				s.accept("a2", "bobs")

				_, err := s.client.Get(t.Context(), "/data")
				require401(t, err)
				require.ErrorIs(t, err, c.want)
				assert.Equal(t, c.logouts, s.logouts.Load())

				_, err = s.client.Get(t.Context(), "/data")
				require401(t, err)
				assert.Equal(t, []string{"a1", ""}, s.arrived())
				assert.EqualValues(t, 1, s.refreshes.Load(), "nobody is logged in")

				s.says("bobs")
				resp, err := s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
			})
		})
	}
}

func TestPlain_ALogoutWhileItRefreshesEarlyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("a1", time.Hour), auth.WithEarlyRefresh(window))
		s.refreshBy(func() { s.says("") }, "", errBoom)
		s.accept("a1")
		time.Sleep(55 * time.Minute)
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		synctest.Wait()

		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, []string{"a1", ""}, s.arrived())
		assert.Zero(t, s.logouts.Load(), "the login is over already")
	})
}

// leaving starts a call whose refresh fails, so that the session logs out. The logout waits at the
// gate and then calls the function.
func (s *scripted) leaving(t *testing.T, then func()) (call *future.Future[*axle.Response], delayed *gate) {
	t.Helper()
	delayed = newGate()
	s.refreshBy(nil, "", errBoom)
	s.logout = func(context.Context) error {
		delayed.pass()
		then()
		return nil
	}
	call = s.get(t.Context())
	synctest.Wait()
	require.EqualValues(t, 1, delayed.waiting.Load())
	return call, delayed
}

func TestPlain_WhileItLogsOutNothingIsAttachedAndNo401IsRefreshed(t *testing.T) {
	for name, before := range map[string]string{"and still says its token": "a1", "and says none by now": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				refused, delayed := s.leaving(t, func() { s.says("") })
				s.says(before)

				call := s.get(t.Context())
				synctest.Wait()
				require.True(t, isDone(call), "it waits for nobody")
				_, err := result(call)
				require401(t, err)
				assert.NotErrorIs(t, err, auth.ErrSessionChanged)

				delayed.open()
				_, err = result(refused)
				require.ErrorIs(t, err, errBoom)
				_, err = s.client.Get(t.Context(), "/data")
				require401(t, err)
				assert.Equal(t, []string{"a1", "", ""}, s.arrived())
				assert.EqualValues(t, 1, s.refreshes.Load())
			})
		})
	}
}

func TestPlain_ALoginWhileItLogsOutIsAnotherSession(t *testing.T) {
	for name, c := range map[string]struct{ isSeen, isLate bool }{
		"and a call sees it meanwhile":   {true, false},
		"and no call sees it meanwhile":  {false, false},
		"and it comes with the last act": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				refused, delayed := s.leaving(t, func() {
					if c.isLate {
						s.says("bobs")
					}
				})
				if !c.isLate {
					s.says("bobs")
				}

				// A call of bob's that is under way when the logout returns is refused then, and is refreshed
				// as any other.
				slow := newGate()
				s.arriving = func(_ *http.Request, token string) {
					if token == "bobs" && c.isSeen {
						slow.pass()
					}
				}
				var call *future.Future[*axle.Response]
				if c.isSeen {
					call = s.get(t.Context())
					synctest.Wait()
					require.EqualValues(t, 1, slow.waiting.Load(), "it is sent in bob's name")
				}
				delayed.open()
				_, err := result(refused)
				require.ErrorIs(t, err, errBoom)

				s.accept("b2")
				s.refreshBy(func() { s.says("b2") }, "b2", nil)
				if !c.isSeen {
					call = s.get(t.Context())
				}
				slow.open()
				resp, err := result(call)
				requireOK(t, resp, err)
				assert.Equal(t, []string{"a1", "bobs", "b2"}, s.arrived())
				assert.EqualValues(t, 1, s.logouts.Load())
			})
		})
	}
}

func TestPlain_ACallOfALoginThatIsOverIsNotSentInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		slow := newGate()
		s.arriving = func(_ *http.Request, token string) {
			if token == "a1" {
				slow.pass()
			}
		}
		call := s.get(t.Context())
		synctest.Wait()

		s.says("")
		_, err := s.client.Get(t.Context(), "/data") // the logout is noticed
		require401(t, err)
		s.says("bobs")
		s.accept("bobs")
		slow.open()
		_, err = result(call)
		require401(t, err)
		assert.Equal(t, []string{"a1", ""}, s.arrived())
		assert.Zero(t, s.refreshes.Load())

		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
	})
}

func TestPlain_ALoginIsNotedWhenTheFirstTokenComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(nil) // as far as can be told, its tokens are cookies
		slow := newGate()
		s.arriving = func(_ *http.Request, token string) {
			if token == "" {
				slow.pass()
			}
		}
		call := s.get(t.Context())
		synctest.Wait()
		s.says("adas")
		s.accept("adas")
		slow.open()
		_, err := result(call)
		require401(t, err)
		assert.Equal(t, []string{""}, s.arrived(), "a call that was made by nobody is not sent in ada's name")
		assert.Zero(t, s.refreshes.Load())
	})
}

func TestPlain_ASessionThatSaysTheSameAfterALogoutIsOpenAgain(t *testing.T) {
	for name, access := range map[string]string{"a token": "a1", "none, its tokens are cookies": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer(access))
				s.refreshBy(nil, "", errBoom)
				s.logout = func(context.Context) error { return nil }
				for want := int64(1); want <= 3; want++ {
					_, err := s.client.Get(t.Context(), "/data")
					require401(t, err)
					require.ErrorIs(t, err, errBoom)
					assert.Equal(t, want, s.refreshes.Load(), "the next 401 is refreshed")
					assert.Equal(t, want, s.logouts.Load())
				}
				assert.Equal(t, []string{access, access, access}, s.arrived())
			})
		})
	}
}

func TestPlain_ASessionThatBecomesEmptyInItsLogoutHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refreshBy(nil, "", errBoom)
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		for range 2 {
			_, err = s.client.Get(t.Context(), "/data")
			require401(t, err)
			assert.NotErrorIs(t, err, errBoom)
		}
		assert.Equal(t, []string{"a1", "", ""}, s.arrived())
		assert.EqualValues(t, 1, s.refreshes.Load())
		assert.EqualValues(t, 1, s.logouts.Load())
	})
}

func TestPlain_A401IsNotRefreshedIfItsLoginEndsJustBeforeThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		delayed := s.delayReadings(3)
		refused := s.get(t.Context())
		synctest.Wait()
		require.EqualValues(t, 1, delayed[0].waiting.Load())

		s.accept("bobs")
		s.says("")
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		s.says("bobs")
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)

		delayed[0].open()
		_, err = result(refused)
		require401(t, err)
		require.ErrorIs(t, err, auth.ErrSessionChanged)
		assert.Zero(t, s.refreshes.Load())
		assert.Equal(t, []string{"a1", "", "bobs"}, s.arrived())
	})
}

func TestPlain_ATokenThatIsFoundAfterALogoutThatOverranIsAnotherLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"), auth.WithRefreshTimeout(5*time.Second))
		s.refreshBy(nil, "", tooMany())
		delayed := newGate()
		s.logout = func(context.Context) error { delayed.pass(); return nil }
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded, "of the logout")

		s.says("bobs")
		s.refreshBy(func() { s.says("b2") }, "b2", nil)
		s.accept("b2")
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err) // bob need not wait until the minute is over
		assert.Equal(t, []string{"a1", "bobs", "b2"}, s.arrived())

		// Of this login, another token is a refresh's, as ever: its server has not asked for anything.
		s.refreshBy(nil, "", errors.Join(auth.ErrNestedRefresh, tooMany()))
		s.accept("b4")
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		s.says("b3")
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.EqualValues(t, 3, s.refreshes.Load(), "the pause is this login's")
		delayed.open()
		synctest.Wait()
	})
}

func TestOverrun_ALaterLoginStartsNoRefreshBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"), auth.WithRefreshTimeout(5*time.Second))
		delayed := newGate()
		s.refreshBy(delayed.pass, "", errBoom)
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)

		s.says("bobs")
		began := time.Now()
		_, err = s.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "RefreshToken has not returned after 5s")
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.EqualValues(t, 1, s.refreshes.Load())
		delayed.open()
	})
}

func TestOverrun_ALaterLoginThatSaysNoTokenByThenIsRefreshedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"), auth.WithRefreshTimeout(5*time.Second))
		delayed := newGate()
		s.refreshBy(delayed.pass, "", errBoom)
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)

		s.says("bobs")
		s.accept("b2")
		call := s.get(t.Context())
		synctest.Wait()
		s.says("")
		s.refreshBy(func() { s.says("bobs") }, "b2", nil)
		delayed.open()
		resp, err := result(call)
		requireOK(t, resp, err)
		assert.Equal(t, []string{"a1", "bobs", "b2"}, s.arrived())
		assert.EqualValues(t, 2, s.refreshes.Load())
	})
}

func TestPlain_ACallThatWaitsForARefreshIsNotSentIfALogoutComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		refreshing := newGate()
		s.refreshBy(func() { refreshing.pass(); s.says("") }, "a2", nil)
		refused := s.get(t.Context())
		synctest.Wait()
		waiting := s.get(t.Context())
		synctest.Wait()
		refreshing.open()
		for _, call := range []*future.Future[*axle.Response]{refused, waiting} {
			_, err := result(call)
			require.ErrorIs(t, err, auth.ErrSessionChanged)
		}
		assert.Equal(t, []string{"a1"}, s.arrived())
	})
}
