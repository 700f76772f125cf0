//go:build js

package browser_test

import (
	"syscall/js"
	"testing"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func TestLocalStorage_HoldsEverySentenceOfAPersister(t *testing.T) {
	sessiontest.Persister(t, inLocalStorage)
}

// inLocalStorage opens the session of a test, and removes it after the test.
func inLocalStorage(t *testing.T) store.Persister {
	t.Cleanup(func() { js.Global().Get("localStorage").Call("removeItem", t.Name()) })
	return store.LocalStorage(t.Name())
}
