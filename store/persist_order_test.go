package store_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
)

// quiet is an option for tests whose storage fails.
func quiet() store.Option { return store.WithStorageFailure(func(error) {}) }

func TestPersist_ALoginThatHasEndedNeverComesBack(t *testing.T) {
	for name, end := range map[string]func(p *shelf, s *store.UserStore[user]){
		"its save worked and returned an error": func(p *shelf, s *store.UserStore[user]) {
			p.faulty(nil, failing(errBoom, "save"))
			s.Login(user{"ada"}, tokenNamed("ada"))
			p.faulty(nil, nil)
			_ = s.Logout(context.Background())
		},
		"it ended while its save ran": func(p *shelf, s *store.UserStore[user]) {
			p.faulty(nil, func(context.Context, string) error { time.Sleep(time.Second); return nil })
			go s.Login(user{"ada"}, tokenNamed("ada"))
			time.Sleep(1500 * time.Millisecond) // the save has been made, and has not returned
			_ = s.Logout(context.Background())
		},
		"its save came after the time limit": func(p *shelf, s *store.UserStore[user]) {
			p.faulty(func(_ context.Context, operation string) error {
				if operation == "save" {
					time.Sleep(2 * time.Minute)
				}
				return nil
			}, nil)
			go s.Login(user{"ada"}, tokenNamed("ada"))
			time.Sleep(time.Second)
			_ = s.Logout(context.Background())
			p.faulty(nil, nil)
			time.Sleep(3 * time.Minute)
		},
		"the next login has ended too": func(p *shelf, s *store.UserStore[user]) {
			s.Login(user{"bob"}, tokenNamed("bob"))
			p.faulty(failing(errBoom, "save", "delete"), nil)
			s.Login(user{"ada"}, tokenNamed("ada"))
			p.faulty(nil, nil)
			_ = s.Logout(context.Background())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newShelf()
				s, other := openShelf(t, p, nil, quiet()), openShelf(t, p, nil, quiet())
				end(p, s)
				time.Sleep(5 * time.Minute)
				synctest.Wait()

				saved, _ := p.saved(t)
				assert.Nil(t, saved)
				requireLoggedOut(t, s)
				assert.Nil(t, other.State().User)
			})
		})
	}
}

func TestPersist_TheNextLoginIsNeverReplacedByOneThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s, other := openShelf(t, p, nil), openShelf(t, p, nil)
		s.Login(user{"bob"}, tokenNamed("bob"))
		_, ended := p.saved(t)
		s.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()

		p.put(ended)
		time.Sleep(time.Minute)
		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Equal(t, "access-old", saved.Token.Access)
		requireStillIn(t, s, "old")
		requireStillIn(t, other, "old")
	})
}

func TestPersist_ANewTokenIsNeverReplacedByAnOlderOne(t *testing.T) {
	t.Run("a login whose save returned an error was adopted and refreshed elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newShelf()
			a := openShelf(t, p, nil, quiet())
			b := openShelf(t, p, always(tokenNamed("new"), nil), quiet())

			// The first save of the login works, and says that it did not.
			var failed atomic.Bool
			p.faulty(nil, func(_ context.Context, operation string) error {
				if operation == "save" && failed.CompareAndSwap(false, true) {
					return errBoom
				}
				return nil
			})
			go a.Login(user{"ada"}, tokenNamed("old"))
			time.Sleep(time.Millisecond)
			_, err := b.RefreshToken(t.Context())
			require.NoError(t, err)

			time.Sleep(time.Minute)
			saved, _ := p.saved(t)
			assert.Equal(t, "access-new", saved.Token.Access)
			requireStillIn(t, a, "new")
			requireStillIn(t, b, "new")
		})
	})

	t.Run("the storage went back to an older state", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, srv := newShelf(), &rotating{}
			s := openShelf(t, p, srv.refresh, quiet())
			s.Login(user{"ada"}, srv.token())
			_, older := p.saved(t)
			_, err := s.RefreshToken(t.Context())
			require.NoError(t, err)

			p.put(older)
			time.Sleep(time.Minute)
			saved, _ := p.saved(t)
			assert.Equal(t, "access-1", saved.Token.Access)
			_, err = s.RefreshToken(t.Context())
			require.NoError(t, err)
			assert.Zero(t, srv.reused)
		})
	})

	t.Run("the storage went back to an older state during a refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, srv := newShelf(), &rotating{}
			var s *store.UserStore[user]
			var older []byte
			s = openShelf(t, p, func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
				if srv.spent > 0 {
					p.put(older)
				}
				return srv.refresh(ctx, current)
			}, quiet())
			s.Login(user{"ada"}, srv.token())
			_, older = p.saved(t)
			_, err := s.RefreshToken(t.Context())
			require.NoError(t, err)

			_, err = s.RefreshToken(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Minute)
			saved, _ := p.saved(t)
			assert.Equal(t, "access-2", saved.Token.Access)
			assert.Equal(t, "access-2", s.Token().AccessToken)
		})
	})
}

func TestPersist_ALogoutIsToldTheNewestTokenAlsoIfItWasNotSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		var told *oauth2.Token
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			p.faulty(failing(errBoom, "save"), nil)
			return tokenNamed("new"), nil
		}, quiet(), store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
			told = last
			return nil
		}))
		s.Login(user{"ada"}, tokenNamed("old"))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)

		require.NoError(t, s.Logout(t.Context()))
		assert.Equal(t, tokenNamed("new"), told)
	})
}

func TestPersist_ANewTokenThatIsNotSavedIsAnErrorUntilItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		s := openShelf(t, p, srv.refresh, quiet())
		s.Login(user{"ada"}, tokenNamed("old"))

		// The goroutine that goes on with the saving is late.
		stop := s.Subscribe(func(state, previous store.State[user]) {
			if state.Token != previous.Token {
				time.Sleep(time.Second)
			}
		})
		refresh := refreshing(t.Context(), s)
		call := srv.asked(t, 1)
		p.faulty(failing(errBoom, "save"), nil)
		call.succeed(tokenNamed("1"))
		time.Sleep(500 * time.Millisecond)
		_, err := outcome(t, refresh)
		require.ErrorIs(t, err, store.ErrStorage)
		assert.Equal(t, tokenNamed("1"), s.Token())

		p.faulty(nil, nil)
		time.Sleep(time.Minute)
		stop()
		refresh = refreshing(t.Context(), s)
		srv.asked(t, 2).succeed(tokenNamed("2"))
		_, err = outcome(t, refresh)
		require.NoError(t, err)
	})
}

func TestPersist_AChangeOfCheckingAuthIsNothingToSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		stay := store.WithLogoutWhen(store.RejectedOnly)
		a, b := openShelf(t, p, srv.refresh, stay), openShelf(t, p, nil)

		// A refresh begins while the login is being saved.
		p.faulty(nil, func(_ context.Context, operation string) error {
			if operation == "save" {
				time.Sleep(time.Second)
			}
			return nil
		})
		go a.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()
		refresh := refreshing(t.Context(), a)
		time.Sleep(10 * time.Second)
		srv.asked(t, 1).fail(errBoom)
		_, err := refresh.Await(t.Context())
		require.ErrorIs(t, err, errBoom)

		b.SetState(func(next *store.State[user]) { next.User = &user{"ada lovelace"} })
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, b.State(), a.State())
	})
}

func TestPersist_AChangeElsewhereThatCouldNotBeReadIsReadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		a, b := openShelf(t, p, nil), openShelf(t, p, nil, quiet())
		a.Login(user{"bob"}, tokenNamed("old"))
		synctest.Wait()

		// The storage fails for the one who looks, after the login has been saved.
		p.faulty(nil, func(_ context.Context, operation string) error {
			if operation == "save" {
				p.faulty(failing(errBoom, "load"), nil)
			}
			return nil
		})
		a.Login(user{"ada"}, tokenNamed("new"))
		time.Sleep(time.Second)
		require.Equal(t, "bob", b.State().User.Name)

		p.faulty(nil, nil)
		time.Sleep(time.Minute)
		requireStillIn(t, b, "new")
	})
}
