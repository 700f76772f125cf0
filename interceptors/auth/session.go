package auth

import (
	"context"
	"errors"
	"reflect"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/expiry"
)

// Session is what the interceptor needs of a login. store.UserStore is one, and more.
//
// Its methods are called by many goroutines at once. RefreshToken is not: the interceptor shares one call among all who wait, in
// all clients that it is installed in. (Two interceptors know nothing of each other: share one.)
type Session interface {
	// Token returns the current token; nil where the API keeps its tokens in cookies, or nobody is logged in. It should not
	// wait, and need not be able to while the interceptor has it refresh or log out.
	Token() *oauth2.Token
	// RefreshToken gets and stores a new token. Nil and nil: the token is in a cookie. Its context outlives the caller's.
	RefreshToken(ctx context.Context) (*oauth2.Token, error)
	// Logout ends the session. It is called once for a failed refresh, unless somebody else has logged in meanwhile.
	Logout(ctx context.Context) error
}

// Generation tells a session's states apart: Login moves with every login and logout, Refresh with every refresh.
type Generation struct{ Login, Refresh uint64 }

// Snapshot is a session's state, read at once.
type Snapshot struct {
	Token      *oauth2.Token
	Generation Generation
	Active     bool      // false: ended; nothing is attached, and a 401 passes through unrefreshed
	Refreshing bool      // a refresh is in flight
	Early      bool      // the refresh in flight is early, see [IsEarly]: calls go out with Token until it has expired
	Obtained   time.Time // when Token was obtained; zero: unknown

	// Refreshed is true if Token was obtained by a refresh, and false if it is a login's. A token that had expired already when
	// a refresh obtained it is sent all the same: the clock is ahead, and another refresh would bring the like.
	Refreshed bool

	// Failures is how many refreshes of this login have failed so far, without those that were asked for early alone. It never
	// goes down. A 401 whose request was sent at fewer Failures shares the last of them, and is not refreshed again.
	Failures uint64

	// Failure is the error of the last of these; nil after a refresh that succeeded and in a new login.
	Failure error
}

// A StatefulSession is refreshed at most once per generation, also when many clients share it and when its tokens are cookies,
// and ends itself when a refresh fails for good.
//
// It runs the refresh under a context of [Bypass], so that what the refresh sends is not held for the refresh.
//
// It tells the early callers of RefreshSince from the others, see [IsEarly]. While only early ones wait for a refresh,
// Snapshot.Early says so, and calls are not held; a failure of such a refresh must not end the session while its token is
// valid, unless the server refused, see [KeepSession].
type StatefulSession interface {
	Session
	// Snapshot returns the state. It does not wait.
	Snapshot() Snapshot
	// RefreshSince joins or starts a refresh if the session is still at seen, and returns the state after it; else it returns the
	// current state. ctx bounds the wait alone. The error is the refresh's, ErrSessionChanged if the login of seen is over, or
	// ctx's.
	RefreshSince(ctx context.Context, seen Generation) (Snapshot, error)
}

// ErrSessionChanged is the error of RefreshSince and RefreshToken when the login moved on, or the session has ended.
var ErrSessionChanged = errors.New("auth: the session has ended or is another's by now")

// ErrNestedRefresh is the error of a refresh that is asked for from within a refresh of the same session: it would wait for
// itself.
var ErrNestedRefresh = errors.New("auth: a refresh of this session was asked for from within its own refresh")

// bypass marks a context. The marks of several sessions stand behind one another.
type bypass struct {
	session any
	outer   *bypass

	// refused is the answer that asked for this refresh first. It is nil for a refresh that none asked for, and for a logout.
	refused *axle.Response

	// attaches says that calls carry the session's token all the same: a plain session's Logout tells the server by it.
	attaches bool
}

// ask is what an interceptor tells the session when it asks for a refresh. It travels in the context of RefreshSince, and
// ends where the session marks that context by [Bypass].
type ask struct {
	by      Session        // the session as the interceptor knows it, which may be one around the one that refreshes
	early   bool           // see IsEarly
	refused *axle.Response // see Challenge
}

type (
	bypassKey struct{}
	askKey    struct{}
)

// Bypass returns a context for what s itself sends while it refreshes or logs out. Calls under it do not wait for a refresh of
// s, start none, and carry no token of s but one that their caller sets.
func Bypass(ctx context.Context, s Session) context.Context {
	return withBypass(ctx, s, false)
}

func withBypass(ctx context.Context, s Session, attaches bool) context.Context {
	mark := &bypass{session: s, attaches: attaches}
	mark.outer, _ = ctx.Value(bypassKey{}).(*bypass)

	if asked := askOf(ctx); asked != nil {
		mark.refused = asked.refused
		mark.outer = &bypass{session: asked.by, outer: mark.outer, attaches: attaches}
		ctx = context.WithValue(ctx, askKey{}, (*ask)(nil))
	}
	return context.WithValue(ctx, bypassKey{}, mark)
}

// Bypassed reports whether ctx is one of [Bypass] for s. A session of a type that cannot be compared is told by its type alone.
func Bypassed(ctx context.Context, s Session) bool {
	return bypassOf(ctx, s) != nil
}

// bypassOf returns the innermost mark of ctx for s, nil without one.
func bypassOf(ctx context.Context, s Session) *bypass {
	if ctx == nil || s == nil {
		return nil
	}
	for mark, _ := ctx.Value(bypassKey{}).(*bypass); mark != nil; mark = mark.outer {
		if isSame(mark.session, s) {
			return mark
		}
	}
	return nil
}

func isSame(a, b any) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if !reflect.ValueOf(a).Comparable() || !reflect.ValueOf(b).Comparable() {
		return true
	}
	return a == b
}

func askOf(ctx context.Context) *ask {
	asked, _ := ctx.Value(askKey{}).(*ask)
	return asked
}

// IsEarly reports whether the caller of RefreshSince asks ahead of the token's expiry, see [WithEarlyRefresh].
func IsEarly(ctx context.Context) bool {
	asked := askOf(ctx)
	return asked != nil && asked.early
}

// Challenge returns, in a RefreshFunc or a plain session's RefreshToken, a copy of the refused answer that asked for this
// refresh first: a step-up or a proof of possession may depend on its WWW-Authenticate. Its body is in memory; of a stream, the
// first MiB. Challenge is nil for a refresh that no answer asked for: an early one, one of a token that has expired, and one
// that the program asked for itself.
func Challenge(ctx context.Context) *axle.Response {
	if ctx == nil {
		return nil
	}
	if asked := askOf(ctx); asked != nil { // of a session that does not use Bypass
		return asked.refused
	}
	if mark, _ := ctx.Value(bypassKey{}).(*bypass); mark != nil {
		return mark.refused
	}
	return nil
}

// KeepSession reports whether a session survives a failed refresh that only early callers waited for: its token is still
// valid, and the server did not refuse.
func KeepSession(current *oauth2.Token, refreshErr error) bool {
	left, known := expiry.Left(current, time.Now())
	return known && left > 0 && !Refused(refreshErr)
}
