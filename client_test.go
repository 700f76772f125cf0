package axle_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// New returns a client that is ready to use.

func TestClient_ANewOneIsReadyToUse(t *testing.T) {
	var seen *http.Request
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
		}
		w.WriteHeader(map[string]int{"/login": 200, "/299": 299, "/300": 300}[r.URL.Path])
	})
	_, err := c.Get(t.Context(), "/login")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/299")
	require.NoError(t, err, "2xx validates")
	cookie, err := seen.Cookie("session")
	require.NoError(t, err, "there is a jar")
	assert.Equal(t, "1", cookie.Value)
	assert.Equal(t, "application/json, text/plain, */*", seen.Header.Get("Accept"))
	assert.Equal(t, "axle/1", seen.Header.Get("User-Agent"))
	assert.Equal(t, "gzip, deflate", seen.Header.Get("Accept-Encoding"))
	_, err = c.Get(t.Context(), "/300")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	assert.Zero(t, c.Interceptors.Request.Len()+c.Interceptors.Response.Len())
	assert.Empty(t, axle.New().BaseURL())
}

func TestClient_RHasAHeaderAQueryTheContextAndTheClient(t *testing.T) {
	c := axle.New()
	r := c.R(t.Context())
	assert.NotNil(t, r.Header)
	assert.NotNil(t, r.Query)
	assert.Same(t, c, r.Client())
	assert.Equal(t, t.Context(), r.Context())
	assert.Equal(t, context.Background(), new(axle.Request).Context(), "never nil")
	assert.Nil(t, new(axle.Request).Client())
}

func TestClient_NilsAreTheDefaultsOrNone(t *testing.T) {
	served := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "n", Value: "1"})
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Header.Get("Cookie"))
	})
	c := axle.New().SetBaseURL(served.BaseURL()).SetTransport(&fakeTransport{}).SetTransport(nil).SetCookieJar(nil).SetValidateStatus(nil)
	defer c.HTTPClient().CloseIdleConnections()
	for range 2 {
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err, "every status fulfils")
		assert.Equal(t, http.StatusTeapot, resp.StatusCode)
		assert.Empty(t, resp.String(), "no jar")
	}
}

// handBack is a fulfilled handler that does nothing.
func handBack(resp *axle.Response) (*axle.Response, error) { return resp, nil }

// A client is safe for concurrent use, setters too: a call keeps the settings that it started with.

func TestP7_SettersAreSafeWhileCallsRun(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.URL.String()), nil })
	useRequest(c, func(r *axle.Request) {
		u, err := r.ResolveURL()
		if assert.NoError(t, err) {
			r.Header.Set("X-Resolved", u.String())
		}
	})
	transport := &fakeTransport{Answer: func(r *http.Request) (*http.Response, error) {
		n := strings.TrimSuffix(strings.TrimPrefix(r.URL.Host, "n"), ".test")
		if n == "axle" {
			return reply(r, 200, "ok"), nil
		}
		if got := r.Header.Get("X-Resolved"); got != r.URL.String() {
			return reply(r, 500, got+" is not "+r.URL.String()), nil
		}
		return reply(r, 200, "ok"), nil
	}}
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	setters := []func(i int){
		func(i int) { c.SetBaseURL("http://n" + strconv.Itoa(i) + ".test/v" + strconv.Itoa(i)) },
		func(i int) { c.SetHeader("X-N"+strconv.Itoa(i%5), strconv.Itoa(i)) },
		func(i int) { c.SetMethodHeader(http.MethodGet, "X-M"+strconv.Itoa(i%5), strconv.Itoa(i)) },
		func(i int) { c.SetQueryParam("q"+strconv.Itoa(i%5), strconv.Itoa(i)) },
		func(i int) { c.SetSensitiveHeaders("X-N" + strconv.Itoa(i%5)) },
		func(int) { c.SetTransport(transport) },
		func(int) { c.SetCookieJar(jar) },
		func(int) { c.SetEngine(func(rc *resty.Client) { rc.SetHeader("X-Engine", "1") }) },
		func(i int) { c.SetTimeout(time.Duration(i+1) * time.Hour) },
		func(i int) { c.SetResponseLimit(int64(i) + 1000) },
		func(int) { c.SetValidateStatus(func(status int) bool { return status == http.StatusOK }) },
		func(i int) { c.SetInterceptorOrder(axle.Order(i % 2)) },
		func(int) { c.Clone().SetHeader("X-Clone", "1").SetQueryParam("clone", "1") },
		func(int) { c.Interceptors.Response.Eject(useFulfilled(c, handBack)) },
	}
	var wg sync.WaitGroup
	for _, set := range setters {
		wg.Go(func() {
			for i := range 50 {
				set(i)
			}
		})
	}
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, err := c.Get(context.Background(), "/x", func(r *axle.Request) { r.SetHeader("Authorization", "Bearer own") })
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

func TestClient_ACallInFlightKeepsEverySetting(t *testing.T) {
	var sent *http.Request
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) { sent = r; return reply(r, 201, "four"), nil })
	c.SetHeader("X-A", "old").SetQueryParam("q", "old")
	useRequest(c, func(*axle.Request) { // the call is under way: everything changes under it
		c.SetBaseURL("http://new.test").SetHeader("X-A", "new").SetQueryParam("q", "new").SetResponseLimit(1).SetTimeout(-1)
		c.SetValidateStatus(func(int) bool { return false }).SetTransport(&fakeTransport{Answer: unreachable})
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "four", resp.String())
	assert.Equal(t, "http://axle.test/?q=old", sent.URL.String())
	assert.Equal(t, "old", sent.Header.Get("X-A"))
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadOption, "the next call has the new ones")
	assert.EqualValues(t, 1, network.Sent.Load())
}

// Clone: the same settings and interceptors, independent from then on; transport and jar are shared.

func TestP7_ACloneIsIndependentBothWays(t *testing.T) {
	describe := func(c *axle.Client) string {
		resp, err := c.R(context.Background()).SetHeader("X-Mine", "own").SetTimeout(0).Get("/a")
		if err != nil {
			return "error " + string(err.(*axle.Error).Code) //nolint:errorlint // what a call fails with
		}
		return strconv.Itoa(resp.StatusCode) + resp.String() + " base=" + c.BaseURL() +
			" sensitive=" + strconv.FormatBool(c.IsSensitiveHeader("X-Mine")) + " order=" + c.Interceptors.Request.String() + " " + c.Interceptors.Response.String()
	}
	for name, change := range map[string]func(c *axle.Client){
		"base URL":        func(c *axle.Client) { c.SetBaseURL("http://changed.test") },
		"header":          func(c *axle.Client) { c.SetHeader("X-A", "changed") },
		"another header":  func(c *axle.Client) { c.SetHeader("X-B", "changed") },
		"query":           func(c *axle.Client) { c.SetQueryParam("q", "changed") },
		"another query":   func(c *axle.Client) { c.SetQueryParam("q2", "changed") },
		"validate":        func(c *axle.Client) { c.SetValidateStatus(func(int) bool { return false }) },
		"response limit":  func(c *axle.Client) { c.SetResponseLimit(1) },
		"sensitive":       func(c *axle.Client) { c.SetSensitiveHeaders("X-Mine") },
		"order":           func(c *axle.Client) { c.SetInterceptorOrder(axle.FIFO) },
		"transport":       func(c *axle.Client) { c.SetTransport(&fakeTransport{Answer: unreachable}) },
		"engine":          func(c *axle.Client) { c.SetEngine(func(rc *resty.Client) { rc.SetHeader("X-C", "changed") }) },
		"a request pair":  func(c *axle.Client) { useRequest(c, func(r *axle.Request) { r.SetHeader("X-D", "changed") }) },
		"a response pair": func(c *axle.Client) { useFulfilled(c, handBack) },
		"clear":           func(c *axle.Client) { c.Interceptors.Request.Clear() },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				h := r.Header
				return reply(r, 200, r.URL.String()+" "+h.Get("X-A")+h.Get("X-B")+h.Get("X-C")+h.Get("X-D")), nil
			})
			c.SetHeader("X-A", "1").SetQueryParam("q", "1")
			var log callTrace
			log.onRequest(c, "first")
			log.onRequest(c, "second")
			d := c.Clone()
			before := describe(c)
			require.Equal(t, before, describe(d))
			change(d)
			assert.Equal(t, before, describe(c))
			changed := describe(d)
			assert.NotEqual(t, before, changed)

			e := c.Clone()
			change(c)
			assert.Equal(t, before, describe(e), "the other way round")
			assert.NotEqual(t, before, describe(c))
		})
	}
}

func TestClient_ACloneSharesTransportAndJar(t *testing.T) {
	var cookies []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		cookies = append(cookies, r.Header.Get("Cookie"))
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
		}
	})
	d := c.Clone()
	_, err := d.Get(t.Context(), "/login")
	require.NoError(t, err)
	reused := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
	_, err = c.Get(ctx, "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"", "session=1"}, cookies)
	assert.True(t, reused, "the clone's connection")
}

// The engine.

func TestClient_SetEngineRunsAtOnceAndOnEveryRebuild(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	runs := 0
	configure := func(*resty.Client) { runs++ }
	steps := []struct {
		name string
		do   func()
		runs int
	}{
		{"SetEngine", func() { c.SetEngine(configure) }, 1},
		{"a call", func() { _, _ = c.Get(t.Context(), "/") }, 1},
		{"SetHeader", func() { c.SetHeader("X-A", "1") }, 1},
		{"SetBaseURL", func() { c.SetBaseURL("http://other.test") }, 1},
		{"SetTransport", func() { c.SetTransport(&fakeTransport{Answer: always(200, "")}) }, 2},
		{"SetCookieJar", func() { c.SetCookieJar(nil) }, 3},
		{"Clone", func() { _, _ = c.Clone().Get(t.Context(), "/") }, 3},
		{"a clone's SetCookieJar", func() { c.Clone().SetCookieJar(nil) }, 4},
		{"nil", func() { c.SetEngine(nil).SetCookieJar(nil) }, 4},
	}
	for _, s := range steps {
		s.do()
		assert.Equal(t, s.runs, runs, s.name)
	}
}

func TestClient_TheEngineIsConfiguredOnTheWire(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, r.Header.Get("X-Engine")+r.Header.Get("X-Hook")), nil
	})
	c.SetEngine(func(rc *resty.Client) {
		rc.SetHeader("X-Engine", "a")
		rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetHeader("X-Hook", "b"); return nil })
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "ab", resp.String())
	resp, err = c.SetEngine(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, resp.String(), "nil removes it")
}

func TestClient_TheEnginesRetriesAreOff(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){"a status": always(503, ""), "the network": unreachable} {
		c, network := newFakeClient(answer)
		c.SetEngine(func(rc *resty.Client) {
			rc.SetRetryCount(3).SetRetryWaitTime(1).AddRetryCondition(func(*resty.Response, error) bool { return true })
		})
		_, err := c.Get(t.Context(), "/")
		require.Error(t, err, name)
		assert.EqualValues(t, 1, network.Sent.Load(), name)
	}
}

func TestClient_AnEngineThatPanicsOrFailsFailsTheCall(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	c.SetEngine(func(rc *resty.Client) {
		rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { return errBoom })
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, axle.CodeNetwork, asAxle(t, err).Code)
	assert.Zero(t, network.Sent.Load())
}

func TestClient_CloseIdleConnectionsClosesThem(t *testing.T) {
	c := newLoopback(t, func(http.ResponseWriter, *http.Request) {})
	reused := func() (reused bool) {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
		_, err := c.Get(ctx, "/")
		require.NoError(t, err)
		return reused
	}
	assert.False(t, reused())
	assert.True(t, reused(), "the pool")
	c.HTTPClient().CloseIdleConnections()
	assert.False(t, reused())
}

// Plugins.

func TestClient_UseInstallsPluginsInArgumentOrder(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	plugin := func(name string) axle.PluginFunc {
		return func(c *axle.Client) func() {
			id := log.onResponse(c, name)
			return func() { c.Interceptors.Response.Eject(id) }
		}
	}
	assert.Same(t, c, c.Use(plugin("a"), nil, plugin("b")).Use(), "a nil plugin is passed over")
	assert.Equal(t, "a -> b", c.Interceptors.Response.String())
	uninstall := plugin("c").Install(c)
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c"}, log.taken())
	uninstall()
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, log.taken())
}

func TestClient_ANilPluginFuncIsPassedOver(t *testing.T) {
	var none axle.PluginFunc
	c, _ := newFakeClient(always(200, ""))
	assert.NotPanics(t, func() { c.Use(none) })
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
}

// Time limits.

func TestClient_ARequestsTimeoutWinsOverTheClientsAndZeroIsNone(t *testing.T) {
	for name, x := range map[string]struct {
		client, own time.Duration
		set         bool
		want        time.Duration
	}{
		"the client's":             {client: time.Second, want: time.Second},
		"shorter":                  {client: time.Minute, own: time.Second, set: true, want: time.Second},
		"longer":                   {client: time.Second, own: time.Minute, set: true, want: time.Minute},
		"none, up to the caller's": {client: time.Second, own: 0, set: true, want: time.Hour},
		"no client's either":       {want: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFakeClient(hang)
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				r := c.SetTimeout(x.client).R(ctx)
				if x.set {
					r.SetTimeout(x.own)
				}
				began := time.Now()
				_, err := r.Get("/")
				assert.Equal(t, axle.CodeTimeout, asAxle(t, err).Code)
				assert.Equal(t, x.want, time.Since(began))
			})
		})
	}
}

// cookieNames are the cookies that a jar has for base.
func cookieNames(t *testing.T, jar http.CookieJar, base string) []string {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	names := []string{}
	for _, c := range jar.Cookies(u) {
		names = append(names, c.Name)
	}
	return names
}

func TestClearCookies_EmptiesTheJarForEverybodyWhoSharesIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1", Path: "/"})
		}
		w.Header()["X-Got"] = r.Header["Cookie"]
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := axle.New().SetBaseURL(server.URL).SetTransport(transport)
	clone, given := client.Clone(), client.HTTPClient()
	got := func(c *axle.Client) string {
		resp, err := c.Get(context.Background(), "/")
		require.NoError(t, err)
		return resp.Header.Get("X-Got")
	}

	_, err := clone.Get(t.Context(), "/login")
	require.NoError(t, err)
	require.Equal(t, "sid=1", got(client))
	require.Equal(t, []string{"sid"}, cookieNames(t, given.Jar, server.URL))

	client.ClearCookies()

	assert.Empty(t, got(client))
	assert.Empty(t, got(clone))
	assert.Empty(t, cookieNames(t, given.Jar, server.URL))

	_, err = client.Get(t.Context(), "/login")
	require.NoError(t, err)
	assert.Equal(t, []string{"sid"}, cookieNames(t, given.Jar, server.URL), "the jar still works")
	other := axle.New().SetCookieJar(given.Jar)
	other.ClearCookies()
	assert.Empty(t, got(client), "the jar of another client that New made is emptied too")
}

func TestClearCookies_LeavesAJarOfTheUsersOwnAsItIs(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	u, err := url.Parse("http://axle.test")
	require.NoError(t, err)
	jar.SetCookies(u, []*http.Cookie{{Name: "sid", Value: "1"}})
	axle.New().SetCookieJar(jar).ClearCookies()
	axle.New().SetCookieJar(nil).ClearCookies()
	assert.Equal(t, []string{"sid"}, cookieNames(t, jar, "http://axle.test"))
}

func TestCookies_TheDefaultJarKnowsThePublicSuffixes(t *testing.T) {
	u, err := url.Parse("https://shop.co.uk")
	require.NoError(t, err)
	jar := axle.New().HTTPClient().Jar
	jar.SetCookies(u, []*http.Cookie{{Name: "all", Value: "1", Domain: "co.uk"}})
	assert.Empty(t, cookieNames(t, jar, "https://bank.co.uk"))
}
