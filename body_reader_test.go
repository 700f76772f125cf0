package axle_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestBody_AReaderThatFailsFailsTheCall(t *testing.T) {
	c, _ := newBodyServer(t)
	_, err := c.Post(t.Context(), "/", io.MultiReader(strings.NewReader("x"), failingReader{}))
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, axle.CodeNetwork, asAxle(t, err).Code)
}

func TestP14_AnOpaqueReaderIsPulledByTheTransportAndNotReadAhead(t *testing.T) {
	const size, chunk = 8 << 20, 32 << 10
	source := &countingReader{Reader: &endless{Left: size}}
	most := int64(0)
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		assert.EqualValues(t, -1, r.ContentLength)
		assert.Zero(t, source.N.Load(), "nothing is read before it is asked for")
		buf := make([]byte, chunk)
		taken := int64(0)
		for {
			n, err := r.Body.Read(buf)
			taken += int64(n)
			most = max(most, source.N.Load()-taken)
			if err != nil {
				assert.Equal(t, io.EOF, err)
				break
			}
		}
		assert.EqualValues(t, size, taken)
		return reply(r, 200, ""), nil
	})
	passThroughPair(c)
	_, err := c.Post(t.Context(), "/", source)
	require.NoError(t, err)
	assert.Zero(t, most, "bytes read ahead")
}

func TestP14_WhatIsSentArrivesBeforeTheReaderHasEnded(t *testing.T) {
	arrived := make(chan struct{})
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 5))
		close(arrived)
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Rest", strings.Repeat("x", int(n)))
	})
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "first")
		<-arrived // or the test hangs
		_, _ = io.WriteString(writer, "rest")
		writer.Close()
	}()
	resp, err := c.Post(t.Context(), "/", body)
	require.NoError(t, err)
	assert.Equal(t, "xxxx", resp.Header.Get("X-Rest"))
}

// A reader is closed when the call is done with it, on every path, and not before.

func TestP10_TheRequestsReaderIsClosedWhenTheCallIsDoneOnEveryPath(t *testing.T) {
	redirect := func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		resp := reply(r, http.StatusTemporaryRedirect, "")
		resp.Header.Set("Location", "/next")
		return resp, nil
	}
	unread := func(r *http.Request) (*http.Response, error) { return reply(r, 200, ""), nil }
	type prepared = func(c *axle.Client, r *axle.Request)
	none := func(*axle.Client, *axle.Request) {}
	for name, x := range map[string]struct {
		answer  func(*http.Request) (*http.Response, error)
		prepare prepared
		fails   bool
	}{
		"sent":      {echoCall, none, false},
		"unread":    {unread, none, false},
		"refused":   {echoThen500, none, true},
		"network":   {unreachable, none, true},
		"redirects": {redirect, none, true},
		"a redirect that a check refuses": {redirect, func(_ *axle.Client, r *axle.Request) {
			r.SetRedirectCheck(func(*http.Request, []*http.Request) error { return errBoom })
		}, true},
		"a redirect that is the answer": {redirect, func(_ *axle.Client, r *axle.Request) {
			r.SetRedirectCheck(func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })
		}, true},
		"no redirects": {redirect, func(c *axle.Client, _ *axle.Request) { c.SetMaxRedirects(0) }, true},
		"replayed": {echoThen500, func(c *axle.Client, _ *axle.Request) {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
		}, true},
		"sent by Do":   {echoThen500, func(c *axle.Client, _ *axle.Request) { useRejected(c, doOnce(c)) }, true},
		"nil context":  {unread, func(_ *axle.Client, r *axle.Request) { r.SetContext(nil) }, true}, //nolint:staticcheck // that is what is tested
		"bad header":   {unread, func(_ *axle.Client, r *axle.Request) { r.SetHeader("X-A", "a\nb") }, true},
		"bad URL":      {unread, func(_ *axle.Client, r *axle.Request) { r.SetQueryParam("a", "b").SetPathParam("id", "..") }, true},
		"bad timeout":  {unread, func(_ *axle.Client, r *axle.Request) { r.SetTimeout(-1) }, true},
		"bad settings": {unread, func(c *axle.Client, _ *axle.Request) { c.SetTimeout(-1) }, true},
		"bad base":     {unread, func(c *axle.Client, _ *axle.Request) { c.SetBaseURL("x") }, true},
		"too large":    {unread, func(c *axle.Client, r *axle.Request) { c.SetRequestLimit(1) }, false},
		"canceled":     {unread, func(_ *axle.Client, r *axle.Request) { r.SetContext(canceled()) }, true},
		"answered": {unread, func(c *axle.Client, _ *axle.Request) {
			useRequest(c, func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 200, nil, nil)) })
		}, false},
		"replaced": {unread, func(c *axle.Client, _ *axle.Request) { useRequest(c, func(r *axle.Request) { r.SetBody("another") }) }, false},
		"wrapped": {echoCall, func(c *axle.Client, _ *axle.Request) {
			useRequest(c, func(r *axle.Request) { r.SetBody(io.LimitReader(r.Body.(io.Reader), 2)) })
		}, false},
		"a handler": {unread, func(c *axle.Client, _ *axle.Request) {
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
		}, true},
		"no answer": {unread, func(c *axle.Client, _ *axle.Request) {
			c.SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) { return nil, r.Body.Close() }))
		}, true},
		"a read before an error": {echoCall, func(c *axle.Client, _ *axle.Request) {
			c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				_, _ = io.ReadFull(r.Body.(io.Reader), make([]byte, 2)) //nolint:forcetypeassert // it is one
				return nil, errBoom
			}, nil)
		}, true},
		"a read before": {echoCall, func(c *axle.Client, _ *axle.Request) {
			useRequest(c, func(r *axle.Request) { _, _ = io.ReadFull(r.Body.(io.Reader), make([]byte, 2)) })
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(x.answer)
			var body *watchedBody
			open := func(resp *axle.Response) (*axle.Response, error) {
				assert.False(t, body.IsClosed(), "not before the call is done: a handler may replay")
				return resp, nil
			}
			useFulfilled(c, open)
			body = newWatchedBody("body")
			r := c.R(t.Context()).SetBody(body)
			x.prepare(c, r)
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return open2(open, err) })
			_, err := r.Execute(http.MethodPost, "/{id}"[:1+4*boolInt(name == "bad URL")])
			assert.Equal(t, x.fails, err != nil, "%v", err)
			assert.EqualValues(t, 1, body.Closed.Load(), "times closed")
		})
	}
}

// open2 asserts in a rejected handler.
func open2(open func(*axle.Response) (*axle.Response, error), err *axle.Error) (*axle.Response, error) {
	_, _ = open(nil)
	return nil, err
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// doOnce is a rejected handler that sends the request again, as a new call, the first time that it is asked.
func doOnce(c *axle.Client) func(err *axle.Error) (*axle.Response, error) {
	done := false
	return func(err *axle.Error) (*axle.Response, error) {
		if done {
			return nil, err
		}
		done = true
		return c.Do(err.Request)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestP10_TheRequestsReaderIsClosedAlsoWhenAHandlerPanics(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { panic("boom") })
	body := newWatchedBody("body")
	assert.Panics(t, func() { _, _ = c.Post(t.Context(), "/", body) })
	assert.EqualValues(t, 1, body.Closed.Load())
}

func TestP10_AReaderThatATransportStillSendsIsClosedWhenItIsDone(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge) // without reading the body
	})
	body := new(endlessBody)
	_, err := c.Post(t.Context(), "/", body)
	require.Error(t, err)
	assert.Eventually(t, func() bool { return body.Closed.Load() == 1 }, 10*time.Second, time.Millisecond)
}

func TestBody_AReadThatHangsHoldsNoCallThatWasAnswered(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
		_ = control.Flush()
	})
	body, writer := io.Pipe() // nobody ever writes
	_, err := c.Post(t.Context(), "/", body)
	require.ErrorIs(t, err, axle.CodeBadRequest)
	for err = nil; err == nil; { // what the transport still takes is its business, but then it closes the reader
		_, err = writer.Write([]byte("x"))
	}
	assert.ErrorIs(t, err, io.ErrClosedPipe)
}

// A handler that wraps a body must not keep it from being closed, nor have it closed while a transport still sends it.

func TestP10_AReaderThatAHandlerWrapsIsClosedWhenTheTransportIsDoneWithTheWrapper(t *testing.T) {
	for name, send := range map[string]func(body io.ReadCloser, c *axle.Client) (*http.Response, error){
		"axle": func(body io.ReadCloser, c *axle.Client) (*http.Response, error) {
			resp, err := c.R(t.Context()).SetStream(true).SetBody(body).Post("/")
			if err != nil {
				return nil, err
			}
			return &http.Response{Body: resp.Stream()}, nil
		},
		"the bridge": func(body io.ReadCloser, c *axle.Client) (*http.Response, error) {
			return c.HTTPClient().Do(newRequest(t, "POST", c.BaseURL(), body))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				control := http.NewResponseController(w)
				_ = control.EnableFullDuplex()
				w.WriteHeader(http.StatusOK)
				_ = control.Flush()
				_, _ = io.Copy(w, r.Body)
			})
			useRequest(c, func(r *axle.Request) { r.SetBody(io.MultiReader(r.Body.(io.Reader))) }) //nolint:forcetypeassert // it is one
			pipe, writer := io.Pipe()
			body := &watchedBody{Reader: pipe}
			resp, err := send(body, c)
			require.NoError(t, err)
			assert.False(t, body.IsClosed(), "the call is over, and its body is still sent")
			_, err = io.WriteString(writer, "late")
			require.NoError(t, err)
			require.NoError(t, writer.Close())
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, "late", string(got))
			assert.Eventually(t, func() bool { return body.Closed.Load() == 1 }, 10*time.Second, time.Millisecond)
		})
	}
}

func TestBody_AReaderThatHangsEndsWithTheTimeLimit(t *testing.T) {
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, first := range map[string]int{"before the replay limit": 0, "after it": axle.ReplayLimit + 100_000} {
		for _, bridged := range []bool{false, true} {
			reader, writer := io.Pipe()
			go func() { _, _ = writer.Write(make([]byte, first)) }()
			var err error
			if bridged {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				req := newRequest(t, http.MethodPost, c.BaseURL(), reader).WithContext(ctx)
				_, err = c.RoundTripper().RoundTrip(req) //nolint:bodyclose // it fails
				cancel()
			} else {
				_, err = c.R(t.Context()).SetTimeout(200 * time.Millisecond).SetBody(reader).Post("/")
			}
			require.ErrorIs(t, err, axle.CodeTimeout, name)
			_ = writer.Close()
		}
	}
}

// net/http would read such a reader for ever, and in a browser nothing else would run meanwhile.
func TestBody_AReaderThatYieldsNeitherBytesNorAnErrorFailsTheCall(t *testing.T) {
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, first := range map[string]int{"before the replay limit": 0, "after it": axle.ReplayLimit + 100_000} {
		text := strings.Repeat("x", first)
		for kind, body := range map[string]io.Reader{
			"read once":     io.MultiReader(&stuckReader{text}),
			"closed":        &stuckReader{text},
			"of known size": io.LimitReader(&stuckReader{text}, int64(first)+10),
		} {
			_, err := c.Post(t.Context(), "/", body)
			require.ErrorIs(t, err, io.ErrNoProgress, "%s, %s", name, kind)
		}

		req := newRequest(t, http.MethodPost, c.BaseURL(), &stuckReader{text})
		_, err := c.HTTPClient().Do(req) //nolint:bodyclose // it fails
		require.ErrorIs(t, err, io.ErrNoProgress, "%s, behind the bridge", name)
	}
}
