package axle_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestBadInput_HeadersMethodsAndRequests(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*axle.Request)
		says string
	}{
		"CR in a value":           {func(r *axle.Request) { r.SetHeader("X-A", "a\rb") }, "X-A"},
		"LF in a value":           {func(r *axle.Request) { r.SetHeader("X-A", "a\nX-Evil: 1") }, "X-A"},
		"NUL in a value":          {func(r *axle.Request) { r.SetHeader("X-A", "a\x00") }, "byte 1"},
		"CRLF in a name":          {func(r *axle.Request) { r.Header["X\r\nA"] = []string{"a"} }, "not a token"},
		"a space in a name":       {func(r *axle.Request) { r.Header["X A"] = []string{"a"} }, `"X A"`},
		"an empty name":           {func(r *axle.Request) { r.Header[""] = []string{"a"} }, `""`},
		"a method with a space":   {func(r *axle.Request) { r.SetMethod("GET /evil HTTP/1.1") }, "GET /EVIL"},
		"a method with a newline": {func(r *axle.Request) { r.SetMethod("GET\n") }, "not a token"},
		"a negative timeout":      {func(r *axle.Request) { r.SetTimeout(-1) }, "negative"},
		"a nil context":           {func(r *axle.Request) { r.SetContext(nil) }, "context is nil"}, //nolint:staticcheck // that is the point
		"a stream and a result":   {func(r *axle.Request) { r.SetStream(true).SetResult(new(int)) }, "exclude"},
		"a result, no pointer":    {func(r *axle.Request) { r.SetResult(7) }, "pointer"},
		"a result, nil pointer":   {func(r *axle.Request) { r.SetResult((*int)(nil)) }, "pointer"},
	} {
		client, transport := newFakeClient(always(200, "1"))
		_, err := client.Get(t.Context(), "/", c.edit)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.ErrorContains(t, err, c.says, name)
		assert.Zero(t, transport.sent.Load(), name)
	}
	_, err := axle.New().Do(nil)
	require.ErrorIs(t, err, axle.CodeBadOption)
	_, err = (&axle.Request{}).Get("http://x.test")
	require.ErrorIs(t, err, axle.CodeBadOption, "a request of no client")
	client, transport := newFakeClient(always(200, ""))
	_, err = client.Get(nil, "/") //nolint:staticcheck // that is the point
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Zero(t, transport.sent.Load())
}

func TestBadInput_NilHandlersOnBothSidesPassThrough(t *testing.T) {
	c, _ := newFakeClient(inTurn(200, 500))
	c.Interceptors.Request.Use(nil, nil, nil, axle.Named("nothing"), axle.RunWhen(nil))
	c.Interceptors.Response.Use(nil, nil)
	_, err := c.Get(t.Context(), "/", nil)
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadResponse)
}
