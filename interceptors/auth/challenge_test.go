package auth_test

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
)

func TestChallenge_InsufficientScopeAndUseDPoPNonceAreNotRefreshed(t *testing.T) {
	for name, c := range map[string]struct {
		header    []string
		refreshed bool
	}{
		"no challenge":                       {nil, true},
		"no error":                           {[]string{`Bearer realm="api"`}, true},
		"an expired token":                   {[]string{`Bearer realm="api", error="invalid_token", error_description="expired"`}, true},
		"insufficient scope":                 {[]string{`Bearer realm="api", error="insufficient_scope", scope="write"`}, false},
		"a DPoP nonce":                       {[]string{`DPoP error="use_dpop_nonce", error_description="needs a nonce"`}, false},
		"as a token":                         {[]string{`Bearer error=insufficient_scope`}, false},
		"in capitals":                        {[]string{`BEARER ERROR="INSUFFICIENT_SCOPE"`}, false},
		"with space around the equals sign":  {[]string{`Bearer error = "insufficient_scope"`}, false},
		"with escapes":                       {[]string{`Bearer error="insufficient\_scope"`}, false},
		"in the second challenge of a line":  {[]string{`Basic realm="a, b", Bearer realm="api", error="insufficient_scope"`}, false},
		"in the second header":               {[]string{`Basic realm="api"`, `Bearer error="insufficient_scope"`}, false},
		"behind a token68":                   {[]string{`Negotiate a/b+c==, Bearer error="insufficient_scope"`}, false},
		"behind a scheme alone":              {[]string{`Negotiate, DPoP algs="ES256", error="use_dpop_nonce"`}, false},
		"behind empty elements":              {[]string{`, ,Bearer ,error="insufficient_scope"`}, false},
		"inside another value":               {[]string{`Bearer realm="error=\"insufficient_scope\", error=insufficient_scope"`}, true},
		"of another parameter":               {[]string{`Bearer error_description="insufficient_scope"`}, true},
		"of a parameter that ends like it":   {[]string{`Bearer x-error="insufficient_scope"`}, true},
		"as a scheme":                        {[]string{`insufficient_scope`}, true},
		"a value that only begins so":        {[]string{`Bearer error="insufficient_scope_2"`}, true},
		"a quoted string that does not end":  {[]string{`Bearer error="insufficient_scope`}, true},
		"an escape that does not end":        {[]string{`Bearer error="insufficient_scope\`}, true},
		"a value that is missing":            {[]string{`Bearer error=, realm="insufficient_scope"`}, true},
		"a character that no challenge has":  {[]string{`Bearer (error="insufficient_scope")`}, true},
		"another error and one of the two":   {[]string{`Bearer error="invalid_token"`, `DPoP error="use_dpop_nonce"`}, false},
		"before another error in a line":     {[]string{`DPoP error="use_dpop_nonce", Bearer error="invalid_token"`}, false},
		"a comma that was forgotten":         {[]string{`Bearer realm="api" error="insufficient_scope"`}, false},
		"a challenge in another header only": {[]string{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
				users, refreshes := countingStore()
				client := axle.New().SetBaseURL("http://api.test").Use(auth.New(users, auth.WithStatusCodes(401, 403))).
					SetTransport(inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						w.Header()["Www-Authenticate"] = c.header
						w.Header().Set("Proxy-Authenticate", `Bearer error="insufficient_scope"`)
						if r.Header.Get("Authorization") != "Bearer fresh" {
							w.WriteHeader(status)
						}
					})})

				_, err := client.Get(t.Context(), "/")
				if c.refreshed {
					require.NoError(t, err)
					assert.EqualValues(t, 1, refreshes.Load())
					continue
				}
				require.ErrorIs(t, err, axle.CodeBadRequest, "it stands")
				assert.Zero(t, refreshes.Load())
			}
		})
	}
}

func TestChallenge_WithShouldRefreshDecidesAlone(t *testing.T) {
	users, refreshes := countingStore()
	client := axle.New().SetBaseURL("http://api.test").
		Use(auth.New(users, auth.WithShouldRefresh(func(r *axle.Response) bool {
			return r.StatusCode == http.StatusUnauthorized
		}))).
		SetTransport(inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer fresh" {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		})})
	_, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.EqualValues(t, 1, refreshes.Load())
}

func TestChallenge_TellsTheRefreshFuncWhichResponseAskedFirst(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		endpoint := w.refresh
		var seen *axle.Response
		var nested *axle.Response
		w.refresh = func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			seen = auth.Challenge(ctx)
			nested = auth.Challenge(auth.Bypass(ctx, bearerSession("another")))
			return endpoint(ctx, current)
		}
		w.api.expire()
		resp, err := w.client.R(t.Context()).SetHeader("X-Mark", "first").SetStream(true).Get("/data")
		requireOK(t, resp, err)
		_ = resp.Stream().Close()

		require.NotNil(t, seen)
		assert.Equal(t, http.StatusUnauthorized, seen.StatusCode)
		assert.Equal(t, "who are you?", seen.String(), "the body has been read")
		assert.Equal(t, "first", seen.Request.Header.Get("X-Mark"))
		assert.Nil(t, nested, "no response asked for a refresh of another session from within this one")
	})
}

func TestChallenge_IsNilForARefreshThatNoResponseAskedFor(t *testing.T) {
	//nolint:staticcheck // a nil context asks for nothing
	assert.Nil(t, auth.Challenge(nil))
	assert.Nil(t, auth.Challenge(t.Context()))

	for name, c := range map[string]struct {
		life   time.Duration
		asking func(t *testing.T, e *expiring)
	}{
		"an early one":            {window / 2, func(t *testing.T, e *expiring) { e.get(t) }},
		"one of an expired token": {-time.Hour, func(t *testing.T, e *expiring) { e.get(t) }},
		"one that the program needs": {time.Hour, func(t *testing.T, e *expiring) {
			_, _ = e.session.RefreshToken(t.Context())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachExpiring(t, max(c.life, time.Hour), func(t *testing.T, e *expiring) {
				asked := false
				e.refresh = func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
					asked = true
					assert.Nil(t, auth.Challenge(ctx))
					return living("t1", time.Hour), nil
				}
				time.Sleep(time.Hour - c.life)
				c.asking(t, e)
				synctest.Wait()
				assert.True(t, asked)
			})
		})
	}
}
