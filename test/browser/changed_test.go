//go:build js

package browser_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// bridged sends a POST behind the bridge, as an SDK does.
func bridged(t *testing.T, edit func(*http.Request)) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, pageOrigin(t)+"/api/echo/changed", strings.NewReader("x"))
	require.NoError(t, err)
	edit(req)
	resp, err := axle.New().HTTPClient().Do(req)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

func TestURLs_APathThatABrowserWouldResolveIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, path := range []string{
		"/api/x/../echo/changed", "/api/echo/./changed", "/api/x/%2e%2E/echo/changed", "/api/x/.%2e/echo/changed", "/api/echo/changed/..",
	} {
		_, err := c.Get(t.Context(), path)
		refused(t, err, "changed", `"." or ".."`)
	}
	refused(t, bridged(t, func(r *http.Request) { r.URL.Path = "/api/x/../echo/changed" }), "changed", `"." or ".."`)

	// These are names, and no dot segments.
	for _, path := range []string{"/api/echo/..changed", "/api/echo/...", "/api/echo/.changed"} {
		_, err := c.Get(t.Context(), path)
		require.NoError(t, err, path)
	}
}

func TestURLs_AQueryOfWhichABrowserWouldDropAPartIsRefused(t *testing.T) {
	for _, query := range []string{"a=1#b=2", "a=\tb", "a=\nb", "a=b ", "a=\x7f", "a=\xff"} {
		refused(t, bridged(t, func(r *http.Request) { r.URL.RawQuery = query }), "changed", "query")
	}
}

func TestURLs_AnOpaqueURLGoesToItsHostAndNotToThePage(t *testing.T) {
	host := strings.TrimPrefix(otherOrigin(t), "http://")
	for _, opaque := range []string{"/api/echo/opaque-url", "//" + host + "/api/echo/opaque-url", "http://" + host + "/api/echo/opaque-url"} {
		before := len(kept(t, otherOrigin(t), "opaque-url"))
		require.NoError(t, bridged(t, func(r *http.Request) {
			r.Header.Set("X-Api-Key", "k")
			r.URL, r.Host = &url.URL{Scheme: "http", Host: host, Opaque: opaque, RawQuery: "a=1"}, host
		}))
		list := kept(t, otherOrigin(t), "opaque-url")[before:]
		assert.Equal(t, "/api/echo/opaque-url?a=1", list[len(list)-1].URL, opaque)
		assert.Equal(t, host, list[len(list)-1].Host, opaque)
	}

	page := strings.TrimPrefix(pageOrigin(t), "http://")
	for _, opaque := range []string{"*", "api/echo/changed", "//" + page + "/api/echo/changed", "/api/echo/changed#a", "//u:p@" + host + "/api/echo/changed"} {
		err := bridged(t, func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Host: host, Opaque: opaque} })
		refused(t, err, "changed", "opaque")
	}
}

func TestURLs_AURLWithoutAHostIsRefusedAndItsPathIsNotTakenForOne(t *testing.T) {
	err := bridged(t, func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Path: "/" + r.URL.Host + "/api/echo/changed"} })
	refused(t, err, "changed", "no host")
}

func TestDropped_ATrailerIsRefused(t *testing.T) {
	err := bridged(t, func(r *http.Request) { r.Trailer = http.Header{"X-Checksum": {"1"}} })
	refused(t, err, "changed", "trailer")
}

func TestDropped_WithoutCORSAValueBeyondTheSafelistIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetHeader("js.fetch:mode", "no-cors")
	for _, header := range [][2]string{
		{"Accept", "a/(b)"}, {"Accept", strings.Repeat("x", 129)}, {"Accept-Language", "de_DE"}, {"Content-Language", "de(x)"},
		{"Content-Type", `text/plain; charset="utf-8"`}, {"Content-Type", "text/plain; a=" + strings.Repeat("x", 120)},
	} {
		_, err := c.Post(t.Context(), "/api/echo/unsafe", "text", axle.WithHeader(header[0], header[1]))
		refused(t, err, "unsafe", header[0])
	}
	for i, header := range [][2]string{
		{"Accept", "text/html, */*;q=0.5"}, {"Accept", strings.Repeat("x", 128)}, {"Accept-Language", "de, en;q=0.5"},
		{"Content-Type", "text/plain; charset=utf-8"},
	} {
		_, err := c.Post(t.Context(), "/api/echo/safe", "text", axle.WithHeader(header[0], header[1]))
		require.ErrorIs(t, err, axle.CodeBadResponse) // the response is opaque
		assert.Equal(t, []string{header[1]}, kept(t, otherOrigin(t), "safe")[i].Header[header[0]])
	}
}

// What resty and its hooks add, axle sees only beneath them.

func TestResty_WhatABrowserDropsIsRefusedWhoeverHasAddedIt(t *testing.T) {
	for name, set := range map[string]func(rc *resty.Client){
		"Cookie":     func(rc *resty.Client) { rc.SetCookie(&http.Cookie{Name: "a", Value: "1"}) },
		"Host":       func(rc *resty.Client) { rc.SetHeader("Host", "api.example.com") },
		"Referer":    func(rc *resty.Client) { rc.SetHeader("Referer", "x") },
		"User-Agent": func(rc *resty.Client) { rc.SetHeader("User-Agent", "x") },
		"X-Name":     func(rc *resty.Client) { rc.SetHeader("X-Name", "caf\u00e9") },
		"X-Control":  func(rc *resty.Client) { rc.SetHeader("X-Control", "a\x00b") },
		"Date": func(rc *resty.Client) {
			rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetHeader("Date", "x"); return nil })
		},
		"Via": func(rc *resty.Client) {
			rc.SetPreRequestHook(func(_ *resty.Client, r *http.Request) error { r.Header.Set("Via", "x"); return nil })
		},
		"the Host": func(rc *resty.Client) {
			rc.SetPreRequestHook(func(_ *resty.Client, r *http.Request) error { r.Host = "api.example.com"; return nil })
		},
		"path": func(rc *resty.Client) {
			rc.SetPreRequestHook(func(_ *resty.Client, r *http.Request) error { r.URL.Path = "/api/x/../echo/resty"; return nil })
		},
	} {
		_, err := axle.New().SetBaseURL(pageOrigin(t)).SetEngine(set).Get(t.Context(), "/api/echo/resty")
		refused(t, err, "resty", name)
	}
}

func TestResty_ARedirectPolicyIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t)).SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.NoRedirectPolicy()) })
	_, err := c.Get(t.Context(), "/api/echo/policy")
	refused(t, err, "policy", "SetRedirectPolicy")
	_, err = c.Get(t.Context(), "/api/echo/policy", axle.WithHeader("js.fetch:redirect", "error"))
	require.NoError(t, err)
}
