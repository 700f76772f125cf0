package store_test

import (
	"context"
	"net"
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

// The tests of this file change the saved session without the lock, as another holder does whose
// lease has run out.

// requireEqualToSaved fails the test unless the store and the shelf have the token of that name.
func requireEqualToSaved(t *testing.T, p *shelf, s *store.UserStore[user], token string) {
	t.Helper()
	saved, _ := p.saved(t)
	require.NotNil(t, saved)
	assert.Equal(t, "access-"+token, saved.Token.Access)
	assert.Nil(t, saved.Spending)
	requireStillIn(t, s, token)
}

func TestPersist_WhatAnotherHolderHasSavedDuringTheRefreshStands(t *testing.T) {
	for name, x := range map[string]struct {
		during func(t *testing.T, p *shelf)
		answer string // the new token; empty: the server refuses
		want   string // the token in the end; empty: the session has ended
	}{
		"another token": {
			func(t *testing.T, p *shelf) { p.putQuietly(p.refreshed(t, tokenNamed("theirs"))) },
			"ours", "theirs",
		},
		"the same token, which a server with a grace window gives twice": {
			func(t *testing.T, p *shelf) { p.putQuietly(p.refreshed(t, tokenNamed("ours"))) },
			"ours", "ours",
		},
		"a logout":                        {func(_ *testing.T, p *shelf) { p.putQuietly(nil) }, "ours", ""},
		"a logout, and a refusal":         {func(_ *testing.T, p *shelf) { p.putQuietly(nil) }, "", ""},
		"nothing, and the record is lost": {func(_ *testing.T, p *shelf) { p.lose() }, "ours", "ours"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newShelf()
				s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					time.Sleep(time.Millisecond) // the watchers have read the intent
					x.during(t, p)
					if x.answer == "" {
						return nil, invalidGrant()
					}
					return tokenNamed(x.answer), nil
				})
				s.Login(user{"ada"}, tokenNamed("old"))

				_, err := s.RefreshToken(t.Context())
				time.Sleep(time.Minute)
				if x.want != "" {
					require.NoError(t, err)
					requireEqualToSaved(t, p, s, x.want)
					return
				}
				require.ErrorIs(t, err, auth.ErrSessionChanged)
				requireLoggedOut(t, s)
				saved, _ := p.saved(t)
				assert.Nil(t, saved)
			})
		})
	}
}

// The record is another login's for a moment, when the outcome of the refresh is noted.
func TestPersist_ARecordThatIsAnothersForAMomentChangesNoOutcome(t *testing.T) {
	flickering := func(t *testing.T, answer error) (*shelf, *store.UserStore[user], error) {
		p := newShelf()
		var own []byte
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(time.Millisecond) // the watchers have read the intent
			_, own = p.saved(t)
			p.putQuietly(p.edited(t, func(record map[string]any) { record["login"] = "another" }))
			p.faulty(nil, func(_ context.Context, operation string) error {
				if operation == "load" {
					p.putQuietly(own)
					p.faulty(nil, nil)
				}
				return nil
			})
			return tokenNamed("new"), answer
		}, quiet(), store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, tokenNamed("old"))
		_, err := s.RefreshToken(t.Context())
		return p, s, err
	}

	t.Run("a new token is used, told and saved later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, s, err := flickering(t, nil)
			require.ErrorIs(t, err, store.ErrStorage)
			requireStillIn(t, s, "new")
			time.Sleep(time.Minute)
			requireEqualToSaved(t, p, s, "new")
		})
	})

	t.Run("a refusal is a refusal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, s, err := flickering(t, invalidGrant())
			require.True(t, auth.Refused(err), "%v", err)
			requireLoggedOut(t, s)
		})
	})
}

func TestPersist_ALoginElsewhereIsNeverReplacedByTheFirstRefreshOfABlankSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elsewhere, p, srv := newShelf(), newShelf(), &rotating{}
		openShelf(t, elsewhere, nil).Login(user{"bob"}, tokenNamed("bob"))
		theirs, data := elsewhere.saved(t)

		// The other login comes after the refresh has found that nothing is saved.
		s := openShelf(t, p, srv.refresh, quiet())
		p.faulty(nil, func(_ context.Context, operation string) error {
			if operation == "load" {
				p.putQuietly(data)
				p.faulty(nil, nil)
			}
			return nil
		})
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)
		saved, _ := p.saved(t)
		assert.Equal(t, theirs, saved)
		srv.mu.Lock()
		assert.Zero(t, srv.spent+srv.reused)
		srv.mu.Unlock()
	})
}

func TestPersist_ABlankSessionIsSavedByItsFirstRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, always(tokenNamed("new"), nil))
		_, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Equal(t, "access-new", saved.Token.Access)
		assert.Nil(t, saved.Spending)
	})
}

func TestPersist_TheIntentIsInEachRecordThatIsWrittenDuringTheRefresh(t *testing.T) {
	lost := &net.OpError{Op: "read", Err: errBoom}
	for name, during := range map[string]func(p *shelf, s *store.UserStore[user], older []byte){
		"the user changed": func(_ *shelf, s *store.UserStore[user], _ []byte) {
			s.SetState(func(next *store.State[user]) { next.User = &user{"ada lovelace"} })
		},
		"the storage lost the record": func(p *shelf, _ *store.UserStore[user], _ []byte) { p.lose() },
		"the storage had an older one": func(p *shelf, _ *store.UserStore[user], older []byte) {
			p.putQuietly(older)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, srv := newShelf(), &server{}
				s := openShelf(t, p, srv.refresh, store.WithLogoutWhen(store.RejectedOnly))
				s.Login(user{"ada"}, tokenNamed("older"))
				_, older := p.saved(t)
				first := refreshing(t.Context(), s)
				srv.asked(t, 1).succeed(tokenNamed("old"))
				_, err := outcome(t, first)
				require.NoError(t, err)

				refresh := refreshing(t.Context(), s)
				call := srv.asked(t, 2)
				during(p, s, older)
				call.fail(lost)
				_, err = outcome(t, refresh)
				require.ErrorIs(t, err, lost)
				saved, _ := p.saved(t)
				require.NotNil(t, saved)
				assert.Equal(t, "access-old", saved.Token.Access)
				assert.NotNil(t, saved.Spending)
			})
		})
	}
}

// A refresh whose token is saved, and that has not settled, publishes the token itself.
func TestPersist_AnOwnRefreshIsOneNewGenerationAlsoIfItsRecordIsReadBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		a, b := openShelf(t, p, srv.refresh, quiet()), openShelf(t, p, nil)
		a.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()
		seen := a.Snapshot().Generation

		refresh := refreshing(t.Context(), a)
		call := srv.asked(t, 1)
		p.faulty(nil, onceFailing(errBoom, "save"))
		call.succeed(tokenNamed("new"))

		// In the pause before the second attempt to save, the watchers have read the record.
		saved, _ := p.saved(t)
		require.Equal(t, "access-new", saved.Token.Access)
		requireWaiting(t, refresh)
		require.Equal(t, "access-old", a.Token().AccessToken)

		// A change of the user at this moment reaches the other holders together with the token.
		a.SetState(func(next *store.State[user]) { next.User = &user{"ada lovelace"} })
		time.Sleep(time.Minute)
		_, err := outcome(t, refresh)
		require.NoError(t, err)
		p.change()
		time.Sleep(time.Minute)
		seen.Refresh++
		assert.Equal(t, seen, a.Snapshot().Generation)
		for _, s := range []*store.UserStore[user]{a, b} {
			assert.Equal(t, "access-new", s.Token().AccessToken)
			assert.Equal(t, "ada lovelace", s.State().User.Name)
		}
	})
}

func TestPersist_ATokenOfAnotherHolderIsAdoptedBesideARefreshThatNeedsItNoMore(t *testing.T) {
	t.Run("the refresh is of a login that has ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, srv := newShelf(), &server{}
			s := openShelf(t, p, srv.refresh)
			s.Login(user{"bob"}, tokenNamed("bob"))
			refresh := refreshing(t.Context(), s)
			call := srv.asked(t, 1)

			s.Login(user{"ada"}, tokenNamed("old"))
			_, err := outcome(t, refresh)
			require.ErrorIs(t, err, auth.ErrSessionChanged)
			p.put(p.refreshed(t, tokenNamed("new")))
			synctest.Wait()
			requireStillIn(t, s, "new")
			call.succeed(tokenNamed("late"))
			requireEqualToSaved(t, p, s, "new")
		})
	})

	t.Run("the refresh has failed while WithLogoutWhen's function is asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, srv := newShelf(), &server{}
			s := openShelf(t, p, srv.refresh, store.WithRefreshTimeout(time.Second),
				store.WithLogoutWhen(func(error) bool { time.Sleep(500 * time.Millisecond); return false }))
			s.Login(user{"ada"}, tokenNamed("old"))
			refresh := refreshing(t.Context(), s)
			call := srv.asked(t, 1)

			time.Sleep(1100 * time.Millisecond)
			call.fail(errBoom)
			p.put(p.refreshed(t, tokenNamed("new")))
			synctest.Wait()
			require.Equal(t, "access-new", s.Token().AccessToken)
			time.Sleep(time.Minute)
			_, err := outcome(t, refresh)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			requireStillIn(t, s, "new")
		})
	})

	t.Run("nobody waits for the refresh any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, srv := newShelf(), &server{}
			s := openShelf(t, p, srv.refresh,
				store.WithRefreshTimeout(time.Second), store.WithLogoutWhen(keepOnTimeout))
			s.Login(user{"ada"}, tokenNamed("old"))
			refresh := refreshing(t.Context(), s)
			call := srv.asked(t, 1)
			time.Sleep(2 * time.Second)
			_, err := outcome(t, refresh)
			require.ErrorIs(t, err, context.DeadlineExceeded)

			p.putQuietly(p.refreshed(t, tokenNamed("new")))
			call.fail(errBoom)
			time.Sleep(time.Minute)
			requireStillIn(t, s, "new")
		})
	})
}

// A restored backup and a refresh of it elsewhere: more refreshes, and a lower counter.
func TestPersist_ARefreshElsewhereIsAdoptedWhateverTheCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		s := openShelf(t, p, srv.refresh)
		s.Login(user{"ada"}, srv.token())
		_, backup := p.saved(t)
		for range 5 {
			s.SetState(func(next *store.State[user]) { next.User = &user{next.User.Name + "+"} })
		}
		synctest.Wait()

		restored := newShelf()
		restored.put(backup)
		_, err := openShelf(t, restored, srv.refresh).RefreshToken(t.Context())
		require.NoError(t, err)
		_, refreshed := restored.saved(t)
		p.put(refreshed)
		time.Sleep(time.Minute)
		requireStillIn(t, s, "1")

		_, err = s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Zero(t, srv.reused)
		requireEqualToSaved(t, p, s, "2")
	})
}

func TestPersist_TheCounterOfALoginGrowsAlsoOverAnOlderRecord(t *testing.T) {
	for name, older := range map[string]func(t *testing.T, p *shelf, backup []byte) []byte{
		"with as many refreshes": func(_ *testing.T, _ *shelf, backup []byte) []byte { return backup },
		"with a higher counter and fewer refreshes": func(t *testing.T, p *shelf, _ []byte) []byte {
			return p.edited(t, func(record map[string]any) {
				record["counter"], record["refreshes"], record["token"] = 50, 0, tokenNamed("older")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, srv := newShelf(), &rotating{}
				s := openShelf(t, p, srv.refresh)
				s.Login(user{"ada"}, srv.token())
				_, err := s.RefreshToken(t.Context())
				require.NoError(t, err)
				refreshed, backup := p.saved(t)
				require.EqualValues(t, 3, refreshed.Counter, "the login, the intent and the new token")
				for range 5 {
					s.SetState(func(next *store.State[user]) { next.User = &user{"ada"} })
				}
				newest, _ := p.saved(t)

				p.putQuietly(older(t, p, backup))
				before, _ := p.saved(t)
				p.change()
				time.Sleep(time.Minute)
				saved, _ := p.saved(t)
				assert.Greater(t, saved.Counter, max(newest.Counter, before.Counter))
				requireEqualToSaved(t, p, s, "1")
			})
		})
	}
}

func TestPersist_ALogoutIsToldTheTokenOfAnotherHolderThatItHadNotHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		var told *oauth2.Token
		s := openShelf(t, p, nil, store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
			told = last
			return nil
		}))
		s.Login(user{"ada"}, tokenNamed("old"))
		p.putQuietly(p.refreshed(t, tokenNamed("new")))
		require.NoError(t, s.Logout(t.Context()))
		assert.Equal(t, tokenNamed("new"), told)
		saved, _ := p.saved(t)
		assert.Nil(t, saved)
	})
}

func TestPersist_SubscribersHearOfWhatAnotherHolderDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		a, b := openShelf(t, p, srv.refresh), openShelf(t, p, nil)
		var heard []store.State[user]
		defer b.Subscribe(func(state, _ store.State[user]) { heard = append(heard, state) })()

		a.Login(user{"ada"}, srv.token())
		synctest.Wait()
		_, err := a.RefreshToken(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, a.Logout(t.Context()))
		synctest.Wait()

		ada := &user{"ada"}
		tokens := map[string]bool{}
		for _, state := range heard[:len(heard)-1] {
			require.Equal(t, ada, state.User)
			tokens[state.Token.AccessToken] = true
		}
		assert.Equal(t, map[string]bool{"access-0": true, "access-1": true}, tokens)
		assert.Equal(t, store.State[user]{}, heard[len(heard)-1])
	})
}

func TestPersist_WhatIsKnownOfAnAdoptedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		stay := store.WithLogoutWhen(store.RejectedOnly)
		a := openShelf(t, p, srv.refresh, stay)
		b := openShelf(t, p, always(nil, &net.OpError{Op: "dial", Err: errBoom}), stay)
		a.Login(user{"ada"}, srv.token())
		obtained := time.Now()
		time.Sleep(time.Minute)
		now := b.Snapshot()
		assert.True(t, obtained.Equal(now.Obtained))
		assert.False(t, now.Refreshed)

		// The failure of an own refresh is over when another holder has refreshed.
		_, err := b.RefreshToken(t.Context())
		require.Error(t, err)
		require.Error(t, b.Snapshot().Failure)
		_, err = a.RefreshToken(t.Context())
		require.NoError(t, err)
		obtained = time.Now()
		time.Sleep(time.Minute)
		now = b.Snapshot()
		assert.True(t, obtained.Equal(now.Obtained))
		assert.True(t, now.Refreshed)
		assert.NoError(t, now.Failure)
	})
}

func TestPersist_WhatThisStoreHasWrittenIsNoChangeOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		failing := always(nil, &net.OpError{Op: "read", Err: errBoom})
		s := openShelf(t, p, failing, store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, tokenNamed("old"))
		published := s.State().User
		time.Sleep(time.Second)
		require.Same(t, published, s.State().User, "after the login")

		_, err := s.RefreshToken(t.Context())
		require.Error(t, err)
		time.Sleep(time.Second)
		require.Same(t, published, s.State().User, "after the intent")
		p.change()
		time.Sleep(time.Second)
		require.Same(t, published, s.State().User, "after a change that is none")
	})
}

// count counts the operations of that name, by all stores.
func (s *shelf) count(name string) *atomic.Int32 {
	var count atomic.Int32
	s.faulty(func(_ context.Context, operation string) error {
		if operation == name {
			count.Add(1)
		}
		return nil
	}, nil)
	return &count
}

func TestPersist_ALookThatFindsEverythingSavedTakesNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, nil)
		s.Login(user{"bob"}, tokenNamed("bob"))
		s.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()

		locks := p.count("lock")
		p.change()
		time.Sleep(time.Minute)
		assert.Zero(t, locks.Load())
		require.NoError(t, s.Close())
		assert.Zero(t, locks.Load())
	})
}

func TestPersist_ALookNeverWritesWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, nil)
		lock, err := p.Lock(t.Context())
		require.NoError(t, err)

		go s.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()
		p.change()
		time.Sleep(time.Second)
		saved, _ := p.saved(t)
		require.Nil(t, saved)

		require.NoError(t, lock.Unlock())
		synctest.Wait()
		requireEqualToSaved(t, p, s, "old")
	})
}

func TestPersist_AChangeThatIsMadeDuringASaveIsSavedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, nil)
		p.faulty(func(_ context.Context, operation string) error {
			if operation == "save" {
				time.Sleep(time.Second)
			}
			return nil
		}, nil)
		go s.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()
		s.SetState(func(next *store.State[user]) { next.User = &user{"ada lovelace"} })
		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Equal(t, &user{"ada lovelace"}, saved.User)
	})
}

func TestPersist_AnEndElsewhereEndsWhatWasNotSavedYet(t *testing.T) {
	for name, x := range map[string]struct {
		end  func(other *store.UserStore[user])
		want string // who is logged in then
	}{
		"a logout": {func(other *store.UserStore[user]) { _ = other.Logout(context.Background()) }, ""},
		"another login": {func(other *store.UserStore[user]) {
			other.Login(user{"bob"}, tokenNamed("bob"))
		}, "bob"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newShelf()
				s, other := openShelf(t, p, nil, quiet()), openShelf(t, p, nil)
				s.Login(user{"ada"}, tokenNamed("old"))
				synctest.Wait()

				p.faulty(failing(errBoom, "save"), nil)
				s.SetState(func(next *store.State[user]) { next.User = &user{"ada lovelace"} })
				p.faulty(nil, nil)
				x.end(other)
				synctest.Wait()
				ended := s.Snapshot().Generation
				_, before := p.saved(t)

				p.change()
				time.Sleep(time.Minute)
				assert.Equal(t, ended, s.Snapshot().Generation)
				_, after := p.saved(t)
				assert.Equal(t, before, after)
				if x.want == "" {
					requireLoggedOut(t, s)
					assert.Nil(t, after)
				} else {
					assert.Equal(t, x.want, s.State().User.Name)
				}
			})
		})
	}
}

func TestPersist_ARefreshOfALoginThatHasEndedWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		s := openShelf(t, p, srv.refresh, quiet())
		s.Login(user{"ada"}, tokenNamed("old"))
		refresh := refreshing(t.Context(), s)
		call := srv.asked(t, 1)

		p.lose()
		require.NoError(t, s.Logout(t.Context()))
		_, err := outcome(t, refresh)
		require.ErrorIs(t, err, auth.ErrSessionChanged)
		call.succeed(tokenNamed("new"))
		time.Sleep(time.Minute)
		_, data := p.saved(t)
		assert.Nil(t, data)
		requireLoggedOut(t, s)
	})
}
