package sessiontest_test

import (
	"context"
	"path/filepath"
	"testing"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func ExampleSession() {
	_ = func(t *testing.T) {
		sessiontest.Session(t, func(_ *testing.T, s *sessiontest.Server) auth.Session {
			refresh := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
				ctx = context.WithValue(ctx, oauth2.HTTPClient, s.Client())
				return store.OAuth2(s.Config())(ctx, current)
			}
			session := store.New[string](refresh, store.WithLogoutWhen(store.RejectedOnly))
			session.Login("ada", s.Login())
			return session
		})
	}
	// Output:
}

func ExamplePersister() {
	_ = func(t *testing.T) {
		sessiontest.Persister(t, func(t *testing.T) store.Persister {
			return store.File(filepath.Join(sessiontest.Folder(t), "session.json"))
		})
	}
	// Output:
}
