package auth

import "context"

// Observer is told of the refreshes of a session and of the waits for them. It is for traces and
// metrics, such as those of module github.com/axlehttp/axle/otel. A plain [Session] gets one by
// [WithObserver], and a store.UserStore by store.WithObserver.
//
// Many goroutines call the methods at once. A method should return soon, since a refresh or a call
// stands still meanwhile. A panic of Refresh fails the refresh, and a panic of Wait fails the call.
type Observer interface {
	// Refresh is called when a refresh begins. The context has the values of the call that the
	// refresh began for, also if that call ends sooner.
	//
	// The refresh, with its requests, runs under the context that Refresh returns, which must be ctx
	// or come from it. The function done must not be nil. It is called once, before the callers who
	// wait go on, with the error of the refresh. A refresh that never returns is never done.
	Refresh(ctx context.Context) (own context.Context, done func(err error))

	// Wait is called when a caller begins to wait for a refresh, with the context of that caller.
	// Those who refresh early, see [WithEarlyRefresh], do not count as waiting.
	//
	// The function done must not be nil. It is called once, when the wait ends: with the context
	// that Refresh returned for this refresh, and with the error of the wait. If the wait ended
	// before the refresh began, refresh is nil.
	Wait(ctx context.Context) (done func(refresh context.Context, err error))
}

// WithObserver sets the observer of a plain [Session]. The default, also for nil, is none. A
// [StatefulSession] refreshes by itself and has an observer of its own.
func WithObserver(o Observer) Option {
	return func(i *Interceptor) { i.observer = o }
}
