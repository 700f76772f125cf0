package future

import (
	"context"
	"errors"
)

// Limit bounds how many functions run at a time. Make one with [NewLimit]; share it among all that it is to bound. It is safe for
// concurrent use.
type Limit struct{ slots chan struct{} }

// NewLimit returns a Limit of n; n < 1 is 1.
func NewLimit(n int) *Limit { return &Limit{make(chan struct{}, max(n, 1))} }

// GoWithin is [Go] for a function that waits for its turn. A ctx that ends before that rejects the future with its cause, and fn is
// never called; one that ends later is for fn to heed. So a cancellation ends all that wait, and tells all that run.
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
		if ctx.Err() != nil {
			return zero, waitError(ctx)
		}
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return zero, waitError(ctx)
		}
		defer func() { <-l.slots }()
		if ctx.Err() != nil { // both at once
			return zero, waitError(ctx)
		}
		return fn(ctx)
	})
}
