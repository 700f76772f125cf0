package store_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func TestStore_ANewOneKnowsNobodyAndHasASession(t *testing.T) {
	s := store.New[user](always(nil, nil))
	assert.Equal(t, store.State[user]{}, s.State())
	assert.Nil(t, s.Token())
	assert.Equal(t, auth.Snapshot{Active: true}, s.Snapshot(), "with cookies, nobody need have logged in")
}

func TestStore_ALoginChangesUserAndTokenInOneStep(t *testing.T) {
	s := store.New[user](nil)
	var seen []store.State[user]
	s.Subscribe(func(state, _ store.State[user]) { seen = append(seen, state) })

	s.Login(user{"ada"}, tokenNamed("1"))
	s.Login(user{"bob"}, nil)
	require.NoError(t, s.Logout(t.Context()))

	assert.Equal(t, []store.State[user]{{User: &user{"ada"}, Token: tokenNamed("1")}, {User: &user{"bob"}}, {}}, seen)
}

func TestStore_LoginAndLogoutMoveTheLoginAndARefreshTheRefresh(t *testing.T) {
	s := store.New[user](always(tokenNamed("new"), nil))
	at := func() auth.Generation { return s.Snapshot().Generation }
	assert.Equal(t, auth.Generation{}, at())
	s.Login(user{"ada"}, tokenNamed("old"))
	assert.Equal(t, auth.Generation{Login: 1}, at())
	_, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, auth.Generation{Login: 1, Refresh: 1}, at())
	require.NoError(t, s.Logout(t.Context()))
	assert.Equal(t, uint64(2), at().Login)
	s.Login(user{"ada"}, tokenNamed("old"))
	assert.Equal(t, uint64(3), at().Login, "the same user with the same token is another login all the same")
}

func TestStore_WhatIsPublishedIsNeverModified(t *testing.T) {
	// Each act has its hands on a token or a user, and writes to it.
	spoil := func(token *oauth2.Token) { token.AccessToken, token.RefreshToken = "spoilt", "spoilt" }
	acts := map[string]func(t *testing.T, s *store.UserStore[user], returned *oauth2.Token){
		"a token that was given to Login": func(_ *testing.T, s *store.UserStore[user], _ *oauth2.Token) {
			token := tokenNamed("old")
			s.Login(user{"ada"}, token)
			spoil(token)
		},
		"what SetState gets": func(_ *testing.T, s *store.UserStore[user], _ *oauth2.Token) {
			s.SetState(func(state *store.State[user]) {
				state.User.Name = "spoilt"
				spoil(state.Token)
				state.User, state.Token = &user{"ada"}, tokenNamed("old")
			})
		},
		"what SetState has set": func(_ *testing.T, s *store.UserStore[user], _ *oauth2.Token) {
			name, token := &user{"ada"}, tokenNamed("old")
			s.SetState(func(state *store.State[user]) { state.Token = nil }) // else the equal one stays
			s.SetState(func(state *store.State[user]) { state.User, state.Token = name, token })
			name.Name = "spoilt"
			spoil(token)
		},
		"what the RefreshFunc gets and returns": func(t *testing.T, s *store.UserStore[user], returned *oauth2.Token) {
			_, err := s.RefreshToken(t.Context())
			require.NoError(t, err)
			spoil(returned)
		},
		"what a TokenSource returns": func(t *testing.T, s *store.UserStore[user], _ *oauth2.Token) {
			token, err := s.TokenSource(t.Context()).Token()
			require.NoError(t, err)
			spoil(token)
		},
		"what WithLogout gets": func(t *testing.T, s *store.UserStore[user], _ *oauth2.Token) {
			require.NoError(t, s.Logout(t.Context()))
			s.Login(user{"ada"}, tokenNamed("old"))
		},
	}
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			returned := tokenNamed("old")
			s := loggedIn(func(_ context.Context, current *oauth2.Token) (*oauth2.Token, error) {
				spoil(current)
				return returned, nil
			}, store.WithLogout(func(_ context.Context, last *oauth2.Token) error { spoil(last); return nil }))
			before := s.State()

			act(t, s, returned)

			assert.Equal(t, store.State[user]{User: &user{"ada"}, Token: tokenNamed("old")}, before, "an older state")
			requireStillIn(t, s, "old")
		})
	}
}

func TestStore_SetStateStartsALoginOnlyIfItSetsATokenOrTakesTheUserFromOrToNil(t *testing.T) {
	ada, bob := &user{"ada"}, &user{"bob"}
	extra := tokenNamed("1").WithExtra(map[string]any{"scope": "all"})
	later := tokenNamed("1")
	later.Expiry = time.Now().Add(time.Hour)
	type state = store.State[user]
	cases := []struct {
		name         string
		before       state
		after        state
		login, ended bool
	}{
		{name: "nothing", before: state{User: ada, Token: tokenNamed("1")}, after: state{User: ada, Token: tokenNamed("1")}},
		{name: "the user's data", before: state{User: ada, Token: tokenNamed("1")}, after: state{User: bob, Token: tokenNamed("1")}},
		{name: "the user's data, with cookies", before: state{User: ada}, after: state{User: bob}},
		{name: "an equal token", before: state{User: ada, Token: tokenNamed("1")}, after: state{User: ada, Token: extra}},
		{name: "no token any more", before: state{User: ada, Token: tokenNamed("1")}, after: state{User: ada}},
		{name: "nobody to nobody", before: state{}, after: state{}},
		{name: "a token", before: state{User: ada}, after: state{User: ada, Token: tokenNamed("1")}, login: true},
		{name: "a token and nobody", before: state{}, after: state{Token: tokenNamed("1")}, login: true},
		{name: "another token", before: state{User: ada, Token: tokenNamed("1")}, after: state{User: ada, Token: tokenNamed("2")}, login: true},
		{name: "another expiry", before: state{User: ada, Token: tokenNamed("1")}, after: state{User: ada, Token: later}, login: true},
		{name: "somebody, with cookies", before: state{}, after: state{User: ada}, login: true},
		{name: "somebody to a token", before: state{Token: tokenNamed("1")}, after: state{User: ada, Token: tokenNamed("1")}, login: true},
		{name: "nobody, the token left", before: state{User: ada, Token: tokenNamed("1")}, after: state{Token: tokenNamed("1")}, login: true},
		{name: "nobody, another token", before: state{User: ada, Token: tokenNamed("1")}, after: state{Token: tokenNamed("2")}, login: true},
		{name: "nobody, no token left", before: state{User: ada, Token: tokenNamed("1")}, login: true, ended: true},
		{name: "nobody, with cookies", before: state{User: ada}, login: true, ended: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := store.New[user](nil)
			s.SetState(func(state *store.State[user]) { *state = c.before })
			require.Equal(t, c.before, s.State())
			before := s.Snapshot()
			require.True(t, before.Active)

			s.SetState(func(state *store.State[user]) { *state = c.after })

			now := s.Snapshot()
			assert.Equal(t, c.login, now.Generation.Login != before.Generation.Login, "another login")
			assert.Equal(t, c.ended, !now.Active, "ended")
			assert.Equal(t, c.after.User, s.State().User)
			assert.Equal(t, c.after.Token == nil, s.Token() == nil)
			if c.after.Token != nil {
				assert.Equal(t, c.after.Token.AccessToken, s.Token().AccessToken)
			}
		})
	}
}

func TestStore_CheckingAuthIsTheStoresToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh)
		write := func(value bool) bool {
			s.SetState(func(state *store.State[user]) {
				state.User.Name += "!"
				state.CheckingAuth = value
			})
			return s.State().CheckingAuth
		}
		assert.False(t, write(true), "no refresh is in flight")
		call := refreshing(t.Context(), s)
		ask := refresh.asked(t, 1)
		assert.True(t, s.State().CheckingAuth)
		assert.True(t, write(false), "a refresh is in flight")
		ask.succeed(tokenNamed("new"))
		_, err := outcome(t, call)
		require.NoError(t, err)
		assert.Equal(t, store.State[user]{User: &user{"ada!!"}, Token: tokenNamed("new")}, s.State(), "what was set meanwhile stays")
	})
}

func TestStore_SetStateRunsAgainIfTheStateWasChangedMeanwhile(t *testing.T) {
	s := loggedIn(nil)
	runs := 0
	s.SetState(func(state *store.State[user]) {
		if runs++; runs == 1 {
			s.Login(user{"bob"}, tokenNamed("bob"))
		}
		state.User.Name += "!"
	})
	assert.Equal(t, 2, runs)
	assert.Equal(t, store.State[user]{User: &user{"bob!"}, Token: tokenNamed("bob")}, s.State())
}

func TestStore_SetStatesUpdateMayReadTheStore(t *testing.T) {
	s := loggedIn(nil)
	s.SetState(func(state *store.State[user]) { state.User.Name = s.State().User.Name + s.Token().AccessToken })
	assert.Equal(t, "adaaccess-old", s.State().User.Name)
}

func TestStore_SetStateOfANilUpdateChangesNothing(t *testing.T) {
	s := loggedIn(nil)
	told := 0
	s.Subscribe(func(_, _ store.State[user]) { told++ })
	before := s.Snapshot()
	assert.NotPanics(t, func() { s.SetState(nil) })
	assert.Equal(t, before, s.Snapshot())
	assert.Zero(t, told)
}

func TestStore_SetStateOfAnUpdateThatPanicsChangesNothing(t *testing.T) {
	s := loggedIn(nil)
	before := s.Snapshot()
	assert.PanicsWithValue(t, "spilled tea", func() {
		s.SetState(func(state *store.State[user]) {
			state.User = nil
			panic("spilled tea")
		})
	})
	assert.Equal(t, before, s.Snapshot())
	requireStillIn(t, s, "old")
}

func TestStore_BearsWithBadInput(t *testing.T) {
	var none context.Context
	t.Run("nil options are left out", func(t *testing.T) {
		s := loggedIn(always(nil, errBoom), nil, store.WithLogoutWhen(nil), store.WithLogout(nil), store.WithRefreshTimeout(0))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, errBoom)
		requireLoggedOut(t, s)
	})
	t.Run("a nil RefreshFunc makes every refresh fail", func(t *testing.T) {
		s := loggedIn(nil, store.WithLogoutWhen(store.RejectedOnly))
		_, err := s.RefreshToken(t.Context())
		require.ErrorContains(t, err, "without a RefreshFunc")
		requireStillIn(t, s, "old")
	})
	t.Run("a nil context is an error, and changes nothing", func(t *testing.T) {
		s := loggedIn(always(tokenNamed("new"), nil))
		_, err := s.RefreshToken(none)
		assert.ErrorContains(t, err, "context is nil")
		_, err = s.RefreshSince(none, s.Snapshot().Generation)
		assert.ErrorContains(t, err, "context is nil")
		assert.ErrorContains(t, s.Logout(none), "context is nil")
		_, err = s.TokenSource(none).Token()
		assert.ErrorContains(t, err, "context is nil")
		requireStillIn(t, s, "old")
	})
	t.Run("a token without an access token is a failed refresh", func(t *testing.T) {
		s := loggedIn(always(&oauth2.Token{RefreshToken: "only"}, nil), store.WithLogoutWhen(store.RejectedOnly))
		_, err := s.RefreshToken(t.Context())
		require.ErrorContains(t, err, "without an access token")
		requireStillIn(t, s, "old")
	})
}
