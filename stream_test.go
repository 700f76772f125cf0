package axle_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestAdvisory_ResponseLimitsHoldForEveryKindOfBody(t *testing.T) {
	const limit = 10_000
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		body := bytes.Repeat([]byte("x"), n)
		kind := r.URL.Query().Get("kind")
		if strings.HasPrefix(kind, "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = zip.Write(body)
			_ = zip.Close()
			return
		}
		status := http.StatusOK
		switch kind {
		case "length":
			w.Header().Set("Content-Length", strconv.Itoa(n))
		case "refused":
			status = http.StatusBadRequest
		}
		w.WriteHeader(status)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(body)
	})
	c.SetResponseLimit(limit)
	for _, kind := range []string{"length", "chunked", "gzip", "gzip, asked for", "refused"} {
		for _, how := range []string{"buffered", "streamed", "in a handler", "decoded", "the bridge"} {
			for _, n := range []int{0, limit - 1, limit, limit + 1, 100 * limit} {
				var edits []func(*axle.Request)
				if kind == "gzip, asked for" {
					edits = append(edits, func(r *axle.Request) { r.SetHeader("Accept-Encoding", "gzip") })
				}
				if how == "the bridge" && kind == "gzip, asked for" {
					continue // it is the http.Client's to decompress
				}
				target := "/?kind=" + url.QueryEscape(kind) + "&n=" + strconv.Itoa(n)
				length, err := readBody(t, c.Clone(), target, how, edits)
				name := kind + ", " + how + ", " + strconv.Itoa(n)
				if n <= limit {
					if kind == "refused" && how != "the bridge" {
						require.ErrorIs(t, err, axle.CodeBadRequest, name)
					} else {
						require.NoError(t, err, name)
					}
					assert.Equal(t, n, length, name)
					continue
				}
				require.ErrorIs(t, err, axle.CodeTooLarge, name)
				assert.LessOrEqual(t, length, limit, name)
				if kind == "refused" && how != "the bridge" {
					require.ErrorIs(t, err, axle.CodeBadRequest, "%s: and the status is not forgotten", name)
					assert.Equal(t, 400, asAxle(t, err).StatusCode(), name)
				} else {
					require.NotErrorIs(t, err, axle.CodeBadResponse, "%s: an accepted status is no failure", name)
				}
			}
		}
	}
}

// readBody reads an answer's body in one of the ways there are, and returns how much of it there was.
func readBody(t *testing.T, c *axle.Client, target, how string, edits []func(*axle.Request)) (int, error) {
	t.Helper()
	length := func(resp *axle.Response, err error) (int, error) {
		var e *axle.Error
		if errors.As(err, &e) && e.Response != nil {
			return len(e.Response.Bytes()), err
		}
		if err != nil {
			return 0, err
		}
		return len(resp.Bytes()), nil
	}
	switch how {
	case "streamed":
		resp, err := c.R(t.Context()).With(edits...).SetStream(true).Get(target)
		if err != nil {
			return length(nil, err)
		}
		defer resp.Stream().Close()
		got, err := io.ReadAll(resp.Stream())
		return len(got), err
	case "in a handler":
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { err := resp.Buffer(); return resp, err })
		return length(c.R(t.Context()).With(edits...).SetStream(true).Get(target))
	case "decoded":
		var text string
		_, err := c.R(t.Context()).With(edits...).SetResult(&text).Get(target)
		if err != nil {
			return length(nil, err)
		}
		return len(text), nil
	case "the bridge":
		resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+target, nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return len(got), err
	}
	return length(c.Get(t.Context(), target, edits...))
}

func TestAdvisory_AFalseContentLengthReservesNoMemory(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 200, "short")
		resp.ContentLength = 1 << 40
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/") // or it runs out of memory
	require.NoError(t, err)
	assert.Equal(t, "short", resp.String())
	assert.LessOrEqual(t, cap(resp.Bytes()), 2<<20)
}

// gzip.

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func TestResponse_GzipIsUndoneAlsoWhereTheRequestAskedForIt(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "GZIP")
		_, _ = w.Write(zipped("text"))
	})
	for _, stream := range []bool{false, true} {
		for _, asked := range []string{"", "gzip", "gzip, br"} {
			r := c.R(t.Context()).SetStream(stream)
			if asked != "" {
				r.SetHeader("Accept-Encoding", asked)
			}
			resp, err := r.Get("/")
			require.NoError(t, err)
			require.NoError(t, resp.Buffer())
			assert.Equal(t, "text", resp.String(), "%v %q", stream, asked)
			assert.Empty(t, resp.Header.Get("Content-Encoding"))
			assert.Empty(t, resp.Header.Get("Content-Length"))
		}
	}
}

func TestResponse_GzipThatIsNoneOrCutOffIsAnErrorAndClosed(t *testing.T) {
	whole := zipped(strings.Repeat("text", 1000))
	wrong := bytes.Clone(whole)
	wrong[len(wrong)-5] ^= 1
	for name, x := range map[string]struct {
		body []byte
		code axle.Code
	}{
		"not gzip":       {[]byte("plain text that is no gzip"), axle.CodeBadResponse},
		"cut off":        {whole[:len(whole)/2], axle.CodeBadResponse},
		"wrong checksum": {wrong, axle.CodeBadResponse},
	} {
		body := newWatchedBody(string(x.body))
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := replyWith(r, 200, body)
			resp.Header.Set("Content-Encoding", "gzip")
			return resp, nil
		})
		_, err := c.Get(t.Context(), "/")
		e := asAxle(t, err)
		assert.Equal(t, x.code, e.Code, name)
		require.NotNil(t, e.Response, name)
		assert.EqualValues(t, 1, body.Closed.Load(), name)
	}
}

func TestResponse_GzipOfNoBody(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/204" {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	for _, send := range []func(string) (*axle.Response, error){c.R(t.Context()).Get, c.R(t.Context()).Head, c.R(t.Context()).SetHeader("Accept-Encoding", "gzip").Get} {
		for _, path := range []string{"/", "/204"} {
			resp, err := send(path)
			require.NoError(t, err)
			assert.Empty(t, resp.Bytes())
		}
	}
}

// Every body is closed on every path.

func TestResponseLimit_HoldsForAStreamThatAHandlerSets(t *testing.T) {
	bomb := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(make([]byte, 1000))) }
	c, _ := newFakeClient(always(200, "x"))
	c.SetResponseLimit(10)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		resp.SetStream(bomb()) // as of a decompressor
		err := resp.Buffer()
		return resp, err
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooLarge)

	c, _ = newFakeClient(always(200, "x"))
	useRequest(c.SetResponseLimit(10), func(r *axle.Request) { r.Respond(axle.NewResponse(r, 200, nil, nil).SetStream(bomb())) })
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooLarge)
}

func TestProgress_OfAnUploadAndADownload(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Length", "300000")
		_, _ = w.Write(bytes.Repeat([]byte("x"), 3*len(body)))
	})
	var up, down []axle.Progress
	_, err := c.R(t.Context()).SetBody(strings.Repeat("x", 100_000)).
		OnUploadProgress(func(p axle.Progress) { up = append(up, p) }).
		OnDownloadProgress(func(p axle.Progress) { down = append(down, p) }).Post("/")
	require.NoError(t, err)
	for name, told := range map[string][]axle.Progress{"up": up, "down": down} {
		require.NotEmpty(t, told, name)
		last := told[len(told)-1]
		want := map[string]int64{"up": 100_000, "down": 300_000}[name]
		assert.Equal(t, want, last.Bytes, name)
		assert.Equal(t, want, last.Total, name)
		assert.GreaterOrEqual(t, last.Rate(), 0.0, name)
	}
}

func TestProgress_IsToldTenTimesASecondAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			slow := &slowReader{left: 100, each: 10 * time.Millisecond} // a second in all
			resp := replyWith(r, 200, io.NopCloser(slow))
			resp.ContentLength = 100
			return resp, nil
		})
		var told []axle.Progress
		_, err := c.R(t.Context()).OnDownloadProgress(func(p axle.Progress) { told = append(told, p) }).Get("/")
		require.NoError(t, err)
		require.Len(t, told, 10)
		assert.Equal(t, axle.Progress{Bytes: 10, Total: 100, Time: 100 * time.Millisecond}, told[0])
		assert.Equal(t, axle.Progress{Bytes: 100, Total: 100, Time: time.Second}, told[9])
		assert.InDelta(t, 100, told[9].Rate(), 0.001)
	})
}

// slowReader yields a byte at a time.
type slowReader struct {
	left int
	each time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	time.Sleep(s.each)
	p[0] = 'x'
	return 1, nil
}

func TestProgress_OfACompressedAnswerHasNoTotal(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = zip.Write(bytes.Repeat([]byte("x"), 10_000))
		_ = zip.Close()
	})
	var last axle.Progress
	_, err := c.R(t.Context()).OnDownloadProgress(func(p axle.Progress) { last = p }).Get("/")
	require.NoError(t, err)
	assert.EqualValues(t, 10_000, last.Bytes)
	assert.EqualValues(t, -1, last.Total)
}

func TestProgress_ARateBeforeThereIsOneIsZero(t *testing.T) {
	assert.Zero(t, axle.Progress{Bytes: 5}.Rate())
}
