package bridge_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	{"a trailer is announced before the body is read", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		resp, err := c.Do(newRequest(t, "GET", url, nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		report("before: %v", resp.Trailer)
		_, err = io.Copy(io.Discard, resp.Body)
		report("after: %v %v", resp.Trailer, err)
	}},
	{"a trailer behind a body of a known length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Late", "42")
	}, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
		bridgeDo(t, c, newRequest(t, "GET", url, nil), report)
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
			report("read %d", read.N.Load())
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
	{"Upgrade", echoUpgrade, func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
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
		bridgeDo(t, c, newRequest(t, "POST", url, &endless{Left: 64 << 20}), report)
	}},
	{"64 MB down", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, &endless{Left: 64 << 20}) },
		func(t *testing.T, c *http.Client, url string, report func(string, ...any)) {
			resp, err := c.Do(newRequest(t, "GET", url, nil))
			require.NoError(t, err)
			defer resp.Body.Close()
			sum := sha256.New()
			n, err := io.Copy(sum, resp.Body)
			report("%d %x %v", n, sum.Sum(nil), err)
		}},
}
