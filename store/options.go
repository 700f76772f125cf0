package store

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
)

// Option configures [New].
type Option func(*options)

type options struct {
	logoutWhen func(error) bool
	onLogout   func(context.Context, *oauth2.Token) error
	timeout    time.Duration
	observer   auth.Observer

	persister      Persister // nil: the session is kept in memory alone
	storageFailure func(error)
	cookieClient   *axle.Client // nil: no cookies are saved
}

// WithLogoutWhen sets the function that decides whether a failed refresh ends the session. The
// default, also for nil, is that every failure does, as in the reference.
//
// The function is asked once for each refresh that failed. If a refresh overruns its time limit and
// then fails for another reason, the function is asked about both. It is not asked about calls that
// fail at once because of a Retry-After.
//
// The function has the refresh timeout to answer. If it panics or takes longer, that counts as a
// yes, which is the answer of the default: a session that the server may have refused must not go
// on as if nothing had happened.
func WithLogoutWhen(fn func(refreshErr error) bool) Option {
	return func(o *options) {
		if fn != nil {
			o.logoutWhen = fn
		}
	}
}

// RejectedOnly is a function for [WithLogoutWhen]. The session ends if the server refused the
// refresh for good, see [auth.Refused]. It does not end if the network, a server or a firewall
// failed.
func RejectedOnly(refreshErr error) bool { return auth.Refused(refreshErr) }

// WithLogout sets the function that does the rest of a logout, such as telling the server or
// emptying the jar. It runs after the session has ended, and gets the last token, which is nil for
// a session without one. After a logout during a refresh it runs when that refresh has settled, see
// [UserStore.Logout].
//
// Its context is detached from every caller's and ends after the refresh timeout. A call with that
// context neither waits for a refresh nor starts one. It carries no token, since the session has
// ended: the function itself attaches the last token.
func WithLogout(fn func(ctx context.Context, last *oauth2.Token) error) Option {
	return func(o *options) { o.onLogout = fn }
}

// WithRefreshTimeout sets the time limit of the RefreshFunc. The functions of [WithLogoutWhen] and
// [WithLogout] and the cookie jar each have the same limit. Callers who wait for one of them wait
// no longer, even if it ignores its context. So do the wait for the lock of a session that is kept
// by a Persister, and each operation of its storage. The default, also for d <= 0, is 30 seconds.
func WithRefreshTimeout(d time.Duration) Option {
	return func(o *options) {
		if d > 0 {
			o.timeout = d
		}
	}
}

// WithObserver sets who is told of the refreshes and of the waits for them: also of those that
// [UserStore.RefreshToken], [UserStore.TokenSource] and [UserStore.KeepFresh] ask for. The default,
// also for nil, is nobody. A refresh is done when its RefreshFunc has returned, also after the
// refresh timeout.
func WithObserver(o auth.Observer) Option {
	return func(opts *options) { opts.observer = o }
}
