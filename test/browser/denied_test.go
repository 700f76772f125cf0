//go:build js

package browser_test

import (
	"context"
	"strings"
	"syscall/js"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func TestDenied_AFullStorageSpendsNoRefreshTokenAndTheLoginGoesOn(t *testing.T) {
	server := axle.New().SetBaseURL(pageOrigin(t) + "/strict")
	token, err := axle.Post[*oauth2.Token](t.Context(), server, "/login", nil)
	require.NoError(t, err)
	session := openInTab(t.Context(), server.BaseURL(), t.Name())
	t.Cleanup(func() {
		js.Global().Get("localStorage").Call("removeItem", t.Name())
		assert.NoError(t, session.Close())
	})
	session.Login(user{"Ada"}, token)
	before, err := axle.Get[sessiontest.Counts](t.Context(), server, "/counts")
	require.NoError(t, err)

	empty := fillStorage()
	defer empty()
	_, err = session.RefreshToken(t.Context())
	require.ErrorIs(t, err, store.ErrStorage)
	require.ErrorContains(t, err, "QuotaExceededError")
	assert.NotNil(t, session.State().User)
	during, err := axle.Get[sessiontest.Counts](t.Context(), server, "/counts")
	require.NoError(t, err)
	assert.Equal(t, before, during)

	empty()
	_, err = session.RefreshToken(t.Context())
	require.NoError(t, err)
	assert.NotNil(t, session.State().User)
}

// fillStorage fills localStorage to its last character, and returns what empties it again.
func fillStorage() (empty func()) {
	storage := js.Global().Get("localStorage")
	fits := func(text string) (fits bool) {
		defer func() { fits = recover() == nil }()
		storage.Call("setItem", "filling", text)
		return true
	}

	text := ""
	for size := 1 << 23; size > 0; size /= 2 {
		if more := text + strings.Repeat("x", size); fits(more) {
			text = more
		}
	}
	return func() { storage.Call("removeItem", "filling") }
}

func TestDenied_AStorageThatThePageMayNotUseIsAnErrorOfOpen(t *testing.T) {
	throws := js.Global().Get("Function").New("throw new DOMException('Access is denied', 'SecurityError')")
	replace(t, js.Global(), "localStorage", throws)

	_, err := store.Open[user](t.Context(), store.Endpoint(axle.New(), "/refresh"), store.LocalStorage(t.Name()))
	require.ErrorIs(t, err, store.ErrStorage)
	assert.ErrorContains(t, err, "SecurityError")
}

func TestDenied_ASandboxedFrameMayNotUseTheStorageAndOpenSaysSo(t *testing.T) {
	said := make(chan string, 1)
	listen := js.FuncOf(func(_ js.Value, args []js.Value) any {
		said <- args[0].Get("data").String()
		return nil
	})
	defer listen.Release()
	js.Global().Call("addEventListener", "message", listen)
	defer js.Global().Call("removeEventListener", "message", listen)

	frame := addFrame("/?tab="+sandboxed, "allow-scripts")
	defer frame.Call("remove")
	assert.Contains(t, <-said, "SecurityError")
}

const sandboxed = "sandboxed"

// openInSandbox is the work of a sandboxed frame, which cannot reach the channel of the tabs.
func openInSandbox() {
	said := "a session"
	_, err := store.Open[user](context.Background(), store.Endpoint(axle.New(), "/refresh"), store.LocalStorage("key"))
	if err != nil {
		said = err.Error()
	}
	js.Global().Get("parent").Call("postMessage", said, "*")
	select {}
}

func TestDenied_AWorkerHasNoStorageAndOpenSaysSo(t *testing.T) {
	replace(t, js.Global(), "localStorage", js.Global().Get("Function").New("return undefined"))

	_, err := store.Open[user](t.Context(), store.Endpoint(axle.New(), "/refresh"), store.LocalStorage(t.Name()))
	require.ErrorIs(t, err, store.ErrStorage)
	assert.ErrorContains(t, err, "there is no localStorage here")
}

func TestDenied_APageThatIsNotSecureHasNoWebLocksAndOpenSaysSo(t *testing.T) {
	replace(t, js.Global().Get("navigator"), "locks", js.Global().Get("Function").New("return undefined"))

	_, err := store.Open[user](t.Context(), store.Endpoint(axle.New(), "/refresh"), store.LocalStorage(t.Name()))
	require.ErrorIs(t, err, store.ErrStorage)
	assert.ErrorContains(t, err, "https")
}

// replace replaces what an object has under a name by a getter, until the test ends.
func replace(t *testing.T, object js.Value, name string, getter js.Value) {
	objects := js.Global().Get("Object")
	own := objects.Call("getOwnPropertyDescriptor", object, name)
	objects.Call("defineProperty", object, name, map[string]any{"get": getter, "configurable": true})
	t.Cleanup(func() {
		if own.IsUndefined() {
			js.Global().Get("Reflect").Call("deleteProperty", object, name)
			return
		}
		objects.Call("defineProperty", object, name, own)
	})
}

// A browser lets the timers of a tab in the background run once in a second.
func TestBackground_ATabWhoseTimersAreLateSharesTheRefreshAndFailsNoCall(t *testing.T) {
	original := js.Global().Get("setTimeout")
	late := js.Global().Get("Function").New("original",
		"return (run, delay = 0) => original(run, 1000 * (1 + Math.floor(delay / 1000)))").Invoke(original)
	js.Global().Set("setTimeout", late)
	defer js.Global().Set("setTimeout", original)

	server := axle.New().SetBaseURL(pageOrigin(t) + "/strict")
	token, err := axle.Post[*oauth2.Token](t.Context(), server, "/login", nil)
	require.NoError(t, err)
	session, other := openInTab(t.Context(), server.BaseURL(), t.Name()), openInTab(t.Context(), server.BaseURL(), t.Name())
	defer func() {
		assert.NoError(t, session.Logout(t.Context()))
		assert.NoError(t, session.Close())
		assert.NoError(t, other.Close())
	}()
	session.Login(user{"Ada"}, token)
	awaitToken(other, token.AccessToken)
	before, err := axle.Get[sessiontest.Counts](t.Context(), server, "/counts")
	require.NoError(t, err)

	_, err = server.Post(t.Context(), "/expire", nil, axle.WithQuery("refused", "20"))
	require.NoError(t, err)
	var calls []*future.Future[*axle.Response]
	for _, shared := range []auth.Session{session, other} {
		client := server.Clone().Use(auth.New(shared))
		for range 10 {
			calls = append(calls, future.Go(func() (*axle.Response, error) { return client.Get(t.Context(), "/data") }))
		}
	}
	_, err = future.All(calls...).Await(t.Context())
	require.NoError(t, err)

	after, err := axle.Get[sessiontest.Counts](t.Context(), server, "/counts")
	require.NoError(t, err)
	assert.Equal(t, 1, after.Refreshes-before.Refreshes)
	assert.Equal(t, before.Reused, after.Reused)
}
