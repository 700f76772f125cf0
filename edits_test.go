package axle_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestEdits_WithHeaderAndWithQuerySetWhatTheSettersSet(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetHeader("X-Default", "client").SetQueryParam("q", "client")
	resp, err := c.Get(t.Context(), "/",
		axle.WithHeader("x-default", "call"), axle.WithHeader("X-More", "more"),
		axle.WithQuery("q", "a b"), axle.WithQuery("n", "1"))
	require.NoError(t, err)

	sent := resp.Raw().Request
	assert.Equal(t, []string{"call"}, sent.Header["X-Default"])
	assert.Equal(t, "more", sent.Header.Get("X-More"))
	assert.Equal(t, "n=1&q=a+b", sent.URL.RawQuery)
}

func TestEdits_WorkOnARequestThatWasWrittenOut(t *testing.T) {
	r := new(axle.Request).With(axle.WithHeader("A", "1"), axle.WithQuery("b", "2"), axle.Operation("c"))
	assert.Equal(t, "1", r.Header.Get("A"))
	assert.Equal(t, "2", r.Query.Get("b"))
	assert.Equal(t, "c", r.Operation())
}

func TestEdits_AReplayTakesThem(t *testing.T) {
	c, _ := newFakeClient(inTurn(503, 200))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(axle.WithHeader("X-Again", "yes"), axle.WithQuery("again", "yes"))
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "yes", resp.Raw().Request.Header.Get("X-Again"))
	assert.Equal(t, "again=yes", resp.Raw().Request.URL.RawQuery)
}

func TestEdits_ABadHeaderIsRefusedAsASettersIs(t *testing.T) {
	for name, edit := range map[string]func(*axle.Request){
		"a line break in the value": axle.WithHeader("X", "a\r\nb"),
		"no token for a name":       axle.WithHeader("a b", "x"),
		"a token with a line break": axle.WithHeader("Authorization", axle.Bearer("a\nb")),
	} {
		c, ft := newFakeClient(always(200, ""))
		_, err := c.Get(t.Context(), "/", edit)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.Zero(t, ft.Sent.Load(), name)
	}
}

func TestBearer_IsWhatAServerReads(t *testing.T) {
	var got string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	_, err := c.Get(t.Context(), "/", axle.WithHeader("Authorization", axle.Bearer("a.b-c_d~e+f/g==")))
	require.NoError(t, err)
	assert.Equal(t, "Bearer a.b-c_d~e+f/g==", got)
}

// Operations.

func TestOperation_HandlersOfEitherChainAndTheCallerSeeIt(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var seen []string
	useRequest(c, func(r *axle.Request) { seen = append(seen, r.Operation()) })
	useFulfilled(c, func(r *axle.Response) (*axle.Response, error) {
		seen = append(seen, r.Request.Operation())
		return r, nil
	})
	resp, err := c.Get(t.Context(), "/users/7", axle.Operation("users.get"))
	require.NoError(t, err)
	assert.Equal(t, []string{"users.get", "users.get"}, seen)
	assert.Equal(t, "users.get", resp.Request.Operation())

	for name, list := range resp.Raw().Request.Header {
		assert.NotContains(t, list, "users.get", "it is not sent: %s", name)
	}
}

func TestOperation_IsEmptyWithoutTheEditAndAfterAnEmptyName(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, resp.Request.Operation())
	assert.Equal(t, "b", c.R(t.Context()).With(axle.Operation("a"), axle.Operation("b")).Operation())
	assert.Empty(t, c.R(t.Context()).With(axle.Operation("a"), axle.Operation("")).Operation())
}

func TestOperation_ReplaysAndANestedDoKeepIt(t *testing.T) {
	for name, again := range map[string]func(*axle.Request) (*axle.Response, error){
		"Replay": func(r *axle.Request) (*axle.Response, error) { return r.Replay() },
		"Do":     func(r *axle.Request) (*axle.Response, error) { return r.Client().Do(r) },
	} {
		c, _ := newFakeClient(inTurn(503, 200))
		var seen []string
		useRequest(c, func(r *axle.Request) { seen = append(seen, r.Operation()) })
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { return again(err.Request) })
		resp, err := c.Get(t.Context(), "/", axle.Operation("users.list"))
		require.NoError(t, err, name)
		assert.Equal(t, []string{"users.list", "users.list"}, seen, name)
		assert.Equal(t, "users.list", resp.Request.Operation(), name)
	}
}

func TestOperation_AnErrorHasItAndSoHasARequestHandlersOwnBehindTheBridge(t *testing.T) {
	c, _ := newFakeClient(always(404, ""))
	_, err := c.Get(t.Context(), "/", axle.Operation("users.get"))
	assert.Equal(t, "users.get", asAxle(t, err).Request.Operation())

	var seen string
	useRequest(c, func(r *axle.Request) { r.With(axle.Operation("sdk.call")) })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		seen = err.Request.Operation()
		return nil, err
	})
	resp, err := c.HTTPClient().Get("http://axle.test/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "sdk.call", seen)
}

// The time limit of a request.

func TestRequestTimeout_IsWhatTheRequestSetsItself(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetTimeout(time.Minute)
	for name, x := range map[string]struct {
		edit func(*axle.Request)
		d    time.Duration
		set  bool
	}{
		"nothing":            {nil, 0, false},
		"a limit":            {func(r *axle.Request) { r.SetTimeout(time.Second) }, time.Second, true},
		"no limit":           {func(r *axle.Request) { r.SetTimeout(0) }, 0, true},
		"one after another":  {func(r *axle.Request) { r.SetTimeout(time.Second).SetTimeout(time.Hour) }, time.Hour, true},
		"one that is no use": {func(r *axle.Request) { r.SetTimeout(-1) }, -1, true},
	} {
		d, set := c.R(t.Context()).With(x.edit).Timeout()
		assert.Equal(t, x.d, d, name)
		assert.Equal(t, x.set, set, name)
	}

	// A handler sees what the caller set, and so do a clone and a replay.
	var seen []time.Duration
	c, _ = newFakeClient(inTurn(503, 200))
	useRequest(c, func(r *axle.Request) {
		d, set := r.Clone().Timeout()
		assert.True(t, set)
		seen = append(seen, d)
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	_, err := c.R(t.Context()).SetTimeout(time.Second).Get("/")
	require.NoError(t, err)
	assert.Equal(t, []time.Duration{time.Second, time.Second}, seen)
}
