package fetch_test

import (
	"net/http"
	"strings"
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
	assert.EqualError(t, fetch.CheckOption("js.fetch:cache", []string{"no-store"}),
		`"js.fetch:cache" is no option of fetch that net/http passes on: `+
			`it passes on js.fetch:credentials, js.fetch:mode, js.fetch:redirect`)
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

func TestDropsWithoutCORS_AValueThatIsLongOrHasAnUnsafeByte(t *testing.T) {
	for _, name := range []string{"Accept", "Accept-Language", "Content-Language", "Content-Type"} {
		text := map[bool]string{true: "text/plain;", false: "*"}[name == "Content-Type"]
		assert.False(t, fetch.DropsWithoutCORS(name, []string{text + strings.Repeat("x", 128-len(text))}), name)
		assert.True(t, fetch.DropsWithoutCORS(name, []string{text + strings.Repeat("x", 129-len(text))}), name)
		assert.True(t, fetch.DropsWithoutCORS(name, []string{text, strings.Repeat("x", 127-len(text))}), name)
		for _, unsafe := range []string{`"`, "(", ")", ":", "<", ">", "?", "@", "[", `\`, "]", "{", "}", "\x7f", "\x01"} {
			assert.True(t, fetch.DropsWithoutCORS(name, []string{text + unsafe}), name+unsafe)
		}
	}
	assert.False(t, fetch.DropsWithoutCORS("Accept", []string{"a_b/c\t"}))
	for _, value := range []string{"de_DE", "de/x", "de\t"} {
		assert.True(t, fetch.DropsWithoutCORS("Accept-Language", []string{value}), value)
	}
	assert.False(t, fetch.DropsWithoutCORS("Accept-Language", []string{"de-DE, EN;q=0.9, *"}))
}

func TestResolvesPath_ADotSegmentAlsoIfItIsEscaped(t *testing.T) {
	for _, path := range []string{"/..", "/./a", "/a/../b", "/%2e", "/%2E%2e/a", "/.%2e"} {
		assert.True(t, fetch.ResolvesPath(path), path)
	}
	for _, path := range []string{"", "/", "//", "/a.b/..c", "/...", "/..;a", "/a%2F..", "/%252e"} {
		assert.False(t, fetch.ResolvesPath(path), path)
	}
}

func TestBadQueryByte_IsWhatABrowserRemovesAndWhatEndsTheQuery(t *testing.T) {
	for query, at := range map[string]int{
		"": -1, "a=1&b=%23+c|\"'": -1, "\u00e9=1": -1,
		"a#b": 1, "a b": 1, "ab\t": 2, "\n": 0, "a\x7f": 1, "\xff": 0,
	} {
		assert.Equal(t, at, fetch.BadQueryByte(query), query)
	}
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
