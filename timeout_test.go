package axle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// slowly answers after a second, with a body that takes another one.
func slowly(r *http.Request) (*http.Response, error) {
	wait := func() error {
		select {
		case <-time.After(time.Second):
			return nil
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
	if err := wait(); err != nil {
		return nil, err
	}
	return replyWith(r, 200, &watchedBody{Reader: io.MultiReader(strings.NewReader("a"), readFunc(func([]byte) (int, error) {
		if err := wait(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}))}), nil
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestResponse_DurationIsToTheEndOfTheBodyOrTheHeadersOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(slowly)
		resp, err := c.Get(context.Background(), "/")
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, resp.Duration())
		resp, err = c.R(context.Background()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, time.Second, resp.Duration())
		require.NoError(t, resp.Buffer())
		_, err = c.R(context.Background()).SetValidateStatus(func(int) bool { return false }).Get("/")
		assert.Equal(t, 2*time.Second, asAxle(t, err).Response.Duration(), "a refused one has it too")
	})
}

func TestResponse_ATimeLimitBoundsTheBodyOrTheHeadersOfAStream(t *testing.T) {
	for name, x := range map[string]struct {
		limit  time.Duration
		stream bool
		code   axle.Code // empty: none
	}{
		"enough":                         {3 * time.Second, false, ""},
		"up during the body":             {1500 * time.Millisecond, false, axle.CodeTimeout},
		"up before the headers":          {500 * time.Millisecond, false, axle.CodeTimeout},
		"a stream, after its headers":    {1500 * time.Millisecond, true, ""},
		"a stream, up before the header": {500 * time.Millisecond, true, axle.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFakeClient(slowly)
				resp, err := c.R(context.Background()).SetTimeout(x.limit).SetStream(x.stream).Get("/")
				if x.code != "" {
					assert.Equal(t, x.code, asAxle(t, err).Code)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				require.NoError(t, err)
				time.Sleep(time.Hour) // of a stream nobody hurries the reader
				require.NoError(t, resp.Buffer())
				assert.Equal(t, "a", resp.String())
			})
		})
	}
}

func TestResponse_TheCallersContextBoundsAStreamToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(slowly)
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		resp, err := c.R(ctx).SetTimeout(time.Hour).SetStream(true).Get("/")
		require.NoError(t, err)
		err = resp.Buffer()
		assert.Equal(t, axle.CodeTimeout, asAxle(t, err).Code)
		assert.Equal(t, "a", resp.String())

		cause := errors.New("enough")
		cancelable, stop := context.WithCancelCause(context.Background())
		resp, err = c.R(cancelable).SetStream(true).Get("/")
		require.NoError(t, err)
		stop(cause)
		err = resp.Buffer()
		assert.Equal(t, axle.CodeCanceled, asAxle(t, err).Code)
		require.ErrorIs(t, err, cause)
	})
}

// Respond.
