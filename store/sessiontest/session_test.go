package sessiontest_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func refreshAt(s *sessiontest.Server) store.RefreshFunc {
	return func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		return store.OAuth2(s.Config())(context.WithValue(ctx, oauth2.HTTPClient, s.Client()), current)
	}
}

func TestSession_AStoreInMemoryPassesWhole(t *testing.T) {
	t.Parallel()
	sessiontest.Session(t, func(_ *testing.T, s *sessiontest.Server) auth.Session {
		session := store.New[string](refreshAt(s), store.WithLogoutWhen(store.RejectedOnly))
		session.Login("ada", s.Login())
		return session
	})
}

func TestSession_AStoreOverAFilePassesWhole(t *testing.T) {
	t.Parallel()
	sessiontest.Session(t, func(t *testing.T, s *sessiontest.Server) auth.Session {
		p := store.File(filepath.Join(sessiontest.Folder(t), "session.json"))
		session, err := store.Open[string](t.Context(), refreshAt(s), p,
			store.WithLogoutWhen(store.RejectedOnly))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, session.Close()) })
		if session.Token() == nil {
			session.Login("ada", s.Login())
		}
		return session
	})
}
