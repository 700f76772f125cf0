package axle_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestDecompressor_DamagedDataIsABadResponseAndABrokenNetworkIsNot(t *testing.T) {
	text := strings.Repeat("a text that is long enough, ", 1000)
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b }
	for name, x := range map[string]struct {
		encoding string
		body     []byte
		breaks   bool // the network breaks off after the body
		code     axle.Code
	}{
		"deflate that is none":           {"deflate", []byte("plain text"), false, axle.CodeBadResponse},
		"deflate of one byte":            {"deflate", []byte("x"), false, axle.CodeBadResponse},
		"zlib that is cut off":           {"deflate", cut(deflated(text, true)), false, axle.CodeBadResponse},
		"zlib with a wrong checksum":     {"deflate", flip(deflated(text, true)), false, axle.CodeBadResponse},
		"zlib that needs a dictionary":   {"deflate", []byte{0x78, 0x20, 0, 0, 0, 0, 0}, false, axle.CodeBadResponse},
		"bare deflate that is cut off":   {"deflate", cut(deflated(text, false)), false, axle.CodeBadResponse},
		"one's own, cut off":             {"hex", []byte("616"), false, axle.CodeBadResponse},
		"one's own, damaged":             {"hex", []byte("61zz"), false, axle.CodeBadResponse},
		"one's own that does not open":   {"fails", []byte("x"), false, axle.CodeBadResponse},
		"one's own that finds no data":   {"ends", []byte("x"), false, axle.CodeBadResponse},
		"the inner of two":               {"deflate, hex", hexed("plain text"), false, axle.CodeBadResponse},
		"the outer of two":               {"deflate, hex", []byte("zz"), false, axle.CodeBadResponse},
		"a network that breaks off":      {"deflate", cut(deflated(text, true)), true, axle.CodeNetwork},
		"beneath one's own":              {"hex", []byte("616"), true, axle.CodeNetwork},
		"beneath one that hides why":     {"hides", []byte("x"), true, axle.CodeNetwork},
		"beneath one that hides in open": {"hides early", []byte("x"), true, axle.CodeNetwork},
		"beneath two":                    {"hex, deflate", cut(deflated(string(hexed(text)), true)), true, axle.CodeNetwork},
	} {
		encoding := strings.ReplaceAll(x.encoding, " early", "-early")
		overEachProtocol(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(x.body)
			if x.breaks {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}, func(t *testing.T, c *axle.Client) {
			c.SetDecompressor("hex", new(hexEncoding).open)
			c.SetDecompressor("fails", func(io.Reader) (io.ReadCloser, error) { return nil, errBoom })
			c.SetDecompressor("ends", func(io.Reader) (io.ReadCloser, error) { return nil, io.EOF })
			c.SetDecompressor("hides", func(r io.Reader) (io.ReadCloser, error) {
				return io.NopCloser(readFunc(func([]byte) (int, error) {
					_, _ = io.ReadAll(r)
					return 0, errBoom
				})), nil
			})
			c.SetDecompressor("hides-early", func(r io.Reader) (io.ReadCloser, error) {
				_, _ = io.ReadAll(r)
				return nil, errBoom
			})
			for _, stream := range []bool{false, true} {
				resp, err := c.R(t.Context()).SetStream(stream).Get("/")
				if stream {
					require.NoError(t, err, name)
					err = resp.Buffer()
				}
				e := asAxle(t, err)
				assert.Equal(t, x.code, e.Code, "%s: %v", name, err)
				assert.NotNil(t, e.Response, name)
				if x.code == axle.CodeBadResponse && !strings.Contains(encoding, ",") {
					require.ErrorContains(t, err, "the Content-Encoding says "+encoding, name)
				}
			}
		})
	}
}

func TestDecompressor_TheErrorOfOneIsTheCauseOfTheCallsError(t *testing.T) {
	c := newLoopback(t, encoded([]byte("x"), "boom"))
	c.SetDecompressor("boom", func(io.Reader) (io.ReadCloser, error) { return nil, errBoom })
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	require.ErrorIs(t, err, axle.CodeBadResponse)

	c.SetDecompressor("boom", func(io.Reader) (io.ReadCloser, error) { return nil, nil })
	_, err = c.Get(t.Context(), "/")
	require.ErrorContains(t, err, `the decompressor of "boom" returned neither a reader nor an error`)
}

// A decompressor that reads ahead on a goroutine of its own may do so until the body is closed.
func TestDecompressor_OneThatHasFailedMayStillReadItsSource(t *testing.T) {
	body := newWatchedBody("text")
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := replyWith(r, 200, body)
		resp.Header.Set("Content-Encoding", "boom")
		return resp, nil
	})
	var source io.Reader
	c.SetDecompressor("boom", func(r io.Reader) (io.ReadCloser, error) {
		source = r
		return io.NopCloser(axletest.FailingReader{}), nil
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)

	_, err = io.ReadAll(source)
	require.Error(t, err, "the body is closed")
	_, err = io.ReadAll(source)
	require.Error(t, err)
}

// stuckReader yields the bytes of text, and from then on neither bytes nor an error.
type stuckReader struct{ text string }

func (r *stuckReader) Read(p []byte) (int, error) {
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

func (r *stuckReader) Close() error { return nil }

func TestDecompressor_OneThatYieldsNeitherBytesNorAnErrorIsAnErrorAndHangsNobody(t *testing.T) {
	c := newLoopback(t, encoded([]byte("x"), "stuck"))
	c.SetDecompressor("stuck", func(io.Reader) (io.ReadCloser, error) {
		return &stuckReader{"the beginning"}, nil
	})
	const message = `the decompressor of "stuck" yields neither bytes nor an error`

	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, io.ErrNoProgress)
	require.ErrorIs(t, err, axle.CodeBadResponse)
	require.ErrorContains(t, err, message)
	assert.Equal(t, "the beginning", asAxle(t, err).Response.String())

	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	defer func() { _ = resp.Stream().Close() }()
	_, err = io.ReadAll(resp.Stream())
	require.ErrorIs(t, err, axle.CodeBadResponse, "of a stream too, whoever reads it")
	require.ErrorContains(t, err, message)
}

func TestDecompressor_OneThatYieldsNothingNowAndThenIsReadOn(t *testing.T) {
	c := newLoopback(t, encoded(hexed("whole"), "slow"))
	c.SetDecompressor("slow", func(r io.Reader) (io.ReadCloser, error) {
		return &hesitant{ReadCloser: &hexReader{encoding: new(hexEncoding), source: r}}, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "whole", resp.String())
}

// hesitant yields nothing 99 times before each read.
type hesitant struct {
	io.ReadCloser
	reads int
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.reads++; h.reads%100 != 0 {
		return 0, nil
	}
	return h.ReadCloser.Read(p)
}

func TestResponse_ABodyThatYieldsNeitherBytesNorAnErrorIsAnErrorAndHangsNobody(t *testing.T) {
	for name, read := range map[string]func(*axle.Response) error{
		"Buffer":   (*axle.Response).Buffer,
		"Decode":   func(r *axle.Response) error { return r.Decode(new(string)) },
		"SaveFile": func(r *axle.Response) error { return r.SaveFile(t.TempDir() + "/file") },
	} {
		c, _ := newFakeClient(always(200, "as it came"))
		resp, err := c.R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err, name)
		_ = resp.Stream().Close()

		require.ErrorIs(t, read(resp.SetStream(new(stuckReader))), io.ErrNoProgress, name)
	}

	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 200, "")
		resp.Body, resp.ContentLength = new(stuckReader), -1
		return resp, nil
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, io.ErrNoProgress, "a transport's")
	require.ErrorIs(t, err, axle.CodeNetwork)
}

func TestDecompressor_ABadNameFailsEachCallBeforeAnythingIsSent(t *testing.T) {
	for _, name := range []string{"", " ", "br;q=1", "br, gzip", "a b", "identity", "Identity", "*", "br\r\nX: y"} {
		c, network := newFakeClient(always(200, ""))
		c.SetDecompressor(name, new(hexEncoding).open)
		_, err := c.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeBadOption, "%q", name)
		require.ErrorContains(t, err, "SetDecompressor", "%q", name)
		assert.Zero(t, network.Sent.Load())
	}
}
