package store_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// invalidGrant is a clear refusal of a token endpoint.
func invalidGrant() error {
	return &oauth2.RetrieveError{
		Response:  &http.Response{StatusCode: http.StatusBadRequest},
		ErrorCode: "invalid_grant",
	}
}

func TestPersist_OpenDoesNotWaitForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		openShelf(t, p, nil).Login(user{"ada"}, tokenNamed("old"))
		lock, err := p.Lock(t.Context())
		require.NoError(t, err)

		begin := time.Now()
		s := openShelf(t, p, nil)
		assert.Zero(t, time.Since(begin))
		requireStillIn(t, s, "old")
		require.NoError(t, lock.Unlock())
	})
}

func TestPersist_ALoginAndALogoutAreSavedWhenTheyReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		p.faulty(func(_ context.Context, operation string) error {
			if operation == "save" || operation == "delete" {
				time.Sleep(time.Second)
			}
			return nil
		}, nil)

		s := openShelf(t, p, nil)
		s.Login(user{"ada"}, tokenNamed("old"))
		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Equal(t, "access-old", saved.Token.Access)

		require.NoError(t, s.Logout(t.Context()))
		saved, _ = p.saved(t)
		assert.Nil(t, saved)
	})
}

func TestPersist_ALoginThatCannotBeSavedCountsAndIsToldAndSavedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		var told atomic.Value
		s := openShelf(t, p, srv.refresh, store.WithStorageFailure(func(err error) { told.Store(err) }))

		p.faulty(failing(errBoom, "save"), nil)
		s.Login(user{"ada"}, srv.token())
		requireStillIn(t, s, "0")
		require.ErrorIs(t, told.Load().(error), errBoom)

		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)
		requireStillIn(t, s, "0")
		assert.Zero(t, srv.spent)

		p.faulty(nil, nil)
		time.Sleep(time.Minute)
		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Equal(t, "access-0", saved.Token.Access)
	})
}

func TestPersist_ALogoutThatCannotBeSavedCountsAndIsToldAndSavedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		var told atomic.Value
		s := openShelf(t, p, srv.refresh, store.WithStorageFailure(func(err error) { told.Store(err) }))
		other := openShelf(t, p, srv.refresh)
		s.Login(user{"ada"}, srv.token())
		synctest.Wait()

		p.faulty(failing(errBoom, "delete"), nil)
		require.ErrorIs(t, s.Logout(t.Context()), store.ErrStorage)
		requireLoggedOut(t, s)
		require.ErrorIs(t, told.Load().(error), errBoom)
		requireStillIn(t, other, "0")

		p.faulty(nil, nil)
		time.Sleep(time.Minute)
		saved, _ := p.saved(t)
		assert.Nil(t, saved)
		requireLoggedOut(t, other)
	})
}

func TestPersist_TheNewTokenIsSavedBeforeAnyWaiterWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		s := openShelf(t, p, srv.refresh)
		s.Login(user{"ada"}, srv.token())
		p.faulty(func(_ context.Context, operation string) error {
			if operation == "save" && srv.spent > 0 {
				time.Sleep(time.Second)
			}
			return nil
		}, nil)

		refresh := refreshing(t.Context(), s)
		waiter := refreshing(t.Context(), s)
		time.Sleep(999 * time.Millisecond)
		requireWaiting(t, refresh)
		requireWaiting(t, waiter)
		assert.Equal(t, 1, srv.spent)
		assert.Equal(t, "access-0", s.Token().AccessToken)

		_, err := waiter.Await(t.Context())
		require.NoError(t, err)
		saved, _ := p.saved(t)
		assert.Equal(t, "access-1", saved.Token.Access)
		assert.Nil(t, saved.Spending)
	})
}

func TestPersist_ANewTokenWhoseSaveFailsOnceIsSavedAgainBeforeAnyWaiterWakes(t *testing.T) {
	for name, hasDoneItsWork := range map[string]bool{"it did nothing": false, "it did its work": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, srv := newShelf(), &rotating{}
				s := openShelf(t, p, srv.refresh, quiet())
				s.Login(user{"ada"}, srv.token())

				once := onceFailing(errBoom, "save")
				fault := func(ctx context.Context, operation string) error {
					srv.mu.Lock()
					spent := srv.spent
					srv.mu.Unlock()
					if spent == 0 {
						return nil
					}
					return once(ctx, operation)
				}
				if hasDoneItsWork {
					p.faulty(nil, fault)
				} else {
					p.faulty(fault, nil)
				}

				begin := time.Now()
				_, err := s.RefreshToken(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 10*time.Millisecond, time.Since(begin), "after a pause")
				requireStillIn(t, s, "1")
				saved, _ := p.saved(t)
				assert.Equal(t, "access-1", saved.Token.Access)
				assert.EqualValues(t, 1, saved.Refreshes)
				assert.Nil(t, saved.Spending)
			})
		})
	}
}

// requireNothingIsSpentDuring fails the test if a refresh during a fault of the storage spends the
// refresh token or ends the session, if the next refresh after the fault does not work, or if the
// error does not say what the store was doing.
func requireNothingIsSpentDuring(t *testing.T, doing string, fault func(context.Context, string) error) {
	t.Helper()
	p, srv := newShelf(), &rotating{}
	s := openShelf(t, p, srv.refresh, quiet())
	s.Login(user{"ada"}, srv.token())

	p.faulty(fault, nil)
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, store.ErrStorage)
	require.ErrorContains(t, err, doing)
	require.NotErrorIs(t, err, store.ErrBusy)
	requireStillIn(t, s, "0")
	assert.Zero(t, srv.spent)

	p.faulty(nil, nil)
	_, err = s.RefreshToken(t.Context())
	require.NoError(t, err)
	requireStillIn(t, s, "1")
}

// doings are the words of the errors, by the operation of the Persister.
var doings = map[string]string{
	"lock": "locking the saved session",
	"load": "reading the saved session",
	"save": "writing the saved session",
	"held": "holding the lock of the saved session",
}

func TestPersist_AStorageThatFailsBeforeTheRefreshNeverEndsTheSession(t *testing.T) {
	for operation, doing := range doings {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requireNothingIsSpentDuring(t, doing, failing(errBoom, operation))
			})
		})
	}
}

func TestPersist_ARefusalOfATokenThatAnotherHolderHasReplacedIsNoLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		first := openShelf(t, p, srv.refresh)
		first.Login(user{"ada"}, srv.token())
		_, before := p.saved(t)
		_, err := first.RefreshToken(t.Context())
		require.NoError(t, err)
		_, after := p.saved(t)
		require.NoError(t, first.Close())

		// The other holder, whose lease had run out, saves its token during the refresh of this one.
		p.put(before)
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			p.put(after)
			return nil, invalidGrant()
		})
		token, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "access-1", token.AccessToken)
		requireStillIn(t, s, "1")
	})
}

func TestPersist_ARefusalEndsTheLoginForEveryHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, always(nil, invalidGrant()), store.WithLogoutWhen(store.RejectedOnly))
		other := openShelf(t, p, nil)
		s.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()
		requireStillIn(t, other, "old")

		_, err := s.RefreshToken(t.Context())
		require.NotErrorIs(t, err, store.ErrOutcomeUnknown)
		require.True(t, auth.Refused(err))
		synctest.Wait()
		requireLoggedOut(t, s)
		requireLoggedOut(t, other)
	})
}

func TestPersist_ALostResponseThatWasSettledLeavesALaterRefusalARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		outcomes := []error{errors.New("connection reset"), nil, invalidGrant()}
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			err := outcomes[0]
			outcomes = outcomes[1:]
			return tokenNamed("new"), err
		}, store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, tokenNamed("old"))

		_, err := s.RefreshToken(t.Context())
		require.Error(t, err)
		saved, _ := p.saved(t)
		require.NotNil(t, saved.Spending)

		// A server with a grace window answers the same token once more.
		_, err = s.RefreshToken(t.Context())
		require.NoError(t, err)
		saved, _ = p.saved(t)
		require.Nil(t, saved.Spending)

		_, err = s.RefreshToken(t.Context())
		require.True(t, auth.Refused(err))
		require.NotErrorIs(t, err, store.ErrOutcomeUnknown)
		requireLoggedOut(t, s)
	})
}

// An intent may be in the record although its save returned an error. The store that wrote it knows
// that it did not send the token.
func TestPersist_ARefusalStaysARefusalAfterAnIntentWhoseTokenWasNotSent(t *testing.T) {
	for name, x := range map[string]struct {
		before, after func(context.Context, string) error
		lost          bool // an earlier response
		unsent        bool // by the attempt with the faults
	}{
		"the save returned an error":               {nil, failing(errBoom, "save"), false, true},
		"the save returned an error for all that":  {nil, failing(errBoom, "save"), true, true},
		"the lock went, and the storage after it":  {afterOne(errBoom, "save", "held"), nil, false, true},
		"the save called its own change another's": {nil, onceFailing(store.ErrConflict, "save"), false, false},
		"the same, after a response that was lost": {nil, onceFailing(store.ErrConflict, "save"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, sent := newShelf(), 0
				outcome := invalidGrant()
				s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					sent++
					time.Sleep(time.Millisecond)
					return nil, outcome
				}, store.WithLogoutWhen(store.RejectedOnly), store.WithStorageFailure(func(error) {}))
				s.Login(user{"ada"}, tokenNamed("old"))
				if x.lost {
					outcome = errors.New("connection reset")
					_, err := s.RefreshToken(t.Context())
					require.ErrorIs(t, err, outcome)
					outcome, sent = invalidGrant(), 0
				}

				p.faulty(x.before, x.after)
				_, err := s.RefreshToken(t.Context())
				if x.unsent {
					require.ErrorIs(t, err, store.ErrStorage)
					require.Zero(t, sent)
					saved, _ := p.saved(t)
					require.NotNil(t, saved.Spending, "the intent stands")
					p.faulty(nil, nil)
					_, err = s.RefreshToken(t.Context())
				}

				require.True(t, auth.Refused(err), "%v", err)
				assert.Equal(t, 1, sent)
				assert.Equal(t, x.lost, errors.Is(err, store.ErrOutcomeUnknown), "%v", err)
				requireLoggedOut(t, s)
			})
		})
	}
}

// A coarse clock shows two attempts the same time.
func TestPersist_AnAttemptAtTheTimeOfAnUnsentOneHasAnIntentOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, outcome := newShelf(), errors.New("connection reset")
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return nil, outcome
		}, store.WithLogoutWhen(store.RejectedOnly), store.WithStorageFailure(func(error) {}))
		s.Login(user{"ada"}, tokenNamed("old"))

		p.faulty(nil, failing(errBoom, "save"))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, store.ErrStorage)
		unsent, _ := p.saved(t)

		p.faulty(nil, nil)
		_, err = s.RefreshToken(t.Context())
		require.ErrorIs(t, err, outcome)
		lost, _ := p.saved(t)
		require.Equal(t, unsent.Spending.Since, lost.Spending.Since, "the clock stood still")

		outcome = invalidGrant()
		_, err = s.RefreshToken(t.Context())
		require.True(t, auth.Refused(err), "%v", err)
		assert.ErrorIs(t, err, store.ErrOutcomeUnknown)
	})
}

// leavesIntent reports whether the intent of a refresh that failed so stands. The session goes on.
func leavesIntent(t *testing.T, failure error) (stands bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, always(nil, failure), store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, tokenNamed("old"))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, failure)
		requireStillIn(t, s, "old")
		saved, _ := p.saved(t)
		stands = saved.Spending != nil
	})
	return stands
}

func TestPersist_AConnectionThatWasNeverMadeLeavesNoIntent(t *testing.T) {
	for name, failure := range map[string]error{
		"no connection":   &net.OpError{Op: "dial", Err: errBoom},
		"no such host":    &net.DNSError{IsNotFound: true},
		"no known issuer": x509.UnknownAuthorityError{},
		"another's name":  x509.HostnameError{Certificate: &x509.Certificate{}, Host: "id.test"},
		"a nested one":    auth.ErrNestedRefresh,
		"bad input":       &axle.Error{Code: axle.CodeBadOption},
		"no URL":          &axle.Error{Code: axle.CodeInvalidURL},
		"a bad request":   &oauth2.RetrieveError{ErrorCode: "invalid_request", Response: &http.Response{StatusCode: http.StatusBadRequest}},
		"a call's 429": &axle.Error{
			Code:     axle.CodeBadRequest,
			Response: axle.NewResponse(nil, http.StatusTooManyRequests, nil, nil),
		},
		"a clear refusal": &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusTooManyRequests}},
	} {
		t.Run(name, func(t *testing.T) { assert.False(t, leavesIntent(t, failure)) })
	}
}

func TestPersist_ARefreshWithNothingToSpendLeavesNoIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		s := openShelf(t, p, store.OAuth2(&oauth2.Config{}), store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, &oauth2.Token{AccessToken: "access-old"})
		_, err := s.RefreshToken(t.Context())
		require.ErrorContains(t, err, "there is no refresh token")
		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Nil(t, saved.Spending)
	})
}

func TestPersist_ALostResponseLeavesTheIntent(t *testing.T) {
	for name, failure := range map[string]error{
		"the network":        &net.OpError{Op: "read", Err: errBoom},
		"no response":        &oauth2.RetrieveError{ErrorCode: "server_error"},
		"a gateway, 502":     &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadGateway}},
		"a gateway, 504":     &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusGatewayTimeout}},
		"the server's fault": &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusInternalServerError}},
	} {
		t.Run(name, func(t *testing.T) { assert.True(t, leavesIntent(t, failure)) })
	}
}

func TestPersist_AnIntentThatCannotBeRemovedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &server{}
		var told []error
		s := openShelf(t, p, srv.refresh, store.WithLogoutWhen(store.RejectedOnly),
			store.WithStorageFailure(func(err error) { told = append(told, err) }))
		s.Login(user{"ada"}, tokenNamed("old"))
		failure := &net.OpError{Op: "dial", Err: errBoom}

		refresh := refreshing(t.Context(), s)
		srv.asked(t, 1).fail(failure)
		_, err := outcome(t, refresh)
		require.ErrorIs(t, err, failure)
		require.Empty(t, told)

		errFull := errors.New("the disk is full")
		refresh = refreshing(t.Context(), s)
		call := srv.asked(t, 2)
		p.faulty(failing(errFull, "save"), nil)
		call.fail(failure)
		_, err = outcome(t, refresh)
		require.ErrorIs(t, err, failure)
		require.Len(t, told, 1)
		require.ErrorIs(t, told[0], errFull)
	})
}

func TestPersist_ARefusalThatDoesNotEndTheSessionLeavesNoIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		refusal := &oauth2.RetrieveError{ErrorCode: "invalid_grant"}
		s := openShelf(t, p, always(nil, refusal), store.WithLogoutWhen(func(error) bool { return false }))
		s.Login(user{"ada"}, tokenNamed("old"))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, refusal)
		requireStillIn(t, s, "old")
		saved, _ := p.saved(t)
		assert.Nil(t, saved.Spending)
	})
}

func TestPersist_AnIntentNamesTheProcessAndItsOwnIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		failure := &net.OpError{Op: "read", Err: errBoom}
		s := openShelf(t, p, always(nil, failure), store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, tokenNamed("old"))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, failure)

		name := fmt.Sprintf("process %d on ", os.Getpid())
		if runtime.GOOS == "js" {
			name = "tab "
		}
		saved, _ := p.saved(t)
		require.NotNil(t, saved.Spending)
		assert.True(t, strings.HasPrefix(saved.Spending.Holder, name), saved.Spending.Holder)

		time.Sleep(time.Millisecond)
		begin := time.Now()
		_, err = s.RefreshToken(t.Context())
		require.ErrorIs(t, err, failure)
		assert.Zero(t, time.Since(begin))
	})
}

func TestPersist_TheIntentOfALostResponseStaysUntilTheServerHasSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		failure := error(&net.OpError{Op: "read", Err: errBoom})
		s := openShelf(t, p, func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(time.Millisecond)
			return nil, failure
		}, store.WithLogoutWhen(store.RejectedOnly))
		s.Login(user{"ada"}, tokenNamed("old"))
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, failure)

		// The next attempt never reaches the server, and knows no more than the first.
		failure = &net.OpError{Op: "dial", Err: errBoom}
		_, err = s.RefreshToken(t.Context())
		require.ErrorIs(t, err, failure)
		require.NotErrorIs(t, err, store.ErrOutcomeUnknown)
		requireStillIn(t, s, "old")
		saved, _ := p.saved(t)
		assert.NotNil(t, saved.Spending)
	})
}

func TestPersist_TheIntentOfADeadProcessIsASecondOldBeforeItsTokenIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := newShelf(), &rotating{}
		first := openShelf(t, p, srv.refresh)
		first.Login(user{"ada"}, srv.token())
		require.NoError(t, first.Close())

		died := time.Now()
		p.put(p.edited(t, func(record map[string]any) {
			record["spending"] = map[string]any{"since": died, "holder": "process 1 on elsewhere"}
		}))

		var sent time.Duration
		s := openShelf(t, p, func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			sent = time.Since(died)
			return srv.refresh(ctx, current)
		})
		time.Sleep(300 * time.Millisecond)
		_, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, time.Second, sent)
		requireStillIn(t, s, "1")
	})
}

func TestPersist_WhatTheStorageLostIsSavedAgainAndTheLoginGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newShelf()
		a, b := openShelf(t, p, nil), openShelf(t, p, nil)
		a.Login(user{"ada"}, tokenNamed("old"))
		synctest.Wait()

		p.lose()
		p.change()
		time.Sleep(time.Minute)

		saved, _ := p.saved(t)
		require.NotNil(t, saved)
		assert.Equal(t, "access-old", saved.Token.Access)
		requireStillIn(t, a, "old")
		requireStillIn(t, b, "old")
	})
}
