package axle_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
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
