package axle_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// overEachProtocol runs a test over HTTP/1.1 and over HTTP/2, against a server of its own and with the default transport's
// settings.
func overEachProtocol(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, c *axle.Client)) {
	t.Helper()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, protocol, r.Proto)
				handler(w, r)
			}))
			server.EnableHTTP2 = protocol == "HTTP/2.0"
			server.StartTLS()
			t.Cleanup(server.Close)

			transport := axle.DefaultTransport()
			transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // httptest's is one
			transport.ForceAttemptHTTP2 = server.EnableHTTP2
			t.Cleanup(transport.CloseIdleConnections)
			test(t, newClient().SetBaseURL(server.URL).SetTransport(transport))
		})
	}
}

// JSON as some servers send it.

func TestResponse_AByteOrderMarkBeforeJSONIsPassedOver(t *testing.T) {
	var v item
	resp := axle.NewResponse(nil, 200, contentType("application/json"), []byte("\xef\xbb\xbf{\"id\":1,\"name\":\"a\"}"))
	require.NoError(t, resp.Decode(&v))
	assert.Equal(t, item{1, "a"}, v)

	c, _ := newFakeClient(always(200, "\xef\xbb\xbf[1,2]"))
	c.SetJSON(nil, func(data []byte, v any) error {
		assert.Equal(t, "[1,2]", string(data), "a codec of one's own does not get the mark either")
		return json.Unmarshal(data, v)
	})
	list, err := axle.Get[[]int](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, list)
}

func TestResponse_JSONThatIsNotUTF8IsAnErrorThatSaysSo(t *testing.T) {
	for name, body := range map[string]string{
		"little endian, a mark": "\xff\xfe{\x00}\x00",
		"big endian, a mark":    "\xfe\xff\x00{\x00}",
		"little endian":         "{\x00}\x00",
		"big endian":            "\x00{\x00}",
		"UTF-32":                "\x00\x00\x00{\x00\x00\x00}",
	} {
		var v item
		err := axle.NewResponse(nil, 200, contentType("application/json"), []byte(body)).Decode(&v)
		require.ErrorIs(t, err, axle.CodeBadResponse, name)
		require.ErrorContains(t, err, "UTF-16", name)

		var text string
		require.NoError(t, axle.NewResponse(nil, 200, contentType("application/json"), []byte(body)).Decode(&text), name)
		assert.Equal(t, body, text, "%s: a string gets what is no JSON string verbatim", name)
	}
}

func TestTyped_AStringIsAJSONStringsValue(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		_, _ = io.WriteString(w, `"a \"quoted\" text"`)
	})
	for kind, want := range map[string]string{
		"application/json": `a "quoted" text`,
		"text/plain":       `"a \"quoted\" text"`,
	} {
		got, err := axle.Get[string](t.Context(), c, "/", func(r *axle.Request) { r.SetQueryParam("type", kind) })
		require.NoError(t, err)
		assert.Equal(t, want, got, kind)

		var into string
		_, err = c.R(t.Context()).SetQueryParam("type", kind).SetResult(&into).Get("/")
		require.NoError(t, err)
		assert.Equal(t, want, into, kind)
	}
}

// Content-Encoding.

func TestResponse_AContentEncodingThatIsStillOnTheBodyIsNamedByTheDecodeError(t *testing.T) {
	for name, x := range map[string]struct {
		encoding []string
		body     string
		says     string
	}{
		"Brotli":                    {[]string{"br"}, "\x0b\x02\x80", `"br": see Client.SetDecompressor`},
		"Zstandard":                 {[]string{"zstd"}, "\x28\xb5\x2f\xfd", `"zstd"`},
		"two encodings":             {[]string{"gzip, br"}, "\x0b\x02\x80", `"gzip, br"`},
		"two encodings, two lines":  {[]string{"br", "gzip"}, "\x1f\x8b\x08", `"br, gzip"`},
		"too many encodings":        {[]string{"gzip, deflate, gzip, deflate"}, string(zipped("{}")), `"gzip, deflate, gzip, deflate"`},
		"gzip without a label":      {nil, string(zipped("{}")), "no Content-Encoding says so"},
		"gzip labelled as identity": {[]string{"identity"}, string(zipped("{}")), "no Content-Encoding says so"},
		"a label over plain bytes":  {[]string{"gzip"}, `{"id":1}`, "the Content-Encoding says gzip"},
	} {
		c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Encoding"] = x.encoding
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, x.body)
		})
		_, err := axle.Get[item](t.Context(), c, "/")
		require.ErrorIs(t, err, axle.CodeBadResponse, name)
		require.ErrorContains(t, err, x.says, name)
		if name != "a label over plain bytes" {
			assert.Equal(t, x.body, asAxle(t, err).Response.String(), "%s: the body is kept", name)
		}
	}

	plain := axle.NewResponse(nil, 200, nil, []byte("<html>"))
	assert.NotContains(t, plain.Decode(new(item)).Error(), "ncod", "an error that has nothing to do with an encoding names none")
}

func TestResponse_XGzipIsGzip(t *testing.T) {
	overEachProtocol(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "X-GZip")
		_, _ = w.Write(zipped("text"))
	}, func(t *testing.T, c *axle.Client) {
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, "text", resp.String())
		assert.Empty(t, resp.Header["Content-Encoding"])
	})
}

func TestResponse_SeveralEncodingsAreNotHalfDecoded(t *testing.T) {
	twice := zipped(string(zipped("text")))
	for _, encoding := range [][]string{{"br, gzip"}, {"br", "gzip"}, {"gzip, br"}, {"gzip, deflate, gzip, deflate"}} {
		overEachProtocol(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Encoding"] = encoding
			_, _ = w.Write(twice)
		}, func(t *testing.T, c *axle.Client) {
			resp, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, twice, resp.Bytes(), "%v", encoding)
			assert.Equal(t, encoding, resp.Header["Content-Encoding"])
		})
	}
}

func TestResponse_ARangeOfGzipIsNotDecompressed(t *testing.T) {
	stored := zipped(strings.Repeat("text", 100))
	overEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/ignores" {
			_, _ = w.Write(stored)
			return
		}
		w.Header().Set("Content-Range", "bytes 10-19/"+strconv.Itoa(len(stored)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(stored[10:20])
	}, func(t *testing.T, c *axle.Client) {
		for name, x := range map[string]struct {
			path  string
			edits func(*axle.Request)
			want  []byte
		}{
			"a range":                        {"/", func(r *axle.Request) { r.SetHeader("Range", "bytes=10-19") }, stored[10:20]},
			"a range that gzip was asked of": {"/", func(r *axle.Request) { r.SetHeader("Range", "bytes=10-19").SetHeader("Accept-Encoding", "gzip") }, stored[10:20]},
			"a 206 that nobody asked for":    {"/", func(*axle.Request) {}, stored[10:20]},
			"a server that ignores ranges":   {"/ignores", func(r *axle.Request) { r.SetHeader("Range", "bytes=10-19") }, stored},
		} {
			resp, err := c.Get(t.Context(), x.path, x.edits)
			require.NoError(t, err, name)
			assert.Equal(t, x.want, resp.Bytes(), name)
			assert.Equal(t, "gzip", resp.Header.Get("Content-Encoding"), name)
		}
	})
}

func TestError_DamagedGzipIsABadResponseAndABrokenNetworkIsNot(t *testing.T) {
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(i * i * 31 >> 3)
	}
	whole := zipped(string(noise))
	damaged := func(change func([]byte) []byte) []byte { return change(bytes.Clone(whole)) }
	for name, x := range map[string]struct {
		body []byte
		ends bool // the network breaks off, after this much
		code axle.Code
	}{
		"plain bytes":      {[]byte("this is not gzip data at all"), false, axle.CodeBadResponse},
		"a damaged block":  {damaged(func(b []byte) []byte { b[10] |= 6; return b }), false, axle.CodeBadResponse},
		"a wrong checksum": {damaged(func(b []byte) []byte { b[len(b)-6] ^= 1; return b }), false, axle.CodeBadResponse},
		"cut off data":     {whole[:len(whole)/2], false, axle.CodeBadResponse},
		"a cut off header": {whole[:5], false, axle.CodeBadResponse},
		"bytes behind it":  {append(bytes.Clone(whole), "trailing"...), false, axle.CodeBadResponse},
		"a broken network": {whole[:len(whole)/2], true, axle.CodeNetwork},
		"no data in time":  {whole[:5], true, axle.CodeNetwork},
	} {
		overEachProtocol(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			if !x.ends {
				w.Header().Set("Content-Length", strconv.Itoa(len(x.body)))
			}
			_, _ = w.Write(x.body)
			if x.ends {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}, func(t *testing.T, c *axle.Client) {
			for how, edit := range map[string]func(*axle.Request){
				"":            nil,
				", asked for": func(r *axle.Request) { r.SetHeader("Accept-Encoding", "gzip") },
			} {
				resp, err := c.Get(t.Context(), "/", edit)
				if err == nil {
					err = resp.Buffer()
				}
				assert.Equal(t, x.code, asAxle(t, err).Code, "%s%s: %v", name, how, err)
				assert.NotNil(t, asAxle(t, err).Response, name)

				resp, err = c.Get(t.Context(), "/", edit, func(r *axle.Request) { r.SetStream(true) })
				require.NoError(t, err)
				err = resp.SaveFile(t.TempDir() + "/file")
				assert.Equal(t, x.code, asAxle(t, err).Code, "%s%s, saved: %v", name, how, err)
			}
		})
	}
}

// around is a transport around another, which it returns by Unwrap.
type around struct{ http.RoundTripper }

func (w around) Unwrap() http.RoundTripper { return w.RoundTripper }

func TestTransport_AroundOneThatUnwrapReturnsTheClientDecompressesAsWithoutIt(t *testing.T) {
	whole := zipped("hello")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		if r.Header.Get("Accept-Encoding") != "" && r.URL.Path == "/good" {
			_, _ = w.Write(whole)
			return
		}
		_, _ = w.Write(whole[:len(whole)/2])
	}))
	defer server.Close()
	transport := axle.DefaultTransport()
	defer transport.CloseIdleConnections()
	c := axle.New().SetBaseURL(server.URL).SetTransport(around{around{transport}})

	resp, err := c.Get(t.Context(), "/good")
	require.NoError(t, err)
	assert.Equal(t, "hello", resp.String())
	_, err = c.Get(t.Context(), "/damaged")
	assert.Equal(t, axle.CodeBadResponse, asAxle(t, err).Code, "the data was cut off, and not the network")
}

// Memory.

func TestAdvisory_AContentLengthWhoseBodyCannotComeCostsNoMemory(t *testing.T) {
	const calls, said = 50, 1 << 20
	for name, x := range map[string]struct {
		method string
		status int
	}{
		"HEAD":             {"HEAD", 200},
		"204":              {"GET", 204},
		"304":              {"GET", 304},
		"a false GET":      {"GET", 200},
		"a refused answer": {"GET", 500},
	} {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := reply(r, x.status, "")
			resp.ContentLength = said
			return resp, nil
		})
		c.SetValidateStatus(func(status int) bool { return status != 500 })
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			resp, err := c.R(t.Context()).Execute(x.method, "/")
			if err != nil {
				resp = asAxle(t, err).Response
			}
			assert.LessOrEqual(t, cap(resp.Bytes()), 512, name)
		}
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(calls*said/16), name)
	}
}

func TestResponse_ABodyOfAKnownLengthIsReadIntoOneBufferOfItsSize(t *testing.T) {
	for _, size := range []int{0, 1, 300, 32<<10 - 1, 32 << 10, 32<<10 + 1, 100 << 10, 1 << 20, 3 << 20} {
		text := bytes.Repeat([]byte("x"), size)
		for _, known := range []bool{true, false} {
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				resp := reply(r, 200, string(text))
				if known {
					resp.ContentLength = int64(size)
				}
				return resp, nil
			})
			resp, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(text, resp.Bytes()), "%d %v", size, known)
			if known && size <= 1<<20 {
				assert.LessOrEqual(t, cap(resp.Bytes()), size+1, "%d", size)
			}
		}
	}
}

// Streams and handlers.

func TestResponse_IsStreamTellsAStreamFromABodyInMemory(t *testing.T) {
	c, _ := newFakeClient(always(200, "text"))
	for _, asked := range []bool{false, true} {
		resp, err := c.R(t.Context()).SetStream(asked).Get("/")
		require.NoError(t, err)
		assert.Equal(t, asked, resp.IsStream())
		require.NoError(t, resp.Buffer())
		assert.False(t, resp.IsStream(), "it has been read")
		assert.True(t, resp.SetStream(io.NopCloser(strings.NewReader("x"))).IsStream())
		assert.False(t, resp.SetBytes([]byte("y")).IsStream())
	}
	assert.False(t, axle.NewResponse(nil, 200, nil, []byte("text")).IsStream())

	behind := false
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { behind = resp.IsStream(); return resp, nil })
	resp, err := c.HTTPClient().Get("http://axle.test/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.True(t, behind, "behind the bridge every body is one")
}

// Files.

func TestSaveFile_KeepsTheModeOfTheFileThatItReplaces(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no such modes
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o644, 0o666, 0o400, 0o755} {
		path := t.TempDir() + "/file"
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
		require.NoError(t, os.Chmod(path, mode))

		require.NoError(t, axle.NewResponse(nil, 200, nil, []byte("new")).SaveFile(path))
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "new", string(got))
	}
}

func TestSaveFile_IsNeverReadableToMoreThanTheFileThatItReplaces(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	dir := t.TempDir()
	path := dir + "/file"
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	looked := 0
	look := readFunc(func([]byte) (int, error) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 2)
		for _, entry := range entries {
			info, err := entry.Info()
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), entry.Name())
			looked++
		}
		return 0, io.EOF
	})
	require.NoError(t, axle.NewResponse(nil, 200, nil, nil).SetStream(io.NopCloser(look)).SaveFile(path))
	assert.Equal(t, 2, looked)
}

func TestSaveFile_ReplacesALinkAndLeavesItsTarget(t *testing.T) {
	dir := t.TempDir()
	target, link := dir+"/target", dir+"/link"
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o600))
	if err := os.Symlink(target, link); err != nil {
		return // not every system lets everybody make one
	}

	require.NoError(t, axle.NewResponse(nil, 200, nil, []byte("new")).SaveFile(link))
	for path, want := range map[string]string{target: "old", link: "new"} {
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, info.Mode().IsRegular())
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "the file has the mode that one saw there")
	}
}

// DefaultTransport.

func TestDefaultTransport_IsAFreshCopyOfWhatNewUses(t *testing.T) {
	a, b := axle.DefaultTransport(), axle.DefaultTransport()
	assert.NotSame(t, a, b)
	assert.NotSame(t, http.DefaultTransport, a)
	assert.Equal(t, a.MaxIdleConns, a.MaxIdleConnsPerHost, "there is room for a burst to one host")
	assert.True(t, a.ForceAttemptHTTP2)
	assert.Equal(t, runtime.GOOS != "js", a.DialContext != nil, "with one it would not use a browser's fetch")
	for name, limit := range map[string]time.Duration{"TLS": a.TLSHandshakeTimeout, "idle": a.IdleConnTimeout, "100": a.ExpectContinueTimeout} {
		assert.Positive(t, limit, name)
	}
	for _, host := range []string{"localhost.", "[::1]", "127.1.2.3", "[::ffff:127.0.0.1]"} {
		proxy, err := a.Proxy(newRequest(t, "GET", "http://"+host+":81/", nil))
		require.NoError(t, err)
		assert.Nil(t, proxy, host)
	}
}

func TestDefaultTransport_IsNeverNilAlsoWhereAnotherTypeIsTheProgramsDefault(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	usual := axle.DefaultTransport()
	for name, other := range map[string]http.RoundTripper{
		"another type": roundTripFunc(func(r *http.Request) (*http.Response, error) { return reply(r, 200, "of the program"), nil }),
		"a nil one":    (*http.Transport)(nil),
		"none":         nil,
	} {
		http.DefaultTransport = other
		got := axle.DefaultTransport()
		require.NotNil(t, got, name)
		assert.Equal(t, runtime.GOOS != "js", got.DialContext != nil, name)
		assert.NotNil(t, got.Proxy, name)
		assert.Equal(t, []any{usual.ForceAttemptHTTP2, usual.MaxIdleConns, usual.MaxIdleConnsPerHost, usual.IdleConnTimeout, usual.TLSHandshakeTimeout, usual.ExpectContinueTimeout},
			[]any{got.ForceAttemptHTTP2, got.MaxIdleConns, got.MaxIdleConnsPerHost, got.IdleConnTimeout, got.TLSHandshakeTimeout, got.ExpectContinueTimeout}, name)
		if name == "another type" {
			resp, err := newClient().Get(t.Context(), "http://axle.test/")
			require.NoError(t, err)
			assert.Equal(t, "of the program", resp.String(), "New goes on using it")
		}
	}
}

func TestDefaultTransport_ATLSConfigOfOnesOwnKeepsHTTP2(t *testing.T) {
	overEachProtocol(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, c *axle.Client) {
		_, err := c.Get(t.Context(), "/") // the helper sets the TLS configuration, and its server looks at the protocol
		require.NoError(t, err)
	})
}
