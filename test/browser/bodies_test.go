//go:build js

package browser_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"syscall/js"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/store"
)

// net/http looks at the context of a fetch while it waits for the response: not before, while it reads
// the body of the request, and not after. The rest is axle's work.

var errLeft = errors.New("the page was left")

// isGivenUp checks that the server sees the end of a request to /api/stall.
func isGivenUp(t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(kept(t, pageOrigin(t), name)) == 1 }, 10*time.Second, 10*time.Millisecond)
}

func TestBodies_AStreamEndsWithItsContextAndTheServerSeesIt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	resp, err := axle.New().SetBaseURL(pageOrigin(t)).R(ctx).SetStream(true).Get("/api/stall/stream")
	require.NoError(t, err)
	defer resp.Stream().Close()

	start := make([]byte, len("start"))
	_, err = io.ReadFull(resp.Stream(), start)
	require.NoError(t, err)
	assert.Equal(t, "start", string(start))

	time.AfterFunc(50*time.Millisecond, func() { cancel(errLeft) })
	rest, err := io.ReadAll(resp.Stream())
	require.ErrorIs(t, err, errLeft)
	assert.Empty(t, rest)
	isGivenUp(t, "stream")
}

func TestBodies_ABodyThatBreaksOffIsANetworkErrorAndNeverItsEnd(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t))
	for _, path := range []string{"/api/broken/x", "/api/broken/x?length=9"} {
		_, err := c.Get(t.Context(), path)
		require.ErrorIs(t, err, axle.CodeNetwork, path)

		resp, err := c.R(t.Context()).SetStream(true).Get(path)
		require.NoError(t, err, path)
		_, err = io.ReadAll(resp.Stream())
		require.ErrorContains(t, err, "network error", path)
		require.NotErrorIs(t, err, io.ErrUnexpectedEOF, path)
		require.NoError(t, resp.Stream().Close())
	}
}

func TestBodies_ABodyThatBreaksOffIsNoErrorOfThePageToo(t *testing.T) {
	var unhandled []string
	listener := js.FuncOf(func(_ js.Value, args []js.Value) any {
		unhandled = append(unhandled, args[0].Get("reason").Call("toString").String())
		return nil
	})
	defer listener.Release()
	js.Global().Call("addEventListener", "unhandledrejection", listener)
	defer js.Global().Call("removeEventListener", "unhandledrejection", listener)

	c := axle.New().SetBaseURL(pageOrigin(t))
	for range 3 {
		_, err := c.Get(t.Context(), "/api/broken/x")
		require.ErrorIs(t, err, axle.CodeNetwork)
	}
	echo(t, c, "later") // the browser has told of the rejections by then
	assert.Empty(t, unhandled)
}

func TestBodies_ABodyThatStallsIsATimeout(t *testing.T) {
	for engine, configure := range map[string]func(*resty.Client){
		"timeout-nethttp": nil,
		"timeout-resty":   func(*resty.Client) {},
	} {
		t.Run(engine, func(t *testing.T) {
			c := axle.New().SetBaseURL(pageOrigin(t)).SetTimeout(200 * time.Millisecond).SetEngine(configure)
			_, err := c.Get(t.Context(), "/api/stall/"+engine)
			require.ErrorIs(t, err, axle.CodeTimeout)
			isGivenUp(t, engine)
		})
	}
}

func TestBodies_ABodyThatStallsEndsWithTheCauseOfTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(errLeft) })
	_, err := axle.New().SetBaseURL(pageOrigin(t)).Get(ctx, "/api/stall/cause")
	require.ErrorIs(t, err, axle.CodeCanceled)
	require.ErrorIs(t, err, errLeft)
	isGivenUp(t, "cause")
}

func TestBodies_AnUploadThatStallsIsATimeoutAndNothingIsSent(t *testing.T) {
	stalled, w := io.Pipe()
	defer w.Close()
	c := axle.New().SetBaseURL(pageOrigin(t)).SetTimeout(200 * time.Millisecond)
	_, err := c.Post(t.Context(), "/api/echo/upload", io.MultiReader(strings.NewReader("start"), stalled))
	require.ErrorIs(t, err, axle.CodeTimeout)
	assert.Empty(t, kept(t, pageOrigin(t), "upload"))
}

func TestBodies_BehindTheBridgeTheTimeLimitOfTheHTTPClientHolds(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t)).HTTPClient()
	c.Timeout = 200 * time.Millisecond
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, pageOrigin(t)+"/api/stall/stalled-bridge", nil)
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()

	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	isGivenUp(t, "stalled-bridge")
}

func TestBodies_BehindTheBridgeAResponseWithoutABodyHasNoneAsElsewhere(t *testing.T) {
	c := axle.New().HTTPClient()
	for name, x := range map[string]struct{ method, path string }{
		"HEAD":          {http.MethodHead, "/api/echo/none"},
		"no content":    {http.MethodGet, "/api/cookie/none?set=none%3D1"},
		"a length of 0": {http.MethodGet, "/api/redirect/none?status=200"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), x.method, pageOrigin(t)+x.path, nil)
		require.NoError(t, err)
		resp, err := c.Do(req)
		require.NoError(t, err)
		assert.Equal(t, http.NoBody, resp.Body, name)
		require.NoError(t, resp.Body.Close())
	}
}

func TestBodies_ARefreshThatStallsEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	refresh := store.OAuth2(&oauth2.Config{
		ClientID: "test", Endpoint: oauth2.Endpoint{TokenURL: pageOrigin(t) + "/api/stall/refresh", AuthStyle: oauth2.AuthStyleInParams},
	})
	_, err := refresh(ctx, &oauth2.Token{RefreshToken: "old"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	isGivenUp(t, "refresh")
}

func TestBodies_AnUploadIsReadWholeBeforeItIsSent(t *testing.T) {
	readTo := int64(0)
	r := axle.New().SetBaseURL(pageOrigin(t)).R(t.Context()).
		SetBody(axle.NewMultipart().File("f", "f.txt", strings.NewReader(strings.Repeat("x", 1<<20)))).
		OnUploadProgress(func(p axle.Progress) {
			readTo = p.Bytes
			assert.Empty(t, kept(t, pageOrigin(t), "whole"))
		})
	resp, err := r.Post("/api/echo/whole")
	require.NoError(t, err)

	var got received
	require.NoError(t, resp.Decode(&got))
	assert.Greater(t, len(got.Body), 1<<20)
	assert.Equal(t, readTo, int64(len(got.Body)))
	assert.Equal(t, []string{strconv.Itoa(len(got.Body))}, got.Header["Content-Length"])
}

func TestSaveFile_APageHasNoFilesAndTheErrorSaysSo(t *testing.T) {
	resp, err := axle.New().SetBaseURL(pageOrigin(t)).R(t.Context()).SetStream(true).Get("/api/echo/file")
	require.NoError(t, err)
	defer resp.Stream().Close()

	// The runner has put a file system in memory in the place of the one that wasm_exec.js has.
	fs := js.Global().Get("fs")
	open := fs.Get("open")
	fs.Set("open", js.Global().Get("Function").New("...args",
		"args.at(-1)(Object.assign(new Error('not implemented'), { code: 'ENOSYS' }))"))
	defer fs.Set("open", open)
	require.ErrorIs(t, resp.SaveFile("/tmp/saved"), syscall.ENOSYS)
}
