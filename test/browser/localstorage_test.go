//go:build js

package browser_test

import (
	"syscall/js"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func TestLocalStorage_HoldsEverySentenceOfAPersister(t *testing.T) {
	sessiontest.Persister(t, inLocalStorage)
}

func TestLocalStorage_CookiesAreTheBrowsersToKeepAndWithCookiesSaysSo(t *testing.T) {
	client := axle.New().SetBaseURL(pageOrigin(t))
	_, err := store.Open[user](t.Context(), store.Endpoint(client, "/refresh"), inLocalStorage(t),
		store.WithCookies(client))
	require.ErrorContains(t, err, "the browser keeps the cookies")
}

// inLocalStorage opens the session of a test, and removes it after the test.
func inLocalStorage(t *testing.T) store.Persister {
	t.Cleanup(func() { js.Global().Get("localStorage").Call("removeItem", t.Name()) })
	return store.LocalStorage(t.Name())
}
