package origin_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/axlehttp/axle/internal/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func TestOrigin_IsInLowerCaseWithoutItsDefaultPort(t *testing.T) {
	for raw, want := range map[string]string{
		"HTTP://A.Test/x":       "http://a.test",
		"http://a.test:80":      "http://a.test",
		"http://a.test:":        "http://a.test",
		"http://a.test:443":     "http://a.test:443",
		"https://a.test:443":    "https://a.test",
		"https://a.test:80":     "https://a.test:80",
		"ftp://a.test:80":       "ftp://a.test:80",
		"ftp://a.test:443":      "ftp://a.test:443",
		"https://a.test.:8443":  "https://a.test:8443",
		"http://[2001:DB8::1]":  "http://[2001:db8::1]",
		"https://[::1]:443/":    "https://[::1]",
		"http://ada:pw@a.test/": "http://a.test",
	} {
		assert.Equal(t, want, origin.Of(parse(t, raw)), raw)
	}
}

func TestOrigin_AURLWithoutASchemeOrAHostHasNoneAndIsTheSameAsNoOther(t *testing.T) {
	for _, u := range []*url.URL{nil, {}, {Scheme: "http"}, {Scheme: "http", Path: "/x"}, {Host: "a.test"}, {Scheme: "http", Host: ":80"}} {
		assert.Empty(t, origin.Of(u), "%v", u)
		assert.Empty(t, origin.To(u, "b.test"), "%v", u)
		assert.False(t, origin.Same(u, u), "%v", u)
	}
}

func TestOrigin_AnInternationalisedHostAndItsPunycodeAreOne(t *testing.T) {
	for a, b := range map[string]string{
		"http://bücher.example":            "http://xn--bcher-kva.example",
		"http://Bücher.Example:80/x":       "http://XN--BCHER-KVA.example",
		"https://b%C3%BCcher.example:8443": "https://xn--bcher-kva.example:8443",
		"http://bücher.example.":           "http://xn--bcher-kva.example",
		"http://例え.テスト":                    "http://xn--r8jz45g.xn--zckzah",
		"http://faß.example":               "http://xn--fa-hia.example",
		"http://www.bücher-laden.example":  "http://www.xn--bcher-laden-thb.example",
	} {
		assert.True(t, origin.Same(parse(t, a), parse(t, b)), "%s is %s, and %s is %s", a, origin.Of(parse(t, a)), b, origin.Of(parse(t, b)))
	}
	assert.False(t, origin.Same(parse(t, "http://bücher.example"), parse(t, "http://bucher.example")))
	assert.False(t, origin.Same(parse(t, "http://bücher.example"), parse(t, "https://bücher.example")))
	assert.False(t, origin.Same(parse(t, "http://bücher.example"), parse(t, "http://bücher.example:81")))
}

func TestOrigin_AnAliasIsNotTheOrigin(t *testing.T) {
	for alias, plain := range map[string]string{
		"http://１２７.0.0.1":               "http://127.0.0.1",
		"http://①27.0.0.1":               "http://127.0.0.1",
		"http://127。0。0。1":               "http://127.0.0.1",
		"http://0x7f.1":                  "http://127.0.0.1",
		"http://127.1":                   "http://127.0.0.1",
		"http://2130706433":              "http://127.0.0.1",
		"http://0177.0.0.1":              "http://127.0.0.1",
		"http://[::ffff:127.0.0.1]":      "http://127.0.0.1",
		"http://[0:0:0:0:0:0:0:1]":       "http://[::1]",
		"http://[fe80::1%25eth0]":        "http://[fe80::1]",
		"http://ｅxample.test":            "http://example.test",
		"http://exam\u00adple.test":      "http://example.test",
		"http://exam\u200bple.test":      "http://example.test",
		"http://example．test":            "http://example.test",
		"http://ﬁnance.test":             "http://finance.test",
		"http://ⓔxample.test":            "http://example.test",
		"http://ｂücher.test":             "http://xn--bcher-kva.test",
		"http://BÜCHER.test":             "http://xn--bcher-kva.test", // its Host is xn--BCHER-2pa.test
		"http://bu\u0308cher.test":       "http://xn--bcher-kva.test",
		"http://еxample.test":            "http://example.test", // a Cyrillic letter
		"http://example.test:80@evil":    "http://example.test",
		"http://example.test.evil.test":  "http://example.test",
		"http://example.test%C2%AD:8080": "http://example.test:8080",
	} {
		assert.False(t, origin.Same(parse(t, alias), parse(t, plain)), "%s: %s", alias, origin.Of(parse(t, alias)))
	}
}

// What is taken for one origin has one Host on the wire.
func TestOrigin_IsWhatNetHTTPPutsOnTheWire(t *testing.T) {
	hosts := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host }))
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	defer transport.CloseIdleConnections()
	for _, raw := range []string{
		"http://bücher.example", "http://b%C3%BCcher.example", "http://例え.テスト", "http://faß.example:8080", "http://a.example", "http://[::1]:8080",
	} {
		resp, err := (&http.Client{Transport: transport}).Get(raw)
		require.NoError(t, err, raw)
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "http://"+<-hosts, origin.Of(parse(t, raw)))
	}
}

func TestOrigin_AHostThatCannotBeSentHasNone(t *testing.T) {
	for _, host := range []string{".", "", "b\xfccher.example", "b\x80cher.example", "b\u00fccher.example/x", "b\u00fc cher.example"} {
		assert.Empty(t, origin.Of(&url.URL{Scheme: "http", Host: host}), "%q", host)
	}
}

func TestOrigin_AnOpaqueURLThatNamesAnotherHostHasNone(t *testing.T) {
	for opaque, own := range map[string]bool{
		"": true, "/x": true, "*": true, "/a//b.test": true, "/\\evil.test": true,
		"//a.test/x": true, "//A.test:80/x": true, "http://a.test/x": true, "HTTP://a.test": true,
		"//evil.test/x": false, "//evil.test": false, "//evil.test?a.test": false, "//a.test@evil.test/": false, "//user@a.test/": false,
		"http://evil.test/x": false, "https://a.test/x": false, "http://a.test:81/": false, "http:evil.test": false,
		"evil.test/x": false, "evil.test:80": false, "http:///x": false, "://": false,
	} {
		u := &url.URL{Scheme: "http", Host: "a.test", Opaque: opaque}
		if own {
			assert.Equal(t, "http://a.test", origin.Of(u), opaque)
		} else {
			assert.Empty(t, origin.Of(u), opaque)
		}
	}
}

func TestOrigin_OfPlainHTTPTheHostBelongsToTheDestination(t *testing.T) {
	for _, x := range []struct {
		url, host string
		same      bool
	}{
		{"http://a.test", "", true},
		{"http://a.test", "a.test", true},
		{"http://a.test", "A.Test:80", true},
		{"http://a.test:81", "a.test:81", true},
		{"http://bücher.test", "xn--bcher-kva.test", true},
		{"http://a.test", "b.test", false},
		{"http://a.test:81", "a.test", false},
		{"http://a.test", "a.test:81", false},
		{"http://a.test", "a.test@b.test", false},
		{"http://a.test", " ", false},
		{"https://a.test", "b.test", true},
	} {
		got := origin.To(parse(t, x.url), x.host)
		assert.Equal(t, x.same, got == origin.Of(parse(t, x.url)), "%s and %q: %s", x.url, x.host, got)
	}
	assert.NotEqual(t, origin.To(parse(t, "http://a.test"), "b.test"), origin.To(parse(t, "http://a.test"), "c.test"))
	assert.NotEqual(t, origin.To(parse(t, "http://a.test"), "b.test"), origin.To(parse(t, "http://b.test"), "a.test"))
}

func TestOrigin_APlainHostCostsOneString(t *testing.T) {
	u := parse(t, "https://api.example.com:8443/path")
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = origin.Of(u) }), 1.0)
}
