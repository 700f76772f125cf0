package axle_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
