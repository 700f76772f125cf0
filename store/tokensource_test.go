package store_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func tokenOf(source oauth2.TokenSource) *future.Future[*oauth2.Token] { return future.Go(source.Token) }

func TestStore_TokenSourceReturnsAValidTokenAsItIs(t *testing.T) {
	s := loggedIn(always(nil, errBoom))
	token, err := s.TokenSource(t.Context()).Token()
	require.NoError(t, err)
	assert.Equal(t, tokenNamed("old"), token)
	assert.NotSame(t, s.Token(), token, "its reader may write to it")
	requireStillIn(t, s, "old")
}

func TestStore_TokenSourceRefreshesAnExpiredTokenOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := store.New[user](refresh.refresh)
		s.Login(user{"ada"}, expired(tokenNamed("old")))
		calls := []*future.Future[*oauth2.Token]{refreshing(t.Context(), s)}
		for range 20 {
			calls = append(calls, tokenOf(s.TokenSource(t.Context())))
		}
		ask := refresh.asked(t, 1)
		for _, call := range calls {
			requireWaiting(t, call)
		}
		ask.succeed(tokenNamed("new"))
		for _, call := range calls {
			token, err := outcome(t, call)
			require.NoError(t, err)
			require.Equal(t, tokenNamed("new"), token)
		}
		assert.Equal(t, 1, refresh.calls())
	})
}

func TestStore_TokenSourceWaitsForTheRefreshInFlightThoughItsTokenIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		call := refreshing(t.Context(), s)
		ask := refresh.asked(t, 1)
		source := tokenOf(s.TokenSource(t.Context()))
		requireWaiting(t, source)
		ask.succeed(tokenNamed("new"))
		token, err := outcome(t, source)
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("new"), token)
		_, err = outcome(t, call)
		require.NoError(t, err)
	})
}

func TestStore_TokenSourceOfASessionWithoutATokenToGiveIsAnError(t *testing.T) {
	cases := []struct {
		name string
		s    *store.UserStore[user]
		want func(t *testing.T, err error)
	}{
		{"a new store", store.New[user](nil), func(t *testing.T, err error) { assert.ErrorContains(t, err, "no token") }},
		{"cookies", func() *store.UserStore[user] {
			s := store.New[user](nil)
			s.Login(user{"ada"}, nil)
			return s
		}(), func(t *testing.T, err error) { assert.ErrorContains(t, err, "no token") }},
		{"ended", func() *store.UserStore[user] {
			s := loggedIn(nil)
			_ = s.Logout(context.Background())
			return s
		}(), func(t *testing.T, err error) { assert.ErrorIs(t, err, auth.ErrSessionChanged) }},
		{"expired, and the refresh fails", func() *store.UserStore[user] {
			s := store.New[user](always(nil, errBoom))
			s.Login(user{"ada"}, expired(tokenNamed("old")))
			return s
		}(), func(t *testing.T, err error) { assert.ErrorIs(t, err, errBoom) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token, err := c.s.TokenSource(t.Context()).Token()
			require.Error(t, err)
			assert.Nil(t, token)
			c.want(t, err)
		})
	}
}

func TestStore_TokenSourceWithinARefreshReturnsTheTokenAsItIsAndNeverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *store.UserStore[user]
		old := expired(tokenNamed("old"))
		var within *oauth2.Token
		s = store.New[user](func(ctx context.Context, _ *oauth2.Token) (token *oauth2.Token, err error) {
			within, err = s.TokenSource(ctx).Token()
			return tokenNamed("new"), err
		})
		s.Login(user{"ada"}, old)
		start := time.Now()
		token, err := s.TokenSource(t.Context()).Token()
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("new"), token)
		assert.Equal(t, old, within)
		assert.Zero(t, time.Since(start))
	})
}

func TestStore_TokenSourceServesAnOAuth2Client(t *testing.T) {
	var mu sync.Mutex
	refreshes := 0
	sent := map[string]int{}
	client, url := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sent[r.Header.Get("Authorization")]++
		_, _ = io.WriteString(w, "ok")
	})
	s := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		refreshes++
		return tokenNamed("new"), nil
	})
	s.Login(user{"ada"}, expired(tokenNamed("old")))
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client.HTTPClient())
	library := oauth2.NewClient(ctx, s.TokenSource(ctx))

	var calls []*future.Future[int]
	for range 10 {
		calls = append(calls, future.Go(func() (int, error) {
			resp, err := library.Get(url)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode, err
		}))
	}
	statuses, err := future.All(calls...).Await(t.Context())
	require.NoError(t, err)
	assert.Len(t, statuses, 10)
	assert.Equal(t, 1, refreshes)
	assert.Equal(t, map[string]int{"Bearer access-new": 10}, sent)
}

func TestStore_TokenSourceOfAnEndedSessionFailsTheCallsOfItsLibrary(t *testing.T) {
	sent := 0
	client, url := newLoopback(t, func(http.ResponseWriter, *http.Request) { sent++ })
	s := loggedIn(nil)
	library := &http.Client{Transport: &oauth2.Transport{Source: s.TokenSource(t.Context()), Base: client.HTTPClient().Transport}}
	resp, err := library.Get(url)
	require.NoError(t, err)
	resp.Body.Close()
	require.NoError(t, s.Logout(t.Context()))
	_, err = library.Get(url) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, auth.ErrSessionChanged)
	assert.Equal(t, 1, sent)
}

func TestP13_ARotationIsToldAndNoLockIsHeldOverTheNetworkAndEveryWaitHasAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := store.New[user](refresh.refresh)
		s.Login(user{"ada"}, expired(tokenNamed("old")))
		var rotations []string
		s.Subscribe(func(state, previous store.State[user]) {
			if state.Token != previous.Token {
				rotations = append(rotations, previous.Token.RefreshToken+" -> "+state.Token.RefreshToken)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		leaves := tokenOf(s.TokenSource(ctx))
		stays := tokenOf(s.TokenSource(t.Context()))
		ask := refresh.asked(t, 1)

		// While the network is asked the store answers.
		assert.Equal(t, "ada", s.State().User.Name)
		assert.True(t, s.Snapshot().Refreshing)
		s.SetState(func(state *store.State[user]) { state.User.Name = "ada l." })
		s.Subscribe(func(_, _ store.State[user]) {})()

		cancel()
		_, err := outcome(t, leaves)
		require.ErrorIs(t, err, context.Canceled)
		requireWaiting(t, stays)
		ask.succeed(tokenNamed("new"))
		_, err = outcome(t, stays)
		require.NoError(t, err)
		assert.Equal(t, []string{"refresh-old -> refresh-new"}, rotations)
	})
}

func TestTokenSource_ATokenThatCameExpiredFromARefreshIsHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refreshes := 0
		s := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			refreshes++
			return expired(tokenNamed("new")), nil // the clock is two hours ahead
		})
		s.Login(user{"ada"}, expired(tokenNamed("old")))
		for range 10 {
			token, err := s.TokenSource(t.Context()).Token()
			require.NoError(t, err)
			assert.Equal(t, "access-new", token.AccessToken)
			time.Sleep(time.Minute)
		}
		assert.Equal(t, 1, refreshes)
	})
}

func TestTokenSource_ATokenThatExpiresAfterItsRefreshIsRefreshedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refreshes := 0
		s := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			refreshes++
			return &oauth2.Token{AccessToken: "new", Expiry: time.Now().Add(time.Second)}, nil
		})
		s.Login(user{"ada"}, expired(tokenNamed("old")))
		for i := range 3 {
			_, err := s.TokenSource(t.Context()).Token()
			require.NoError(t, err)
			assert.Equal(t, i+1, refreshes)
			time.Sleep(time.Second)
		}
	})
}

func TestTokenSource_WithoutAnAccessTokenAsksOncePerLogin(t *testing.T) {
	refreshes := 0
	s := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		refreshes++
		return nil, nil
	})
	s.Login(user{"ada"}, &oauth2.Token{RefreshToken: "r"})
	for range 3 {
		_, err := s.TokenSource(t.Context()).Token()
		require.ErrorContains(t, err, "no token")
	}
	assert.Equal(t, 1, refreshes)
}
