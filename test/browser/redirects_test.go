//go:build js

package browser_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// elsewhere is a path that redirects to the echo of the other origin.
func elsewhere(t *testing.T, name string) string {
	t.Helper()
	return "/api/redirect/" + name + "?to=" + url.QueryEscape(otherOrigin(t)+"/api/echo/"+name)
}

func bindKey(c *axle.Client) {
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		origin, err := r.Origin()
		r.SetHeader("X-Tenant", "t-1").BindHeader("X-Tenant", origin)
		return r, err
	}, nil)
}

type user struct{ Name string }

func TestRedirects_ACallWithACredentialFollowsNoneAndTheErrorSaysWhy(t *testing.T) {
	for name, one := range map[string]struct {
		header string
		set    func(c *axle.Client)
		edit   func(r *axle.Request)
	}{
		"a key of the caller":  {header: "X-Api-Key", edit: axle.WithHeader("X-Api-Key", "k")},
		"the client's default": {header: "X-Api-Key", set: func(c *axle.Client) { c.SetHeader("X-Api-Key", "k") }},
		"a token":              {header: "Authorization", edit: axle.WithHeader("Authorization", axle.Bearer("t"))},
		"a declared name": {header: "X-Tenant", edit: axle.WithHeader("X-Tenant", "t-1"), set: func(c *axle.Client) {
			c.SetSensitiveHeaders("X-Tenant")
		}},
		"a bound header": {header: "X-Tenant", set: bindKey},
		"a session": {header: "Authorization", set: func(c *axle.Client) {
			s := store.New[user](nil)
			s.Login(user{"ada"}, &oauth2.Token{AccessToken: "t"})
			c.Use(auth.New(s))
		}},
		"resty's token": {header: "Authorization", set: func(c *axle.Client) {
			c.SetEngine(func(rc *resty.Client) { rc.SetAuthToken("t") })
		}},
		"a key of resty's hook": {header: "X-Api-Key", set: func(c *axle.Client) {
			c.SetEngine(func(rc *resty.Client) {
				rc.SetPreRequestHook(func(_ *resty.Client, r *http.Request) error {
					r.Header.Set("X-Api-Key", "k")
					return nil
				})
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := axle.New().SetBaseURL(pageOrigin(t))
			if one.set != nil {
				one.set(c)
			}
			var edits []func(*axle.Request)
			if one.edit != nil {
				edits = append(edits, one.edit)
			}
			key := url.PathEscape(name)
			seen := watchFetch(t)

			_, err := c.Get(t.Context(), elsewhere(t, key), edits...)

			require.ErrorIs(t, err, axle.CodeNetwork)
			assert.ErrorContains(t, err, one.header)
			assert.ErrorContains(t, err, "redirect")
			require.Len(t, seen(), 1)
			assert.Equal(t, "error", seen()[0].Get("redirect").String())
			assert.Empty(t, kept(t, otherOrigin(t), name))

			// Without a redirect the call is sent as ever.
			assert.NotEmpty(t, echo(t, c, "direct", edits...).Header.Get(one.header))
		})
	}
}

func TestRedirects_ACallWithoutACredentialFollowsThem(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	resp, err := c.Get(t.Context(), elsewhere(t, "plain"), axle.WithHeader("X-Request-Id", "1"))
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.NotEmpty(t, kept(t, otherOrigin(t), "plain"))
}

func TestRedirects_A307TakesTheBodyAlongUnlessTheCallRefusesRedirects(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	form := map[string]string{"password": "p"}
	_, err := c.Post(t.Context(), elsewhere(t, "form"), form)
	require.NoError(t, err)
	assert.NotEmpty(t, kept(t, otherOrigin(t), "form"))

	_, err = c.Post(t.Context(), elsewhere(t, "kept-form"), form, axle.WithHeader("js.fetch:redirect", "error"))
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.Empty(t, kept(t, otherOrigin(t), "kept-form"))
}

func TestRedirects_HoldsBehindTheBridge(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, pageOrigin(t)+elsewhere(t, "sdk"), nil)
	require.NoError(t, err)
	req.Header.Set("X-Api-Key", "k")
	resp, err := axle.New().HTTPClient().Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.ErrorContains(t, err, "X-Api-Key")
	assert.Empty(t, kept(t, otherOrigin(t), "sdk"))
}

// wrapped is a transport around another, of a type that axle does not know.
type wrapped struct{ next http.RoundTripper }

func (w wrapped) RoundTrip(r *http.Request) (*http.Response, error) { return w.next.RoundTrip(r) }

func TestRedirects_ATransportOfAnotherTypeIsTakenToUseFetch(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t)).SetTransport(wrapped{http.DefaultTransport})
	_, err := c.Get(t.Context(), elsewhere(t, "wrapped"), axle.WithHeader("X-Api-Key", "k"))
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.Empty(t, kept(t, otherOrigin(t), "wrapped"))
}

func TestRedirects_TheCallersOptionHoldsWhereItIsSafe(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	_, err := c.Get(t.Context(), "/api/echo/follow",
		axle.WithHeader("X-Api-Key", "k"), axle.WithHeader("js.fetch:redirect", "follow"))
	refused(t, err, "follow", "X-Api-Key")

	_, err = c.Get(t.Context(), elsewhere(t, "manual"),
		axle.WithHeader("X-Api-Key", "k"), axle.WithHeader("js.fetch:redirect", "manual"))
	require.ErrorIs(t, err, axle.CodeBadResponse) // the status is 0
	assert.Empty(t, kept(t, otherOrigin(t), "manual"))

	_, err = c.Get(t.Context(), elsewhere(t, "own"), axle.WithHeader("js.fetch:redirect", "error"))
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.ErrorContains(t, err, "js.fetch:redirect")
}

func TestRedirects_LimitsAndChecksAreRefusedBeforeAnythingIsSent(t *testing.T) {
	check := func(*http.Request, []*http.Request) error { return nil }
	for _, limited := range []struct {
		setter string
		client *axle.Client
	}{
		{"SetMaxRedirects", axle.New().SetMaxRedirects(0)},
		{"SetMaxRedirects", axle.New().SetMaxRedirects(3)},
		{"SetRedirectCheck", axle.New().SetRedirectCheck(check)},
	} {
		c := limited.client.SetBaseURL(pageOrigin(t))
		_, err := c.Get(t.Context(), "/api/echo/limits")
		refused(t, err, "limits", limited.setter)

		// No redirect is followed with this option, and so none goes unasked.
		_, err = c.Get(t.Context(), "/api/echo/unlimited", axle.WithHeader("js.fetch:redirect", "error"))
		require.NoError(t, err)
	}

	c := axle.New().SetBaseURL(pageOrigin(t))
	_, err := c.Get(t.Context(), "/api/echo/limits", func(r *axle.Request) { r.SetRedirectCheck(check) })
	refused(t, err, "limits", "SetRedirectCheck")

	// A check that is taken back is none.
	_, err = c.SetRedirectCheck(check).Get(t.Context(), "/api/echo/unlimited", func(r *axle.Request) { r.SetRedirectCheck(nil) })
	require.NoError(t, err)
}

func TestRedirects_ALoopIsTheBrowsersToEndAndIsANetworkError(t *testing.T) {
	_, err := axle.New().SetBaseURL(pageOrigin(t)).Get(t.Context(), "/api/redirect/loop")
	require.ErrorIs(t, err, axle.CodeNetwork)
}

func TestRedirects_ARefreshFollowsNone(t *testing.T) {
	login := &oauth2.Token{AccessToken: "old", RefreshToken: "refresh-old"}
	for name, refresh := range map[string]store.RefreshFunc{
		"endpoint": store.Endpoint(axle.New().SetBaseURL(pageOrigin(t)), elsewhere(t, "endpoint")),
		"oauth2": store.OAuth2(&oauth2.Config{ClientID: "app", Endpoint: oauth2.Endpoint{
			TokenURL: pageOrigin(t) + elsewhere(t, "oauth2"),
		}}),
	} {
		_, err := refresh(t.Context(), login)
		require.Error(t, err, name)
		assert.Empty(t, kept(t, otherOrigin(t), name), name)
		assert.NotContains(t, err.Error(), "refresh-old", name)
	}
}

func TestRedirects_ARefreshThatIsNotRedirectedWorks(t *testing.T) {
	client := axle.New().SetBaseURL(pageOrigin(t)).SetMaxRedirects(3)
	s := store.New[user](store.Endpoint(client, "/api/token/refresh"))
	s.Login(user{"ada"}, &oauth2.Token{AccessToken: "old", RefreshToken: "r"})
	token, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "new", token.AccessToken)

	granted := store.OAuth2(&oauth2.Config{ClientID: "app", Endpoint: oauth2.Endpoint{TokenURL: pageOrigin(t) + "/api/token/grant"}})
	token, err = granted(t.Context(), &oauth2.Token{AccessToken: "old", RefreshToken: "r"})
	require.NoError(t, err)
	assert.Equal(t, "new", token.AccessToken)
}
