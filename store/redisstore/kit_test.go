package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/redisstore"
	"github.com/axlehttp/axle/store/sessiontest"
)

// The names and signatures that are promised. If this file compiles they are kept.
var (
	_ func(redis.UniversalClient, string, ...redisstore.Option) store.Persister = redisstore.New
	_ func(time.Duration) redisstore.Option                                     = redisstore.WithLease
)

func TestKit_EverySentenceOfPersisterHolds(t *testing.T) {
	server := startRedis(t)
	server.warmUp(t, lease)
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		return newPersister(server.client(t), t.Name(), lease)
	})
}

func TestKit_AStoreOverRedisIsAGoodSession(t *testing.T) {
	server := startRedis(t)
	server.warmUp(t, lease)
	sessiontest.Session(t, func(t *testing.T, api *sessiontest.Server) auth.Session {
		refresh := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			ctx = context.WithValue(ctx, oauth2.HTTPClient, api.Client())
			return store.OAuth2(api.Config())(ctx, current)
		}
		p := newPersister(server.client(t), t.Name(), lease)
		session, err := store.Open[string](t.Context(), refresh, p, store.WithLogoutWhen(store.RejectedOnly))
		require.NoError(t, err)
		t.Cleanup(func() { _ = session.Close() })
		if session.State().Token == nil {
			session.Login("ada", api.Login())
		}
		return session
	})
}
