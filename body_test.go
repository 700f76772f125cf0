package axle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// sentBody is a request's body as a server gets it.
type sentBody struct {
	text, contentType string
	length            int64
}

// newBodyServer returns a client for a server that tells what bodies it gets.
func newBodyServer(t *testing.T) (*axle.Client, func() sentBody) {
	t.Helper()
	var got sentBody
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = sentBody{string(body), r.Header.Get("Content-Type"), r.ContentLength}
	})
	return c, func() sentBody { return got }
}

// lengthy is a reader that knows its length and nothing else.
type lengthy struct {
	io.Reader
	length int
}

func (l lengthy) Len() int { return l.length }

func newFile(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestBody_EveryTypeIsSentWithItsContentTypeAndLength(t *testing.T) {
	const text, form, json, octets = "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "application/json", "application/octet-stream"
	type named string
	for name, x := range map[string]struct {
		body any
		want sentBody
	}{
		"nil":                       {nil, sentBody{"", "", 0}},
		"string":                    {"a ü", sentBody{"a ü", text, 4}},
		"empty string":              {"", sentBody{"", text, 0}},
		"bytes":                     {[]byte{0, 1}, sentBody{"\x00\x01", octets, 2}},
		"empty bytes":               {[]byte{}, sentBody{"", octets, 0}},
		"nil bytes":                 {[]byte(nil), sentBody{"", "", 0}},
		"form":                      {url.Values{"b": {"2 &"}, "a": {"1", "0"}}, sentBody{"a=1&a=0&b=2+%26", form, 15}},
		"empty form":                {url.Values{}, sentBody{"", form, 0}},
		"map":                       {map[string]any{"a": 1}, sentBody{`{"a":1}`, json, 7}},
		"struct":                    {struct{ A int }{1}, sentBody{`{"A":1}`, json, 7}},
		"pointer":                   {&struct{ A int }{1}, sentBody{`{"A":1}`, json, 7}},
		"nil pointer":               {(*user)(nil), sentBody{"null", json, 4}},
		"slice":                     {[]int{1, 2}, sentBody{"[1,2]", json, 5}},
		"number":                    {1.5, sentBody{"1.5", json, 3}},
		"bool":                      {false, sentBody{"false", json, 5}},
		"raw JSON":                  {jsonRaw(`{"a": 1}`), sentBody{`{"a":1}`, json, 7}},
		"a string type":             {named("x"), sentBody{`"x"`, json, 3}},
		"bytes.Buffer":              {bytes.NewBufferString("buffer"), sentBody{"buffer", octets, 6}},
		"bytes.Reader":              {bytes.NewReader([]byte("reader")), sentBody{"reader", octets, 6}},
		"strings.Reader":            {strings.NewReader("reader"), sentBody{"reader", octets, 6}},
		"an empty reader":           {strings.NewReader(""), sentBody{"", octets, 0}},
		"a file":                    {newFile(t, "file"), sentBody{"file", octets, 4}},
		"an empty file":             {newFile(t, ""), sentBody{"", octets, 0}},
		"a reader with a length":    {lengthy{strings.NewReader("long"), 4}, sentBody{"long", octets, 4}},
		"http.NoBody":               {http.NoBody, sentBody{"", "", 0}},
		"a section of another file": {io.NewSectionReader(strings.NewReader("0123456789"), 2, 5), sentBody{"23456", octets, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			c, got := newBodyServer(t)
			_, err := c.R(t.Context()).SetBody(x.body).Post("/")
			require.NoError(t, err)
			assert.Equal(t, x.want, got())
		})
	}
}

// A browser's fetch has read such a body before it is sent, and sends the length: see test/browser.
func TestBody_AReaderWithoutALengthIsSentWithoutOne(t *testing.T) {
	pattern, err := io.ReadAll(&endless{Left: 3})
	require.NoError(t, err)
	for name, x := range map[string]struct {
		body io.Reader
		want string
	}{
		"an opaque reader":         {opaque("opaque"), "opaque"},
		"an opaque reader, no end": {io.MultiReader(io.LimitReader(&endless{Left: 3}, 3)), string(pattern)},
		"an opaque reader of none": {opaque(""), ""},
		"a closer":                 {io.NopCloser(strings.NewReader("closer")), "closer"},
	} {
		t.Run(name, func(t *testing.T) {
			c, got := newBodyServer(t)
			_, err := c.R(t.Context()).SetBody(x.body).Post("/")
			require.NoError(t, err)
			assert.Equal(t, sentBody{x.want, "application/octet-stream", -1}, got())
		})
	}
}

// jsonRaw is what json.RawMessage is.
type jsonRaw = json.RawMessage

func TestP7_ABodyIsSentWithEveryVerb(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", r.Method+" "+string(body))
	})
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "PROPFIND", "QUERY"} {
		for kind, body := range map[string]func() any{
			"string": func() any { return "body" }, "JSON": func() any { return jsonRaw("body1"[:0] + `"body"`) }, "stream": func() any { return opaque("body") },
		} {
			resp, err := c.R(t.Context()).SetBody(body()).Execute(method, "/")
			require.NoError(t, err, method)
			want := method + " body"
			if kind == "JSON" {
				want = method + ` "body"`
			}
			assert.Equal(t, want, resp.Header.Get("X-Got"), "%s of a %s", method, kind)
		}
	}
}

func TestP7_ADeleteOrGetMayHaveABodyByAnEdit(t *testing.T) {
	c, got := newBodyServer(t)
	edit := func(r *axle.Request) { r.SetBody("body") }
	for _, send := range []func() (*axle.Response, error){
		func() (*axle.Response, error) { return c.Get(t.Context(), "/", edit) },
		func() (*axle.Response, error) { return c.Delete(t.Context(), "/", edit) },
		func() (*axle.Response, error) { return c.Options(t.Context(), "/", edit) },
	} {
		_, err := send()
		require.NoError(t, err)
		assert.Equal(t, sentBody{"body", "text/plain; charset=utf-8", 4}, got())
	}
}

func TestBody_OneThatCannotBeEncodedIsRefusedAndNothingIsSent(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	for name, body := range map[string]any{"channel": make(chan int), "function": func() {}, "NaN": math.NaN(), "cycle": cycle, "complex": 1i, "its own marshaller": failingJSON{}} {
		c, network := newFakeClient(always(200, ""))
		_, err := c.Post(t.Context(), "/", body)
		e := asAxle(t, err)
		assert.Equal(t, axle.CodeBadOption, e.Code, name)
		assert.Error(t, e.Err, name)
		assert.Zero(t, network.Sent.Load(), name)
		_, _, err = c.R(t.Context()).SetBody(body).EncodedBody()
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		if name == "its own marshaller" {
			require.ErrorIs(t, err, errBoom)
		}
	}
}

type failingJSON struct{}

func (failingJSON) MarshalJSON() ([]byte, error) { return nil, errBoom }

// EncodedBody is what is sent, for signing.

func TestBody_EncodedBodyIsWhatIsSent(t *testing.T) {
	for name, body := range map[string]any{"nil": nil, "string": "text", "bytes": []byte("b"), "form": url.Values{"a": {"1"}}, "JSON": map[string]int{"a": 1}, "number": 1} {
		t.Run(name, func(t *testing.T) {
			c, got := newBodyServer(t)
			var encoded []byte
			var contentType string
			useRequest(c, func(r *axle.Request) {
				var err error
				encoded, contentType, err = r.EncodedBody()
				assert.NoError(t, err)
			})
			for _, own := range []string{"", "application/vnd.own+json"} {
				r := c.R(t.Context()).SetBody(body)
				if own != "" {
					r.SetHeader("Content-Type", own)
				}
				_, err := r.Post("/")
				require.NoError(t, err)
				assert.Equal(t, got().text, string(encoded))
				assert.Equal(t, got().contentType, contentType)
			}
		})
	}
}

func TestBody_EncodedBodyRefusesAReaderAndLeavesIt(t *testing.T) {
	for name, body := range map[string]io.Reader{"opaque": opaque("body"), "a seeker": strings.NewReader("body"), "a buffer": bytes.NewBufferString("body")} {
		c, got := newBodyServer(t)
		useRequest(c, func(r *axle.Request) {
			_, _, err := r.EncodedBody()
			assert.ErrorIs(t, err, axle.CodeBadOption, name)
		})
		_, err := c.Post(t.Context(), "/", body)
		require.NoError(t, err)
		assert.Equal(t, "body", got().text, name)
	}
}

// Readers.

func TestBody_SeekersAndBuffersAreSentFromWhereTheyStandAndPutBack(t *testing.T) {
	c, got := newBodyServer(t)
	file := newFile(t, "0123456789")
	for name, body := range map[string]io.Reader{
		"a file": file, "strings.Reader": strings.NewReader("0123456789"), "bytes.Reader": bytes.NewReader([]byte("0123456789")),
		"bytes.Buffer": bytes.NewBufferString("0123456789"), "a section": io.NewSectionReader(strings.NewReader("0123456789"), 0, 10),
	} {
		_, err := io.ReadFull(body, make([]byte, 3))
		require.NoError(t, err)
		for range 2 {
			_, err = c.Post(t.Context(), "/", body)
			require.NoError(t, err, name)
			assert.Equal(t, sentBody{"3456789", "application/octet-stream", 7}, got(), name)
		}
		left, err := io.ReadAll(body)
		require.NoError(t, err, name)
		assert.Equal(t, "3456789", string(left), "%s: put back, and not closed", name)
	}
}

func TestBody_ASeekerIsPutBackAlsoByAFailedCall(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		_, _ = io.ReadFull(r.Body, make([]byte, 2))
		return nil, errBoom
	})
	file := newFile(t, "body")
	_, err := c.Post(t.Context(), "/", file)
	require.ErrorIs(t, err, errBoom)
	left, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, "body", string(left))
}

func TestBody_ARequestKeepsItsReaderFromCallToCall(t *testing.T) {
	c, got := newBodyServer(t)
	body := newWatchedBody("body")
	r := c.R(t.Context()).SetBody(body)
	for range 3 {
		_, err := r.Post("/")
		require.NoError(t, err)
		assert.Equal(t, "body", got().text)
	}
	large := c.R(t.Context()).SetBody(opaque(strings.Repeat("x", axle.ReplayLimit+1)))
	_, err := large.Post("/")
	require.NoError(t, err)
	_, err = large.Post("/")
	require.ErrorIs(t, err, axle.CodeBadOption, "whole or refused, never empty")
	require.ErrorIs(t, err, axle.ErrBodyConsumed)
}

func TestBody_AHandlerMayWrapTheReader(t *testing.T) {
	c, got := newBodyServer(t)
	var copied bytes.Buffer
	useRequest(c, func(r *axle.Request) {
		given, ok := r.Body.(io.Reader)
		if assert.True(t, ok) {
			r.SetBody(io.TeeReader(given, &copied))
		}
	})
	for kind, body := range map[string]io.Reader{"stream": opaque("body"), "seeker": strings.NewReader("body")} {
		copied.Reset()
		_, err := c.Post(t.Context(), "/", body)
		require.NoError(t, err)
		assert.Equal(t, "body", got().text, kind)
		assert.Equal(t, "body", copied.String(), kind)
	}
}

func TestBody_AFormIsTheCallsOwn(t *testing.T) {
	c, got := newBodyServer(t)
	useRequest(c, func(r *axle.Request) { r.Body.(url.Values).Set("csrf", "1") }) //nolint:forcetypeassert // it was given one
	form := url.Values{"a": {"1"}}
	_, err := c.Post(t.Context(), "/", form)
	require.NoError(t, err)
	assert.Equal(t, "a=1&csrf=1", got().text)
	assert.Equal(t, url.Values{"a": {"1"}}, form, "the caller's is not changed")
}

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

func TestBody_EncodedBodyAndCurlKnowAContentTypeInWhateverCase(t *testing.T) {
	var sent string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		sent = r.Header.Get("Content-Type") + " " + string(body)
		return reply(r, 200, ""), err
	})
	var signed string
	useRequest(c, func(r *axle.Request) { // it runs last
		body, contentType, err := r.EncodedBody()
		assert.NoError(t, err)
		signed = contentType + " " + string(body)
	})
	useRequest(c, func(r *axle.Request) { r.Header["content-type"] = []string{"application/x-www-form-urlencoded"} })
	_, err := c.Post(t.Context(), "/", map[string]string{"a": "b"})
	require.NoError(t, err)
	assert.Equal(t, "application/x-www-form-urlencoded a=b", sent)
	assert.Equal(t, sent, signed)

	outside := &axle.Request{Header: http.Header{"content-type": {"application/xml"}}, Body: 1}
	body, contentType, err := outside.EncodedBody()
	require.NoError(t, err)
	assert.Equal(t, "application/xml <int>1</int>", contentType+" "+string(body))
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
