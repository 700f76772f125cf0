package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// answering is a client whose server gives every request the same answer.
func answering(t *testing.T, status int, contentType, body string) *axle.Client {
	t.Helper()
	client, _ := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return client
}

func TestEndpoint_WithoutAnAccessTokenAnySuccessCountsButAPageOrAnError(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		want                    *oauth2.Token
		fails                   bool
	}{
		{name: "no body", contentType: "text/plain"},
		{name: "an object", contentType: "application/json", body: `{"ok":true}`},
		{name: "a list", contentType: "application/json", body: `[]`},
		{name: "null", contentType: "application/json", body: `null`},
		{name: "null for an access token", contentType: "application/json", body: `{"access_token":null}`},
		{name: "plain text", contentType: "text/plain; charset=utf-8", body: "OK"},
		{name: "a token", contentType: "application/json", body: `{"access_token":"a"}`, want: &oauth2.Token{AccessToken: "a"}},
		{name: "an error", contentType: "application/json", body: `{"error":"invalid_grant"}`, fails: true},
		{name: "a page", contentType: "text/html", body: "<!doctype html>Please log in", fails: true},
		{name: "a page that says it is text", contentType: "text/plain", body: " <html>", fails: true},
		{name: "a page that says it is nothing", contentType: "text/html", body: "Please log in", fails: true},
		{name: "broken JSON", contentType: "text/plain", body: `{"ok":`, fails: true},
		{name: "text that says it is JSON", contentType: "application/json", body: `OK`, fails: true},
		{name: "a refresh token alone", contentType: "application/json", body: `{"refresh_token":"r"}`, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, err := store.Endpoint(answering(t, http.StatusOK, c.contentType, c.body), refreshPath)(t.Context(), nil)
			assert.Equal(t, c.fails, err != nil, "%v", err)
			assert.Equal(t, c.want, token)
		})
	}
}

func TestEndpoint_AnErrorIsARefusalWhateverTheStatus(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		ends   bool
	}{
		{"invalid_grant", http.StatusOK, `{"error":"invalid_grant"}`, true},
		{"invalid_grant beside a token", http.StatusOK, `{"error":"invalid_grant","access_token":"a"}`, true},
		{"temporarily_unavailable", http.StatusOK, `{"error":"temporarily_unavailable"}`, false},
		{"invalid_grant", http.StatusBadRequest, `{"error":"invalid_grant"}`, true},
		{"invalid_grant", http.StatusInternalServerError, `{"error":"invalid_grant"}`, true},
	} {
		t.Run(http.StatusText(c.status)+", "+c.name, func(t *testing.T) {
			client := answering(t, c.status, "application/json", c.body)
			s := loggedIn(store.Endpoint(client, refreshPath), store.WithLogoutWhen(store.RejectedOnly))
			_, err := s.RefreshToken(t.Context())
			require.Error(t, err)
			assert.Equal(t, c.ends, auth.Refused(err))
			if c.ends {
				requireLoggedOut(t, s)
			} else {
				requireStillIn(t, s, "old")
			}
		})
	}
}

func TestEndpoint_TheErrorMapperOfItsClientHidesNoRefusal(t *testing.T) {
	client := answering(t, http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`)
	client.SetErrorMapper(func(*axle.Error) error { return errBoom })
	s := loggedIn(store.Endpoint(client, refreshPath), store.WithLogoutWhen(store.RejectedOnly))
	_, err := s.RefreshToken(t.Context())
	require.ErrorIs(t, err, errBoom)
	assert.True(t, auth.Refused(err))
	requireLoggedOut(t, s)
}

func TestEndpoint_AnAnswerWithOtherNamesFailsAndNamesThem(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"another spelling", `{"accessToken":"s3cret","refreshToken":"s3cret2"}`, `the members "accessToken", "refreshToken" (see EndpointAnswer)`},
		{"an envelope", `{"data":{"access_token":"s3cret"}}`, `the members "data" (see EndpointAnswer)`},
		{"null", `{"access_token":null,"refresh_token":"s3cret"}`, `the members "access_token", "refresh_token" (see EndpointAnswer)`},
		{"a number", `{"access_token":5}`, `the members "access_token"`},
		{"an empty one", `{"access_token":""}`, `the members "access_token"`},
		{"none", `{}`, "no members"},
		{"no object", `["s3cret"]`, "no members"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := loggedIn(store.Endpoint(answering(t, http.StatusOK, "application/json", c.body), refreshPath), store.WithLogoutWhen(store.RejectedOnly))
			_, err := s.RefreshToken(t.Context())
			require.ErrorIs(t, err, axle.CodeBadResponse)
			assert.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "s3cret")
			requireStillIn(t, s, "old")
		})
	}
}

func TestEndpoint_FurtherMembersAreTheTokensExtra(t *testing.T) {
	client := answering(t, http.StatusOK, "application/json",
		`{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":60,"id_token":"jwt","scope":"read","tenant":{"id":7}}`)
	s := loggedIn(store.Endpoint(client, refreshPath))
	token, err := s.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "jwt", token.Extra("id_token"))
	assert.Equal(t, "read", token.Extra("scope"))
	assert.Equal(t, map[string]any{"id": 7.0}, token.Extra("tenant"))
	assert.Nil(t, token.Extra("refresh_token"), "what has a place of its own is not there twice")
	assert.Equal(t, "jwt", s.Token().Extra("id_token"))
}

func TestEndpoint_TheRefreshsTimeLimitAloneBoundsIt(t *testing.T) {
	const slow = 20 * time.Second
	for name, refreshBy := range map[string]func(client *axle.Client) store.RefreshFunc{
		"Endpoint": func(client *axle.Client) store.RefreshFunc { return store.Endpoint(client, refreshPath) },
		"OAuth2, by an http.Client": func(client *axle.Client) store.RefreshFunc {
			return withClient(&http.Client{Transport: client.RoundTripper(), Timeout: time.Second}, store.OAuth2(configFor(client.BaseURL())))
		},
		"OAuth2, by HTTPClient()": func(client *axle.Client) store.RefreshFunc {
			return withClient(client.HTTPClient(), store.OAuth2(configFor(client.BaseURL())))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := axle.New().SetBaseURL("http://axle.test").SetTimeout(time.Second)
				client.SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
					_, _ = io.Copy(io.Discard, r.Body)
					select {
					case <-r.Context().Done():
						return nil, r.Context().Err()
					case <-time.After(slow):
					}
					return jsonAnswer(r, http.StatusOK, `{"access_token":"access-new","token_type":"Bearer"}`), nil
				}))

				s := loggedIn(refreshBy(client))
				token, err := s.RefreshToken(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "access-new", token.AccessToken)

				s = loggedIn(refreshBy(client), store.WithRefreshTimeout(5*time.Second))
				_, err = s.RefreshToken(t.Context())
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		})
	}
}

// withClient gives a refresh its HTTP client.
func withClient(client *http.Client, refresh store.RefreshFunc) store.RefreshFunc {
	return func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		return refresh(context.WithValue(ctx, oauth2.HTTPClient, client), current)
	}
}

func TestEndpointRequest_SendsAnotherBodyHeaderAndMethod(t *testing.T) {
	var got received
	var header http.Header
	client, _ := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		got, header = receive(r), r.Header
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"a"}`)
	})
	_, err := store.Endpoint(client, refreshPath, nil, store.EndpointRequest(func(r *axle.Request, current *oauth2.Token) {
		r.SetMethod(http.MethodPut).SetHeader("Authorization", "Bearer "+current.RefreshToken).SetBody(map[string]string{"refreshToken": current.RefreshToken})
		current.RefreshToken = "changed" // a copy
		r.SetValidateStatus(nil)
	}))(t.Context(), tokenNamed("old"))
	require.NoError(t, err)
	assert.Equal(t, http.MethodPut, got.method)
	assert.Equal(t, "Bearer refresh-old", header.Get("Authorization"))
	assert.JSONEq(t, `{"refreshToken":"refresh-old"}`, got.body)
}

func TestEndpointRequest_CannotUndoWhatKeepsTheRefreshTokenWhereItBelongs(t *testing.T) {
	other, asked := strangers(t)
	target := other + "/steal"
	client, _ := newLoopback(t, redirector(&target))
	refresh := store.Endpoint(client, refreshPath, store.EndpointRequest(func(r *axle.Request, _ *oauth2.Token) {
		r.SetRedirectCheck(func(*http.Request, []*http.Request) error { return nil })
	}))
	_, err := refresh(t.Context(), tokenNamed("old"))
	require.ErrorContains(t, err, "redirects to another origin")
	assert.Zero(t, asked.Load())
}

func TestEndpointAnswer_ReadsTheTokenAndItsErrorOrPanicFailsTheRefresh(t *testing.T) {
	envelope := func(resp *axle.Response) (*oauth2.Token, error) {
		var answer struct {
			Data struct{ AccessToken, RefreshToken string }
		}
		if err := resp.Decode(&answer); err != nil {
			return nil, err
		}
		return &oauth2.Token{AccessToken: answer.Data.AccessToken, RefreshToken: answer.Data.RefreshToken}, nil
	}
	for _, c := range []struct {
		name string
		body string
		read func(*axle.Response) (*oauth2.Token, error)
		want *oauth2.Token // nil: the refresh fails
		ends bool          // under RejectedOnly
	}{
		{"an envelope", `{"data":{"accessToken":"a","refreshToken":"r"}}`, envelope, &oauth2.Token{AccessToken: "a", RefreshToken: "r", TokenType: "Bearer"}, false},
		{"nil and nil keep the token", `{}`, func(*axle.Response) (*oauth2.Token, error) { return nil, nil }, tokenNamed("old"), false},
		{"a token without an access token", `{}`, envelope, nil, false},
		{"an error", `{}`, func(*axle.Response) (*oauth2.Token, error) { return nil, errBoom }, nil, false},
		{"an error over a refusal", `{"error":"invalid_grant"}`, func(*axle.Response) (*oauth2.Token, error) { return nil, errBoom }, nil, true},
		{"a panic", `{}`, func(*axle.Response) (*oauth2.Token, error) { panic("spilled tea") }, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := answering(t, http.StatusOK, "application/json", c.body)
			s := loggedIn(store.Endpoint(client, refreshPath, store.EndpointAnswer(c.read)), store.WithLogoutWhen(store.RejectedOnly))
			token, err := s.RefreshToken(t.Context())
			if c.want != nil {
				require.NoError(t, err)
				assert.Equal(t, c.want, token)
				return
			}
			require.Error(t, err)
			if c.ends {
				require.ErrorIs(t, err, errBoom)
				requireLoggedOut(t, s)
			} else {
				requireStillIn(t, s, "old")
			}
		})
	}
}

func TestEndpoint_AStreamThatTheEditAskedForIsReadAndClosed(t *testing.T) {
	client := answering(t, http.StatusOK, "application/json", `{"access_token":"a"}`)
	stream := store.EndpointRequest(func(r *axle.Request, _ *oauth2.Token) { r.SetStream(true) })
	token, err := store.Endpoint(client, refreshPath, stream)(t.Context(), tokenNamed("old"))
	require.NoError(t, err)
	assert.Equal(t, "a", token.AccessToken)

	ignore := store.EndpointAnswer(func(*axle.Response) (*oauth2.Token, error) { return nil, nil })
	_, err = store.Endpoint(client, refreshPath, stream, ignore)(t.Context(), tokenNamed("old"))
	require.NoError(t, err, "the connection is free again: goleak tells")
}

func TestRejectedOnly_WithAnOAuthCodeInvalidGrantAloneEndsTheSession(t *testing.T) {
	page := `<html><body>Request blocked</body></html>`
	for _, c := range []struct {
		name, contentType, body string
		statuses                []int
		want                    bool
	}{
		{"invalid_grant", "application/json", `{"error":"invalid_grant"}`, []int{200, 400, 401, 403, 500, 503}, true},
		{"invalid_client", "application/json", `{"error":"invalid_client"}`, []int{200, 400, 401, 403}, false},
		{"invalid_request", "application/json", `{"error":"invalid_request"}`, []int{400, 401}, false},
		{"unauthorized_client", "application/json", `{"error":"unauthorized_client"}`, []int{400, 401, 403}, false},
		{"temporarily_unavailable", "application/json", `{"error":"temporarily_unavailable"}`, []int{400, 403, 503}, false},
		{"slow_down", "application/json", `{"error":"slow_down"}`, []int{400, 403}, false},
		{"no code", "application/json", `{"message":"jwt expired"}`, []int{400, 401, 403}, true},
		{"no body", "", ``, []int{400, 401, 403}, true},
		{"no code, another status", "application/json", `{}`, []int{404, 408, 409, 429, 500, 502, 503}, false},
		{"a page by its type", "text/html; charset=utf-8", `Request blocked`, []int{400, 401, 403}, false},
		{"a page by its look", "application/json", " \n" + page, []int{400, 401, 403}, false},
		{"a word that is no code", "application/json", `{"error":"Unauthorized","statusCode":401}`, []int{400, 401, 403}, true},
		{"an error that is no string", "application/json", `{"error":{"code":"invalid_client"}}`, []int{401}, true},
	} {
		for _, status := range c.statuses {
			header := http.Header{"Content-Type": {c.contentType}}
			for _, mark := range []string{"", "\ufeff"} {
				failed := &axle.Error{Response: axle.NewResponse(nil, status, header, []byte(mark+c.body))}
				assert.Equal(t, c.want, store.RejectedOnly(failed), "axle %d: %s, byte order mark %q", status, c.name, mark)
			}

			if c.name == "a word that is no code" { // from an OAuth server every word is one
				continue
			}
			var answer struct{ Error string }
			_ = json.Unmarshal([]byte(c.body), &answer)
			retrieve := &oauth2.RetrieveError{Response: &http.Response{StatusCode: status, Header: header}, Body: []byte(c.body), ErrorCode: answer.Error}
			assert.Equal(t, c.want, store.RejectedOnly(errors.Join(errBoom, retrieve)), "oauth2 %d: %s", status, c.name)
		}
	}
}
