package axle_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
)

// The chains over a resty client that a program has, and beneath one.

// restyArrival is a request as a server got it.
type restyArrival struct {
	*http.Request
	body string
}

func (a restyArrival) form(t *testing.T) url.Values {
	t.Helper()
	form, err := url.ParseQuery(a.body)
	require.NoError(t, err)
	return form
}

// restyServer is a server that keeps the requests which arrive.
type restyServer struct {
	*httptest.Server
	mu   sync.Mutex
	list []restyArrival
}

// newRestyServer starts a server that answers by the handler; nil: 200 and nothing.
func newRestyServer(t *testing.T, answer http.HandlerFunc) *restyServer {
	t.Helper()
	a := &restyServer{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.list = append(a.list, restyArrival{r, string(body)})
		a.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *restyServer) all() []restyArrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]restyArrival{}, a.list...)
}

// only is the one request that has arrived.
func (a *restyServer) only(t *testing.T) restyArrival {
	t.Helper()
	all := a.all()
	require.Len(t, all, 1)
	return all[0]
}

// newResty returns a resty client for a server, whose connections are closed when the test ends.
func newResty(t *testing.T, server *httptest.Server) *resty.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return resty.New().SetTransport(transport).SetBaseURL(server.URL).SetDisableWarn(true)
}

func TestFromResty_EachSettingHoldsAndIsAppliedOnce(t *testing.T) {
	for _, x := range []struct {
		name  string
		set   func(rc *resty.Client)
		send  func(c *axle.Client, ctx context.Context) (*axle.Response, error) // nil: GET /items
		check func(t *testing.T, got restyArrival)
	}{
		{
			name: "SetBaseURL", set: func(rc *resty.Client) { rc.SetBaseURL(rc.BaseURL + "/v1/") },
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "/v1/items", got.URL.Path) },
		},
		{
			name: "HostURL", set: func(rc *resty.Client) { rc.HostURL, rc.BaseURL = rc.BaseURL+"/v2", "" },
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "/v2/items", got.URL.Path) },
		},
		{
			name: "SetHeader", set: func(rc *resty.Client) {
				rc.SetHeader("X-One", "1").SetHeaders(map[string]string{"X-Two": "2", "User-Agent": "ua/1"})
				rc.Header.Add("X-Two", "3")
			},
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"1"}, got.Header["X-One"])
				assert.Equal(t, []string{"2", "3"}, got.Header["X-Two"])
				assert.Equal(t, "ua/1", got.UserAgent())
			},
		},
		{
			name: "SetHeader of the Host", set: func(rc *resty.Client) { rc.SetHeader("Host", "other.test") },
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "other.test", got.Host) },
		},
		{
			name: "SetQueryParam", set: func(rc *resty.Client) {
				rc.SetQueryParam("a", "1").SetQueryParams(map[string]string{"b": "2"})
				rc.QueryParam.Add("b", "3")
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "a=1&b=2&b=3", got.URL.RawQuery) },
		},
		{
			name: "SetPathParam and SetRawPathParam", set: func(rc *resty.Client) {
				rc.SetPathParam("id", "a/b").SetRawPathParam("rest", "c/d").SetRawPathParam("id", "not this")
			},
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) { return c.Get(ctx, "/{id}/{rest}") },
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, "/a%2Fb/c/d", got.URL.EscapedPath())
			},
		},
		{
			name: "SetCookie", set: func(rc *resty.Client) {
				rc.SetCookie(&http.Cookie{Name: "a", Value: "1"}).SetCookies([]*http.Cookie{{Name: "b", Value: "2"}})
				rc.SetHeader("Cookie", "z=0")
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, []string{"z=0; a=1; b=2"}, got.Header["Cookie"]) },
		},
		{
			name: "SetAuthToken", set: func(rc *resty.Client) { rc.SetAuthToken("t") },
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"Bearer t"}, got.Header["Authorization"])
			},
		},
		{
			name: "SetAuthScheme", set: func(rc *resty.Client) { rc.SetAuthToken("t").SetAuthScheme("Token") },
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"Token t"}, got.Header["Authorization"])
			},
		},
		{
			name: "HeaderAuthorizationKey", set: func(rc *resty.Client) {
				rc.SetAuthToken("t").SetBasicAuth("ada", "pw").HeaderAuthorizationKey = "X-Custom"
			},
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"Bearer t"}, got.Header["X-Custom"])
				name, password, _ := got.BasicAuth()
				assert.Equal(t, "ada:pw", name+":"+password)
			},
		},
		{
			name: "SetBasicAuth", set: func(rc *resty.Client) { rc.SetBasicAuth("ada", "pw") },
			check: func(t *testing.T, got restyArrival) {
				name, password, _ := got.BasicAuth()
				assert.Equal(t, "ada:pw", name+":"+password)
			},
		},
		{
			name: "SetBasicAuth beside SetAuthToken", set: func(rc *resty.Client) { rc.SetBasicAuth("ada", "pw").SetAuthToken("t") },
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"Bearer t"}, got.Header["Authorization"])
			},
		},
		{
			name: "SetFormData without a body", set: func(rc *resty.Client) { rc.SetFormData(map[string]string{"a": "1"}) },
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) { return c.Post(ctx, "/items", nil) },
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, "a=1", got.body)
				assert.Equal(t, "application/x-www-form-urlencoded", got.Header.Get("Content-Type"))
			},
		},
		{
			name: "SetFormData with a form", set: func(rc *resty.Client) { rc.SetFormData(map[string]string{"a": "1", "b": "1"}) },
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", url.Values{"b": {"2"}, "c": {"2"}})
			},
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, url.Values{"a": {"1"}, "b": {"2"}, "c": {"2"}}, got.form(t))
			},
		},
		{
			name: "SetFormData with a multipart form", set: func(rc *resty.Client) { rc.SetFormData(map[string]string{"a": "1"}) },
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", axle.NewMultipart().File("f", "f.txt", strings.NewReader("file")))
			},
			check: func(t *testing.T, got restyArrival) {
				_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
				require.NoError(t, err)
				form, err := multipart.NewReader(strings.NewReader(got.body), params["boundary"]).ReadForm(1 << 10)
				require.NoError(t, err)
				assert.Equal(t, []string{"1"}, form.Value["a"])
				assert.Len(t, form.File["f"], 1)
			},
		},
		{
			name: "SetFormData with another body", set: func(rc *resty.Client) { rc.SetFormData(map[string]string{"a": "1"}) },
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", "text")
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "text", got.body) },
		},
		{
			name: "SetFormData with a GET", set: func(rc *resty.Client) { rc.SetFormData(map[string]string{"a": "1"}) },
			check: func(t *testing.T, got restyArrival) { assert.Empty(t, got.body) },
		},
		{
			name: "SetAllowGetMethodPayload", set: func(rc *resty.Client) {
				rc.SetFormData(map[string]string{"a": "1"}).SetAllowGetMethodPayload(true)
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "a=1", got.body) },
		},
		{
			name: "SetJSONMarshaler", set: func(rc *resty.Client) {
				rc.SetJSONMarshaler(func(any) ([]byte, error) { return []byte(`"mine"`), nil })
			},
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", map[string]int{"a": 1})
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, `"mine"`, got.body) },
		},
		{
			name: "SetJSONEscapeHTML", set: func(rc *resty.Client) { rc.SetJSONEscapeHTML(false) },
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", map[string]string{"a": "<&>"})
			},
			check: func(t *testing.T, got restyArrival) {
				assert.JSONEq(t, `{"a":"<&>"}`, got.body)
				assert.Contains(t, got.body, "<&>")
			},
		},
		{
			name: "SetXMLMarshaler", set: func(rc *resty.Client) {
				rc.SetXMLMarshaler(func(v any) ([]byte, error) { return xml.MarshalIndent(v, "", "\t") })
			},
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.R(ctx).SetHeader("Content-Type", "text/xml").SetBody(struct {
					XMLName xml.Name `xml:"a"`
					B       int      `xml:"b"`
				}{B: 1}).Post("/items")
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "<a>\n\t<b>1</b>\n</a>", got.body) },
		},
		{
			name: "SetContentLength", set: func(rc *resty.Client) { rc.SetContentLength(true) },
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", "text")
			},
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"text", "4"}, []string{got.body, got.Header.Get("Content-Length")})
				assert.EqualValues(t, 4, got.ContentLength)
			},
		},
		{
			name: "SetCloseConnection", set: func(rc *resty.Client) { rc.SetCloseConnection(true) },
			check: func(t *testing.T, got restyArrival) { assert.True(t, got.Close) },
		},
		{
			name: "SetUnescapeQueryParams", set: func(rc *resty.Client) { rc.SetUnescapeQueryParams(true).SetQueryParam("at", "a@b") },
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "at=a@b", got.URL.RawQuery) },
		},
		{
			name: "OnBeforeRequest", set: func(rc *resty.Client) {
				rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
					r.SetHeader("X-Hook", "1").SetQueryParam("hook", "1").SetAuthToken("of the hook")
					return nil
				})
			},
			check: func(t *testing.T, got restyArrival) {
				assert.Equal(t, []string{"1"}, got.Header["X-Hook"])
				assert.Equal(t, "hook=1", got.URL.RawQuery)
				assert.Equal(t, []string{"Bearer of the hook"}, got.Header["Authorization"])
			},
		},
		{
			name: "SetPreRequestHook", set: func(rc *resty.Client) {
				rc.SetAuthToken("t").SetPreRequestHook(func(_ *resty.Client, r *http.Request) error {
					body, err := r.GetBody()
					if err != nil {
						return err
					}
					text, err := io.ReadAll(body)
					r.Header.Set("X-Signature", r.Header.Get("Authorization")+" "+string(text))
					return err
				})
			},
			send: func(c *axle.Client, ctx context.Context) (*axle.Response, error) {
				return c.Post(ctx, "/items", "text")
			},
			check: func(t *testing.T, got restyArrival) { assert.Equal(t, "Bearer t text", got.Header.Get("X-Signature")) },
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			server := newRestyServer(t, nil)
			rc := newResty(t, server.Server)
			x.set(rc)
			c := axle.FromResty(rc)
			send := x.send
			if send == nil {
				send = func(c *axle.Client, ctx context.Context) (*axle.Response, error) { return c.Get(ctx, "/items") }
			}
			_, err := send(c, t.Context())
			require.NoError(t, err)
			x.check(t, server.only(t))
		})
	}
}

func TestFromResty_AVerbatimHeaderKeepsItsSpelling(t *testing.T) {
	var sent map[string][]string
	rc := resty.New().SetBaseURL("http://axle.test").SetHeaderVerbatim("x-LOUD", "1").SetHeaderVerbatim("x-api-key", "secret")
	rc.SetTransport(&fakeTransport{Answer: func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return reply(r, 200, ""), nil
	}})
	c := axle.FromResty(rc)
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"1"}, sent["x-LOUD"])
	assert.Equal(t, []string{"secret"}, sent["x-api-key"])

	_, err = c.R(t.Context()).SetHeader("X-Loud", "2").Get("http://other.test/")
	require.NoError(t, err)
	assert.Equal(t, []string{"2"}, sent["x-LOUD"], "a call's own value goes before it")
	assert.NotContains(t, sent, "X-Loud")
	assert.NotContains(t, sent, "x-api-key", "a credential goes to the base URL's origin alone")
}

func TestFromResty_HandlersSeeTheDefaultsAndACallMayOverrideThem(t *testing.T) {
	server := newRestyServer(t, nil)
	rc := newResty(t, server.Server).SetHeader("X-A", "default").SetQueryParam("q", "default").SetAuthToken("default")
	rc.SetFormData(map[string]string{"f": "default"})
	c := axle.FromResty(rc)
	var seen []string
	useRequest(c, func(r *axle.Request) {
		form, _ := r.Body.(url.Values)
		seen = append(seen, r.Header.Get("X-A"), r.Query.Get("q"), r.Header.Get("Authorization"), form.Get("f"))
	})
	_, err := c.Post(t.Context(), "/", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"default", "default", "Bearer default", "default"}, seen)

	_, err = c.R(t.Context()).SetHeader("X-A", "own").SetQueryParam("q", "own").SetHeader("Authorization", "own").Post("/")
	require.NoError(t, err)
	got := server.all()[1]
	assert.Equal(t, []string{"own"}, got.Header["X-A"])
	assert.Equal(t, []string{"own"}, got.Header["Authorization"])
	assert.Equal(t, "q=own", got.URL.RawQuery)
}

func TestFromResty_TheResponseSideHolds(t *testing.T) {
	type problem struct{ Message string }
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		http.SetCookie(w, &http.Cookie{Name: "s", Value: "1"})
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		_, _ = io.WriteString(w, `{"message":"text"}`)
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var trace callTrace
	var log restyLog
	rc := newResty(t, server.Server).SetCookieJar(jar).SetError(&problem{}).SetDebug(true).SetLogger(&log).EnableTrace()
	rc.SetJSONUnmarshaler(func(data []byte, v any) error { trace.add("unmarshal"); return json.Unmarshal(data, v) })
	rc.OnAfterResponse(func(_ *resty.Client, r *resty.Response) error {
		if p, ok := r.Error().(*problem); ok {
			trace.add("problem " + p.Message)
		}
		assert.Positive(t, r.Request.TraceInfo().TotalTime)
		return nil
	})
	c := axle.FromResty(rc)

	got, err := axle.Get[problem](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, "text", got.Message)
	assert.Equal(t, []string{"unmarshal"}, trace.taken())
	assert.Contains(t, log.String(), "GET  /  HTTP/1.1")

	_, err = c.Get(t.Context(), "/refused")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, []string{"unmarshal", "problem text"}, trace.taken())
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	assert.Len(t, jar.Cookies(base), 1)
	assert.Equal(t, "s=1", server.all()[1].Header.Get("Cookie"))
}

func TestFromResty_ALimitOnTheResponseHolds(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") })
	c := axle.FromResty(newResty(t, server.Server).SetResponseBodyLimit(4))
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooLarge)
	_, err = c.SetResponseLimit(5).Get(t.Context(), "/")
	require.NoError(t, err, "and is the client's to change")
}

func TestFromResty_TheTimeLimitIsOfEachDispatchAndACallMayChangeIt(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	c := axle.FromResty(newResty(t, server.Server).SetTimeout(20 * time.Millisecond))
	_, err := c.Get(t.Context(), "/slow")
	require.ErrorIs(t, err, axle.CodeTimeout)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = c.R(ctx).SetTimeout(0).Get("/slow")
	require.ErrorIs(t, err, axle.CodeTimeout)
	require.Error(t, ctx.Err(), "resty's own limit does not cut it short")
}

func TestFromResty_TheTransportItsProxyAndItsTLSSettingsHold(t *testing.T) {
	t.Run("proxy", func(t *testing.T) {
		proxy := newRestyServer(t, nil)
		rc := newResty(t, proxy.Server).SetBaseURL("http://axle.test").SetProxy(proxy.URL)
		_, err := axle.FromResty(rc).Get(t.Context(), "/items")
		require.NoError(t, err)
		assert.Equal(t, "http://axle.test/items", proxy.only(t).RequestURI)
	})
	t.Run("TLS", func(t *testing.T) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		defer server.Close()
		config := server.Client().Transport.(*http.Transport).TLSClientConfig
		c := axle.FromResty(newResty(t, server).SetTLSClientConfig(config))
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)

		root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		c = axle.FromResty(newResty(t, server).SetRootCertificateFromString(string(root)))
		_, err = c.Get(t.Context(), "/")
		require.NoError(t, err)
	})
}

func TestFromResty_HooksRunOncePerDispatchAlsoOnAReplay(t *testing.T) {
	refused := true
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if refused {
			refused = false
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var trace callTrace
	rc := newResty(t, server.Server)
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("before"); return nil })
	rc.SetPreRequestHook(func(*resty.Client, *http.Request) error { trace.add("pre"); return nil })
	rc.OnAfterResponse(func(*resty.Client, *resty.Response) error { trace.add("after"); return nil })
	rc.OnSuccess(func(*resty.Client, *resty.Response) { trace.add("success") })
	rc.OnError(func(*resty.Request, error) { trace.add("error") })
	c := axle.FromResty(rc)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	once := []string{"before", "pre", "after", "success"}
	assert.Equal(t, append(append([]string{}, once...), once...), trace.taken())
	assert.Len(t, server.all(), 2)

	server.Close()
	c.Interceptors.Response.Clear()
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.Equal(t, []string{"before", "pre", "error"}, trace.taken())
}

func TestFromResty_ItsRetriesAreOff(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	rc := newResty(t, server.Server).SetRetryCount(3).SetRetryWaitTime(time.Millisecond)
	rc.AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() >= 500 })
	_, err := axle.FromResty(rc).Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	assert.Len(t, server.all(), 1)
	assert.Equal(t, 3, rc.RetryCount)
}

func TestFromResty_NoCredentialCrossesAnOrigin(t *testing.T) {
	secret := func(rc *resty.Client) *resty.Client {
		rc.SetAuthToken("t").SetCookie(&http.Cookie{Name: "c", Value: "1"}).SetHeader("X-Api-Key", "k").SetQueryParam("api_key", "q")
		return rc
	}
	// The servers share a host name and differ in the port: FlexibleRedirectPolicy takes them for one and copies all headers.
	policies := map[string]func(rc *resty.Client){
		"no policy":              func(*resty.Client) {},
		"FlexibleRedirectPolicy": func(rc *resty.Client) { rc.SetRedirectPolicy(resty.FlexibleRedirectPolicy(5)) },
		"a hook that adds them": func(rc *resty.Client) {
			rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetAuthToken("hook"); return nil })
			rc.SetRedirectPolicy(resty.FlexibleRedirectPolicy(5))
		},
	}
	check := func(t *testing.T, got restyArrival) {
		t.Helper()
		for _, name := range []string{"Authorization", "Cookie", "X-Api-Key"} {
			assert.Empty(t, got.Header[name], name)
		}
		assert.Empty(t, got.URL.Query().Get("api_key"))
	}
	for name, set := range policies {
		t.Run("redirect, "+name, func(t *testing.T) {
			other := newRestyServer(t, nil)
			home := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL, http.StatusFound)
			})
			rc := secret(newResty(t, home.Server))
			set(rc)
			_, err := axle.FromResty(rc).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.NotEmpty(t, home.only(t).Header["Authorization"])
			check(t, other.only(t))
		})
	}
	t.Run("an absolute URL", func(t *testing.T) {
		other, home := newRestyServer(t, nil), newRestyServer(t, nil)
		_, err := axle.FromResty(secret(newResty(t, home.Server))).Get(t.Context(), other.URL)
		require.NoError(t, err)
		check(t, other.only(t))
	})
	t.Run("a hook that changes the URL", func(t *testing.T) {
		other, home := newRestyServer(t, nil), newRestyServer(t, nil)
		rc := secret(newResty(t, home.Server)).OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
			r.URL = other.URL
			r.SetCookie(&http.Cookie{Name: "hook", Value: "1"})
			return nil
		})
		_, err := axle.FromResty(rc).Get(t.Context(), "/")
		require.NoError(t, err)
		got := other.only(t)
		assert.Equal(t, "hook=1", got.Header.Get("Cookie"), "the hook's own stays")
		got.Header.Del("Cookie")
		check(t, got)
	})
	t.Run("digest authentication", func(t *testing.T) {
		other := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Digest realm="evil", nonce="chosen", qop="auth", algorithm=MD5`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		home := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusFound)
		})
		_, err := axle.FromResty(newResty(t, home.Server).SetDigestAuth("ada", "pw")).Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeBadRequest)
		check(t, other.only(t))
	})
}

func TestFromResty_ACredentialWithoutABaseURLIsRefused(t *testing.T) {
	server := newRestyServer(t, nil)
	for name, set := range map[string]func(rc *resty.Client){
		"the header Authorization":    func(rc *resty.Client) { rc.SetAuthToken("t") },
		"the header X-Api-Key":        func(rc *resty.Client) { rc.SetHeader("X-Api-Key", "k") },
		"the header Cookie":           func(rc *resty.Client) { rc.SetCookie(&http.Cookie{Name: "a", Value: "1"}) },
		"the query parameter api_key": func(rc *resty.Client) { rc.SetQueryParam("api_key", "k") },
	} {
		rc := newResty(t, server.Server).SetBaseURL("")
		set(rc)
		c := axle.FromResty(rc)
		_, err := c.Get(t.Context(), server.URL)
		require.ErrorIs(t, err, axle.CodeBadOption)
		require.ErrorContains(t, err, name)
		assert.Empty(t, server.all())
	}
	_, err := axle.FromResty(newResty(t, server.Server).SetBaseURL("").SetHeader("X-A", "1")).Get(t.Context(), server.URL)
	require.NoError(t, err)
	c := axle.FromResty(newResty(t, server.Server).SetBaseURL("").SetAuthToken("t")).SetBaseURL(server.URL)
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "Bearer t", server.all()[1].Header.Get("Authorization"))
}

func TestFromResty_TheRedirectPolicySaysWhatIsFollowed(t *testing.T) {
	left := 0
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if left > 0 {
			left--
			http.Redirect(w, r, "/again", http.StatusFound)
		}
	})
	for _, x := range []struct {
		name   string
		policy resty.RedirectPolicy
		hops   int
		fails  error
	}{
		{"within a limit above axle's", resty.FlexibleRedirectPolicy(15), 14, nil},
		{"none", resty.NoRedirectPolicy(), 1, resty.ErrAutoRedirectDisabled},
		{"beyond the limit", resty.RedirectPolicyFunc(func(*http.Request, []*http.Request) error { return errBoom }), 1, errBoom},
	} {
		t.Run(x.name, func(t *testing.T) {
			left = x.hops
			_, err := axle.FromResty(newResty(t, server.Server).SetRedirectPolicy(x.policy)).Get(t.Context(), "/")
			require.ErrorIs(t, err, x.fails)
		})
	}
	left = 11
	_, err := axle.FromResty(newResty(t, server.Server)).Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooManyRedirects, "without a policy ten are followed")
}

func TestFromResty_DigestAuthenticationAnswersTheChallenge(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Digest ") {
			w.Header().Set("WWW-Authenticate", `Digest realm="realm", nonce="nonce", qop="auth", algorithm=MD5`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	rc := newResty(t, server.Server).SetDigestAuth("ada", "secret")
	_, err := axle.FromResty(rc).Post(t.Context(), "/data", "body")
	require.NoError(t, err)
	all := server.all()
	require.Len(t, all, 2)
	assert.Equal(t, "body", all[1].body)
	assert.Contains(t, all[1].Header.Get("Authorization"), `username="ada"`)
	assert.IsType(t, &http.Transport{}, rc.GetClient().Transport, "rc's own transport is left alone")
}

func TestFromResty_TheRateLimiterRefusesADispatch(t *testing.T) {
	server := newRestyServer(t, nil)
	c := axle.FromResty(newResty(t, server.Server).SetRateLimiter(onlyOnce(1)))
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, resty.ErrRateLimitExceeded)
}

func TestFromResty_TheRestyClientGoesOnWorkingAloneAndIsNotChanged(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var trace callTrace
	rc := newResty(t, server.Server).SetAuthToken("t").SetHeader("X-A", "1").SetQueryParam("q", "1").SetRetryCount(1).
		SetRetryWaitTime(time.Millisecond).SetTimeout(time.Minute).SetCookie(&http.Cookie{Name: "c", Value: "1"}).
		AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() >= 500 }).
		SetPreRequestHook(func(*resty.Client, *http.Request) error { trace.add("pre"); return nil })
	for range 3 { // so that the list of hooks has room for one more
		rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("before"); return nil })
	}
	before := *rc.GetClient()

	c := axle.FromResty(rc)
	c.SetHeader("X-A", "axle's").SetEngine(func(own *resty.Client) {
		own.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("engine"); return nil })
	})
	after := rc.GetClient()
	assert.Same(t, before.Transport, after.Transport)
	assert.Same(t, before.Jar, after.Jar)
	assert.Equal(t, before.Timeout, after.Timeout)
	assert.Nil(t, after.CheckRedirect)

	// A hook that rc gets later is rc's alone.
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("later"); return nil })
	rc.SetHeader("X-A", "2").SetAuthToken("later")

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"before", "before", "before", "engine", "pre"}, trace.taken())
	got := server.only(t)
	assert.Equal(t, []string{"axle's", "Bearer t", "c=1", "q=1"},
		[]string{got.Header.Get("X-A"), got.Header.Get("Authorization"), got.Header.Get("Cookie"), got.URL.RawQuery})

	_, err = rc.R().Get("/fails")
	require.NoError(t, err)
	one := []string{"before", "before", "before", "later", "pre"}
	assert.Equal(t, append(append([]string{}, one...), one...), trace.taken())
	all := server.all()
	require.Len(t, all, 3, "rc's own retries are on")
	assert.Equal(t, []string{"2", "Bearer later", "c=1", "q=1"}, []string{
		all[1].Header.Get("X-A"), all[1].Header.Get("Authorization"), all[1].Header.Get("Cookie"), all[1].URL.RawQuery,
	})
}

func TestFromResty_BothClientsMayBeUsedAtOnce(t *testing.T) {
	server := newRestyServer(t, nil)
	rc := newResty(t, server.Server).SetAuthToken("t").SetFormData(map[string]string{"a": "1"}).SetHeaderVerbatim("x-low", "1")
	rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetHeader("X-Hook", "1"); return nil })
	c := axle.FromResty(rc)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() { _, err := c.Post(t.Context(), "/", nil); assert.NoError(t, err) })
		done.Go(func() { _, err := rc.R().SetContext(t.Context()).Post("/"); assert.NoError(t, err) })
		done.Go(func() { c.SetEngine(func(own *resty.Client) { own.SetHeader("X-Engine", "1") }) })
	}
	done.Wait()
	for _, got := range server.all() {
		assert.Equal(t, "a=1", got.body)
		assert.Equal(t, "Bearer t", got.Header.Get("Authorization"))
	}
}

func TestFromResty_OneThatCannotHoldIsRefusedByEachCall(t *testing.T) {
	for says, rc := range map[string]*resty.Client{
		"a nil resty client":    nil,
		"has no http.Client":    {},
		"use Request.SetStream": resty.New().SetDoNotParseResponse(true),
	} {
		c := axle.FromResty(rc)
		_, err := c.Get(t.Context(), "http://axle.test")
		require.ErrorIs(t, err, axle.CodeBadOption)
		require.ErrorContains(t, err, says)
		_, err = c.HTTPClient().Get("http://axle.test")
		require.ErrorIs(t, err, axle.CodeBadOption)
	}
	for _, base := range []string{"ftp://axle.test", "//axle.test"} {
		_, err := axle.FromResty(resty.New().SetScheme("http").SetBaseURL(base)).Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeInvalidURL, base)
	}
}

func TestFromResty_AHookThatSetsABodyIsRefused(t *testing.T) {
	server := newRestyServer(t, nil)
	for name, set := range map[string]func(r *resty.Request){
		"text":   func(r *resty.Request) { r.SetBody("text") },
		"reader": func(r *resty.Request) { r.SetBody(strings.NewReader("text")) },
		"value":  func(r *resty.Request) { r.SetBody(map[string]int{"a": 1}) },
		"form":   func(r *resty.Request) { r.SetFormData(map[string]string{"a": "1"}) },
	} {
		rc := newResty(t, server.Server).OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { set(r); return nil })
		_, err := axle.FromResty(rc).Post(t.Context(), "/", map[string]int{"mine": 1})
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		require.ErrorContains(t, err, "request handler", name)
	}
	assert.Empty(t, server.all())
}

func TestFromResty_AHookThatLeavesTheBodyUnreadLosesNothing(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") })
	after := 0
	rc := newResty(t, server.Server)
	rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetDoNotParseResponse(true); return nil })
	rc.OnAfterResponse(func(*resty.Client, *resty.Response) error { after++; return nil })
	resp, err := axle.FromResty(rc).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "body", resp.String())
	assert.Zero(t, after, "as in resty")
}

func TestFromResty_StatusesAreJudgedAsElsewhereInAxle(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	c := axle.FromResty(newResty(t, server.Server))
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	resp, err := c.SetValidateStatus(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, 404, resp.StatusCode)
}

func TestFromResty_ErrorsOfHooksFailTheCall(t *testing.T) {
	server := newRestyServer(t, nil)
	for name, set := range map[string]func(rc *resty.Client){
		"OnBeforeRequest": func(rc *resty.Client) {
			rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { return errBoom })
		},
		"SetPreRequestHook": func(rc *resty.Client) {
			rc.SetPreRequestHook(func(*resty.Client, *http.Request) error { return errBoom })
		},
		"OnAfterResponse": func(rc *resty.Client) {
			rc.OnAfterResponse(func(*resty.Client, *resty.Response) error { return errBoom })
		},
	} {
		rc := newResty(t, server.Server)
		set(rc)
		_, err := axle.FromResty(rc).Get(t.Context(), "/")
		require.ErrorIs(t, err, errBoom, name)
	}
	assert.Len(t, server.all(), 1)
}

func TestFromResty_StreamsAndTheBridgeWork(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "streamed") })
	c := axle.FromResty(newResty(t, server.Server).SetAuthToken("t").SetFormData(map[string]string{"a": "1"}))
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, "streamed", string(body))

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("sdk"))
	require.NoError(t, err)
	raw, err := c.HTTPClient().Do(request)
	require.NoError(t, err)
	require.NoError(t, raw.Body.Close())
	got := server.all()[1]
	assert.Equal(t, []string{"sdk", "Bearer t"}, []string{got.body, got.Header.Get("Authorization")})
}

func TestFromResty_SetEngineWithNilPutsNetHTTPBeneathTheSameSettings(t *testing.T) {
	server := newRestyServer(t, nil)
	rc := newResty(t, server.Server).SetHeader("X-A", "1")
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { return errBoom })
	_, err := axle.FromResty(rc).SetEngine(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "1", server.only(t).Header.Get("X-A"))
}

// sessionServer lets in who has the token "new", and gives it for a refresh.
func sessionServer(t *testing.T) *restyServer {
	t.Helper()
	return newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/refresh":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"new","refresh_token":"r2"}`)
		case r.Header.Get("Authorization") != "Bearer new":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":7}`)
		}
	})
}

func TestFromResty_AnAuthInterceptorWorksOverIt(t *testing.T) {
	server := sessionServer(t)
	before := 0
	var mu sync.Mutex
	rc := newResty(t, server.Server).SetAuthToken("of the resty client")
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error {
		mu.Lock()
		defer mu.Unlock()
		before++
		return nil
	})
	c := axle.FromResty(rc)
	session := store.New[string](store.Endpoint(c, "/refresh"))
	session.Login("ada", &oauth2.Token{AccessToken: "old", RefreshToken: "r1"})
	c.Use(auth.New(session))

	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			item, err := axle.Get[benchItem](t.Context(), c, "/item")
			assert.NoError(t, err)
			assert.Equal(t, 7, item.ID)
		})
	}
	done.Wait()
	refreshes := 0
	for _, got := range server.all() {
		if got.URL.Path == "/refresh" {
			refreshes++
			continue
		}
		assert.NotContains(t, got.Header.Get("Authorization"), "of the resty client")
	}
	assert.Equal(t, 1, refreshes)
	assert.Equal(t, len(server.all()), before)
}

func TestUnderResty_AnExistingProgramGetsTheChainsByOneLine(t *testing.T) {
	type item struct{ ID int }
	type problem struct{ Message string }
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/refresh":
			_, _ = io.WriteString(w, `{"access_token":"new","refresh_token":"r2"}`)
		case r.URL.Path == "/own":
			_, _ = io.WriteString(w, `{"id":1}`)
		case r.Header.Get("Authorization") != "Bearer new":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/flaky" && r.Header.Get("X-Attempt") == "1":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"message":"no"}`)
		default:
			_, _ = io.WriteString(w, `{"id":7}`)
		}
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := axle.New().SetBaseURL(server.URL).SetTransport(transport)
	session := store.New[string](store.Endpoint(client, "/refresh"))
	session.Login("ada", &oauth2.Token{AccessToken: "old", RefreshToken: "r1"})
	client.Use(auth.New(session))

	rc := resty.NewWithClient(client.HTTPClient()).SetBaseURL(server.URL)

	rc.SetRetryCount(2).SetRetryWaitTime(time.Millisecond).SetError(&problem{})
	rc.AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() >= 500 })
	rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
		r.SetHeader("X-Attempt", string('0'+rune(r.Attempt)))
		return nil
	})

	var got item
	resp, err := rc.R().SetContext(t.Context()).SetBody(map[string]int{"a": 1}).SetResult(&got).Post("/items")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode())
	assert.Equal(t, 7, got.ID)
	all := server.all()
	require.Len(t, all, 3, "a 401, one refresh, the replay")
	assert.Equal(t, `{"a":1}`, all[2].body)

	resp, err = rc.R().SetContext(t.Context()).Get("/flaky")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode(), "resty's own retries go through the chains, each")
	assert.Equal(t, 2, resp.Request.Attempt)

	resp, err = rc.R().SetContext(t.Context()).Get("/refused")
	require.NoError(t, err, "a refused status is a response, as resty expects")
	assert.Equal(t, &problem{"no"}, resp.Error())

	resp, err = rc.R().SetContext(t.Context()).SetAuthToken("of the program").Get("/own")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode())
	last := server.all()[len(server.all())-1]
	assert.Equal(t, "Bearer of the program", last.Header.Get("Authorization"), "a token that the program sets is left alone")
}

// A handler's error reaches a resty program as an error.
func TestUnderResty_AHandlersErrorReachesTheProgram(t *testing.T) {
	server := newRestyServer(t, nil)
	client := axle.New()
	client.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	_, err := resty.NewWithClient(client.HTTPClient()).R().SetContext(t.Context()).Get(server.URL)
	require.ErrorIs(t, err, errBoom)
	require.ErrorIs(t, err, axle.CodeInterceptor)
	assert.Empty(t, server.all())
}

// Lines of one call that the page about resty has a counterpart for, and no other test.
func TestFromResty_TheLinesOfACallHaveCounterparts(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "s", Value: "1"})
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, `<benchItem><ID>7</ID></benchItem>`)
	})

	// SetSRV: another address for a host.
	address := strings.TrimPrefix(server.URL, "http://")
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	c := axle.New().SetBaseURL("http://api.test").SetTransport(transport)

	// ForceContentType.
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		resp.Header.Set("Content-Type", "application/xml")
		return resp, nil
	})

	// EnableTrace.
	connected := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	})

	var item benchItem
	resp, err := c.R(ctx).SetResult(&item).Get("/")
	require.NoError(t, err)
	assert.Equal(t, 7, item.ID)
	assert.True(t, connected)
	assert.Positive(t, resp.Duration())
	assert.Equal(t, 1, resp.Request.Attempt())
	cookies := resp.Raw().Cookies()
	require.Len(t, cookies, 1)
	assert.Equal(t, "s=1", cookies[0].Name+"="+cookies[0].Value)
}

func TestFromResty_TheRetryInterceptorTakesThePlaceOfItsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := resty.New().SetBaseURL("http://axle.test").SetRetryCount(5)
		hooks := 0
		rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { hooks++; return nil })
		transport := &fakeTransport{Answer: inTurn(503, 503, 200)}
		c := axle.FromResty(rc.SetTransport(transport))
		c.Use(retry.New())

		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, "nnn", resp.String())
		assert.Equal(t, 3, hooks)
	})
}
