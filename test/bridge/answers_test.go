package bridge_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// What becomes of the connection of an answer that nobody wants, and what net/http is told of one that a handler made.

// eachProtocol runs a test over HTTP/1.1 and over HTTP/2. Each server is gone when the test ends.
func eachProtocol(t *testing.T, test func(t *testing.T, serve func(http.HandlerFunc) *axle.Client)) {
	t.Helper()
	countingConnections(t, func(t *testing.T, serve func(http.HandlerFunc) (*axle.Client, *atomic.Int64)) {
		test(t, func(handler http.HandlerFunc) *axle.Client { c, _ := serve(handler); return c })
	})
}

// countingConnections does the same, and counts the connections that a server was sent.
func countingConnections(t *testing.T, test func(t *testing.T, serve func(http.HandlerFunc) (*axle.Client, *atomic.Int64))) {
	t.Helper()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func(handler http.HandlerFunc) (*axle.Client, *atomic.Int64) {
				opened := new(atomic.Int64)
				server := httptest.NewUnstartedServer(handler)
				server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						opened.Add(1)
					}
				}
				server.EnableHTTP2 = http2
				transport := new(http.Transport)
				if http2 {
					server.StartTLS()
					pool := x509.NewCertPool()
					pool.AddCert(server.Certificate())
					transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, true
				} else {
					server.Start()
				}
				t.Cleanup(func() {
					transport.CloseIdleConnections()
					server.Close()
				})
				return axle.New().SetBaseURL(server.URL).SetTransport(transport), opened
			})
		})
	}
}

func TestBridge_AnAnswerThatAHandlerTakesOutOfPlayKeepsItsConnection(t *testing.T) {
	for name, handle := range map[string]func(err *axle.Error) (*axle.Response, error){
		"replayed":  func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() },
		"recovered": recoverWith(200),
		"rejected":  func(*axle.Error) (*axle.Response, error) { return nil, errBoom },
		"read, and set again": func(err *axle.Error) (*axle.Response, error) {
			return err.Response.SetBytes([]byte("in its place")), nil
		},
	} {
		for what, body := range map[string]string{"short": "refused", "of 60 KB": strings.Repeat("x", 60<<10)} {
			t.Run(name+", "+what, func(t *testing.T) {
				countingConnections(t, func(t *testing.T, serve func(http.HandlerFunc) (*axle.Client, *atomic.Int64)) {
					first := true
					c, opened := serve(func(w http.ResponseWriter, _ *http.Request) {
						if first {
							first = false
							w.WriteHeader(http.StatusUnauthorized)
							_, _ = io.WriteString(w, body)
						}
					})
					useRejected(c, handle)
					hc := c.HTTPClient()
					for range 2 {
						resp, err := hc.Get(c.BaseURL())
						if err == nil {
							_, err = io.Copy(io.Discard, resp.Body)
							require.NoError(t, err)
							require.NoError(t, resp.Body.Close())
						}
					}
					assert.EqualValues(t, 1, opened.Load())
				})
			})
		}
	}
}

// stalled is a body that yields so many bytes and then nothing, until it is closed.
type stalled struct {
	left   int
	read   atomic.Int64
	closed chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if s.left == 0 {
		<-s.closed
		return 0, io.ErrClosedPipe
	}
	n := min(len(p), s.left)
	s.left -= n
	s.read.Add(int64(n))
	return n, nil
}

func (s *stalled) Close() error {
	close(s.closed)
	return nil
}

func TestBridge_NeitherALongNorASlowAnswerHoldsAReplayUp(t *testing.T) {
	for name, tc := range map[string]struct {
		body   int   // in bytes, before it stalls
		length int64 // its Content-Length
		read   int64 // at most
	}{
		"slow":                {body: 10, length: -1, read: 10},
		"long":                {body: 1 << 30, length: -1, read: 128 << 10},
		"of a length too big": {body: 1 << 30, length: 1 << 30, read: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused := &stalled{left: tc.body, closed: make(chan struct{})}
				n := 0
				c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
					if n++; n > 1 {
						return reply(r, 200, "replayed"), nil
					}
					resp := replyWith(r, http.StatusUnauthorized, refused)
					resp.ContentLength = tc.length
					return resp, nil
				})
				useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
				start := time.Now()
				resp, err := c.HTTPClient().Get("http://axle.test/")
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, http.StatusOK, resp.StatusCode)
				assert.LessOrEqual(t, time.Since(start), 200*time.Millisecond)
				assert.LessOrEqual(t, refused.read.Load(), tc.read)
				<-refused.closed
			})
		})
	}
}

// RFC 9110 §6.4.1: these have no body, whatever a handler makes of them.
func TestBridge_AnAnswerThatMustHaveNoBodyHasNone(t *testing.T) {
	closing := func() *watchedBody { return newWatchedBody("a handler's") }
	for name, tc := range map[string]struct {
		method string
		status int
		said   string // the synthetic answer's Content-Length
		length int64
	}{
		"HEAD":                  {http.MethodHead, 200, "", -1},
		"HEAD, with its length": {http.MethodHead, 200, "11", 11},
		"HEAD, refused":         {http.MethodHead, 404, "", -1},
		"204":                   {http.MethodGet, 204, "", 0},
		"304":                   {http.MethodGet, 304, "", 0},
	} {
		for kind, put := range map[string]func(r *axle.Response, stream *watchedBody){
			"bytes":  func(r *axle.Response, _ *watchedBody) { r.SetBytes([]byte("a handler's")) },
			"stream": func(r *axle.Response, stream *watchedBody) { r.SetStream(stream) },
		} {
			for source, synthetic := range map[string]bool{"synthetic": true, "of the network": false} {
				t.Run(strings.Join([]string{name, kind, source}, ", "), func(t *testing.T) {
					c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
						if tc.said != "" {
							w.Header().Set("Content-Length", tc.said)
						}
						w.WriteHeader(tc.status)
					})
					stream := closing()
					act := func(resp *axle.Response) *axle.Response {
						if synthetic {
							header := http.Header{}
							if tc.said != "" {
								header.Set("Content-Length", tc.said)
							}
							resp = axle.NewResponse(resp.Request, tc.status, header, nil)
						}
						put(resp, stream)
						return resp
					}
					c.SetValidateStatus(nil)
					useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return act(resp), nil })
					resp, err := c.HTTPClient().Do(newRequest(t, tc.method, c.BaseURL(), nil))
					require.NoError(t, err)
					body, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					assert.Empty(t, body)
					assert.Equal(t, tc.length, resp.ContentLength)
					assert.Equal(t, tc.said, resp.Header.Get("Content-Length"))
					require.NoError(t, resp.Body.Close())
					assert.Equal(t, kind == "stream", stream.IsClosed())
				})
			}
		}
	}
}

func TestBridge_AStreamThatAHandlerPutInHasNoStaleLength(t *testing.T) {
	anotherOfLength := func(said string) func(r *axle.Response) {
		return func(r *axle.Response) {
			_ = r.Stream().Close()
			r.Header.Set("Content-Length", said)
			r.SetStream(io.NopCloser(strings.NewReader("another")))
		}
	}
	for name, tc := range map[string]struct {
		put    func(r *axle.Response)
		body   string
		length int64
		header string
	}{
		"another": {func(r *axle.Response) {
			_ = r.Stream().Close()
			r.SetStream(io.NopCloser(strings.NewReader("another, longer")))
		}, "another, longer", -1, ""},
		"wrapped": {func(r *axle.Response) {
			r.SetStream(struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader("wrapped "), r.Stream()), r.Stream()})
		}, "wrapped short", -1, ""},
		"of a length that the handler knows": {anotherOfLength("7"), "another", 7, "7"},
		"of no bytes, as the handler knows": {func(r *axle.Response) {
			_ = r.Stream().Close()
			r.Header.Set("Content-Length", "0")
			r.SetStream(http.NoBody)
		}, "", 0, "0"},
		"of a length below zero":  {anotherOfLength("-7"), "another", -1, ""},
		"of the length -1":        {anotherOfLength("-1"), "another", -1, ""},
		"of a length with a sign": {anotherOfLength("+7"), "another", -1, ""},
		"of a length in words":    {anotherOfLength("seven"), "another", -1, ""},
		"of a response by hand": {func(r *axle.Response) {
			_ = r.Stream().Close()
			*r = *axle.NewResponse(r.Request, 200, http.Header{"Content-Length": {"7"}}, nil)
			r.SetStream(io.NopCloser(strings.NewReader("another")))
		}, "another", 7, "7"},
		"buffered after all": {func(r *axle.Response) {
			r.SetStream(struct {
				io.Reader
				io.Closer
			}{io.MultiReader(r.Stream(), strings.NewReader(" no more")), r.Stream()})
			_ = r.Buffer()
		}, "short no more", 13, "13"},
		"left alone": {func(*axle.Response) {}, "short", 5, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, serve func(http.HandlerFunc) *axle.Client) {
				c := serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "short") })
				useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
					tc.put(resp)
					return resp, nil
				})
				resp, err := c.HTTPClient().Get(c.BaseURL())
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, tc.body, string(body))
				assert.Equal(t, tc.length, resp.ContentLength)
				assert.Equal(t, tc.header, resp.Header.Get("Content-Length"))
			})
		})
	}
}

// The header says a length only where it said one before, as net/http's own says none for a chunked body.
func TestBridge_AHandlersBytesAddNoContentLengthToAHeaderThatSaidNone(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a piece")
		_ = http.NewResponseController(w).Flush()
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes([]byte("whole")), nil })
	resp, err := c.HTTPClient().Get(c.BaseURL())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.EqualValues(t, 5, resp.ContentLength)
	assert.NotContains(t, resp.Header, "Content-Length")
}

func TestBridge_AHandlersResponseKeepsItsHeaderAsTheHandlerWroteIt(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	cached := http.Header{"Content-Length": {"99"}, "X-Cached": {"1"}}
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		_ = resp.Stream().Close()
		return axle.NewResponse(resp.Request, 200, cached, []byte("bytes")), nil
	})
	resp, err := c.HTTPClient().Get("http://axle.test/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.Header{"Content-Length": {"5"}, "X-Cached": {"1"}}, resp.Header)
	assert.Equal(t, http.Header{"Content-Length": {"99"}, "X-Cached": {"1"}}, cached, "it may answer other calls at the same time")
}

func TestBridge_AnIncompleteAnswerOfATransportIsCompletedOrAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		method  string
		answer  *http.Response
		message string // of the error; empty: there is none
	}{
		"none":                         {"GET", nil, "neither a response nor an error"},
		"no body and no header":        {"GET", &http.Response{StatusCode: http.StatusOK}, ""},
		"no body where bytes are said": {"GET", &http.Response{StatusCode: http.StatusOK, ContentLength: 3}, "a response of 3 bytes without a body"},
		"a HEAD's, of bytes":           {"HEAD", &http.Response{StatusCode: http.StatusOK, ContentLength: 3}, ""},
	} {
		for _, limit := range []int64{0, 10} {
			t.Run(name, func(t *testing.T) {
				c, _ := newFakeClient(func(*http.Request) (*http.Response, error) { return tc.answer, nil })
				c.SetResponseLimit(limit)
				useFulfilled(c, func(r *axle.Response) (*axle.Response, error) { r.Header.Set("X-Seen", "1"); return r, nil })

				resp, err := c.HTTPClient().Do(newRequest(t, tc.method, "http://axle.test/", nil))
				if tc.message != "" {
					require.ErrorIs(t, err, axle.CodeNetwork)
					require.ErrorContains(t, err, tc.message)
					return
				}
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Empty(t, body)
				assert.NoError(t, resp.Body.Close())
				assert.NotNil(t, resp.Header)
			})
		}
	}
}

func TestBridge_AResponseThatAHandlerWroteByHandHasAHeader(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return &axle.Response{StatusCode: 200}, nil })
	resp, err := c.HTTPClient().Get("http://axle.test/")
	require.NoError(t, err)
	assert.NotNil(t, resp.Header)
	assert.NoError(t, resp.Body.Close())
}
