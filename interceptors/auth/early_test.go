package auth_test

import (
	"context"
	"net/http"
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

// early is a store whose tokens live for an hour, and a client that refreshes ten minutes before.
func early(t *testing.T, refresh store.RefreshFunc) (*axle.Client, *store.UserStore[user]) {
	t.Helper()
	users := store.New[user](refresh)
	users.Login(user{}, &oauth2.Token{AccessToken: "t0", Expiry: time.Now().Add(time.Hour)})
	client := axle.New().SetBaseURL("http://api.test").SetTransport(answering(func(*http.Request) int { return 200 })).
		Use(auth.New(users, auth.WithEarlyRefresh(10*time.Minute)))
	return client, users
}

func TestEarlyRefresh_RunsFromThatLongBeforeTheExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		after     time.Duration
		refreshes int64
	}{
		"a nanosecond before it is due": {50*time.Minute - 1, 0},
		"when it is due":                {50 * time.Minute, 1},
		"after the expiry":              {2 * time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n int64
				client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					n++
					return &oauth2.Token{AccessToken: "t1", Expiry: time.Now().Add(time.Hour)}, nil
				})
				time.Sleep(c.after)
				_, err := client.Get(t.Context(), "/")
				require.NoError(t, err)
				assert.Equal(t, c.refreshes, n)
				assert.Equal(t, c.refreshes == 1, users.Token().AccessToken == "t1")
			})
		})
	}
}

func TestEarlyRefresh_NeverForATokenThatWasObtainedInsideTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		client, _ := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			n++
			return &oauth2.Token{AccessToken: "short", Expiry: time.Now().Add(time.Minute)}, nil
		})
		time.Sleep(55 * time.Minute)
		for range 10 {
			_, err := client.Get(t.Context(), "/")
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
		}
		assert.Equal(t, 1, n)
	})
}

func TestEarlyRefresh_AFailureKeepsAValidTokenUnlessTheServerRefused(t *testing.T) {
	refused := &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest}, ErrorCode: "invalid_grant"}
	for name, c := range map[string]struct {
		failure error
		after   time.Duration
		kept    bool
	}{
		"the network, while it is valid":   {errBoom, 55 * time.Minute, true},
		"the network, after its expiry":    {errBoom, 61 * time.Minute, false},
		"the server, while it is valid":    {refused, 55 * time.Minute, false},
		"a panic, while the token is good": {nil, 55 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					if c.failure == nil {
						panic("ouch")
					}
					return nil, c.failure
				})
				time.Sleep(c.after)
				_, err := client.Get(t.Context(), "/")
				if c.kept {
					require.NoError(t, err)
					assert.Equal(t, "t0", users.Token().AccessToken)
					return
				}
				require.ErrorIs(t, err, c.failure)
				assert.Nil(t, users.Token())
			})
		})
	}
}

func TestEarlyRefresh_OneThatSomebodyNeededEndsTheSessionForAllWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newGate()
		client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			held.pass()
			return nil, errBoom
		})
		time.Sleep(55 * time.Minute)
		generation := users.Snapshot().Generation
		call := future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") })
		synctest.Wait()
		needed := future.Go(func() (auth.Snapshot, error) { return users.RefreshSince(t.Context(), generation) }) // as for a 401
		synctest.Wait()
		held.open()
		_, err := needed.Await(t.Context())
		require.ErrorIs(t, err, errBoom)
		_, err = result(call)
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, users.Token())
	})
}

func TestEarlyRefresh_IsOneForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, held := 0, newGate()
		client, _ := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			n++
			held.pass()
			return &oauth2.Token{AccessToken: "t1", Expiry: time.Now().Add(time.Hour)}, nil
		})
		time.Sleep(55 * time.Minute)
		var calls []*future.Future[*axle.Response]
		for range 20 {
			calls = append(calls, future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") }))
		}
		synctest.Wait()
		held.open()
		for _, call := range calls {
			resp, err := result(call)
			requireOK(t, resp, err)
		}
		assert.Equal(t, 1, n)
	})
}

func TestEarlyRefresh_TheSnapshotSaysThatItIsOneUntilSomebodyNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newGate()
		client, users := early(t, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			held.pass()
			return &oauth2.Token{AccessToken: "t1"}, nil
		})
		time.Sleep(55 * time.Minute)
		assert.False(t, users.Snapshot().Early)
		call := future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/") })
		synctest.Wait()
		now := users.Snapshot()
		assert.True(t, now.Refreshing && now.Early)

		needed := future.Go(func() (auth.Snapshot, error) { return users.RefreshSince(t.Context(), now.Generation) })
		synctest.Wait()
		now = users.Snapshot()
		assert.True(t, now.Refreshing && !now.Early)

		held.open()
		_, err := needed.Await(t.Context())
		require.NoError(t, err)
		resp, err := result(call)
		requireOK(t, resp, err)
		assert.False(t, users.Snapshot().Early)
	})
}
