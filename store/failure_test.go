package store_test

import (
	"context"
	"testing"
	"testing/synctest"

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
