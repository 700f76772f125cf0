//go:build js

package browser_test

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// full asks for the whole size of TestTabs: go test ./test/browser -args -full.
var full = flag.Bool("full", false, "expire the token of the tabs 20 times instead of 3 times")

const (
	tabs        = 5
	callsOfTab  = 20
	tabsSession = "the session of the tabs"
)

// TestMain does the work of a tab where the page is one.
func TestMain(m *testing.M) {
	tab := os.Getenv("AXLE_TAB")
	switch {
	case strings.HasPrefix(tab, victim):
		refreshInTab(tab)
	case strings.HasPrefix(tab, visitor):
		leaveAndComeBack(tab)
	case tab == sandboxed:
		openInSandbox()
	case tab != "":
		workInTab(tab)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestTabs_OneExpiryIsOneRefreshInAllTabsAndNoCallFails(t *testing.T) {
	expiries := 3
	if *full {
		expiries = 20
	}
	channel := newChannel()
	defer channel.close()
	server := axle.New().SetBaseURL(pageOrigin(t) + "/session")
	token, err := axle.Post[*oauth2.Token](t.Context(), server, "/login", nil)
	require.NoError(t, err)

	session := openInTab(t.Context(), server.BaseURL(), tabsSession)
	defer func() {
		assert.NoError(t, session.Logout(context.WithoutCancel(t.Context())))
		assert.NoError(t, session.Close())
	}()
	session.Login(user{"Ada"}, token)

	holders := map[string]bool{}
	watch := js.FuncOf(func(_ js.Value, args []js.Value) any {
		record, _ := base64.StdEncoding.DecodeString(args[0].Get("newValue").String())
		if _, holder, ok := strings.Cut(string(record), `"holder":`); ok {
			holders[holder] = true
		}
		return nil
	})
	defer watch.Release()
	js.Global().Call("addEventListener", "storage", watch)
	defer js.Global().Call("removeEventListener", "storage", watch)

	// A tab that does not know its opener is a process of its own, as a user's tabs are.
	for tab := range tabs {
		js.Global().Call("open", fmt.Sprintf("/?tab=%d", tab), "_blank", "noopener")
	}
	defer channel.send("stop")
	channel.fromEachTab(t, "ready")

	for expiry := range expiries {
		_, err := server.Post(t.Context(), fmt.Sprint("/expire?refused=", tabs*callsOfTab), nil)
		require.NoError(t, err)
		channel.send(fmt.Sprint("call ", expiry))
		channel.fromEachTab(t, fmt.Sprint("called ", expiry))
	}

	// A tab that finds the intent of another one waits, and so each has a name of its own. A tab that
	// does not know the newest token would get it, and send nothing.
	newest := ""
	for tab := range tabs {
		channel.send(fmt.Sprintf("refresh %d %s", tab, newest))
		var ok bool
		newest, ok = strings.CutPrefix(<-channel.received, fmt.Sprintf("refreshed %d ", tab))
		require.True(t, ok)
	}
	assert.Len(t, holders, tabs)

	counts, err := axle.Get[sessiontest.Counts](t.Context(), server, "/counts")
	require.NoError(t, err)
	assert.Equal(t, expiries+tabs, counts.Refreshes)
	assert.Zero(t, counts.Reused)
	assert.Zero(t, counts.Refused)
	assert.Equal(t, tabs*callsOfTab*expiries, counts.Served)
}

// openInTab opens the session of a server that all tabs share under a key.
func openInTab(ctx context.Context, server, key string) *store.UserStore[user] {
	config := &oauth2.Config{ClientID: "tab", Endpoint: oauth2.Endpoint{
		TokenURL: server + "/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	session, err := store.Open[user](ctx, store.OAuth2(config), store.LocalStorage(key),
		store.WithLogoutWhen(store.RejectedOnly))
	if err != nil {
		panic(err)
	}
	return session
}

// workInTab sends the calls of one tab for each message that asks for them.
func workInTab(tab string) {
	ctx := context.Background()
	origin := os.Getenv("AXLE_PAGE_ORIGIN")
	session := openInTab(ctx, origin+"/session", tabsSession)
	client := axle.New().SetBaseURL(origin).Use(auth.New(session))
	channel := newChannel()
	channel.send("ready " + tab)

	for message := range channel.received {
		if message == "stop" {
			break
		}
		if newest, isMine := strings.CutPrefix(message, "refresh "+tab+" "); isMine {
			awaitToken(session, newest)
			if token, err := session.RefreshToken(ctx); err == nil {
				channel.send("refreshed " + tab + " " + token.AccessToken)
			}
			continue
		}
		expiry, isCall := strings.CutPrefix(message, "call ")
		if !isCall {
			continue
		}

		var calls []*future.Future[*axle.Response]
		for range callsOfTab {
			calls = append(calls, future.Go(func() (*axle.Response, error) {
				return client.Get(ctx, "/session/data")
			}))
		}
		answer := fmt.Sprintf("called %s %s", expiry, tab)
		for _, call := range calls {
			if _, err := call.Await(ctx); err != nil {
				answer += fmt.Sprintf(" failed: %v", err)
			}
		}
		channel.send(answer)
	}
	_ = session.Close()
	channel.close()
}

// awaitToken waits until a session has an access token. It does not wait for an empty one.
func awaitToken(session *store.UserStore[user], access string) {
	has := make(chan struct{}, 1)
	look := func(state store.State[user]) {
		if access == "" || state.Token != nil && state.Token.AccessToken == access {
			select {
			case has <- struct{}{}:
			default:
			}
		}
	}
	unsubscribe := session.Subscribe(func(state, _ store.State[user]) { look(state) })
	defer unsubscribe()
	look(session.State())
	<-has
}

// channel is a BroadcastChannel, which reaches all tabs of the origin except for the sender.
type channel struct {
	js       js.Value
	listener js.Func
	received chan string
}

func newChannel() *channel {
	c := &channel{js: js.Global().Get("BroadcastChannel").New("tabs"), received: make(chan string, 1000)}
	c.listener = js.FuncOf(func(_ js.Value, args []js.Value) any {
		c.received <- args[0].Get("data").String()
		return nil
	})
	c.js.Set("onmessage", c.listener)
	return c
}

func (c *channel) send(message string) { c.js.Call("postMessage", message) }

func (c *channel) close() {
	c.js.Call("close")
	c.listener.Release()
}

// fromEachTab waits until each tab has sent the message, with the tab's name behind it.
func (c *channel) fromEachTab(t *testing.T, message string) {
	t.Helper()
	var wanted, got []string
	for tab := range tabs {
		wanted = append(wanted, fmt.Sprint(message, " ", tab))
	}
	for len(got) < tabs {
		select {
		case one := <-c.received:
			got = append(got, one)
		case <-time.After(time.Minute):
			require.FailNow(t, "a tab does not answer", "wanted %q of each tab, got %q", message, got)
		}
	}
	slices.Sort(got)
	require.Equal(t, wanted, got)
}
