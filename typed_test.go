package axle_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

type user struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// echoCall answers with the method and the body that were sent, as JSON.
func echoCall(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	out, err := json.Marshal(map[string]string{"name": r.Method + " " + string(body) + r.Header.Get("X-Edit")})
	return reply(r, 200, string(out)), err
}

func TestTyped_EveryVerbDecodesTheAnswer(t *testing.T) {
	c, _ := newFakeClient(echoCall)
	edit := func(r *axle.Request) { r.SetHeader("X-Edit", "edited") }
	ctx := t.Context()
	for want, call := range map[string]func() (user, error){
		"GET edited":    func() (user, error) { return axle.Get[user](ctx, c, "/", edit) },
		"DELETE edited": func() (user, error) { return axle.Delete[user](ctx, c, "/", edit) },
		"POST 1edited":  func() (user, error) { return axle.Post[user](ctx, c, "/", 1, edit) },
		"PUT 1edited":   func() (user, error) { return axle.Put[user](ctx, c, "/", 1, edit) },
		"PATCH 1edited": func() (user, error) { return axle.Patch[user](ctx, c, "/", 1, edit) },
		"OPTIONS 1edited": func() (user, error) {
			return axle.Do[user](c, c.R(ctx).SetMethod("options").SetURL("/").SetBody(1).With(edit))
		},
	} {
		got, err := call()
		require.NoError(t, err)
		assert.Equal(t, user{Name: want}, got)
	}
}

func TestTyped_AnEmptyBodyGivesTheZeroValueAndNoError(t *testing.T) {
	c, _ := newFakeClient(always(204, ""))
	u, err := axle.Get[*user](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Nil(t, u)
}

func TestTyped_TextAndBytesComeVerbatim(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"id":1}`))
	text, err := axle.Get[string](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, `{"id":1}`, text)
	raw, err := axle.Get[[]byte](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, []byte(`{"id":1}`), raw)
}

func TestTyped_EveryErrorComesWithTheZeroValue(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"id":1,"name":2}`))
	u, err := axle.Get[user](t.Context(), c, "/")
	require.Error(t, err)
	assert.Zero(t, u, "though it decoded half-way")

	_, err = axle.Do[user](c, nil)
	require.ErrorIs(t, err, axle.CodeBadOption)
	_, err = axle.Get[user](nil, c, "/") //nolint:staticcheck // the bad input that this is about
	require.ErrorIs(t, err, axle.CodeBadOption)
}

func TestTyped_DoTakesThePlaceOfTheRequestsOwnTarget(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"id":1}`))
	var own user
	mine := c.R(t.Context()).SetURL("/").SetResult(&own)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // so one request with one target can be sent by many
			u, err := axle.Do[user](c, mine)
			assert.NoError(t, err)
			assert.Equal(t, user{ID: 1}, u)
		})
	}
	wg.Wait()
	assert.Zero(t, own)
}

func TestTyped_AStreamDoesNotGoWithAResult(t *testing.T) {
	c, network := newFakeClient(always(200, `{"id":1}`))
	_, err := axle.Get[user](t.Context(), c, "/", func(r *axle.Request) { r.SetStream(true) })
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Zero(t, network.Sent.Load())
}

// Decoding comes once, after the outermost response chain.

func TestResult_IsDecodedAfterTheResponseChain(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"data":{"id":1}}`))
	var u user
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		assert.Zero(t, u)
		var envelope struct{ Data json.RawMessage }
		require.NoError(t, resp.Decode(&envelope))
		return resp.SetBytes(envelope.Data), nil
	})
	_, err := c.R(t.Context()).SetResult(&u).Get("/")
	require.NoError(t, err)
	assert.Equal(t, user{ID: 1}, u)
}

// decodeCounter counts how often it is decoded into.
type decodeCounter struct{ times int }

func (d *decodeCounter) UnmarshalJSON([]byte) error { d.times++; return nil }

func TestResult_IsDecodedOnceAlsoWithNestedCalls(t *testing.T) {
	for name, again := range map[string]func(c *axle.Client, r *axle.Request) (*axle.Response, error){
		"Do":            func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r) },
		"Do of a clone": func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r.Clone()) },
		"Execute":       func(_ *axle.Client, r *axle.Request) (*axle.Response, error) { return r.Get("/") },
		"Replay":        func(_ *axle.Client, r *axle.Request) (*axle.Response, error) { return r.Replay() },
		"Do in a replay": func(c *axle.Client, r *axle.Request) (*axle.Response, error) {
			_, _ = r.Replay()
			return c.Do(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(inTurn(500, 201, 202))
			var result decodeCounter
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				resp, failed := again(c, err.Request)
				assert.Zero(t, result.times)
				return resp, failed
			})
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes([]byte("{}")), nil })
			_, err := c.R(t.Context()).SetResult(&result).Get("/")
			require.NoError(t, err)
			assert.Equal(t, 1, result.times)
		})
	}
}

func TestResult_IsDecodedForARequestThatWasInACallThatIsOver(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	var result decodeCounter
	_, err := c.R(t.Context()).SetResult(&result).Get("/")
	require.Error(t, err)
	c.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		return resp.SetBytes([]byte("{}")), nil
	}, nil)
	_, err = c.Do(asAxle(t, err).Request)
	require.NoError(t, err)
	assert.Equal(t, 1, result.times)
}

func TestResult_IsNotDecodedIntoByAFailedCall(t *testing.T) {
	c, _ := newFakeClient(always(500, `{"id":1}`))
	var u user
	_, err := c.R(t.Context()).SetResult(&u).Get("/")
	require.Error(t, err)
	assert.Zero(t, u)
}

func TestResult_AFailureToDecodeIsTheCallsErrorAndKeepsTheBody(t *testing.T) {
	c, _ := newFakeClient(always(200, "<html>"))
	var log callTrace
	log.onResponse(c, "handler")
	for _, call := range []func() error{
		func() error { _, err := axle.Get[user](t.Context(), c, "/here"); return err },
		func() error { _, err := c.R(t.Context()).SetResult(new(user)).Get("/here"); return err },
	} {
		e := asAxle(t, call())
		assert.Equal(t, axle.CodeBadResponse, e.Code)
		assert.Equal(t, "<html>", e.Response.String())
		assert.Equal(t, "/here", e.Request.URL)
		var syntax *json.SyntaxError
		require.ErrorAs(t, e, &syntax)
		assert.Equal(t, []string{"handler"}, log.taken(), "the chain is over: no rejected handler sees it")
	}
}

func TestResult_ADecodeInAHandlerIsThatHandlersBusiness(t *testing.T) {
	c, _ := newFakeClient(always(200, "<html>"))
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		var u user
		require.ErrorIs(t, resp.Decode(&u), axle.CodeBadResponse)
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "<html>", resp.String())
}

func TestResult_ThatCannotBeDecodedIntoIsRefusedBeforeAnythingIsSent(t *testing.T) {
	c, network := newFakeClient(always(200, "{}"))
	for _, target := range []any{user{}, (*user)(nil), "text", map[string]any{}} {
		_, err := c.R(t.Context()).SetResult(target).Get("/")
		require.ErrorIs(t, err, axle.CodeBadOption, "%T", target)
	}
	assert.Zero(t, network.Sent.Load())
}

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
		// A string takes the value of a JSON string, and all else verbatim; a []byte takes all verbatim.
		{"application/json", `"te\u0078t"`, func() any { return new(string) }, new("text")},
		{"application/problem+json; charset=utf-8", " \"text\"\n", func() any { return new(string) }, new("text")},
		{"application/json", "\xef\xbb\xbf\"text\"", func() any { return new(string) }, new("text")},
		{"application/json", `""`, func() any { return new("before") }, new("")},
		{"application/json", "null", func() any { return new("before") }, new("null")},
		{"application/json", "12", func() any { return new(string) }, new("12")},
		{"application/json", `"broken`, func() any { return new(string) }, new(`"broken`)},
		{"application/json", `"a" "b"`, func() any { return new(string) }, new(`"a" "b"`)},
		{"text/plain", `"text"`, func() any { return new(string) }, new(`"text"`)},
		{"", `"text"`, func() any { return new(string) }, new(`"text"`)},
		{"application/json", `"text"`, func() any { return new([]byte) }, new([]byte(`"text"`))},
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
		resp, err := bodies.Answer(r)
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
	assert.Empty(t, bodies.Open())
}

func TestResponse_DecodedBytesAreTheCallersOwn(t *testing.T) {
	resp := axle.NewResponse(nil, 200, nil, []byte("body"))
	var b []byte
	require.NoError(t, resp.Decode(&b))
	b[0] = 'X'
	assert.Equal(t, "body", resp.String())
}

// Bodies in memory and streams.

func TestResult_ThatAHandlerSetsOnItsOwnRequestIsDecodedWhenItSendsThat(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes([]byte("{}")), nil })
	var callers, handlers decodeCounter
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		resp, again := c.Do(err.Request.Clone().SetResult(&handlers))
		assert.Equal(t, 1, handlers.times)
		assert.Zero(t, callers.times)
		return resp, again
	})
	_, err := c.R(t.Context()).SetResult(&callers).Get("/")
	require.NoError(t, err)
	assert.Equal(t, 1, handlers.times)
	assert.Equal(t, 1, callers.times)
}
