package store_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
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
	for name, c := range map[string]struct {
		end  func()
		ends bool // the goroutine that tells
	}{
		"panics":       {func() { panic("spilled tea") }, false},
		"calls Goexit": {runtime.Goexit, true},
	} {
		t.Run(name, func(t *testing.T) {
			reports(t)
			synctest.Test(t, func(t *testing.T) {
				s := store.New[user](always(tokenNamed("new"), nil))
				before, _ := record(s)
				unsubscribe := s.Subscribe(func(_, _ store.State[user]) { c.end() })
				after, _ := record(s)

				_, err := outcome(t, future.Go(func() (any, error) { s.Login(user{"ada"}, tokenNamed("old")); return nil, nil }))
				assert.Equal(t, c.ends, err != nil)

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

// reports returns what slog.Default is told from now on.
func reports(t *testing.T) *bytes.Buffer {
	t.Helper()
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var told bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&told, nil)))
	return &told
}

func TestSubscribe_APanicIsRecoveredAndReportedWithItsStackAndWithoutTokens(t *testing.T) {
	changes := map[string]func(s *store.UserStore[user]){
		"on the goroutine of who logs in":  func(s *store.UserStore[user]) { s.Login(user{"ada"}, tokenNamed("ada")) },
		"on the goroutine of who logs out": func(s *store.UserStore[user]) { _ = s.Logout(context.Background()) },
		"on the goroutine of who sets the state": func(s *store.UserStore[user]) {
			s.SetState(func(state *store.State[user]) { state.User.Name = "bob" })
		},
		"on the store's own": func(s *store.UserStore[user]) { _, _ = s.RefreshToken(context.Background()) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			told := reports(t)
			synctest.Test(t, func(t *testing.T) {
				s := loggedIn(always(tokenNamed("new"), nil))
				s.Subscribe(spillTea)
				change(s)
				synctest.Wait()

				report := told.String()
				assert.Contains(t, report, "a subscriber panicked")
				assert.Contains(t, report, "spilled tea over")
				assert.Contains(t, report, "spillTea", "the stack")
				for _, name := range []string{"old", "new", "ada"} {
					assert.NotContains(t, report, tokenNamed(name).AccessToken)
					assert.NotContains(t, report, tokenNamed(name).RefreshToken)
				}
			})
		})
	}
}

// spillTea is a subscriber that panics with the tokens.
func spillTea(state, previous store.State[user]) {
	panic(fmt.Sprintf("spilled tea over %+v and %+v", state.Token, previous.Token))
}

func TestSubscribe_BeyondALimitTransitionsAreCoalescedAndThePreviousIsTheOneToldLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const changes = 10_000
		s := loggedIn(nil)
		release := make(chan struct{})
		var seen []transition
		s.Subscribe(func(state, previous store.State[user]) {
			<-release
			seen = append(seen, transition{state, previous})
		})
		var others int
		s.Subscribe(func(_, _ store.State[user]) { others++ })

		blocked := future.Go(func() (any, error) { s.Login(user{"0"}, nil); return nil, nil })
		requireWaiting(t, blocked)
		for i := range changes {
			s.Login(user{fmt.Sprint(i + 1)}, nil)
		}
		close(release)
		_, err := outcome(t, blocked)
		require.NoError(t, err)

		assert.Len(t, seen, 1024)
		assert.Equal(t, len(seen), others)
		for i := 1; i < len(seen); i++ {
			require.Equal(t, seen[i-1].state, seen[i].previous)
		}
		assert.Equal(t, s.State(), seen[len(seen)-1].state, "the last state is told")

		// It tells each transition again when it is not behind any more.
		s.Login(user{"ada"}, nil)
		s.Login(user{"bob"}, nil)
		assert.Len(t, seen, 1026)
	})
}

func TestSubscribe_OneWhoComesWhileTransitionsWaitIsToldOfNoneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := loggedIn(nil)
		release := make(chan struct{})
		s.Subscribe(func(_, _ store.State[user]) { <-release })
		blocked := future.Go(func() (any, error) { s.Login(user{"0"}, nil); return nil, nil })
		requireWaiting(t, blocked)
		for range 2000 {
			s.Login(user{"x"}, nil)
		}
		before := s.State()
		late, _ := record(s)
		for range 2000 {
			s.Login(user{"y"}, nil)
		}
		close(release)
		_, err := outcome(t, blocked)
		require.NoError(t, err)
		require.NotEmpty(t, *late)
		assert.Equal(t, before, (*late)[0].previous)
	})
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
