package axle_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// bridgeScenario is one use of an http.Client. What it reports is compared: over the plain transport, and over axle's bridge.
type bridgeScenario struct {
	name    string
	handler http.HandlerFunc
	use     func(t *testing.T, c *http.Client, url string, report func(format string, args ...any))
}

// sawRequest is a request as a server sees it.
func sawRequest(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	header := r.Header.Clone()
	header.Del("User-Agent")
	return fmt.Sprintf("%s %s %s host=%s length=%d te=%v body=%q err=%v header=%v trailer=%v",
		r.Method, r.URL, r.Proto, strings.Split(r.Host, ":")[0], r.ContentLength, r.TransferEncoding, body, err, header, r.Trailer)
}

// reflectRequest answers with what it saw.
func reflectRequest(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, sawRequest(r)) }

// request sends one request, and reports the response.
func bridgeDo(t *testing.T, c *http.Client, req *http.Request, report func(string, ...any)) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		report("error: %s", withoutAxle(err))
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	header := resp.Header.Clone()
	header.Del("Date")
	report("%s %s length=%d uncompressed=%v body=%q err=%v header=%v trailer=%v url=%s",
		resp.Status, resp.Proto, resp.ContentLength, resp.Uncompressed, body, err, header, resp.Trailer, resp.Request.URL.Path)
}

// withoutAxle is the class of an error: a transport's errors are the same beneath axle's.
func withoutAxle(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, errBoom):
		return "boom"
	}
	return "another"
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	return req
}

// opaque hides what else a reader is.
func opaque(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

var bridgeScenarios = []bridgeScenario{
	{"GET", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url+"/a%2Fb?x=1&x=2&empty", nil), report)
	}},
	{"GET with a body", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url, strings.NewReader("body")), report)
	}},
	{"HEAD", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "HEAD", url, nil), report)
	}},
	{"POST of a known length", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "POST", url, strings.NewReader("body")), report)
	}},
	{"POST of an unknown length", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "POST", url, opaque("body")), report)
	}},
	{"POST of a ContentLength and no GetBody", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url, opaque("body"))
		req.ContentLength = 4
		bridgeDo(t, c, req, report)
	}},
	{"POST without a body", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "POST", url, nil), report)
		bridgeDo(t, c, newRequest(t, "POST", url, http.NoBody), report)
		bridgeDo(t, c, newRequest(t, "POST", url, strings.NewReader("")), report)
	}},
	{"POST of less than the ContentLength", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url, opaque("short"))
		req.ContentLength = 10
		bridgeDo(t, c, req, report)
	}},
	{"any method", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "PROPFIND", url, nil), report)
	}},
	{"headers", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "GET", url, nil)
		req.Header.Add("X-Many", "1")
		req.Header.Add("X-Many", "2")
		req.Header["Accept"] = nil
		req.Header.Set("Authorization", "Bearer mine")
		bridgeDo(t, c, req, report)
	}},
	{"Host", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "GET", url, nil)
		req.Host = "other.test"
		bridgeDo(t, c, req, report)
	}},
	{"userinfo", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", strings.Replace(url, "//", "//me:secret@", 1), nil), report)
	}},
	{"statuses", func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("X-Status", "yes")
		w.WriteHeader(status)
		if status != http.StatusNoContent && status != http.StatusNotModified {
			_, _ = io.WriteString(w, "the body of it")
		}
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		for _, status := range []int{200, 201, 204, 300, 304, 400, 401, 404, 407, 418, 429, 500, 503, 599} {
			bridgeDo(t, c, newRequest(t, "GET", fmt.Sprintf("%s/%d", url, status), nil), report)
		}
	}},
	{"redirects", func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err == nil {
			http.Redirect(w, r, "/end", status)
			return
		}
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, method := range []string{"GET", "POST", "PUT"} {
				bridgeDo(t, c, newRequest(t, method, fmt.Sprintf("%s/%d", url, status), strings.NewReader("body")), report)
			}
		}
		bridgeDo(t, c, newRequest(t, "POST", url+"/307", opaque("cannot be sent again")), report)
		d := *c
		d.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		bridgeDo(t, &d, newRequest(t, "GET", url+"/302", nil), report)
		d.CheckRedirect = func(*http.Request, []*http.Request) error { return errBoom }
		bridgeDo(t, &d, newRequest(t, "GET", url+"/302", nil), report)
	}},
	{"an endless redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
		}},
	{"cookies", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "n", Value: r.URL.Query().Get("set"), Path: "/"})
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url+"/?set=1", nil), report)
		bridgeDo(t, c, newRequest(t, "GET", url+"/?set=2", nil), report)
		req := newRequest(t, "GET", url+"/?set=3", nil)
		req.Header.Set("Cookie", "own=1")
		bridgeDo(t, c, req, report)
	}},
	{"gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("X-Asked", r.Header.Get("Accept-Encoding"))
		zip := gzip.NewWriter(w)
		_, _ = io.WriteString(zip, "zipped")
		_ = zip.Close()
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
		req := newRequest(t, "GET", url, nil)
		req.Header.Set("Accept-Encoding", "gzip")
		bridgeDo(t, c, req, report)
	}},
	{"trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, sawRequest(r))
		w.Header().Set("X-Sum", "42")
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url, opaque("body"))
		req.Trailer = http.Header{"X-Request-Sum": {"7"}}
		bridgeDo(t, c, req, report)
	}},
	{"trailers that were not announced", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Late", "42")
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
	}},
	{"1xx", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "GET", url, nil)
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			report("1xx %d %v", code, header)
			return nil
		}}
		bridgeDo(t, c, req.WithContext(httptrace.WithClientTrace(req.Context(), trace)), report)
	}},
	{"Expect", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		for _, path := range []string{"/yes", "/no"} {
			read := &countingReader{Reader: strings.NewReader("body")}
			req := newRequest(t, "POST", url+path, read)
			req.ContentLength = 4
			req.Header.Set("Expect", "100-continue")
			bridgeDo(t, c, req, report)
			report("read %d", read.n.Load())
		}
	}},
	{"both ways at once", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = control.Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = fmt.Fprintln(w, "heard", lines.Text())
			_ = control.Flush()
		}
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		body, writer := io.Pipe()
		resp, err := c.Do(newRequest(t, "POST", url, body))
		require.NoError(t, err)
		defer resp.Body.Close()
		answers := bufio.NewScanner(resp.Body)
		for _, word := range []string{"one", "two", "three"} { // each is answered before the next is sent
			_, _ = fmt.Fprintln(writer, word)
			require.True(t, answers.Scan())
			report("%s", answers.Text())
		}
		_ = writer.Close()
		report("more=%v err=%v", answers.Scan(), answers.Err())
	}},
	{"Upgrade", func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = buf.Flush()
		line, _ := buf.ReadString('\n')
		_, _ = buf.WriteString("echo " + line)
		_ = buf.Flush()
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "GET", url, nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		duplex, ok := resp.Body.(io.ReadWriteCloser)
		report("%s %v", resp.Status, ok)
		if ok {
			_, _ = io.WriteString(duplex, "hello\n")
			line, err := bufio.NewReader(duplex).ReadString('\n')
			report("%q %v", line, err)
		}
	}},
	{"a server that hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			bridgeDo(t, c, newRequest(t, "POST", url, opaque("body")), report)
		}},
	{"a body that breaks off", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "the beginning")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
	}},
	{"a request body that fails", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "POST", url, io.MultiReader(strings.NewReader("x"), failingReader{})), report)
	}},
	{"a cancellation", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			bridgeDo(t, c, newRequest(t, "GET", url, nil).WithContext(ctx), report)
			canceled, stop := context.WithCancel(t.Context())
			stop()
			bridgeDo(t, c, newRequest(t, "GET", url, nil).WithContext(canceled), report)
			d := *c
			d.Timeout = 20 * time.Millisecond
			bridgeDo(t, &d, newRequest(t, "GET", url, nil), report)
		}},
	{"an unsupported scheme", reflectRequest, func(t *testing.T, c *http.Client, _ string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", "ftp://x.test/", nil), report)
	}},
	{"64 MB up", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		_, _ = fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "POST", url, &endless{left: 64 << 20}), report)
	}},
	{"64 MB down", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, &endless{left: 64 << 20}) },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			resp, err := c.Do(newRequest(t, "GET", url, nil))
			require.NoError(t, err)
			defer resp.Body.Close()
			sum := sha256.New()
			n, err := io.Copy(sum, resp.Body)
			report("%d %x %v", n, sum.Sum(nil), err)
		}},
}

// countingReader counts what is read of it.
type countingReader struct {
	io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBoom }

// endless yields a pattern, so many bytes of it.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range n {
		p[i] = byte((e.left - i) % 251)
	}
	e.left -= n
	return n, nil
}

func TestBridge_KeepsNetHTTPsContract(t *testing.T) {
	for _, s := range bridgeScenarios {
		t.Run(s.name, func(t *testing.T) {
			server := httptest.NewServer(s.handler)
			defer server.Close()
			server.Config.ErrorLog = nil
			run := func(through func(*http.Transport, http.CookieJar) *http.Client) []string {
				transport := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
				defer transport.CloseIdleConnections()
				jar, err := cookiejar.New(nil)
				require.NoError(t, err)
				var mu sync.Mutex
				var reports []string
				s.use(t, through(transport, jar), server.URL, func(format string, args ...any) {
					mu.Lock()
					defer mu.Unlock()
					reports = append(reports, fmt.Sprintf(format, args...))
				})
				return reports
			}
			plain := run(func(t *http.Transport, jar http.CookieJar) *http.Client { return &http.Client{Transport: t, Jar: jar} })
			bridged := run(func(t *http.Transport, jar http.CookieJar) *http.Client {
				c := axle.New().SetTransport(t).SetCookieJar(jar)
				passThroughPair(c)
				return c.HTTPClient()
			})
			require.NotEmpty(t, plain)
			assert.Equal(t, plain, bridged)
		})
	}
}

func TestBridge_TheRequestIsNotMutated(t *testing.T) {
	c := newLoopback(t, reflectRequest)
	useRequest(c, func(r *axle.Request) {
		r.Header.Set("X-Added", "1")
		r.Header["X-Own"][0] = "changed"
		r.SetQueryParam("q", "1").SetMethod("PUT").SetBody("another")
	})
	req := newRequest(t, "POST", c.BaseURL()+"/a", strings.NewReader("body"))
	req.Header.Set("X-Own", "1")
	before := req.Clone(req.Context())
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Contains(t, string(body), `PUT /a?q=1`)
	assert.Contains(t, string(body), `body="another"`)
	assert.Equal(t, before.Header, req.Header)
	assert.Equal(t, before.URL, req.URL)
	assert.Equal(t, before.Method, req.Method)
	assert.Same(t, req, resp.Request)
}

func TestBridge_TheRequestsBodyIsAlwaysClosed(t *testing.T) {
	ok := newLoopback(t, func(http.ResponseWriter, *http.Request) {})
	refusing, _ := newFakeClient(always(200, ""))
	refusing.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	unread, _ := newFakeClient(always(200, ""))
	useRequest(unread, func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 200, nil, nil)) })
	failing, _ := newFakeClient(unreachable)
	replaced, _ := newFakeClient(always(200, ""))
	useRequest(replaced, func(r *axle.Request) { r.SetBody("another") })
	for name, c := range map[string]*axle.Client{"sent": ok, "refused by a handler": refusing, "answered by a handler": unread, "network": failing, "replaced": replaced} {
		body := newWatchedBody("body")
		resp, err := c.RoundTripper().RoundTrip(newRequest(t, "POST", cmpURL(c), body))
		if err == nil {
			_ = resp.Body.Close()
		}
		assert.Eventually(t, body.isClosed, 5*time.Second, time.Millisecond, name) // a transport may close it a little later
	}
	body := newWatchedBody("body")
	req := newRequest(t, "POST", "http://axle.test/", body)
	req.URL = &url.URL{Scheme: "ftp", Host: "axle.test"}
	_, err := ok.RoundTripper().RoundTrip(req) //nolint:bodyclose // it fails
	require.Error(t, err)
	assert.True(t, body.isClosed(), "bad input")
}

func cmpURL(c *axle.Client) string { return c.BaseURL() + "/" }

func TestBridge_AHandlersErrorIsAnErrorAndARefusedStatusAResponse(t *testing.T) {
	for name, c := range map[string]struct {
		install func(*axle.Client)
		status  int
		fails   bool
	}{
		"refused, nobody cares": {func(*axle.Client) {}, 503, false},
		"refused, passed on":    {func(c *axle.Client) { passThroughPair(c) }, 503, false},
		"refused, wrapped": {func(c *axle.Client) {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return nil, fmt.Errorf("x: %w", err) })
		}, 0, true},
		"refused, recovered": {func(c *axle.Client) { useRejected(c, recoverWith(202)) }, 202, false},
		"a plain error": {func(c *axle.Client) {
			useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, errBoom })
		}, 0, true},
		"neither": {func(c *axle.Client) { useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, nil }) }, 0, true},
		"an error of a request chain": {func(c *axle.Client) {
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
		}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			client := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
			c.install(client)
			resp, err := client.RoundTripper().RoundTrip(newRequest(t, "GET", client.BaseURL(), nil))
			if c.fails {
				require.Error(t, err)
				assert.Nil(t, resp)
				return
			}
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Equal(t, c.status, resp.StatusCode)
		})
	}
}

// recoverWith is a rejected handler that recovers.
func recoverWith(status int) func(*axle.Error) (*axle.Response, error) {
	return func(err *axle.Error) (*axle.Response, error) {
		return axle.NewResponse(err.Request, status, nil, []byte("recovered")), nil
	}
}

func TestBridge_TheChainsRunOncePerHop(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	var hops []string
	useRequest(c, func(r *axle.Request) { u, _ := r.ResolveURL(); hops = append(hops, u.Path) })
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+"/", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"/", "/next"}, hops)
}

func TestBridge_AReplaySendsTheSameBodyAndReturnsAStream(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"GetBody":        func() io.Reader { return strings.NewReader("body") },
		"a small stream": func() io.Reader { return opaque("body") },
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				if n++; n == 1 {
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				_, _ = io.Copy(w, r.Body)
			})
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
			resp, err := c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), body()))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, "body", string(got))
		})
	}
}

func TestBridge_AReplayDoesNotWaitForABodyThatIsStillToCome(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			again := make(chan struct{})
			var n atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					w.Header().Set("Connection", "close")
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				close(again)
				_, _ = io.Copy(w, r.Body)
			}))
			server.EnableHTTP2 = h2
			server.StartTLS()
			defer server.Close()
			c := axle.New().SetTransport(server.Client().Transport)
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				_ = err.Response.Stream().Close() // HTTP/2's waits for the request to let go of its body
				return err.Request.Replay()
			})
			body, writer := io.Pipe()
			go func() {
				<-again // only now does the user have something to say
				_, _ = io.WriteString(writer, "all of it")
				_ = writer.Close()
			}()
			resp, err := c.HTTPClient().Do(newRequest(t, "POST", server.URL, body))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, "all of it", string(got))
		})
	}
}

// sharedBody is a body whose GetBody rewinds and returns one reader, as Connect's does.
type sharedBody struct{ *bytes.Reader }

func (sharedBody) Close() error { return nil }

func TestBridge_AnAttemptThatIsOverTakesNothingFromTheNext(t *testing.T) {
	first := make(chan io.Reader, 1)
	c := axle.New().SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		select {
		case first <- r.Body: // it answers, and goes on reading
			return reply(r, http.StatusServiceUnavailable, ""), nil
		default:
		}
		n, err := io.CopyN(io.Discard, <-first, 4)
		assert.Zero(t, n)
		require.Error(t, err)
		got, err := io.ReadAll(r.Body)
		return reply(r, http.StatusOK, string(got)), err
	}))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	body := sharedBody{bytes.NewReader([]byte("whole"))}
	req := newRequest(t, "POST", "http://axle.test/", body)
	req.ContentLength = 5
	req.GetBody = func() (io.ReadCloser, error) { _, err := body.Seek(0, io.SeekStart); return body, err }
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "whole", string(got))
}

func TestOrigins_OnTheHopsOfARedirectTheFirstRequestsOriginDecides(t *testing.T) {
	var seen []http.Header
	var back string
	other := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, back+"/end", http.StatusFound)
		}
	})
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header)
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.BaseURL()+"/x", http.StatusFound)
		case "/thereandback":
			http.Redirect(w, r, other.BaseURL()+"/back", http.StatusFound)
		}
	})
	back = c.BaseURL()
	c.SetHeader("X-Api-Key", "client")
	useRequest(c, func(r *axle.Request) { r.Header.Set("Authorization", "Bearer handler"); r.Header.Set("X-Plain", "1") })
	for path, want := range map[string][]string{"/away": {"yes", "no"}, "/thereandback": {"yes", "no", "no"}} {
		seen = nil
		resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+path, nil))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		var got []string
		for _, h := range seen {
			switch has := []bool{h.Get("Authorization") != "", h.Get("X-Api-Key") != ""}; {
			case has[0] && has[1]:
				got = append(got, "yes")
			case !has[0] && !has[1]:
				got = append(got, "no")
			default:
				got = append(got, fmt.Sprint(has))
			}
			assert.Equal(t, "1", h.Get("X-Plain"), "what is no credential does follow")
		}
		assert.Equal(t, want, got, path)
	}
}

func TestP14_StreamsBeyondTheReplayLimitKeepFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves 256 MB")
	}
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.Copy(w, &endless{left: 128 << 20})
	})
	for name, send := range map[string]func() (io.ReadCloser, error){
		"axle": func() (io.ReadCloser, error) {
			resp, err := c.R(t.Context()).SetStream(true).SetBody(&endless{left: 128 << 20}).Post("/")
			if err != nil {
				return nil, err
			}
			return resp.Stream(), nil
		},
		"the bridge": func() (io.ReadCloser, error) {
			resp, err := c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), &endless{left: 128 << 20}))
			if err != nil {
				return nil, err
			}
			return resp.Body, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			body, err := send()
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, body)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			runtime.ReadMemStats(&after)
			assert.EqualValues(t, 128<<20, n)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "all that was ever allocated for 256 MB")
		})
	}
}

func TestBridge_CloseIdleConnectionsReachesTheTransport(t *testing.T) {
	var closed atomic.Bool
	c := axle.New().SetTransport(&closingTransport{closed: &closed})
	c.HTTPClient().CloseIdleConnections()
	assert.True(t, closed.Load())
	axle.New().SetTransport(&fakeTransport{}).HTTPClient().CloseIdleConnections() // one that has no such thing
}

type closingTransport struct {
	fakeTransport
	closed *atomic.Bool
}

func (c *closingTransport) CloseIdleConnections() { c.closed.Store(true) }

func TestBridge_HandlersSeeRealRequestsAndResponses(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var log []string
	useRequest(c, func(r *axle.Request) {
		u, err := r.ResolveURL()
		assert.NoError(t, err)
		log = append(log, r.Method+" "+u.Path+" "+r.Header.Get("X-A"))
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		log = append(log, fmt.Sprint(resp.StatusCode, resp.Bytes() == nil))
		if err := resp.Buffer(); err != nil {
			return nil, err
		}
		return resp.SetBytes(bytes.ToUpper(resp.Bytes())), nil
	})
	req := newRequest(t, "POST", c.BaseURL()+"/a", strings.NewReader("body"))
	req.Header.Set("X-A", "1")
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "BODY", string(got))
	assert.EqualValues(t, 4, resp.ContentLength)
	assert.Equal(t, []string{"POST /a 1", "200 true"}, log)
	assert.Equal(t, []string{"X-A"}, slices.Sorted(maps.Keys(req.Header)))
}
