// Package detached runs work that no caller's cancellation may cut off half-way: a refresh that spends a rotating token.
package detached

import (
	"context"
	"fmt"
	"time"

	"github.com/axlehttp/axle/future"
)

// Run calls work with a context that keeps ctx's values and not its end, and that ends after limit. It returns work's outcome,
// a panic or a Goexit as a [*future.PanicError]; or, when the limit is reached first, an error that is
// [context.DeadlineExceeded], even if work ignores its context. What work then comes to after all is dropped.
func Run[T any](ctx context.Context, limit time.Duration, work func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	f := future.Go(func() (T, error) {
		defer cancel()
		return work(ctx)
	})

	select {
	case <-f.Done():
	case <-ctx.Done():
	}
	// The context also ends when work has returned, right before the future settles.
	if ctx.Err() != context.DeadlineExceeded {
		<-f.Done()
	}

	select {
	case <-f.Done():
		return f.Await(context.Background())
	default:
		var zero T
		return zero, fmt.Errorf("not finished after %v: %w", limit, context.DeadlineExceeded)
	}
}

type withoutLimitsKey struct{}

// WithoutLimits returns a context under which the time limit of an axle client does not count: the work has a limit of its own.
func WithoutLimits(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutLimitsKey{}, true)
}

// IsWithoutLimits reports whether ctx is one of [WithoutLimits].
func IsWithoutLimits(ctx context.Context) bool {
	without, _ := ctx.Value(withoutLimitsKey{}).(bool)
	return without
}
