package axle_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// A toy encoding, "hex": two digits for each byte. It counts what is opened and closed. test/encodings has br and zstd.
type hexEncoding struct{ opened, closed atomic.Int64 }

func (e *hexEncoding) open(r io.Reader) (io.ReadCloser, error) {
	e.opened.Add(1)
	return &hexReader{encoding: e, source: r}, nil
}

type hexReader struct {
	encoding *hexEncoding
	source   io.Reader
}

func (h *hexReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var digits [2]byte
	if _, err := io.ReadFull(h.source, digits[:]); err != nil {
		return 0, err
	}
	b, err := strconv.ParseUint(string(digits[:]), 16, 8)
	p[0] = byte(b)
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (h *hexReader) Close() error {
	h.encoding.closed.Add(1)
	return nil
}

func hexed(text string) []byte {
	var out []byte
	for _, b := range []byte(text) {
		out = append(out, strconv.FormatUint(uint64(b)>>4, 16)+strconv.FormatUint(uint64(b)&15, 16)...)
	}
	return out
}

func deflated(text string, zlibs bool) []byte {
	var b bytes.Buffer
	var w io.WriteCloser = zlib.NewWriter(&b)
	if !zlibs {
		w, _ = flate.NewWriter(&b, flate.DefaultCompression)
	}
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

// encoded answers with a body that is encoded already.
func encoded(body []byte, encodings ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Encoding"] = encodings
		_, _ = w.Write(body)
	}
}

// Which encodings are asked for.

func TestDecompressor_AcceptEncodingNamesWhatTheClientUndoes(t *testing.T) {
	hex := new(hexEncoding)
	none := func(*axle.Client) {}
	for name, x := range map[string]struct {
		set    func(c *axle.Client)
		method string
		edit   func(*axle.Request)
		want   string
	}{
		"what is built in":            {none, "GET", nil, "gzip, deflate"},
		"one of one's own":            {func(c *axle.Client) { c.SetDecompressor("Hex", hex.open) }, "GET", nil, "gzip, deflate, hex"},
		"two of one's own":            {func(c *axle.Client) { c.SetDecompressor("hex", hex.open).SetDecompressor("a", hex.open) }, "GET", nil, "gzip, deflate, hex, a"},
		"one that is replaced":        {func(c *axle.Client) { c.SetDecompressor("hex", hex.open).SetDecompressor("HEX", hex.open) }, "GET", nil, "gzip, deflate, hex"},
		"one that was removed":        {func(c *axle.Client) { c.SetDecompressor("hex", hex.open).SetDecompressor("hex", nil) }, "GET", nil, "gzip, deflate"},
		"one that never was":          {func(c *axle.Client) { c.SetDecompressor("hex", nil) }, "GET", nil, "gzip, deflate"},
		"a built-in one of one's own": {func(c *axle.Client) { c.SetDecompressor("x-gzip", hex.open) }, "POST", nil, "gzip, deflate"},
		"the request's own header":    {func(c *axle.Client) { c.SetDecompressor("hex", hex.open) }, "GET", axle.WithHeader("accept-encoding", "br;q=0.5"), "br;q=0.5"},
		"the client's own header":     {func(c *axle.Client) { c.SetDecompressor("hex", hex.open).SetHeader("Accept-Encoding", "hex") }, "GET", nil, "hex"},
		"a Range":                     {func(c *axle.Client) { c.SetDecompressor("hex", hex.open) }, "GET", axle.WithHeader("Range", "bytes=0-1"), ""},
		"a HEAD":                      {func(c *axle.Client) { c.SetDecompressor("hex", hex.open) }, "HEAD", nil, ""},
		"a transport that compresses nothing": {func(c *axle.Client) {
			c.SetTransport(&http.Transport{DisableCompression: true, DisableKeepAlives: true})
		}, "GET", nil, ""},
		"one's own over such a transport": {func(c *axle.Client) {
			c.SetTransport(&http.Transport{DisableCompression: true, DisableKeepAlives: true}).SetDecompressor("hex", hex.open)
		}, "GET", nil, "gzip, deflate, hex"},
	} {
		asked := "nobody"
		c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.Header.Get("Accept-Encoding") })
		x.set(c)
		_, err := c.R(t.Context()).With(x.edit).Execute(x.method, "/")
		require.NoError(t, err, name)
		assert.Equal(t, x.want, asked, name)
	}
}

func TestDecompressor_ATransportOfOnesOwnIsAskedForTheEncodingsThatWereSet(t *testing.T) {
	hex := new(hexEncoding)
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 200, string(hexed("text")))
		resp.Header.Set("Content-Encoding", "hex")
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, resp.Raw().Request.Header["Accept-Encoding"], "it may undo gzip itself")
	assert.Equal(t, string(hexed("text")), resp.String())

	resp, err = c.SetDecompressor("hex", hex.open).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "gzip, deflate, hex", resp.Raw().Request.Header.Get("Accept-Encoding"))
	assert.Equal(t, "text", resp.String())
}

// What is undone.

func TestDecompressor_DeflateIsUndoneInBothOfItsFormats(t *testing.T) {
	texts := []string{"a", "text", strings.Repeat("text", 10_000), `{"id":1}`}
	for _, zlibs := range []bool{true, false} {
		for _, text := range texts {
			overEachProtocol(t, encoded(deflated(text, zlibs), "Deflate"), func(t *testing.T, c *axle.Client) {
				for _, stream := range []bool{false, true} {
					resp, err := c.R(t.Context()).SetStream(stream).Get("/")
					require.NoError(t, err)
					require.NoError(t, resp.Buffer())
					assert.Equal(t, text, resp.String())
					assert.Empty(t, resp.Header["Content-Encoding"])
					assert.Empty(t, resp.Header["Content-Length"])
				}
			})
		}
	}

	// A bare deflate stream may store its bytes as they are, at every level there is.
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, level)
		require.NoError(t, err)
		_, _ = io.WriteString(w, "text")
		require.NoError(t, w.Close())
		c := newLoopback(t, encoded(b.Bytes(), "deflate"))
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err, level)
		assert.Equal(t, "text", resp.String(), level)
	}
}

// RFC 1951 §3.2.4: a block that stores its bytes begins with its type, its length, and the inverse
// of its length.
func TestDecompressor_ABareDeflateStreamMayBeginAlmostAsZlibsDoes(t *testing.T) {
	const empty = "\x01\x00\x00\xff\xff" // the last block
	for name, x := range map[string]struct{ body, text string }{
		"two bytes that are a multiple of 31": {"\x01\x17\x00\xe8\xff" + strings.Repeat("x", 23), strings.Repeat("x", 23)},
		"a byte that says deflate":            {"\x08\x04\x00\xfb\xfftext" + empty, "text"},
	} {
		c := newLoopback(t, encoded([]byte(x.body), "deflate"))
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err, name)
		assert.Equal(t, x.text, resp.String(), name)
	}
}

func TestDecompressor_OneOfOnesOwnUndoesItsEncoding(t *testing.T) {
	overEachProtocol(t, encoded(hexed(`{"id":7,"name":"n"}`), "HEX"), func(t *testing.T, c *axle.Client) {
		hex := new(hexEncoding)
		c.SetDecompressor("hex", hex.open)
		got, err := axle.Get[item](t.Context(), c, "/")
		require.NoError(t, err)
		assert.Equal(t, item{7, "n"}, got)

		resp, err := c.Get(t.Context(), "/", axle.WithHeader("Accept-Encoding", "hex, br"))
		require.NoError(t, err, "also where the request asked for it")
		assert.JSONEq(t, `{"id":7,"name":"n"}`, resp.String())
		assert.Empty(t, resp.Header["Content-Encoding"])
		assert.EqualValues(t, 2, hex.opened.Load())
		assert.EqualValues(t, 2, hex.closed.Load(), "each is closed")
	})
}

func TestDecompressor_SeveralEncodingsAreUndoneFromTheLastToTheFirst(t *testing.T) {
	for name, x := range map[string]struct {
		encodings []string
		body      []byte
	}{
		"gzip, then hex":      {[]string{"gzip, hex"}, hexed(string(zipped("text")))},
		"hex, then gzip":      {[]string{"hex, gzip"}, zipped(string(hexed("text")))},
		"in two lines":        {[]string{"hex", "gzip"}, zipped(string(hexed("text")))},
		"the same twice":      {[]string{"x-gzip,GZIP"}, zipped(string(zipped("text")))},
		"three":               {[]string{"deflate, hex", "gzip"}, zipped(string(hexed(string(deflated("text", true)))))},
		"identity among them": {[]string{"identity, gzip", "", " , identity"}, zipped("text")},
	} {
		overEachProtocol(t, encoded(x.body, x.encodings...), func(t *testing.T, c *axle.Client) {
			c.SetDecompressor("hex", new(hexEncoding).open)
			resp, err := c.Get(t.Context(), "/")
			require.NoError(t, err, name)
			assert.Equal(t, "text", resp.String(), name)
			assert.Empty(t, resp.Header["Content-Encoding"], name)
		})
	}
}

func TestDecompressor_OneForABuiltInEncodingReplacesItUntilItIsRemoved(t *testing.T) {
	used := 0
	c := newLoopback(t, encoded(zipped("text"), "gzip"))
	c.SetDecompressor("gzip", func(r io.Reader) (io.ReadCloser, error) { used++; return gzip.NewReader(r) })
	for _, want := range []int{1, 1} {
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, "text", resp.String())
		assert.Equal(t, want, used)
		c.SetDecompressor("gzip", nil)
	}
}

func TestDecompressor_ARangeAndAHEADStayAsTheyAre(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "hex")
		if r.URL.Path == "/part" {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(hexed("text"))
	})
	hex := new(hexEncoding)
	c.SetDecompressor("hex", hex.open)
	for _, r := range []*axle.Request{
		c.R(t.Context()).SetURL("/part"),
		c.R(t.Context()).SetURL("/").SetHeader("Range", "bytes=0-7"),
		c.R(t.Context()).SetURL("/").SetMethod(http.MethodHead),
	} {
		resp, err := c.Do(r)
		require.NoError(t, err)
		assert.Equal(t, "hex", resp.Header.Get("Content-Encoding"))
		if r.Method != http.MethodHead {
			assert.Equal(t, hexed("text"), resp.Bytes())
		}
	}
	assert.Zero(t, hex.opened.Load())
}

func TestDecompressor_AnEmptyBodyNeedsNone(t *testing.T) {
	for _, encoding := range []string{"hex", "gzip", "deflate", "deflate, gzip", "hex, hex"} {
		c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			if r.URL.Path == "/204" {
				w.WriteHeader(http.StatusNoContent)
			}
		})
		hex := new(hexEncoding)
		c.SetDecompressor("hex", hex.open)
		for _, path := range []string{"/", "/204"} {
			resp, err := c.Get(t.Context(), path)
			require.NoError(t, err, encoding)
			assert.Empty(t, resp.Bytes())
		}
		assert.Zero(t, hex.opened.Load())
	}
}

func TestDecompressor_TheResponseLimitCountsWhatComesOut(t *testing.T) {
	const limit = 1000
	for name, x := range map[string]struct {
		encoding string
		encode   func(text string) []byte
	}{
		"zlib":         {"deflate", func(s string) []byte { return deflated(s, true) }},
		"bare deflate": {"deflate", func(s string) []byte { return deflated(s, false) }},
		"one's own":    {"hex", hexed},
		"two":          {"gzip, deflate", func(s string) []byte { return deflated(string(zipped(s)), true) }},
	} {
		for size, tooLarge := range map[int]bool{limit: false, limit + 1: true, 1000 * limit: true} {
			c := newLoopback(t, encoded(x.encode(strings.Repeat("x", size)), x.encoding))
			c.SetResponseLimit(limit).SetDecompressor("hex", new(hexEncoding).open)
			for _, stream := range []bool{false, true} {
				resp, err := c.R(t.Context()).SetStream(stream).Get("/")
				if stream {
					require.NoError(t, err)
					err = resp.Buffer()
				}
				if tooLarge {
					require.ErrorIs(t, err, axle.CodeTooLarge, "%s, %d", name, size)
					resp = asAxle(t, err).Response
					assert.LessOrEqual(t, len(resp.Bytes()), limit)
					continue
				}
				require.NoError(t, err, "%s, %d", name, size)
				assert.Len(t, resp.Bytes(), size)
			}
		}
	}
}

// Streams and closing.

func TestDecompressor_IsClosedWithTheBodyOnEveryPath(t *testing.T) {
	for name, x := range map[string]struct {
		body  string
		use   func(t *testing.T, c *axle.Client)
		opens int64
	}{
		"a body in memory":     {string(hexed("text")), func(t *testing.T, c *axle.Client) { _, err := c.Get(t.Context(), "/"); require.NoError(t, err) }, 1},
		"damaged data":         {"zz", func(t *testing.T, c *axle.Client) { _, err := c.Get(t.Context(), "/"); require.Error(t, err) }, 1},
		"a stream, unread":     {string(hexed("text")), func(t *testing.T, c *axle.Client) { stream(t, c, 0) }, 0},
		"a stream, in part":    {string(hexed("text")), func(t *testing.T, c *axle.Client) { stream(t, c, 2) }, 1},
		"a stream, to its end": {string(hexed("text")), func(t *testing.T, c *axle.Client) { stream(t, c, 100) }, 1},
		"a limit": {string(hexed("text")), func(t *testing.T, c *axle.Client) {
			_, err := c.Clone().SetResponseLimit(1).Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeTooLarge)
		}, 1},
		"a handler that replaces the response": {string(hexed("text")), func(t *testing.T, c *axle.Client) {
			c = c.Clone()
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				_, _ = resp.Stream().Read(make([]byte, 1))
				return axle.NewResponse(nil, 200, nil, nil), nil
			})
			_, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
		}, 1},
	} {
		body := newWatchedBody(x.body)
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := replyWith(r, 200, body)
			resp.Header.Set("Content-Encoding", "hex")
			return resp, nil
		})
		hex := new(hexEncoding)
		x.use(t, c.SetDecompressor("hex", hex.open))
		assert.Equal(t, x.opens, hex.opened.Load(), name)
		assert.Equal(t, x.opens, hex.closed.Load(), name)
		assert.True(t, body.IsClosed(), name)
	}
}

// stream reads some of a stream, closes it twice, and reads it once more.
func stream(t *testing.T, c *axle.Client, most int64) {
	t.Helper()
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	body := resp.Stream()
	_, err = io.CopyN(io.Discard, body, most)
	assert.True(t, err == nil || errors.Is(err, io.EOF))
	require.NoError(t, body.Close())
	require.NoError(t, body.Close())
	_, err = body.Read(make([]byte, 1))
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
}

func TestDecompressor_AStreamIsDecompressedAsItComes(t *testing.T) {
	next := make(chan struct{})
	for name, encode := range map[string]func(io.Writer) interface {
		io.Writer
		Flush() error
	}{
		"gzip": func(w io.Writer) interface {
			io.Writer
			Flush() error
		} {
			return gzip.NewWriter(w)
		},
		"deflate": func(w io.Writer) interface {
			io.Writer
			Flush() error
		} {
			return zlib.NewWriter(w)
		},
	} {
		c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", name)
			out := encode(w)
			for range 3 {
				_, _ = io.WriteString(out, "piece")
				_ = out.Flush()
				_ = http.NewResponseController(w).Flush()
				select {
				case <-next:
				case <-r.Context().Done():
				}
			}
		})
		resp, err := c.R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		for range 3 {
			piece := make([]byte, 5)
			_, err := io.ReadFull(resp.Stream(), piece)
			require.NoError(t, err, name)
			assert.Equal(t, "piece", string(piece), name)
			next <- struct{}{}
		}
		require.NoError(t, resp.Stream().Close())
	}
}

func TestDecompressor_ACloseEndsAReadThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		compressed, write := io.Pipe()
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := replyWith(r, 200, compressed)
			resp.Header.Set("Content-Encoding", "hex")
			return resp, nil
		})
		hex := new(hexEncoding)
		resp, err := c.SetDecompressor("hex", hex.open).R(context.Background()).SetStream(true).Get("/")
		require.NoError(t, err)
		body := resp.Stream()
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, body)
			read <- err
		}()
		_, err = write.Write(hexed("text"))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NoError(t, body.Close())
		require.Error(t, <-read)
		assert.EqualValues(t, 1, hex.closed.Load())
	})
}

// Settings.

func TestDecompressor_ACallKeepsTheOnesItStartedWithAndAClientsCloneHasThem(t *testing.T) {
	c := newLoopback(t, encoded(hexed("text"), "hex"))
	c.SetDecompressor("hex", new(hexEncoding).open)
	clone := c.Clone()
	useRequest(c, func(*axle.Request) { c.SetDecompressor("hex", nil) })
	for _, want := range []string{"text", string(hexed("text"))} {
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, want, resp.String())
	}
	resp, err := clone.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "text", resp.String())
}

func TestDecompressor_BehindTheBridgeNothingIsAskedForAndNothingIsUndone(t *testing.T) {
	asked := ""
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "hex")
		_, _ = w.Write(hexed("text"))
	})
	hex := new(hexEncoding)
	c.SetDecompressor("hex", hex.open)
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, hexed("text"), body)
	assert.Equal(t, "hex", resp.Header.Get("Content-Encoding"))
	assert.Equal(t, "gzip", asked, "by net/http's transport")
	assert.Zero(t, hex.opened.Load())
}
