package store_test

import (
	"context"
	"errors"
	"fmt"
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

func TestR8_ConcurrentRefreshTokensShareOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		var calls []*future.Future[*oauth2.Token]
		for range 100 {
			calls = append(calls, refreshing(t.Context(), s))
		}
		ask := refresh.asked(t, 1)
		assert.True(t, s.State().CheckingAuth)
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
		requireStillIn(t, s, "new")
	})
}

func TestStore_ARefreshAfterARefreshIsAnother(t *testing.T) {
	n := 0
	s := loggedIn(func(_ context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		n++
		return tokenNamed(current.AccessToken + fmt.Sprint(n)), nil
	})
	for _, want := range []string{"access-access-old1", "access-access-access-old12"} {
		token, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, token.AccessToken)
	}
}

func TestR3_TheSlotEmptiesOnFailureAndTheNextRefreshIsTried(t *testing.T) {
	n := 0
	s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		if n++; n < 3 {
			return nil, errBoom
		}
		return tokenNamed("new"), nil
	}, store.WithLogoutWhen(store.RejectedOnly))
	for range 2 {
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, errBoom)
		requireStillIn(t, s, "old")
	}
	token, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, tokenNamed("new"), token)
	assert.Equal(t, 3, n)
	requireStillIn(t, s, "new")
}

func TestR3_TheSlotIsEmptyBeforeAnyWaiterWakes(t *testing.T) {
	for name, answer := range map[string]error{"failed": errBoom, "succeeded": nil} {
		t.Run(name, func(t *testing.T) {
			s := loggedIn(always(tokenNamed("new"), answer), store.WithLogoutWhen(store.RejectedOnly))
			for range 200 {
				_, err := s.RefreshToken(t.Context())
				require.ErrorIs(t, err, answer)
				now := s.Snapshot()
				require.False(t, now.Refreshing)
				require.False(t, s.State().CheckingAuth)
			}
		})
	}
}

func TestR17_AccessAndRefreshTokenAreStoredAsOneBeforeAnyWaiterWakes(t *testing.T) {
	n := 0
	s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		n++
		return tokenNamed(fmt.Sprint(n)), nil
	})
	s.Subscribe(func(state, _ store.State[user]) {
		assert.Equal(t, state.Token.AccessToken[len("access-"):], state.Token.RefreshToken[len("refresh-"):])
	})
	for i := range 100 {
		token, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		require.Equal(t, tokenNamed(fmt.Sprint(i+1)), token)
		require.Equal(t, token, s.Token())
	}
}

func TestR17_WhatANewTokenKeepsOfTheOld(t *testing.T) {
	old := tokenNamed("old")
	cases := []struct {
		name               string
		current, new, want *oauth2.Token
	}{
		{"it has a refresh token: nothing", old, tokenNamed("new"), tokenNamed("new")},
		{"without a refresh token: the old refresh token", old, &oauth2.Token{AccessToken: "a", TokenType: "DPoP"}, &oauth2.Token{AccessToken: "a", RefreshToken: "refresh-old", TokenType: "DPoP"}},
		{"without a type: the old type", old, &oauth2.Token{AccessToken: "a", RefreshToken: "r"}, &oauth2.Token{AccessToken: "a", RefreshToken: "r", TokenType: "Bearer"}},
		{"without any before", nil, &oauth2.Token{AccessToken: "a"}, &oauth2.Token{AccessToken: "a"}},
		{"nil and nil: the token", old, nil, old},
		{"nil and nil, with cookies", nil, nil, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var current *oauth2.Token
			s := store.New[user](func(_ context.Context, given *oauth2.Token) (*oauth2.Token, error) {
				current = given
				return c.new, nil
			})
			s.Login(user{"ada"}, c.current)
			before := s.Snapshot().Generation

			token, err := s.RefreshToken(t.Context())

			require.NoError(t, err)
			assert.Equal(t, c.current, current)
			assert.Equal(t, c.want, token)
			assert.Equal(t, store.State[user]{User: &user{"ada"}, Token: c.want}, s.State())
			assert.Equal(t, auth.Generation{Login: before.Login, Refresh: before.Refresh + 1}, s.Snapshot().Generation, "of the same login")
		})
	}
}

// refusal is a failed call with that status.
func refusal(status int) error {
	return &axle.Error{Code: axle.CodeBadRequest, Response: axle.NewResponse(nil, status, nil, nil)}
}

func TestR7_RejectedOnlyTellsARefusalFromAFailure(t *testing.T) {
	retrieve := func(status int, code string) error {
		return &oauth2.RetrieveError{Response: &http.Response{StatusCode: status}, ErrorCode: code}
	}
	cases := []struct {
		name string
		err  error
		want bool
	}{
		{"axle 400", refusal(http.StatusBadRequest), true},
		{"axle 401", refusal(http.StatusUnauthorized), true},
		{"axle 403", refusal(http.StatusForbidden), true},
		{"axle 401, wrapped", fmt.Errorf("refreshing: %w", refusal(http.StatusUnauthorized)), true},
		{"axle 404", refusal(http.StatusNotFound), false},
		{"axle 429", refusal(http.StatusTooManyRequests), false},
		{"axle 500", refusal(http.StatusInternalServerError), false},
		{"axle 503", refusal(http.StatusServiceUnavailable), false},
		{"axle, no response", &axle.Error{Code: axle.CodeNetwork, Err: errBoom}, false},
		{"axle, timeout", &axle.Error{Code: axle.CodeTimeout}, false},
		{"oauth2 400 invalid_grant", retrieve(http.StatusBadRequest, "invalid_grant"), true},
		{"oauth2 401", retrieve(http.StatusUnauthorized, ""), true},
		{"oauth2 403", retrieve(http.StatusForbidden, ""), true},
		{"oauth2 403 access_denied", retrieve(http.StatusForbidden, "access_denied"), false},
		{"oauth2 200 with an invalid_grant", retrieve(http.StatusOK, "invalid_grant"), true},
		{"oauth2 200 with another error", retrieve(http.StatusOK, "bad_refresh_token"), false},
		{"oauth2 500", retrieve(http.StatusInternalServerError, ""), false},
		{"oauth2 503", retrieve(http.StatusServiceUnavailable, "temporarily_unavailable"), false},
		{"oauth2, no response", &oauth2.RetrieveError{}, false},
		{"a plain error", errBoom, false},
		{"the refresh timeout", context.DeadlineExceeded, false},
		{"no error", nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, store.RejectedOnly(c.err))
			if c.err == nil {
				return
			}
			s := loggedIn(always(nil, c.err), store.WithLogoutWhen(store.RejectedOnly))
			_, err := s.RefreshToken(t.Context())
			require.ErrorIs(t, err, c.err)
			if c.want {
				requireLoggedOut(t, s)
			} else {
				requireStillIn(t, s, "old")
			}
		})
	}
}

func TestR7_TheDefaultEndsTheSessionWithEveryFailedRefresh(t *testing.T) {
	s := loggedIn(always(nil, &axle.Error{Code: axle.CodeNetwork, Err: errBoom}))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, errBoom)
	requireLoggedOut(t, s)
}

func TestR7_WithLogoutWhenIsAskedOnceOfTheRefreshsError(t *testing.T) {
	var asked []error
	s := loggedIn(always(nil, errBoom), store.WithLogoutWhen(func(err error) bool {
		asked = append(asked, err)
		return len(asked) == 2
	}))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, errBoom)
	requireStillIn(t, s, "old")
	_, err = s.RefreshToken(t.Context())
	require.ErrorIs(t, err, errBoom)
	requireLoggedOut(t, s)
	assert.Equal(t, []error{errBoom, errBoom}, asked)
}

func TestR13_ACallersContextEndsThatWaitAloneAndNeverLogsOut(t *testing.T) {
	errOwn := errors.New("the caller's own reason")
	waits := map[string]func(ctx context.Context, s *store.UserStore[user]) error{
		"RefreshToken": func(ctx context.Context, s *store.UserStore[user]) error { _, err := s.RefreshToken(ctx); return err },
		"RefreshSince": func(ctx context.Context, s *store.UserStore[user]) error {
			_, err := s.RefreshSince(ctx, s.Snapshot().Generation)
			return err
		},
		"TokenSource": func(ctx context.Context, s *store.UserStore[user]) error {
			_, err := s.TokenSource(ctx).Token()
			return err
		},
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var refresh server
				s := loggedIn(refresh.refresh)
				stays := refreshing(t.Context(), s)
				ask := refresh.asked(t, 1)
				leave, leaveNow := context.WithCancelCause(t.Context())
				leaves := future.Go(func() (any, error) { return nil, wait(leave, s) })
				late, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				times := future.Go(func() (any, error) { return nil, wait(late, s) })
				requireWaiting(t, leaves)

				leaveNow(errOwn)
				_, err := outcome(t, leaves)
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, errOwn)
				requireWaiting(t, times)
				time.Sleep(time.Second) // the bubble's clock
				_, err = outcome(t, times)
				assert.ErrorIs(t, err, context.DeadlineExceeded)

				requireWaiting(t, stays)
				require.NoError(t, ask.ctx.Err())
				ask.succeed(tokenNamed("new"))
				token, err := outcome(t, stays)
				require.NoError(t, err)
				assert.Equal(t, tokenNamed("new"), token)
				requireStillIn(t, s, "new")
			})
		})
	}
}

func TestR13_AContextThatHasEndedStartsNothing(t *testing.T) {
	errOwn := errors.New("the caller's own reason")
	s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		assert.Fail(t, "there is nobody to refresh for")
		return nil, errBoom
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOwn)
	_, err := s.RefreshToken(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, errOwn)
	_, err = s.RefreshSince(ctx, s.Snapshot().Generation)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, errOwn)
	requireStillIn(t, s, "old")
}

func TestR20_TheRefreshOutlivesTheCallerWhoStartedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var refresh server
		s := loggedIn(refresh.refresh)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "trace"))
		starts := refreshing(ctx, s)
		ask := refresh.asked(t, 1)
		joins := refreshing(t.Context(), s)

		cancel()
		_, err := outcome(t, starts)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, ask.ctx.Err(), "a rotated token must be read")
		assert.Equal(t, "trace", ask.ctx.Value(key{}), "the values of who started it go with it")

		ask.succeed(tokenNamed("new"))
		token, err := outcome(t, joins)
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("new"), token)
	})
}

func TestR20_ARefreshWithoutWaitersIsStoredAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		ctx, cancel := context.WithCancel(t.Context())
		call := refreshing(ctx, s)
		ask := refresh.asked(t, 1)
		cancel()
		_, err := outcome(t, call)
		require.ErrorIs(t, err, context.Canceled)
		ask.succeed(tokenNamed("new"))
		requireStillIn(t, s, "new")
	})
}

func TestR14_ALoginOrLogoutDetachesTheRefreshInFlight(t *testing.T) {
	bob := store.State[user]{User: &user{"bob"}, Token: tokenNamed("bob")}
	changes := []struct {
		name   string
		change func(s *store.UserStore[user])
		want   store.State[user]
	}{
		{"Login", func(s *store.UserStore[user]) { s.Login(user{"bob"}, tokenNamed("bob")) }, bob},
		{"Logout", func(s *store.UserStore[user]) { _ = s.Logout(context.Background()) }, store.State[user]{}},
		{"Logout and Login", func(s *store.UserStore[user]) {
			_ = s.Logout(context.Background())
			s.Login(user{"bob"}, tokenNamed("bob"))
		}, bob},
		{"SetState", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.User, state.Token = &user{"bob"}, tokenNamed("bob") })
		}, bob},
		{"SetState to nobody", func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { *state = store.State[user]{} })
		}, store.State[user]{}},
	}
	ends := map[string]func() (*oauth2.Token, error){
		"succeeds":    func() (*oauth2.Token, error) { return tokenNamed("new"), nil },
		"fails":       func() (*oauth2.Token, error) { return nil, refusal(http.StatusUnauthorized) },
		"panics":      func() (*oauth2.Token, error) { panic("spilled tea") },
		"keeps it as": func() (*oauth2.Token, error) { return nil, nil },
	}
	for _, c := range changes {
		for name, end := range ends {
			t.Run(c.name+", then it "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var refresh server
					logouts := 0
					s := loggedIn(refresh.refresh)
					call := refreshing(t.Context(), s)
					ask := refresh.asked(t, 1)

					c.change(s)

					_, err := outcome(t, call)
					require.ErrorIs(t, err, auth.ErrSessionChanged, "nobody waits for a login that is over")
					require.Equal(t, c.want, s.State())
					require.NoError(t, ask.ctx.Err(), "it runs on by itself")
					after := s.Snapshot()
					require.False(t, after.Refreshing)
					s.Subscribe(func(_, _ store.State[user]) { logouts++ })
					ask.end(end)
					assert.Equal(t, c.want, s.State())
					assert.Equal(t, after, s.Snapshot(), "and changes nothing")
					assert.Zero(t, logouts)
				})
			})
		}
	}
}

func TestR14_NobodyOfTheNextLoginJoinsTheOldRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		adas := refreshing(t.Context(), s)
		first := refresh.asked(t, 1)
		s.Login(user{"bob"}, tokenNamed("bob"))
		bobs := refreshing(t.Context(), s)
		second := refresh.asked(t, 2)
		assert.Equal(t, tokenNamed("old"), first.current)
		assert.Equal(t, tokenNamed("bob"), second.current)

		first.succeed(tokenNamed("ada's"))
		requireWaiting(t, bobs)
		assert.Equal(t, store.State[user]{User: &user{"bob"}, Token: tokenNamed("bob"), CheckingAuth: true}, s.State())
		second.succeed(tokenNamed("bob's"))
		token, err := outcome(t, bobs)
		require.NoError(t, err)
		assert.Equal(t, tokenNamed("bob's"), token)
		_, err = outcome(t, adas)
		assert.ErrorIs(t, err, auth.ErrSessionChanged)
	})
}

// curious is a context that asks the store.
type curious struct {
	context.Context
	store *store.UserStore[user]
	asked *int
}

func (c curious) Value(key any) any {
	*c.asked++
	_ = c.store.State()
	return c.Context.Value(key)
}

func TestStore_NoUserCodeRunsUnderItsLock(t *testing.T) {
	s := loggedIn(always(tokenNamed("new"), nil))
	asked := 0
	_, err := s.RefreshToken(curious{t.Context(), s, &asked})
	require.NoError(t, err)
	assert.Positive(t, asked)
	requireStillIn(t, s, "new")
}
