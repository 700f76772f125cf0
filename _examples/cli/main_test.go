package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/oauth2"
)

// asTool makes the test binary be the tool, for the processes of the demo.
const asTool = "AXLE_EXAMPLE_CLI"

func TestMain(m *testing.M) {
	if os.Getenv(asTool) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// newSettings returns the settings of a tool that nobody is signed in to, and its server.
func newSettings(t *testing.T) (settings, *server, *bytes.Buffer) {
	t.Helper()
	server, err := startServer("http://127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "state", "session.json")
	return settings{server: server.URL, file: file, out: &out, browse: approve}, server, &out
}

func TestDemo_TenProcessesRefreshOnce(t *testing.T) {
	t.Setenv(asTool, "yes")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	assert.Equal(t, processes, strings.Count(out.String(), "  Ada  (process "), out.String())
	assert.Equal(t, 1, strings.Count(out.String(), "refreshed the session"), out.String())
	assert.Contains(t, out.String(), "The server saw 1 refresh, 0 refresh tokens sent twice")
}

func TestCLI_ASignInLastsOverRunsUntilTheLogout(t *testing.T) {
	for name, device := range map[string]bool{"in the browser": false, "on another device": true} {
		t.Run(name, func(t *testing.T) {
			s, server, out := newSettings(t)
			require.ErrorContains(t, s.whoami(t.Context(), false), "nobody is signed in")
			require.NoError(t, s.login(t.Context(), device))
			assert.Equal(t, "Signed in as Ada.\n", out.String())

			for range 3 {
				out.Reset()
				server.expire()
				require.NoError(t, s.whoami(t.Context(), false))
				assert.Equal(t, "Ada\n", out.String())
			}

			require.NoError(t, s.logout(t.Context()))
			require.ErrorContains(t, s.whoami(t.Context(), false), "nobody is signed in")
			assert.Equal(t, counted{refreshes: 3, revoked: 1}, server.counts())
			assert.NoFileExists(t, s.file)
		})
	}
}

func TestCLI_ASessionThatTheServerHasEndedIsNamed(t *testing.T) {
	s, server, _ := newSettings(t)
	require.NoError(t, s.login(t.Context(), false))
	server.mu.Lock()
	for _, l := range server.logins {
		l.revoked = true
	}
	server.mu.Unlock()

	require.ErrorContains(t, s.whoami(t.Context(), false), "the session has ended; run: cli login")
	require.ErrorContains(t, s.whoami(t.Context(), false), "nobody is signed in")
}

// callback returns where a browser that comes from a page goes, with an answer of the server.
func callback(t *testing.T, page string, answer url.Values) string {
	t.Helper()
	u, err := url.Parse(page)
	require.NoError(t, err)
	if !answer.Has("state") {
		answer.Set("state", u.Query().Get("state"))
	}
	return u.Query().Get("redirect_uri") + "?" + answer.Encode()
}

func visit(t *testing.T, page string) (status int) {
	t.Helper()
	browser := &http.Client{Transport: &http.Transport{}}
	defer browser.CloseIdleConnections()
	resp, err := browser.Get(page)
	require.NoError(t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestLogin_AnAnswerWithAnotherStateCountsForNothing(t *testing.T) {
	s, _, _ := newSettings(t)
	s.browse = func(page string) error {
		forged := callback(t, page, url.Values{"state": {"forged"}, "code": {"of somebody else"}})
		assert.Equal(t, http.StatusNotFound, visit(t, forged))
		return approve(page)
	}
	require.NoError(t, s.login(t.Context(), false))
}

func TestLogin_ARefusalIsItsError(t *testing.T) {
	s, _, _ := newSettings(t)
	s.browse = func(page string) error {
		visit(t, callback(t, page, url.Values{"error": {"access_denied"}}))
		return nil
	}
	require.ErrorContains(t, s.login(t.Context(), false), `"access_denied"`)
}

func TestLogin_EndsWithItsContext(t *testing.T) {
	s, _, _ := newSettings(t)
	for _, device := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		s.browse = func(string) error { cancel(); return nil }
		require.ErrorIs(t, s.login(ctx, device), context.Canceled)
	}
	assert.NoFileExists(t, s.file)
}

func TestServer_ACodeIsGoodOnceAndForItsVerifierAlone(t *testing.T) {
	s, _, _ := newSettings(t)
	app, err := s.open(t.Context())
	require.NoError(t, err)
	defer app.session.Close()
	app.oauth.RedirectURL = "http://127.0.0.1:1/callback"
	stopped := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	codeFor := func(verifier string) string {
		resp, err := stopped.PostForm(app.oauth.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		back, err := resp.Location()
		require.NoError(t, err)
		return back.Query().Get("code")
	}

	verifier := oauth2.GenerateVerifier()
	good := codeFor(verifier)
	_, err = app.oauth.Exchange(t.Context(), good, oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	_, err = app.oauth.Exchange(t.Context(), good, oauth2.VerifierOption(verifier))
	require.ErrorContains(t, err, "invalid_grant")

	_, err = app.oauth.Exchange(t.Context(), codeFor(verifier), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	require.ErrorContains(t, err, "invalid_grant")
}

func TestServer_ARefreshTokenThatIsSentTwiceEndsTheLogin(t *testing.T) {
	s, server, _ := newSettings(t)
	app, err := s.open(t.Context())
	require.NoError(t, err)
	defer app.session.Close()
	first, err := inBrowser(t.Context(), app.oauth, approve)
	require.NoError(t, err)

	refresh := func(token string) (*oauth2.Token, error) {
		return app.oauth.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token}).Token()
	}
	second, err := refresh(first.RefreshToken)
	require.NoError(t, err)
	for _, token := range []string{first.RefreshToken, second.RefreshToken} {
		_, err = refresh(token)
		refused, ok := errors.AsType[*oauth2.RetrieveError](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, "invalid_grant", refused.ErrorCode)
	}
	assert.Equal(t, counted{refreshes: 1, reused: 1}, server.counts())
}
