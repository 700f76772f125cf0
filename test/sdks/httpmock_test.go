package sdks_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// TestDocs_Httpmock is how an application tests what it wrote over axle, without a server: httpmock is a transport.
func TestDocs_Httpmock(t *testing.T) {
	t.Parallel()
	type User struct{ Name string }
	setup := func() (*axle.Client, *httpmock.MockTransport) {
		mock := httpmock.NewMockTransport()
		return axle.New().SetBaseURL("https://api.example.com").SetTransport(mock), mock
	}

	t.Run("a call", func(t *testing.T) {
		t.Parallel()
		client, mock := setup()
		mock.RegisterResponder(http.MethodGet, "https://api.example.com/users/1", httpmock.NewJsonResponderOrPanic(200, User{"Ada"}))

		user, err := axle.Get[User](t.Context(), client, "/users/1")
		require.NoError(t, err)
		assert.Equal(t, User{"Ada"}, user)
		assert.Equal(t, 1, mock.GetTotalCallCount())
		assert.Equal(t, 1, mock.GetCallCountInfo()["GET https://api.example.com/users/1"])

		_, err = client.Get(t.Context(), "/users/2")
		require.ErrorIs(t, err, axle.CodeNetwork, "nobody mocked it")
		assert.ErrorContains(t, err, "no responder found")
	})

	t.Run("an interceptor alone", func(t *testing.T) {
		t.Parallel()
		client, mock := setup()
		tenant := axle.PluginFunc(func(c *axle.Client) (uninstall func()) {
			id := c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				return r.SetHeader("X-Tenant", "acme"), nil
			}, nil)
			return func() { c.Interceptors.Request.Eject(id) }
		})
		mock.RegisterMatcherResponder(http.MethodGet, "/users", httpmock.HeaderIs("X-Tenant", "acme"), httpmock.NewStringResponder(200, "[]"))

		_, err := client.Get(t.Context(), "/users")
		require.Error(t, err, "without it the mock does not match")
		_, err = client.Use(tenant).Get(t.Context(), "/users")
		require.NoError(t, err)
	})

	t.Run("a refresh", func(t *testing.T) {
		t.Parallel()
		client, mock := setup()
		session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
		session.Login(User{"Ada"}, &oauth2.Token{AccessToken: "dead", RefreshToken: "r1"})
		client.Use(auth.New(session))
		mock.RegisterMatcherResponder(http.MethodPost, "/auth/refresh-token", httpmock.BodyContainsString(`"r1"`),
			httpmock.NewJsonResponderOrPanic(200, map[string]string{"access_token": "fresh", "refresh_token": "r2"}))
		mock.RegisterResponder(http.MethodGet, "/users/1", httpmock.NewStringResponder(401, "")) // for any other bearer
		mock.RegisterMatcherResponder(http.MethodGet, "/users/1", httpmock.HeaderIs("Authorization", "Bearer fresh"),
			httpmock.NewJsonResponderOrPanic(200, User{"Ada"}))

		user, err := axle.Get[User](t.Context(), client, "/users/1")
		require.NoError(t, err)
		assert.Equal(t, User{"Ada"}, user)
		assert.Equal(t, "r2", session.Token().RefreshToken)
		assert.Equal(t, 3, mock.GetTotalCallCount(), "the call, the refresh, the replay")
	})
}
