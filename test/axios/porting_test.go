package axios_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
)

// The rows of docs/porting-from-axios.md that no test of the root package covers, over real sockets.

// echo answers with the request's method, URL and body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"method": r.Method, "url": r.URL.String(), "body": string(body)})
}

type echoed struct{ Method, URL, Body string }

func TestPorting_URLMethodParamsAndData(t *testing.T) {
	c := newLoopback(t, echo)
	c.SetBaseURL(c.BaseURL() + "/v1/")
	got, err := axle.Do[echoed](c, c.R(t.Context()).SetMethod("purge").SetURL("users/{id}?a=1").SetPathParam("id", "a/b").SetQueryParam("q", "x y").SetBody("hi"))
	require.NoError(t, err)
	assert.Equal(t, echoed{"PURGE", "/v1/users/a%2Fb?a=1&q=x+y", "hi"}, got)

	u, err := c.R(t.Context()).SetURL("/users").SetQueryParam("q", "1").ResolveURL() // axios.getUri
	require.NoError(t, err)
	assert.Equal(t, c.BaseURL()+"users?q=1", u.String())
}

func TestPorting_EveryVerb(t *testing.T) {
	c := newLoopback(t, echo)
	ctx := t.Context()
	for method, send := range map[string]func() (*axle.Response, error){
		"GET":     func() (*axle.Response, error) { return c.Get(ctx, "/") },
		"DELETE":  func() (*axle.Response, error) { return c.Delete(ctx, "/") },
		"OPTIONS": func() (*axle.Response, error) { return c.Options(ctx, "/") },
		"POST":    func() (*axle.Response, error) { return c.Post(ctx, "/", "x") },
		"PUT":     func() (*axle.Response, error) { return c.Put(ctx, "/", "x") },
		"PATCH":   func() (*axle.Response, error) { return c.Patch(ctx, "/", "x") },
		"QUERY":   func() (*axle.Response, error) { return c.R(ctx).SetBody("x").Execute("QUERY", "/") },
	} {
		resp, err := send()
		require.NoError(t, err, method)
		var got echoed
		require.NoError(t, resp.Decode(&got))
		assert.Equal(t, method, got.Method)
	}
	resp, err := c.Head(ctx, "/")
	require.NoError(t, err)
	assert.Empty(t, resp.Bytes())
}

func TestPorting_PostForm(t *testing.T) { // axios.postForm
	var got *multipart.Form
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(1<<10))
		got = r.MultipartForm
	})
	_, err := c.Post(t.Context(), "/", axle.NewMultipart().Fields(map[string]any{"a": []int{1, 2}}))
	require.NoError(t, err)
	assert.Equal(t, map[string][]string{"a": {"1", "2"}}, got.Value)
	assert.Empty(t, got.File)
}

func TestPorting_TransformsAreInterceptors(t *testing.T) {
	c := newLoopback(t, echo)
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { // transformRequest
		body, contentType, err := r.EncodedBody()
		if err != nil {
			return nil, err
		}
		return r.SetBody(bytes.ToUpper(body)).SetHeader("Content-Type", contentType), nil
	}, nil)
	c.Interceptors.Response.Use(func(_ context.Context, r *axle.Response) (*axle.Response, error) { // transformResponse
		return r.SetBytes(bytes.ReplaceAll(r.Bytes(), []byte("HI"), []byte("hello"))), nil
	}, nil)
	got, err := axle.Post[echoed](t.Context(), c, "/", "hi")
	require.NoError(t, err)
	assert.Equal(t, "hello", got.Body)
}

func TestPorting_ResponseTypes(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"n":1}`) })
	ctx := t.Context()
	resp, err := c.Get(ctx, "/")
	require.NoError(t, err)
	assert.JSONEq(t, `{"n":1}`, string(resp.Bytes())) // arraybuffer
	assert.JSONEq(t, `{"n":1}`, resp.String())        // text
	n, err := axle.Get[struct{ N int }](ctx, c, "/")  // json
	require.NoError(t, err)
	assert.Equal(t, 1, n.N)
	resp, err = c.R(ctx).SetStream(true).Get("/") // stream
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	require.NoError(t, resp.Stream().Close())
	assert.JSONEq(t, `{"n":1}`, string(body))
	resp, err = c.R(ctx).SetStream(true).Get("/")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, resp.SaveFile(path))
	saved, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.JSONEq(t, `{"n":1}`, string(saved))
}

func TestPorting_ParseReviverIsACodec(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"n":9007199254740993}`) })
	c.SetJSON(nil, func(data []byte, v any) error {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		return decoder.Decode(v)
	})
	got, err := axle.Get[map[string]any](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, json.Number("9007199254740993"), got["n"])
}

func TestPorting_WithCredentialsIsTheCookieJar(t *testing.T) {
	var cookies []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		cookies = append(cookies, r.Header.Get("Cookie"))
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	for _, j := range []http.CookieJar{jar, jar, nil} {
		_, err := c.SetCookieJar(j).Get(t.Context(), "/")
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"", "a=1", ""}, cookies)
}

func TestPorting_TheAdapterIsARoundTripper(t *testing.T) {
	c := axle.New().SetBaseURL("http://axle.test").SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, "adapted"), nil
	}))
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "adapted", resp.String())
}

func TestPorting_ProxyIsTheTransports(t *testing.T) {
	var through, authorization string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through, authorization = r.URL.String(), r.Header.Get("Proxy-Authorization")
		_, _ = io.WriteString(w, "proxied")
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	u.User = url.UserPassword("me", "secret")
	transport := axle.DefaultTransport()
	transport.Proxy = http.ProxyURL(u)
	defer transport.CloseIdleConnections()
	resp, err := axle.New().SetTransport(transport).Get(t.Context(), "http://api.test/a")
	require.NoError(t, err)
	assert.Equal(t, "proxied", resp.String())
	assert.Equal(t, "http://api.test/a", through)
	assert.Equal(t, axle.BasicAuth("me", "secret"), authorization)
}

func TestPorting_SocketPathLookupAndFamilyAreADialer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	transport := axle.DefaultTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	defer transport.CloseIdleConnections()
	resp, err := axle.New().SetBaseURL("http://api.test").SetTransport(transport).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "api.test", resp.String())
}

func TestPorting_HTTPSAgentAndHTTP2AreTheTransports(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // one client does not trust it
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	transport := axle.DefaultTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	defer transport.CloseIdleConnections()
	resp, err := axle.New().SetBaseURL(server.URL).SetTransport(transport).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "HTTP/2.0", resp.String())
	_, err = axle.New().SetBaseURL(server.URL).Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeNetwork, "the default trusts no such certificate")
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	assert.True(t, ok)
}

// paced reads no faster than a rate, in bytes per second.
type paced struct {
	io.ReadCloser
	rate int
}

func (p paced) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b[:min(len(b), max(p.rate/10, 1))])
	time.Sleep(time.Duration(n) * time.Second / time.Duration(p.rate))
	return n, err
}

func TestPorting_MaxRateIsAReaderOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(always(200, strings.Repeat("x", 1000)))
		began := time.Now()
		resp, err := c.R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		require.NoError(t, resp.SetStream(paced{resp.Stream(), 500}).Buffer())
		assert.Len(t, resp.Bytes(), 1000)
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestPorting_DecompressOff(t *testing.T) {
	var encoding string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { encoding = r.Header.Get("Accept-Encoding") })
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "gzip, deflate", encoding)
	_, err = c.R(t.Context()).SetHeader("Accept-Encoding", "identity").Get("/")
	require.NoError(t, err)
	assert.Equal(t, "identity", encoding)
}

func TestPorting_SignalAndCancelTokenAreTheContext(t *testing.T) {
	arrived := make(chan struct{})
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the user navigated away")
	go func() { <-arrived; cancel(cause) }()
	_, err := c.Get(ctx, "/")
	require.ErrorIs(t, err, axle.CodeCanceled) // axios.isCancel
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, cause)
}

func TestPorting_EveryErrorCode(t *testing.T) {
	stop := make(chan struct{})
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		case "/broken":
			_, _ = io.WriteString(w, "{")
		default:
			_, _ = io.WriteString(w, "a long answer")
		}
	})
	defer close(stop)
	closed := httptest.NewServer(nil)
	closed.Close()
	ctx := t.Context()
	for code, send := range map[axle.Code]func() error{
		axle.CodeBadRequest:  func() error { _, err := c.Get(ctx, "/404"); return err },
		axle.CodeBadResponse: func() error { _, err := c.Get(ctx, "/500"); return err },
		axle.CodeNetwork:     func() error { _, err := c.Get(ctx, closed.URL); return err },
		axle.CodeTimeout:     func() error { _, err := c.R(ctx).SetTimeout(time.Millisecond).Get("/slow"); return err },
		axle.CodeInvalidURL:  func() error { _, err := c.Get(ctx, "ftp://x.test"); return err },
		axle.CodeTooLarge:    func() error { _, err := c.Clone().SetResponseLimit(3).Get(ctx, "/"); return err },
		axle.CodeBadOption:   func() error { _, err := c.Post(ctx, "/", make(chan int)); return err },
	} {
		require.ErrorIs(t, send(), code)
	}
	_, err := axle.Get[struct{}](ctx, c, "/broken")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	assert.Equal(t, "{", asAxle(t, err).Response.String(), "the raw body is kept")
}

func TestPorting_TooManyRedirects(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooManyRedirects)
}

func TestPorting_AnInstanceIsAClone(t *testing.T) { // axios.create
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-A")) })
	instance := c.SetHeader("X-A", "1").Clone().SetHeader("X-A", "2")
	for client, want := range map[*axle.Client]string{c: "1", instance: "2"} {
		resp, err := client.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, want, resp.String())
	}
}

func TestPorting_AllIsAFuture(t *testing.T) { // axios.all, Promise.all
	c := newLoopback(t, echo)
	get := func(path string) *future.Future[echoed] {
		return future.Go(func() (echoed, error) { return axle.Get[echoed](t.Context(), c, path) })
	}
	got, err := future.All(get("/a"), get("/b")).Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"/a", "/b"}, []string{got[0].URL, got[1].URL})
}

func TestPorting_AnErrorIsRecognizedByItsType(t *testing.T) { // axios.isAxiosError, error.config, error.response, error.status
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) })
	_, err := c.Get(t.Context(), "/")
	e, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok)
	assert.Equal(t, "/", e.Request.URL)
	assert.Equal(t, "no\n", e.Response.String())
	assert.Equal(t, http.StatusTeapot, e.StatusCode())
}

func TestPorting_TheMessageInARefusedAnswersBody(t *testing.T) { // error.response.data.message
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"message":"the name is missing"}`)
	})
	var seen, got struct{ Message string }
	c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		assert.NoError(t, err.Response.Decode(&seen))
		return nil, err
	})

	_, err := axle.Get[echoed](t.Context(), c, "/")

	failed, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok)
	require.NoError(t, failed.Response.Decode(&got), "a handler that decoded it took nothing away")
	assert.Equal(t, "the name is missing", got.Message)
	assert.Equal(t, got, seen)
}

func TestPorting_OneCallWithoutADefaultHeader(t *testing.T) { // headers: { 'X-Default': null }
	var sent []http.Header
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { sent = append(sent, r.Header) })
	c.SetHeader("X-Default", "d")

	for _, edit := range []func(*axle.Request){
		func(r *axle.Request) { r.Header["X-Default"] = nil },
		func(r *axle.Request) { r.SetHeader("X-Default", "") },
		func(*axle.Request) {},
	} {
		_, err := c.Get(t.Context(), "/", edit)
		require.NoError(t, err)
	}

	assert.NotContains(t, sent[0], "X-Default")
	assert.Equal(t, []string{""}, sent[1]["X-Default"])
	assert.Equal(t, []string{"d"}, sent[2]["X-Default"])
}

func TestPorting_FormToJSON(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
		_, _ = io.WriteString(w, "a=1&a=2")
	})
	form, err := axle.Get[url.Values](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, url.Values{"a": {"1", "2"}}, form)
}

func TestPorting_BeforeRedirect(t *testing.T) {
	var hops []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	check := func(next *http.Request, _ []*http.Request) error { hops = append(hops, next.URL.Path); return nil }
	_, err := c.Get(t.Context(), "/", func(r *axle.Request) { r.SetRedirectCheck(check) })
	require.NoError(t, err)
	assert.Equal(t, []string{"/next"}, hops)
}

func TestPorting_ADefaultForAConfigMemberOfOnesOwn(t *testing.T) { // axios.create({ tenant: 'a' })
	tenant := axle.NewKey[string]("tenant")
	c := newLoopback(t, echo)
	tenant.SetDefault(c, "a")
	useRequest(c, func(r *axle.Request) {
		name, _ := tenant.Get(r)
		r.SetHeader("X-Tenant", name)
	})
	for want, edit := range map[string]func(*axle.Request){"a": nil, "b": func(r *axle.Request) { tenant.Set(r, "b") }} {
		resp, err := c.Get(t.Context(), "/", edit)
		require.NoError(t, err)
		got, ok := tenant.Get(resp.Request)
		assert.True(t, ok)
		assert.Equal(t, want, got)
		assert.Equal(t, want, resp.Request.Header.Get("X-Tenant"))
	}
}
