package axle_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestOnEnd_RunsForAStreamWhenItIsClosed(t *testing.T) {
	for name, closeIt := range map[string]func(*axle.Response) error{
		"closed":   func(r *axle.Response) error { return r.Stream().Close() },
		"buffered": func(r *axle.Response) error { return r.Buffer() },
		"decoded":  func(r *axle.Response) error { return r.Decode(new(string)) },
		"replaced": func(r *axle.Response) error { r.SetBytes(nil); return nil },
		"closed twice": func(r *axle.Response) error {
			return errors.Join(r.Stream().Close(), r.Stream().Close())
		},
		"closed as a copy": func(r *axle.Response) error { c := *r; return c.Stream().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "text") })
			var e ends
			e.useOnEnd(c)
			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			first := make([]byte, 1)
			_, err = io.ReadFull(resp.Stream(), first)
			require.NoError(t, err)
			assert.Empty(t, e.taken(), "before")

			require.NoError(t, closeIt(resp))
			assert.Equal(t, []string{"ok 200"}, e.taken())
		})
	}
}

func TestOnEnd_RunsForAStreamAfterItsCloseAndNotAtItsEnd(t *testing.T) {
	body := newWatchedBody("text")
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return replyWith(r, 200, body), nil })
	var e ends
	r := c.R(t.Context()).SetStream(true)
	r.OnEnd(func(*axle.Response, *axle.Error) { e.add(fmt.Sprint("closed: ", body.IsClosed())) })
	resp, err := r.Get("/")
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Empty(t, e.taken())
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, []string{"closed: true"}, e.taken())
}

func TestOnEnd_GetsTheErrorOfAStreamThatBrokeOff(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "text")
	})
	var e ends
	r := c.R(t.Context()).SetStream(true)
	r.OnEnd(e.note)
	r.OnEnd(func(_ *axle.Response, err *axle.Error) {
		assert.Equal(t, 200, err.StatusCode(), "it carries the response")
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	resp, err := r.Get("/")
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Stream())
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, []string{"ERR_NETWORK"}, e.taken())
}

func TestOnEnd_AReadThatCloseInterruptsIsNoFailure(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	var e ends
	e.useOnEnd(c)
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)

	var g sync.WaitGroup
	reading := make(chan struct{})
	g.Go(func() {
		close(reading)
		_, err := resp.Stream().Read(make([]byte, 1))
		assert.Error(t, err)
	})
	<-reading
	require.NoError(t, resp.Stream().Close())
	g.Wait()
	assert.Equal(t, []string{"ok 200"}, e.taken())
}

func TestOnEnd_RunsAtOnceWhenAStreamIsNotHandedOut(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(network.Answer)
	var e ends
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errBoom })
	r := c.R(t.Context()).SetStream(true)
	r.OnEnd(func(*axle.Response, *axle.Error) { e.add(fmt.Sprint("open: ", network.Open())) })
	_, err := r.Get("/")
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, []string{"open: []"}, e.taken(), "after the stream was closed")
}

func TestOnEnd_AStreamOfASwitchedProtocolCanStillBeWritten(t *testing.T) {
	c := newLoopback(t, echoAfterUpgrade(t))
	var e ends
	e.useOnEnd(c)
	resp, err := c.R(t.Context()).SetStream(true).SetValidateStatus(nil).
		SetHeader("Connection", "Upgrade").SetHeader("Upgrade", "echo").Get("/")
	require.NoError(t, err)
	duplex, ok := resp.Stream().(io.ReadWriteCloser)
	require.True(t, ok)
	_, err = io.WriteString(duplex, "ping\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(duplex).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "ping\n", line)
	assert.Empty(t, e.taken())
	require.NoError(t, duplex.Close())
	assert.Equal(t, []string{"ok 101"}, e.taken())
}

// echoAfterUpgrade switches protocols and sends one line back.
func echoAfterUpgrade(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	}
}

// A context that a request handler makes bounds the call and the reading of its stream. OnEnd gives
// it up when nobody needs it any more.
func TestOnEnd_ReleasesAContextOfAHandlerWithoutCuttingTheStream(t *testing.T) {
	for name, over := range map[string]func(t *testing.T, c *axle.Client) io.ReadCloser{
		"a stream": func(t *testing.T, c *axle.Client) io.ReadCloser {
			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			return resp.Stream()
		},
		"the bridge": func(t *testing.T, c *axle.Client) io.ReadCloser {
			resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL(), nil))
			require.NoError(t, err)
			return resp.Body
		},
	} {
		t.Run(name, func(t *testing.T) {
			const text = "0123456789"
			c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
				for range 1000 {
					_, _ = io.WriteString(w, text)
					_ = http.NewResponseController(w).Flush()
				}
			})
			var made []context.Context
			useRequest(c, func(r *axle.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				made = append(made, ctx)
				r.SetContext(ctx).OnEnd(func(*axle.Response, *axle.Error) { cancel() })
			})
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) {
				return r.Request.Replay()
			})

			stream := over(t, c)
			body, err := io.ReadAll(stream)
			require.NoError(t, err)
			assert.Equal(t, strings.Repeat(text, 1000), string(body))
			require.NoError(t, stream.Close())
			require.Len(t, made, 2)
			for _, ctx := range made {
				assert.ErrorIs(t, ctx.Err(), context.Canceled)
			}
		})
	}
}
