//go:build js

package browser_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// ending is a way in which a user, or the page itself, ends a tab. It opens a tab, and returns what
// ends that tab.
type ending func(t *testing.T, address string) (end func())

var endings = map[string]ending{
	"a tab that its opener closes": func(_ *testing.T, address string) func() {
		tab := js.Global().Call("open", address)
		return func() { tab.Call("close") }
	},
	"a tab with a process of its own that is closed": func(t *testing.T, address string) func() {
		return endByMessage(t, address, "close")
	},
	"a tab that goes to another page": func(t *testing.T, address string) func() {
		return endByMessage(t, address, "leave")
	},
	"a frame that is removed": func(_ *testing.T, address string) func() {
		frame := addFrame(address, "allow-scripts allow-same-origin")
		return func() { frame.Call("remove") }
	},
}

// addFrame adds a frame to the page, in a sandbox that allows these things.
func addFrame(address, allowed string) js.Value {
	document := js.Global().Get("document")
	frame := document.Call("createElement", "iframe")
	frame.Set("sandbox", allowed)
	frame.Set("src", address)
	document.Get("documentElement").Call("append", frame)
	return frame
}

// endByMessage opens a tab that does not know its opener.
func endByMessage(t *testing.T, address, message string) func() {
	js.Global().Call("open", address, "_blank", "noopener")
	channel := newChannel()
	t.Cleanup(channel.close)
	return func() { channel.send(message) }
}

const victim = "victim "

// refreshInTab is the work of a tab that is ended in the middle of its refresh.
func refreshInTab(tab string) {
	server, key, _ := strings.Cut(strings.TrimPrefix(tab, victim), " ")
	session := openInTab(context.Background(), os.Getenv("AXLE_PAGE_ORIGIN")+server, key)
	go func() { _, _ = session.RefreshToken(context.Background()) }()

	switch message := <-newChannel().received; message {
	case "close":
		js.Global().Call("close")
	case "leave":
		js.Global().Get("location").Call("assign", "/api/echo/left")
	}
	select {}
}

func TestClosedTab_ATabThatEndsInItsRefreshHoldsNobodyUpAndTheSessionGoesOn(t *testing.T) {
	for name, open := range endings {
		t.Run(name, func(t *testing.T) {
			session, counts, err := endInRefresh(t, open, "/graceful", "after")
			require.NoError(t, err)
			assert.Equal(t, 1, counts.Refreshes)
			assert.Equal(t, 1, counts.Regranted)
			assert.NotNil(t, session.State().User)
		})
	}
}

func TestClosedTab_WhatTheServerNeverGotIsSentByTheNextTab(t *testing.T) {
	for _, server := range []string{"/graceful", "/strict"} {
		t.Run(server, func(t *testing.T) {
			session, counts, err := endInRefresh(t, endings["a tab that its opener closes"], server, "before")
			require.NoError(t, err)
			assert.Equal(t, sessiontest.Counts{Refreshes: 1}, counts)
			assert.NotNil(t, session.State().User)
		})
	}
}

func TestClosedTab_AStrictServerThatHadRotatedTheTokenIsALostResponseAndSaysSo(t *testing.T) {
	session, counts, err := endInRefresh(t, endings["a tab that its opener closes"], "/strict", "after")
	require.ErrorIs(t, err, store.ErrOutcomeUnknown)
	assert.Equal(t, sessiontest.Counts{Refreshes: 1, Reused: 1, Refused: 1}, counts)
	assert.Nil(t, session.State().User)
}

// endInRefresh ends a tab at a point of its refresh, while this page waits for the same session. It
// returns what the refresh of this page came to, and what the server has done in the meantime.
func endInRefresh(t *testing.T, open ending, prefix, point string) (
	session *store.UserStore[user], did sessiontest.Counts, failure error,
) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	server := axle.New().SetBaseURL(pageOrigin(t) + prefix)
	token, err := axle.Post[*oauth2.Token](ctx, server, "/login", nil)
	require.NoError(t, err)

	key := t.Name()
	session = openInTab(ctx, server.BaseURL(), key)
	t.Cleanup(func() {
		assert.NoError(t, session.Close())
		js.Global().Get("localStorage").Call("removeItem", key)
	})
	session.Login(user{"Ada"}, token)
	before, err := axle.Get[sessiontest.Counts](ctx, server, "/counts")
	require.NoError(t, err)

	_, err = server.Post(ctx, "/hold", nil, axle.WithQuery("at", point))
	require.NoError(t, err)
	end := open(t, "/?tab="+url.QueryEscape(victim+prefix+" "+key))
	_, err = server.Get(ctx, "/held")
	require.NoError(t, err)

	// The refresh of this page waits for the lock that the other tab has.
	waiting := future.Go(func() (*oauth2.Token, error) { return session.RefreshToken(ctx) })
	end()
	_, failure = waiting.Await(ctx)
	after, err := axle.Get[sessiontest.Counts](ctx, server, "/counts")
	require.NoError(t, err)

	did = sessiontest.Counts{
		Refreshes: after.Refreshes - before.Refreshes,
		Regranted: after.Regranted - before.Regranted,
		Reused:    after.Reused - before.Reused,
		Refused:   after.Refused - before.Refused,
	}
	return session, did, failure
}
