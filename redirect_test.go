package axle_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// hops is a server on which each number of a path is a redirect to what follows: /302/307/end. It records what arrives.
type hops struct {
	mu   sync.Mutex
	came []string
}

func (h *hops) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	seen := r.Method + " " + string(body)
	if err != nil {
		seen += " " + err.Error()
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"} {
		if v := r.Header.Get(name); v != "" {
			seen += " " + v
		}
	}
	h.mu.Lock()
	h.came = append(h.came, seen)
	h.mu.Unlock()
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if status, err := strconv.Atoi(first); err == nil {
		w.Header().Set("Location", "/"+rest)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "moved")
		return
	}
	_, _ = io.WriteString(w, "the end")
}

// taken are the requests that came since the last time.
func (h *hops) taken() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	came := h.came
	h.came = nil
	return came
}

// Methods and bodies, as RFC 9110 §15.4 has it.

func TestAdvisory_RedirectsRewriteMethodAndBodyAsRFC9110Says(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	const kept, dropped = "body text/x", ""
	for _, x := range []struct {
		path, method string
		want         []string // the method and the body on each hop after the first
	}{
		// 301 and 302 make a GET of a POST, and of nothing else.
		{"/301/end", "POST", []string{"GET " + dropped}},
		{"/302/end", "POST", []string{"GET " + dropped}},
		{"/301/end", "PUT", []string{"PUT " + kept}},
		{"/302/end", "PUT", []string{"PUT " + kept}},
		{"/301/end", "PATCH", []string{"PATCH " + kept}},
		{"/302/end", "DELETE", []string{"DELETE " + kept}},
		{"/302/end", "PURGE", []string{"PURGE " + kept}},
		{"/301/end", "GET", []string{"GET " + kept}},
		{"/302/end", "GET", []string{"GET " + kept}},
		// 303 makes a GET of everything.
		{"/303/end", "POST", []string{"GET " + dropped}},
		{"/303/end", "PUT", []string{"GET " + dropped}},
		{"/303/end", "PATCH", []string{"GET " + dropped}},
		{"/303/end", "DELETE", []string{"GET " + dropped}},
		// 307 and 308 keep everything.
		{"/307/end", "POST", []string{"POST " + kept}},
		{"/308/end", "POST", []string{"POST " + kept}},
		{"/307/end", "PUT", []string{"PUT " + kept}},
		{"/308/end", "PATCH", []string{"PATCH " + kept}},
		{"/307/end", "GET", []string{"GET " + kept}},
		{"/308/end", "DELETE", []string{"DELETE " + kept}},
		// What is gone stays gone, and what is there stays there.
		{"/303/307/end", "PUT", []string{"GET " + dropped, "GET " + dropped}},
		{"/301/308/end", "POST", []string{"GET " + dropped, "GET " + dropped}},
		{"/302/302/end", "POST", []string{"GET " + dropped, "GET " + dropped}},
		{"/307/302/end", "POST", []string{"POST " + kept, "GET " + dropped}},
		{"/307/308/end", "POST", []string{"POST " + kept, "POST " + kept}},
		{"/302/307/end", "PUT", []string{"PUT " + kept, "PUT " + kept}},
		{"/301/302/308/301/end", "PATCH", []string{"PATCH " + kept, "PATCH " + kept, "PATCH " + kept, "PATCH " + kept}},
		{"/302/303/307/end", "PUT", []string{"PUT " + kept, "GET " + dropped, "GET " + dropped}},
	} {
		for kind, body := range map[string]any{"bytes": []byte("body"), "seeker": strings.NewReader("body"), "stream": opaque("body")} {
			resp, err := c.R(t.Context()).SetBody(body).SetHeader("Content-Type", "text/x").Execute(x.method, x.path)
			require.NoError(t, err, "%s %s", x.method, x.path)
			assert.Equal(t, "the end", resp.String())
			came := server.taken()
			for i, seen := range came {
				came[i] = strings.TrimRight(seen, " ")
			}
			want := []string{x.method + " " + kept}
			for _, seen := range x.want {
				want = append(want, strings.TrimRight(seen, " "))
			}
			assert.Equal(t, want, came, "%s of %s, %s", x.method, kind, x.path)
		}
	}
}

func TestRedirect_HEADStaysHEAD(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := new(hops)
		c := newLoopback(t, server.ServeHTTP)
		resp, err := c.Head(t.Context(), fmt.Sprintf("/%d/end", status))
		require.NoError(t, err)
		assert.Equal(t, 200, resp.StatusCode)
		assert.Equal(t, []string{"HEAD ", "HEAD "}, server.taken(), "%d", status)
	}
}

func TestRedirect_ABodyThatIsDroppedTakesItsHeadersWithIt(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	r := c.R(t.Context()).SetBody("body").SetHeader("Content-Type", "t/t").SetHeader("Content-Encoding", "e").
		SetHeader("Content-Language", "l").SetHeader("Content-Location", "c")
	for _, x := range []struct {
		method, path string
		want         string
	}{
		{"POST", "/303/end", "GET "},
		{"POST", "/302/end", "GET "},
		{"PUT", "/302/end", "PUT body t/t e l c"},
		{"PUT", "/307/end", "PUT body t/t e l c"},
	} {
		_, err := r.Execute(x.method, x.path)
		require.NoError(t, err)
		assert.Equal(t, []string{x.method + " body t/t e l c", x.want}, server.taken())
	}
}

// Bodies that are sent again.

func TestRedirect_AStreamIsResentWholeAlsoIfItWasNotReadToItsEnd(t *testing.T) {
	body, writer := io.Pipe()
	var got string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			all, _ := io.ReadAll(r.Body)
			got = string(all)
			return
		}
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_, _ = io.ReadFull(r.Body, make([]byte, 5)) // and it goes on, while the redirect is under way
		http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		_ = control.Flush()
		go func() {
			_, _ = io.WriteString(writer, "second")
			_ = writer.Close()
		}()
		_, _ = io.Copy(io.Discard, r.Body)
	})
	go func() { _, _ = io.WriteString(writer, "first") }()
	_, err := c.Post(t.Context(), "/", body)
	require.NoError(t, err)
	assert.Equal(t, "firstsecond", got)
}

// rewound is a body that counts how often it is taken back to its start.
type rewound struct {
	*strings.Reader
	times int
}

func (r *rewound) Seek(offset int64, whence int) (int64, error) {
	if offset == 0 && whence == io.SeekStart {
		r.times++
	}
	return r.Reader.Seek(offset, whence)
}

func TestRedirect_ABodyIsTakenBackToItsStartOncePerHopThatSendsItAgain(t *testing.T) {
	c := newLoopback(t, new(hops).ServeHTTP)
	sent := func(path string) (times int) {
		body := &rewound{Reader: strings.NewReader("body")}
		_, err := c.Post(t.Context(), path, body)
		require.NoError(t, err)
		return body.times
	}

	withoutARedirect := sent("/end")
	for path, more := range map[string]int{"/307/end": 1, "/308/307/end": 2, "/303/end": 0} {
		assert.Equal(t, more, sent(path)-withoutARedirect, path)
	}
}

func TestP14_AStreamBeyondTheReplayLimitIsNotResentButRefused(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	_, err := c.Post(t.Context(), "/307/end", opaque(strings.Repeat("x", axle.ReplayLimit+1)))
	assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code)
	require.ErrorIs(t, err, axle.ErrBodyConsumed)
	assert.Len(t, server.taken(), 1, "it arrived once, and no half of it again")
	_, err = c.Post(t.Context(), "/307/end", opaque(strings.Repeat("x", axle.ReplayLimit)))
	require.NoError(t, err)
	assert.Len(t, server.taken(), 2)
	_, err = c.Post(t.Context(), "/303/end", opaque(strings.Repeat("x", axle.ReplayLimit+1)))
	require.NoError(t, err, "where it need not be sent again, it is no matter")
}

// Limits and refusals.

func TestRedirect_TenAreFollowedAndOneMoreIsTooMany(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	for n, code := range map[int]axle.Code{axle.MaxRedirects: "", axle.MaxRedirects + 1: axle.CodeTooManyRedirects, 2 * axle.MaxRedirects: axle.CodeTooManyRedirects} {
		_, err := c.Get(t.Context(), strings.Repeat("/302", n)+"/end")
		assert.Len(t, server.taken(), axle.MaxRedirects+1, "%d", n)
		if code == "" {
			require.NoError(t, err)
			continue
		}
		e := asAxle(t, err)
		assert.Equal(t, code, e.Code)
		assert.Nil(t, e.Response)
		assert.Equal(t, strings.Repeat("/302", n)+"/end", e.Request.URL)
	}
}

func TestAdvisory_ARedirectToAnotherSchemeIsRefused(t *testing.T) {
	for _, to := range []string{"ftp://x.test/", "file:///etc/passwd", "javascript:alert(1)", "data:text/plain,x", "unix:///run/docker.sock", "gopher://x.test"} {
		var bodies watchedBodies
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp, err := bodies.Answer(r)
			resp.StatusCode, resp.Header = http.StatusFound, http.Header{"Location": {to}}
			return resp, err
		})
		_, err := c.Get(t.Context(), "/")
		assert.Equal(t, axle.CodeInvalidURL, asAxle(t, err).Code, to)
		assert.EqualValues(t, 1, network.Sent.Load())
		assert.Empty(t, bodies.Open())
	}
}

func TestRedirect_OneThatLeadsNowhere(t *testing.T) {
	for name, x := range map[string]struct {
		location []string
		refused  bool // it is an answer, which ValidateStatus refuses
	}{
		"no Location":             {nil, true},
		"one that does not parse": {[]string{"http://x.test:port/"}, false},
		"one with a line break":   {[]string{"/a\r\nb"}, false},
	} {
		var bodies watchedBodies
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp, err := bodies.Answer(r)
			if r.URL.Path == "/start" {
				resp.StatusCode, resp.Header["Location"] = http.StatusFound, x.location
			}
			return resp, err
		})
		_, err := c.Get(t.Context(), "/start")
		e := asAxle(t, err)
		if x.refused {
			assert.Equal(t, axle.CodeBadResponse, e.Code, name)
			assert.Equal(t, http.StatusFound, e.StatusCode(), name)
			assert.Equal(t, "streamed", e.Response.String(), name)
		} else {
			assert.Zero(t, e.StatusCode(), name)
		}
		assert.EqualValues(t, 1, network.Sent.Load(), name)
		assert.Empty(t, bodies.Open(), name)
	}
}

// The request's own check, and the engine's.

func TestRedirect_TheChecksAreAskedOfEveryHopAfterCredentialsAreStripped(t *testing.T) {
	other := newLoopback(t, func(http.ResponseWriter, *http.Request) {})
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{"/": "/second", "/second": other.BaseURL() + "/end"}[r.URL.Path]
		http.Redirect(w, r, to, http.StatusFound)
	})
	var log []string
	check := func(who string) func(next *http.Request, via []*http.Request) error {
		return func(next *http.Request, via []*http.Request) error {
			log = append(log, fmt.Sprintf("%s: %s after %d, %q", who, next.URL.Path, len(via), next.Header.Get("Authorization")))
			next.Header.Set("X-Checked", who)
			return nil
		}
	}
	c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.RedirectPolicyFunc(check("engine"))) })
	resp, err := c.R(t.Context()).SetRedirectCheck(check("request")).SetHeader("Authorization", "own").Get("/")
	require.NoError(t, err)
	assert.Equal(t, []string{
		`engine: /second after 1, "own"`, `request: /second after 1, "own"`, `engine: /end after 2, ""`, `request: /end after 2, ""`,
	}, log)
	assert.Equal(t, "request", resp.Raw().Request.Header.Get("X-Checked"))
}

func TestRedirect_ACheckThatFailsFailsTheCall(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	_, err := c.R(t.Context()).SetRedirectCheck(func(*http.Request, []*http.Request) error { return errBoom }).Get("/302/end")
	require.ErrorIs(t, err, errBoom)
	assert.Nil(t, asAxle(t, err).Response)
	assert.Len(t, server.taken(), 1)

	d := c.Clone().SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.NoRedirectPolicy()) })
	_, err = d.Get(t.Context(), "/302/end")
	require.Error(t, err)
	assert.Len(t, server.taken(), 1)

	resp, err := c.R(t.Context()).SetValidateStatus(nil).
		SetRedirectCheck(func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }).Get("/302/end")
	require.NoError(t, err)
	assert.Equal(t, http.StatusFound, resp.StatusCode)
	assert.Equal(t, "moved", resp.String(), "the redirect is the answer")
}

func TestRedirect_ACheckDoesNotLiftTheLimitOrTheSchemes(t *testing.T) {
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, http.StatusFound, "")
		resp.Header.Set("Location", r.URL.Query().Get("to"))
		return resp, nil
	})
	allow := func(*http.Request, []*http.Request) error { return nil }
	c.SetEngine(func(rc *resty.Client) { rc.SetRedirectPolicy(resty.FlexibleRedirectPolicy(100)) })
	_, err := c.R(t.Context()).SetRedirectCheck(allow).Get("/?to=%3Fto=%253F")
	require.ErrorIs(t, err, axle.CodeBadResponse, "the last has no Location")
	_, err = c.R(t.Context()).SetRedirectCheck(allow).Get("/?to=ftp://x.test")
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	network.Sent.Store(0)
	network.Answer = func(r *http.Request) (*http.Response, error) {
		resp := reply(r, http.StatusFound, "")
		resp.Header.Set("Location", "/again")
		return resp, nil
	}
	_, err = c.R(t.Context()).SetRedirectCheck(allow).Get("/")
	require.ErrorIs(t, err, axle.CodeTooManyRedirects)
	assert.EqualValues(t, axle.MaxRedirects+1, network.Sent.Load())
}

// What the call sees of it.

func TestRedirect_TheChainsRunOnceAndSeeTheLastAnswer(t *testing.T) {
	server := new(hops)
	c := newLoopback(t, server.ServeHTTP)
	var log callTrace
	log.onRequest(c, "request")
	log.onResponse(c, "response")
	resp, err := c.Get(t.Context(), "/301/302/end")
	require.NoError(t, err)
	assert.Equal(t, []string{"request", "response"}, log.taken())
	assert.Equal(t, "/301/302/end", resp.Request.URL, "the caller's request")
	assert.Equal(t, "/end", resp.Raw().Request.URL.Path, "the one that was answered")
	assert.Len(t, server.taken(), 3)
}

func TestRedirect_CookiesThatItSetsAreSentOnTheNextHop(t *testing.T) {
	var got string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.SetCookie(w, &http.Cookie{Name: "n", Value: "1"})
			http.Redirect(w, r, "/end", http.StatusSeeOther)
			return
		}
		got = r.Header.Get("Cookie")
	})
	_, err := c.Post(t.Context(), "/", "login")
	require.NoError(t, err)
	assert.Equal(t, "n=1", got)
}

func TestRedirect_TheTimeLimitIsOfTheWholeDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(400 * time.Millisecond):
			case <-r.Context().Done():
				return nil, context.Cause(r.Context())
			}
			resp := reply(r, http.StatusFound, "")
			resp.Header.Set("Location", "/again")
			return resp, nil
		})
		began := time.Now()
		_, err := c.SetTimeout(time.Second).Get(context.Background(), "/")
		require.ErrorIs(t, err, axle.CodeTimeout)
		assert.NotErrorIs(t, err, axle.CodeTooManyRedirects)
		assert.Equal(t, time.Second, time.Since(began))
		assert.EqualValues(t, 3, network.Sent.Load())
	})
}

func TestError_ALocationThatDoesNotParseKeepsItsSecrets(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://h.test/%zz?token=s3cret")
		w.WriteHeader(http.StatusFound)
	})
	_, err := c.Get(t.Context(), "/")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}

// frame is one HTTP/2 frame (RFC 9113 §4.1).
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
	return append(head, payload...)
}

// newGoAwayServer is an HTTP/2 server that reads so many bytes of a request and then takes its leave, having processed nothing.
func newGoAwayServer(t *testing.T, read int64) (url string, config *tls.Config) {
	t.Helper()
	plain := httptest.NewUnstartedServer(nil)
	plain.StartTLS() // for its certificate
	t.Cleanup(plain.Close)
	config = plain.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // httptest's is one

	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: plain.TLS.Certificates, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err == nil {
			answerGoAway(conn, read)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-served })
	return "https://" + listener.Addr().String(), config
}

func answerGoAway(conn net.Conn, read int64) {
	defer conn.Close()
	const window = 1<<31 - 1
	increment := uint32(window - 65535)
	_, _ = conn.Write(frame(4, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff)) // SETTINGS_INITIAL_WINDOW_SIZE
	_, _ = conn.Write(frame(8, 0, 0, byte(increment>>24), byte(increment>>16), byte(increment>>8), byte(increment)))
	_, _ = conn.Write(frame(4, 1, 0)) // SETTINGS, acknowledged
	if _, err := io.CopyN(io.Discard, conn, read); err != nil {
		return
	}
	_, _ = conn.Write(frame(7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)) // GOAWAY, last stream 0, no error
	_, _ = io.Copy(io.Discard, conn)
}

func TestError_ABodyThatATransportCannotSendAgainIsANetworkErrorWithTheReason(t *testing.T) {
	const large = axle.ReplayLimit + 1<<20
	for name, newBody := range map[string]func() any{
		"a stream":         func() any { return io.MultiReader(&bulk{left: large}) },
		"a multipart form": func() any { return axle.NewMultipart().File("f", "f", io.MultiReader(&bulk{left: large})) },
	} {
		for _, behind := range []bool{false, true} {
			url, config := newGoAwayServer(t, large-1000)
			transport := axle.DefaultTransport()
			transport.TLSClientConfig = config
			c := newClient().SetTransport(transport)
			var seen *axle.Error
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { seen = err; return nil, err })

			var err error
			body := newBody()
			if reader, ok := body.(io.Reader); ok && behind {
				_, err = c.HTTPClient().Do(newRequest(t, "POST", url, reader)) //nolint:bodyclose // there is none
			} else {
				_, err = c.Post(t.Context(), url, body)
			}
			transport.CloseIdleConnections()
			require.Error(t, err, name)
			assert.Equal(t, axle.CodeNetwork, seen.Code, "%s: %v", name, err)
			require.ErrorIs(t, err, axle.ErrBodyConsumed, name)
			require.NotErrorIs(t, err, axle.CodeBadOption, name)
			assert.NotNil(t, seen.Request, name)
		}
	}
}

// bulk yields many bytes at a time.
type bulk struct{ left int }

func (b *bulk) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func TestError_ABodyThatCannotBeSentAgainOverAnOldConnectionIsANetworkError(t *testing.T) {
	const large = axle.ReplayLimit + 1<<20
	for _, behind := range []bool{false, true} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan struct{})
		go func() { // it answers one request on each connection, and hangs up on the next
			defer close(served)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				reader := bufio.NewReader(conn)
				if r, err := http.ReadRequest(reader); err == nil && r.Method == http.MethodGet {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					_, _ = io.CopyN(io.Discard, reader, large)
				}
				_ = conn.Close()
			}
		}()

		transport := axle.DefaultTransport()
		c := newClient().SetBaseURL("http://" + listener.Addr().String()).SetTransport(transport)
		var seen *axle.Error
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { seen = err; return nil, err })
		_, err = c.Get(t.Context(), "/")
		require.NoError(t, err)
		body := io.MultiReader(&bulk{left: 4 * large})
		if behind {
			r := newRequest(t, "POST", c.BaseURL()+"/", body)
			r.Header.Set("Idempotency-Key", "k")
			_, err = c.HTTPClient().Do(r) //nolint:bodyclose // there is none
		} else {
			_, err = c.Post(t.Context(), "/", body, func(r *axle.Request) { r.SetHeader("Idempotency-Key", "k") })
		}
		require.Error(t, err)
		require.NotNil(t, seen)
		assert.Equal(t, axle.CodeNetwork, seen.Code, "%v", err)

		transport.CloseIdleConnections()
		_ = listener.Close()
		<-served
	}
}

func TestRedirect_ABodyThatIsSpentIsStillABadOption(t *testing.T) {
	const large = axle.ReplayLimit + 1<<20
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	_, err := c.Post(context.Background(), "/", io.MultiReader(&bulk{left: large}))
	assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%v", err)
	assert.ErrorIs(t, err, axle.ErrBodyConsumed)
}
