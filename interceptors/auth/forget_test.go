package auth_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
)

func TestSelect_IsAskedWhenACallThatWasLeftAloneIsSentAgainForASession(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*axle.Request) // makes the first request none of the session's
		again  func(asCalled, sent *axle.Request) (*axle.Response, error)
	}{
		"a skipped request, and by a handler unskipped": {
			auth.Skip,
			func(asCalled, sent *axle.Request) (*axle.Response, error) { return sent.Client().Do(asCalled) },
		},
		"the caller's Authorization, and a replay without": {
			func(*axle.Request) {},
			func(_, sent *axle.Request) (*axle.Response, error) {
				return sent.Replay(func(r *axle.Request) { r.Header.Del("Authorization") })
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTenants("a")
			var asCalled *axle.Request
			w.client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
				if len(w.arrived) > 1 {
					return nil, err
				}
				assert.Zero(t, w.chosen.Load())
				return c.again(asCalled, err.Request)
			})
			w.client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				if asCalled == nil {
					asCalled = r.Clone()
					asCalled.Header.Del("Authorization")
					c.before(r)
				}
				return r, nil
			}, nil)
			resp, err := w.client.R(t.Context()).With(forTenant("a")).SetHeader("Authorization", "Bearer own").Get("/")
			requireOK(t, resp, err)
			assert.Equal(t, []string{"a-1", "a-2"}, w.arrived[1:])
			assert.EqualValues(t, 1, w.chosen.Load())
		})
	}
}

// A session that does not say when it got its token is refreshed early only if the interceptor
// remembers it from before the token was due. So a call after the token is due tells whether the
// session was remembered.
//
// remembers makes calls for the named sessions at the given times, and reports whether the first
// session was remembered from the last call but one to the last.
func remembers(t *testing.T, names []string, times ...time.Duration) (remembered bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		last := times[len(times)-1]
		sessions := map[string]*changing{}
		for _, name := range names {
			token := living("t1", last-time.Second+window)
			sessions[name] = &changing{now: at(1, 0, token), then: at(1, 1, living("t2", 100*time.Hour))}
		}
		client := newClient(roundTrip(emptyResponse)).Use(auth.Select(func(r *axle.Request) auth.StatefulSession {
			name, _ := tenantKey.Get(r)
			return sessions[name]
		}, auth.WithEarlyRefresh(window)))

		began := time.Now()
		for _, after := range times {
			time.Sleep(after - time.Since(began))
			require.Zero(t, sessions[names[0]].refreshes.Load())
			for _, name := range names {
				_, err := client.Get(t.Context(), "/", forTenant(name))
				require.NoError(t, err)
				time.Sleep(100 * time.Millisecond)
			}
		}
		synctest.Wait()
		remembered = sessions[names[0]].refreshes.Load() > 0
	})
	return remembered
}

var two = []string{"a", "b"}

// every returns n times, the first at start.
func every(gap time.Duration, n int, start time.Duration) (times []time.Duration) {
	for k := range n {
		times = append(times, start+time.Duration(k)*gap)
	}
	return times
}

func TestSelect_RemembersASessionThatCallsKeepUsing(t *testing.T) {
	for _, gap := range []time.Duration{time.Minute, 110 * time.Second} {
		for n := 2; n < 15; n++ {
			assert.True(t, remembers(t, two, every(gap, n, 0)...), "%d calls, %v apart", n, gap)
		}
	}
}

func TestSelect_ForgetsASessionThatNoCallUses(t *testing.T) {
	for _, idle := range []time.Duration{5 * time.Minute, time.Hour} {
		assert.False(t, remembers(t, []string{"alone"}, 0, idle), "%v", idle)
		assert.False(t, remembers(t, two, 0, idle), "%v", idle)
		busy := every(time.Minute, 10, 0)
		assert.False(t, remembers(t, two, append(busy, 9*time.Minute+idle)...), "%v after it was busy", idle)
	}
}

func TestSelect_RemembersAndForgetsAfterAllSessionsWereForgotten(t *testing.T) {
	for _, idle := range []time.Duration{10 * time.Minute, 11 * time.Minute, time.Hour + 30*time.Second} {
		for n := 2; n < 15; n++ {
			times := append([]time.Duration{0}, every(110*time.Second, n, idle)...)
			assert.True(t, remembers(t, two, times...), "%v", times)
		}
		assert.False(t, remembers(t, two, 0, idle, idle+5*time.Minute), "%v", idle)
	}
}
