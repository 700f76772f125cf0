package detached_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/detached"
)

type key struct{}

func TestDetached_WorkKeepsTheValuesOfItsCallersContextAndNotItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "trace"))
		cancel()
		value, err := detached.Run(ctx, time.Minute, func(ctx context.Context) (any, error) {
			deadline, _ := ctx.Deadline()
			assert.Equal(t, time.Minute, time.Until(deadline))
			return ctx.Value(key{}), ctx.Err()
		})
		require.NoError(t, err)
		assert.Equal(t, "trace", value)
	})
}

func TestDetached_TheOutcomeIsThatOfTheWork(t *testing.T) {
	errBoom := errors.New("boom")
	_, err := detached.Run(t.Context(), time.Minute, func(context.Context) (int, error) { return 0, errBoom })
	require.ErrorIs(t, err, errBoom)

	_, err = detached.Run(t.Context(), time.Minute, func(context.Context) (int, error) { panic("spilled tea") })
	var panicked *future.PanicError
	require.ErrorAs(t, err, &panicked)
}

func TestDetached_TheLimitHoldsThoughTheWorkIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := detached.Run(t.Context(), time.Second, func(context.Context) (int, error) {
			time.Sleep(time.Hour)
			return 7, nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))

		// The work ends within the bubble.
		time.Sleep(time.Hour)
	})
}
