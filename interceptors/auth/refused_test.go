package auth_test

import (
	"context"
	"fmt"
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

// retrieveError is the error of package oauth2 for a response of a token endpoint.
func retrieveError(status int, contentType, code, body string) error {
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return &oauth2.RetrieveError{
		Response:  &http.Response{StatusCode: status, Header: header},
		ErrorCode: code,
		Body:      []byte(body),
	}
}

func TestRefused_ByTheResponseOfATokenEndpoint(t *testing.T) {
	for name, c := range map[string]struct {
		status            int
		contentType, code string
		body              string
		refused           bool
	}{
		"invalid_grant":                  {status: 400, code: "invalid_grant", refused: true},
		"invalid_grant, whatever status": {status: 500, code: "invalid_grant", refused: true},
		"invalid_client":                 {status: 401, code: "invalid_client"},
		"a 400 without a code":           {status: 400, refused: true},
		"a 401 without a code":           {status: 401, refused: true},
		"a 403 without a code":           {status: 403, refused: true},
		"a 404":                          {status: 404},
		"a 429":                          {status: 429},
		"a 503":                          {status: 503},
		"a page of HTML":                 {status: 403, contentType: "text/html; charset=utf-8", body: "blocked"},
		"a page of XHTML":                {status: 403, contentType: "application/xhtml+xml", body: "blocked"},
		"a page that says no type":       {status: 403, body: "\n <html>blocked</html>"},
		"plain text":                     {status: 403, contentType: "text/plain", body: "no", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			err := retrieveError(c.status, c.contentType, c.code, c.body)
			assert.Equal(t, c.refused, auth.Refused(err), "of package oauth2")

			body := c.body
			if c.code != "" {
				body = fmt.Sprintf(`{"error":%q}`, c.code)
			}
			client := axle.New().SetBaseURL("http://api.test").
				SetTransport(inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Content-Type"] = nil // no guess
					if c.contentType != "" {
						w.Header().Set("Content-Type", c.contentType)
					}
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(body))
				})})
			_, callErr := client.Get(t.Context(), "/token")
			require.Error(t, callErr)
			assert.Equal(t, c.refused, auth.Refused(fmt.Errorf("wrapped: %w", callErr)), "of axle")
		})
	}
}

func TestRefused_AnErrorWithoutAResponseIsNoRefusal(t *testing.T) {
	for _, err := range []error{nil, errBoom, context.Canceled, &oauth2.RetrieveError{}, &axle.Error{Err: errBoom}} {
		assert.False(t, auth.Refused(err), "%v", err)
	}
}

func TestKeepSession_IfTheTokenIsStillValidAndTheServerDidNotRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			token *oauth2.Token
			err   error
			keep  bool
		}{
			"valid":                       {living("t", time.Nanosecond), errBoom, true},
			"at its expiry":               {living("t", 0), errBoom, false},
			"expired":                     {living("t", -time.Nanosecond), errBoom, false},
			"without an expiry":           {bearer("t"), errBoom, false},
			"none":                        {nil, errBoom, false},
			"valid, and refused":          {living("t", time.Hour), retrieveError(400, "", "invalid_grant", ""), false},
			"valid, and a client's fault": {living("t", time.Hour), retrieveError(400, "", "invalid_client", ""), true},
		} {
			assert.Equal(t, c.keep, auth.KeepSession(c.token, c.err), name)
		}
	})
}

func TestBypass_MarksStandBehindOneAnotherAndAreForTheirSessionAlone(t *testing.T) {
	one, two, three := bearerSession("1"), bearerSession("2"), bearerSession("3")
	ctx := auth.Bypass(auth.Bypass(t.Context(), one), two)
	assert.True(t, auth.Bypassed(ctx, one))
	assert.True(t, auth.Bypassed(ctx, two))
	assert.False(t, auth.Bypassed(ctx, three))
	assert.False(t, auth.Bypassed(ctx, newScripted(nil)), "of another type")
	assert.False(t, auth.Bypassed(t.Context(), one))
	assert.False(t, auth.Bypassed(ctx, nil))
	assert.False(t, auth.Bypassed(auth.Bypass(t.Context(), nil), nil))
	assert.False(t, auth.Bypassed(nil, one)) //nolint:staticcheck // the rule is about nil

	list := listed{scripted: newScripted(nil)}
	ctx = auth.Bypass(t.Context(), list)
	assert.True(t, auth.Bypassed(ctx, list), "by its type alone")
}

func TestRefreshTimeout_IsThirtySecondsUnlessItIsPositive(t *testing.T) {
	for _, limit := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted(bearer("a1"), auth.WithRefreshTimeout(limit))
			s.refresh = func(ctx context.Context) (*oauth2.Token, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			began := time.Now()
			_, err := s.client.Get(t.Context(), "/data")
			require401(t, err)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 30*time.Second, time.Since(began))
		})
	}
}

func TestOrigins_TheLastOptionCountsAndNoneIsTheBaseURLs(t *testing.T) {
	const other = "http://other.test"
	for name, c := range map[string]struct {
		opts    []auth.Option
		carried bool // the token, to the other origin
	}{
		"the other": {[]auth.Option{auth.WithAllowedOrigins(other)}, true},
		"the other, then another": {[]auth.Option{
			auth.WithAllowedOrigins(other), auth.WithAllowedOrigins("http://third.test"),
		}, false},
		"the other, then none": {[]auth.Option{auth.WithAllowedOrigins(other), auth.WithAllowedOrigins()}, false},
	} {
		var seen []string
		client := newClient(seeing(&seen, http.StatusOK)).
			Use(auth.New(bearerSession("t"), c.opts...))
		_, err := client.Get(t.Context(), other+"/")
		require.NoError(t, err, name)
		assert.Equal(t, c.carried, seen[0] != "", name)
	}
}

func TestInstall_ItsUninstallTakesItsHandlersAway(t *testing.T) {
	client := axle.New().SetBaseURL("http://api.test")
	uninstall := auth.New(bearerSession("t")).Install(client)
	require.Equal(t, 2, client.Interceptors.Request.Len()+client.Interceptors.Response.Len())
	uninstall()
	assert.Zero(t, client.Interceptors.Request.Len())
	assert.Zero(t, client.Interceptors.Response.Len())
}

func TestAttach_ATokenThatChangesItsTypeIsSentWithTheNewOne(t *testing.T) {
	s := newScripted(&oauth2.Token{AccessToken: "x"})
	var seen []string
	s.client.SetTransport(seeing(&seen, http.StatusOK))
	for _, kind := range []string{"", "MAC", "DPoP"} {
		s.set(&oauth2.Token{AccessToken: "x", TokenType: kind})
		_, err := s.client.Get(t.Context(), "/")
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"Bearer x", "MAC x", "DPoP x"}, seen)
}

func TestPlain_ATokenWhoseTypeNoHeaderCanHoldMakesTheRefreshFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refresh = func(context.Context) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "a2", TokenType: "\nBearer"}, nil
		}
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		require.ErrorContains(t, err, "control character")
		assert.EqualValues(t, 1, s.logouts.Load())
		assert.Equal(t, []string{"a1"}, s.arrived())
	})
}

func TestToken_OneThatBeginsWithAControlCharacterIsSentByNoHeader(t *testing.T) {
	for name, c := range map[string]struct {
		token *oauth2.Token
		opts  []auth.Option
	}{
		"the token's type": {&oauth2.Token{AccessToken: "x", TokenType: "\nBearer"}, nil},
		"a header of one's own": {bearer("\nx"), []auth.Option{
			auth.WithHeader("X-Session", func(t *oauth2.Token) string { return t.AccessToken }),
		}},
	} {
		var seen []string
		client := newClient(seeing(&seen, http.StatusOK)).
			Use(auth.New(&fixed{c.token}, c.opts...))
		_, err := client.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.Empty(t, seen, name)
	}
}
