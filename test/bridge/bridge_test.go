package bridge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestBridge_TheRequestIsNotMutated(t *testing.T) {
	c := newLoopback(t, reflectRequest)
	useRequest(c, func(r *axle.Request) {
		r.Header.Set("X-Added", "1")
		r.Header["X-Own"][0] = "changed"
		r.SetQueryParam("q", "1").SetMethod("PUT").SetBody("another")
	})
	req := newRequest(t, "POST", c.BaseURL()+"/a", strings.NewReader("body"))
	req.Header.Set("X-Own", "1")
	before := req.Clone(req.Context())
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Contains(t, string(body), `PUT /a?q=1`)
	assert.Contains(t, string(body), `body="another"`)
	assert.Equal(t, before.Header, req.Header)
	assert.Equal(t, before.URL, req.URL)
	assert.Equal(t, before.Method, req.Method)
	assert.Same(t, req, resp.Request)
}

func TestBridge_TheRequestsBodyIsAlwaysClosed(t *testing.T) {
	ok := newLoopback(t, func(http.ResponseWriter, *http.Request) {})
	refusing, _ := newFakeClient(always(200, ""))
	refusing.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	unread, _ := newFakeClient(always(200, ""))
	useRequest(unread, func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 200, nil, nil)) })
	failing, _ := newFakeClient(unreachable)
	replaced, _ := newFakeClient(always(200, ""))
	useRequest(replaced, func(r *axle.Request) { r.SetBody("another") })
	for name, c := range map[string]*axle.Client{"sent": ok, "refused by a handler": refusing, "answered by a handler": unread, "network": failing, "replaced": replaced} {
		body := newWatchedBody("body")
		resp, err := c.RoundTripper().RoundTrip(newRequest(t, "POST", cmpURL(c), body))
		if err == nil {
			_ = resp.Body.Close()
		}
		assert.Eventually(t, body.IsClosed, 5*time.Second, time.Millisecond, name) // a transport may close it a little later
	}
	body := newWatchedBody("body")
	req := newRequest(t, "POST", "http://axle.test/", body)
	req.URL = &url.URL{Scheme: "ftp", Host: "axle.test"}
	_, err := ok.RoundTripper().RoundTrip(req) //nolint:bodyclose // it fails
	require.Error(t, err)
	assert.True(t, body.IsClosed(), "bad input")
}

func cmpURL(c *axle.Client) string { return c.BaseURL() + "/" }

func TestBridge_AHandlersErrorIsAnErrorAndARefusedStatusAResponse(t *testing.T) {
	for name, c := range map[string]struct {
		install func(*axle.Client)
		status  int
		fails   bool
	}{
		"refused, nobody cares": {func(*axle.Client) {}, 503, false},
		"refused, passed on":    {func(c *axle.Client) { passThroughPair(c) }, 503, false},
		"refused, wrapped": {func(c *axle.Client) {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return nil, fmt.Errorf("x: %w", err) })
		}, 0, true},
		"refused, recovered": {func(c *axle.Client) { useRejected(c, recoverWith(202)) }, 202, false},
		"a plain error": {func(c *axle.Client) {
			useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, errBoom })
		}, 0, true},
		"neither": {func(c *axle.Client) { useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, nil }) }, 0, true},
		"an error of a request chain": {func(c *axle.Client) {
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
		}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			client := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
			c.install(client)
			resp, err := client.RoundTripper().RoundTrip(newRequest(t, "GET", client.BaseURL(), nil))
			if c.fails {
				require.Error(t, err)
				assert.Nil(t, resp)
				return
			}
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Equal(t, c.status, resp.StatusCode)
		})
	}
}

// recoverWith is a rejected handler that recovers.
func recoverWith(status int) func(*axle.Error) (*axle.Response, error) {
	return func(err *axle.Error) (*axle.Response, error) {
		return axle.NewResponse(err.Request, status, nil, []byte("recovered")), nil
	}
}

func TestBridge_TheChainsRunOncePerHop(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	var hops []string
	useRequest(c, func(r *axle.Request) { u, _ := r.ResolveURL(); hops = append(hops, u.Path) })
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+"/", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"/", "/next"}, hops)
}

func TestBridge_AReplaySendsTheSameBodyAndReturnsAStream(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"GetBody":        func() io.Reader { return strings.NewReader("body") },
		"a small stream": func() io.Reader { return opaque("body") },
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				if n++; n == 1 {
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				_, _ = io.Copy(w, r.Body)
			})
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
			resp, err := c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), body()))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, "body", string(got))
		})
	}
}

func TestBridge_AReplayDoesNotWaitForABodyThatIsStillToCome(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			again := make(chan struct{})
			var n atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					w.Header().Set("Connection", "close")
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				close(again)
				_, _ = io.Copy(w, r.Body)
			}))
			server.EnableHTTP2 = h2
			server.StartTLS()
			defer server.Close()
			c := axle.New().SetTransport(server.Client().Transport)
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				_ = err.Response.Stream().Close() // HTTP/2's waits for the request to let go of its body
				return err.Request.Replay()
			})
			body, writer := io.Pipe()
			go func() {
				<-again // only now does the user have something to say
				_, _ = io.WriteString(writer, "all of it")
				_ = writer.Close()
			}()
			resp, err := c.HTTPClient().Do(newRequest(t, "POST", server.URL, body))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, "all of it", string(got))
		})
	}
}

// sharedBody is a body whose GetBody rewinds and returns one reader, as Connect's does.
type sharedBody struct{ *bytes.Reader }

func (sharedBody) Close() error { return nil }

func TestBridge_AnAttemptThatIsOverTakesNothingFromTheNext(t *testing.T) {
	first := make(chan io.Reader, 1)
	c := axle.New().SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		select {
		case first <- r.Body: // it answers, and goes on reading
			return reply(r, http.StatusServiceUnavailable, ""), nil
		default:
		}
		n, err := io.CopyN(io.Discard, <-first, 4)
		assert.Zero(t, n)
		require.Error(t, err)
		got, err := io.ReadAll(r.Body)
		return reply(r, http.StatusOK, string(got)), err
	}))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	body := sharedBody{bytes.NewReader([]byte("whole"))}
	req := newRequest(t, "POST", "http://axle.test/", body)
	req.ContentLength = 5
	req.GetBody = func() (io.ReadCloser, error) { _, err := body.Seek(0, io.SeekStart); return body, err }
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "whole", string(got))
}

func TestOrigins_OnTheHopsOfARedirectTheFirstRequestsOriginDecides(t *testing.T) {
	var seen []http.Header
	var back string
	other := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, back+"/end", http.StatusFound)
		}
	})
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header)
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.BaseURL()+"/x", http.StatusFound)
		case "/thereandback":
			http.Redirect(w, r, other.BaseURL()+"/back", http.StatusFound)
		}
	})
	back = c.BaseURL()
	c.SetHeader("X-Api-Key", "client")
	useRequest(c, func(r *axle.Request) { r.Header.Set("Authorization", "Bearer handler"); r.Header.Set("X-Plain", "1") })
	for path, want := range map[string][]string{"/away": {"yes", "no"}, "/thereandback": {"yes", "no", "no"}} {
		seen = nil
		resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+path, nil))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		var got []string
		for _, h := range seen {
			switch has := []bool{h.Get("Authorization") != "", h.Get("X-Api-Key") != ""}; {
			case has[0] && has[1]:
				got = append(got, "yes")
			case !has[0] && !has[1]:
				got = append(got, "no")
			default:
				got = append(got, fmt.Sprint(has))
			}
			assert.Equal(t, "1", h.Get("X-Plain"), "what is no credential does follow")
		}
		assert.Equal(t, want, got, path)
	}
}

func TestP14_StreamsBeyondTheReplayLimitKeepFlatMemory(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.Copy(w, &endless{Left: 128 << 20})
	})
	for name, send := range map[string]func() (io.ReadCloser, error){
		"axle": func() (io.ReadCloser, error) {
			resp, err := c.R(t.Context()).SetStream(true).SetBody(&endless{Left: 128 << 20}).Post("/")
			if err != nil {
				return nil, err
			}
			return resp.Stream(), nil
		},
		"the bridge": func() (io.ReadCloser, error) {
			resp, err := c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), &endless{Left: 128 << 20}))
			if err != nil {
				return nil, err
			}
			return resp.Body, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			body, err := send()
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, body)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			runtime.ReadMemStats(&after)
			assert.EqualValues(t, 128<<20, n)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "all that was ever allocated for 256 MB")
		})
	}
}

func TestBridge_CloseIdleConnectionsReachesTheTransport(t *testing.T) {
	var closed atomic.Bool
	c := axle.New().SetTransport(&closingTransport{closed: &closed})
	c.HTTPClient().CloseIdleConnections()
	assert.True(t, closed.Load())
	axle.New().SetTransport(&fakeTransport{}).HTTPClient().CloseIdleConnections() // one that has no such thing
}

type closingTransport struct {
	fakeTransport
	closed *atomic.Bool
}

func (c *closingTransport) CloseIdleConnections() { c.closed.Store(true) }

func TestBridge_HandlersSeeRealRequestsAndResponses(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var log []string
	useRequest(c, func(r *axle.Request) {
		u, err := r.ResolveURL()
		assert.NoError(t, err)
		log = append(log, r.Method+" "+u.Path+" "+r.Header.Get("X-A"))
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		log = append(log, fmt.Sprint(resp.StatusCode, resp.Bytes() == nil))
		if err := resp.Buffer(); err != nil {
			return nil, err
		}
		return resp.SetBytes(bytes.ToUpper(resp.Bytes())), nil
	})
	req := newRequest(t, "POST", c.BaseURL()+"/a", strings.NewReader("body"))
	req.Header.Set("X-A", "1")
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "BODY", string(got))
	assert.EqualValues(t, 4, resp.ContentLength)
	assert.Equal(t, []string{"POST /a 1", "200 true"}, log)
	assert.Equal(t, []string{"X-A"}, slices.Sorted(maps.Keys(req.Header)))
}
