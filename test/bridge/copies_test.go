package bridge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// The bridge copies no more than it must. These are the copies that it must make: nobody writes to what is another's.

// What is given is only read, by however many at a time, and all the same the defaults are added where there are some.
func TestBridge_ARequestThatManySendAtATimeIsOnlyRead(t *testing.T) {
	passOn := func(_ context.Context, r *axle.Request) (*axle.Request, error) { return r, nil }
	never := axle.RunWhen(func(r *axle.Request) bool { return r.Header.Get("X-Own") == "" })
	for name, tc := range map[string]struct {
		set      func(*axle.Client)
		expected string // of X-Default, at the server
	}{
		"no handler":                 {set: func(*axle.Client) {}},
		"no handler takes part":      {set: func(c *axle.Client) { c.Interceptors.Request.Use(passOn, nil, never) }},
		"a handler that passes on":   {set: func(c *axle.Client) { c.Interceptors.Request.Use(passOn, nil) }},
		"a default header":           {set: func(c *axle.Client) { c.SetHeader("X-Default", "1") }, expected: "1"},
		"a default of the method":    {set: func(c *axle.Client) { c.SetMethodHeader("POST", "X-Default", "1") }, expected: "1"},
		"a handler that adds to it":  {set: func(c *axle.Client) { useRequest(c, func(r *axle.Request) { r.SetHeader("X-Default", "1") }) }, expected: "1"},
		"one that changes it itself": {set: func(c *axle.Client) { useRequest(c, func(r *axle.Request) { r.Header["X-Own"][0] = "1" }) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Default", r.Header.Get("X-Default"))
				w.Header().Set("X-Proxy", r.Header.Get("Proxy-Authorization"))
			})
			tc.set(c)
			req := newRequest(t, "POST", c.BaseURL(), nil)
			req.Header = http.Header{"X-Own": {"own"}, "Authorization": {"Bearer token"}, "Proxy-Authorization": {"Basic secret"}}
			before := req.Header.Clone()
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					resp, err := c.RoundTripper().RoundTrip(req)
					if assert.NoError(t, err) {
						assert.Equal(t, tc.expected, resp.Header.Get("X-Default"))
						assert.Empty(t, resp.Header.Get("X-Proxy"), "it is the transport's business")
						assert.NoError(t, resp.Body.Close())
					}
				})
			}
			wg.Wait()
			assert.Equal(t, before, req.Header)
		})
	}
}

// A transport may hold a request for longer than its RoundTrip lasts.
func TestBridge_EachAttemptIsARequestOfItsOwn(t *testing.T) {
	var sent []*http.Request
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		if sent = append(sent, r); len(sent) == 1 {
			return reply(r, http.StatusUnauthorized, ""), nil
		}
		return reply(r, http.StatusOK, ""), nil
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetMethod("PUT").SetHeader("X-Again", "1").SetURL("http://axle.test/again") })
	})
	resp, err := c.HTTPClient().Do(newRequest(t, "POST", "http://axle.test/first", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Len(t, sent, 2)
	assert.Equal(t, []string{"POST", "http://axle.test/first", ""}, []string{sent[0].Method, sent[0].URL.String(), sent[0].Header.Get("X-Again")})
	assert.Equal(t, []string{"PUT", "http://axle.test/again", "1"}, []string{sent[1].Method, sent[1].URL.String(), sent[1].Header.Get("X-Again")})
}

// HTTP/2 reads the header after RoundTrip has returned for a context that ended, while the caller may change its own; and some
// transports write to what they get.
func TestBridge_TheTransportsHeaderIsNobodyElses(t *testing.T) {
	passOn := func(_ context.Context, r *axle.Request) (*axle.Request, error) { return r, nil }
	for name, handle := range map[string]bool{"no handler": false, "with handlers": true} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			var last *http.Request
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				last = r
				sent = append(sent, strings.Join(r.Header["X-Trace"], ","))
				r.Header.Add("X-Trace", "transport")
				if handle && len(sent) == 1 {
					return reply(r, http.StatusUnauthorized, ""), nil
				}
				return reply(r, http.StatusOK, ""), nil
			})
			if handle {
				c.Interceptors.Request.Use(passOn, nil)
				useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
				useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
					resp.Raw().Request.Header.Set("X-Handler", "1")
					return resp, nil
				})
			}
			req := newRequest(t, "GET", "http://axle.test/", nil)
			resp, err := c.RoundTripper().RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			for _, trace := range sent {
				assert.Empty(t, trace)
			}
			assert.Empty(t, req.Header)
			req.Header.Set("X-Later", "1")
			assert.Empty(t, last.Header.Get("X-Later"))
		})
	}
}

func TestBridge_AnErrorsRequestIsACopyThatKeepsItsTokenToItsOrigin(t *testing.T) {
	for name, set := range map[string]func(*axle.Client){
		"no handler":    func(*axle.Client) {},
		"with handlers": func(c *axle.Client) { useRequest(c, func(*axle.Request) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			var elsewhere []string
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "axle.test" {
					return nil, errors.New("down")
				}
				elsewhere = append(elsewhere, r.Header.Get("Authorization"))
				return reply(r, http.StatusOK, ""), nil
			})
			set(c)
			req := newRequest(t, "GET", "http://axle.test/path", nil)
			req.Header = http.Header{"X-Own": {"1"}, "Authorization": {"Bearer secret"}}
			_, err := c.HTTPClient().Do(req) //nolint:bodyclose // it fails
			var e *axle.Error
			require.ErrorAs(t, err, &e)
			assert.Contains(t, e.Error(), "http://axle.test/path")
			assert.NotNil(t, e.Request.Query)
			e.Request.SetHeader("X-Own", "2")
			assert.Equal(t, "1", req.Header.Get("X-Own"))
			_, err = c.Do(e.Request.SetURL("http://elsewhere.test/"))
			require.NoError(t, err)
			assert.Equal(t, []string{""}, elsewhere)
		})
	}
}

func TestBridge_ConditionsAreAskedOfAMergedRequest(t *testing.T) {
	c, _ := newFakeClient(always(http.StatusOK, ""))
	asked := 0
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { return r, nil }, nil,
		axle.RunWhen(func(r *axle.Request) bool {
			asked++
			return !assert.NotNil(t, r.Header) || !assert.NotNil(t, r.Query) || !assert.Equal(t, "http://axle.test/", r.URL)
		}))
	req := newRequest(t, "GET", "http://axle.test/", nil)
	req.Header = nil
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 1, asked)
}

// A stream may be read for hours.
func TestBridge_AnOpenAnswerKeepsNoAttemptBefore(t *testing.T) {
	first := true
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		if first {
			first = false
			return reply(r, http.StatusUnauthorized, strings.Repeat("x", 1<<20)), nil
		}
		return reply(r, http.StatusOK, "stream"), nil
	})
	var refused weak.Pointer[axle.Response]
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		refused = weak.Make(err.Response)
		if err := err.Response.Buffer(); err != nil {
			return nil, err
		}
		return err.Request.Replay()
	})
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", "http://axle.test/", nil))
	require.NoError(t, err)
	assert.Eventually(t, func() bool { runtime.GC(); return refused.Value() == nil }, 5*time.Second, time.Millisecond)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "stream", string(body))
}

// A forward proxy sends a request to the host that an opaque URL names.
func TestOrigins_AnOpaqueURLThatNamesAnotherHostGetsNoToken(t *testing.T) {
	got := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.RequestURI + " " + r.Header.Get("Authorization")
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	session := store.New[string](nil)
	session.Login("user", &oauth2.Token{AccessToken: "secret"})
	c := axle.New().SetBaseURL("http://axle.test").SetHeader("X-Api-Key", "key").Use(auth.New(session)).
		SetTransport(&http.Transport{Proxy: http.ProxyURL(at), DisableKeepAlives: true})
	for opaque, expected := range map[string]string{
		"//elsewhere.test/x": "http://elsewhere.test/x ",
		"//axle.test/a%2Fb":  "http://axle.test/a%2Fb Bearer secret",
	} {
		req := newRequest(t, "GET", "http://axle.test/", nil)
		req.URL = &url.URL{Scheme: "http", Host: "axle.test", Opaque: opaque}
		resp, err := c.HTTPClient().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, expected, <-got)
	}
}

func TestBridge_ATokenIsAttachedThoughAbsoluteURLsAreOff(t *testing.T) {
	got := ""
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Authorization")
		return reply(r, http.StatusOK, ""), nil
	})
	session := store.New[string](nil)
	session.Login("user", &oauth2.Token{AccessToken: "secret"})
	c.SetAllowAbsoluteURLs(false).Use(auth.New(session))
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+"/", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "Bearer secret", got)
}
