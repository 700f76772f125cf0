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
)

// A browser keeps a page that the user has left, stopped as it is, for the way back (the back/forward
// cache). These tests are about such a page.

const visitor = "visitor "

// leaveAndComeBack is the work of a tab that is left when a test asks for that. When the user is back,
// it tells of the token that its session has then.
func leaveAndComeBack(tab string) {
	key := strings.TrimPrefix(tab, visitor)
	session := openInTab(context.Background(), os.Getenv("AXLE_PAGE_ORIGIN")+"/graceful", key)
	channel := newChannel()
	channel.send("here")
	<-channel.received

	// A page that hears of a message while it is stopped is not kept.
	channel.close()
	back := make(chan struct{}, 1)
	js.Global().Call("addEventListener", "pageshow", js.FuncOf(func(js.Value, []js.Value) any {
		back <- struct{}{}
		return nil
	}))
	tokens := make(chan string, 100)
	session.Subscribe(func(state, _ store.State[user]) {
		if state.Token != nil {
			tokens <- state.Token.AccessToken
		}
	})
	js.Global().Get("location").Call("assign", "/back")

	<-back
	newChannel().send("back with " + <-tokens)
	select {}
}

func TestPageCache_APageThatTheUserComesBackToKnowsWhatHasHappenedMeanwhile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	server := axle.New().SetBaseURL(pageOrigin(t) + "/graceful")
	token, err := axle.Post[*oauth2.Token](ctx, server, "/login", nil)
	require.NoError(t, err)
	session := openInTab(ctx, server.BaseURL(), t.Name())
	defer func() {
		assert.NoError(t, session.Logout(context.WithoutCancel(ctx)))
		assert.NoError(t, session.Close())
	}()
	session.Login(user{"Ada"}, token)

	channel := newChannel()
	defer channel.close()
	js.Global().Call("open", "/?tab="+url.QueryEscape(visitor+t.Name()), "_blank", "noopener")
	hear := func() string {
		select {
		case message := <-channel.received:
			return message
		case <-ctx.Done():
			return "nothing"
		}
	}
	require.Equal(t, "here", hear())
	channel.send("leave")
	require.Equal(t, "left", hear())

	next, err := session.RefreshToken(ctx)
	require.NoError(t, err)
	channel.send("back")
	assert.Equal(t, "back with "+next.AccessToken, hear())
}

func TestPageCache_APageThatIsLeftNeitherHoldsTheLockNorWaitsForIt(t *testing.T) {
	p := inLocalStorage(t)
	first, err := p.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, first.Held())
	waiting := future.Go(func() (store.Lock, error) { return p.Lock(t.Context()) })
	awaitRequests(t, 2)

	page("pagehide")
	require.Error(t, first.Held())
	awaitRequests(t, 0)
	require.NoError(t, first.Unlock())
	select {
	case <-waiting.Done():
		t.Error("the wait has ended although the user is not back")
	default:
	}

	page("pageshow")
	second, err := waiting.Await(t.Context())
	require.NoError(t, err)
	require.NoError(t, second.Held())
	require.NoError(t, second.Unlock())
}

func TestPageCache_AWaitInAPageThatIsLeftEndsWithItsContext(t *testing.T) {
	p := inLocalStorage(t)
	first, err := p.Lock(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := future.Go(func() (store.Lock, error) { return p.Lock(ctx) })
	awaitRequests(t, 2)

	page("pagehide")
	cancel()
	_, err = waiting.Await(t.Context())
	require.ErrorIs(t, err, store.ErrBusy)
	require.NoError(t, first.Unlock())
}

// page sends the page an event, as if the user left the page or came back to it.
func page(event string) {
	js.Global().Call("dispatchEvent", js.Global().Get("PageTransitionEvent").New(event, map[string]any{"persisted": true}))
}

// awaitRequests waits until so many of the locks of the origin are held or asked for. The browser has
// no event for that, and so it is asked again and again.
func awaitRequests(t *testing.T, count int) {
	t.Helper()
	for t.Context().Err() == nil {
		state := awaitPromise(js.Global().Get("navigator").Get("locks").Call("query"))
		if state.Get("held").Length()+state.Get("pending").Length() == count {
			return
		}
	}
}

// awaitPromise waits for the value of a promise that is not rejected.
func awaitPromise(promise js.Value) js.Value {
	value := make(chan js.Value, 1)
	then := js.FuncOf(func(_ js.Value, args []js.Value) any {
		value <- args[0]
		return nil
	})
	defer then.Release()
	promise.Call("then", then)
	return <-value
}
