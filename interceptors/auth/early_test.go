package auth_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// window is how long before the expiry the clients of this file refresh.
const window = 10 * time.Minute

// expiring is a client of a session whose token expires, in time that is not real.
type expiring struct {
	*world

	mu     sync.Mutex
	sent   []string // the tokens that arrived, in order
	status int      // of every response
}

// newExpiring returns a client that refreshes early, of a session that has the token from the
// start.
func newExpiring(k kind, token *oauth2.Token, opts ...auth.Option) *expiring {
	e := &expiring{world: &world{kind: k}, status: http.StatusOK}
	if k.store {
		e.users = store.New[user](func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			e.refreshes.Add(1)
			return e.refresh(ctx, current)
		})
		e.users.Login(user{}, token)
		e.session = e.users
	} else {
		e.plain = &plainSession{w: e.world, token: token}
		e.session = e.plain
	}
	e.auth = auth.New(e.session, append([]auth.Option{auth.WithEarlyRefresh(window)}, opts...)...)
	e.client = axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).Use(e.auth).
		SetTransport(responding(func(r *http.Request) int {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.sent = append(e.sent, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			return e.status
		}))
	return e
}

// get makes one call and returns the token that it was sent with.
func (e *expiring) get(t *testing.T) string {
	t.Helper()
	_, err := e.client.Get(t.Context(), "/")
	require.NoError(t, err)
	return e.lastSent()
}

func (e *expiring) lastSent() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sent[len(e.sent)-1]
}

// refreshTo makes each refresh return a token that lives for this long.
func (e *expiring) refreshTo(access string, life time.Duration) {
	e.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return living(access, life), nil
	}
}

func living(access string, life time.Duration) *oauth2.Token {
	return &oauth2.Token{AccessToken: access, Expiry: time.Now().Add(life)}
}

// eachExpiring tells one story for a store and a plain session, whose token "t0" lives for the
// given time.
func eachExpiring(t *testing.T, life time.Duration, story func(t *testing.T, e *expiring)) {
	t.Helper()
	for _, k := range []kind{{store: true}, {}} {
		t.Run(k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newExpiring(k, living("t0", life))
				e.refreshTo("t1", time.Hour)
				story(t, e)
			})
		})
	}
}

func TestEarlyRefresh_RunsFromThatLongBeforeTheExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		after     time.Duration
		refreshes int64
		sent      string
	}{
		"a nanosecond before it is due":  {50*time.Minute - 1, 0, "t0"},
		"when it is due":                 {50 * time.Minute, 1, "t0"},
		"a nanosecond before the expiry": {time.Hour - 1, 1, "t0"},
		"at the expiry":                  {time.Hour, 1, "t1"},
		"after the expiry":               {2 * time.Hour, 1, "t1"},
	} {
		t.Run(name, func(t *testing.T) {
			eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
				time.Sleep(c.after)
				assert.Equal(t, c.sent, e.get(t))
				synctest.Wait()
				assert.Equal(t, c.refreshes, e.refreshes.Load())
				assert.Equal(t, c.refreshes == 1, e.session.Token().AccessToken == "t1")
			})
		})
	}
}

func TestEarlyRefresh_NoCallWaitsForIt(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		slow := e.delayRefresh()
		time.Sleep(56 * time.Minute)

		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		for range 20 {
			_, err := e.client.Get(ctx, "/")
			require.NoError(t, err, "a call with a short deadline too")
			assert.Equal(t, "t0", e.lastSent())
		}
		assert.Zero(t, time.Since(began))
		synctest.Wait()
		assert.EqualValues(t, 1, slow.waiting.Load(), "one refresh for all")

		cancel() // it is detached from the call that started it
		slow.open()
		synctest.Wait()
		assert.Equal(t, "t1", e.get(t))
		assert.EqualValues(t, 1, e.refreshes.Load())
	})
}

// slowToAsk is a store whose RefreshSince notes, after a while, whether its context has ended.
type slowToAsk struct {
	*store.UserStore[user]
	slow  *gate
	ended chan error
}

func (s *slowToAsk) RefreshSince(ctx context.Context, _ auth.Generation) (auth.Snapshot, error) {
	s.slow.pass()
	s.ended <- ctx.Err()
	return auth.Snapshot{}, errBoom
}

func TestEarlyRefresh_IsDetachedFromTheCallThatStartedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := store.New[user](nil)
		users.Login(user{}, living("t0", time.Hour))
		session := &slowToAsk{users, newGate(), make(chan error, 1)}
		client := axle.New().SetBaseURL("http://api.test").SetTransport(roundTrip(emptyResponse)).
			Use(auth.New(session, auth.WithEarlyRefresh(window)))

		time.Sleep(55 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := client.Get(ctx, "/")
		require.NoError(t, err)
		cancel()
		session.slow.open()
		require.NoError(t, <-session.ended)
	})
}

func TestEarlyRefresh_ACallThatComesAfterTheExpiryWaitsForTheOneThatRuns(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		slow := e.delayRefresh()
		time.Sleep(time.Hour - time.Second)
		assert.Equal(t, "t0", e.get(t))

		time.Sleep(time.Second)
		call := e.world.get(t.Context(), "/")
		synctest.Wait()
		require.False(t, isDone(call))
		slow.open()
		_, err := result(call)
		require.NoError(t, err)
		assert.Equal(t, "t1", e.lastSent())
		assert.EqualValues(t, 1, e.refreshes.Load())
	})
}

func TestEarlyRefresh_ATokenThatLivesShorterThanTheWindowIsUsedToItsEndAndThenRefreshed(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		e.refreshTo("short", time.Minute)
		time.Sleep(55 * time.Minute)
		assert.Equal(t, "t0", e.get(t))
		synctest.Wait()

		for range 12 {
			assert.Equal(t, "short", e.get(t))
			synctest.Wait()
			assert.EqualValues(t, 1, e.refreshes.Load())
			time.Sleep(5 * time.Second)
		}
		e.refreshTo("next", time.Hour)
		assert.Equal(t, "next", e.get(t), "after its end")
		assert.EqualValues(t, 2, e.refreshes.Load())
	})
}

func TestEarlyRefresh_ATokenThatExpiredBeforeTheProgramStartedIsRefreshedBeforeItIsSent(t *testing.T) {
	eachExpiring(t, -time.Hour, func(t *testing.T, e *expiring) {
		upload := io.MultiReader(strings.NewReader(strings.Repeat("x", axle.ReplayLimit+1))) // cannot be sent twice
		_, err := e.client.Post(t.Context(), "/upload", upload)
		require.NoError(t, err)
		assert.Equal(t, []string{"t1"}, e.sent)
		assert.EqualValues(t, 1, e.refreshes.Load())
	})
}

func TestEarlyRefresh_OfAnExpiredTokenIsOneForAllWhoNeedIt(t *testing.T) {
	eachExpiring(t, -time.Hour, func(t *testing.T, e *expiring) {
		slow := e.delayRefresh()
		var calls []*future.Future[*axle.Response]
		for range 20 {
			calls = append(calls, e.world.get(t.Context(), "/"))
		}
		synctest.Wait()
		slow.open()
		for _, call := range calls {
			_, err := result(call)
			require.NoError(t, err)
		}
		assert.Equal(t, slices.Repeat([]string{"t1"}, 20), e.sent)
		assert.EqualValues(t, 1, e.refreshes.Load())
	})
}

func TestEarlyRefresh_IfTheRefreshOfAnExpiredTokenFailsTheCallIsNotSent(t *testing.T) {
	eachExpiring(t, -time.Hour, func(t *testing.T, e *expiring) {
		e.failRefresh(errBoom)
		_, err := e.client.Get(t.Context(), "/")
		require.ErrorIs(t, err, errBoom)
		assert.Empty(t, e.sent)
		assert.Nil(t, e.session.Token())
	})
}

func TestEarlyRefresh_ATokenThatComesFromARefreshAlreadyExpiredIsSent(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		e.refreshTo("ahead", -time.Hour) // the clock is two hours ahead of the server's
		assert.Equal(t, "t0", e.get(t))
		time.Sleep(2 * time.Hour)
		other := e.client.Clone() // with another interceptor of the same session
		other.Interceptors.Request.Clear()
		other.Interceptors.Response.Clear()
		other.Use(auth.New(e.session, auth.WithEarlyRefresh(window)))

		for range 10 {
			assert.Equal(t, "ahead", e.get(t))
			if e.store {
				_, err := other.Get(t.Context(), "/")
				require.NoError(t, err)
			}
			time.Sleep(time.Minute)
		}
		assert.EqualValues(t, 1, e.refreshes.Load(), "no loop")
	})
}

func TestEarlyRefresh_AFailureCostsNoCallAndIsTriedAgainAfterAPause(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error": func() error { return errBoom },
		"a panic":  func() error { panic("ouch") },
	} {
		t.Run(name, func(t *testing.T) {
			eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
				e.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, fail() }
				time.Sleep(51 * time.Minute)

				for _, want := range []int64{1, 1, 1, 2, 2} { // the calls are 4 s apart
					assert.Equal(t, "t0", e.get(t))
					synctest.Wait()
					assert.Equal(t, want, e.refreshes.Load())
					time.Sleep(4 * time.Second)
				}
				assert.Zero(t, e.logouts.Load())
				assert.Equal(t, "t0", e.session.Token().AccessToken)
			})
		})
	}
}

func TestEarlyRefresh_EndsTheSessionOnlyIfTheServerRefused(t *testing.T) {
	refused := &oauth2.RetrieveError{
		Response:  &http.Response{StatusCode: http.StatusBadRequest},
		ErrorCode: "invalid_grant",
	}
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		e.failRefresh(refused)
		time.Sleep(55 * time.Minute)
		assert.Equal(t, "t0", e.get(t), "the call does not wait for it")
		synctest.Wait()
		assert.Nil(t, e.session.Token())
		assert.Empty(t, e.get(t), "nobody is logged in")
		assert.EqualValues(t, 1, e.refreshes.Load())
	})
}

func TestEarlyRefresh_A401JoinsItAndTheCallsThatComeThenWait(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		slow := e.delayRefresh()
		time.Sleep(55 * time.Minute)
		assert.Equal(t, "t0", e.get(t))

		e.status = http.StatusUnauthorized
		refused := e.world.get(t.Context(), "/")
		synctest.Wait()
		require.False(t, isDone(refused), "it waits for the refresh")
		e.status = http.StatusOK
		later := e.world.get(t.Context(), "/")
		synctest.Wait()
		require.False(t, isDone(later), "the token was refused")

		slow.open()
		for _, call := range []*future.Future[*axle.Response]{refused, later} {
			_, err := result(call)
			require.NoError(t, err)
		}
		assert.Equal(t, []string{"t0", "t0", "t1", "t1"}, e.sent)
		assert.EqualValues(t, 1, e.refreshes.Load())
	})
}

func TestEarlyRefresh_OneThatA401JoinedEndsTheSessionIfItFails(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		e.failRefresh(errBoom)
		slow := e.delayRefresh()
		time.Sleep(55 * time.Minute)
		assert.Equal(t, "t0", e.get(t))

		e.status = http.StatusUnauthorized
		refused := e.world.get(t.Context(), "/")
		synctest.Wait()
		slow.open()
		_, err := result(refused)
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, e.session.Token())
	})
}

func TestEarlyRefresh_WithoutTheOptionAnExpiredTokenIsSentAndItsA401Refreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExpiring(kind{store: true}, living("t0", -time.Hour), auth.WithEarlyRefresh(0))
		assert.Equal(t, "t0", e.get(t))
		assert.Zero(t, e.refreshes.Load())
	})
	synctest.Test(t, func(t *testing.T) {
		e := newExpiring(kind{store: true}, living("t0", time.Hour), auth.WithEarlyRefresh(0))
		e.refreshTo("t1", time.Hour)
		time.Sleep(2 * time.Hour)
		assert.Equal(t, "t0", e.get(t))
		synctest.Wait()
		assert.Zero(t, e.refreshes.Load(), "nor beside the call")
	})
}

func TestEarlyRefresh_TheNextOneNeedNotWaitAfterOneThatSucceeded(t *testing.T) {
	eachExpiring(t, time.Hour, func(t *testing.T, e *expiring) {
		e.refreshTo("t1", window+5*time.Second)
		time.Sleep(55 * time.Minute)
		assert.Equal(t, "t0", e.get(t))
		synctest.Wait()

		e.refreshTo("t2", time.Hour)
		time.Sleep(5 * time.Second) // t1 is due
		assert.Equal(t, "t1", e.get(t))
		synctest.Wait()
		assert.Equal(t, "t2", e.get(t))
		assert.EqualValues(t, 2, e.refreshes.Load())
	})
}

// stateOf returns a client that refreshes early, of a session that does not say when it obtained
// its tokens.
func stateOf(session *changing) *axle.Client {
	return axle.New().SetBaseURL("http://api.test").SetTransport(roundTrip(emptyResponse)).
		Use(auth.New(session, auth.WithEarlyRefresh(window)))
}

func TestEarlyRefresh_OfASessionThatDoesNotSayWhenItObtainedItsToken(t *testing.T) {
	for name, c := range map[string]struct {
		then      auth.Generation
		life      time.Duration
		refreshes int64
	}{
		"the token is a refresh's, and short":            {auth.Generation{Login: 1, Refresh: 1}, 5 * time.Minute, 0},
		"the token is a refresh's, and due":              {auth.Generation{Login: 1, Refresh: 1}, time.Hour, 1},
		"the token is a refresh's, and came expired":     {auth.Generation{Login: 1, Refresh: 1}, -time.Hour, 0},
		"the token is another login's, and came expired": {auth.Generation{Login: 2, Refresh: 7}, -time.Hour, 1},
		"the token is another login's, and short":        {auth.Generation{Login: 2, Refresh: 7}, 5 * time.Minute, 0},
		"the token is another login's, and due":          {auth.Generation{Login: 2}, time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := &changing{now: at(1, 0, living("t0", 100*time.Hour))}
				client := stateOf(session)
				time.Sleep(time.Hour)
				session.then = at(c.then.Login, c.then.Refresh, living("t1", c.life))
				session.moved.Store(true)

				for range 2 { // it is seen, and used again when little of an hour is left
					_, err := client.Get(t.Context(), "/")
					require.NoError(t, err)
					synctest.Wait()
					if c.life < 0 {
						break
					}
					time.Sleep(c.life - 3*time.Minute)
				}
				assert.Equal(t, c.refreshes, session.refreshes.Load())
			})
		})
	}
}

// unlike is a StatefulSession of a type that cannot be compared.
type unlike struct {
	*changing
	_ []int
}

func TestEarlyRefresh_ASessionThatCannotBeComparedIsNotRefreshedBesideItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &changing{now: at(1, 0, living("t0", time.Hour))}
		session.now.Obtained = time.Now()
		client := axle.New().SetBaseURL("http://api.test").SetTransport(roundTrip(emptyResponse)).
			Use(auth.Select(func(*axle.Request) auth.StatefulSession {
				return unlike{changing: session}
			}, auth.WithEarlyRefresh(window)))
		time.Sleep(55 * time.Minute)
		_, err := client.Get(t.Context(), "/")
		require.NoError(t, err)
		synctest.Wait()
		assert.Zero(t, session.refreshes.Load())
	})
}

func TestEarlyRefresh_TheSnapshotSaysThatItIsOneUntilSomebodyNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExpiring(kind{store: true}, living("t0", time.Hour))
		e.refreshTo("t1", time.Hour)
		slow := e.delayRefresh()
		time.Sleep(55 * time.Minute)
		assert.False(t, e.users.Snapshot().Early)

		e.get(t)
		synctest.Wait()
		now := e.users.Snapshot()
		assert.True(t, now.Refreshing && now.Early)

		needed := future.Go(func() (auth.Snapshot, error) {
			return e.users.RefreshSince(t.Context(), now.Generation)
		})
		synctest.Wait()
		now = e.users.Snapshot()
		assert.True(t, now.Refreshing && !now.Early)

		slow.open()
		_, err := needed.Await(t.Context())
		require.NoError(t, err)
		assert.False(t, e.users.Snapshot().Early)
	})
}

// afterSleep returns a time whose monotonic reading is an hour behind its wall time, as if a
// laptop had slept for an hour on the way to it. A time.Time keeps the reading in its second word.
func afterSleep(now time.Time, d time.Duration) time.Time {
	later := now.Add(d)
	monotonic := (*int64)(unsafe.Add(unsafe.Pointer(&later), 8))
	*monotonic += int64(time.Hour)
	return later
}

func TestExpiry_IsJudgedByTheWallClock(t *testing.T) {
	expired := afterSleep(time.Now(), -time.Minute)
	require.True(t, time.Now().Before(expired), "by the monotonic clock it is to come")
	require.True(t, time.Now().Round(0).After(expired.Round(0)), "by the wall clock it has passed")

	for _, k := range []kind{{store: true}, {}} {
		t.Run(k.String(), func(t *testing.T) {
			e := newExpiring(k, &oauth2.Token{AccessToken: "t0", Expiry: expired})
			e.refreshTo("t1", time.Hour)
			assert.Equal(t, "t1", e.get(t), "it is refreshed before it is sent")
		})
	}
	assert.False(t, auth.KeepSession(&oauth2.Token{AccessToken: "t0", Expiry: expired}, errBoom))
}

func TestEarlyRefresh_ATokenThatCameExpiredFromARefreshBeforeTheInterceptorIsSentToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExpiring(kind{store: true}, living("t0", time.Hour))
		e.refreshTo("t1", -time.Minute)
		_, err := e.users.RefreshToken(t.Context())
		require.NoError(t, err)
		one := func(*axle.Request) auth.StatefulSession { return e.users }
		for name, i := range map[string]*auth.Interceptor{
			"New":    auth.New(e.users, auth.WithEarlyRefresh(window)),
			"Select": auth.Select(one, auth.WithEarlyRefresh(window)),
		} {
			client := newClient(responding(func(r *http.Request) int {
				assert.Equal(t, "Bearer t1", r.Header.Get("Authorization"), name)
				return http.StatusOK
			})).Use(i)
			_, err = client.Get(t.Context(), "/")
			require.NoError(t, err, name)
		}
		assert.EqualValues(t, 1, e.refreshes.Load())
		time.Sleep(10 * time.Minute) // Select forgets the session
	})
}

func TestEarly_AStateThatIsReadLateDoesNotMakeTheNewerTokenYoung(t *testing.T) {
	for name, older := range map[string]auth.Generation{
		"of an earlier refresh": {Login: 2, Refresh: 0},
		"of an earlier login":   {Login: 1, Refresh: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := &changing{now: at(2, 1, living("new", time.Hour)), then: at(older.Login, older.Refresh, bearer("old"))}
				var seen []string
				client := newClient(seeing(&seen, http.StatusOK)).Use(auth.New(session, auth.WithEarlyRefresh(window)))
				for n, isLate := range []bool{false, true, false} {
					time.Sleep(time.Duration(n) * 18 * time.Minute) // after the third it is due
					session.moved.Store(isLate)
					_, err := client.Get(t.Context(), "/")
					require.NoError(t, err)
				}
				synctest.Wait()
				assert.Equal(t, []string{"Bearer new", "Bearer old", "Bearer new"}, seen)
				assert.EqualValues(t, 1, session.refreshes.Load())
			})
		})
	}
}
