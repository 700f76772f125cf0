//go:build js

package browser_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestDropped_AHeaderThatABrowserDoesNotSendIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, name := range []string{
		"Cookie", "Host", "Accept-Encoding", "Accept-Charset", "Connection", "Date", "DNT", "Expect", "Keep-Alive",
		"Origin", "Proxy-X", "Referer", "Sec-Fetch-Mode", "TE", "Trailer", "Upgrade", "User-Agent", "Via", "cOOKIE",
	} {
		_, err := c.Get(t.Context(), "/api/echo/dropped", axle.WithHeader(name, "x"))
		refused(t, err, "dropped", http.CanonicalHeaderKey(name))

		_, err = c.Clone().SetHeader(name, "x").Get(t.Context(), "/api/echo/dropped")
		refused(t, err, "dropped", http.CanonicalHeaderKey(name))
	}
	_, err := c.Post(t.Context(), "/api/echo/dropped", nil, axle.WithHeader("X-HTTP-Method-Override", "TRACE"))
	refused(t, err, "dropped", "X-Http-Method-Override")
}

func TestDropped_AValueThatIsNotASCIIIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, value := range []string{"caf\u00e9", "\u4f60", "\xff"} {
		_, err := c.Get(t.Context(), "/api/echo/ascii", axle.WithHeader("X-Name", value))
		refused(t, err, "ascii", "X-Name")
	}
}

func TestDropped_ABodyOnGETAndHEADIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, body := range []any{"text", map[string]any{"a": 1}, io.MultiReader(strings.NewReader("stream"))} {
			_, err := c.R(t.Context()).SetBody(body).Execute(method, "/api/echo/body")
			refused(t, err, "body", method)
		}
	}

	// An empty body is none, and other methods have theirs.
	_, err := c.R(t.Context()).SetBody("").Get("/api/echo/empty")
	require.NoError(t, err)
	got, err := axle.Delete[received](t.Context(), c, "/api/echo/other", func(r *axle.Request) { r.SetBody("text") })
	require.NoError(t, err)
	assert.Equal(t, "text", got.Body)
}

func TestDropped_AMethodThatFetchDoesNotKnowIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, method := range []string{"TRACE", "CONNECT", "TRACK"} {
		_, err := c.R(t.Context()).Execute(method, "/api/echo/method")
		refused(t, err, "method", method)
	}
}

func TestDropped_WithoutCORSAHeaderBeyondTheSafelistIsRefused(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetHeader("js.fetch:mode", "no-cors")
	for _, edit := range []func(*axle.Request){
		axle.WithHeader("Authorization", "Bearer t"),
		axle.WithHeader("X-Request-Id", "1"),
		axle.WithHeader("Content-Type", "application/json"),
	} {
		_, err := c.Post(t.Context(), "/api/echo/nocors", "text", edit)
		refused(t, err, "nocors", "no-cors")
	}
	_, err := c.Put(t.Context(), "/api/echo/nocors", "text")
	refused(t, err, "nocors", "PUT")

	// The response is opaque: its status is 0.
	_, err = c.Post(t.Context(), "/api/echo/opaque", "text")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	assert.Len(t, kept(t, otherOrigin(t), "opaque"), 1)
}

func TestDropped_AContentLengthIsTheBodysOwnAndStays(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	body := func() io.Reader { return io.MultiReader(strings.NewReader("four")) }
	got, err := axle.Post[received](t.Context(), c, "/api/echo/length", body(), axle.WithHeader("Content-Length", "4"))
	require.NoError(t, err)
	assert.Equal(t, "four", got.Body)
	assert.Equal(t, []string{"4"}, got.Header["Content-Length"])

	_, err = c.Post(t.Context(), "/api/echo/wrong-length", body(), axle.WithHeader("Content-Length", "5"))
	refused(t, err, "wrong-length", "Content-Length")
}

func TestDropped_BehindTheBridgeTheSameIsRefusedExceptTheUserAgent(t *testing.T) {
	send := func(edit func(*http.Request)) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, pageOrigin(t)+"/api/echo/bridged", nil)
		require.NoError(t, err)
		edit(req)
		resp, err := axle.New().HTTPClient().Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	refused(t, send(func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "a", Value: "1"}) }), "bridged", "Cookie")
	refused(t, send(func(r *http.Request) { r.Host = "api.example.com" }), "bridged", "api.example.com")
	refused(t, send(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) }), "bridged", "GET")
	require.NoError(t, send(func(r *http.Request) { r.Header.Set("User-Agent", "sdk/1") }))
}

// watchedJar is a jar with one cookie, and counts how often it is asked or told.
type watchedJar struct{ uses atomic.Int64 }

func (j *watchedJar) Cookies(*url.URL) []*http.Cookie {
	j.uses.Add(1)
	return []*http.Cookie{{Name: "XSRF-TOKEN", Value: "of-the-jar"}}
}

func (j *watchedJar) SetCookies(*url.URL, []*http.Cookie) { j.uses.Add(1) }

func TestCookies_TheJarIsNotConsulted(t *testing.T) {
	for name, c := range map[string]*axle.Client{
		"net/http": axle.New(),
		"resty":    axle.New().SetEngine(func(*resty.Client) {}),
	} {
		jar := &watchedJar{}
		c.SetBaseURL(pageOrigin(t)).SetCookieJar(jar).SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN")
		assert.Empty(t, echo(t, c, "jar").Header.Get("X-XSRF-TOKEN"), name)

		resp, err := c.HTTPClient().Get(pageOrigin(t) + "/api/echo/jar")
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close())
		assert.Zero(t, jar.uses.Load(), name)
	}
}
