package security_test

import (
	"context"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// theSecret is what no foreign origin may be told, in whichever place of a request.
const theSecret = "s3cret"

// world is three servers, which redirect as a request's "to" asks them, and what came to them.
type world struct {
	home, secure, other *httptest.Server
	transport           *http.Transport

	mu   sync.Mutex
	came []arrival
}

// arrival is a request as it came: the whole of it, with its Authorization in plain text.
type arrival struct{ at, text string }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	w.home = httptest.NewServer(w.record("home"))
	w.other = httptest.NewServer(w.record("other"))
	w.secure = httptest.NewTLSServer(w.record("secure"))
	w.transport = w.secure.Client().Transport.(*http.Transport).Clone() //nolint:forcetypeassert // httptest's is one
	t.Cleanup(func() {
		w.transport.CloseIdleConnections()
		w.home.Close()
		w.other.Close()
		w.secure.Close()
	})
	return w
}

func (w *world) record(name string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		text, _ := httputil.DumpRequest(r, false)
		user, password, _ := r.BasicAuth()
		w.mu.Lock()
		w.came = append(w.came, arrival{name + " " + r.Host, string(text) + user + password})
		w.mu.Unlock()
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
		}
	})
}

// taken is what came since it was asked last: to a server by its own address, and to any other place.
func (w *world) taken(own *httptest.Server) (home, foreign []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.came {
		if strings.HasSuffix(a.at, " "+own.Listener.Addr().String()) {
			home = append(home, a.text)
		} else {
			foreign = append(foreign, a.text)
		}
	}
	w.came = nil
	return home, foreign
}

// otherName is the other server by another name than an address.
func (w *world) otherName() string { return strings.Replace(w.other.URL, "127.0.0.1", "localhost", 1) }

// call is one case of the table: a client, and what its caller writes.
type tableCall struct {
	c      *axle.Client
	header http.Header
	user   string // userinfo of the caller's URL
	send   func(call *tableCall, base, path string) error
}

func (call *tableCall) get(base, path string) error { return call.send(call, base, path) }

// oddCase is a name as no canonical one is spelled.
func oddCase(name string) string { return strings.ToLower(name[:1]) + strings.ToUpper(name[1:]) }

// Each way to spell a credential, against each way to set it, each way to leave an origin, and each way to send.
func TestOrigins_NoCredentialIsTakenToAForeignOrigin(t *testing.T) {
	w := newWorld(t)

	headers := []string{
		"Authorization", "Cookie", "X-Api-Key", "Proxy-Authorization", "X-Mine",
		"X-Vault-Token", "X-Shopify-Access-Token", "Dd-Api-Key", "X-Session-Id", "DPoP", "Authentication", "X-Bound",
	}
	spellings := map[string]func(string) string{
		"as is":       func(name string) string { return name },
		"in odd case": oddCase,
	}
	value := func(name string) string {
		if name == "Cookie" {
			return "own=" + theSecret
		}
		return theSecret
	}

	// bound: wherever a handler sends the request, its origin decides. unbound: a handler knows what it does.
	type way struct {
		name string
		set  func(call *tableCall, name, spelled string)
		kind string
	}
	ways := []way{
		{"the client's default", func(call *tableCall, name, spelled string) { call.c.SetHeader(spelled, value(name)) }, "default"},
		{"the method's default", func(call *tableCall, name, spelled string) {
			call.c.SetMethodHeader(http.MethodGet, spelled, value(name))
		}, "default"},
		{"the caller's", func(call *tableCall, name, spelled string) { call.header[spelled] = []string{value(name)} }, "caller"},
		{"a handler's", func(call *tableCall, name, spelled string) {
			useRequest(call.c, func(r *axle.Request) { r.Header[spelled] = []string{value(name)} })
		}, "unbound"},
		{"a handler's, bound", func(call *tableCall, name, spelled string) {
			useRequest(call.c, func(r *axle.Request) {
				r.Header[spelled] = []string{value(name)}
				r.BindHeader(spelled, r.BaseOrigin())
			})
		}, "bound"},
	}

	sendDirectly := func(call *tableCall, base, path string) error {
		base = strings.Replace(base, "//", "//"+call.user, 1)
		_, err := call.c.Get(t.Context(), base+path, func(r *axle.Request) { r.Header = call.header })
		return err
	}
	sendBehind := func(hc func(c *axle.Client) *http.Client) func(*tableCall, string, string) error {
		return func(call *tableCall, base, path string) error {
			r := newRequest(t, http.MethodGet, strings.Replace(base, "//", "//"+call.user, 1)+path, nil)
			r.Header = call.header
			resp, err := hc(call.c).Do(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		}
	}
	modes := map[string]func(*tableCall, string, string) error{
		"axle":           sendDirectly,
		"HTTPClient":     sendBehind((*axle.Client).HTTPClient),
		"a RoundTripper": sendBehind(func(c *axle.Client) *http.Client { return &http.Client{Transport: c.RoundTripper()} }),
	}

	moveTo := func(to string) func(call *tableCall, base string) error {
		return func(call *tableCall, base string) error {
			useRequest(call.c, func(r *axle.Request) { r.SetURL(to) })
			return call.get(base, "/start")
		}
	}
	type exit struct {
		name string
		home *httptest.Server
		not  string // the kinds of credentials that may go there
		do   func(call *tableCall, base string) error
	}
	redirect := func(name string, home *httptest.Server, hops ...string) exit {
		return exit{name, home, "", func(call *tableCall, base string) error {
			return call.get(base, via(hops[len(hops)-1], "/start", hops[:len(hops)-1]...))
		}}
	}
	exits := []exit{
		redirect("a redirect to another port", w.home, w.other.URL+"/x"),
		redirect("a redirect to another host", w.home, w.otherName()+"/x"),
		redirect("a redirect to the same server by another name", w.home, strings.Replace(w.home.URL, "127.0.0.1", "localhost", 1)+"/x"),
		redirect("a redirect from https to http", w.secure, w.other.URL+"/x"),
		redirect("a redirect from http to https", w.home, w.secure.URL+"/x"),
		redirect("the second hop", w.home, w.home.URL+"/second", w.other.URL+"/x"),
		redirect("a hop after the first foreign one", w.home, w.other.URL+"/x", w.other.URL+"/y", w.otherName()+"/z"),
		{"an absolute URL", w.home, "caller unbound", func(call *tableCall, _ string) error { return call.get(w.other.URL, "/x") }},
		{"a handler's URL", w.home, "unbound", moveTo(w.other.URL + "/x")},
		{"a handler's new request", w.home, "unbound", func(call *tableCall, base string) error {
			call.c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				return &axle.Request{URL: w.other.URL + "/x", Header: r.Header.Clone(), Query: r.Query}, nil
			}, nil)
			return call.get(base, "/start")
		}},
		{"a replay's edit", w.home, "unbound", func(call *tableCall, base string) error {
			useFulfilled(call.c, func(resp *axle.Response) (*axle.Response, error) {
				if resp.Request.Attempt() > 1 {
					return resp, nil
				}
				return resp.Request.Replay(func(r *axle.Request) { r.SetURL(w.other.URL + "/x") })
			})
			return call.get(base, "/start")
		}},
		{"a Do in a handler", w.home, "unbound", func(call *tableCall, base string) error {
			once := true
			useFulfilled(call.c, func(resp *axle.Response) (*axle.Response, error) {
				if !once {
					return resp, nil
				}
				once = false
				return call.c.Do(resp.Request.SetURL(w.other.URL + "/x"))
			})
			return call.get(base, "/start")
		}},
		{"a handler's Host", w.home, "unbound", func(call *tableCall, base string) error {
			useRequest(call.c, func(r *axle.Request) { r.Header["hOST"] = []string{"elsewhere.test"} })
			return call.get(base, "/start")
		}},
	}

	run := func(name string, e exit, mode string, set func(call *tableCall)) {
		c := newClient().SetBaseURL(e.home.URL).SetTransport(w.transport).SetInterceptorOrder(axle.FIFO).SetSensitiveHeaders("X-Mine")
		call := &tableCall{c: c, header: http.Header{"X-Plain": {"plain"}}, send: modes[mode]}
		set(call)
		if !assert.NoError(t, e.do(call, e.home.URL), "%s, %s, by %s", name, e.name, mode) {
			return
		}
		_, foreign := w.taken(e.home)
		if !assert.NotEmpty(t, foreign, "%s, %s, by %s: the request did not leave", name, e.name, mode) {
			return
		}
		for _, text := range foreign {
			assert.NotContains(t, text, theSecret, "%s, %s, by %s", name, e.name, mode)
			assert.Contains(t, text, "X-Plain: plain", "%s, %s, by %s: what is no secret does go", name, e.name, mode)
		}
	}
	arrives := func(name, mode string, set func(call *tableCall)) {
		run := exit{home: w.home, do: func(call *tableCall, base string) error { return call.get(base, "/start") }}
		c := newClient().SetBaseURL(w.home.URL).SetTransport(w.transport).SetInterceptorOrder(axle.FIFO).SetSensitiveHeaders("X-Mine")
		call := &tableCall{c: c, header: http.Header{}, send: modes[mode]}
		set(call)
		require.NoError(t, run.do(call, w.home.URL))
		home, _ := w.taken(w.home)
		if assert.Len(t, home, 1, name) {
			assert.Equal(t, 1, strings.Count(home[0], theSecret), "%s by %s: at home it arrives, once: %s", name, mode, home[0])
		}
	}

	for mode := range modes {
		for _, header := range headers {
			for spelling, spell := range spellings {
				for _, how := range ways {
					if header == "X-Bound" && how.kind != "bound" {
						continue
					}
					name := how.name + " " + header + " " + spelling
					set := func(call *tableCall) { how.set(call, header, spell(header)) }
					if header != "Proxy-Authorization" {
						arrives(name, mode, set)
					}
					for _, e := range exits {
						if !strings.Contains(" "+e.not+" ", " "+how.kind+" ") || header == "Proxy-Authorization" {
							run(name, e, mode, set)
						}
					}
				}
			}
		}

		for _, parameter := range []string{"api_key", "sig", "access_token", "X-Amz-Signature"} {
			name := "a default query parameter " + parameter
			set := func(call *tableCall) { call.c.SetQueryParam(parameter, theSecret) }
			arrives(name, mode, set)
			for _, e := range exits {
				run(name, e, mode, set)
			}
		}

		set := func(call *tableCall) { call.user = "me:" + theSecret + "@" }
		arrives("userinfo", mode, set)
		for _, e := range exits {
			if e.name != "an absolute URL" && e.name != "a handler's Host" {
				run("userinfo", e, mode, set)
			}
		}
	}
	for _, e := range exits {
		run("the base URL's userinfo", e, "axle", func(call *tableCall) {
			call.c.SetBaseURL(strings.Replace(e.home.URL, "//", "//me:"+theSecret+"@", 1))
			call.send = func(call *tableCall, base, path string) error {
				if base == e.home.URL {
					base = ""
				}
				_, err := call.c.Get(t.Context(), base+path, func(r *axle.Request) { r.Header = call.header })
				return err
			}
		})
	}
}

func TestOrigins_HarmlessHeadersDoCross(t *testing.T) {
	harmless := []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Language", "Content-Type", "Etag", "Forwarded",
		"From", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "Keep-Alive", "Link", "Origin", "Pragma", "Prefer",
		"Priority", "Range", "Sec-Fetch-Mode", "Sec-Websocket-Key", "Sec-Websocket-Protocol", "Traceparent", "Tracestate", "Baggage",
		"User-Agent", "Via", "X-Correlation-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id", "X-Requested-With",
		"X-B3-Traceid", "B3", "X-Client-Version", "X-Tenant-Id", "X-Http-Method-Override", "Accept-Datetime", "Digest", "Content-Digest",
		"X-Amz-Date", "X-Amz-Content-Sha256", "X-Github-Api-Version", "Anthropic-Version", "Openai-Organization", "Dnt", "Depth",
		"X-Powered-By", "X-Keyboard-Layout", "X-Status-Code", "Access-Control-Request-Headers", "Upgrade-Insecure-Requests",
		"Content-Encoding", "Content-Length", "Connection", "Host", "Referer",
	}
	c := newClient()
	for _, name := range harmless {
		assert.False(t, c.IsSensitiveHeader(name), name)
		assert.False(t, c.IsSensitiveHeader(strings.ToLower(name)), name)
	}
	for _, name := range []string{
		"Set-Cookie", "Set-Cookie2", "Cookie2", "Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "X-Auth-Token", "Job-Token",
		"Private-Token", "Ocp-Apim-Subscription-Key", "X-Goog-Api-Key", "X-Amz-Security-Token", "X-Csrf-Token", "X-Xsrf-Token", "Apikey", "Api-Key",
		"X-Vault-Token", "X-Shopify-Access-Token", "Dd-Api-Key", "X-Session-Id", "DPoP", "Authentication", "X-Hub-Signature-256",
	} {
		assert.True(t, c.IsSensitiveHeader(name), name)
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_ = c.IsSensitiveHeader("Content-Type") || c.IsSensitiveHeader("X-Correlation-Id")
	}), "a plain call's headers cost nothing")
	assert.True(t, c.SetSensitiveHeaders("Etag", "x-request-id").IsSensitiveHeader("X-Request-Id"), "a user's word counts")
}

func TestOrigins_ABoundHeaderIsDeclaredSensitive(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useRequest(c, func(r *axle.Request) {
		r.Header["x-odd"] = []string{theSecret}
		assert.False(t, r.IsDeclaredSensitive("X-Odd"))
		r.BindHeader("x-ODD", r.BaseOrigin())
		assert.True(t, r.IsDeclaredSensitive("x-odd"))
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.True(t, resp.Request.IsDeclaredSensitive("X-Odd"))
	assert.NotContains(t, resp.Request.Curl(), theSecret)
	assert.False(t, c.R(t.Context()).IsDeclaredSensitive("X-Odd"))
}

// Value by value: what a handler adds beside a credential takes no credential along.
func TestOrigins_AValueThatAHandlerAddsToTakesNothingAlong(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	c := o.newClient(t)
	useRequest(c, func(r *axle.Request) {
		r.Header.Add("Authorization", "handler")
		r.Header.Set("Cookie", r.Header.Get("Cookie")+"; handler=1")
		r.SetURL(o.other.URL + "/there")
	})
	_, err := c.R(t.Context()).SetHeader("Authorization", "own").SetHeader("Cookie", "own=1; more=2").Get("/here")
	require.NoError(t, err)
	assert.Equal(t, []string{"handler"}, o.at("other/there")["Authorization"])
	assert.Equal(t, []string{"handler=1"}, o.at("other/there")["Cookie"])
}

// Where the Host leads.

func TestOrigins_OfPlainHTTPAnotherHostIsAnotherOrigin(t *testing.T) {
	var got *http.Request
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r
		return reply(r, 200, ""), nil
	})
	c.SetInterceptorOrder(axle.FIFO).SetHeader("X-Api-Key", "default").SetQueryParam("api_key", "default").SetQueryParam("page", "1")
	useRequest(c, func(r *axle.Request) {
		r.SetHeader("X-Token", "bound")
		r.BindHeader("X-Token", r.BaseOrigin())
	})
	for _, x := range []struct {
		base, host string
		goes       bool
	}{
		{"http://axle.test", "", true},
		{"http://axle.test", "axle.test", true},
		{"http://axle.test", "AXLE.test:80", true},
		{"http://axle.test:8080", "axle.test:8080", true},
		{"http://axle.test", "other.test", false},
		{"http://axle.test:8080", "axle.test", false},
		{"http://axle.test", "axle.test:8080", false},
		{"https://axle.test", "other.test", true}, // TLS has authenticated the peer
	} {
		c.SetBaseURL(x.base)
		check := func(how, own string) {
			t.Helper()
			name := how + " " + x.base + " with the Host " + x.host
			if x.goes {
				assert.Equal(t, "default bound", got.Header.Get("X-Api-Key")+" "+got.Header.Get("X-Token"), name)
				assert.Equal(t, "api_key=default&page=1", got.URL.RawQuery, name)
			} else {
				assert.Equal(t, " ", got.Header.Get("X-Api-Key")+" "+got.Header.Get("X-Token"), name)
				assert.Equal(t, "page=1", got.URL.RawQuery, name)
			}
			assert.Equal(t, own, got.Header.Get("Authorization"), name)
		}

		_, err := c.Get(t.Context(), "/", func(r *axle.Request) { r.SetHeader("Host", x.host).SetHeader("Authorization", "own") })
		require.NoError(t, err)
		check("the caller's", "own") // the caller gave both

		for how, client := range map[string]*axle.Client{
			"the client's": c.Clone().SetHeader("Host", x.host), "the method's": c.Clone().SetMethodHeader("GET", "Host", x.host),
		} {
			_, err = client.R(t.Context()).SetHeader("Authorization", "own").Get("/")
			require.NoError(t, err)
			check(how, "own")
		}

		raw := newRequest(t, http.MethodGet, x.base+"/", nil) // as a reverse proxy passes an inbound request on
		raw.Host = x.host
		raw.Header.Set("Authorization", "own")
		resp, err := c.RoundTripper().RoundTrip(raw)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		check("the bridge's", "own")

		id := useRequest(c, func(r *axle.Request) { r.Header["host"] = []string{x.host} })
		_, err = c.R(t.Context()).SetHeader("Authorization", "own").Get("/")
		require.NoError(t, err)
		c.Interceptors.Request.Eject(id)
		if x.goes {
			check("a handler's", "own")
		} else {
			check("a handler's", "")
		}
	}
}

func TestHeader_TheHostIsTheCallersElseTheMethodsElseTheClients(t *testing.T) {
	for _, x := range []struct{ client, method, own, want string }{
		{"", "", "", "axle.test"},
		{"client.test", "", "", "client.test"},
		{"client.test", "method.test", "", "method.test"},
		{"", "method.test", "", "method.test"},
		{"client.test", "method.test", "own.test", "own.test"},
	} {
		var host string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			host = r.Host
			return reply(r, 200, ""), nil
		})
		if x.client != "" {
			c.SetHeader("Host", x.client)
		}
		if x.method != "" {
			c.SetMethodHeader("GET", "Host", x.method)
		}
		_, err := c.Get(t.Context(), "/", func(r *axle.Request) {
			if x.own != "" {
				r.SetHeader("Host", x.own)
			}
		})
		require.NoError(t, err)
		assert.Equal(t, x.want, host, "%+v", x)
	}
}

// Neither may take the place of the other where it is said where they may go.
func TestOrigins_AHeaderAndAParameterOfOneNameAreTwoCredentials(t *testing.T) {
	var got *http.Request
	for name, change := range map[string]func(r *axle.Request) *axle.Request{
		"bound": func(r *axle.Request) *axle.Request {
			r.SetHeader("X-Api-Key", "handler")
			r.BindHeader("X-Api-Key", r.BaseOrigin())
			return r.SetURL("http://other.test/")
		},
		"written anew": func(r *axle.Request) *axle.Request {
			return &axle.Request{Method: r.Method, URL: "http://other.test/", Header: r.Header, Query: r.Query}
		},
	} {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			got = r
			return reply(r, 200, ""), nil
		})
		c.SetHeader("X-Api-Key", theSecret).SetQueryParam("X-Api-Key", theSecret)
		c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { return change(r), nil }, nil)
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, "other.test", got.URL.Host, name)
		assert.NotContains(t, got.Header, "X-Api-Key", name)
		assert.Empty(t, got.URL.RawQuery, name)
	}
}

func TestOrigins_TheCallersUserinfoGoesWithTheHostThatTheCallerGaveBesideIt(t *testing.T) {
	var got *http.Request
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r
		return reply(r, 200, ""), nil
	})
	_, err := c.R(t.Context()).SetHeader("Host", "other.test").Get("http://ada:" + theSecret + "@axle.test/")
	require.NoError(t, err)
	user, password, _ := got.BasicAuth()
	assert.Equal(t, "ada "+theSecret, user+" "+password)
}

func TestOrigins_TheCallersUserinfoDoesNotGoWithAHostThatAHandlerGives(t *testing.T) {
	var got *http.Request
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r
		return reply(r, 200, ""), nil
	})
	useRequest(c, func(r *axle.Request) { r.SetHeader("Host", "other.test") })

	_, err := c.Get(t.Context(), "http://ada:"+theSecret+"@axle.test/")
	require.NoError(t, err)
	assert.Equal(t, "other.test", got.Host)
	assert.Nil(t, got.URL.User)
	assert.NotContains(t, got.Header, "Authorization")
}

func TestOrigins_ASecretParameterIsRemovedBesideOneThatAHandlerHasRemoved(t *testing.T) {
	secrets := []string{"api_key", "access_token"}
	for i := range 20 { // the parameters are looked at in any order
		var got *http.Request
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			got = r
			return reply(r, 200, ""), nil
		})
		for _, name := range secrets {
			c.SetQueryParam(name, theSecret)
		}
		useRequest(c, func(r *axle.Request) {
			r.Query.Del(secrets[i%2])
			r.SetURL("http://other.test/")
		})
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, "http://other.test/", got.URL.String())
	}
}

func TestOrigins_TheHostOfABridgedRequestSaysNothingOfAHandlersURL(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useRequest(c, func(r *axle.Request) {
		r.SetURL("http://other.test/")
		place, err := r.Origin()
		assert.NoError(t, err)
		assert.Equal(t, "http://other.test", place)
	})
	r := newRequest(t, http.MethodGet, "http://axle.test/", nil)
	r.Host = "given.test"
	resp, err := c.RoundTripper().RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

func TestOrigins_UserinfoOfTheBaseURLDoesNotGoWithAnotherHost(t *testing.T) {
	for host, want := range map[string]bool{"axle.test": true, "other.test": false} {
		var got *http.Request
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			got = r
			return reply(r, 200, ""), nil
		})
		_, err := c.SetBaseURL("http://ada:"+theSecret+"@axle.test").R(t.Context()).SetHeader("Host", host).Get("/")
		require.NoError(t, err)
		assert.Equal(t, want, got.URL.User != nil || got.Header.Get("Authorization") != "", host)
	}
}

func TestOrigins_AForwardProxyIsToldNoCredentialForAnotherHost(t *testing.T) {
	w := newWorld(t)
	at, err := url.Parse(w.other.URL)
	require.NoError(t, err)
	transport := &http.Transport{Proxy: http.ProxyURL(at)}
	t.Cleanup(transport.CloseIdleConnections)
	c := newClient().SetBaseURL("http://axle.test").SetTransport(transport).SetHeader("Authorization", theSecret).SetQueryParam("sig", theSecret)
	for _, change := range []func(r *http.Request){
		func(r *http.Request) { r.Host = "evil.test" },
		func(r *http.Request) { r.Header["host"] = []string{"evil.test"} },
		func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Host: "axle.test", Opaque: "//evil.test/x"} },
		func(r *http.Request) {
			r.URL = &url.URL{Scheme: "http", Host: "axle.test", Opaque: "http://evil.test/x"}
		},
	} {
		r := newRequest(t, http.MethodGet, "http://axle.test/", nil)
		change(r)
		resp, err := c.HTTPClient().Do(r)
		if err == nil {
			require.NoError(t, resp.Body.Close())
		}
		_, came := w.taken(w.home)
		for _, text := range came {
			assert.Contains(t, text, "evil.test")
			assert.NotContains(t, text, theSecret)
		}
	}
}

func TestOrigins_XSRFGoesToNoOtherHost(t *testing.T) {
	var got http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return reply(r, 200, ""), nil
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(&url.URL{Scheme: "http", Host: "axle.test"}, []*http.Cookie{{Name: "XSRF-TOKEN", Value: theSecret}})
	c.SetCookieJar(jar).SetXSRF("XSRF-TOKEN", "X-Odd-Name")
	for host, want := range map[string]string{"": theSecret, "evil.test": ""} {
		_, err := c.R(t.Context()).SetHeader("Host", host).Get("/")
		require.NoError(t, err)
		assert.Equal(t, want, got.Get("X-Odd-Name"), host)
	}

	_, err = c.SetCookieJar(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.NotContains(t, got, "X-Odd-Name", "there is no jar")
}

func TestOrigins_AnInternationalisedHostAndItsPunycodeAreOneToCredentials(t *testing.T) {
	w := newWorld(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.home.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	for target, same := range map[string]bool{
		"http://xn--bcher-kva.test/x": true, "http://b\u00fccher.test/x": true,
		"http://\uff42\u00fccher.test/x": false, "http://bu\u0308cher.test/x": false, "http://bucher.test/x": false,
	} {
		for _, base := range []string{"http://b\u00fccher.test", "http://xn--bcher-kva.test"} {
			c := newClient().SetBaseURL(base).SetTransport(transport).SetHeader("Authorization", theSecret)
			_, err := c.Get(t.Context(), via(target, "/start"))
			require.NoError(t, err)
			resp, err := c.HTTPClient().Get(base + via(target, "/start"))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			_, err = c.Get(t.Context(), target)
			require.NoError(t, err)
			_, came := w.taken(w.home)
			require.Len(t, came, 5)
			for i, want := range []bool{true, same, true, same, same} {
				assert.Equal(t, want, strings.Contains(came[i], theSecret), "%s from %s: %d: %s", target, base, i, came[i])
			}
		}
	}
}

// A default query parameter that is a secret by its name.

func TestOrigins_ASecretDefaultParameterGoesToTheBaseURLsOriginAlone(t *testing.T) {
	var got []string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.String())
		return reply(r, 200, ""), nil
	})
	c.SetQueryParam("api_key", "k").SetQueryParam("page", "1").SetValidateStatus(nil)
	for _, url := range []string{"/a", "http://axle.test/a", "http://other.test/a", "http://other.test/a?api_key=own", "/a?api_key=own"} {
		r := c.R(t.Context()).SetURL(url)
		resolved, err := r.ResolveURL()
		require.NoError(t, err)
		_, err = c.Do(r)
		require.NoError(t, err)
		assert.Equal(t, resolved.String(), got[len(got)-1], "ResolveURL says what is sent")
	}
	assert.Equal(t, []string{
		"http://axle.test/a?api_key=k&page=1", "http://axle.test/a?api_key=k&page=1", "http://other.test/a?page=1",
		"http://other.test/a?api_key=own&page=1", "http://axle.test/a?api_key=own&page=1",
	}, got)

	got = nil
	useRequest(c, func(r *axle.Request) {
		r.SetURL("http://other.test/b")
		resolved, err := r.ResolveURL()
		if assert.NoError(t, err) {
			assert.Equal(t, "http://other.test/b?page=1", resolved.String())
		}
		assert.Equal(t, "k", r.Query.Get("api_key"), "asking changes nothing")
	})
	_, err := c.Get(t.Context(), "/a")
	require.NoError(t, err)
	assert.Equal(t, []string{"http://other.test/b?page=1"}, got)

	c.Interceptors.Request.Clear()
	_, err = c.SetBaseURL("").Get(t.Context(), "http://axle.test/c")
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/c?page=1", got[1], "without a base URL it goes nowhere, as a sensitive header does")
}

// Nor does it come back with a chain of redirects that has left the origin, as no sensitive header does.
func TestOrigins_ASecretDefaultParameterIsNotAddedToAHopThatCameBack(t *testing.T) {
	w := newWorld(t)
	c := newClient().SetBaseURL(w.home.URL).SetTransport(w.transport).SetQueryParam("api_key", theSecret).SetQueryParam("page", "1")
	c.SetHeader("X-Api-Key", theSecret)
	useRequest(c, func(r *axle.Request) {
		assert.Equal(t, !r.CrossedOrigin(), r.Query.Has("api_key") || r.Header.Get("X-Api-Key") != "", "what a handler sees of %s", r.URL)
	})
	resp, err := c.HTTPClient().Get(w.home.URL + via(w.home.URL+"/back", "/start", w.home.URL+"/second", w.other.URL+"/x"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	home, foreign := w.taken(w.home)
	require.Len(t, home, 3)
	for i, want := range []bool{true, true, false} {
		assert.Equal(t, want, strings.Contains(strings.SplitN(home[i], "\r\n", 2)[0], theSecret), "%d: %s", i, home[i])
		assert.Contains(t, home[i], "page=1", "another default is added to each hop, as ever")
	}
	require.Len(t, foreign, 1)
	assert.NotContains(t, foreign[0], theSecret)
}

// A session's token, behind a reverse proxy that passes the inbound Host on.
func TestAuth_OfPlainHTTPATokenIsNotAttachedUnderAnotherHost(t *testing.T) {
	w := newWorld(t)
	session := store.New[string](nil)
	session.Login("user", &oauth2.Token{AccessToken: theSecret})
	at := w.home.Listener.Addr().String()
	for host, attached := range map[string]bool{"evil.test": false, at: true} {
		for _, opts := range [][]auth.Option{nil, {auth.WithAllowedOrigins(w.home.URL, "http://evil.test")}} {
			c := newClient().SetBaseURL(w.home.URL).SetTransport(w.transport).Use(auth.New(session, opts...))
			proxy := httptest.NewServer(&httputil.ReverseProxy{
				Transport: c.RoundTripper(),
				Rewrite: func(r *httputil.ProxyRequest) {
					r.Out.URL = &url.URL{Scheme: "http", Host: at, Path: "/"}
					r.Out.Host = r.In.Host
				},
			})
			inbound := newRequest(t, http.MethodGet, proxy.URL, nil)
			inbound.Host = host
			resp, err := proxy.Client().Do(inbound)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			proxy.Close()
			home, foreign := w.taken(w.home)
			came := slices.Concat(home, foreign)
			require.Len(t, came, 1)
			assert.Equal(t, attached, strings.Contains(came[0], theSecret), "%s: %s", host, came[0])
		}
	}
}

// Behind the bridge: the caller's Cookie, the jar's, and the Referer.

func TestOrigins_BehindTheBridgeTheCallersCookieDoesNotFollowToAnotherOrigin(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	home, err := url.Parse(o.home.URL)
	require.NoError(t, err)
	other, err := url.Parse(o.other.URL)
	require.NoError(t, err)
	for name, client := range map[string]func(c *axle.Client, jar http.CookieJar) *http.Client{
		"HTTPClient": func(c *axle.Client, jar http.CookieJar) *http.Client { return c.SetCookieJar(jar).HTTPClient() },
		"HTTPClient without a jar": func(c *axle.Client, _ http.CookieJar) *http.Client {
			return c.SetCookieJar(nil).HTTPClient()
		},
		"a jar that axle does not know": func(c *axle.Client, jar http.CookieJar) *http.Client {
			return &http.Client{Transport: c.RoundTripper(), Jar: jar}
		},
	} {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		r := newRequest(t, http.MethodGet, o.home.URL+via(o.home.URL+"/back", "/start", o.other.URL+"/away", o.other.URL+"/further"), nil)
		r.Header.Set("Cookie", `own=`+theSecret+`; quoted="`+theSecret+`"`)
		resp, err := client(o.newClient(t), jar).Do(r)
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close())
		assert.Contains(t, o.at("home/start").Get("Cookie"), theSecret, name)
		for _, place := range []string{"other/away", "other/further"} {
			require.NotNil(t, o.at(place))
			assert.NotContains(t, o.at(place).Get("Cookie"), theSecret, "%s: %s", name, place)
		}
	}

	// The jar's own are the jar's business: it has the port for no border.
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(home, []*http.Cookie{{Name: "jars", Value: "1", Path: "/"}})
	jar.SetCookies(other, []*http.Cookie{{Name: "others", Value: "1", Path: "/"}})
	r := newRequest(t, http.MethodGet, o.home.URL+via(o.other.URL+"/jar", "/start"), nil)
	r.Header.Set("Cookie", "own="+theSecret)
	resp, err := o.newClient(t).SetCookieJar(jar).HTTPClient().Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "jars=1; others=1", o.at("other/jar").Get("Cookie"))
}

// A chain of redirects that has come back to its first origin may take a cookie of the jar for one
// of the caller's, where axle does not know the jar. The cookie belongs there either way.
func TestOrigins_AChainThatComesBackHasTheCallersCookieOnlyWhereTheJarIsUnknown(t *testing.T) {
	for name, tc := range map[string]struct {
		client func(c *axle.Client, jar http.CookieJar) *http.Client
		want   string
	}{
		"HTTPClient": {
			func(c *axle.Client, jar http.CookieJar) *http.Client { return c.SetCookieJar(jar).HTTPClient() },
			"jars=1",
		},
		"a jar that axle does not know": {
			func(c *axle.Client, jar http.CookieJar) *http.Client {
				return &http.Client{Transport: c.RoundTripper(), Jar: jar}
			},
			"own=1; jars=1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigins(t, httptest.NewServer)
			home, err := url.Parse(o.home.URL)
			require.NoError(t, err)
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			jar.SetCookies(home, []*http.Cookie{{Name: "jars", Value: "1", Path: "/"}})
			r := newRequest(t, http.MethodGet, o.home.URL+via(o.home.URL+"/back", "/start", o.other.URL+"/away"), nil)
			r.Header.Set("Cookie", "own=1")

			resp, err := tc.client(o.newClient(t), jar).Do(r)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, tc.want, o.at("home/back").Get("Cookie"))
		})
	}
}

func TestOrigins_AHopsCookiesDoNotGoWhereAHandlerSendsIt(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	third := newOrigins(t, httptest.NewServer)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	otherName := strings.Replace(o.other.URL, "127.0.0.1", "localhost", 1)
	for _, at := range []string{o.home.URL, otherName} {
		u, err := url.Parse(at)
		require.NoError(t, err)
		jar.SetCookies(u, []*http.Cookie{{Name: "jars", Value: theSecret, Path: "/"}})
	}
	for name, x := range map[string]struct{ path, moved string }{
		"the first request":         {"/moved", o.home.URL + "/moved"},
		"a hop on the origin":       {via(o.home.URL+"/moved", "/start"), o.home.URL + "/moved"},
		"a hop to another origin":   {via(otherName+"/moved", "/start"), otherName + "/moved"},
		"a hop beyond another":      {via(otherName+"/moved", "/start", o.other.URL+"/x"), otherName + "/moved"},
		"a hop back to the first":   {via(o.home.URL+"/moved", "/start", otherName+"/x"), o.home.URL + "/moved"},
		"a hop with its own Cookie": {via(otherName+"/moved", "/start"), otherName + "/moved"},
	} {
		for kind, client := range map[string]func(c *axle.Client) *http.Client{
			"HTTPClient":                    (*axle.Client).HTTPClient,
			"a jar that axle does not know": func(c *axle.Client) *http.Client { return &http.Client{Transport: c.RoundTripper(), Jar: jar} },
		} {
			c := o.newClient(t).SetCookieJar(jar)
			useRequest(c, func(r *axle.Request) {
				if strings.HasPrefix(r.URL, x.moved) {
					r.SetURL(third.home.URL + "/there?api_key=")
				}
			})
			resp, err := client(c).Get(o.home.URL + x.path)
			require.NoError(t, err, name)
			require.NoError(t, resp.Body.Close())
			require.NotNil(t, third.at("home/there"), name)
			assert.Empty(t, third.at("home/there").Get("Cookie"), "%s, %s", name, kind)
			third.mu.Lock()
			clear(third.seen)
			third.mu.Unlock()
		}
	}
}

func TestOrigins_RefererIsNotTakenToAnotherOriginOnAnyHop(t *testing.T) {
	o := newOrigins(t, httptest.NewServer)
	third := newOrigins(t, httptest.NewServer)
	path := via(o.other.URL+"/further", "/start", o.home.URL+"/second", o.other.URL+"/away") + "&token=" + theSecret
	for name, explicit := range map[string]string{
		"net/http's": "", "the caller's": o.home.URL + "/page?token=" + theSecret,
		"one with userinfo": "http://me:" + theSecret + "@" + o.other.Listener.Addr().String() + "/", "a relative one": "/page?token=" + theSecret,
		"one that is no URL": "http://[" + theSecret,
	} {
		for mode, send := range map[string]func(c *axle.Client) error{
			"axle": func(c *axle.Client) error {
				_, err := c.Get(t.Context(), path, func(r *axle.Request) {
					if explicit != "" {
						r.SetHeader("Referer", explicit)
					}
				})
				return err
			},
			"bridge": func(c *axle.Client) error {
				r := newRequest(t, http.MethodGet, o.home.URL+path, nil)
				if explicit != "" {
					r.Header.Set("Referer", explicit)
				}
				resp, err := c.HTTPClient().Do(r)
				if err == nil {
					_ = resp.Body.Close()
				}
				return err
			},
		} {
			require.NoError(t, send(o.newClient(t)), name)
			assert.Contains(t, o.at("home/second").Get("Referer"), theSecret, "%s, %s: on its origin it is as it was", name, mode)
			for _, place := range []string{"other/away", "other/further"} {
				h := o.at(place)
				require.NotNil(t, h, place)
				assert.NotContains(t, h.Get("Referer"), theSecret, "%s, %s: %s", name, mode, place)
			}
			if explicit == "" {
				assert.Contains(t, o.at("other/further").Get("Referer"), o.other.URL+"/away", "%s: of one's own origin it goes", mode)
			}
		}
	}

	// Nor where a handler sends a hop.
	c := o.newClient(t)
	useRequest(c, func(r *axle.Request) {
		if strings.HasPrefix(r.URL, o.home.URL+"/second") {
			r.SetURL(third.home.URL + "/there")
		}
	})
	resp, err := c.HTTPClient().Get(o.home.URL + via(o.home.URL+"/second", "/start") + "&token=" + theSecret)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NotNil(t, third.at("home/there"))
	assert.Empty(t, third.at("home/there").Get("Referer"))
}
