package encodings_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/go-resty/resty/v2"
	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// The two functions that a program writes. A browser allows Zstandard a window of 8 MB (RFC 9659), and decoding on the
// reader's own goroutine costs least for bodies of an API's size.

func openBrotli(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(brotli.NewReader(r)), nil }

func openZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// openAhead is a Zstandard decoder that reads ahead, on goroutines of its own.
func openAhead(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(4))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// serve starts a server, and returns clients for it over each engine, which know br and zstd.
func serve(t *testing.T, handler http.Handler) map[string]*axle.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	clients := map[string]*axle.Client{}
	for name, c := range map[string]*axle.Client{
		"net/http": axle.New(),
		"resty":    axle.New().SetEngine(func(*resty.Client) {}),
	} {
		transport := axle.DefaultTransport()
		t.Cleanup(transport.CloseIdleConnections)
		clients[name] = c.SetTransport(transport).SetBaseURL(server.URL).
			SetDecompressor("br", openBrotli).SetDecompressor("zstd", openZstd)
	}
	t.Cleanup(server.Close)
	return clients
}

type item struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

func answer(w io.Writer, r *http.Request) {
	_ = json.NewEncoder(w).Encode(item{7, strings.Repeat("text "+r.URL.Path, 5_000)})
}

// Servers that choose an encoding by Accept-Encoding.
var servers = map[string]http.Handler{
	"br": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		out := brotli.HTTPCompressor(w, r)
		answer(out, r)
		_ = out.Close()
	}),
	"zstd": func() http.Handler {
		wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(true), gzhttp.PreferZstd(true))
		if err != nil {
			panic(err)
		}
		return wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			answer(w, r)
		}))
	}(),
}

// spy writes down what a server chose.
func spy(next http.Handler, chosen *string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		*chosen = w.Header().Get("Content-Encoding")
	})
}

func TestEncodings_ARealServersBrotliAndZstandardAreUndone(t *testing.T) {
	for encoding, server := range servers {
		var chosen string
		for engine, c := range serve(t, spy(server, &chosen)) {
			want := item{7, strings.Repeat("text /items", 5_000)}
			got, err := axle.Get[item](t.Context(), c, "/items")
			require.NoError(t, err, engine)
			assert.Equal(t, want, got, engine)
			assert.Equal(t, encoding, chosen, engine)

			resp, err := c.R(t.Context()).SetStream(true).Get("/items")
			require.NoError(t, err)
			assert.Empty(t, resp.Header.Get("Content-Encoding"))
			var streamed item
			require.NoError(t, json.NewDecoder(resp.Stream()).Decode(&streamed))
			assert.Equal(t, want, streamed)
			require.NoError(t, resp.Stream().Close())
		}
	}
}

func TestEncodings_AClientWithoutThemIsSentNone(t *testing.T) {
	for encoding, server := range servers {
		var chosen string
		for engine, c := range serve(t, spy(server, &chosen)) {
			c.SetDecompressor("br", nil).SetDecompressor("zstd", nil)
			_, err := axle.Get[item](t.Context(), c, "/items")
			require.NoError(t, err, engine)
			assert.Equal(t, "gzip", chosen, "%s, %s", encoding, engine)
		}
	}
}

func TestEncodings_ManyCallsAtATimeEachHaveADecompressorOfTheirOwn(t *testing.T) {
	for encoding, server := range servers {
		for engine, c := range serve(t, server) {
			var wg sync.WaitGroup
			for n := range 40 {
				wg.Go(func() {
					path := fmt.Sprintf("/items/%d", n)
					got, err := axle.Get[item](t.Context(), c, path)
					if assert.NoError(t, err, "%s, %s", encoding, engine) {
						assert.Equal(t, strings.Repeat("text "+path, 5_000), got.Text)
					}
				})
			}
			wg.Wait()
		}
	}
}

// compress encodes a text by one encoding after another.
func compress(t *testing.T, text string, encodings string) []byte {
	t.Helper()
	out := []byte(text)
	for name := range strings.SplitSeq(encodings, ", ") {
		var b bytes.Buffer
		var w io.WriteCloser
		switch name {
		case "br":
			w = brotli.NewWriter(&b)
		case "zstd":
			var err error
			w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
			require.NoError(t, err)
		case "gzip":
			w = gzip.NewWriter(&b)
		}
		_, err := w.Write(out)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		out = b.Bytes()
	}
	return out
}

func encoded(body []byte, encodings string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", encodings)
		_, _ = w.Write(body)
	})
}

func TestEncodings_SeveralOnOneBodyAreUndoneInTurn(t *testing.T) {
	for _, encodings := range []string{"gzip, br", "br, gzip", "zstd, br", "br, zstd, gzip"} {
		for engine, c := range serve(t, encoded(compress(t, "text", encodings), encodings)) {
			resp, err := c.Get(t.Context(), "/")
			require.NoError(t, err, "%s, %s", encodings, engine)
			assert.Equal(t, "text", resp.String(), encodings)
		}
	}
}

func TestEncodings_DamagedDataIsABadResponseAndABrokenNetworkIsNot(t *testing.T) {
	text := strings.Repeat("a text that is long enough; ", 10_000)
	for _, encoding := range []string{"br", "zstd", "zstd, br"} {
		whole := compress(t, text, encoding)
		for name, x := range map[string]struct {
			body   []byte
			breaks bool
			code   axle.Code
		}{
			"no such data":              {[]byte("plain text, which is neither of them"), false, axle.CodeBadResponse},
			"cut off":                   {whole[:len(whole)/2], false, axle.CodeBadResponse},
			"cut off early":             {whole[:3], false, axle.CodeBadResponse},
			"a network that breaks off": {whole[:len(whole)/2], true, axle.CodeNetwork},
		} {
			for engine, c := range serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", encoding)
				_, _ = w.Write(x.body)
				if x.breaks {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			})) {
				for _, c := range []*axle.Client{c, c.Clone().SetDecompressor("zstd", openAhead)} {
					_, err := c.Get(t.Context(), "/")
					require.ErrorIs(t, err, x.code, "%s, %s, %s: %v", encoding, name, engine, err)

					resp, err := c.R(t.Context()).SetStream(true).Get("/")
					require.NoError(t, err)
					require.ErrorIs(t, resp.Buffer(), x.code, "%s, %s, %s", encoding, name, engine)
				}
			}
		}
	}
}

func TestEncodings_ABombIsStoppedByTheResponseLimit(t *testing.T) {
	const limit = 128 << 10
	for _, encoding := range []string{"br", "zstd", "zstd, br"} {
		bomb := compress(t, strings.Repeat("\x00", 100*limit), encoding)
		require.Less(t, len(bomb), limit/10)
		for engine, c := range serve(t, encoded(bomb, encoding)) {
			c.SetResponseLimit(limit)
			_, err := c.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeTooLarge, "%s, %s", encoding, engine)

			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, resp.Stream())
			require.ErrorIs(t, err, axle.CodeTooLarge)
			assert.EqualValues(t, limit, n)
			require.NoError(t, resp.Stream().Close())
		}
	}
}

// A decoder that reads ahead has goroutines, which are gone when the stream is closed: goleak looks for them.
func TestEncodings_AStreamThatIsClosedEarlyLeavesNoGoroutineBehind(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	for _, encoding := range []string{"br", "zstd"} {
		body := compress(t, string(noise), encoding)
		for _, c := range serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(body[:len(body)/2])
			_ = http.NewResponseController(w).Flush()
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		})) {
			c.SetDecompressor("zstd", openAhead)
			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			_, err = io.ReadFull(resp.Stream(), make([]byte, 100))
			require.NoError(t, err)
			require.NoError(t, resp.Stream().Close())
		}
	}
}
