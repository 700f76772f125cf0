package bridge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestBridge_ARequestThatCannotBeSentIsAnErrorAndItsBodyIsClosed(t *testing.T) {
	for name, spoil := range map[string]func(r *http.Request){
		"no URL":        func(r *http.Request) { r.URL = nil },
		"an empty URL":  func(r *http.Request) { r.URL = new(url.URL) },
		"no host":       func(r *http.Request) { r.URL = &url.URL{Scheme: "http"} },
		"a bad method":  func(r *http.Request) { r.Method = "a b" },
		"a bad scheme":  func(r *http.Request) { r.URL.Scheme = "ftp" },
		"a bad header":  func(r *http.Request) { r.Header["a b"] = []string{"x"} },
		"a bad trailer": func(r *http.Request) { r.Trailer = http.Header{"a b": {"x"}} },
	} {
		c := newLoopback(t, reflectRequest)
		body := newWatchedBody("body")
		req := newRequest(t, "POST", c.BaseURL(), body)
		req.ContentLength = -1
		spoil(req)
		resp, err := c.RoundTripper().RoundTrip(req)
		if resp != nil {
			_ = resp.Body.Close()
		}
		require.Error(t, err, name)
		assert.Nil(t, resp, name)
		assert.True(t, body.IsClosed(), name)
	}
}

func TestBridge_ARequestWithoutAHeaderIsSent(t *testing.T) {
	c := newLoopback(t, reflectRequest)
	req := newRequest(t, "GET", c.BaseURL(), nil)
	req.Header = nil
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Nil(t, req.Header, "and not modified")
}

func TestBridge_RedirectsAreNotFollowedBeneathTheHTTPClient(t *testing.T) {
	var paths []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		http.Redirect(w, r, "/end", http.StatusFound)
	})
	resp, err := c.RoundTripper().RoundTrip(newRequest(t, "GET", c.BaseURL()+"/start", nil))
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusFound, resp.StatusCode)
	assert.Equal(t, "/end", resp.Header.Get("Location"))
	assert.Equal(t, []string{"/start"}, paths)
}

func TestBridge_AHandlersErrorIsFoundThroughTheURLError(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil, axle.Named("culprit"))
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", "http://axle.test/?api_key=s3cret", nil))
	if resp != nil {
		_ = resp.Body.Close()
	}
	require.ErrorIs(t, err, errBoom)
	require.ErrorIs(t, err, axle.CodeInterceptor)
	var outer *url.Error
	require.ErrorAs(t, err, &outer)
	e := asAxle(t, outer.Err)
	assert.ErrorContains(t, e, "culprit")
	assert.NotContains(t, e.Error(), "s3cret")
	assert.Zero(t, network.Sent.Load())
}

func TestBridge_ACancelChannelThatIsClosedIsACancellation(t *testing.T) {
	called := make(chan struct{})
	c, _ := newFakeClient(func(*http.Request) (*http.Response, error) {
		close(called)
		return nil, errBoom
	})
	r := newRequest(t, http.MethodGet, "http://axle.test/", nil)
	r.Cancel = called                       //nolint:staticcheck // deprecated, and still in use
	_, err := c.RoundTripper().RoundTrip(r) //nolint:bodyclose // it fails
	require.ErrorIs(t, err, axle.CodeCanceled)
	require.ErrorIs(t, err, errBoom)
}

func TestBridge_ATimeLimitOfTheClientIsATimeout(t *testing.T) {
	c, _ := newFakeClient(hang)
	resp, err := c.SetTimeout(time.Millisecond).HTTPClient().Do(newRequest(t, "GET", "http://axle.test/", nil))
	if resp != nil {
		_ = resp.Body.Close()
	}
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	require.ErrorIs(t, err, axle.CodeTimeout)
}

func TestBridge_ATimeLimitOfTheClientEndsWithTheHeaders(t *testing.T) {
	release := make(chan struct{})
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, ", whole")
	})
	const limit = 300 * time.Millisecond
	resp, err := c.SetTimeout(limit).HTTPClient().Do(newRequest(t, "GET", c.BaseURL(), nil))
	require.NoError(t, err)
	defer resp.Body.Close()
	time.AfterFunc(2*limit, func() { close(release) }) // the limit is over by then
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "half, whole", string(got))
}

// Cookies are the http.Client's jar's business alone.

func TestBridge_TheRoundTripperNeitherSendsNorKeepsCookies(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "set", Value: "1"})
		_, _ = io.WriteString(w, r.Header.Get("Cookie"))
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	home, err := url.Parse(c.BaseURL())
	require.NoError(t, err)
	jar.SetCookies(home, []*http.Cookie{{Name: "own", Value: "1"}})
	c.SetCookieJar(jar)
	send := func(hc *http.Client) string {
		t.Helper()
		resp, err := hc.Do(newRequest(t, "GET", c.BaseURL(), nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(got)
	}
	bare := &http.Client{Transport: c.RoundTripper()}
	assert.Empty(t, send(bare))
	assert.Empty(t, send(bare))
	assert.Len(t, jar.Cookies(home), 1)
	assert.Equal(t, "own=1", send(c.HTTPClient()))
	assert.Equal(t, "own=1; set=1", send(c.HTTPClient()), "each once, not by both")
}

func TestBridge_TheHostFollowsAHandlersURL(t *testing.T) {
	var hosts []string
	record := func(_ http.ResponseWriter, r *http.Request) { hosts = append(hosts, r.Host) }
	other := newLoopback(t, record)
	c := newLoopback(t, record)
	for _, change := range []func(r *axle.Request){
		func(*axle.Request) {},
		func(r *axle.Request) { r.SetURL(other.BaseURL() + "/") },
		func(r *axle.Request) { r.SetURL(other.BaseURL()+"/").SetHeader("Host", "set.test") },
	} {
		c.Interceptors.Request.Clear()
		useRequest(c, change)
		req := newRequest(t, "GET", c.BaseURL(), nil)
		req.Host = "given.test"
		resp, err := c.RoundTripper().RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	assert.Equal(t, []string{"given.test", strings.TrimPrefix(other.BaseURL(), "http://"), "set.test"}, hosts)
}

// What a handler makes of an answer.

func TestBridge_AHandlersBytesHaveTheirLengthInEveryPlace(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "short") })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		return resp.SetBytes([]byte("something longer")), nil
	})
	target, err := url.Parse(c.BaseURL())
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: c.RoundTripper(),
		ErrorLog:  log.New(io.Discard, "", 0),
	})
	defer proxy.Close()
	for name, base := range map[string]string{"direct": c.BaseURL(), "behind a reverse proxy": proxy.URL} {
		hc := c.HTTPClient()
		if name != "direct" {
			hc = proxy.Client()
		}
		resp, err := hc.Do(newRequest(t, "GET", base, nil))
		require.NoError(t, err, name)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "something longer", string(got), name)
		assert.EqualValues(t, 16, resp.ContentLength, name)
		assert.Equal(t, "16", resp.Header.Get("Content-Length"), name)
	}
}

func TestBridge_AHandlersEmptyBytesHaveTheLengthZero(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "short") })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes(nil), nil })

	resp, err := c.HTTPClient().Get(c.BaseURL())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Zero(t, resp.ContentLength)
	assert.Equal(t, []string{"0"}, resp.Header["Content-Length"])
}

func TestBridge_AnUpgradePassesThroughAReverseProxy(t *testing.T) {
	c := newLoopback(t, echoUpgrade)
	c.SetTimeout(time.Minute).SetResponseLimit(1) // neither is about another protocol
	target, err := url.Parse(c.BaseURL())
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: c.RoundTripper()})
	defer proxy.Close()
	req := newRequest(t, "GET", proxy.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := proxy.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	duplex, ok := resp.Body.(io.ReadWriteCloser)
	require.True(t, ok)
	_, err = io.WriteString(duplex, "hello\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(duplex).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "echo hello\n", line)
}

// Bodies stream, both ways: neither is read before it is asked for.

func TestP14_TheBridgePullsBothBodiesLazily(t *testing.T) {
	const size, chunk = 64 << 20, 256 << 10
	up, down := &countingReader{Reader: &endless{Left: size}}, &countingReader{Reader: &endless{Left: size}}
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		assert.Zero(t, up.N.Load(), "nothing is read before the transport asks")
		buf := make([]byte, chunk)
		for taken := int64(0); ; {
			n, err := io.ReadFull(r.Body, buf)
			taken += int64(n)
			if up.N.Load() > taken {
				assert.LessOrEqual(t, up.N.Load(), taken, "read ahead")
				break
			}
			if err != nil {
				assert.EqualValues(t, size, taken)
				break
			}
		}
		return replyWith(r, 200, io.NopCloser(down)), nil
	})
	passThroughPair(c)
	resp, err := c.HTTPClient().Do(newRequest(t, "POST", "http://axle.test/", up))
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Zero(t, down.N.Load(), "nothing is read before the caller asks")
	got, err := io.CopyN(io.Discard, resp.Body, chunk)
	require.NoError(t, err)
	assert.LessOrEqual(t, down.N.Load(), got+64<<10, "no more than the copy's own buffer")
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	assert.EqualValues(t, size, down.N.Load())
}

// Replay.

func TestBridge_AReplayAfterARefreshSendsTheBodyAgainAndOneAnswerIsLeftOpen(t *testing.T) {
	var bodies watchedBodies
	bodies.Status = func(n int) int { return []int{401, 200}[n-1] }
	var sent []string
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		sent = append(sent, string(body)+" "+r.Header.Get("Authorization"))
		return bodies.Answer(r)
	})
	token := "old"
	useRequest(c, func(r *axle.Request) { r.SetHeader("Authorization", token) })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() != http.StatusUnauthorized {
			return nil, err
		}
		token = "new"
		return err.Request.Replay()
	})
	resp, err := c.HTTPClient().Do(newRequest(t, "POST", "http://axle.test/", opaque("body")))
	require.NoError(t, err)
	assert.Equal(t, []string{"body old", "body new"}, sent)
	assert.Equal(t, []int{2}, bodies.Open(), "the refused one is closed, the other is the caller's")
	require.NoError(t, resp.Body.Close())
	assert.Empty(t, bodies.Open())
	assert.EqualValues(t, 2, network.Sent.Load())
}

func TestBridge_ABodyThatCannotBeSentAgainLeavesTheRefusedAnswer(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "who are you")
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		_, again := err.Request.Replay()
		assert.ErrorIs(t, again, axle.ErrBodyConsumed)
		return nil, err
	})
	resp, err := c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), opaque(strings.Repeat("x", axle.ReplayLimit+1))))
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	assert.Equal(t, "who are you", string(got))
}

func TestBridge_ManyAtATimeWithDistinctBodiesNeverMix(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Again") == "" {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetHeader("X-Again", "1") })
	})
	hc := c.HTTPClient()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			text := strings.Repeat(strconv.Itoa(i)+",", 100)
			body := opaque(text)
			if i%2 == 0 {
				body = strings.NewReader(text)
			}
			resp, err := hc.Do(newRequest(t, "POST", c.BaseURL(), body))
			if !assert.NoError(t, err) {
				return
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			assert.NoError(t, err)
			assert.Equal(t, text, string(got))
		})
	}
	wg.Wait()
}

func TestBridge_APanicOfAHandlerClosesBothBodies(t *testing.T) {
	var bodies watchedBodies
	c, _ := newFakeClient(bodies.Answer)
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { panic("boom") })
	body := newWatchedBody("body")
	assert.PanicsWithValue(t, "boom", func() {
		resp, err := c.RoundTripper().RoundTrip(newRequest(t, "POST", "http://axle.test/", body))
		if err == nil {
			_ = resp.Body.Close()
		}
	})
	assert.True(t, body.IsClosed())
	assert.Empty(t, bodies.Open())
}

func TestBridge_AReplaysEditsOfTheURLAreSent(t *testing.T) {
	c := newLoopback(t, reflectRequest)
	c.SetValidateStatus(func(int) bool { return false })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if err.Request.Attempt() > 1 {
			return nil, err
		}
		return err.Request.Replay(func(r *axle.Request) { r.SetURL(c.BaseURL() + "/elsewhere?a=b") })
	})
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/here")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Contains(t, string(body), "GET /elsewhere?a=b")
}

func TestBridge_AnEmptyAnswerHasNoTrailer(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := replyWith(r, 200, http.NoBody)
		resp.ContentLength = 0
		return resp, nil
	})
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", "http://home.example/", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Nil(t, resp.Trailer)
}

// Only an http.Client always tells which request a response answers.
func TestBridge_AResponseThatNamesNoRequestBeginsTheRedirects(t *testing.T) {
	var sent http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return reply(r, 200, ""), nil
	})
	first := newRequest(t, "GET", "http://home.example/", nil)
	first.Header.Set("Cookie", "own=1")
	first.Response = &http.Response{}
	hop := newRequest(t, "GET", "http://other.example/", nil)
	hop.Header.Set("Cookie", "own=1; others=1")
	hop.Response = &http.Response{Request: first}
	for _, req := range []*http.Request{first, hop} {
		resp, err := c.RoundTripper().RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, map[*http.Request]string{first: "own=1", hop: "others=1"}[req], sent.Get("Cookie"))
	}
}

// A client's default labels the bodies that have no type of their own, as it does outside the bridge.
func TestBridge_ADefaultContentTypeLabelsNeitherAnEmptyRequestNorAHandlersForm(t *testing.T) {
	for name, tc := range map[string]struct {
		body   io.Reader
		handle func(r *axle.Request)
		want   string // Content-Type and body, as the server sees them
	}{
		"a body without a type": {strings.NewReader("text"), func(*axle.Request) {}, "[application/json] text"},
		"no body":               {nil, func(*axle.Request) {}, "[] "},
		"a handler's form": {
			nil,
			func(r *axle.Request) { r.SetBody(url.Values{"a": {"1"}}) },
			"[application/x-www-form-urlencoded] a=1",
		},
		"a handler's type": {
			nil,
			func(r *axle.Request) { r.SetHeader("Content-Type", "text/csv") },
			"[text/csv] ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var saw string
			c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				saw = fmt.Sprint(r.Header["Content-Type"], " ", string(body))
			})
			c.SetHeader("Content-Type", "application/json")
			useRequest(c, tc.handle)

			resp, err := c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), tc.body))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, tc.want, saw)
		})
	}
}
