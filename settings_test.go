package axle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestMethodHeader_StandsBetweenTheDefaultAndTheRequests(t *testing.T) {
	var seen http.Header
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	c.SetHeader("X-A", "default").SetHeader("X-B", "default").SetMethodHeader("post", "x-b", "post").SetMethodHeader("POST", "X-C", "post")
	for _, x := range []struct {
		method  string
		own     string
		a, b, c string
	}{
		{http.MethodGet, "", "default", "default", ""},
		{http.MethodPost, "", "default", "post", "post"},
		{"post", "own", "default", "own", "post"},
	} {
		r := c.R(t.Context())
		if x.own != "" {
			r.SetHeader("X-B", x.own)
		}
		_, err := r.Execute(x.method, "/")
		require.NoError(t, err)
		assert.Equal(t, []string{x.a, x.b, x.c}, []string{seen.Get("X-A"), seen.Get("X-B"), seen.Get("X-C")}, "%+v", x)
	}
}

func TestMethodHeader_OneThatIsSensitiveGoesToTheBaseURLsOriginAlone(t *testing.T) {
	var atOther, atBase string
	other := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { atOther = r.Header.Get("X-Api-Key") })
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { atBase = r.Header.Get("X-Api-Key") })
	c.SetMethodHeader(http.MethodGet, "X-Api-Key", "k")
	_, err := c.Get(t.Context(), other.BaseURL())
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, atOther)
	assert.Equal(t, "k", atBase)
}

func TestMethodHeader_ACloneIsIndependent(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.Header.Get("X-A")), nil })
	c.SetMethodHeader(http.MethodGet, "X-A", "1")
	d := c.Clone().SetMethodHeader(http.MethodGet, "X-A", "2")
	for client, want := range map[*axle.Client]string{c: "1", d: "2"} {
		resp, err := client.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, want, resp.String())
	}
}

func TestBasicAuth_IsWhatAServerReads(t *testing.T) {
	var user, password string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { user, password, _ = r.BasicAuth() })
	_, err := c.R(t.Context()).SetHeader("Authorization", axle.BasicAuth("ada", "pä:ss")).Get("/")
	require.NoError(t, err)
	assert.Equal(t, "ada", user)
	assert.Equal(t, "pä:ss", password)
}

func TestRequestLimit_HoldsForEveryKindOfBody(t *testing.T) {
	big := strings.Repeat("x", 101)
	for name, body := range map[string]func() any{
		"string":    func() any { return big },
		"bytes":     func() any { return []byte(big) },
		"JSON":      func() any { return []string{big} },
		"form":      func() any { return url.Values{"a": {big}} },
		"seeker":    func() any { return strings.NewReader(big) },
		"multipart": func() any { return axle.NewMultipart().Field("a", big) },
	} {
		c, transport := newFakeClient(always(200, ""))
		_, err := c.SetRequestLimit(100).Post(t.Context(), "/", body())
		require.ErrorIs(t, err, axle.CodeTooLarge, name)
		assert.Zero(t, transport.Sent.Load(), "%s: its length is known, nothing is sent", name)
	}
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		assert.Len(t, body, 100)
		return nil, err
	})
	_, err := c.SetRequestLimit(100).Post(t.Context(), "/", io.MultiReader(strings.NewReader(big)))
	require.ErrorIs(t, err, axle.CodeTooLarge, "a stream, when it gets there")

	c, _ = newFakeClient(always(200, ""))
	for name, body := range map[string]any{"string": big[1:], "stream": io.MultiReader(strings.NewReader(big[1:]))} {
		_, err = c.SetRequestLimit(100).Post(t.Context(), "/", body)
		require.NoError(t, err, "%s: exactly the limit", name)
	}
}

func TestAdvisory_RequestLimitsHoldAcrossRedirects(t *testing.T) {
	var lengths []int
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		lengths = append(lengths, len(body))
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusTemporaryRedirect)
		}
	})
	c.SetRequestLimit(100)
	_, err := c.Post(t.Context(), "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 100))))
	require.NoError(t, err)
	assert.Equal(t, []int{100, 100}, lengths)
	_, err = c.Post(t.Context(), "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 101))))
	require.ErrorIs(t, err, axle.CodeTooLarge)
}

func TestMaxRedirects_BoundsThemAndZeroFollowsNone(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		if n > 0 {
			http.Redirect(w, r, "/?n="+strconv.Itoa(n-1), http.StatusFound)
		}
	})
	for _, x := range []struct {
		most, n int
		code    axle.Code
	}{{2, 2, ""}, {2, 3, axle.CodeTooManyRedirects}, {axle.MaxRedirects, axle.MaxRedirects, ""}, {0, 1, axle.CodeBadResponse}} {
		_, err := c.SetMaxRedirects(x.most).Get(t.Context(), "/?n="+strconv.Itoa(x.n))
		if x.code == "" {
			assert.NoError(t, err, "%+v", x)
		} else {
			assert.ErrorIs(t, err, x.code, "%+v", x)
		}
	}
	resp, err := c.SetMaxRedirects(0).R(t.Context()).SetValidateStatus(nil).Get("/?n=1")
	require.NoError(t, err)
	assert.Equal(t, http.StatusFound, resp.StatusCode)
	assert.Equal(t, "/?n=0", resp.Header.Get("Location"))
}

func TestAllowAbsoluteURLs_Off(t *testing.T) {
	c, transport := newFakeClient(always(200, ""))
	c.SetAllowAbsoluteURLs(false)
	_, err := c.Get(t.Context(), "http://axle.test/a")
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	assert.Zero(t, transport.Sent.Load())
	_, err = c.Get(t.Context(), "/a")
	require.NoError(t, err)
	_, err = c.SetAllowAbsoluteURLs(true).Get(t.Context(), "http://axle.test/a")
	require.NoError(t, err)
}

func TestXSRF_TheCookieIsSentInAHeaderToTheSameOriginAlone(t *testing.T) {
	var atEvil []http.Header
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { atEvil = append(atEvil, r.Header) }))
	defer evil.Close()
	var seen http.Header
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		switch r.URL.Path {
		case "/login":
			http.SetCookie(w, &http.Cookie{Name: "XSRF-TOKEN", Value: "x1", Path: "/"})
		case "/away":
			http.Redirect(w, r, evil.URL, http.StatusTemporaryRedirect)
		}
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	c.SetCookieJar(jar).SetXSRF("XSRF-TOKEN", "x-xsrf-custom")
	get := func(url string, edits ...func(*axle.Request)) {
		t.Helper()
		_, err := c.Get(t.Context(), url, edits...)
		require.NoError(t, err)
	}
	get("/login")
	assert.Empty(t, seen.Get("X-Xsrf-Custom"), "there is no cookie yet")
	get("/")
	assert.Equal(t, "x1", seen.Get("X-Xsrf-Custom"))
	get("/", func(r *axle.Request) { r.SetHeader("X-Xsrf-Custom", "own") })
	assert.Equal(t, "own", seen.Get("X-Xsrf-Custom"))
	get(evil.URL)
	get("/away")
	require.Len(t, atEvil, 2)
	for _, header := range atEvil {
		assert.Empty(t, header.Get("X-Xsrf-Custom"), "CVE-2023-45857")
	}
	c.SetXSRF("", "")
	get("/")
	assert.Empty(t, seen.Get("X-Xsrf-Custom"))
}

func TestXSRF_TheEscapesOfTheCookieAreUndoneAsInAxios(t *testing.T) {
	for value, token := range map[string]string{
		"eyJ%3D%3D": "eyJ==", "a+b": "a+b", "100%": "100%", "a%0D%0AX-Evil:%201": "a%0D%0AX-Evil:%201", "a%00": "a%00",
	} {
		c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "XSRF-TOKEN", Value: value})
			w.Header().Set("X-Got", r.Header.Get("X-Xsrf-Token"))
		}).SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN")
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, token, resp.Header.Get("X-Got"))
	}
}

func TestJSON_ACodecOfOnesOwn(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	c.SetJSON(
		func(v any) ([]byte, error) { b, err := json.Marshal(v); return append([]byte("//\n"), b...), err },
		func(data []byte, v any) error { return json.Unmarshal(bytes.TrimPrefix(data, []byte("//\n")), v) })
	got, err := axle.Post[[]int](t.Context(), c, "/", []int{1, 2})
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, got)
	_, err = axle.Post[[]int](t.Context(), c, "/", make(chan int))
	require.ErrorIs(t, err, axle.CodeBadOption)
	_, err = axle.Post[[]int](t.Context(), c, "/", "not JSON")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	_, err = axle.Post[[]int](t.Context(), c.SetJSON(nil, nil), "/", []int{3})
	require.NoError(t, err, "nil is encoding/json")
}

func TestBadInput_Settings(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*axle.Client)
		says string
	}{
		"timeout":        {func(c *axle.Client) { c.SetTimeout(-1) }, "timeout is negative"},
		"response limit": {func(c *axle.Client) { c.SetResponseLimit(-1) }, "response limit is negative"},
		"request limit":  {func(c *axle.Client) { c.SetRequestLimit(-1) }, "request limit is negative"},
		"redirects":      {func(c *axle.Client) { c.SetMaxRedirects(-1) }, "redirects is negative"},
		"XSRF header":    {func(c *axle.Client) { c.SetXSRF("cookie", "") }, "SetXSRF"},
		"XSRF cookie":    {func(c *axle.Client) { c.SetXSRF("", "X-Xsrf") }, "SetXSRF"},
		"header name":    {func(c *axle.Client) { c.SetMethodHeader(http.MethodGet, "a b", "x") }, `"a b"`},
		"header value":   {func(c *axle.Client) { c.SetMethodHeader(http.MethodGet, "X-A", "a\nb") }, "X-A"},
	} {
		client, transport := newFakeClient(always(200, ""))
		c.set(client)
		_, err := client.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.ErrorContains(t, err, c.says, name)
		assert.Zero(t, transport.Sent.Load(), name)
	}
}

func TestSaveFile_WholeOrNotAtAll(t *testing.T) {
	var fail bool
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "11")
		_, _ = io.WriteString(w, "hello")
		if fail {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, " world")
	})
	for name, stream := range map[string]bool{"buffered": false, "streamed": true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		require.NoError(t, os.WriteFile(path, []byte("before"), 0o600))
		get := func() (*axle.Response, error) { return c.R(t.Context()).SetStream(stream).Get("/") }
		if fail = true; stream {
			resp, err := get()
			require.NoError(t, err)
			err = resp.SaveFile(path)
			require.ErrorIs(t, err, axle.CodeNetwork, name)
			assert.Equal(t, http.StatusOK, asAxle(t, err).StatusCode())
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, "before", string(kept), name)
		}
		fail = false
		resp, err := get()
		require.NoError(t, err)
		require.NoError(t, resp.SaveFile(path), name)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "hello world", string(got), name)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, 1, "%s: nothing else is left there", name)
	}
}

func TestSaveFile_WhereNothingCanBeWritten(t *testing.T) {
	c, _ := newFakeClient(always(200, "x"))
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	err = resp.SaveFile(filepath.Join(t.TempDir(), "missing", "file"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, isAxle := errors.AsType[*axle.Error](err)
	assert.False(t, isAxle, "it is the disk's error, not the call's")
}
