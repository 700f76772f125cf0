package axle

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/fetch"
)

// DefaultTransport returns a fresh copy of the transport that [New] gives a client, to change and
// to give to [Client.SetTransport]:
//
//	transport := axle.DefaultTransport()
//	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
//	client.SetTransport(transport)
//
// It has net/http's default time limits, HTTP/2 and keep-alives, room for a burst of calls to one
// host, and the environment's proxy, which is never asked for loopback addresses. An
// &http.Transport{} written out has none of these. Each copy has a pool of connections of its own.
// It is never nil, also where a program has put a transport of another type in the place of
// [http.DefaultTransport].
func DefaultTransport() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if ok && t != nil {
		t = t.Clone()
	} else {
		t = newTransport()
	}
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	t.Proxy = proxyFromEnvironment
	return t
}

// newTransport has the values of net/http's default.
func newTransport() *http.Transport {
	t := &http.Transport{
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}

	// With a dialer, net/http does not send by a browser's fetch.
	if !fetch.Possible {
		t.DialContext = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return t
}

// defaultTransport is what a new client sends through: [DefaultTransport], unless the program has
// replaced net/http's default by a transport of another type, which is then meant for everything
// that the program sends.
func defaultTransport() http.RoundTripper {
	if _, ok := http.DefaultTransport.(*http.Transport); ok || http.DefaultTransport == nil {
		return DefaultTransport()
	}
	return http.DefaultTransport
}

// proxyFromEnvironment is net/http's, without the ways round its rule that loopback is never
// proxied (CVE-2025-62718).
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	host := strings.ToLower(strings.TrimSuffix(r.URL.Hostname(), "."))
	isLocal := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if isLocal || net.ParseIP(host).IsLoopback() {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}
