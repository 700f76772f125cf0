//go:build js

package browser_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func setCookie(t *testing.T, c *axle.Client, name string) {
	t.Helper()
	_, err := c.Get(t.Context(), "/api/cookie/"+name+"?set="+name+"%3D1")
	require.NoError(t, err)
}

func TestWithCredentials_ACookieSessionHoldsAcrossOriginsWithItAlone(t *testing.T) {
	without := axle.New().SetBaseURL(otherOrigin(t))
	with := axle.New().SetBaseURL(otherOrigin(t)).SetWithCredentials(true)

	// The cookie of a response is dropped where credentials are not included.
	setCookie(t, without, "dropped")
	assert.NotContains(t, echo(t, with, "credentials").Header.Get("Cookie"), "dropped=1")

	setCookie(t, with, "session")
	assert.Contains(t, echo(t, with, "credentials").Header.Get("Cookie"), "session=1")
	assert.NotContains(t, echo(t, without, "credentials").Header.Get("Cookie"), "session=1")

	// It can be turned off.
	assert.NotContains(t, echo(t, with.SetWithCredentials(false), "credentials").Header.Get("Cookie"), "session=1")
}

func TestWithCredentials_ThePagesOwnOriginNeedsNone(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	setCookie(t, c, "own")
	assert.Contains(t, echo(t, c, "own").Header.Get("Cookie"), "own=1")
}

func TestWithCredentials_ACloneStartsWithItAndIsIndependentThen(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetWithCredentials(true)
	setCookie(t, c, "cloned")
	clone := c.Clone()
	assert.Contains(t, echo(t, clone, "clone").Header.Get("Cookie"), "cloned=1")

	c.SetWithCredentials(false)
	assert.Contains(t, echo(t, clone, "clone").Header.Get("Cookie"), "cloned=1")
}

func TestWithCredentials_ACallKeepsWhatItStartedWith(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetWithCredentials(true)
	setCookie(t, c, "snapshot")
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		c.SetWithCredentials(false)
		return r, nil
	}, nil)
	assert.Contains(t, echo(t, c, "snapshot").Header.Get("Cookie"), "snapshot=1")
	assert.NotContains(t, echo(t, c, "snapshot").Header.Get("Cookie"), "snapshot=1")
}

func TestWithCredentials_HoldsBehindTheBridge(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetWithCredentials(true)
	setCookie(t, c, "bridged")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, otherOrigin(t)+"/api/echo/bridge", nil)
	require.NoError(t, err)
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	list := kept(t, otherOrigin(t), "bridge")
	require.Len(t, list, 1)
	assert.Contains(t, list[0].Header.Get("Cookie"), "bridged=1")
}

func TestFetchOptions_ARequestsOwnGoBeforeTheClients(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetWithCredentials(true)
	setCookie(t, c, "chosen")
	for _, one := range []struct {
		credentials string
		sent        bool
	}{{"include", true}, {"same-origin", false}, {"omit", false}} {
		got := echo(t, c, "chosen", axle.WithHeader("js.fetch:credentials", one.credentials))
		assert.Equal(t, one.sent, containsCookie(got, "chosen=1"), one.credentials)
	}

	// A default of the client is an option too, whatever the origin.
	c = axle.New().SetHeader("js.fetch:credentials", "include")
	got, err := axle.Get[received](t.Context(), c, otherOrigin(t)+"/api/echo/chosen")
	require.NoError(t, err)
	assert.True(t, containsCookie(got, "chosen=1"))
}

func TestFetchOptions_ReachFetchAndAreNotSent(t *testing.T) {
	seen := watchFetch(t)
	c := axle.New().SetBaseURL(pageOrigin(t)).
		SetHeader("js.fetch:credentials", "omit").SetHeader("js.fetch:mode", "same-origin").
		SetHeader("js.fetch:redirect", "manual")
	got := echo(t, c, "options")

	require.Len(t, seen(), 1)
	for option, want := range map[string]string{"credentials": "omit", "mode": "same-origin", "redirect": "manual"} {
		assert.Equal(t, want, seen()[0].Get(option).String(), option)
		assert.NotContains(t, got.Header, http.CanonicalHeaderKey("js.fetch:"+option))
	}
}

func TestFetchOptions_TheModeAndTheRedirectAreKept(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))

	_, err := c.Get(t.Context(), otherOrigin(t)+"/api/echo/mode", axle.WithHeader("js.fetch:mode", "same-origin"))
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.Empty(t, kept(t, otherOrigin(t), "mode"))

	redirect := func(mode string) error {
		_, err := c.Get(t.Context(), "/api/redirect/mode?to=/api/echo/mode", axle.WithHeader("js.fetch:redirect", mode))
		return err
	}
	require.NoError(t, redirect("follow"))
	require.ErrorIs(t, redirect("error"), axle.CodeNetwork)
	require.ErrorIs(t, redirect("manual"), axle.CodeBadResponse) // the status is 0
	assert.Len(t, kept(t, pageOrigin(t), "mode"), 1)
}

func TestFetchOptions_AValueThatFetchDoesNotTakeIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t))
	for name, values := range map[string][]string{
		"js.fetch:credentials": {"all", "", "Include"},
		"js.fetch:mode":        {"navigate", "x", "websocket"},
		"js.fetch:redirect":    {"never"},
	} {
		for _, value := range values {
			_, err := c.Get(t.Context(), "/api/echo/invalid", axle.WithHeader(name, value))
			refused(t, err, "invalid", name)
		}
	}
	_, err := c.Get(t.Context(), "/api/echo/invalid", axle.WithHeader("js.fetch:cache", "no-store"))
	refused(t, err, "invalid", "js.fetch:cache")
}

func TestEncodings_AreTheBrowsersAndAreUndoneOnce(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, as := range []string{"gzip", "deflate"} {
		resp, err := c.Get(t.Context(), "/api/encoded/x?as="+as)
		require.NoError(t, err, as)
		assert.JSONEq(t, `{"encoding":"undone"}`, resp.String(), as)
		assert.Empty(t, resp.Header.Get("Content-Encoding"), as)
		assert.Empty(t, resp.Header.Get("Content-Length"), as)
	}
}

func TestUserinfo_OfAURLIsAnAuthorizationAsElsewhere(t *testing.T) {
	u := "http://ada:secret@" + pageOrigin(t)[len("http://"):]
	got, err := axle.Get[received](t.Context(), axle.New(), u+"/api/echo/userinfo")
	require.NoError(t, err)
	assert.Equal(t, axle.BasicAuth("ada", "secret"), got.Header.Get("Authorization"))
}

func TestUserinfo_OfAURLGoesAlongToTheNextPageOfItsOriginAlone(t *testing.T) {
	u := "http://ada:secret@" + pageOrigin(t)[len("http://"):]
	for next, want := range map[string][]string{
		pageOrigin(t):  {"ada", "ada"},
		otherOrigin(t): {"ada", ""},
	} {
		nextOf := func(page received) string {
			if strings.Contains(page.URL, "at=") {
				return ""
			}
			return next + "/api/echo/pages?at=2"
		}
		var users []string
		for page, err := range axle.Pages(t.Context(), axle.New(), u+"/api/echo/pages", axle.NextURL(nextOf)) {
			require.NoError(t, err)
			user, _, _ := (&http.Request{Header: page.Header}).BasicAuth()
			users = append(users, user)
		}
		assert.Equal(t, want, users)
	}
}

func TestHeaders_AxlesOwnUserAgentAndAcceptEncodingAreTheBrowsers(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		assert.NotContains(t, r.Header, "User-Agent")
		return r, nil
	}, nil)
	got := echo(t, c, "agent")
	assert.Contains(t, got.Header.Get("User-Agent"), "Chrome")
	assert.Contains(t, got.Header.Get("Accept"), "application/json")
}

func containsCookie(got received, pair string) bool {
	for _, c := range (&http.Request{Header: got.Header}).Cookies() {
		if c.Name+"="+c.Value == pair {
			return true
		}
	}
	return false
}
