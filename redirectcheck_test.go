package axle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

type redirectCheck = func(next *http.Request, via []*http.Request) error

// The client's check, and the request's in its place.

func TestRedirectCheck_TheClientsIsAskedBeforeEachRedirectOfEachCall(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	var asked []string
	c.SetRedirectCheck(func(next *http.Request, via []*http.Request) error {
		asked = append(asked, fmt.Sprintf("%s after %d", next.URL.Path, len(via)))
		next.Header.Set("X-Checked", "yes")
		return nil
	})
	for range 2 {
		resp, err := c.Get(t.Context(), "/301/302/end")
		require.NoError(t, err)
		assert.Equal(t, []string{"/302/end after 1", "/end after 2"}, asked)
		assert.Equal(t, "yes", resp.Raw().Request.Header.Get("X-Checked"), "it may change the request")
		asked = nil
	}
}

func TestRedirectCheck_ARequestsOwnTakesThePlaceOfTheClients(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	var asked []string
	check := func(name string) func(*http.Request, []*http.Request) error {
		return func(*http.Request, []*http.Request) error { asked = append(asked, name); return nil }
	}
	c.SetRedirectCheck(check("client"))
	for name, x := range map[string]struct {
		edit func(*axle.Request)
		want []string
	}{
		"none":                {nil, []string{"client"}},
		"its own":             {func(r *axle.Request) { r.SetRedirectCheck(check("request")) }, []string{"request"}},
		"nil, which is none":  {func(r *axle.Request) { r.SetRedirectCheck(nil) }, nil},
		"its own, of a clone": {func(r *axle.Request) { *r = *r.SetRedirectCheck(check("request")).Clone() }, []string{"request"}},
	} {
		asked = nil
		_, err := c.Get(t.Context(), "/302/end", x.edit)
		require.NoError(t, err, name)
		assert.Equal(t, x.want, asked, name)
	}

	asked = nil
	useRequest(c, func(r *axle.Request) { r.SetRedirectCheck(check("handler")) })
	_, err := c.Get(t.Context(), "/302/end")
	require.NoError(t, err)
	assert.Equal(t, []string{"handler"}, asked, "a handler's is the request's")
}

func TestRedirectCheck_NilIsNoneAndACloneHasTheClients(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	c.SetRedirectCheck(func(*http.Request, []*http.Request) error { return errBoom })
	clone := c.Clone()
	c.SetRedirectCheck(nil)

	_, err := c.Get(t.Context(), "/302/end")
	require.NoError(t, err)
	_, err = clone.Get(t.Context(), "/302/end")
	require.ErrorIs(t, err, errBoom)
}

func TestRedirectCheck_ItsErrorIsTheCauseOfTheCallsError(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	type refusal struct{ error }
	c.SetRedirectCheck(func(*http.Request, []*http.Request) error { return refusal{errBoom} })
	_, err := c.Get(t.Context(), "/302/end")
	var cause refusal
	require.ErrorAs(t, err, &cause)
	assert.Nil(t, asAxle(t, err).Response)
	assert.Len(t, server.taken(), 1, "the redirect is not followed")

	// A check may also return an error of axle's, which keeps its code.
	c.SetRedirectCheck(func(*http.Request, []*http.Request) error { return &axle.Error{Code: axle.CodeCanceled} })
	_, err = c.Get(t.Context(), "/302/end")
	require.ErrorIs(t, err, axle.CodeCanceled)
}

func TestRedirectCheck_ItsErrorIsAHandlersAndNotTheNetworks(t *testing.T) {
	refuse := func(err error) redirectCheck {
		return func(*http.Request, []*http.Request) error { return err }
	}
	cases := map[string]struct {
		install func(*axle.Client, redirectCheck)
		err     error
		code    axle.Code
	}{
		"the client's": {func(c *axle.Client, check redirectCheck) { c.SetRedirectCheck(check) }, errBoom, axle.CodeInterceptor},
		"a resty policy": {func(c *axle.Client, check redirectCheck) {
			c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.RedirectPolicyFunc(check)) })
		}, errBoom, axle.CodeInterceptor},
		"one that looks like a timeout": {func(c *axle.Client, check redirectCheck) { c.SetRedirectCheck(check) },
			os.ErrDeadlineExceeded, axle.CodeInterceptor},
		"one around an *Error": {func(c *axle.Client, check redirectCheck) { c.SetRedirectCheck(check) },
			fmt.Errorf("here: %w", &axle.Error{Code: axle.CodeTooLarge}), axle.CodeTooLarge},
	}
	for name, x := range cases {
		server := new(hops)
		c := newLoopback(t, server.ServeHTTP)
		x.install(c, refuse(x.err))
		_, err := c.Get(t.Context(), "/302/end")
		assert.Equal(t, x.code, asAxle(t, err).Code, name)
		assert.Equal(t, "/302/end", asAxle(t, err).Request.URL, name)
	}
}

func TestRedirectCheck_WhatItMakesOfTheRequestIsSentOrIsAClearErrorAndNeverPanics(t *testing.T) {
	for name, x := range map[string]struct {
		change func(next *http.Request)
		code   axle.Code
		text   string
	}{
		"no URL":             {func(r *http.Request) { r.URL = nil }, axle.CodeInterceptor, "set the URL of the request to nil"},
		"an empty URL":       {func(r *http.Request) { r.URL = new(url.URL) }, axle.CodeInvalidURL, `the scheme ""`},
		"a URL without host": {func(r *http.Request) { r.URL = &url.URL{Scheme: "http"} }, axle.CodeNetwork, "no Host"},
		"a bad method":       {func(r *http.Request) { r.Method = "A B" }, axle.CodeNetwork, "invalid method"},
		"no header":          {func(r *http.Request) { r.Header = nil }, "", ""},
		"no method":          {func(r *http.Request) { r.Method = "" }, "", ""},
	} {
		for who, install := range map[string]func(*axle.Client, redirectCheck){
			"client": func(c *axle.Client, check redirectCheck) { c.SetRedirectCheck(check) },
			"engine": func(c *axle.Client, check redirectCheck) {
				c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.RedirectPolicyFunc(check)) })
			},
		} {
			// A cookie of the jar goes into the header of each hop.
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1", Path: "/"})
				new(hops).ServeHTTP(w, r)
			})
			install(c, func(next *http.Request, _ []*http.Request) error { x.change(next); return nil })
			_, err := c.Get(t.Context(), "/302/end")
			if x.code == "" {
				require.NoError(t, err, "%s, %s", name, who)
				continue
			}
			assert.Equal(t, x.code, asAxle(t, err).Code, "%s, %s", name, who)
			require.ErrorContains(t, err, x.text, "%s, %s", name, who)
		}
	}
}

func TestRedirectCheck_OneThatWaitsEndsWithTheCall(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	ctx, cancel := context.WithCancelCause(t.Context())
	c.SetRedirectCheck(func(next *http.Request, _ []*http.Request) error {
		cancel(errBoom)
		<-next.Context().Done()
		return context.Cause(next.Context())
	})
	_, err := c.Get(ctx, "/302/end")
	require.ErrorIs(t, err, axle.CodeCanceled)
	require.ErrorIs(t, err, errBoom)

	c.SetTimeout(time.Millisecond).SetRedirectCheck(func(next *http.Request, _ []*http.Request) error {
		<-next.Context().Done()
		return next.Context().Err()
	})
	_, err = c.Get(t.Context(), "/302/end")
	require.ErrorIs(t, err, axle.CodeTimeout)
}

func TestRedirectCheck_ErrUseLastResponseMakesTheRedirectTheResponse(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	c.SetRedirectCheck(func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })
	_, err := c.Get(t.Context(), "/302/end")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	assert.Equal(t, http.StatusFound, asAxle(t, err).StatusCode(), "ValidateStatus judges it")

	for _, stream := range []bool{false, true} {
		resp, err := c.R(t.Context()).SetValidateStatus(nil).SetStream(stream).Get("/302/end")
		require.NoError(t, err)
		require.NoError(t, resp.Buffer())
		assert.Equal(t, http.StatusFound, resp.StatusCode)
		assert.Equal(t, "moved", resp.String())
		assert.Equal(t, "/end", resp.Header.Get("Location"))
	}
}

func TestRedirectCheck_DoesNotLiftTheLimitOrTheSchemes(t *testing.T) {
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, http.StatusFound, "")
		resp.Header.Set("Location", r.URL.Path+"/again")
		return resp, nil
	})
	asked := 0
	c.SetMaxRedirects(2).SetRedirectCheck(func(next *http.Request, _ []*http.Request) error {
		asked++
		if next.URL.Query().Has("elsewhere") {
			next.URL.Scheme = "ftp"
		}
		return nil
	})
	_, err := c.Get(t.Context(), "")
	require.ErrorIs(t, err, axle.CodeTooManyRedirects)
	assert.Equal(t, 2, asked, "it is not asked of the one that is too many")
	assert.EqualValues(t, 3, network.Sent.Load())

	network.Answer = func(r *http.Request) (*http.Response, error) {
		resp := reply(r, http.StatusFound, "")
		resp.Header.Set("Location", "/?elsewhere")
		return resp, nil
	}
	network.Sent.Store(0)
	_, err = c.Get(t.Context(), "")
	require.ErrorIs(t, err, axle.CodeInvalidURL, "of a scheme that the check writes")
	assert.EqualValues(t, 1, network.Sent.Load())

	asked = 0
	resp, err := c.SetMaxRedirects(0).SetValidateStatus(nil).Get(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, http.StatusFound, resp.StatusCode)
	assert.Zero(t, asked, "a client that follows no redirect asks nobody")
}

func TestRedirectCheck_ItCannotTakeACredentialToAnotherOrigin(t *testing.T) {
	for name, x := range map[string]struct {
		location string
		check    func(next *http.Request, via []*http.Request)
		crosses  bool
	}{
		"it copies the credentials": {"http://elsewhere.test/end", func(next *http.Request, via []*http.Request) {
			next.Header = via[0].Header.Clone()
		}, true},
		"it writes one in another case": {"http://elsewhere.test/end", func(next *http.Request, _ []*http.Request) {
			next.Header["x-api-key"] = []string{"secret"}
		}, true},
		"it changes the host of the URL": {"/end", func(next *http.Request, _ []*http.Request) {
			next.URL.Host = "elsewhere.test"
		}, true},
		"it changes the port of the URL": {"/end", func(next *http.Request, _ []*http.Request) {
			next.URL.Host += ":81"
		}, true},
		"it changes the scheme": {"/end", func(next *http.Request, _ []*http.Request) {
			next.URL.Scheme = "https"
		}, true},
		"it changes the URL": {"/end", func(next *http.Request, _ []*http.Request) {
			next.URL = &url.URL{Scheme: "http", Host: "elsewhere.test", Path: "/end"}
		}, true},
		"it changes the Host": {"/end", func(next *http.Request, _ []*http.Request) {
			next.Host = "elsewhere.test"
		}, true},
		"it comes back to the origin": {"http://elsewhere.test/end", func(next *http.Request, via []*http.Request) {
			next.URL = via[0].URL
			next.Header = via[0].Header.Clone()
		}, false},
		"it stays": {"/end", func(*http.Request, []*http.Request) {}, false},
	} {
		for who, set := range map[string]func(*axle.Client, func(*http.Request, []*http.Request) error) func(*axle.Request){
			"client": func(c *axle.Client, check func(*http.Request, []*http.Request) error) func(*axle.Request) {
				c.SetRedirectCheck(check)
				return nil
			},
			"request": func(_ *axle.Client, check func(*http.Request, []*http.Request) error) func(*axle.Request) {
				return func(r *axle.Request) { r.SetRedirectCheck(check) }
			},
			"engine": func(c *axle.Client, check func(*http.Request, []*http.Request) error) func(*axle.Request) {
				c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.RedirectPolicyFunc(check)) })
				return nil
			},
		} {
			label := name + ", " + who
			hop := 0
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				if hop++; hop > 1 {
					return reply(r, http.StatusOK, ""), nil
				}
				resp := reply(r, http.StatusFound, "")
				resp.Header.Set("Location", x.location)
				return resp, nil
			})
			c.SetHeader("Authorization", "Bearer secret").SetSensitiveHeaders("X-Mine").SetHeader("X-Plain", "plain")
			edit := set(c, func(next *http.Request, via []*http.Request) error { x.check(next, via); return nil })
			resp, err := c.Get(t.Context(), "/start", edit,
				axle.WithHeader("X-Api-Key", "secret"), axle.WithHeader("X-Mine", "secret"), axle.WithHeader("Cookie", "a=secret"))
			require.NoError(t, err, label)

			sent := resp.Raw().Request
			assert.Equal(t, "plain", sent.Header.Get("X-Plain"), label)
			var secrets []string
			for header, list := range sent.Header {
				if slices.ContainsFunc(list, func(v string) bool { return v != "plain" && len(v) > 5 && v[len(v)-6:] == "secret" }) {
					secrets = append(secrets, header)
				}
			}
			slices.Sort(secrets)
			if x.crosses {
				assert.Empty(t, secrets, label)
			} else {
				assert.Equal(t, []string{"Authorization", "Cookie", "X-Api-Key", "X-Mine"}, secrets, label)
			}
		}
	}
}

func TestRedirectCheck_ARestyClientsPolicyIsAskedFirstAndItsRefusalStands(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	var asked []string
	check := func(name string, err error) func(*http.Request, []*http.Request) error {
		return func(*http.Request, []*http.Request) error { asked = append(asked, name); return err }
	}
	c.SetRedirectCheck(check("client", nil))
	c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.RedirectPolicyFunc(check("policy", nil))) })
	_, err := c.Get(t.Context(), "/302/end")
	require.NoError(t, err)
	assert.Equal(t, []string{"policy", "client"}, asked)

	asked = nil
	c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.RedirectPolicyFunc(check("policy", errBoom))) })
	_, err = c.Get(t.Context(), "/302/end")
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, []string{"policy"}, asked)
}

func TestRedirectCheck_BehindTheBridgeTheHTTPClientsOwnIsAsked(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	c.SetRedirectCheck(func(*http.Request, []*http.Request) error { t.Error("axle's was asked"); return nil })
	asked := 0
	hc := c.HTTPClient()
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { asked++; return errors.ErrUnsupported }
	resp, err := hc.Get(c.BaseURL() + "/302/end")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 1, asked)
}
