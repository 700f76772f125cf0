package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"pgregory.net/rapid"

	"github.com/axlehttp/axle/store"
)

// modelServer rotates refresh tokens strictly. It fails in ways that a random source chooses.
type modelServer struct {
	mu      sync.Mutex
	random  *rand.Rand
	calm    bool
	count   int
	current string          // the refresh token that is valid
	spent   map[string]bool // the tokens whose response has arrived
	wrong   string          // one of them that was spent again
}

// login issues the first token of a login.
func (m *modelServer) login() *oauth2.Token {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next()
}

// next issues a token. The lock is held.
func (m *modelServer) next() *oauth2.Token {
	m.count++
	token := tokenNamed(fmt.Sprint(m.count))
	m.current = token.RefreshToken
	return token
}

func (m *modelServer) refresh(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	m.mu.Lock()
	how, pause := m.random.IntN(12), time.Duration(m.random.IntN(2000))*time.Millisecond
	if m.calm {
		how = 11
	}
	m.mu.Unlock()
	time.Sleep(pause)

	switch how {
	case 0:
		return nil, &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusServiceUnavailable}}
	case 1:
		time.Sleep(40 * time.Second)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if current == nil || current.RefreshToken != m.current {
		if current != nil && m.spent[current.RefreshToken] {
			m.wrong = current.RefreshToken
		}
		return nil, &oauth2.RetrieveError{
			Response:  &http.Response{StatusCode: http.StatusBadRequest},
			ErrorCode: "invalid_grant",
		}
	}
	m.spent[m.current] = how < 2 || how > 4
	token := m.next()
	switch how {
	case 2:
		return nil, errors.New("connection reset")
	case 3:
		panic("boom")
	case 4:
		runtime.Goexit()
	}
	return token, nil
}

// modelStep is one step of a model run.
type modelStep struct {
	what, who int
	pause     time.Duration
}

// runModel runs the steps over one storage with random faults, and returns what went wrong.
func runModel(t *testing.T, steps []modelStep, seed uint64) (wrong error) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := newShelf()
		srv := &modelServer{random: rand.New(rand.NewPCG(seed, 2)), spent: map[string]bool{}}

		var mu sync.Mutex
		fault := func(_ context.Context, operation string) error {
			mu.Lock()
			how := random.IntN(20)
			pause := time.Duration(random.IntN(300)) * time.Millisecond
			mu.Unlock()
			time.Sleep(pause)
			switch {
			case how == 0 && operation == "lock":
				return store.ErrBusy
			case how == 1:
				return errBoom
			case how == 2:
				time.Sleep(5 * time.Second)
			}
			return nil
		}
		p.faulty(fault, func(ctx context.Context, operation string) error {
			if operation == "lock" || operation == "held" {
				return nil // a lock that was taken is given
			}
			return fault(ctx, operation)
		})

		var stores []*store.UserStore[user]
		for range 3 {
			stores = append(stores, store.New[user](srv.refresh, store.WithPersister(p),
				store.WithLogoutWhen(store.RejectedOnly), quiet()))
		}

		var running sync.WaitGroup
		for i, step := range steps {
			s := stores[step.who]
			running.Go(func() {
				begin := time.Now()
				switch step.what {
				case 0:
					s.Login(user{fmt.Sprint("user-", i)}, srv.login())
				case 1:
					_ = s.Logout(context.Background())
				case 2:
					s.SetState(func(next *store.State[user]) {
						if next.User != nil {
							next.User.Name += "+"
						}
					})
				default:
					_, _ = s.RefreshToken(context.Background())
				}
				if took := time.Since(begin); took > 3*time.Minute {
					mu.Lock()
					wrong = errors.Join(wrong, fmt.Errorf("step %d, %d, took %v", i, step.what, took))
					mu.Unlock()
				}
			})
			time.Sleep(step.pause)
		}
		running.Wait()
		p.faulty(nil, nil)
		srv.mu.Lock()
		srv.calm = true
		srv.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()

		if srv.wrong != "" {
			wrong = errors.Join(wrong, fmt.Errorf("%s was spent again", srv.wrong))
		}
		saved, _ := p.saved(t)
		for i, s := range stores {
			state := s.State()
			switch {
			case saved == nil && state.User == nil, saved != nil && saved.User == nil && state.User == nil:
				// Nobody is logged in. The session of a new store has a record without a user.
			case saved == nil || saved.User == nil || state.User == nil:
				wrong = errors.Join(wrong, fmt.Errorf("store %d has %v, and saved is %v", i, state.User, saved))
			case state.Token.AccessToken != saved.Token.Access || state.User.Name != saved.User.Name:
				wrong = errors.Join(wrong, fmt.Errorf("store %d has %v %v, and saved is %v %v",
					i, *state.User, state.Token.AccessToken, *saved.User, saved.Token.Access))
			case state.CheckingAuth:
				wrong = errors.Join(wrong, fmt.Errorf("store %d is checking for ever", i))
			}
			if err := s.Close(); err != nil {
				wrong = errors.Join(wrong, err)
			}
		}
	})
	return wrong
}

func TestPersist_MemoryAndRecordBecomeEqualWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		step := rapid.Custom(func(rt *rapid.T) modelStep {
			return modelStep{
				what:  rapid.IntRange(0, 7).Draw(rt, "what"),
				who:   rapid.IntRange(0, 2).Draw(rt, "who"),
				pause: time.Duration(rapid.IntRange(0, 4000).Draw(rt, "pause")) * time.Millisecond,
			}
		})
		steps := rapid.SliceOfN(step, 1, 25).Draw(rt, "steps")
		if err := runModel(t, steps, rapid.Uint64().Draw(rt, "seed")); err != nil {
			rt.Fatal(err)
		}
	})
}
