package future

import (
	"context"
	"errors"
)

// Limit bounds how many functions of [GoWithin] run at the same time. Make a Limit with [NewLimit],
// and give the same Limit to all the calls that it is to bound. It is safe for concurrent use.
type Limit struct{ slots chan struct{} }

// NewLimit returns a Limit of n functions. An n below 1 counts as 1.
func NewLimit(n int) *Limit { return &Limit{make(chan struct{}, max(n, 1))} }

// GoWithin is [Go] for a function that waits for its turn within a [Limit]. If ctx ends while the
// function waits, the future rejects with the cause of ctx and fn is not called. If ctx ends while
// fn runs, fn has to notice that itself. So one cancellation ends all functions that wait, and
// reaches all that run.
//
// A nil ctx, a Limit that is not from [NewLimit] and a nil fn reject the future.
//
//	limit := future.NewLimit(10)
//	for _, id := range ids {
//		users = append(users, future.GoWithin(ctx, limit, func(ctx context.Context) (User, error) {
//			return axle.Get[User](ctx, client, "/users/"+id)
//		}))
//	}
//	all, err := future.All(users...).Await(ctx)
func GoWithin[T any](ctx context.Context, l *Limit, fn func(ctx context.Context) (T, error)) *Future[T] {
	switch {
	case ctx == nil:
		return Rejected[T](errors.New("future: the context is nil"))
	case l == nil || l.slots == nil:
		return Rejected[T](errors.New("future: the limit is not from NewLimit"))
	case fn == nil:
		return Rejected[T](errNilFunc)
	}

	return Go(func() (T, error) {
		var zero T
		select {
		case l.slots <- struct{}{}:
			defer func() { <-l.slots }()
		case <-ctx.Done():
		}

		// If both are ready, select picks one at random. A ctx that has ended always counts.
		if ctx.Err() != nil {
			return zero, contextError(ctx)
		}
		return fn(ctx)
	})
}
