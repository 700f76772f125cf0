package axle_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func contentType(value string) http.Header {
	if value == "" {
		return nil
	}
	return http.Header{"Content-Type": {value}}
}

type item struct {
	ID   int    `json:"id" xml:"id"`
	Name string `json:"name" xml:"name,attr"`
}

// Decode.

func TestResponse_DecodeGoesByContentType(t *testing.T) {
	const asJSON, asXML, form = `{"id":1,"name":"a"}`, `<item name="a"><id>1</id></item>`, "a=1&a=2&b=%26"
	for _, x := range []struct {
		contentType, body string
		target            func() any
		want              any
	}{
		{"application/json", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"application/json; charset=utf-8", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"Application/JSON", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"application/problem+json", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"text/plain", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"application/x-unknown", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"not a media type;;", asJSON, func() any { return new(item) }, &item{1, "a"}},
		{"application/json", "[1,2]", func() any { return new([]int) }, &[]int{1, 2}},
		{"application/json", `"text"`, func() any { return new(any) }, new(any("text"))},
		{"application/json", " null ", func() any { return &item{1, "a"} }, &item{1, "a"}},
		{"application/xml", asXML, func() any { return new(item) }, &item{1, "a"}},
		{"text/xml; charset=utf-8", asXML, func() any { return new(item) }, &item{1, "a"}},
		{"application/atom+xml", asXML, func() any { return new(item) }, &item{1, "a"}},
		{"application/x-www-form-urlencoded", form, func() any { return new(url.Values) }, &url.Values{"a": {"1", "2"}, "b": {"&"}}},
		// []byte and string take it verbatim, whatever it is.
		{"application/json", asJSON, func() any { return new(string) }, new(asJSON)},
		{"application/json", asJSON, func() any { return new([]byte) }, new([]byte(asJSON))},
		{"application/json", asJSON, func() any { return new(json.RawMessage) }, new(json.RawMessage(asJSON))},
		{"application/xml", asXML, func() any { return new(string) }, new(asXML)},
		{"image/png", "\x89PNG", func() any { return new([]byte) }, new([]byte("\x89PNG"))},
		{"text/html", "<p>", func() any { return new(string) }, new("<p>")},
	} {
		target := x.target()
		require.NoError(t, axle.NewResponse(nil, 200, contentType(x.contentType), []byte(x.body)).Decode(target), "%s", x.contentType)
		assert.Equal(t, x.want, target, "%s into a %T", x.contentType, target)
	}
}

func TestResponse_DecodeOfABrokenOrStrangeBodyIsAnErrorThatKeepsIt(t *testing.T) {
	for name, x := range map[string]struct {
		contentType, body string
		target            any
		says              string
	}{
		"cut off":             {"application/json", `{"id":`, new(item), "application/json"},
		"HTML":                {"text/html", "<html>", new(item), "text/html"},
		"no Content-Type":     {"", "<html>", new(item), "no Content-Type"},
		"another type":        {"application/json", `{"id":"one"}`, new(item), "id"},
		"broken XML":          {"application/xml", "<item", new(item), ""},
		"a form in a struct":  {"application/x-www-form-urlencoded", "a=1", new(item), "application/x-www-form-urlencoded"},
		"a broken form":       {"application/x-www-form-urlencoded", "a=%zz", new(url.Values), "%zz"},
		"two values":          {"application/json", `{"id":1}{"id":2}`, new(item), ""},
		"a nil target":        {"application/json", `{}`, nil, "nil"},
		"a nil pointer":       {"application/json", `{}`, (*item)(nil), ""},
		"what is no pointer":  {"application/json", `{}`, item{}, ""},
		"XML in no pointer":   {"application/xml", "<item/>", item{}, ""},
		"XML in a nil target": {"application/xml", "<item/>", nil, "nil"},
	} {
		resp := axle.NewResponse(new(axle.Request), 200, contentType(x.contentType), []byte(x.body))
		err := resp.Decode(x.target)
		e := asAxle(t, err)
		assert.Equal(t, axle.CodeBadResponse, e.Code, name)
		assert.Same(t, resp, e.Response, name)
		assert.Same(t, resp.Request, e.Request, name)
		assert.Equal(t, x.body, e.Response.String(), name)
		assert.ErrorContains(t, err, x.says, name)
		require.Error(t, e.Err, name)
	}
}

func TestResponse_DecodeOfAnEmptyBodyLeavesTheTargetAsItIs(t *testing.T) {
	for _, kind := range []string{"", "application/json", "application/xml", "application/x-www-form-urlencoded"} {
		v, text, raw, form := item{1, "a"}, "before", []byte("before"), url.Values{"a": {"1"}}
		resp := axle.NewResponse(nil, 204, contentType(kind), nil)
		for _, target := range []any{&v, &text, &raw, &form} {
			require.NoError(t, resp.Decode(target), kind)
		}
		assert.Equal(t, item{1, "a"}, v)
		assert.Equal(t, "before", text)
		assert.Equal(t, "before", string(raw))
		assert.Equal(t, url.Values{"a": {"1"}}, form)
	}
}

func TestResponse_DecodeBuffersAStreamAndMayBeAskedAgain(t *testing.T) {
	var bodies watchedBodies
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp, err := bodies.answer(r)
		resp.Body.(*watchedBody).Reader = strings.NewReader(`{"id":1}`) //nolint:forcetypeassert // it is one
		return resp, err
	})
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	for range 2 {
		var v item
		require.NoError(t, resp.Decode(&v))
		assert.Equal(t, 1, v.ID)
		assert.Equal(t, `{"id":1}`, resp.String())
	}
	assert.Empty(t, bodies.open())
}

func TestResponse_DecodedBytesAreTheCallersOwn(t *testing.T) {
	resp := axle.NewResponse(nil, 200, nil, []byte("body"))
	var b []byte
	require.NoError(t, resp.Decode(&b))
	b[0] = 'X'
	assert.Equal(t, "body", resp.String())
}

// Bodies in memory and streams.

func TestResponse_ANewOneIsSynthetic(t *testing.T) {
	r := new(axle.Request)
	for status, text := range map[int]string{200: "200 OK", 404: "404 Not Found", 599: "599"} {
		resp := axle.NewResponse(r, status, nil, []byte("body"))
		assert.Equal(t, text, resp.Status)
		assert.Equal(t, status, resp.StatusCode)
		assert.NotNil(t, resp.Header)
		assert.Same(t, r, resp.Request)
		assert.Equal(t, []byte("body"), resp.Bytes())
		assert.Nil(t, resp.Raw())
		assert.Zero(t, resp.Duration())
		require.NoError(t, resp.Buffer())
	}
}

func TestResponse_TheStreamOfABodyInMemoryIsReadAnewEachTime(t *testing.T) {
	resp := axle.NewResponse(nil, 200, nil, []byte("body"))
	for range 2 {
		stream := resp.Stream()
		got, err := io.ReadAll(stream)
		require.NoError(t, err)
		assert.Equal(t, "body", string(got))
		require.NoError(t, stream.Close())
	}
	assert.Equal(t, "body", resp.String())
	for name, empty := range map[string]*axle.Response{
		"none": axle.NewResponse(nil, 204, nil, nil), "zero": new(axle.Response), "nil stream": axle.NewResponse(nil, 200, nil, []byte("x")).SetStream(nil),
	} {
		got, err := io.ReadAll(empty.Stream())
		require.NoError(t, err, name)
		assert.Empty(t, got, name)
	}
}

func TestResponse_AStreamIsUnreadUntilBuffer(t *testing.T) {
	var bodies watchedBodies
	c, _ := newFakeClient(bodies.answer)
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Nil(t, resp.Bytes())
	assert.Empty(t, resp.String())
	assert.Equal(t, []int{1}, bodies.open())
	first := make([]byte, 3)
	_, err = io.ReadFull(resp.Stream(), first)
	require.NoError(t, err)
	require.NoError(t, resp.Buffer())
	assert.Equal(t, "streamed", string(first)+resp.String(), "the rest of it")
	assert.Empty(t, bodies.open())
	require.NoError(t, resp.Buffer(), "once more does nothing")
	assert.Equal(t, "eamed", resp.String())
	again, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Equal(t, "eamed", string(again))
}

func TestResponse_BufferKeepsWhatCameBeforeAnErrorAndCloses(t *testing.T) {
	body := &watchedBody{Reader: io.MultiReader(strings.NewReader("half"), failingReader{})}
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return replyWith(r, 200, body), nil })
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	err = resp.Buffer()
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, "half", resp.String())
	assert.Same(t, resp, e.Response)
	assert.EqualValues(t, 1, body.closed.Load())
}

func TestResponse_SetBytesReplacesTheBodyAndClosesAStream(t *testing.T) {
	body := newWatchedBody("streamed")
	resp := axle.NewResponse(nil, 200, nil, []byte("old")).SetStream(body)
	assert.Nil(t, resp.Bytes(), "SetStream replaces bytes")
	assert.Same(t, resp, resp.SetBytes([]byte("new")))
	assert.Equal(t, "new", resp.String())
	assert.EqualValues(t, 1, body.closed.Load())
	got, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Equal(t, "new", string(got))
	assert.Nil(t, resp.SetBytes(nil).Bytes())
}

type upperCase struct{ io.ReadCloser }

func (u upperCase) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

func TestResponse_SetStreamWrapsTheOneBeforeInAHandler(t *testing.T) {
	for _, stream := range []bool{true, false} {
		var bodies watchedBodies
		c, _ := newFakeClient(bodies.answer)
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
			if stream {
				assert.Equal(t, []int{1}, bodies.open(), "it does not close what it wraps")
			}
			return resp.SetStream(upperCase{resp.Stream()}), nil
		})
		resp, err := c.R(t.Context()).SetStream(stream).Get("/")
		require.NoError(t, err)
		require.NoError(t, resp.Buffer())
		assert.Equal(t, "STREAMED", resp.String(), "%v", stream)
		assert.Empty(t, bodies.open())
	}
}

// Response limits: after decompression; buffered, streamed, gzip and chunked (CVE-2019-10742, CVE-2025-58754).

func TestAdvisory_ResponseLimitsHoldForEveryKindOfBody(t *testing.T) {
	const limit = 10_000
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		body := bytes.Repeat([]byte("x"), n)
		kind := r.URL.Query().Get("kind")
		if strings.HasPrefix(kind, "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = zip.Write(body)
			_ = zip.Close()
			return
		}
		status := http.StatusOK
		switch kind {
		case "length":
			w.Header().Set("Content-Length", strconv.Itoa(n))
		case "refused":
			status = http.StatusBadRequest
		}
		w.WriteHeader(status)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(body)
	})
	c.SetResponseLimit(limit)
	for _, kind := range []string{"length", "chunked", "gzip", "gzip, asked for", "refused"} {
		for _, how := range []string{"buffered", "streamed", "in a handler", "decoded", "the bridge"} {
			for _, n := range []int{0, limit - 1, limit, limit + 1, 100 * limit} {
				var edits []func(*axle.Request)
				if kind == "gzip, asked for" {
					edits = append(edits, func(r *axle.Request) { r.SetHeader("Accept-Encoding", "gzip") })
				}
				if how == "the bridge" && kind == "gzip, asked for" {
					continue // it is the http.Client's to decompress
				}
				target := "/?kind=" + url.QueryEscape(kind) + "&n=" + strconv.Itoa(n)
				length, err := readBody(t, c.Clone(), target, how, edits)
				name := kind + ", " + how + ", " + strconv.Itoa(n)
				if n <= limit {
					if kind == "refused" && how != "the bridge" {
						require.ErrorIs(t, err, axle.CodeBadRequest, name)
					} else {
						require.NoError(t, err, name)
					}
					assert.Equal(t, n, length, name)
					continue
				}
				require.ErrorIs(t, err, axle.CodeTooLarge, name)
				assert.LessOrEqual(t, length, limit, name)
				if kind == "refused" && how != "the bridge" {
					require.ErrorIs(t, err, axle.CodeBadRequest, "%s: and the status is not forgotten", name)
					assert.Equal(t, 400, asAxle(t, err).StatusCode(), name)
				}
			}
		}
	}
}

// readBody reads an answer's body in one of the ways there are, and returns how much of it there was.
func readBody(t *testing.T, c *axle.Client, target, how string, edits []func(*axle.Request)) (int, error) {
	t.Helper()
	length := func(resp *axle.Response, err error) (int, error) {
		var e *axle.Error
		if errors.As(err, &e) && e.Response != nil {
			return len(e.Response.Bytes()), err
		}
		if err != nil {
			return 0, err
		}
		return len(resp.Bytes()), nil
	}
	switch how {
	case "streamed":
		resp, err := c.R(t.Context()).With(edits...).SetStream(true).Get(target)
		if err != nil {
			return length(nil, err)
		}
		defer resp.Stream().Close()
		got, err := io.ReadAll(resp.Stream())
		return len(got), err
	case "in a handler":
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { err := resp.Buffer(); return resp, err })
		return length(c.R(t.Context()).With(edits...).SetStream(true).Get(target))
	case "decoded":
		var text string
		_, err := c.R(t.Context()).With(edits...).SetResult(&text).Get(target)
		if err != nil {
			return length(nil, err)
		}
		return len(text), nil
	case "the bridge":
		resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL()+target, nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return len(got), err
	}
	return length(c.Get(t.Context(), target, edits...))
}

func TestAdvisory_AFalseContentLengthReservesNoMemory(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 200, "short")
		resp.ContentLength = 1 << 40
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/") // or it runs out of memory
	require.NoError(t, err)
	assert.Equal(t, "short", resp.String())
	assert.LessOrEqual(t, cap(resp.Bytes()), 2<<20)
}

// gzip.

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func TestResponse_GzipIsUndoneAlsoWhereTheRequestAskedForIt(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "GZIP")
		_, _ = w.Write(zipped("text"))
	})
	for _, stream := range []bool{false, true} {
		for _, asked := range []string{"", "gzip", "gzip, br"} {
			r := c.R(t.Context()).SetStream(stream)
			if asked != "" {
				r.SetHeader("Accept-Encoding", asked)
			}
			resp, err := r.Get("/")
			require.NoError(t, err)
			require.NoError(t, resp.Buffer())
			assert.Equal(t, "text", resp.String(), "%v %q", stream, asked)
			assert.Empty(t, resp.Header.Get("Content-Encoding"))
			assert.Empty(t, resp.Header.Get("Content-Length"))
		}
	}
}

func TestResponse_GzipThatIsNoneOrCutOffIsAnErrorAndClosed(t *testing.T) {
	whole := zipped(strings.Repeat("text", 1000))
	wrong := bytes.Clone(whole)
	wrong[len(wrong)-5] ^= 1
	for name, x := range map[string]struct {
		body []byte
		code axle.Code
	}{
		"not gzip":       {[]byte("plain text that is no gzip"), axle.CodeBadResponse},
		"cut off":        {whole[:len(whole)/2], axle.CodeNetwork},
		"wrong checksum": {wrong, axle.CodeBadResponse},
	} {
		body := newWatchedBody(string(x.body))
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := replyWith(r, 200, body)
			resp.Header.Set("Content-Encoding", "gzip")
			return resp, nil
		})
		_, err := c.Get(t.Context(), "/")
		e := asAxle(t, err)
		assert.Equal(t, x.code, e.Code, name)
		require.NotNil(t, e.Response, name)
		assert.EqualValues(t, 1, body.closed.Load(), name)
	}
}

func TestResponse_GzipOfNoBody(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/204" {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	for _, send := range []func(string) (*axle.Response, error){c.R(t.Context()).Get, c.R(t.Context()).Head, c.R(t.Context()).SetHeader("Accept-Encoding", "gzip").Get} {
		for _, path := range []string{"/", "/204"} {
			resp, err := send(path)
			require.NoError(t, err)
			assert.Empty(t, resp.Bytes())
		}
	}
}

// Every body is closed on every path.

func TestP10_EveryBodyIsClosedOnEveryPath(t *testing.T) {
	recovering := func(c *axle.Client) {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) {
			return axle.NewResponse(err.Request, 200, nil, nil), nil
		})
	}
	failing := func(*axle.Response) (*axle.Response, error) { return nil, errBoom }
	for name, prepare := range map[string]func(c *axle.Client, r *axle.Request, w *watchedBodies){
		"read":    func(*axle.Client, *axle.Request, *watchedBodies) {},
		"refused": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) { w.status = func(int) int { return 500 } },
		"refused, streamed": func(_ *axle.Client, r *axle.Request, w *watchedBodies) {
			r.SetStream(true)
			w.status = func(int) int { return 500 }
		},
		"a redirect": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) {
			w.status = func(n int) int { return []int{302, 302, 200}[n-1] }
		},
		"too many redirects": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) { w.status = func(int) int { return 302 } },
		"a redirect that a check refuses": func(_ *axle.Client, r *axle.Request, w *watchedBodies) {
			w.status = func(int) int { return 302 }
			r.SetRedirectCheck(func(*http.Request, []*http.Request) error { return errBoom })
		},
		"a redirect that is the answer": func(c *axle.Client, _ *axle.Request, w *watchedBodies) {
			w.status = func(int) int { return 302 }
			c.SetMaxRedirects(0)
		},
		"too large":       func(c *axle.Client, _ *axle.Request, _ *watchedBodies) { c.SetResponseLimit(1) },
		"does not decode": func(_ *axle.Client, r *axle.Request, _ *watchedBodies) { r.SetResult(new(item)) },
		"recovered": func(c *axle.Client, _ *axle.Request, w *watchedBodies) {
			w.status = func(int) int { return 500 }
			recovering(c)
		},
		"replaced, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				return axle.NewResponse(resp.Request, 200, nil, nil), nil
			})
		},
		"unwrapped, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes(nil), nil })
		},
		"rejected, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) { r.SetStream(true); useFulfilled(c, failing) },
		"neither, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, nil })
		},
		"replayed, streamed": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.Request.Replay() })
			useFulfilled(c, failing)
		},
		"sent again by Do, streamed": func(c *axle.Client, r *axle.Request, w *watchedBodies) {
			r.SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if len(w.bodies) > 1 {
					return nil, errBoom
				}
				return c.Do(resp.Request)
			})
		},
		"an upgrade nobody asked for": func(_ *axle.Client, _ *axle.Request, w *watchedBodies) { w.status = func(int) int { return 101 } },
		"a cancelled context": func(c *axle.Client, r *axle.Request, _ *watchedBodies) {
			ctx, cancel := context.WithCancel(t.Context())
			r.SetContext(ctx).SetStream(true)
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { cancel(); err := resp.Buffer(); return resp, err })
		},
	} {
		for _, timeout := range []time.Duration{0, time.Hour} {
			t.Run(name, func(t *testing.T) {
				var bodies watchedBodies
				c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
					resp, err := bodies.answer(r)
					resp.Header.Set("Location", "/next")
					return resp, err
				})
				c.SetTimeout(timeout)
				r := c.R(t.Context())
				prepare(c, r, &bodies)
				_, _ = r.Get("/")
				assert.NotEmpty(t, bodies.bodies)
				assert.Empty(t, bodies.open())
			})
		}
	}
}

func TestP10_AStreamThatTheCallerGetsIsTheCallersToCloseOnce(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Hour} {
		var bodies watchedBodies
		c, _ := newFakeClient(bodies.answer)
		resp, err := c.SetTimeout(timeout).R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, []int{1}, bodies.open())
		require.NoError(t, resp.Stream().Close())
		assert.EqualValues(t, 1, bodies.bodies[0].closed.Load())
	}
}

// Statuses.

func TestResponse_ValidateStatusPerRequestWinsAndNilAcceptsAll(t *testing.T) {
	only := func(accepted int) func(int) bool { return func(status int) bool { return status == accepted } }
	for name, x := range map[string]struct {
		client func(*axle.Client)
		own    func(*axle.Request)
		ok     []int
	}{
		"the default":       {nil, nil, []int{200, 204, 299}},
		"the client's":      {func(c *axle.Client) { c.SetValidateStatus(only(404)) }, nil, []int{404}},
		"the client's nil":  {func(c *axle.Client) { c.SetValidateStatus(nil) }, nil, []int{200, 204, 299, 304, 404, 500}},
		"the request's":     {func(c *axle.Client) { c.SetValidateStatus(only(404)) }, func(r *axle.Request) { r.SetValidateStatus(only(500)) }, []int{500}},
		"the request's nil": {func(c *axle.Client) { c.SetValidateStatus(only(404)) }, func(r *axle.Request) { r.SetValidateStatus(nil) }, []int{200, 204, 299, 304, 404, 500}},
		"that of a handler too": {nil, func(r *axle.Request) {
			useRequest(r.Client(), func(r *axle.Request) { r.SetValidateStatus(only(304)) })
		}, []int{304}},
	} {
		var ok []int
		for _, status := range []int{200, 204, 299, 304, 404, 500} {
			c, _ := newFakeClient(always(status, ""))
			if x.client != nil {
				x.client(c)
			}
			resp, err := c.R(t.Context()).With(x.own).Get("/")
			if err == nil {
				assert.Equal(t, status, resp.StatusCode)
				ok = append(ok, status)
				continue
			}
			assert.Equal(t, status, asAxle(t, err).StatusCode(), name)
			assert.NotNil(t, asAxle(t, err).Response, name)
		}
		assert.Equal(t, x.ok, ok, name)
	}
}

func TestResponse_ARefusedStatusKeepsHeadersAndBody(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"id":7}`)
	})
	_, err := c.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeBadRequest, e.Code)
	assert.Equal(t, "429 Too Many Requests", e.Response.Status)
	assert.Equal(t, "7", e.Response.Header.Get("Retry-After"))
	var v item
	require.NoError(t, e.Response.Decode(&v))
	assert.Equal(t, 7, v.ID)
	assert.Equal(t, e.Request, e.Response.Request)
}

func TestResponse_ABodyThatBreaksOffIsANetworkErrorThatKeepsWhatCame(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	_, err := c.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "half", e.Response.String())
	assert.Equal(t, 200, e.StatusCode())
}

func TestResponse_RawIsTheNetHTTPResponse(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "1") })
	resp, err := c.Get(t.Context(), "/a")
	require.NoError(t, err)
	raw := resp.Raw()
	require.NotNil(t, raw)
	assert.Equal(t, "HTTP/1.1", raw.Proto)
	assert.Equal(t, "/a", raw.Request.URL.Path)
	assert.Equal(t, "1", resp.Header.Get("X-A"))
	assert.Equal(t, "200 OK", resp.Status)
}

// Time.

// slowly answers after a second, with a body that takes another one.
func slowly(r *http.Request) (*http.Response, error) {
	wait := func() error {
		select {
		case <-time.After(time.Second):
			return nil
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
	if err := wait(); err != nil {
		return nil, err
	}
	return replyWith(r, 200, &watchedBody{Reader: io.MultiReader(strings.NewReader("a"), readFunc(func([]byte) (int, error) {
		if err := wait(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}))}), nil
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestResponse_DurationIsToTheEndOfTheBodyOrTheHeadersOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(slowly)
		resp, err := c.Get(context.Background(), "/")
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, resp.Duration())
		resp, err = c.R(context.Background()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, time.Second, resp.Duration())
		require.NoError(t, resp.Buffer())
		_, err = c.R(context.Background()).SetValidateStatus(func(int) bool { return false }).Get("/")
		assert.Equal(t, 2*time.Second, asAxle(t, err).Response.Duration(), "a refused one has it too")
	})
}

func TestResponse_ATimeLimitBoundsTheBodyOrTheHeadersOfAStream(t *testing.T) {
	for name, x := range map[string]struct {
		limit  time.Duration
		stream bool
		code   axle.Code // empty: none
	}{
		"enough":                         {3 * time.Second, false, ""},
		"up during the body":             {1500 * time.Millisecond, false, axle.CodeTimeout},
		"up before the headers":          {500 * time.Millisecond, false, axle.CodeTimeout},
		"a stream, after its headers":    {1500 * time.Millisecond, true, ""},
		"a stream, up before the header": {500 * time.Millisecond, true, axle.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFakeClient(slowly)
				resp, err := c.R(context.Background()).SetTimeout(x.limit).SetStream(x.stream).Get("/")
				if x.code != "" {
					assert.Equal(t, x.code, asAxle(t, err).Code)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				require.NoError(t, err)
				time.Sleep(time.Hour) // of a stream nobody hurries the reader
				require.NoError(t, resp.Buffer())
				assert.Equal(t, "a", resp.String())
			})
		})
	}
}

func TestResponse_TheCallersContextBoundsAStreamToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(slowly)
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		resp, err := c.R(ctx).SetTimeout(time.Hour).SetStream(true).Get("/")
		require.NoError(t, err)
		err = resp.Buffer()
		assert.Equal(t, axle.CodeTimeout, asAxle(t, err).Code)
		assert.Equal(t, "a", resp.String())

		cause := errors.New("enough")
		cancelable, stop := context.WithCancelCause(context.Background())
		resp, err = c.R(cancelable).SetStream(true).Get("/")
		require.NoError(t, err)
		stop(cause)
		err = resp.Buffer()
		assert.Equal(t, axle.CodeCanceled, asAxle(t, err).Code)
		require.ErrorIs(t, err, cause)
	})
}

// Respond.

func TestRespond_AStreamIsBufferedUnlessOneWasAskedFor(t *testing.T) {
	for _, stream := range []bool{false, true} {
		body := newWatchedBody("made")
		c, network := newFakeClient(unreachable)
		useRequest(c, func(r *axle.Request) { r.Respond(axle.NewResponse(r, 200, nil, nil).SetStream(body)) })
		var seen []byte
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { seen = resp.Bytes(); return resp, nil })
		resp, err := c.R(t.Context()).SetStream(stream).Get("/")
		require.NoError(t, err)
		assert.Equal(t, stream, seen == nil)
		assert.Equal(t, !stream, body.isClosed())
		require.NoError(t, resp.Buffer())
		assert.Equal(t, "made", resp.String())
		assert.True(t, body.isClosed())
		assert.Zero(t, network.sent.Load())
	}
}
