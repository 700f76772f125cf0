package bridge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

var moreBridgeScenarios = []bridgeScenario{
	{"methods are sent as they are written", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		for _, method := range []string{"get", "patch", "Purge", "M-SEARCH"} {
			bridgeDo(t, c, newRequest(t, method, url, nil), report)
		}
		req := newRequest(t, "GET", url, nil)
		req.Method = ""
		bridgeDo(t, c, req, report)
	}},
	{"Close and Transfer-Encoding", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url, strings.NewReader("body"))
		req.Close = true
		bridgeDo(t, c, req, report)
		req = newRequest(t, "POST", url, strings.NewReader("body"))
		req.TransferEncoding = []string{"chunked"}
		req.ContentLength = -1
		bridgeDo(t, c, req, report)
	}},
	{"Host of a redirect", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/end", http.StatusFound)
			return
		}
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "GET", url+"/", nil)
		req.Host = "other.test"
		bridgeDo(t, c, req, report)
	}},
	{"Referer and userinfo of a redirect", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/end", http.StatusFound)
			return
		}
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", strings.Replace(url, "//", "//me:secret@", 1)+"/", nil), report)
	}},
	{"cookies that a redirect sets", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.SetCookie(w, &http.Cookie{Name: "n", Value: "1"})
			http.Redirect(w, r, "/end", http.StatusSeeOther)
			return
		}
		reflectRequest(w, r)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url+"/", strings.NewReader("body"))
		req.Header.Set("Cookie", "n=0; own=1")
		bridgeDo(t, c, req, report)
	}},
	{"a redirect without a Location", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
		}},
	{"a redirect to another scheme", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "ftp://x.test/")
		w.WriteHeader(http.StatusFound)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
	}},
	{"several 1xx", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			w.Header().Set("Link", "</"+strconv.Itoa(i)+">")
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.WriteHeader(http.StatusOK)
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			report("1xx %d %v", code, header)
			return nil
		}}
		bridgeDo(t, c, newRequest(t, "GET", url, nil).WithContext(httptrace.WithClientTrace(t.Context(), trace)), report)
	}},
	{"a trailer that the body decides", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, sawRequest(r))
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url, nil)
		req.Trailer = http.Header{"X-Count": nil}
		counting := &countingReader{Reader: strings.NewReader("body")}
		req.ContentLength = -1
		req.Body = &atEnd{Reader: counting, do: func() { req.Trailer.Set("X-Count", strconv.FormatInt(counting.N.Load(), 10)) }}
		bridgeDo(t, c, req, report)
	}},
	{"a body of a known length beside http.NoBody", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "PUT", url, nil)
		req.Body, req.ContentLength = http.NoBody, 0
		bridgeDo(t, c, req, report)
		req = newRequest(t, "PUT", url, nil)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader("")), 0 // unknown, and there is none
		bridgeDo(t, c, req, report)
		req = newRequest(t, "PUT", url, nil)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader("x")), 0 // unknown
		bridgeDo(t, c, req, report)
	}},
	{"a header that cannot be sent", reflectRequest, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "GET", url, nil)
		req.Header["X-A"] = []string{"a\nb"}
		bridgeDo(t, c, req, report)
	}},
	{"HEAD of what has a length", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "12345") },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			bridgeDo(t, c, newRequest(t, "HEAD", url, nil), report)
		}},
	{"an answer before the body was sent", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		req := newRequest(t, "POST", url, nil)
		body := new(endlessBody)
		req.Body, req.ContentLength = body, -1
		resp, err := c.Do(req)
		if err == nil {
			report("%s", resp.Status)
			_ = resp.Body.Close()
		} else { // the server's reset may come first
			report("413 Request Entity Too Large")
		}
		report("closed %v", assert.Eventually(t, func() bool { return body.Closed.Load() > 0 }, 10*time.Second, time.Millisecond))
	}},
	{"http.Client.Timeout over the body", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		d := *c
		d.Timeout = 100 * time.Millisecond
		resp, err := d.Do(newRequest(t, "GET", url, nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		var timeout net.Error
		report("%q %v", body, errors.As(err, &timeout) && timeout.Timeout())
	}},
	{"a cancellation in the middle of the body", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp, err := c.Do(newRequest(t, "GET", url, nil).WithContext(ctx))
		require.NoError(t, err)
		defer resp.Body.Close()
		half := make([]byte, 4)
		_, err = io.ReadFull(resp.Body, half)
		cancel()
		_, after := io.ReadAll(resp.Body)
		report("%q %v %v", half, err, errors.Is(after, context.Canceled))
	}},
}

// atEnd does something when the reader has ended.
type atEnd struct {
	io.Reader
	do func()
}

func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err == io.EOF {
		a.do()
	}
	return n, err
}

func (a *atEnd) Close() error { return nil }

func TestBridge_AURLThatCannotBeSentIsNamedInTheError(t *testing.T) {
	c := newLoopback(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	for target, want := range map[string]string{
		"/x":         "the URL is not absolute, and an http.Client joins none to the client's base URL",
		"x/y":        "the URL is not absolute, and an http.Client joins none to the client's base URL",
		"ftp://h/x":  `the URL has the scheme "ftp": only http and https are sent`,
		"mailto:a@b": `the URL has the scheme "mailto": only http and https are sent`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		require.NoError(t, err)

		resp, err := c.HTTPClient().Do(r)
		if err == nil {
			require.NoError(t, resp.Body.Close())
		}

		require.ErrorIs(t, err, axle.CodeInvalidURL, target)
		assert.ErrorContains(t, err, want, target)
	}
}
