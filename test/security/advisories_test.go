package security_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// These are the advisories of axios, its transports and resty that belong to no other topic. Control characters are in
// badinput_test.go and redirects in origins_test.go. The others are in the root package: base URL escapes in url_test.go,
// response limits in stream_test.go, request limits in settings_test.go, control characters of a form in
// multipart_test.go, and the method and the scheme of redirects in redirect_test.go.

// Proxy-Authorization never reaches the origin.

func TestAdvisory_ProxyAuthorizationNeverReachesTheOrigin(t *testing.T) {
	names := []string{"Proxy-Authorization", "proxy-authorization", "PROXY-AUTHORIZATION"}
	for _, name := range names {
		for source, prepare := range map[string]func(c *axle.Client, h http.Header){
			"the client": func(c *axle.Client, _ http.Header) { c.SetHeader(name, "Basic s3cret") },
			"the method": func(c *axle.Client, _ http.Header) { c.SetMethodHeader("GET", name, "Basic s3cret") },
			"the caller": func(_ *axle.Client, h http.Header) { h[name] = []string{"Basic s3cret"} },
			"a handler": func(c *axle.Client, _ http.Header) {
				useRequest(c, func(r *axle.Request) { r.Header[name] = []string{"Basic s3cret"} })
			},
		} {
			var seen []http.Header
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Header)
				if r.URL.Path == "/" {
					http.Redirect(w, r, "/next", http.StatusFound)
				}
			})
			r := c.R(t.Context())
			prepare(c, r.Header)
			_, err := r.Get("/")
			require.NoError(t, err)
			raw := newRequest(t, "GET", c.BaseURL()+"/", nil)
			raw.Header = r.Header.Clone()
			resp, err := c.HTTPClient().Do(raw)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Len(t, seen, 4, "axle and the bridge, two hops each")
			for i, h := range seen {
				assert.Empty(t, h.Get("Proxy-Authorization"), "%s of %s, request %d", name, source, i)
			}
		}
	}
}

// NO_PROXY: loopback is never proxied, in whatever spelling (CVE-2025-62718). net/http reads the environment once in a process,
// so this runs in one of its own.

func TestAdvisory_LoopbackIsNeverProxied(t *testing.T) {
	const inChild = "AXLE_TEST_PROXY"
	if os.Getenv(inChild) == "" {
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inChild+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), "--- PASS: "+t.Name())
		return
	}

	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { proxied.Add(1) }))
	defer proxy.Close()
	var direct atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { direct.Add(1) }))
	defer origin.Close()
	u, err := url.Parse(origin.URL)
	require.NoError(t, err)
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		t.Setenv(name, ".internal.test,10.0.0.0/8,api.test:8443")
	}
	for _, name := range []string{"REQUEST_METHOD", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "")
	}
	var ask func(*http.Request) (*url.URL, error)
	c := axle.New().SetTimeout(10 * time.Second).SetEngine(func(rc *resty.Client) {
		ask = rc.GetClient().Transport.(*http.Transport).Proxy //nolint:forcetypeassert // the default one
	})
	defer c.HTTPClient().CloseIdleConnections()

	_, err = c.Get(t.Context(), "http://api.test/")
	require.NoError(t, err, "the proxy answers for what is not loopback, or the test proves nothing")
	require.EqualValues(t, 1, proxied.Load())

	for host, through := range map[string]bool{
		"localhost": false, "LocalHost": false, "localhost.": false, "LOCALHOST.": false, "app.localhost": false, "app.localhost.": false,
		"127.0.0.1": false, "127.0.0.1.": false, "127.0.0.2": false, "127.255.255.254": false,
		"[::1]": false, "[0:0:0:0:0:0:0:1]": false, "[::1%25lo]": false,
		"[::ffff:127.0.0.1]": false, "[::FFFF:7f00:1]": false, "[::ffff:127.1.2.3]": false,
		"x.internal.test": false, "10.1.2.3": false,
		"api.test": true, "localhost.test": true, "notlocalhost": true, "128.0.0.1": true, "126.255.255.255": true, "[::2]": true, "[fe80::1]": true,
		"127.0.0.1.test": true, "internal.test.evil.test": true,
	} {
		for _, scheme := range []string{"http", "https"} {
			for _, port := range []string{"", ":8080"} {
				r := newRequest(t, "GET", scheme+"://"+host+port+"/", nil)
				to, err := ask(r)
				require.NoError(t, err)
				assert.Equal(t, through, to != nil, "%s", r.URL)
			}
		}
	}
	for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "localhost"} {
		before := direct.Load()
		_, err := c.Get(t.Context(), "http://"+host+":"+u.Port()+"/")
		require.NoError(t, err, host)
		assert.Equal(t, before+1, direct.Load(), host)
	}
	assert.EqualValues(t, 1, proxied.Load())
}

// Concurrent clients share no mutable map: the Go face of axios's prototype pollution. Run with -race.

func TestAdvisory_ConcurrentClonesShareNoMutableMap(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, r.Header.Get("X-Tenant")+" "+r.Header.Get("Authorization")+" "+r.URL.RawQuery), nil
	})
	c.SetHeader("X-Tenant", "none").SetQueryParam("tenant", "none").SetMethodHeader("GET", "X-M", "none").SetSensitiveHeaders("X-Tenant")
	useRequest(c, func(r *axle.Request) { // a handler writes to all that it is given
		r.Header.Set("X-Handler", "1")
		r.Header.Add("X-Tenant-Path", "1")
		r.Query.Set("seen", "1")
		r.SetPathParam("id", "1")
	})
	shared := c.R(context.Background()).SetURL("/{id}").SetPathParam("id", "0").SetHeader("X-Own", "1").SetQueryParam("own", "1")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name := "t" + strconv.Itoa(i)
			d := c.Clone()
			for range 20 {
				d.SetHeader("X-Tenant", name).SetHeader("Authorization", name).SetQueryParam("tenant", name)
				d.SetMethodHeader("GET", "X-M", name).SetSensitiveHeaders(name)
				useRequest(d, func(r *axle.Request) { r.Header["X-"+name] = []string{name} })
				resp, err := d.Do(shared)
				if assert.NoError(t, err) {
					assert.Equal(t, name+" "+name+" own=1&seen=1&tenant="+name, resp.String())
					assert.True(t, strings.HasSuffix(resp.Raw().Request.URL.Path, "/1"))
				}
				_, err = c.Get(context.Background(), "/")
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "none  seen=1&tenant=none", resp.String())
	assert.Equal(t, 1, c.Interceptors.Request.Len())
	assert.Equal(t, http.Header{"X-Own": {"1"}}, shared.Header)
	assert.Equal(t, url.Values{"own": {"1"}}, shared.Query)
}

// What a server sends is not taken into the client: headers of an answer, or of an error, are no one's defaults.
func TestAdvisory_AnAnswersHeadersAreItsOwn(t *testing.T) {
	header := http.Header{"X-A": {"1"}}
	cached := axle.NewResponse(nil, 200, header, []byte("cached"))
	c, _ := newFakeClient(unreachable)
	useRequest(c, func(r *axle.Request) { r.Respond(cached) })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		resp.Header.Set("X-A", "changed")
		resp.Header.Set("X-B", "1")
		return resp, nil
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			resp, err := c.Get(context.Background(), "/")
			if assert.NoError(t, err) {
				assert.Equal(t, "changed", resp.Header.Get("X-A"))
			}
		})
	}
	wg.Wait()
	assert.Equal(t, http.Header{"X-A": {"1"}}, header, "the cache's is not touched")
}
