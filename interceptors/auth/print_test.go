package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
)

func TestSnapshot_PrintsNoTokenByFmtAndSlog(t *testing.T) {
	s := auth.Snapshot{
		Token: &oauth2.Token{
			AccessToken: "s3cret-access", RefreshToken: "s3cret-refresh",
			Expiry: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		Generation: auth.Generation{Login: 2, Refresh: 3}, Active: true,
		Failures: 1, Failure: errors.New("no answer from https://id.test/token?key=s3cret"),
	}
	values := map[string]any{
		"a value":                      s,
		"a pointer":                    &s,
		"in a struct":                  struct{ Snapshot auth.Snapshot }{s},
		"behind a pointer in a struct": struct{ Snapshot *auth.Snapshot }{&s},
		"in a map":                     map[string]auth.Snapshot{"a": s},
		"in a slice":                   []auth.Snapshot{s},
		"in an interface":              []any{s, &s},
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			printed := fmt.Sprintf(verb, v)
			assert.NotContains(t, printed, "s3cret", "%s by %s", name, verb)
			assert.Contains(t, printed, "REDACTED until 2026-01-02T03:04:05Z", "%s by %s", name, verb)
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "session", v)
		assert.NotContains(t, out.String(), "s3cret", name)
	}

	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "value", s, "pointer", &s)
	assert.NotContains(t, out.String(), "s3cret")
	assert.Contains(t, out.String(),
		`"token":"REDACTED until 2026-01-02T03:04:05Z","login":2,"refresh":3,"active":true`)

	assert.Contains(t, fmt.Sprint(auth.Snapshot{}), "token: none")
	assert.NotPanics(t, func() { slog.New(slog.DiscardHandler).Info(fmt.Sprint((*auth.Snapshot)(nil))) })
}

type silentSession struct{ token *oauth2.Token }

func (s silentSession) Token() *oauth2.Token                                { return s.token }
func (s silentSession) RefreshToken(context.Context) (*oauth2.Token, error) { return s.token, nil }
func (s silentSession) Logout(context.Context) error                        { return nil }

func TestInterceptor_PrintsNothingOfItsSession(t *testing.T) {
	i := auth.New(silentSession{&oauth2.Token{AccessToken: "s3cret"}})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "auth.Interceptor", fmt.Sprintf(verb, i), verb)
	}
}
