package fetch_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/fetch"
)

var errLeft = errors.New("the page was left")

// fetchBody is a body as net/http makes it of a fetch: Close interrupts a Read, which then sees the end.
type fetchBody struct {
	*io.PipeReader
	closed int
}

func (b *fetchBody) Close() error {
	b.closed++
	return b.CloseWithError(io.EOF)
}

func TestEndWith_AReadEndsWithTheContextAndHasItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancelCause(t.Context())
		network := &fetchBody{PipeReader: r}
		body := fetch.EndWith(ctx, network, http.DefaultTransport)

		go func() {
			_, _ = io.WriteString(w, "part")
			synctest.Wait() // the read of the rest waits
			cancel(errLeft)
		}()
		text, err := io.ReadAll(body)
		assert.Equal(t, "part", string(text))
		require.ErrorIs(t, err, errLeft)
		_, err = body.Read(make([]byte, 1))
		require.ErrorIs(t, err, errLeft)
		require.NoError(t, body.Close())
	})
}

func TestEndWith_ABodyThatWasReadToItsEndStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		network := &watched{Reader: strings.NewReader("whole")}
		body := fetch.EndWith(ctx, network, http.DefaultTransport)
		text, err := io.ReadAll(body)
		require.NoError(t, err)
		assert.Equal(t, "whole", string(text))

		cancel()
		synctest.Wait()
		_, err = body.Read(make([]byte, 1))
		assert.Equal(t, io.EOF, err)
		assert.Zero(t, network.closed)
	})
}

func TestEndWith_CloseIsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		network := &watched{Reader: strings.NewReader("")}
		require.NoError(t, fetch.EndWith(ctx, network, http.DefaultTransport).Close())
		cancel()
		synctest.Wait()
		assert.Equal(t, 1, network.closed)
	})
}

func TestEndWith_ABodyThatHasBrokenOffIsClosedIfItIsNotNetHTTPs(t *testing.T) {
	broken := errors.New("network error")
	for transport, closed := range map[http.RoundTripper]int{http.DefaultTransport: 0, wrapping{}: 1} {
		network := &watched{Reader: io.MultiReader(strings.NewReader("part"), iotest.ErrReader(broken))}
		body := fetch.EndWith(t.Context(), network, transport)
		text, err := io.ReadAll(body)
		assert.Equal(t, "part", string(text))
		require.ErrorIs(t, err, broken)
		require.NoError(t, body.Close())
		assert.Equal(t, closed, network.closed)
	}
}

type wrapping struct{ http.RoundTripper }

// watched is a body that counts how often it is closed.
type watched struct {
	io.Reader
	closed int
}

func (w *watched) Close() error { w.closed++; return nil }
