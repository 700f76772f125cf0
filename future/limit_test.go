package future_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/future"
)

func TestGoWithin_NoMoreThanTheLimitRunAtATimeAndAllDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := future.NewLimit(3)
		var running, started atomic.Int64
		step := make(chan struct{})
		var all []*future.Future[int]
		for i := range 10 {
			all = append(all, future.GoWithin(t.Context(), limit, func(context.Context) (int, error) {
				started.Add(1)
				running.Add(1)
				defer running.Add(-1)
				<-step
				return i, nil
			}))
		}
		for done := range 10 {
			synctest.Wait()
			assert.EqualValues(t, min(3, 10-done), running.Load())
			step <- struct{}{}
		}
		values, err := future.All(all...).Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, values)
		assert.EqualValues(t, 10, started.Load())
	})
}

func TestGoWithin_ACancellationEndsAllThatWaitAndTellsAllThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, cause := future.NewLimit(2), errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		var started int
		var all []*future.Future[int]
		for range 5 {
			all = append(all, future.GoWithin(ctx, limit, func(ctx context.Context) (int, error) {
				started++
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}))
			synctest.Wait()
		}
		cancel(cause)
		settled, err := future.AllSettled(all...).Await(t.Context())
		require.NoError(t, err)
		for _, s := range settled {
			require.ErrorIs(t, s.Err, cause)
		}
		assert.Equal(t, 2, started, "those that waited never ran")
		_, err = future.GoWithin(ctx, limit, func(context.Context) (int, error) { return 1, nil }).Await(t.Context())
		require.ErrorIs(t, err, context.Canceled, "nor does one that comes too late")
		require.ErrorIs(t, err, cause)
	})
}

func TestGoWithin_APanicGivesTheSlotBack(t *testing.T) {
	limit := future.NewLimit(0) // 1
	_, err := future.GoWithin(t.Context(), limit, func(context.Context) (int, error) { panic("ouch") }).Await(t.Context())
	_, ok := errors.AsType[*future.PanicError](err)
	require.True(t, ok)
	v, err := future.GoWithin(t.Context(), limit, func(context.Context) (int, error) { return 1, nil }).Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, v)
}

func TestGoWithin_BadInputRejects(t *testing.T) {
	work := func(context.Context) (int, error) { return 1, nil }
	for name, f := range map[string]*future.Future[int]{
		"nil context":  future.GoWithin(nil, future.NewLimit(1), work), //nolint:staticcheck // that is the point
		"nil limit":    future.GoWithin(t.Context(), nil, work),
		"zero limit":   future.GoWithin(t.Context(), new(future.Limit), work),
		"nil function": future.GoWithin[int](t.Context(), future.NewLimit(1), nil),
	} {
		_, err := f.Await(t.Context())
		assert.ErrorContains(t, err, "future: ", name)
	}
}
