package store_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
)

func jsonAnswer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

func styleOf(r *http.Request) oauth2.AuthStyle {
	if _, _, ok := r.BasicAuth(); ok {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}

func TestOAuth2_OneRefreshSpendsARefreshTokenOnce(t *testing.T) {
	const header, params = oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams
	good := `{"access_token":"a","token_type":"Bearer"}`
	for _, c := range []struct {
		name   string
		style  oauth2.AuthStyle
		secret string
		answer func(style oauth2.AuthStyle) (int, string) // 0: the connection is lost
		want   []oauth2.AuthStyle                         // of what was sent, refresh by refresh
		fails  bool
	}{
		{"a 503", 0, "s", func(oauth2.AuthStyle) (int, string) { return 503, "" }, []oauth2.AuthStyle{header, header}, true},
		{"a 429", 0, "s", func(oauth2.AuthStyle) (int, string) { return 429, "" }, []oauth2.AuthStyle{header, header}, true},
		{"a lost answer", 0, "s", func(oauth2.AuthStyle) (int, string) { return 0, "" }, []oauth2.AuthStyle{header, header}, true},
		{"an answer that is not JSON", 0, "s", func(oauth2.AuthStyle) (int, string) { return 200, "{" }, []oauth2.AuthStyle{header, header}, true},
		{"invalid_grant", 0, "s", func(oauth2.AuthStyle) (int, string) { return 400, `{"error":"invalid_grant"}` }, []oauth2.AuthStyle{header, header}, true},
		{"a 401 without a code", 0, "s", func(oauth2.AuthStyle) (int, string) { return 401, "" }, []oauth2.AuthStyle{header, header}, true},
		{"invalid_client of a broken server", 0, "s", func(oauth2.AuthStyle) (int, string) { return 500, `{"error":"invalid_client"}` }, []oauth2.AuthStyle{header, header}, true},
		{"invalid_client, then the other style, remembered", 0, "s", func(style oauth2.AuthStyle) (int, string) {
			if style == header {
				return 401, `{"error":"invalid_client"}`
			}
			return 200, good
		}, []oauth2.AuthStyle{header, params, params}, false},
		{"invalid_client in both styles", 0, "s", func(oauth2.AuthStyle) (int, string) { return 401, `{"error":"invalid_client"}` }, []oauth2.AuthStyle{header, params, header, params}, true},
		{"invalid_client in a style that was set", params, "s", func(oauth2.AuthStyle) (int, string) { return 401, `{"error":"invalid_client"}` }, []oauth2.AuthStyle{params, params}, true},
		{"success in the first style, remembered", 0, "s", func(oauth2.AuthStyle) (int, string) { return 200, good }, []oauth2.AuthStyle{header, header}, false},
		{"a client without a secret", 0, "", func(oauth2.AuthStyle) (int, string) { return 200, good }, []oauth2.AuthStyle{params, params}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var sent []oauth2.AuthStyle
			ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, r *http.Request) {
				style := styleOf(r)
				mu.Lock()
				sent = append(sent, style)
				mu.Unlock()
				status, body := c.answer(style)
				if status == 0 {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err == nil {
						conn.Close()
					}
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			})
			cfg.ClientSecret, cfg.Endpoint.AuthStyle = c.secret, c.style
			refresh := store.OAuth2(cfg)
			for range 2 {
				_, err := refresh(ctx, tokenNamed("old"))
				require.Equal(t, c.fails, err != nil, "%v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, c.want, sent)
			assert.Equal(t, c.style, cfg.Endpoint.AuthStyle, "the config is the user's")
		})
	}
}

// A connection that the server closes when it has read the request, on a connection that has served
// one before: net/http sends some requests again then, and must not send this one.
func TestEndpointAndOAuth2_ALostAnswerOnAReusedConnectionIsNotAskedForAgain(t *testing.T) {
	var sent atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/warm" {
			return
		}
		sent.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	client, base := newLoopback(t, handler)
	for name, refresh := range map[string]store.RefreshFunc{
		"Endpoint": store.Endpoint(client, refreshPath),
		"OAuth2":   withClient(client.HTTPClient(), store.OAuth2(configFor(base))),
	} {
		_, err := client.Get(t.Context(), "/warm")
		require.NoError(t, err)
		sent.Store(0)
		_, err = refresh(t.Context(), tokenNamed("old"))
		require.Error(t, err, name)
		assert.EqualValues(t, 1, sent.Load(), name)
	}
}

func TestOAuth2_KeepsTokensWithAnOddExpiry(t *testing.T) {
	asJSON := func(expires string) string {
		return `{"access_token":"a","refresh_token":"r","id_token":"jwt","n":1.5,"expires_in":` + expires + `}`
	}
	asForm := func(expires string) string {
		return "access_token=a&refresh_token=r&id_token=jwt&expires_in=" + expires
	}
	for _, c := range []struct {
		name, json, form string
		want             time.Duration // 0: unknown
	}{
		{"a number", `3600`, `3600`, time.Hour},
		{"a number in a string", `"3600"`, `3600`, time.Hour},
		{"a float", `3600.0`, `3600.0`, time.Hour},
		{"a fraction", `3600.7`, `3600.7`, time.Hour},
		{"minutes", `"15m"`, `15m`, 0},
		{"an empty string", `""`, ``, 0},
		{"true", `true`, `true`, 0},
		{"null", `null`, `null`, 0},
		{"beyond counting", `1e20`, `1e20`, 0},
		{"digits beyond counting", `99999999999999999999`, `99999999999999999999`, 0},
		{"less than nothing", `-1`, `-1`, 0},
		{"an object", `{}`, `{}`, 0},
	} {
		for contentType, body := range map[string]string{
			"application/json": asJSON(c.json), "text/json": "\ufeff" + asJSON(c.json),
			"application/x-www-form-urlencoded": asForm(c.form), "text/plain": asForm(c.form),
		} {
			t.Run(c.name+", "+contentType, func(t *testing.T) {
				ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", contentType)
					_, _ = io.WriteString(w, body)
				})
				s := loggedIn(store.OAuth2(cfg))
				token, err := s.RefreshToken(ctx)
				require.NoError(t, err)
				assert.Equal(t, "a", token.AccessToken)
				assert.Equal(t, "r", token.RefreshToken)
				assert.Equal(t, "Bearer", token.TokenType, "of the login")
				assert.Equal(t, "jwt", token.Extra("id_token"))
				if c.want == 0 {
					assert.True(t, token.Expiry.IsZero(), "%v", token.Expiry)
				} else {
					assert.WithinDuration(t, time.Now().Add(c.want), token.Expiry, time.Minute)
				}
			})
		}
	}
}

func TestOAuth2_AMemberOfAnotherFormCostsItselfAlone(t *testing.T) {
	const tokens = `"access_token":"a","refresh_token":"r","id_token":"jwt"`
	for _, odd := range []string{
		`"error":false`, `"error":null`, `"error":""`, `"error":{"code":0}`, `"error":[]`, `"error":0`, `"error_description":{}`, `"error_uri":1`,
		`"token_type":1`, `"token_type":null`, `"Expires_In":"15m"`, `"ERROR":false`, `"scope":["a","b"]`,
	} {
		for _, contentType := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
			t.Run(odd+", "+contentType, func(t *testing.T) {
				ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", contentType)
					_, _ = io.WriteString(w, `{`+tokens+`,`+odd+`}`)
				})
				token, err := loggedIn(store.OAuth2(cfg)).RefreshToken(ctx)
				require.NoError(t, err)
				assert.Equal(t, "a", token.AccessToken)
				assert.Equal(t, "r", token.RefreshToken)
				assert.Equal(t, "Bearer", token.TokenType, "of the login")
				assert.Equal(t, "jwt", token.Extra("id_token"))
			})
		}
	}
}

func TestOAuth2_ARefreshTokenOfAnotherFormKeepsTheOldOneAndAnAccessTokenIsNeeded(t *testing.T) {
	for body, want := range map[string]string{
		`{"access_token":"a","refresh_token":7}`: "refresh-old",
		`{"access_token":7,"refresh_token":"r"}`: "",
		`["a","r"]`:                              "",
		`"a"`:                                    "",
		`null`:                                   "",
	} {
		ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		token, err := store.OAuth2(cfg)(ctx, tokenNamed("old"))
		if want == "" {
			require.Error(t, err, body)
			continue
		}
		require.NoError(t, err, body)
		assert.Equal(t, want, token.RefreshToken, body)
	}
}

func TestRejectedOnly_ReadsTheCodeOfAnOAuth2RefusalWhateverElseIsInIt(t *testing.T) {
	for _, c := range []struct{ contentType, body string }{
		{"application/json", "\ufeff" + `{"error":%q}`},
		{"application/json", `{"error":%q,"error_description":{"text":"later"}}`},
		{"application/json", `{"error":%q,"error_uri":false,"expires_in":"15m"}`},
		{"text/plain", `{"error":%q}`},
		{"text/plain", `error=%s`},
	} {
		for code, want := range map[string]bool{"invalid_grant": true, "temporarily_unavailable": false} {
			body := strings.NewReplacer("%q", `"`+code+`"`, "%s", code).Replace(c.body)
			ctx, cfg := authorizationServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, body)
			})
			_, err := store.OAuth2(cfg)(ctx, tokenNamed("old"))
			require.Error(t, err, body)
			assert.Equal(t, want, store.RejectedOnly(err), body)
		}
	}
}
