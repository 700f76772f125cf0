package breaker_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

func TestSession_TheRefreshThatAProbeNeedsIsNotRefused(t *testing.T) {
	for name, order := range map[string]func(users, breaker axle.Plugin) []axle.Plugin{
		"breaker after auth":  func(u, b axle.Plugin) []axle.Plugin { return []axle.Plugin{u, b} },
		"breaker before auth": func(u, b axle.Plugin) []axle.Plugin { return []axle.Plugin{b, u} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fails := true
				client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
					switch {
					case r.URL.Path == "/refresh":
						return axletest.Reply(r, http.StatusOK, "fresh"), nil
					case fails:
						return axletest.Reply(r, http.StatusInternalServerError, ""), nil
					case r.Header.Get("Authorization") != "Bearer fresh":
						return axletest.Reply(r, http.StatusUnauthorized, ""), nil
					}
					return axletest.Reply(r, http.StatusOK, ""), nil
				})
				users := store.New[string](func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
					resp, err := client.Post(ctx, "/refresh", nil)
					if err != nil {
						return nil, err
					}
					return &oauth2.Token{AccessToken: resp.String()}, nil
				})
				client.Use(order(auth.New(users), breaker.New())...)
				users.Login("ada", &oauth2.Token{AccessToken: "stale"})

				for range 5 {
					_, err := client.Get(t.Context(), "/")
					require.Error(t, err)
				}
				time.Sleep(30 * time.Second)
				fails = false

				// The probe gets a 401, for which auth refreshes at the same origin.
				_, err := client.Get(t.Context(), "/")
				require.NoError(t, err)
				assert.Equal(t, "fresh", users.Token().AccessToken)
			})
		})
	}
}
