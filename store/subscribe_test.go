package store_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/store"
)

// transition is one call of a subscriber.
type transition struct{ state, previous store.State[user] }

// record subscribes; read the result when nothing changes any more.
func record(s *store.UserStore[user]) (seen *[]transition, unsubscribe func()) {
	seen = &[]transition{}
	return seen, s.Subscribe(func(state, previous store.State[user]) { *seen = append(*seen, transition{state, previous}) })
}

func adaWith(token string, checking bool) store.State[user] {
	return store.State[user]{User: &user{"ada"}, Token: tokenNamed(token), CheckingAuth: checking}
}

func TestStore_SubscribersSeeEveryTransitionOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := store.New[user](refresh.refresh)
		first, _ := record(s)
		second, _ := record(s)

		s.Login(user{"ada"}, tokenNamed("1"))
		call := refreshing(t.Context(), s)
		refresh.asked(t, 1).succeed(tokenNamed("2"))
		_, err := outcome(t, call)
		require.NoError(t, err)
		s.SetState(func(state *store.State[user]) { state.User.Name = "ada l." })
		s.SetState(func(state *store.State[user]) { state.User.Name = "ada" })
		call = refreshing(t.Context(), s)
		refresh.asked(t, 2).fail(errBoom)
		_, err = outcome(t, call)
		require.ErrorIs(t, err, errBoom)

		nobody, renamed := store.State[user]{}, store.State[user]{User: &user{"ada l."}, Token: tokenNamed("2")}
		want := []transition{
			{adaWith("1", false), nobody},
			{adaWith("1", true), adaWith("1", false)},
			{adaWith("2", false), adaWith("1", true)},
			{renamed, adaWith("2", false)},
			{adaWith("2", false), renamed},
			{adaWith("2", true), adaWith("2", false)},
			{nobody, adaWith("2", true)},
		}
		assert.Equal(t, want, *first)
		assert.Equal(t, want, *second)
	})
}

func TestStore_ATransitionThatItsCallerMakesIsToldBeforeItReturns(t *testing.T) {
	s := store.New[user](nil)
	seen, _ := record(s)
	s.Login(user{"ada"}, tokenNamed("1"))
	require.Len(t, *seen, 1)
	s.SetState(func(state *store.State[user]) { state.User.Name = "ada l." })
	require.Len(t, *seen, 2)
	require.NoError(t, s.Logout(t.Context()))
	require.Len(t, *seen, 3)
}

func TestStore_ARefreshThatFailsWithoutEndingTheSessionIsToldAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh, store.WithLogoutWhen(store.RejectedOnly))
		seen, _ := record(s)
		call := refreshing(t.Context(), s)
		ask := refresh.asked(t, 1)
		assert.Len(t, *seen, 1)
		ask.fail(errBoom)
		_, err := outcome(t, call)
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, []transition{{adaWith("old", true), adaWith("old", false)}, {adaWith("old", false), adaWith("old", true)}}, *seen)
	})
}

func TestStore_ASubscriberSeesWhatHappensAfterItCame(t *testing.T) {
	s := store.New[user](nil)
	s.Login(user{"ada"}, nil)
	seen, _ := record(s)
	assert.Empty(t, *seen, "not what is")
	s.Login(user{"bob"}, nil)
	assert.Equal(t, []transition{{store.State[user]{User: &user{"bob"}}, store.State[user]{User: &user{"ada"}}}}, *seen)
}

func TestStore_AfterUnsubscribeNothingIsTold(t *testing.T) {
	s := store.New[user](nil)
	gone, unsubscribe := record(s)
	stays, _ := record(s)
	s.Login(user{"ada"}, nil)
	unsubscribe()
	unsubscribe()
	s.Login(user{"bob"}, nil)
	assert.Len(t, *gone, 1)
	assert.Len(t, *stays, 2)
}

func TestStore_ASubscriberMayUnsubscribeItselfAndOthersAndSubscribe(t *testing.T) {
	s := store.New[user](nil)
	var itself, others func()
	var seen, late *[]transition
	calls := 0
	itself = s.Subscribe(func(_, _ store.State[user]) {
		calls++
		itself()
		others()
		late, _ = record(s)
	})
	seen, others = record(s)
	s.Login(user{"ada"}, nil)
	s.Login(user{"bob"}, nil)
	assert.Equal(t, 1, calls)
	assert.Empty(t, *seen, "it was gone before its turn")
	assert.Equal(t, []transition{{store.State[user]{User: &user{"bob"}}, store.State[user]{User: &user{"ada"}}}}, *late)
}

func TestStore_SubscribeOfANilFunctionTellsNobody(t *testing.T) {
	s := store.New[user](nil)
	unsubscribe := s.Subscribe(nil)
	assert.NotPanics(t, func() { s.Login(user{"ada"}, nil); unsubscribe() })
}

func TestStore_SubscribersMayCallTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := loggedIn(always(tokenNamed("new"), nil), store.WithLogout(func(context.Context, *oauth2.Token) error { return nil }))
		seen, _ := record(s)
		steps := 0
		s.Subscribe(func(state, _ store.State[user]) {
			switch steps++; steps {
			case 1: // bob's login
				token, err := s.RefreshToken(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, tokenNamed("new"), token)
				s.SetState(func(state *store.State[user]) { state.User.Name = "robert" })
				assert.NoError(t, s.Logout(t.Context()))
				s.Login(user{"eve"}, nil)
				assert.Equal(t, "eve", s.State().User.Name)
				assert.True(t, s.Snapshot().Active)
				assert.Equal(t, "bob", state.User.Name)
			case 6:
				assert.Equal(t, "eve", state.User.Name)
			}
		})
		s.Login(user{"bob"}, tokenNamed("bob"))
		synctest.Wait()
		assert.Equal(t, 6, steps)
		require.Len(t, *seen, 6)
		for i, name := range []string{"bob", "bob", "bob", "robert", "", "eve"} {
			got := ""
			if who := (*seen)[i].state.User; who != nil {
				got = who.Name
			}
			assert.Equal(t, name, got, "transition %d", i)
			if i > 0 {
				assert.Equal(t, (*seen)[i-1].state, (*seen)[i].previous)
			}
		}
	})
}

func TestStore_SubscribersAreToldOneTransitionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New[user](nil)
		release := make(chan struct{})
		var order []string
		s.Subscribe(func(state, _ store.State[user]) {
			order = append(order, "<"+state.User.Name)
			<-release
			order = append(order, state.User.Name+">")
		})
		first := future.Go(func() (any, error) { s.Login(user{"ada"}, nil); return nil, nil })
		requireWaiting(t, first)
		s.Login(user{"bob"}, nil) // another is telling already: it does not wait
		assert.Equal(t, []string{"<ada"}, order)
		assert.Equal(t, "bob", s.State().User.Name)
		close(release)
		_, _ = outcome(t, first)
		assert.Equal(t, []string{"<ada", "ada>", "<bob", "bob>"}, order)
	})
}

func TestStore_ARefreshNeverWaitsForASlowSubscriber(t *testing.T) {
	for name, answer := range map[string]error{"succeeds": nil, "fails": errBoom} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told farewells
				s := loggedIn(always(tokenNamed("new"), answer), told.option())
				release := make(chan struct{})
				states := 0
				s.Subscribe(func(_, _ store.State[user]) { <-release; states++ })
				_, err := outcome(t, refreshing(t.Context(), s))
				require.ErrorIs(t, err, answer)
				assert.Equal(t, answer != nil, len(told.tokens) == 1)
				assert.Zero(t, states)
				close(release)
				synctest.Wait()
				assert.Equal(t, 2, states)
			})
		})
	}
}

func TestStore_ASubscriberThatDoesNotReturnKeepsNothingFromTheOthers(t *testing.T) {
	for name, end := range map[string]func(){"panics": func() { panic("spilled tea") }, "calls Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.New[user](always(tokenNamed("new"), nil))
				before, _ := record(s)
				unsubscribe := s.Subscribe(func(_, _ store.State[user]) { end() })
				after, _ := record(s)
				_, err := outcome(t, future.Go(func() (any, error) { s.Login(user{"ada"}, tokenNamed("old")); return nil, nil }))
				require.Error(t, err, "it ends who told it")
				unsubscribe()
				assert.Equal(t, adaWith("old", false), s.State())
				_, err = s.RefreshToken(t.Context())
				require.NoError(t, err)
				synctest.Wait()
				want := []transition{
					{adaWith("old", false), store.State[user]{}},
					{adaWith("old", true), adaWith("old", false)},
					{adaWith("new", false), adaWith("old", true)},
				}
				assert.Equal(t, want, *before)
				assert.Equal(t, want, *after)
			})
		})
	}
}

func TestStore_ASubscriberThatCallsGoexitDuringARefreshHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := loggedIn(always(tokenNamed("new"), nil))
		calls := 0
		s.Subscribe(func(_, _ store.State[user]) { calls++; runtime.Goexit() })
		seen, _ := record(s)
		for range 2 {
			_, err := outcome(t, refreshing(t.Context(), s))
			require.NoError(t, err)
		}
		assert.Equal(t, 4, calls)
		assert.Len(t, *seen, 4)
	})
}
