package axle_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// overBothProtocols runs a test over HTTP/1.1 and over HTTP/2.
func overBothProtocols(t *testing.T, handler http.HandlerFunc, run func(t *testing.T, c *axle.Client)) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP 1.1", true: "HTTP 2"}[h2], func(t *testing.T) {
			server := httptest.NewUnstartedServer(handler)
			server.EnableHTTP2 = h2
			server.StartTLS()
			defer server.Close()
			transport, ok := server.Client().Transport.(*http.Transport)
			require.True(t, ok)
			defer transport.CloseIdleConnections()
			run(t, newClient().SetBaseURL(server.URL).SetTransport(transport))
		})
	}
}

func TestContentLength_OfAReaderIsSentAndHeldTo(t *testing.T) {
	var complete atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			complete.Add(1)
		}
		w.Header().Set("X-Got", strconv.FormatInt(r.ContentLength, 10)+" "+strings.Join(r.TransferEncoding, ",")+" "+strconv.Itoa(len(body)))
	}
	overBothProtocols(t, handler, func(t *testing.T, c *axle.Client) {
		engine := c.Clone().SetEngine(func(rc *resty.Client) { rc.SetHeader("X-Engine", "1") })
		for _, x := range []struct {
			bytes, declared int
			says            string
		}{
			{5, 5, ""},
			{0, 0, ""},
			{1, 0, "more bytes than its Content-Length, 0"},
			{6, 5, "more bytes than its Content-Length, 5"},
			{4, 5, "1 bytes less than its Content-Length, 5"},
			{0, 5, "5 bytes less than its Content-Length, 5"},
			{100_000, 100_000, ""},
			{100_001, 100_000, "more bytes than its Content-Length"},
			{99_999, 100_000, "less than its Content-Length"},
			{3 << 20, 3 << 20, ""},
		} {
			text := strings.Repeat("x", x.bytes)
			for kind, body := range map[string]func() any{
				"a stream":      func() any { return opaque(text) },
				"a slow stream": func() any { return &drippingReader{data: []byte(text)} },
				"a multipart form": func() any {
					return axle.NewMultipart().FileOf("", "f", "", opaque(text))
				},
			} {
				for _, client := range []*axle.Client{c, engine} {
					declared := x.declared
					if kind == "a multipart form" {
						declared += multipartOverhead(t)
					}
					complete.Store(0)
					resp, err := client.R(t.Context()).SetBody(body()).SetHeader("Content-Length", strconv.Itoa(declared)).Put("/")
					if x.says != "" {
						assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%s: %+v: %v", kind, x, err)
						if kind != "a multipart form" {
							require.ErrorContains(t, err, x.says, kind)
						}
						assert.Zero(t, complete.Load(), "the server takes no wrong body for a whole one")
						continue
					}
					require.NoError(t, err, "%s: %+v", kind, x)
					assert.Equal(t, strconv.Itoa(declared)+"  "+strconv.Itoa(declared), resp.Header.Get("X-Got"), kind)
				}
			}
		}
	})
}

// multipartOverhead is what a form of one part "f" has beside the content.
func multipartOverhead(t *testing.T) int {
	t.Helper()
	var length int64
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		length = r.ContentLength
		return reply(r, 200, ""), nil
	})
	_, err := c.Post(t.Context(), "/", axle.NewMultipart().FileOf("", "f", "", strings.NewReader("")))
	require.NoError(t, err)
	return int(length)
}

// drippingReader yields a few bytes at a time, and its end by itself.
type drippingReader struct{ data []byte }

func (s *drippingReader) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), max(len(s.data)/7, 1))], s.data)
	s.data = s.data[n:]
	return n, nil
}

func TestContentLength_HoldsForReplaysAndRedirects(t *testing.T) {
	var lengths []int64
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		lengths = append(lengths, r.ContentLength)
		switch {
		case r.URL.Path == "/redirect":
			w.Header().Set("Location", "/there")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case len(lengths) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	for _, path := range []string{"/replay", "/redirect"} {
		lengths = nil
		_, err := c.R(t.Context()).SetBody(opaque("12345")).SetHeader("Content-Length", "5").Put(path)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(lengths), 2, path)
		for _, length := range lengths {
			assert.EqualValues(t, 5, length, path)
		}
	}
}

func TestContentLength_OfAnEmptyBodyIsZeroAlsoAfterARedirect(t *testing.T) {
	var lengths []int64
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		lengths = append(lengths, r.ContentLength)
		if r.URL.Path == "/redirect" {
			w.Header().Set("Location", "/there")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	_, err := c.Put(t.Context(), "/redirect", "")
	require.NoError(t, err)
	assert.Equal(t, []int64{0, 0}, lengths)
}

func TestContentLength_AReaderOfNoBytesIsClosedThoughItIsNotSent(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	body := newWatchedBody("")
	_, err := c.R(t.Context()).SetBody(body).SetHeader("Content-Length", "0").Put("/")
	require.NoError(t, err)
	assert.True(t, body.IsClosed())
}

func TestContentLength_OneThatIsNoneOrContradictsAKnownLengthIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for _, x := range []struct {
		body    any
		lengths []string
		refused bool
	}{
		{"12345", []string{"5"}, false},
		{"12345", []string{"4"}, true},
		{"12345", []string{"6"}, true},
		{[]byte("12345"), []string{"0"}, true},
		{bytes.NewBufferString("12345"), []string{"5"}, false},
		{strings.NewReader("12345"), []string{"7"}, true},
		{map[string]int{"a": 1}, []string{"7"}, false},
		{map[string]int{"a": 1}, []string{"8"}, true},
		{nil, []string{"0"}, false},
		{nil, []string{"5"}, true},
		{axle.NewMultipart().Field("a", "1"), []string{"1"}, true},
		{opaque("12345"), []string{"five"}, true},
		{opaque("12345"), []string{"-1"}, true},
		{opaque("12345"), []string{"+5"}, true},
		{opaque("12345"), []string{" 5"}, true},
		{opaque("12345"), []string{""}, true},
		{opaque("12345"), []string{"5.0"}, true},
		{opaque("12345"), []string{"0x5"}, true},
		{opaque("12345"), []string{"5, 5"}, true},
		{opaque("12345"), []string{"5", "5"}, true},
		{opaque("12345"), []string{"5", "6"}, true},
		{opaque("12345"), []string{"9223372036854775808"}, true},
	} {
		var sent int64
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			sent = r.ContentLength
			_, err := io.Copy(io.Discard, r.Body)
			return reply(r, 200, ""), err
		})
		if x.body == nil {
			network.Answer = always(200, "")
		}
		r := c.R(t.Context()).SetBody(x.body)
		r.Header["Content-Length"] = x.lengths
		_, err := r.Put("/")
		if !x.refused {
			require.NoError(t, err, "%T, %q", x.body, x.lengths)
			if x.body != nil {
				assert.Equal(t, x.lengths[0], strconv.FormatInt(sent, 10))
			}
			continue
		}
		assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%T, %q", x.body, x.lengths)
		require.ErrorContains(t, err, "Content-Length")
		assert.Zero(t, network.Sent.Load())
	}
}

func TestContentLength_ARequestLimitIsJudgedByIt(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	_, err := c.SetRequestLimit(4).R(t.Context()).SetBody(opaque("12345")).SetHeader("Content-Length", "5").Put("/")
	require.ErrorIs(t, err, axle.CodeTooLarge)
	assert.Zero(t, network.Sent.Load())
}

func TestContentLength_BehindTheBridgeTheRequestsOwnFieldSaysIt(t *testing.T) {
	var got int64
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.ContentLength
	})
	hc := c.HTTPClient()
	for _, x := range []struct {
		field  int64
		header string
		want   int64
	}{{5, "", 5}, {5, "7", 5}, {-1, "5", -1}, {-1, "none", -1}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.BaseURL(), opaque("12345"))
		require.NoError(t, err)
		r.ContentLength = x.field
		if x.header != "" {
			r.Header.Set("Content-Length", x.header)
		}
		resp, err := hc.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, x.want, got, "%+v", x)
	}
}
