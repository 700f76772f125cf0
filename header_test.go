package axle_test

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// One name, one header.

func TestHeader_OneNameIsOneHeaderInWhateverCaseAHandlerWritesIt(t *testing.T) {
	for name, x := range map[string]struct {
		given http.Header // the caller's
		write func(r *axle.Request)
		want  []string
	}{
		"a handler's": {nil, func(r *axle.Request) { r.Header["x-name"] = []string{"handler"} }, []string{"handler"}},
		"a handler's takes the place of the caller's": {
			http.Header{"X-Name": {"own"}}, func(r *axle.Request) { r.Header["x-name"] = []string{"handler"} }, []string{"handler"},
		},
		"of the caller's in odd case too": {
			http.Header{"x-NAME": {"own"}}, func(r *axle.Request) { r.Header["x-name"] = []string{"handler"} }, []string{"handler"},
		},
		"a handler's in the canonical spelling too": {
			http.Header{"x-NAME": {"own"}}, func(r *axle.Request) { r.SetHeader("X-Name", "handler") }, []string{"handler"},
		},
		"two of handlers merge": {
			nil, func(r *axle.Request) { r.Header["x-name"], r.Header["X-Name"] = []string{"b"}, []string{"a"} }, []string{"a", "b"},
		},
		"three of handlers merge, and equal values are one": {
			http.Header{"X-Name": {"own"}},
			func(r *axle.Request) {
				r.Header["x-name"], r.Header["X-NAME"], r.Header["X-Name"] = []string{"b", "a"}, []string{"b"}, []string{"a", "own"}
			},
			[]string{"a", "own", "b"},
		},
		"the caller's merge": {http.Header{"X-Name": {"a"}, "x-name": {"b", "a"}}, func(*axle.Request) {}, []string{"a", "b"}},
	} {
		for mode, send := range map[string]func(c *axle.Client) error{
			"axle": func(c *axle.Client) error {
				_, err := c.Get(t.Context(), "/", func(r *axle.Request) { r.Header = x.given })
				return err
			},
			"bridge": func(c *axle.Client) error {
				r := newRequest(t, http.MethodGet, "http://axle.test/", nil)
				r.Header = x.given
				resp, err := c.RoundTripper().RoundTrip(r)
				if err == nil {
					_ = resp.Body.Close()
				}
				return err
			},
		} {
			var got http.Header
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				got = r.Header.Clone()
				return reply(r, 200, ""), nil
			})
			before := x.given.Clone()
			useRequest(c, x.write)
			require.NoError(t, send(c), name)
			assert.Equal(t, x.want, got["X-Name"], "%s, by %s", name, mode)
			for spelled := range got {
				assert.Equal(t, http.CanonicalHeaderKey(spelled), spelled, "%s, by %s", name, mode)
			}
			assert.Equal(t, before, x.given, "the caller's is not modified")
		}
	}
}

func TestHeader_ADefaultInOddCaseByAHandlerIsReplaced(t *testing.T) {
	var got http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Clone()
		return reply(r, 200, ""), nil
	})
	c.SetHeader("X-Api-Key", "default").SetMethodHeader(http.MethodGet, "X-Method", "default")
	useRequest(c, func(r *axle.Request) {
		for _, name := range []string{"x-api-key", "x-method", "accept", "user-agent"} {
			r.Header[name] = []string{"handler"}
		}
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, http.Header{"X-Api-Key": {"handler"}, "X-Method": {"handler"}, "Accept": {"handler"}, "User-Agent": {"handler"}}, got)
}

func TestHeader_TheClientsDefaultsGoWithEveryKindOfBody(t *testing.T) {
	for name, body := range map[string]any{
		"none": nil, "a form": url.Values{"a": {"1"}}, "a multipart form": axle.NewMultipart().Field("a", "1"), "no bytes": []byte(nil),
		"bytes": []byte("a"), "text": "a", "JSON": map[string]int{"a": 1}, "a reader": strings.NewReader("a"),
	} {
		var got http.Header
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			got = r.Header
			return reply(r, 200, ""), nil
		})
		c.SetHeader("X-Default", "1").SetMethodHeader(http.MethodPost, "X-Method", "2")
		_, err := c.R(t.Context()).SetBody(body).Post("/")
		require.NoError(t, err, name)
		assert.Equal(t, "1 2", got.Get("X-Default")+" "+got.Get("X-Method"), name)
	}
}

func TestHeader_WhatHandlersWriteInTwoSpellingsIsSentTogether(t *testing.T) {
	const ofAxle = "application/json, text/plain, */*"
	for name, x := range map[string]struct {
		canonical []string // as one handler leaves it
		want      []string // after another has written "odd" in another case
	}{
		"axle's own is replaced": {[]string{ofAxle}, []string{"odd"}},
		"a handler's is not":     {[]string{"text/csv"}, []string{"text/csv", "odd"}},
		"what a handler adds":    {[]string{ofAxle, "text/csv"}, []string{ofAxle, "text/csv", "odd"}},
		"the same value is once": {[]string{"odd"}, []string{"odd"}},
	} {
		var got []string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			got = r.Header["Accept"]
			return reply(r, 200, ""), nil
		})
		useRequest(c, func(r *axle.Request) { r.Header["Accept"], r.Header["accept"] = x.canonical, []string{"odd"} })
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, x.want, got, name)
	}
}

func TestHeader_AReplaysEditInOddCaseIsTheOneThatIsSent(t *testing.T) {
	var got []http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.Header.Clone())
		return reply(r, 200, ""), nil
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		if resp.Request.Attempt() > 1 {
			return resp, nil
		}
		return resp.Request.Replay(func(r *axle.Request) { r.Header["x-api-key"] = []string{"new"} })
	})
	_, err := c.R(t.Context()).SetHeader("X-Api-Key", "old").Get("/")
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.Equal(t, []string{"old"}, got[0]["X-Api-Key"])
	assert.Equal(t, []string{"new"}, got[1]["X-Api-Key"])
	assert.NotContains(t, got[1], "x-api-key")
}

// What a transport reads in the frame of a message goes out once, whatever its spelling.
func TestHeader_FramingNamesAreRecognizedInWhateverCase(t *testing.T) {
	for mode, send := range map[string]func(c *axle.Client, header http.Header) error{
		"axle": func(c *axle.Client, header http.Header) error {
			_, err := c.Post(t.Context(), "/", "body", func(r *axle.Request) { r.Header = header })
			return err
		},
		"bridge": func(c *axle.Client, header http.Header) error {
			r := newRequest(t, http.MethodPost, c.BaseURL()+"/", strings.NewReader("body"))
			r.Header = header
			resp, err := c.HTTPClient().Do(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		},
	} {
		for source := range map[string]bool{"a handler": true, "the caller": true} {
			raw := newRawServer(t)
			c := newClient().SetBaseURL("http://" + raw.addr).SetTransport(raw.transport)
			odd := http.Header{
				"hOST": {"other.test"}, "transfer-encoding": {"chunked"}, "cOnTent-length": {"4"}, "trailer": {"X-T"},
				"connection": {"close"}, "te": {"trailers"}, "uSER-agent": {"mine"}, "content-TYPE": {"text/odd"},
			}
			header := http.Header{}
			if source == "the caller" {
				header = odd
			} else {
				useRequest(c, func(r *axle.Request) { maps.Copy(r.Header, odd) })
			}
			require.NoError(t, send(c, header), "%s, %s", mode, source)
			got := strings.ToLower(raw.taken())
			for _, line := range []string{
				"host: other.test", "content-length: 4", "connection: close", "te: trailers", "user-agent: mine", "content-type: text/odd",
			} {
				name, _, _ := strings.Cut(line, ":")
				assert.Equal(t, 1, strings.Count(got, "\r\n"+line+"\r\n"), "%s, %s, %s: %s", mode, source, line, got)
				assert.Equal(t, 1, strings.Count(got, "\r\n"+name+":"), "%s, %s, %s: %s", mode, source, name, got)
			}
			assert.NotContains(t, got, "transfer-encoding", "%s, %s", mode, source)
			assert.NotContains(t, got, "trailer:", "%s, %s", mode, source)
		}
	}
}

func TestHeader_OverHTTP2TooOneNameIsOneHeader(t *testing.T) {
	var got *http.Request
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	server.EnableHTTP2 = true
	server.StartTLS()
	transport := server.Client().Transport.(*http.Transport).Clone() //nolint:forcetypeassert // httptest's is one
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	c := newClient().SetBaseURL(server.URL).SetTransport(transport).SetHeader("X-Api-Key", "default")
	useRequest(c, func(r *axle.Request) {
		r.Header["x-api-key"], r.Header["hOST"], r.Header["connection"] = []string{"handler"}, []string{"other.test"}, []string{"close"}
	})
	send := map[string]func() error{
		"axle": func() error { _, err := c.Get(t.Context(), "/"); return err },
		"bridge": func() error {
			resp, err := c.HTTPClient().Get(server.URL)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		},
	}
	for mode := range send {
		require.NoError(t, send[mode](), mode)
		assert.Equal(t, "HTTP/2.0", got.Proto, mode)
		assert.Equal(t, "other.test", got.Host, mode)
		assert.Equal(t, []string{"handler"}, got.Header["X-Api-Key"], mode)
		assert.Empty(t, got.Header["Connection"], mode)
	}
}

// rawServer answers over one side of a pipe, and keeps the bytes that came.
type rawServer struct {
	addr      string
	transport *http.Transport
	mu        sync.Mutex
	came      bytes.Buffer
}

func (s *rawServer) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came.String()
}

// Write keeps what a connection reads.
func (s *rawServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came.Write(p)
}

func newRawServer(t *testing.T) *rawServer {
	t.Helper()
	s := &rawServer{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Listener = teeListener{server.Listener, s}
	server.Start()
	s.addr, s.transport = server.Listener.Addr().String(), &http.Transport{}
	t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		server.Close()
	})
	return s
}

type teeListener struct {
	net.Listener
	to *rawServer
}

func (l teeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return teeConn{conn, l.to}, err
}

type teeConn struct {
	net.Conn
	to *rawServer
}

func (c teeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.to.Write(p[:n])
	return n, err
}

func TestHeader_SetByCallerTellsSeveralHeadersApart(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetHeader("X-Api-Key", "default")
	useRequest(c, func(r *axle.Request) {
		for name, want := range map[string]bool{"Authorization": true, "Cookie": true, "X-Own": true, "X-Api-Key": false, "X-None": false} {
			assert.Equal(t, want, r.SetByCaller(name), name)
		}
	})
	_, err := c.Get(t.Context(), "/", func(r *axle.Request) {
		r.SetHeader("Authorization", "own").SetHeader("Cookie", "own=1").SetHeader("X-Own", "own")
	})
	require.NoError(t, err)
}

func TestHeader_SetByCallerAndBindHeaderFindANameInWhateverCase(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetInterceptorOrder(axle.FIFO)
	var own []bool
	ask := func(r *axle.Request) { own = append(own, r.SetByCaller("x-api-KEY")) }
	useRequest(c, ask)
	useRequest(c, func(r *axle.Request) { r.Header["x-API-key"] = []string{"handler"} })
	useRequest(c, ask)
	_, err := c.Get(t.Context(), "/", func(r *axle.Request) { r.Header["x-api-key"] = []string{"own"} })
	require.NoError(t, err)
	assert.Equal(t, []bool{true, false}, own)
	odd := &axle.Request{Header: http.Header{"x-api-key": {"own"}}}
	assert.True(t, odd.SetByCaller("X-Api-Key"), "outside a call")
}

func TestCall_AHeaderLiteralInAnotherCaseIsTheSameHeader(t *testing.T) {
	var seen http.Header
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	c.SetHeader("Authorization", "default").SetHeader("X-Foo", "default")
	header := http.Header{"authorization": {"mine"}, "x-foo": {"mine"}, "accept": {"text/csv"}}
	_, err := c.Do(&axle.Request{URL: "/", Header: header})
	require.NoError(t, err)
	assert.Equal(t, []string{"mine"}, seen["Authorization"])
	assert.Equal(t, []string{"mine"}, seen["X-Foo"])
	assert.Equal(t, []string{"text/csv"}, seen["Accept"])
	assert.Contains(t, header, "x-foo", "the caller's map is left alone")
}

func TestCall_AHostHeaderIsSent(t *testing.T) {
	var host string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	_, err := c.R(t.Context()).SetHeader("Host", "virtual.test").Get("/")
	require.NoError(t, err)
	assert.Equal(t, "virtual.test", host)
}
