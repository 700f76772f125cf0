package axle_test

import (
	"net/http"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestFromResty_NoCredentialCrossesAnOrigin(t *testing.T) {
	secret := func(rc *resty.Client) *resty.Client {
		rc.SetAuthToken("t").SetCookie(&http.Cookie{Name: "c", Value: "1"}).SetHeader("X-Api-Key", "k").SetQueryParam("api_key", "q")
		return rc
	}
	// The servers share a host name and differ in the port: FlexibleRedirectPolicy takes them for one and copies all headers.
	policies := map[string]func(rc *resty.Client){
		"no policy":              func(*resty.Client) {},
		"FlexibleRedirectPolicy": func(rc *resty.Client) { rc.SetRedirectPolicy(resty.FlexibleRedirectPolicy(5)) },
		"a hook that adds them": func(rc *resty.Client) {
			rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetAuthToken("hook"); return nil })
			rc.SetRedirectPolicy(resty.FlexibleRedirectPolicy(5))
		},
	}
	check := func(t *testing.T, got restyArrival) {
		t.Helper()
		for _, name := range []string{"Authorization", "Cookie", "X-Api-Key"} {
			assert.Empty(t, got.Header[name], name)
		}
		assert.Empty(t, got.URL.Query().Get("api_key"))
	}
	for name, set := range policies {
		t.Run("redirect, "+name, func(t *testing.T) {
			other := newRestyServer(t, nil)
			home := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL, http.StatusFound)
			})
			rc := secret(newResty(t, home.Server))
			set(rc)
			_, err := axle.FromResty(rc).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.NotEmpty(t, home.only(t).Header["Authorization"])
			check(t, other.only(t))
		})
	}
	t.Run("an absolute URL", func(t *testing.T) {
		other, home := newRestyServer(t, nil), newRestyServer(t, nil)
		_, err := axle.FromResty(secret(newResty(t, home.Server))).Get(t.Context(), other.URL)
		require.NoError(t, err)
		check(t, other.only(t))
	})
	t.Run("a hook that changes the URL", func(t *testing.T) {
		other, home := newRestyServer(t, nil), newRestyServer(t, nil)
		rc := secret(newResty(t, home.Server)).OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
			r.URL = other.URL
			r.SetCookie(&http.Cookie{Name: "hook", Value: "1"})
			return nil
		})
		_, err := axle.FromResty(rc).Get(t.Context(), "/")
		require.NoError(t, err)
		got := other.only(t)
		assert.Equal(t, "hook=1", got.Header.Get("Cookie"), "the hook's own stays")
		got.Header.Del("Cookie")
		check(t, got)
	})
	t.Run("digest authentication", func(t *testing.T) {
		other := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Digest realm="evil", nonce="chosen", qop="auth", algorithm=MD5`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		home := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusFound)
		})
		_, err := axle.FromResty(newResty(t, home.Server).SetDigestAuth("ada", "pw")).Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeBadRequest)
		check(t, other.only(t))
	})
}

func TestFromResty_ACredentialWithoutABaseURLIsRefused(t *testing.T) {
	server := newRestyServer(t, nil)
	for name, set := range map[string]func(rc *resty.Client){
		"the header Authorization":    func(rc *resty.Client) { rc.SetAuthToken("t") },
		"the header X-Api-Key":        func(rc *resty.Client) { rc.SetHeader("X-Api-Key", "k") },
		"the header Cookie":           func(rc *resty.Client) { rc.SetCookie(&http.Cookie{Name: "a", Value: "1"}) },
		"the query parameter api_key": func(rc *resty.Client) { rc.SetQueryParam("api_key", "k") },
	} {
		rc := newResty(t, server.Server).SetBaseURL("")
		set(rc)
		c := axle.FromResty(rc)
		_, err := c.Get(t.Context(), server.URL)
		require.ErrorIs(t, err, axle.CodeBadOption)
		require.ErrorContains(t, err, name)
		assert.Empty(t, server.all())
	}
	_, err := axle.FromResty(newResty(t, server.Server).SetBaseURL("").SetHeader("X-A", "1")).Get(t.Context(), server.URL)
	require.NoError(t, err)
	c := axle.FromResty(newResty(t, server.Server).SetBaseURL("").SetAuthToken("t")).SetBaseURL(server.URL)
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "Bearer t", server.all()[1].Header.Get("Authorization"))
}

func TestFromResty_TheRedirectPolicySaysWhatIsFollowed(t *testing.T) {
	left := 0
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if left > 0 {
			left--
			http.Redirect(w, r, "/again", http.StatusFound)
		}
	})
	for _, x := range []struct {
		name   string
		policy resty.RedirectPolicy
		hops   int
		fails  error
	}{
		{"within a limit above axle's", resty.FlexibleRedirectPolicy(15), 14, nil},
		{"none", resty.NoRedirectPolicy(), 1, resty.ErrAutoRedirectDisabled},
		{"beyond the limit", resty.RedirectPolicyFunc(func(*http.Request, []*http.Request) error { return errBoom }), 1, errBoom},
	} {
		t.Run(x.name, func(t *testing.T) {
			left = x.hops
			_, err := axle.FromResty(newResty(t, server.Server).SetRedirectPolicy(x.policy)).Get(t.Context(), "/")
			require.ErrorIs(t, err, x.fails)
		})
	}
	left = 11
	_, err := axle.FromResty(newResty(t, server.Server)).Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooManyRedirects, "without a policy ten are followed")
}
