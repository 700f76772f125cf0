package axle_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// search is what a caller would write.
type search struct {
	Text  string         `json:"q"`
	Tags  []string       `json:"tags,omitempty"`
	Page  int            `json:"page"`
	Exact bool           `json:"exact"`
	Since *time.Time     `json:"since"`
	Range map[string]any `json:"range,omitempty"`
	inner int
}

// sentQuery is the query that a server sees.
func sentQuery(t *testing.T, configure func(*axle.Client), edit func(*axle.Request)) string {
	t.Helper()
	var seen string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen, _ = url.QueryUnescape(r.URL.RawQuery) })
	if configure != nil {
		configure(c)
	}
	_, err := c.Get(t.Context(), "/", edit)
	require.NoError(t, err)
	return seen
}

func TestParams_ListsByEncoder(t *testing.T) {
	for name, c := range map[string]struct {
		encoder axle.QueryEncoder
		want    string
	}{
		"default":  {nil, "a=1&a=2"},
		"repeat":   {axle.QueryRepeat, "a=1&a=2"},
		"brackets": {axle.QueryBrackets, "a[]=1&a[]=2"},
		"indices":  {axle.QueryIndices, "a[0]=1&a[1]=2"},
		"comma":    {axle.QueryComma, "a=1,2"},
		"custom": {func(any) (url.Values, error) {
			return url.Values{"a": {"custom"}}, nil
		}, "a=custom"},
	} {
		got := sentQuery(t, func(client *axle.Client) { client.SetQueryEncoder(c.encoder) },
			func(r *axle.Request) { r.SetParams(map[string]any{"a": []int{1, 2}}) })
		assert.Equal(t, c.want, got, name)
	}
}

func TestParams_OfStructsAndNestedValues(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		params any
		want   string
	}{
		"a struct, by its JSON tags": {search{Text: "a b&c", Tags: []string{"x", "y"}, Page: 2, Since: &since, inner: 1},
			"exact=false&page=2&q=a b&c&since=2026-01-02T03:04:05Z&tags=x&tags=y"},
		"null is left out":         {search{Text: "x"}, "exact=false&page=0&q=x"},
		"an object in an object":   {map[string]any{"a": map[string]any{"b": map[string]int{"c": 1}}}, "a[b][c]=1"},
		"a list of objects":        {map[string]any{"a": []any{map[string]int{"b": 1}, map[string]int{"b": 2}}}, "a[0][b]=1&a[1][b]=2"},
		"a list of lists":          {map[string]any{"a": [][]int{{1}, {2, 3}}}, "a[0]=1&a[1]=2&a[1]=3"},
		"a large number":           {map[string]any{"n": int64(9007199254740993)}, "n=9007199254740993"},
		"an empty list":            {map[string]any{"a": []int{}}, ""},
		"url.Values, as they are":  {url.Values{"a": {"1", "2"}}, "a=1&a=2"},
		"nil":                      {nil, ""},
		"a nil map":                {map[string]string(nil), ""},
		"a map with a nil element": {map[string]any{"a": nil, "b": []any{nil, 1}}, "b=1"},
	} {
		assert.Equal(t, c.want, sentQuery(t, nil, func(r *axle.Request) { r.SetParams(c.params) }), name)
	}
}

func TestParams_ReplaceThoseOfTheSameNameAndKeepTheURLsOwn(t *testing.T) {
	got := sentQuery(t, func(c *axle.Client) { c.SetQueryParam("a", "default").SetQueryParam("d", "default") }, func(r *axle.Request) {
		r.SetURL("/?u=1").SetQueryParam("a", "set").SetQueryParam("b", "2").SetParams(map[string]int{"a": 3})
	})
	assert.Equal(t, "u=1&a=3&b=2&d=default", got)
}

func TestBadInput_Params(t *testing.T) {
	deep := map[string]any{"x": 1}
	for range axle.MaxQueryDepth {
		deep = map[string]any{"a": deep}
	}
	for name, c := range map[string]struct {
		edit func(*axle.Request)
		says string
	}{
		"a scalar":        {func(r *axle.Request) { r.SetParams(7) }, "a map or a struct"},
		"a list":          {func(r *axle.Request) { r.SetParams([]int{1}) }, "a map or a struct"},
		"a channel":       {func(r *axle.Request) { r.SetParams(map[string]any{"c": make(chan int)}) }, "chan int"},
		"too deep":        {func(r *axle.Request) { r.SetParams(deep) }, "100 deep"},
		"a form, scalar":  {func(r *axle.Request) { r.SetForm("text") }, "the form (string)"},
		"a form, channel": {func(r *axle.Request) { r.SetForm(make(chan int)) }, "the form (chan int)"},
	} {
		client, transport := newFakeClient(always(200, ""))
		_, err := client.Get(t.Context(), "/", c.edit)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.ErrorContains(t, err, c.says, name)
		assert.Zero(t, transport.Sent.Load(), name)
	}
}

func TestForm_FromAMapOrAStruct(t *testing.T) {
	var form url.Values
	var contentType string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		contentType = r.Header.Get("Content-Type")
		assert.NoError(t, r.ParseForm())
		form = r.PostForm
	})
	_, err := c.R(t.Context()).SetForm(search{Text: "ü&=", Tags: []string{"x", "y"}}).Post("/")
	require.NoError(t, err)
	assert.Equal(t, "application/x-www-form-urlencoded", contentType)
	assert.Equal(t, url.Values{"q": {"ü&="}, "tags": {"x", "y"}, "page": {"0"}, "exact": {"false"}}, form)
}

func TestParams_AreInResolveURL(t *testing.T) {
	u, err := axle.New().SetBaseURL("http://axle.test").R(t.Context()).SetURL("/a").SetParams(map[string]string{"q": "1 2"}).ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/a?q=1+2", u.String())
	assert.True(t, strings.HasPrefix(u.String(), "http://axle.test"))
}
