// Package sessionwork tells the requests of a session's own refresh and logout from other requests.
// Package auth marks their contexts. Other interceptors ask for the mark without a dependency on
// package auth.
package sessionwork

import "context"

// Key is the context key of the mark. Its value is package auth's own.
type Key struct{}

// Is reports whether a request under ctx is part of a refresh or a logout, of whatever session.
func Is(ctx context.Context) bool { return ctx.Value(Key{}) != nil }
