package fetch_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/fetch"
)

func TestOptions_AreThreeEntriesWithTheValuesOfFetch(t *testing.T) {
	for name, values := range map[string][]string{
		fetch.Credentials: {"omit", "same-origin", "include"},
		fetch.Mode:        {"cors", "same-origin", "no-cors"},
		fetch.Redirect:    {"follow", "error", "manual"},
	} {
		assert.True(t, fetch.IsOption(name))
		for _, value := range values {
			assert.NoError(t, fetch.CheckOption(name, []string{value}))
		}
		for _, values := range [][]string{nil, {""}, {"navigate"}, {values[0], values[0]}} {
			assert.ErrorContains(t, fetch.CheckOption(name, values), name)
		}
	}
	for _, name := range []string{"", "Accept", "js.fetch:cache", "Js.fetch:mode", "js.fetch"} {
		assert.False(t, fetch.IsOption(name), name)
	}
}

func TestDrops_TheForbiddenHeadersAndTheUserAgent(t *testing.T) {
	for _, name := range []string{
		"Accept-Charset", "Accept-Encoding", "Access-Control-Request-Headers", "Access-Control-Request-Method",
		"Access-Control-Request-Private-Network", "Connection", "Cookie", "Cookie2", "Date", "Dnt", "Expect", "Host",
		"Keep-Alive", "Origin", "Referer", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via",
		"Proxy-Authorization", "Proxy-X", "Sec-Fetch-Mode", "Sec-X",
	} {
		assert.True(t, fetch.Drops(name, []string{"x"}), name)
		assert.Equal(t, name, http.CanonicalHeaderKey(name))
	}
	for _, name := range []string{"Accept", "Authorization", "Content-Length", "Content-Type", "Range", "X-Api-Key", "Second", "Proxy"} {
		assert.False(t, fetch.Drops(name, []string{"x"}), name)
	}
	for _, name := range []string{"X-Http-Method", "X-Http-Method-Override", "X-Method-Override"} {
		assert.False(t, fetch.Drops(name, []string{"PATCH", "delete, put"}), name)
		assert.True(t, fetch.Drops(name, []string{"PATCH", "delete, Trace"}), name)
	}
}

func TestAllowsMethod_AllButThree(t *testing.T) {
	for _, method := range []string{"CONNECT", "TRACE", "TRACK", "trace"} {
		assert.False(t, fetch.AllowsMethod(method), method)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE", "REPORT"} {
		assert.True(t, fetch.AllowsMethod(method), method)
	}
}

func TestDropsWithoutCORS_AllButTheSafelistedHeaders(t *testing.T) {
	for _, name := range []string{"Accept", "Accept-Language", "Content-Language"} {
		assert.False(t, fetch.DropsWithoutCORS(name, []string{"x"}), name)
	}
	for _, media := range []string{"text/plain;charset=UTF-8", "Application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		assert.False(t, fetch.DropsWithoutCORS("Content-Type", []string{media}), media)
	}
	assert.True(t, fetch.DropsWithoutCORS("Content-Type", []string{"application/json"}))
	assert.True(t, fetch.DropsWithoutCORS("Authorization", []string{"x"}))
}

func TestNonASCII_IsTheFirstByteBeyondASCII(t *testing.T) {
	assert.Equal(t, -1, fetch.NonASCII("plain\t~"))
	assert.Equal(t, 3, fetch.NonASCII("caf\u00e9"))
	assert.Equal(t, 1, fetch.NonASCII("a\xff"))
}

func TestDecodes_WhatBrowsersKnowAndNothingElse(t *testing.T) {
	for _, list := range [][]string{{"gzip"}, {"X-GZIP"}, {"deflate, br"}, {"zstd", "gzip"}} {
		assert.True(t, fetch.Decodes(list), list)
	}
	for _, list := range [][]string{nil, {""}, {"identity"}, {"gzip, lzma"}} {
		assert.False(t, fetch.Decodes(list), list)
	}
}
