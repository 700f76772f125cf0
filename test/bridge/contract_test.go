package bridge_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// compareBridge runs one scenario over a plain http.Client and over axle's, each with a server and a transport of its own.
func compareBridge(t *testing.T, s bridgeScenario, http2 bool) {
	t.Helper()
	run := func(through func(*http.Transport, http.CookieJar) *http.Client) []string {
		server := httptest.NewUnstartedServer(s.handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.EnableHTTP2 = http2
		transport := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
		if http2 {
			server.StartTLS()
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, true
		} else {
			server.Start()
		}
		defer server.Close()
		defer transport.CloseIdleConnections()
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		var mu sync.Mutex
		var reports []string
		s.use(t, through(transport, jar), server.URL, func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, strings.ReplaceAll(fmt.Sprintf(format, args...), server.URL, "http://server.test"))
		})
		return reports
	}
	plain := run(func(t *http.Transport, jar http.CookieJar) *http.Client { return &http.Client{Transport: t, Jar: jar} })
	bridged := run(func(t *http.Transport, jar http.CookieJar) *http.Client {
		c := axle.New().SetTransport(t).SetCookieJar(jar)
		passThroughPair(c)
		return c.HTTPClient()
	})
	require.NotEmpty(t, plain)
	assert.Equal(t, plain, bridged)
}

func TestBridge_KeepsNetHTTPsContract(t *testing.T) {
	for _, s := range bridgeScenarios {
		t.Run(s.name, func(t *testing.T) { compareBridge(t, s, false) })
	}
}

func TestBridge_KeepsNetHTTPsContractOverHTTP2(t *testing.T) {
	for _, s := range bridgeScenarios {
		if s.name != "Upgrade" { // HTTP/2 has none
			t.Run(s.name, func(t *testing.T) { compareBridge(t, s, true) })
		}
	}
}

func TestBridge_KeepsNetHTTPsContractInTheCorners(t *testing.T) {
	for _, s := range moreBridgeScenarios {
		t.Run(s.name, func(t *testing.T) { compareBridge(t, s, false) })
	}
}
