//go:build js

package browser_test

import (
	"net/http"
	"os"
	"syscall/js"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// received is a request as the server got it: see the command chromium.
type received struct {
	Method, Host, URL, Body string
	Header                  http.Header
}

// pageOrigin is the origin of the page that runs the tests, and otherOrigin the second one. They
// differ in the port.
func pageOrigin(t *testing.T) string  { return origin(t, "AXLE_PAGE_ORIGIN") }
func otherOrigin(t *testing.T) string { return origin(t, "AXLE_OTHER_ORIGIN") }

func origin(t *testing.T, variable string) string {
	t.Helper()
	o := os.Getenv(variable)
	require.NotEmpty(t, o, "the tests need a browser: see the command test/browser/chromium")
	return o
}

// kept returns what an origin has received under a name, preflights included.
func kept(t *testing.T, origin, name string) []received {
	t.Helper()
	list, err := axle.Get[[]received](t.Context(), axle.New().SetBaseURL(origin), "/api/kept/"+name)
	require.NoError(t, err)
	return list
}

// echo sends a GET to the echo of a client's base URL.
func echo(t *testing.T, c *axle.Client, name string, edits ...func(*axle.Request)) received {
	t.Helper()
	got, err := axle.Get[received](t.Context(), c, "/api/echo/"+name, edits...)
	require.NoError(t, err)
	return got
}

// refused checks that a call is refused for its input, and that neither origin has received
// anything under the name.
func refused(t *testing.T, err error, name, says string) {
	t.Helper()
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.ErrorContains(t, err, says)
	assert.Empty(t, kept(t, pageOrigin(t), name))
	assert.Empty(t, kept(t, otherOrigin(t), name))
}

// watchFetch notes the options of each fetch until the test ends.
func watchFetch(t *testing.T) func() []js.Value {
	t.Helper()
	original := js.Global().Get("fetch")
	var seen []js.Value
	watch := js.FuncOf(func(_ js.Value, args []js.Value) any {
		seen = append(seen, args[1])
		return original.Invoke(args[0], args[1])
	})
	js.Global().Set("fetch", watch)
	t.Cleanup(func() {
		js.Global().Set("fetch", original)
		watch.Release()
	})
	return func() []js.Value { return seen }
}
