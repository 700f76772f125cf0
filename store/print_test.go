package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/store"
)

type account struct{ Name, Pin string }

func TestState_PrintsNeitherTokenNorUserByFmtAndSlog(t *testing.T) {
	s := store.State[account]{
		User: &account{"ada", "s3cret-pin"},
		Token: &oauth2.Token{
			AccessToken: "s3cret-access", RefreshToken: "s3cret-refresh", Expiry: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
	values := map[string]any{
		"a value": s, "a pointer": &s, "in a struct": struct{ State store.State[account] }{s},
		"behind a pointer in a struct": struct{ State *store.State[account] }{&s}, "in a map": map[string]store.State[account]{"a": s},
		"in a slice": []store.State[account]{s}, "in an interface": []any{s, &s},
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			printed := fmt.Sprintf(verb, v)
			assert.NotContains(t, printed, "s3cret", "%s by %s", name, verb)
			assert.Contains(t, printed, "a store_test.account, token: REDACTED until 2026-01-02T03:04:05Z", "%s by %s", name, verb)
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "state", v)
		assert.NotContains(t, out.String(), "s3cret", name)
	}

	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "value", s, "pointer", &s)
	assert.NotContains(t, out.String(), "s3cret")
	assert.Contains(t, out.String(), `"value":{"user":"a store_test.account","token":"REDACTED until 2026-01-02T03:04:05Z"`)

	assert.Equal(t, "store.State(user: none, token: none, checking auth: false)", fmt.Sprint(store.State[account]{}))
	assert.NotPanics(t, func() { slog.New(slog.DiscardHandler).Info(fmt.Sprint((*store.State[account])(nil))) })
}

func TestState_AsJSONKeepsUserAndTokenSoThatItCanBeStored(t *testing.T) {
	raw, err := json.Marshal(store.State[account]{User: &account{"ada", "1"}, Token: &oauth2.Token{AccessToken: "a"}})
	require.NoError(t, err)
	var back store.State[account]
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.Equal(t, "a", back.Token.AccessToken)
	assert.Equal(t, "ada", back.User.Name)
}

func TestStore_PrintsNoTokenByFmtAndSlog(t *testing.T) {
	s := store.New[account](nil)
	s.Login(account{"ada", "s3cret-pin"}, &oauth2.Token{AccessToken: "s3cret-access"})
	for _, v := range []any{s, s.TokenSource(t.Context()), []any{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			assert.NotContains(t, fmt.Sprintf(verb, v), "s3cret", "%T by %s", v, verb)
		}
	}
	var out bytes.Buffer
	var none *store.UserStore[account]
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "store", s, "none", none)
	assert.NotContains(t, out.String(), "s3cret")
	assert.Contains(t, out.String(), `"token":"REDACTED"`)
	assert.Equal(t, "<nil>", fmt.Sprint(none))
}

func TestStore_AURLThatItPrintsHasNoSecret(t *testing.T) {
	const secret = "?client_secret=s3cret"
	redirect := http.NewServeMux()
	redirect.Handle("/", http.RedirectHandler("http://other.axle.test/"+secret, http.StatusTemporaryRedirect))
	client, url := newLoopback(t, redirect.ServeHTTP)
	closed := newClosedServer(t)

	oauth2Refresh := func(tokenURL string) store.RefreshFunc {
		return store.OAuth2(&oauth2.Config{ClientID: "me", Endpoint: oauth2.Endpoint{TokenURL: tokenURL}})
	}
	panics := &watchedJar{client.HTTPClient().Jar, func() { panic("at " + url + secret) }}

	for _, c := range []struct {
		name    string
		refresh store.RefreshFunc
		want    string
	}{
		{"Endpoint, no server", store.Endpoint(axle.New(), closed+"/token"+secret), "/token?client_secret=REDACTED"},
		{"Endpoint, a path", store.Endpoint(axle.New().SetBaseURL(closed), "/token"+secret), "/token?client_secret=REDACTED"},
		{"Endpoint, no URL", store.Endpoint(axle.New(), "http://user:s3cret@["), "refreshing at REDACTED@["},
		{"Endpoint, a redirect", store.Endpoint(client, "/token"+secret), "redirects to another origin"},
		{"OAuth2, no server", oauth2Refresh(closed + secret), "?client_secret=REDACTED"},
		{"OAuth2, no URL", oauth2Refresh("http://user:s3cret@["), "REDACTED@["},
		{"OAuth2, a redirect", oauth2Refresh(url + secret), "redirects to another origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store.New[account](c.refresh)
			s.Login(account{}, tokenNamed("old"))
			_, err := s.RefreshToken(t.Context())
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}

	t.Run("a jar's panic, in the log", func(t *testing.T) {
		var log bytes.Buffer
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		t.Cleanup(func() { slog.SetDefault(before) })

		server := &cookieServer{sessions: map[string]string{}, body: `{"access_token":"new"}`}
		client, _ := newLoopback(t, server.ServeHTTP)
		s := loggedIn(store.Endpoint(client.SetCookieJar(panics), refreshPath))
		_, err := s.RefreshToken(t.Context())
		require.NoError(t, err)
		assert.Contains(t, log.String(), "client_secret=REDACTED")
		assert.NotContains(t, log.String(), "s3cret")
	})
}

// newClosedServer returns the URL of a server that does not listen any more.
func newClosedServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}
