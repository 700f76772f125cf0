package axle_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestAdvisory_ConcurrentClonesShareNoMutableMap(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetHeader("X-A", "1").SetQueryParam("a", "1").SetMethodHeader("GET", "X-B", "1")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			d := c.Clone().SetHeader("X-A", fmt.Sprint(i)).SetQueryParam("a", fmt.Sprint(i)).SetMethodHeader("GET", "X-B", fmt.Sprint(i))
			useRequest(d, func(r *axle.Request) {
				assert.Equal(t, fmt.Sprint(i), r.Header.Get("X-A"))
				r.Header["X-A"][0] = "written in place"
				r.Query["a"][0] = "written in place"
				r.Header["X-B"][0] = "written in place"
			})
			for range 20 {
				_, err := d.Get(t.Context(), "/")
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

func TestAdvisory_ProxyAuthorizationNeverReachesTheOrigin(t *testing.T) {
	var seen http.Header
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	c.SetHeader("Proxy-Authorization", "Basic s3cret")
	useRequest(c, func(r *axle.Request) { r.SetHeader("Proxy-Authorization", "Basic s3cret") })
	_, err := c.R(t.Context()).SetHeader("Proxy-Authorization", "Basic s3cret").Get("/")
	require.NoError(t, err)
	assert.Empty(t, seen.Get("Proxy-Authorization"))
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL(), nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Empty(t, seen.Get("Proxy-Authorization"))
}

// TestAdvisory_LoopbackIsNeverProxied is CVE-2025-62718. net/http reads the environment once, so it runs in a process of its own.
func TestAdvisory_LoopbackIsNeverProxied(t *testing.T) {
	if os.Getenv("AXLE_TEST_PROXIED") != "" {
		proxied(t)
		return
	}
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { through = append(through, r.URL.String()) }))
	defer proxy.Close()
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAdvisory_LoopbackIsNeverProxied$")
	run.Env = append(os.Environ(), "AXLE_TEST_PROXIED=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, []string{"http://api.test/"}, through, "what is not loopback is proxied, and nothing else")
}

func proxied(t *testing.T) {
	c := axle.New()
	defer c.HTTPClient().CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, host := range []string{"localhost", "localhost.", "LOCALHOST", "a.localhost", "127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"} {
		_, err := c.Get(ctx, "http://"+host+":1/") // nobody listens there
		require.Error(t, err, host)
		require.NotContains(t, err.Error(), "proxy", host)
	}
	_, err := c.Get(ctx, "http://api.test/")
	require.NoError(t, err)
}
