package axle_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestURL_IsJoinedToTheBaseURL(t *testing.T) {
	for _, c := range []struct{ base, url, want string }{
		{"http://x.test", "", "http://x.test"},
		{"http://x.test", "/", "http://x.test/"},
		{"http://x.test", "a", "http://x.test/a"},
		{"http://x.test", "/a", "http://x.test/a"},
		{"http://x.test/", "/a", "http://x.test/a"},
		{"http://x.test/v1", "a", "http://x.test/v1/a"},
		{"http://x.test/v1", "/a/", "http://x.test/v1/a/"},
		{"http://x.test/v1/", "/a", "http://x.test/v1/a"},
		{"http://x.test/v1", "", "http://x.test/v1"},
		{"http://x.test/v1", "?q=1", "http://x.test/v1?q=1"},
		{"http://x.test/v1?key=1", "/a?b=2", "http://x.test/v1/a?key=1&b=2"},
		{"http://x.test/v1?key=1#f", "a#g", "http://x.test/v1/a?key=1"},
		{"http://x.test", "/a?b=%2F&c=x%20y&d", "http://x.test/a?b=%2F&c=x%20y&d"},
		{"http://x.test", "/a%2Fb", "http://x.test/a%2Fb"},
		{"http://x.test", "/ü b", "http://x.test/%C3%BC%20b"},
		{"http://x.test", "/a:b", "http://x.test/a:b"},
		{"http://x.test", "a:b", "http://x.test/a:b"},
		{"http://x.test/a%2Fb", "c", "http://x.test/a%2Fb/c"},
		{"http://x.test", "http://y.test/z", "http://y.test/z"},
		{"http://x.test", "HTTPS://Y.test/z", "https://Y.test/z"},
		{"", "https://y.test/z?a=1#f", "https://y.test/z?a=1"},
		{"http://x.test:8080/v1", "a", "http://x.test:8080/v1/a"},
		{"http://[::1]:80", "a", "http://[::1]:80/a"},
	} {
		u, err := axle.New().SetBaseURL(c.base).R(t.Context()).SetURL(c.url).ResolveURL()
		if assert.NoError(t, err, "%q + %q", c.base, c.url) {
			assert.Equal(t, c.want, u.String(), "%q + %q", c.base, c.url)
		}
	}
}

func TestURL_QueriesAreKeptAppendedAndDefaulted(t *testing.T) {
	var seen string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.URL.RawQuery })
	c.SetBaseURL(c.BaseURL()+"?base=1").SetQueryParam("a", "default").SetQueryParam("b", "default").SetQueryParam("c", "default")
	_, err := c.R(t.Context()).SetQueryParam("b", "own").Get("/?a=%2F&z")
	require.NoError(t, err)
	assert.Equal(t, "base=1&a=%2F&z&b=own&c=default", seen)
}

func TestURL_PathParametersAreEscaped(t *testing.T) {
	for _, c := range []struct{ url, value, want string }{
		{"/a/{x}", "b", "http://x.test/a/b"},
		{"/a/{x}/c", "b/../c", "http://x.test/a/b%2F..%2Fc/c"},
		{"/a/{x}", "?q=1#f", "http://x.test/a/%3Fq=1%23f"},
		{"/a/{x}", "ü %", "http://x.test/a/%C3%BC%20%25"},
		{"/a?q={x}", "1&r=2", "http://x.test/a?q=1%26r%3D2"},
		{"/{x}", "//evil.test", "http://x.test/%2F%2Fevil.test"},
		{"/a/{x}", "", "http://x.test/a/"},
		{"/a/{y}{x}", "b", "http://x.test/a/yb"},
		{"/a/{x", "b", "http://x.test/a/%7Bx"},
	} {
		u, err := axle.New().SetBaseURL("http://x.test").R(t.Context()).SetURL(c.url).SetPathParam("x", c.value).SetPathParam("y", "y").ResolveURL()
		if assert.NoError(t, err, c.url) {
			assert.Equal(t, c.want, u.String(), c.url)
		}
	}
}

func TestBadInput_URLs(t *testing.T) {
	for name, c := range map[string]struct {
		base, url, param string
		code             axle.Code
		says             string
	}{
		"a relative base":               {"api.test", "/", "", axle.CodeInvalidURL, "api.test"},
		"a base without a host":         {"http://", "/", "", axle.CodeInvalidURL, "host"},
		"a base of another scheme":      {"ftp://x.test", "/", "", axle.CodeInvalidURL, "ftp"},
		"a malformed base":              {"http://[::1", "/", "", axle.CodeInvalidURL, "base URL"},
		"a malformed path":              {"http://x.test", "/%zz", "", axle.CodeInvalidURL, "%zz"},
		"a malformed URL":               {"", "http://x.test:port", "", axle.CodeInvalidURL, "port"},
		"no base":                       {"", "/a", "", axle.CodeInvalidURL, "no base URL"},
		"nothing at all":                {"", "", "", axle.CodeInvalidURL, "no base URL"},
		"ftp":                           {"http://x.test", "ftp://y.test/", "", axle.CodeInvalidURL, "ftp"},
		"file":                          {"http://x.test", "file:///etc/passwd", "", axle.CodeInvalidURL, "file"},
		"data":                          {"", "data:text/plain,hi", "", axle.CodeInvalidURL, ""},
		"a control character":           {"http://x.test", "/a?b=\x00", "", axle.CodeInvalidURL, "control"},
		"CRLF":                          {"http://x.test", "/a\r\nHost: evil", "", axle.CodeInvalidURL, ""},
		"a path parameter that climbs":  {"http://x.test", "/a/{x}/b", "..", axle.CodeBadOption, `{x}`},
		"a path parameter not given":    {"http://x.test", "/a/{z}", "x", axle.CodeBadOption, "{z}"},
		"one that stays where it stood": {"http://x.test", "/a/{x}", ".", axle.CodeBadOption, `"."`},
	} {
		t.Run(name, func(t *testing.T) {
			client, transport := newFakeClient(always(200, ""))
			r := client.SetBaseURL(c.base).R(t.Context())
			if c.param != "" {
				r.SetPathParam("x", c.param)
			}
			_, err := r.Get(c.url)
			require.ErrorIs(t, err, c.code)
			assert.ErrorContains(t, err, c.says)
			assert.Zero(t, transport.sent.Load(), "nothing is sent")
		})
	}
}

// TestAdvisory_ABaseURLCannotBeEscaped is CVE-2024-39338, CVE-2025-27152 and CVE-2023-45857.
func TestAdvisory_ABaseURLCannotBeEscaped(t *testing.T) {
	for _, escape := range []string{
		"//evil.test/a", `\\evil.test\a`, `/\evil.test/a`, `\/evil.test/a`, "http:evil.test/a", "http:/evil.test/a", "HTTP:evil.test", "https:evil.test",
		"/..//evil.test/a", "/.//evil.test", "http://evil.test/a", "https://api.test@evil.test/a", "http://api.test:pw@evil.test", "@evil.test", ":80@evil.test/",
		".evil.test", "///evil.test", "/%2F/evil.test", "?@evil.test", "#@evil.test",
	} {
		type sent struct {
			host   string
			header http.Header
		}
		var requests []sent
		client := axle.New().SetBaseURL("http://api.test").SetHeader("Authorization", "Bearer s3cret").SetHeader("X-Api-Key", "s3cret").SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN")
		client.SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
			requests = append(requests, sent{r.URL.Host, r.Header})
			resp := reply(r, 200, "")
			if r.URL.Path == "/login" {
				resp.Header.Set("Set-Cookie", "XSRF-TOKEN=s3cret")
			}
			return resp, nil
		}))
		_, err := client.Get(t.Context(), "/login")
		require.NoError(t, err)
		requests = nil
		_, err = client.Get(t.Context(), escape)
		if err != nil {
			require.ErrorIs(t, err, axle.CodeInvalidURL, escape)
		}
		for _, r := range requests {
			if r.host == "api.test" {
				continue
			}
			for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Xsrf-Token"} {
				assert.NotContains(t, strings.Join(r.header[name], ""), "s3cret", "%s leaks %s", escape, name)
			}
		}
	}
}

func TestURL_OriginIsSchemeHostAndPort(t *testing.T) {
	for in, want := range map[string]string{
		"http://X.test/a": "http://x.test", "http://x.test:80": "http://x.test", "https://x.test:443/": "https://x.test",
		"https://x.test:8443": "https://x.test:8443", "http://[::1]:80/": "http://[::1]",
	} {
		got, err := axle.New().R(t.Context()).SetURL(in).Origin()
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := axle.New().R(t.Context()).SetURL("/a").Origin()
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	base, err := axle.New().SetBaseURL("http://x.test/v1").R(t.Context()).SetURL("/a").Origin()
	require.NoError(t, err)
	assert.Equal(t, "http://x.test", base)
}

func TestURL_ResolveURLReturnsAURLOfItsOwn(t *testing.T) {
	c := axle.New().SetBaseURL("http://x.test/v1")
	u, err := c.R(t.Context()).SetURL("/a").ResolveURL()
	require.NoError(t, err)
	u.Host = "changed.test"
	u, err = c.R(t.Context()).SetURL("").ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, &url.URL{Scheme: "http", Host: "x.test", Path: "/v1"}, u)
}
