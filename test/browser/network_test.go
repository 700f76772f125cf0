//go:build js

package browser_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"syscall/js"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestNetwork_ABrowserDoesNotSayWhyItFailed(t *testing.T) {
	for name, url := range map[string]string{
		"no such host":                 "http://nothing.invalid",
		"the server allows no origin":  otherOrigin(t) + "/api/echo/nocors?nocors",
		"a port that a browser avoids": "http://127.0.0.1:9",
	} {
		_, err := axle.New().Get(t.Context(), url)
		require.ErrorIs(t, err, axle.CodeNetwork, name)
		assert.ErrorContains(t, err, "Failed to fetch", name)
		assert.NotErrorIs(t, err, syscall.ECONNREFUSED, name)
	}
}

func TestTransport_TheProxyTheTLSAndTheConnectionsAreTheBrowsers(t *testing.T) {
	transport := axle.DefaultTransport()
	transport.Proxy = func(*http.Request) (*url.URL, error) {
		return nil, errors.New("the proxy is nobody's to choose")
	}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13}
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 1, 1
	transport.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}

	echo(t, axle.New().SetBaseURL(pageOrigin(t)).SetTransport(transport), "transport")
}

func TestTransport_ADialerTakesThePlaceOfFetch(t *testing.T) {
	// The server listens in the page. No fetch can reach it.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host)
	}))
	defer server.Close()
	fetched := watchFetch(t)

	transport := axle.DefaultTransport()
	transport.DialContext = new(net.Dialer).DialContext
	defer transport.CloseIdleConnections()
	resp, err := axle.New().SetTransport(transport).Get(t.Context(), server.URL)
	require.NoError(t, err)
	assert.Equal(t, strings.TrimPrefix(server.URL, "http://"), resp.String())
	assert.Empty(t, fetched())
}

func TestURLs_ABrowserEscapesAFewMoreCharactersOfAQuery(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for query, want := range map[string]string{
		`q={"a":[1|2]}`:             "q={%22a%22:[1|2]}",
		"q='<b>'":                   "q=%27%3Cb%3E%27",
		"q=gr\u00fcn&b=%2f+100%%20": "q=gr%C3%BCn&b=%2f+100%%20",
	} {
		got, err := axle.Get[received](t.Context(), c, "/api/echo/query?"+query)
		require.NoError(t, err)
		assert.Equal(t, "/api/echo/query?"+want, got.URL)
	}
}

func TestURLs_APathAloneIsRefusedAndIsNotJoinedToThePage(t *testing.T) {
	_, err := axle.New().Get(t.Context(), "/api/echo/path")
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	_, err = axle.New().SetBaseURL("/api").Get(t.Context(), "/echo/path")
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	assert.Empty(t, kept(t, pageOrigin(t), "path"))

	page := js.Global().Get("location").Get("origin").String()
	assert.Equal(t, "/api/echo/path", echo(t, axle.New().SetBaseURL(page), "path").URL)
}

func TestCache_IsTheBrowsersAndNoCacheAsksTheServerAgain(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	get := func(name string, edits ...func(*axle.Request)) {
		t.Helper()
		_, err := axle.Get[received](t.Context(), c, "/api/cached/"+name, edits...)
		require.NoError(t, err)
	}
	for value, want := range map[string]int{
		"":          1,
		"no-cache":  2,
		"max-age=0": 2,

		// Chromium heeds it in a response alone.
		"no-store": 1,
	} {
		name := "cached-" + value
		get(name)
		if value == "" {
			get(name)
		} else {
			get(name, axle.WithHeader("Cache-Control", value))
		}
		assert.Len(t, kept(t, pageOrigin(t), name), want, value)
	}
}

func TestCache_EventsDoNotComeFromIt(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for range 2 {
		for event, err := range axle.Events[string](t.Context(), c, "/api/cached/cached-events") {
			require.NoError(t, err)
			assert.Equal(t, "an event", event.Data)
			break
		}
		resp, err := c.R(t.Context()).SetHeader("Accept", "text/event-stream").Get("/api/cached/cached-whole")
		require.NoError(t, err)
		assert.Equal(t, "data: an event\n\n", resp.String())
	}
	assert.Len(t, kept(t, pageOrigin(t), "cached-events"), 2)
	assert.Len(t, kept(t, pageOrigin(t), "cached-whole"), 1)
}
