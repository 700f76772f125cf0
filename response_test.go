package axle_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func answered(contentType, body string) *axle.Response {
	return axle.NewResponse(nil, 200, http.Header{"Content-Type": {contentType}}, []byte(body))
}

func TestDecode_ByContentType(t *testing.T) {
	type item struct {
		N int `json:"n" xml:"n"`
	}
	for name, c := range map[string]struct{ contentType, body string }{
		"JSON":                       {"application/json", `{"n":1}`},
		"JSON with a charset":        {"application/json; charset=utf-8", `{"n":1}`},
		"problem JSON":               {"application/problem+json", `{"n":1}`},
		"no type":                    {"", `{"n":1}`},
		"text":                       {"text/plain", `{"n":1}`},
		"a type that does not parse": {"application/json; ;", `{"n":1}`},
		"XML":                        {"application/xml", `<item><n>1</n></item>`},
		"text XML":                   {"text/xml; charset=utf-8", `<item><n>1</n></item>`},
		"atom":                       {"application/atom+xml", `<item><n>1</n></item>`},
	} {
		var v item
		require.NoError(t, answered(c.contentType, c.body).Decode(&v), name)
		assert.Equal(t, item{1}, v, name)
	}
	var form url.Values
	require.NoError(t, answered("application/x-www-form-urlencoded", "a=1&a=2").Decode(&form))
	assert.Equal(t, url.Values{"a": {"1", "2"}}, form)
	var text string
	require.NoError(t, answered("application/json", `{"n":1}`).Decode(&text))
	assert.Equal(t, `{"n":1}`, text, "verbatim")
	var raw []byte
	require.NoError(t, answered("image/png", "\x89PNG").Decode(&raw))
	assert.Equal(t, "\x89PNG", string(raw))
}

func TestDecode_AnEmptyBodyLeavesTheTarget(t *testing.T) {
	v := map[string]int{"kept": 1}
	require.NoError(t, answered("application/json", "").Decode(&v))
	assert.Equal(t, map[string]int{"kept": 1}, v)
}

func TestBadInput_WhatDoesNotDecodeIsAnErrorThatKeepsTheBody(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, body, says string
		target                  any
	}{
		"broken JSON":     {"application/json", `{"n":`, "application/json", new(map[string]int)},
		"HTML":            {"text/html", "<h1>Bad gateway</h1>", "text/html", new(map[string]int)},
		"no type":         {"", "nonsense", "no Content-Type", new(map[string]int)},
		"another type":    {"application/json", `{"n":"x"}`, "map[string]int", new(map[string]int)},
		"broken XML":      {"text/xml", "<a>", "", new(struct{})},
		"a broken form":   {"application/x-www-form-urlencoded", "a=%zz", "", new(url.Values)},
		"a nil target":    {"application/json", "{}", "nil", nil},
		"not a pointer":   {"application/json", "{}", "", map[string]int{}},
		"a binary format": {"application/octet-stream", "\x00\x01", "application/octet-stream", new(int)},
	} {
		err := answered(c.contentType, c.body).Decode(c.target)
		require.ErrorIs(t, err, axle.CodeBadResponse, name)
		assert.ErrorContains(t, err, c.says, name)
		assert.Equal(t, c.body, asAxle(t, err).Response.String(), name)
	}
}

func TestResponse_BytesStringSetBytes(t *testing.T) {
	r := answered("text/plain", "a")
	assert.Equal(t, "a", r.String())
	assert.Equal(t, []byte("b"), r.SetBytes([]byte("b")).Bytes())
	assert.Equal(t, "200 OK", r.Status)
	assert.Nil(t, r.Raw())
	assert.Zero(t, r.Duration())
	assert.Equal(t, "299", axle.NewResponse(nil, 299, nil, nil).Status)
	assert.NotNil(t, axle.NewResponse(nil, 200, nil, nil).Header)
}

func TestResponse_AStreamIsNeverNil(t *testing.T) {
	r := answered("text/plain", "abc")
	for range 2 { // anew for each call
		body, err := io.ReadAll(r.Stream())
		require.NoError(t, err)
		assert.Equal(t, "abc", string(body))
	}
	empty, err := io.ReadAll(new(axle.Response).Stream())
	require.NoError(t, err)
	assert.Empty(t, empty)
	none, err := io.ReadAll(r.SetStream(nil).Stream())
	require.NoError(t, err)
	assert.Empty(t, none)
	assert.Nil(t, r.Bytes())
}

func TestResponse_BufferReadsAStreamWholeAndClosesIt(t *testing.T) {
	body := newWatchedBody("streamed")
	r := answered("text/plain", "").SetStream(body)
	assert.Nil(t, r.Bytes())
	require.NoError(t, r.Buffer())
	assert.Equal(t, "streamed", r.String())
	assert.True(t, body.isClosed())
	require.NoError(t, r.Buffer(), "again it does nothing")
}

func TestResponse_WhatCameBeforeAnErrorIsKept(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		return replyWith(r, 200, io.NopCloser(io.MultiReader(strings.NewReader("half"), failingReader{}))), nil
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeNetwork)
	require.ErrorIs(t, err, errBoom)
	assert.Equal(t, "half", asAxle(t, err).Response.String())

	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	require.ErrorIs(t, resp.Buffer(), axle.CodeNetwork)
	assert.Equal(t, "half", resp.String())
}

func TestResponse_SetStreamWrapsTheOneBefore(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "abc") })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		inner := resp.Stream()
		return resp.SetStream(struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader(">"), inner), inner}), nil
	})
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	require.NoError(t, resp.Buffer())
	assert.Equal(t, ">abc", resp.String())
}

func TestResponse_GzipIsTransparentWhoeverAskedForIt(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "gzip", r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = io.WriteString(zip, "plain text")
		_ = zip.Close()
	})
	for name, edit := range map[string]func(*axle.Request){"the transport": nil, "the caller": func(r *axle.Request) { r.SetHeader("Accept-Encoding", "gzip") }} {
		resp, err := c.Get(t.Context(), "/", edit)
		require.NoError(t, err, name)
		assert.Equal(t, "plain text", resp.String(), name)
		assert.Empty(t, resp.Header.Get("Content-Encoding"), name)
	}
}

// TestAdvisory_ResponseLimitsHoldForEveryKindOfBody is CVE-2019-10742 and CVE-2025-58754.
func TestAdvisory_ResponseLimitsHoldForEveryKindOfBody(t *testing.T) {
	const size = 1 << 20
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body := bytes.Repeat([]byte("x"), size)
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusBadRequest)
		}
		switch r.URL.Path {
		case "/gzip": // a thousand times smaller on the wire
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = zip.Write(body)
			_ = zip.Close()
		case "/chunked":
			for chunk := range slices.Chunk(body, 1000) {
				_, _ = w.Write(chunk)
				_ = http.NewResponseController(w).Flush()
			}
		default:
			_, _ = w.Write(body)
		}
	})
	for _, path := range []string{"/plain", "/gzip", "/chunked", "/refused"} {
		for _, stream := range []bool{false, true} {
			get := func(limit int64) error {
				resp, err := c.SetResponseLimit(limit).R(t.Context()).SetStream(stream).Get(path)
				if err != nil {
					return err
				}
				defer resp.Stream().Close()
				_, err = io.Copy(io.Discard, resp.Stream())
				return err
			}
			err := get(size - 1)
			require.ErrorIs(t, err, axle.CodeTooLarge, "%s, %v", path, stream)
			if path == "/refused" {
				require.ErrorIs(t, get(size), axle.CodeBadRequest)
				e, _ := errors.AsType[*axle.Error](err)
				assert.Len(t, e.Response.Bytes(), size-1, "what is within the limit is kept")
				continue
			}
			require.NoError(t, get(size), "%s, %v: exactly the limit", path, stream)
			require.NoError(t, get(0), "%s: no limit", path)
		}
	}
}

func TestP10_EveryBodyIsClosedOnEveryPath(t *testing.T) {
	paths := map[string]func(c *axle.Client, ctx context.Context){
		"fulfilled": func(c *axle.Client, ctx context.Context) { _, _ = c.Get(ctx, "/") },
		"refused": func(c *axle.Client, ctx context.Context) {
			_, _ = c.SetValidateStatus(func(int) bool { return false }).Get(ctx, "/")
		},
		"refused, stream": func(c *axle.Client, ctx context.Context) {
			_, _ = c.SetValidateStatus(func(int) bool { return false }).R(ctx).SetStream(true).Get("/")
		},
		"too large":       func(c *axle.Client, ctx context.Context) { _, _ = c.SetResponseLimit(1).Get(ctx, "/") },
		"does not decode": func(c *axle.Client, ctx context.Context) { _, _ = axle.Get[int](ctx, c, "/") },
		"stream with a result": func(c *axle.Client, ctx context.Context) {
			var v int
			_, _ = c.R(ctx).SetStream(true).SetResult(&v).Get("/")
		},
		"a handler fails": func(c *axle.Client, ctx context.Context) {
			useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errBoom })
			_, _ = c.R(ctx).SetStream(true).Get("/")
		},
		"a handler replaces": func(c *axle.Client, ctx context.Context) {
			useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return axle.NewResponse(nil, 200, nil, nil), nil })
			_, _ = c.R(ctx).SetStream(true).Get("/")
		},
		"a handler replays": func(c *axle.Client, ctx context.Context) {
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				again, err := resp.Request.Replay()
				if err == nil {
					_ = again.Buffer()
				}
				return again, err
			})
			_, _ = c.R(ctx).SetStream(true).Get("/")
		},
		"the caller closes": func(c *axle.Client, ctx context.Context) {
			resp, err := c.R(ctx).SetStream(true).Get("/")
			if err == nil {
				_ = resp.Stream().Close()
			}
		},
		"a typed call's stream": func(c *axle.Client, ctx context.Context) {
			_, _ = axle.Get[string](ctx, c, "/", func(r *axle.Request) { r.SetStream(true) })
		},
		"SetBytes": func(c *axle.Client, ctx context.Context) {
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes(nil), nil })
			_, _ = c.R(ctx).SetStream(true).Get("/")
		},
		"a redirect": func(c *axle.Client, ctx context.Context) { _, _ = c.Get(ctx, "/redirect") },
		"a redirect that is refused": func(c *axle.Client, ctx context.Context) {
			_, _ = c.Get(ctx, "/redirect", func(r *axle.Request) {
				r.SetRedirectCheck(func(*http.Request, []*http.Request) error { return errBoom })
			})
		},
	}
	for name, use := range paths {
		bodies := &watchedBodies{}
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp, err := bodies.answer(r)
			if r.URL.Path == "/redirect" {
				resp.StatusCode = http.StatusFound
				resp.Header.Set("Location", "/next")
			}
			return resp, err
		})
		use(c, t.Context())
		assert.Empty(t, bodies.open(), name)
	}
}

func TestTimeout_OfAStreamLastsUntilItsHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			slow := &slowReader{left: 10, each: time.Second}
			return replyWith(r, 200, struct {
				io.Reader
				io.Closer
			}{&contextReader{slow, r.Context()}, io.NopCloser(nil)}), nil
		})
		c.SetTimeout(2 * time.Second)
		_, err := c.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeTimeout, "a buffered answer: to the end of its body")

		resp, err := c.R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Stream())
		require.NoError(t, err, "eleven seconds in all")
		assert.Len(t, body, 10)
		require.NoError(t, resp.Stream().Close())

		_, err = c.R(t.Context()).SetStream(true).SetTimeout(time.Second / 2).Get("/")
		require.ErrorIs(t, err, axle.CodeTimeout)
		_, err = c.R(t.Context()).SetTimeout(0).Get("/")
		require.NoError(t, err, "zero is none")
	})
}

// contextReader fails with its context, as a transport's body does.
type contextReader struct {
	io.Reader
	ctx context.Context
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.Reader.Read(p)
	if ctxErr := c.ctx.Err(); ctxErr != nil {
		return 0, ctxErr
	}
	return n, err
}

func TestResponse_DurationIsThatOfTheDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return replyWith(r, 200, io.NopCloser(&slowReader{left: 2, each: time.Second})), nil
		})
		useRequest(c, func(*axle.Request) { time.Sleep(time.Hour) })
		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, 3*time.Second, resp.Duration())
		stream, err := c.R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, time.Second, stream.Duration())
		_ = stream.Stream().Close()
	})
}
