package security_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// origins are two servers, which redirect as they are asked to, and remember what came.
type origins struct {
	home, other *httptest.Server

	mu   sync.Mutex
	seen map[string]http.Header // by "home" or "other" and the path
}

func newOrigins(t *testing.T, start func(http.Handler) *httptest.Server) *origins {
	t.Helper()
	o := &origins{seen: map[string]http.Header{}}
	handler := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen[name+r.URL.Path] = r.Header
			if to := r.URL.Query().Get("to"); to != "" {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			}
		})
	}
	o.home, o.other = start(handler("home")), httptest.NewServer(handler("other"))
	t.Cleanup(func() { o.home.Close(); o.other.Close() })
	return o
}

func (o *origins) at(place string) http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[place]
}

// via is a URL's path and query that leads to the last URL by way of the others.
func via(last string, path string, hops ...string) string {
	for _, hop := range slices.Backward(hops) {
		last = hop + "?to=" + url.QueryEscape(last)
	}
	return path + "?to=" + url.QueryEscape(last)
}

// newClient is a client of home, which trusts it.
func (o *origins) newClient(t *testing.T) *axle.Client {
	t.Helper()
	transport := &http.Transport{}
	if o.home.TLS != nil {
		transport.TLSClientConfig = o.home.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // httptest's is one
	}
	t.Cleanup(transport.CloseIdleConnections)
	return newClient().SetBaseURL(o.home.URL).SetTransport(transport)
}

var allSensitive = []string{
	"Authorization", "Cookie", "X-Api-Key", "Api-Key", "Apikey", "X-Auth-Token", "X-Access-Token", "X-Session-Token",
	"X-Csrf-Token", "X-Xsrf-Token", "X-Amz-Security-Token", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key", "Private-Token", "Job-Token", "X-Mine",
}

// count is how many of the names a header has.
func count(h http.Header, names []string) (n int) {
	for _, name := range names {
		if len(h.Values(name)) > 0 {
			n++
		}
	}
	return n
}

func TestOrigins_SensitiveDefaultsGoToTheBaseURLsOriginAlone(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t).SetSensitiveHeaders("x-mine")
	for _, name := range allSensitive {
		c.SetHeader(name, "default")
	}
	c.SetHeader("X-Plain", "default")
	for path, url := range map[string]string{"home/path": "/path", "home/absolute": o.home.URL + "/absolute", "other/absolute": o.other.URL + "/absolute"} {
		_, err := c.Get(t.Context(), url)
		require.NoError(t, err)
		want := len(allSensitive)
		if strings.HasPrefix(path, "other") {
			want = 0
		}
		assert.Equal(t, want, count(o.at(path), allSensitive), "%s: %v", path, o.at(path))
		assert.Equal(t, "default", o.at(path).Get("X-Plain"), "what is not sensitive goes everywhere")
	}
	_, err := c.SetBaseURL("").Get(t.Context(), o.home.URL+"/none")
	require.NoError(t, err)
	assert.Zero(t, count(o.at("home/none"), allSensitive), "without a base URL, nowhere")
}

func TestOrigins_AHandlerDoesNotSeeADefaultThatMayNotGoThere(t *testing.T) {
	for _, x := range []struct {
		base, url string
		want      bool
	}{
		{"http://axle.test", "/", true},
		{"http://axle.test", "http://other.test/", false},
		{"http://axle.test", "https://axle.test/", false},
		{"http://axle.test", "http://axle.test:8080/", false},
		{"", "http://axle.test/", false},
	} {
		c, _ := newFakeClient(always(200, ""))
		c.SetBaseURL(x.base).SetHeader("Authorization", "default").SetHeader("X-Plain", "1")
		c.SetQueryParam("api_key", "default").SetQueryParam("page", "1")
		useRequest(c, func(r *axle.Request) {
			assert.Equal(t, x.want, r.Header.Get("Authorization") != "", "the header at %s", x.url)
			assert.Equal(t, x.want, r.Query.Has("api_key"), "the parameter at %s", x.url)
			assert.Equal(t, "1", r.Header.Get("X-Plain"))
			assert.Equal(t, "1", r.Query.Get("page"))
		})
		_, err := c.Get(t.Context(), x.url)
		require.NoError(t, err)
	}
}

// A URL that cannot be resolved leads nowhere, so that a handler that mends the URL does not find the defaults there.
func TestOrigins_AURLThatAHandlerHasToMendGetsNoDefault(t *testing.T) {
	var sent *http.Request
	for _, base := range []string{"http://axle.test", ""} {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			sent = r
			return reply(r, 200, ""), nil
		})
		c.SetBaseURL(base).SetHeader("Authorization", "default").SetQueryParam("api_key", "default")
		useRequest(c, func(r *axle.Request) {
			assert.NotContains(t, r.Header, "Authorization")
			assert.NotContains(t, r.Query, "api_key")
			r.SetURL("http://axle.test/mended")
		})
		_, err := c.Get(t.Context(), "//axle.test/")
		require.NoError(t, err)
		assert.NotContains(t, sent.Header, "Authorization")
		assert.Equal(t, "http://axle.test/mended", sent.URL.String())
	}
}

func TestOrigins_TheCallersOwnGoToTheCallersURL(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t).SetSensitiveHeaders("X-Mine").SetHeader("Authorization", "default")
	own := func(r *axle.Request) {
		for _, name := range allSensitive {
			r.SetHeader(name, "own")
		}
	}
	for path, url := range map[string]string{"home/a": "/a", "other/a": o.other.URL + "/a"} {
		_, err := c.Get(t.Context(), url, own)
		require.NoError(t, err)
		assert.Equal(t, len(allSensitive), count(o.at(path), allSensitive), path)
		assert.Equal(t, "own", o.at(path).Get("Authorization"))
	}
}

// A handler that changes the URL takes no credentials with it that were meant for another origin.
func TestOrigins_AHandlersOtherURLGetsNeitherTheDefaultsNorTheCallersOwn(t *testing.T) {
	for name, change := range map[string]func(r *axle.Request, to string){
		"SetURL":    func(r *axle.Request, to string) { r.SetURL(to) },
		"the field": func(r *axle.Request, to string) { r.URL = to },
		"another request": func(r *axle.Request, to string) {
			again := r.Clone()
			again.URL = to
			*r = *again
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigins(t, httptest.NewServer)
			c := o.newClient(t).SetHeader("X-Api-Key", "default").SetHeader("X-Plain", "1")
			useRequest(c, func(r *axle.Request) { change(r, o.other.URL+"/there") })
			_, err := c.R(t.Context()).SetHeader("Authorization", "own").SetHeader("Cookie", "own=1").Get("/here")
			require.NoError(t, err)
			assert.Zero(t, count(o.at("other/there"), allSensitive), "%v", o.at("other/there"))
			assert.Equal(t, "1", o.at("other/there").Get("X-Plain"))
		})
	}
}

func TestOrigins_ThatAHandlerSetsItselfGoesToTheURLOfTheRequest(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t)
	useRequest(c, func(r *axle.Request) { r.SetURL(o.other.URL+"/there").SetHeader("Authorization", "handler") })
	_, err := c.R(t.Context()).SetHeader("Authorization", "own").Get("/here")
	require.NoError(t, err)
	assert.Equal(t, "handler", o.at("other/there").Get("Authorization"), "a handler knows what it does")
}

// A call in a handler, of a request that has been through a call, keeps the places that its headers may go to.
func TestOrigins_ARequestThatWasInACallKeepsThem(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t).SetHeader("X-Api-Key", "default").SetValidateStatus(nil)
	for name, again := range map[string]func(resp *axle.Response, to string) (*axle.Response, error){
		"Do": func(resp *axle.Response, to string) (*axle.Response, error) { return c.Do(resp.Request.SetURL(to)) },
		"Do of a clone": func(resp *axle.Response, to string) (*axle.Response, error) {
			return c.Do(resp.Request.Clone().SetURL(to))
		},
		"Execute": func(resp *axle.Response, to string) (*axle.Response, error) { return resp.Request.Get(to) },
		"another client's": func(resp *axle.Response, to string) (*axle.Response, error) {
			return c.Clone().Do(resp.Request.SetURL(to))
		},
		"Replay": func(resp *axle.Response, to string) (*axle.Response, error) {
			return resp.Request.Replay(func(r *axle.Request) { r.SetURL(to) })
		},
		"Replay, then Do": func(resp *axle.Response, to string) (*axle.Response, error) {
			replayed, err := resp.Request.Replay()
			if err != nil {
				return nil, err
			}
			return c.Do(replayed.Request.SetURL(to))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.Interceptors.Response.Clear()
			once := true
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if !once {
					return resp, nil
				}
				once = false
				return again(resp, o.other.URL+"/there")
			})
			_, err := c.R(t.Context()).SetHeader("Authorization", "own").Get("/here")
			require.NoError(t, err)
			assert.Equal(t, 2, count(o.at("home/here"), allSensitive))
			require.NotNil(t, o.at("other/there"))
			assert.Zero(t, count(o.at("other/there"), allSensitive), "%v", o.at("other/there"))
			o.mu.Lock()
			clear(o.seen)
			o.mu.Unlock()
		})
	}
}

// The places are those of values: a new value in the header is the caller's, for the place that the request leads to now.
func TestOrigins_ANewValueOnARequestThatWasInACallIsBoundToo(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t)
	resp, err := c.R(t.Context()).SetHeader("Authorization", "old").Get("/first")
	require.NoError(t, err)
	useRequest(c, func(r *axle.Request) { r.SetURL(o.other.URL + "/there") })
	for name, value := range map[string]string{"the old value": "old", "a new value": "new"} {
		_, err = c.Do(resp.Request.Clone().SetURL("/again").SetHeader("Authorization", value))
		require.NoError(t, err)
		require.NotNil(t, o.at("other/there"))
		assert.Zero(t, count(o.at("other/there"), allSensitive), "%s: %v", name, o.at("other/there"))
	}
}

func TestOrigins_NoneFollowARedirectToAnotherOrigin(t *testing.T) {
	starts := map[string]func(http.Handler) *httptest.Server{"another port": httptest.NewServer, "https to http": httptest.NewTLSServer}
	sources := map[string]func(c *axle.Client, r *axle.Request){
		"the client's": func(c *axle.Client, _ *axle.Request) {
			for _, name := range allSensitive {
				c.SetHeader(name, "default")
			}
		},
		"the caller's": func(_ *axle.Client, r *axle.Request) {
			for _, name := range allSensitive {
				r.SetHeader(name, "own")
			}
		},
		"a handler's": func(c *axle.Client, _ *axle.Request) {
			useRequest(c, func(r *axle.Request) {
				for _, name := range allSensitive {
					r.SetHeader(name, "handler")
				}
			})
		},
		"the method's": func(c *axle.Client, _ *axle.Request) {
			for _, name := range allSensitive {
				c.SetMethodHeader(http.MethodGet, name, "default")
			}
		},
	}
	for kind, start := range starts {
		for source, set := range sources {
			t.Run(source+", "+kind, func(t *testing.T) {
				o := newOrigins(t, start)
				c := o.newClient(t).SetSensitiveHeaders("X-Mine").SetHeader("X-Plain", "1")
				r := c.R(t.Context())
				set(c, r)
				otherName := strings.Replace(o.other.URL, "127.0.0.1", "localhost", 1)
				// home -> home -> other -> the other by another name -> home
				_, err := r.Get(via(o.home.URL+"/back", "/start", o.home.URL+"/second", o.other.URL+"/away", otherName+"/further"))
				require.NoError(t, err)
				for _, place := range []string{"home/start", "home/second"} {
					assert.Equal(t, len(allSensitive), count(o.at(place), allSensitive), "%s: on the same origin they follow", place)
				}
				for _, place := range []string{"other/away", "other/further", "home/back"} {
					h := o.at(place)
					require.NotNil(t, h, place)
					assert.Zero(t, count(h, allSensitive), "%s: %v", place, h)
					assert.Equal(t, "1", h.Get("X-Plain"), "%s: what is not sensitive does follow", place)
				}
			})
		}
	}
}

func TestOrigins_HeadersOfUnusualSpellingAreCredentialsToo(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t)
	odd := func(r *axle.Request) {
		r.Header["x-API-key"], r.Header["authorization"] = []string{"own"}, []string{"own"}
	}
	_, err := c.Get(t.Context(), via(o.other.URL+"/away", "/start"), odd)
	require.NoError(t, err)
	assert.Equal(t, 2, count(o.at("home/start"), allSensitive))
	assert.Zero(t, count(o.at("other/away"), allSensitive))
	useRequest(c, func(r *axle.Request) { r.SetURL(o.other.URL + "/there") })
	_, err = c.Get(t.Context(), "/here", odd)
	require.NoError(t, err)
	assert.Zero(t, count(o.at("other/there"), allSensitive))
}

func TestOrigins_CookiesOfTheJarGoWhereTheJarSays(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	c := o.newClient(t).SetCookieJar(jar)
	home, err := url.Parse(o.home.URL)
	require.NoError(t, err)
	jar.SetCookies(home, []*http.Cookie{{Name: "n", Value: "1"}})
	otherName := strings.Replace(o.other.URL, "127.0.0.1", "localhost", 1)
	_, err = c.Get(t.Context(), via(o.home.URL+"/back", "/start", otherName+"/away"))
	require.NoError(t, err)
	assert.Equal(t, "n=1", o.at("home/start").Get("Cookie"))
	assert.Empty(t, o.at("other/away").Get("Cookie"))
	assert.Equal(t, "n=1", o.at("home/back").Get("Cookie"), "the jar's are the origin's own")
}

func TestOrigins_RefererIsNotTakenToAnotherOriginAndNeverHasUserinfo(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t)
	withUser := strings.Replace(o.home.URL, "//", "//me:s3cret@", 1)
	_, err := c.Get(t.Context(), withUser+via(o.other.URL+"/away", "/start", "/second"))
	require.NoError(t, err)
	assert.Equal(t, axle.BasicAuth("me", "s3cret"), o.at("home/start").Get("Authorization"), "userinfo is HTTP Basic")
	second := o.at("home/second")
	assert.True(t, strings.HasPrefix(second.Get("Referer"), o.home.URL+"/start?"), "%v", second)
	away := o.at("other/away")
	require.NotNil(t, away)
	assert.Empty(t, away.Get("Referer"))
	assert.Empty(t, away.Get("Authorization"))

	_, err = c.R(t.Context()).SetHeader("Referer", "http://own.test/s3cret").Get(via(o.other.URL+"/explicit", "/start"))
	require.NoError(t, err)
	assert.Empty(t, o.at("other/explicit").Get("Referer"))
}

func TestOrigins_UserinfoOfTheBaseURLIsTheBaseURLsAlone(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t).SetBaseURL(strings.Replace(o.home.URL, "//", "//me:s3cret@", 1))
	_, err := c.Get(t.Context(), via(o.other.URL+"/away", "/start"))
	require.NoError(t, err)
	assert.Equal(t, axle.BasicAuth("me", "s3cret"), o.at("home/start").Get("Authorization"))
	assert.Empty(t, o.at("other/away").Get("Authorization"))
	_, err = c.Get(t.Context(), o.other.URL+"/absolute")
	require.NoError(t, err)
	assert.Empty(t, o.at("other/absolute").Get("Authorization"))
}

func TestOrigins_TheHeaderOfSetXSRFIsACredentialWhateverItsName(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t).SetXSRF("echo", "x-echo")
	assert.True(t, c.IsSensitiveHeader("X-ECHO"))
	assert.False(t, c.SetXSRF("", "").IsSensitiveHeader(""))

	_, err := c.SetXSRF("echo", "x-echo").R(t.Context()).SetHeader("X-Echo", theSecret).
		Get(via(o.other.URL+"/away", "/start"))
	require.NoError(t, err)
	assert.Equal(t, theSecret, o.at("home/start").Get("X-Echo"))
	require.NotNil(t, o.at("other/away"))
	assert.Empty(t, o.at("other/away").Get("X-Echo"))
}

func TestOrigins_ACookieHeaderOfWhichNothingIsLeftIsNotSent(t *testing.T) {
	var sent http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return reply(r, 200, ""), nil
	})
	useRequest(c, func(r *axle.Request) {
		r.SetHeader("Cookie", "b=2; a=1") // the caller's cookies in another order
		r.SetURL("http://other.test/")
	})

	_, err := c.R(t.Context()).SetHeader("Cookie", "a=1; b=2").Get("/")
	require.NoError(t, err)
	assert.NotContains(t, sent, "Cookie")
}

func TestOrigins_ACallersCredentialIsSentWhereTheEditOfAReplayLeadsHomeAgain(t *testing.T) {
	var sent []string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.Host+" "+r.Header.Get("Authorization"))
		return reply(r, http.StatusUnauthorized, ""), nil
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetURL("http://axle.test/again") })
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetURL("http://other.test/") })
	})

	_, err := c.R(t.Context()).SetHeader("Authorization", "Bearer own").Get("/")
	require.Equal(t, http.StatusUnauthorized, asAxle(t, err).StatusCode())
	assert.Equal(t, []string{
		"axle.test Bearer own", "axle.test Bearer own", // the inner handler's replay of the first attempt
		"other.test ", "axle.test Bearer own", // the outer handler's, and the inner one's of that
	}, sent)
}

func TestOrigins_SetSensitiveHeadersAddsToTheBuiltInOnesAndTakesTheLast(t *testing.T) {
	c := newClient()
	assert.True(t, c.IsSensitiveHeader("authorization"))
	assert.False(t, c.IsSensitiveHeader("X-Mine"))
	c.SetSensitiveHeaders("x-mine", "X-Yours")
	for _, name := range []string{"X-MINE", "x-yours", "Authorization", "x-api-key", "Cookie", "Proxy-Authorization"} {
		assert.True(t, c.IsSensitiveHeader(name), name)
	}
	c.SetSensitiveHeaders()
	assert.False(t, c.IsSensitiveHeader("X-Mine"))
	assert.True(t, c.IsSensitiveHeader("Authorization"))
}

func TestP9_SetByCallerTellsTheCallersOwnFromDefaultsAndHandlers(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetHeader("Authorization", "default").SetHeader("X-Plain", "default")
	var got []bool
	c.SetInterceptorOrder(axle.FIFO)
	ask := func(r *axle.Request) { got = append(got, r.SetByCaller("authorization"), r.SetByCaller("X-Plain")) }
	useRequest(c, ask)
	useRequest(c, func(r *axle.Request) { r.SetHeader("Authorization", "handler").SetHeader("X-Plain", "handler") })
	useRequest(c, ask)
	for _, x := range []struct {
		own  bool
		want []bool
	}{{false, []bool{false, false, false, false}}, {true, []bool{true, true, false, false}}} {
		got = nil
		r := c.R(context.Background())
		if x.own {
			r.SetHeader("Authorization", "own").SetHeader("X-Plain", "own")
		}
		_, err := r.Get("/")
		require.NoError(t, err)
		assert.Equal(t, x.want, got)
	}
}

// Credentials: the http.Client copies them to a redirect on the same host; axle's origins are stricter.

func TestP9_TheBridgeTakesNoCredentialsAcrossOrigins(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	for source, prepare := range map[string]func(c *axle.Client, r *http.Request){
		"the request's": func(_ *axle.Client, r *http.Request) {
			for _, name := range allSensitive {
				r.Header.Set(name, "own")
			}
		},
		"the client's": func(c *axle.Client, _ *http.Request) {
			for _, name := range allSensitive {
				c.SetHeader(name, "default")
			}
		},
		"a handler's": func(c *axle.Client, _ *http.Request) {
			useRequest(c, func(r *axle.Request) {
				for _, name := range allSensitive {
					r.SetHeader(name, "handler")
				}
			})
		},
	} {
		c := o.newClient(t).SetSensitiveHeaders("X-Mine").SetHeader("X-Plain", "1")
		req := newRequest(t, "GET", o.home.URL+via(o.home.URL+"/back", "/start", o.home.URL+"/second", o.other.URL+"/away", o.other.URL+"/further"), nil)
		prepare(c, req)
		resp, err := c.HTTPClient().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		for place, want := range map[string]int{"home/start": len(allSensitive), "home/second": len(allSensitive), "other/away": 0, "other/further": 0, "home/back": 0} {
			h := o.at(place)
			require.NotNil(t, h, place)
			got := count(h, allSensitive)
			if source == "the request's" && want == 0 && h.Get("Cookie") != "" {
				got-- // the cookies are the http.Client's business: it has the port for no border
			}
			assert.Equal(t, want, got, "%s at %s: %v", source, place, h)
			assert.Equal(t, "1", h.Get("X-Plain"))
		}
	}
}

func TestP9_TheBridgeTakesTheJarsCookiesAndNoHandlersAcrossOrigins(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	home, err := url.Parse(o.home.URL)
	require.NoError(t, err)
	jar.SetCookies(home, []*http.Cookie{{Name: "n", Value: "1"}})
	c := o.newClient(t).SetCookieJar(jar)
	useRequest(c, func(r *axle.Request) {
		r.Header.Set("Cookie", strings.TrimPrefix(r.Header.Get("Cookie")+"; handler=1", "; "))
	})
	otherName := strings.Replace(o.other.URL, "127.0.0.1", "localhost", 1)
	for name, hc := range map[string]*http.Client{"HTTPClient": c.HTTPClient(), "a jar that axle does not know": {Transport: c.RoundTripper(), Jar: jar}} {
		resp, err := hc.Do(newRequest(t, "GET", o.home.URL+via(o.home.URL+"/back", "/start", otherName+"/away"), nil))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "n=1; handler=1", o.at("home/start").Get("Cookie"), name)
		assert.Empty(t, o.at("other/away").Get("Cookie"), name)
		assert.Equal(t, "n=1", o.at("home/back").Get("Cookie"), "%s: the jar knows where they belong, a handler need not", name)
	}
}

func TestBindHeader_GoesToItsOriginAlone(t *testing.T) {
	var seen []string
	c := axle.New().SetBaseURL("http://axle.test").SetCookieJar(nil).SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.URL.Host+strings.Join(r.Header["X-Signature"], ","))
		return reply(r, 200, ""), nil
	}))
	elsewhere := false
	useRequest(c, func(r *axle.Request) { // runs after the next
		if elsewhere {
			r.SetURL("http://evil.test/")
		}
	})
	useRequest(c, func(r *axle.Request) {
		r.SetHeader("X-Signature", "s")
		r.BindHeader("x-signature", "http://axle.test")
	})
	for _, elsewhere = range []bool{false, true} {
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"axle.tests", "evil.test"}, seen)
	c.R(t.Context()).BindHeader("X-A", "http://axle.test") // outside a call it does nothing
}

func TestBindHeader_OfACloneLeavesTheOriginalsAlone(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	sent := map[string]string{}
	c.SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		sent[r.URL.Host] = r.Header.Get("X-Key")
		return reply(r, 200, ""), nil
	}))
	useRequest(c, func(r *axle.Request) {
		if r.Nested() {
			return
		}
		clone := r.Clone().SetURL("http://other.test/").SetHeader("X-Key", "clones")
		clone.BindHeader("X-Key", "http://other.test")
		r.SetHeader("X-Key", "originals")
		r.BindHeader("X-Key", "http://axle.test")
		_, err := c.Do(clone.SetURL("http://third.test/"))
		assert.NoError(t, err)
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"axle.test": "originals", "third.test": ""}, sent)
}

func TestBindHeader_ARequestAndItsClonesShareNoBinding(t *testing.T) {
	const home, other = "http://axle.test", "http://other.test"
	bind := func(r *axle.Request, value, origin string) {
		r.SetHeader("X-Key", value)
		r.BindHeader("X-Key", origin)
	}
	for name, cloneOf := range map[string]func(r *axle.Request) *axle.Request{
		"the original binds again": func(r *axle.Request) *axle.Request {
			bind(r, "secret of home", home)
			clone := r.Clone()
			bind(r, "secret of other", other)
			return clone
		},
		"the original binds a third time": func(r *axle.Request) *axle.Request {
			bind(r, "older secret of home", home)
			bind(r, "secret of home", home)
			clone := r.Clone()
			bind(r, "secret of other", other)
			return clone
		},
		"another clone binds too": func(r *axle.Request) *axle.Request {
			clone, another := r.Clone(), r.Clone()
			bind(clone, "secret of home", home)
			bind(another, "secret of other", other)
			return clone
		},
	} {
		t.Run(name, func(t *testing.T) {
			sent := map[string][]string{}
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				sent[r.URL.Host] = r.Header["X-Key"]
				return reply(r, 200, ""), nil
			})
			useRequest(c, func(r *axle.Request) {
				if r.Nested() {
					return
				}
				_, err := c.Do(cloneOf(r).SetURL(other + "/"))
				assert.NoError(t, err)
			})

			_, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
			require.Contains(t, sent, "other.test")
			assert.Empty(t, sent["other.test"])
		})
	}
}

// A handler may send another call's request instead. Each credential keeps the place that it was meant for.
func TestOrigins_ARequestOfAnotherCallKeepsItsOwnCredentialsAndGetsNoneOfTheCall(t *testing.T) {
	var sent http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return reply(r, 200, r.URL.Host), nil
	})
	resp, err := c.R(t.Context()).SetHeader("Authorization", "token").Get("https://b.example/")
	require.NoError(t, err)
	earlier := resp.Request
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return earlier.Clone().SetHeader("X-Api-Key", r.Header.Get("X-Api-Key")), nil
	}, nil)

	resp, err = c.R(t.Context()).SetHeader("Authorization", "token").SetHeader("X-Api-Key", "key").Get("https://a.example/")
	require.NoError(t, err)
	assert.Equal(t, "b.example", resp.String())
	assert.Equal(t, "token", sent.Get("Authorization"), "it was given for b.example too")
	assert.Empty(t, sent.Get("X-Api-Key"))
}

func TestOrigins_ACredentialWithTheValueOfAnotherIsBoundToo(t *testing.T) {
	var sent http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return reply(r, 200, r.URL.Host), nil
	})
	resp, err := c.R(t.Context()).SetHeader("Authorization", "same").Get("https://a.example/")
	require.NoError(t, err)
	useRequest(c, func(r *axle.Request) { r.SetURL("https://b.example/") })
	resp, err = c.Do(resp.Request.Clone().SetHeader("X-Api-Key", "same"))
	require.NoError(t, err)
	assert.Equal(t, "b.example", resp.String())
	assert.Empty(t, sent.Get("Authorization"))
	assert.Empty(t, sent.Get("X-Api-Key"))
}

// One list of names says what axle hides, and what stays at its origin.
func TestOrigins_WhatIsHiddenByItsNameCrossesNoOriginAndEverythingElseDoes(t *testing.T) {
	secret := []string{
		"password", "newpassword", "db_pass", "passphrase", "access_token", "accessToken", "JWTToken", "credentials",
		"client_secret", "apikey", "api_key", "X-Api-Key", "private_key", "signature", "X-Amz-Signature", "otp",
		"mfa_code", "session_id", "JSESSIONID", "csrftoken", "cvv", "DPoP", "X-Vault-Token", "X-Shopify-Access-Token",
		"Private-Token", "Dd-Application-Key", "X-Hub-Signature-256", "Authorization",
	}
	harmless := []string{
		"page", "name", "X-Request-Id", "Idempotency-Key", "tokenizer", "token_type", "max_tokens", "monkey",
		"public_key", "cache_key", "author", "bypass", "country_code", "status_code", "design", "tickets",
	}
	for i, name := range append(slices.Clone(secret), harmless...) {
		stays := i < len(secret)

		c, _ := newFakeClient(always(200, ""))
		resp, err := c.SetQueryParam(name, "its-value").Get(t.Context(), "/")
		require.NoError(t, err, name)
		shown := strings.Contains(fmt.Sprint(resp.Request), "its-value")
		assert.Equal(t, stays, !shown, "%s is hidden in a URL", name)

		resp, err = c.Get(t.Context(), "http://other.test/")
		require.NoError(t, err, name)
		assert.Equal(t, stays, !resp.Raw().Request.URL.Query().Has(name), "%s, as a default parameter", name)

		for whose, set := range map[string]func(*axle.Client, *axle.Request){
			"the client's": func(c *axle.Client, _ *axle.Request) { c.SetHeader(name, "its-value") },
			"the caller's": func(_ *axle.Client, r *axle.Request) { r.SetHeader(name, "its-value") },
			"a handler's": func(c *axle.Client, _ *axle.Request) {
				useRequest(c, func(r *axle.Request) { r.SetHeader(name, "its-value") })
			},
		} {
			var arrived []bool
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				arrived = append(arrived, r.Header.Get(name) != "")
				if r.URL.Host == "other.test" {
					return reply(r, http.StatusOK, ""), nil
				}
				resp := reply(r, http.StatusTemporaryRedirect, "")
				resp.Header.Set("Location", "http://other.test/")
				return resp, nil
			})
			r := c.R(t.Context())
			set(c, r)
			_, err = r.Get("/")
			require.NoError(t, err, name)
			assert.Equal(t, []bool{true, !stays}, arrived, "%s header %s", whose, name)
		}
	}
}
