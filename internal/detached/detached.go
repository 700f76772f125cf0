// Package detached runs work that no caller's cancellation may cut off half-way, such as a refresh
// that spends a rotating token. Package auth and package store use it; the root package asks it
// whether an axle client's time limit counts.
package detached

import (
	"context"
	"fmt"
	"time"

	"github.com/axlehttp/axle/future"
)

// Run calls work and returns its outcome. A panic or a Goexit in work is returned as a
// [*future.PanicError].
//
// The context that work gets keeps the values of ctx, but does not end with ctx. It ends after
// limit. If work has not returned by then, Run returns an error that matches
// [context.DeadlineExceeded], even if work ignores its context, and the later outcome of work is
// dropped.
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

	// The context is also cancelled when work has returned, a moment before the future settles.
	if ctx.Err() != context.DeadlineExceeded {
		<-f.Done()
	}

	// Work that returns just as the limit is reached counts.
	select {
	case <-f.Done():
		return f.Await(context.Background())
	default:
		var zero T
		return zero, fmt.Errorf("not finished after %v: %w", limit, context.DeadlineExceeded)
	}
}

type withoutLimitsKey struct{}

// WithoutLimits returns a context under which the time limit of an axle client does not count. It
// is for work that has a time limit itself.
func WithoutLimits(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutLimitsKey{}, true)
}

// IsWithoutLimits reports whether ctx comes from [WithoutLimits].
func IsWithoutLimits(ctx context.Context) bool {
	without, _ := ctx.Value(withoutLimitsKey{}).(bool)
	return without
}
