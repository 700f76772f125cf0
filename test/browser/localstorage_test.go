//go:build js

package browser_test

import (
	"context"
	"net/url"
	"syscall/js"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
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

func TestLocalStorage_ASessionInCookiesIsRefreshedForAllTabsAndHasNoTokenInIt(t *testing.T) {
	refresh := "/api/cookie/refresh?set=" + url.QueryEscape("private=good; HttpOnly")
	p := inLocalStorage(t)
	var clients [2]*axle.Client
	refreshes := 0
	for i := range clients {
		clients[i] = axle.New().SetBaseURL(pageOrigin(t))
		endpoint := store.Endpoint(clients[i].Clone(), refresh)
		session, err := store.Open[user](t.Context(), func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			refreshes++
			return endpoint(ctx, current)
		}, p)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, session.Close()) })
		clients[i].Use(auth.New(session))
		if i == 0 {
			session.Login(user{"Ada"}, nil)
		}
	}

	for _, client := range clients {
		_, err := client.Get(t.Context(), "/api/private/good")
		require.NoError(t, err)
	}
	assert.Equal(t, 1, refreshes)

	saved, err := p.Load(t.Context())
	require.NoError(t, err)
	assert.NotContains(t, string(saved), "good")
	assert.NotContains(t, js.Global().Get("document").Get("cookie").String(), "good")
}

// inLocalStorage opens the session of a test, and removes it after the test.
func inLocalStorage(t *testing.T) store.Persister {
	t.Cleanup(func() { js.Global().Get("localStorage").Call("removeItem", t.Name()) })
	return store.LocalStorage(t.Name())
}
