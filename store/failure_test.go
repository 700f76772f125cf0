package store_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
)

// What a failed refresh leaves behind for those who ask after it.

func TestFailure_EachFailedRefreshIsCountedAndTheLastIsKept(t *testing.T) {
	var next error
	s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return tokenNamed("new"), next
	}, store.WithLogoutWhen(store.RejectedOnly))
	assert.Zero(t, s.Snapshot().Failures)
	require.NoError(t, s.Snapshot().Failure)

	for want := range uint64(3) {
		next = errBoom
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, want+1, s.Snapshot().Failures)
		require.ErrorIs(t, s.Snapshot().Failure, errBoom)
	}

	next = nil
	_, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(3), s.Snapshot().Failures, "the count never goes down: two states never look alike")
	require.NoError(t, s.Snapshot().Failure)
}

func TestFailure_ANewLoginKnowsNothingOfTheLastOnes(t *testing.T) {
	s := loggedIn(always(nil, errBoom), store.WithLogoutWhen(store.RejectedOnly))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, errBoom)

	s.Login(user{"bob"}, tokenNamed("bob"))

	require.NoError(t, s.Snapshot().Failure)
}

func TestFailure_ItIsInTheSnapshotBeforeAnyWaiterWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refresh server
		s := loggedIn(refresh.refresh, store.WithLogoutWhen(store.RejectedOnly))
		before := s.Snapshot()
		call := refreshing(t.Context(), s)
		refresh.asked(t, 1).fail(errBoom)
		_, err := call.Await(t.Context())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, before.Failures+1, s.Snapshot().Failures)
		assert.Equal(t, before.Generation, s.Snapshot().Generation)
	})
}

func TestFailure_ATokenThatNoHeaderCanHoldIsAFailedRefresh(t *testing.T) {
	for name, token := range map[string]*oauth2.Token{
		"a newline in the token": {AccessToken: "secret\nSet-Cookie: a=b"},
		"NUL":                    {AccessToken: "secret\x00"},
		"DEL":                    {AccessToken: "secret\x7f"},
		"a newline at the end":   {AccessToken: "secret\r\n"},
		"a newline in the type":  {AccessToken: "secret", TokenType: "Bearer\r\nX: secret"},
	} {
		t.Run(name, func(t *testing.T) {
			s := loggedIn(always(token, nil), store.WithLogoutWhen(store.RejectedOnly))
			_, err := s.RefreshToken(t.Context())
			require.ErrorContains(t, err, "control character at byte")
			assert.NotContains(t, err.Error(), "secret")
			assert.NotContains(t, err.Error(), "\n")
			requireStillIn(t, s, "old")
			assert.Equal(t, uint64(1), s.Snapshot().Failures)
		})
	}
}

func TestFailure_EveryByteOfATokenThatAHeaderCanHoldIsAllowed(t *testing.T) {
	allowed := &oauth2.Token{AccessToken: "a b\tc~ü\xff", TokenType: "Bearer"}
	s := loggedIn(always(allowed, nil))
	token, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, allowed.AccessToken, token.AccessToken)
}

// busy is the failure of a token endpoint that asks for a pause.
func busy(retryAfter string) error {
	header := http.Header{"Retry-After": {retryAfter}}
	return &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusTooManyRequests, Header: header}}
}

func TestRetryAfter_UntilThenRefreshesFailAtOnceWithThatErrorAndNothingIsSent(t *testing.T) {
	waits := map[string]func(s *store.UserStore[user]) error{
		"RefreshToken": func(s *store.UserStore[user]) error { _, err := s.RefreshToken(context.Background()); return err },
		"RefreshSince": func(s *store.UserStore[user]) error {
			_, err := s.RefreshSince(context.Background(), s.Snapshot().Generation)
			return err
		},
		"TokenSource": func(s *store.UserStore[user]) error {
			_, err := s.TokenSource(context.Background()).Token()
			return err
		},
	}
	for name, wait := range waits {
		for asked, pause := range map[string]time.Duration{"60": time.Minute, "86400": 5 * time.Minute} {
			t.Run(name+", "+asked, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					sent, judged := 0, 0
					failure := busy(asked)
					s := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
						if sent++; sent == 1 {
							return nil, failure
						}
						return tokenNamed("new"), nil
					}, store.WithLogoutWhen(func(error) bool { judged++; return false }))
					s.Login(user{"ada"}, expired(tokenNamed("old")))

					for range 100 {
						require.ErrorIs(t, wait(s), failure)
					}
					time.Sleep(pause - time.Nanosecond)
					require.ErrorIs(t, wait(s), failure)
					assert.Equal(t, 1, sent)
					assert.Equal(t, 1, judged, "WithLogoutWhen is asked of the refresh that really failed")
					assert.Equal(t, uint64(1), s.Snapshot().Failures)
					assert.False(t, s.State().CheckingAuth)

					time.Sleep(time.Nanosecond)
					require.NoError(t, wait(s))
					assert.Equal(t, 2, sent)
				})
			})
		}
	}
}

func TestRetryAfter_ANewLoginIsNotBoundByTheLastOnes(t *testing.T) {
	n := 0
	s := loggedIn(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		if n++; n == 1 {
			return nil, busy("60")
		}
		return tokenNamed("new"), nil
	}, store.WithLogoutWhen(store.RejectedOnly))
	_, err := s.RefreshToken(t.Context())
	require.Error(t, err)
	s.Login(user{"ada"}, tokenNamed("again"))
	_, err = s.RefreshToken(t.Context())
	require.NoError(t, err)
}

func TestRetryAfter_OfARefreshThatHasOverrunCountsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, refresh, running := overrun(t, store.WithLogoutWhen(store.RejectedOnly))
		failure := busy("60")
		running.fail(failure)
		_, err := s.RefreshToken(t.Context())
		require.ErrorIs(t, err, failure)
		assert.Equal(t, 1, refresh.calls())
	})
}
