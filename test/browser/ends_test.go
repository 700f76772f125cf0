//go:build js

package browser_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
)

// These tests are about calls that end before their server does. The server notices each of them.

func TestEnds_ATimeLimitEndsTheFetch(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t)).SetTimeout(time.Second)
	_, err := c.Get(t.Context(), "/api/wait/limit")
	require.ErrorIs(t, err, axle.CodeTimeout)
	await(t, "gone", "limit")
}

func TestEnds_ACancellationEndsTheFetchAndKeepsItsCause(t *testing.T) {
	cause := errors.New("the user has closed the dialog")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := axle.New().SetBaseURL(otherOrigin(t))
	call := future.Go(func() (*axle.Response, error) { return c.Get(ctx, "/api/wait/cancel") })
	await(t, "came", "cancel")
	cancel(cause)

	_, err := call.Await(t.Context())
	require.ErrorIs(t, err, axle.CodeCanceled)
	require.ErrorIs(t, err, cause)
	await(t, "gone", "cancel")
}

func TestEnds_AStreamIsReadAsItComesAndItsCloseEndsTheFetch(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t))
	resp, err := c.R(t.Context()).SetStream(true).Get("/api/wait/close?send=text")
	require.NoError(t, err)

	text := make([]byte, 4)
	_, err = io.ReadFull(resp.Stream(), text)
	require.NoError(t, err)
	assert.Equal(t, "text", string(text))
	require.NoError(t, resp.Stream().Close())
	await(t, "gone", "close")
}

func TestEnds_ABreakInALoopOverEventsEndsTheFetch(t *testing.T) {
	c := axle.New().SetBaseURL(otherOrigin(t))
	url := "/api/wait/events?as=text/event-stream&send=data:%20one%0A%0A"
	for event, err := range axle.Events[string](t.Context(), c, url) {
		require.NoError(t, err)
		assert.Equal(t, "one", event.Data)
		break
	}
	await(t, "gone", "events")
}

// await waits until the client of /api/wait has come to the server, or has gone.
func await(t *testing.T, event, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := axle.New().Get(ctx, otherOrigin(t)+"/api/"+event+"/"+name)
	assert.NoError(t, err, "the server was not told")
}
