package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// stress is a store that many change at random, and what must hold of it all the while. A token's
// name is "login.serial": the login that it belongs to, which is its user's name too.
type stress struct {
	t       *testing.T
	store   *store.UserStore[user]
	logins  atomic.Int64
	serial  atomic.Int64
	running sync.Map // login -> *atomic.Int64: its refreshes
	slow    bool     // refreshes may overrun their time limit
}

func (x *stress) runningOf(login string) *atomic.Int64 {
	counter, _ := x.running.LoadOrStore(login, &atomic.Int64{})
	return counter.(*atomic.Int64)
}

func loginOf(token *oauth2.Token) string {
	login, _, _ := strings.Cut(strings.TrimPrefix(token.AccessToken, "access-"), ".")
	return login
}

func (x *stress) tokenFor(login string) *oauth2.Token {
	return tokenNamed(fmt.Sprintf("%s.%d", login, x.serial.Add(1)))
}

func (x *stress) refresh(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	if current == nil {
		assert.Fail(x.t, "a session without a token was refreshed")
		return nil, errBoom
	}
	login := loginOf(current)
	running := x.runningOf(login)
	assert.Equal(x.t, int64(1), running.Add(1), "refreshes of one login at a time")
	defer running.Add(-1)
	_, err := x.store.RefreshToken(ctx)
	assert.Error(x.t, err, "nested")
	for range rand.IntN(4) {
		runtime.Gosched()
	}
	if x.slow {
		time.Sleep(time.Duration(rand.IntN(4)) * refreshTimeout / 2)
	}
	switch rand.IntN(8) {
	case 0:
		return nil, errBoom
	case 1:
		return nil, refusal(401)
	case 2:
		panic("spilled tea")
	case 3:
		runtime.Goexit()
	case 4:
		return nil, nil
	}
	return x.tokenFor(login), nil
}

// check wants a state of one login: its user and its token, or neither.
func (x *stress) check(state store.State[user]) {
	if state.User == nil || state.Token == nil {
		assert.True(x.t, state.User == nil && state.Token == nil && !state.CheckingAuth, "half a state: %+v", state)
		return
	}
	assert.Equal(x.t, state.User.Name, loginOf(state.Token), "one's user with another's token")
	assert.Equal(x.t, state.Token.AccessToken[len("access-"):], state.Token.RefreshToken[len("refresh-"):])
}

func (x *stress) login() {
	name := fmt.Sprint(x.logins.Add(1))
	x.store.Login(user{name}, x.tokenFor(name))
}

func (x *stress) logout() {
	if err := x.store.Logout(context.Background()); err != nil {
		assert.ErrorIs(x.t, err, errTold)
	}
}

func (x *stress) setState() {
	switch rand.IntN(4) {
	case 0: // another login
		name := fmt.Sprint(x.logins.Add(1))
		x.store.SetState(func(state *store.State[user]) { state.User, state.Token = &user{name}, x.tokenFor(name) })
	case 1: // none
		x.store.SetState(func(state *store.State[user]) { *state = store.State[user]{} })
	default: // nothing new, but the writing of it
		x.store.SetState(func(state *store.State[user]) {
			if state.User != nil {
				state.User.Name += ""
				state.Token.TokenType += ""
			}
			state.CheckingAuth = !state.CheckingAuth
		})
	}
}

func (x *stress) refreshToken() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rand.IntN(3) == 0 {
		go cancel()
	}
	seen := x.store.Snapshot()
	var err error
	switch rand.IntN(3) {
	case 0:
		_, err = x.store.RefreshToken(ctx)
	case 1:
		var after auth.Snapshot
		if after, err = x.store.RefreshSince(ctx, seen.Generation); err == nil {
			assert.Equal(x.t, seen.Generation.Login, after.Generation.Login)
			assert.Greater(x.t, after.Generation.Refresh, seen.Generation.Refresh)
			assert.Equal(x.t, loginOf(seen.Token), loginOf(after.Token))
		}
	default:
		_, err = x.store.TokenSource(ctx).Token()
	}
	if err != nil && !errors.Is(err, auth.ErrSessionChanged) && !errors.Is(err, context.Canceled) && !errors.Is(err, errBoom) &&
		!store.RejectedOnly(err) && (!x.slow || !errors.Is(err, context.DeadlineExceeded)) {
		assert.ErrorContains(x.t, err, "future: ") // a panic
	}
}

// subscribe listens for a while: each transition starts where the one before ended.
func (x *stress) subscribe() {
	var previous *store.State[user]
	unsubscribe := x.store.Subscribe(func(state, before store.State[user]) {
		x.check(state)
		if previous != nil {
			assert.Equal(x.t, *previous, before)
		}
		previous = &state
		_ = x.store.Snapshot()
	})
	defer unsubscribe()
	for range 5 {
		x.check(x.store.State())
		runtime.Gosched()
	}
}

const refreshTimeout = 30 * time.Second

// told is WithLogout's function.
func (x *stress) told(ctx context.Context, last *oauth2.Token) error {
	_, err := x.store.RefreshToken(ctx)
	assert.Error(x.t, err, "nobody refreshes from within a logout")
	if last == nil {
		return nil
	}
	if !x.slow {
		assert.Zero(x.t, x.runningOf(loginOf(last)).Load(), "no refresh is spending the token any more")
	}
	if rand.IntN(4) == 0 {
		return errTold
	}
	return nil
}

func TestStore_HoldsUnderRandomConcurrentUse(t *testing.T) {
	for name, c := range map[string]struct {
		slow  bool
		turns int
	}{
		"refreshes in time":      {false, 400},
		"refreshes that overrun": {true, 150},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { holdsUnderRandomConcurrentUse(t, c.slow, c.turns) })
		})
	}
}

func holdsUnderRandomConcurrentUse(t *testing.T, slow bool, turns int) {
	x := &stress{t: t, slow: slow}
	x.store = store.New[user](x.refresh, store.WithLogoutWhen(store.RejectedOnly), store.WithLogout(x.told),
		store.WithRefreshTimeout(refreshTimeout))
	x.login()
	var last store.State[user]
	transitions := 0
	x.store.Subscribe(func(state, _ store.State[user]) { last, transitions = state, transitions+1 })

	acts := []func(){x.login, x.logout, x.setState, x.refreshToken, x.refreshToken, x.refreshToken, x.subscribe}
	start := time.Now()
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range turns {
				acts[rand.IntN(len(acts))]()
			}
		})
	}
	workers.Wait()
	synctest.Wait()

	if slow {
		time.Sleep(10 * refreshTimeout)
	} else {
		assert.Zero(t, time.Since(start), "nothing had to wait for a timeout")
	}
	assert.False(t, x.store.Snapshot().Refreshing)
	assert.False(t, x.store.State().CheckingAuth)
	assert.Equal(t, x.store.State(), last, "the last transition is the state")
	assert.Positive(t, transitions)
	x.check(x.store.State())

	// It works as on its first day.
	x.store.Login(user{"0"}, tokenNamed("0.0"))
	require.Eventually(t, func() bool {
		_, err := x.store.RefreshToken(t.Context())
		if errors.Is(err, auth.ErrSessionChanged) {
			x.store.Login(user{"0"}, tokenNamed("0.0"))
		}
		return err == nil
	}, time.Hour, time.Second)
}
