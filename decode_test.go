package axle_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
