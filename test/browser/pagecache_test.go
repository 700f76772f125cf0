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

// leaveAndComeBack is the work of a tab that is left when a test asks for that, and to which the user
// comes back. If its name says so, it is left in the middle of a refresh.
func leaveAndComeBack(tab string) {
	task, key, _ := strings.Cut(strings.TrimPrefix(tab, visitor), " ")
	ctx := context.Background()
	session := openInTab(ctx, os.Getenv("AXLE_PAGE_ORIGIN")+"/graceful", key)
	tokens := make(chan string, 100)
	switch task {
	case "refreshes":
		go func() {
			token, err := session.RefreshToken(ctx)
			if err != nil {
				token = &oauth2.Token{AccessToken: err.Error()}
			}
			tokens <- token.AccessToken
		}()
	case "listens":
		first := session.State().Token.AccessToken
		session.Subscribe(func(state, _ store.State[user]) {
			if state.Token != nil && state.Token.AccessToken != first {
				tokens <- state.Token.AccessToken
			}
		})
	}

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
	js.Global().Get("location").Call("assign", "/back")

	<-back
	newChannel().send("back with " + <-tokens)
	select {}
}

func TestPageCache_APageThatTheUserComesBackToKnowsWhatHasHappenedMeanwhile(t *testing.T) {
	visit := newVisit(t)
	visit.begin(t, "listens")
	visit.leave(t)

	next, err := visit.session.RefreshToken(visit.ctx)
	require.NoError(t, err)
	assert.Equal(t, next.AccessToken, visit.comeBack(t, func() {}))
}

func TestPageCache_ARefreshThatWasLeftInTheMiddleEndsWithTheTokenThatAnotherTabHasGot(t *testing.T) {
	visit := newVisit(t)
	_, err := visit.server.Post(visit.ctx, "/hold", nil, axle.WithQuery("at", "after"))
	require.NoError(t, err)
	visit.begin(t, "refreshes")
	_, err = visit.server.Get(visit.ctx, "/held")
	require.NoError(t, err)
	visit.leave(t)

	// The other tab spends the same refresh token once more.
	next, err := visit.session.RefreshToken(visit.ctx)
	require.NoError(t, err)
	token := visit.comeBack(t, func() {
		_, err = visit.server.Post(visit.ctx, "/release", nil)
		require.NoError(t, err)
	})
	assert.Equal(t, next.AccessToken, token)
	assert.NotNil(t, visit.session.State().User)
}

// visit is a tab that the user leaves and comes back to, while this page has the same session.
type visit struct {
	ctx     context.Context
	server  *axle.Client
	session *store.UserStore[user]
	key     string
	channel *channel
}

func newVisit(t *testing.T) *visit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	t.Cleanup(cancel)
	server := axle.New().SetBaseURL(pageOrigin(t) + "/graceful")
	token, err := axle.Post[*oauth2.Token](ctx, server, "/login", nil)
	require.NoError(t, err)

	v := &visit{ctx: ctx, server: server, key: t.Name(), channel: newChannel()}
	v.session = openInTab(ctx, server.BaseURL(), v.key)
	t.Cleanup(func() {
		v.channel.close()
		assert.NoError(t, v.session.Close())
		js.Global().Get("localStorage").Call("removeItem", v.key)
	})
	v.session.Login(user{"Ada"}, token)
	return v
}

func (v *visit) begin(t *testing.T, task string) {
	t.Helper()
	js.Global().Call("open", "/?tab="+url.QueryEscape(visitor+task+" "+v.key), "_blank", "noopener")
	require.Equal(t, "here", v.hear())
}

func (v *visit) leave(t *testing.T) {
	t.Helper()
	v.channel.send("leave")
	require.Equal(t, "left", v.hear())
}

// comeBack goes back to the tab, and returns the token that it tells of.
func (v *visit) comeBack(t *testing.T, then func()) string {
	t.Helper()
	v.channel.send("back")
	then()
	message := v.hear()
	token, ok := strings.CutPrefix(message, "back with ")
	require.True(t, ok, message)
	return token
}

func (v *visit) hear() string {
	select {
	case message := <-v.channel.received:
		return message
	case <-v.ctx.Done():
		return "nothing"
	}
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
