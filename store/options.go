package store

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
)

type options struct {
	logoutWhen func(error) bool
	onLogout   func(context.Context, *oauth2.Token) error
	timeout    time.Duration
}

// Option configures [New].
type Option func(*options)

// WithLogoutWhen decides which failed refresh ends the session. The default, also for nil, is every one, as in the reference.
//
// The function is asked once for each refresh that failed. If a refresh overran its time limit and then fails for another reason,
// the function is asked about both. It is not asked for calls that fail at once because of a Retry-After.
//
// The function is bounded by the refresh timeout. If it gives no answer, since it panics or is not done by then, that is taken for a
// yes, which is the default's answer: a session that the server may have refused must not go on as if nothing had happened.
func WithLogoutWhen(fn func(refreshErr error) bool) Option {
	return func(o *options) {
		if fn != nil {
			o.logoutWhen = fn
		}
	}
}

// RejectedOnly is for [WithLogoutWhen]: the session ends if the server refused for good, see [auth.Refused], and not if the network
// failed, or a server or a firewall did.
func RejectedOnly(refreshErr error) bool { return auth.Refused(refreshErr) }

// WithLogout sets what Logout does beyond clearing: tell the server, empty the jar. It runs after the session has ended, with the
// last token, on a context that is detached from every caller's, ends after the refresh timeout, and under which calls are
// neither held nor refreshed. After a logout during a refresh it runs when that refresh has settled, see [UserStore.Logout].
//
// Those calls carry no token, since the session has ended: fn attaches last by itself, which is nil for a session without a token.
func WithLogout(fn func(ctx context.Context, last *oauth2.Token) error) Option {
	return func(o *options) { o.onLogout = fn }
}

// WithRefreshTimeout bounds RefreshFunc, WithLogoutWhen's function and WithLogout's function, each by itself. Callers who wait for
// one return then, even if it ignores its context. The default, also for d <= 0, is 30 s.
func WithRefreshTimeout(d time.Duration) Option {
	return func(o *options) {
		if d > 0 {
			o.timeout = d
		}
	}
}
