package auth

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/expiry"
	"github.com/axlehttp/axle/internal/sessionwork"
)

// Session is a login: its token, its refresh and its logout. store.UserStore implements Session and
// [StatefulSession].
//
// Many goroutines call the methods at once, except RefreshToken: the interceptor shares one call
// of it among all who wait, in all clients that the interceptor is installed in. Two interceptors
// share nothing, so install one Interceptor everywhere.
type Session interface {
	// Token returns the current token. It returns nil if the API keeps its tokens in cookies, or if
	// nobody is logged in. It should not block. It may block while the interceptor has called
	// RefreshToken or Logout.
	Token() *oauth2.Token

	// RefreshToken gets a new token, stores it and returns it. If the new token is in a cookie, it
	// returns nil and nil. Its context does not end with the context of a caller.
	RefreshToken(ctx context.Context) (*oauth2.Token, error)

	// Logout ends the session. It is called once for a failed refresh, unless somebody else has
	// logged in meanwhile.
	Logout(ctx context.Context) error
}

// Generation tells a session's states apart. Login grows with every login and logout, Refresh with
// every refresh.
type Generation struct{ Login, Refresh uint64 }

// Snapshot is the state of a session at one moment.
type Snapshot struct {
	// Token is the current token. It is nil if the API keeps its tokens in cookies, or if nobody is
	// logged in.
	Token *oauth2.Token

	Generation Generation

	// Active is false if the session has ended. Then nothing is attached, and a 401 goes to the
	// caller without a refresh.
	Active bool

	// Refreshing is true while a refresh is in flight.
	Refreshing bool

	// Early is true if the refresh in flight is early, see [IsEarly]. During an early refresh, calls
	// go out with Token until it has expired.
	Early bool

	// Obtained is when the session got Token. The zero time means unknown.
	Obtained time.Time

	// Refreshed is true if Token came from a refresh, and false if it came from a login. If a token
	// had expired already when it came from a refresh, the clock of this machine is ahead, and
	// another refresh would bring another such token. So that token is sent as it is.
	Refreshed bool

	// Failures is how many refreshes of this login have failed so far, without those that only early
	// callers asked for. It never goes down. A 401 whose request was sent at fewer Failures gets the
	// last failure, and does not refresh again.
	Failures uint64

	// Failure is the error of the last of these refreshes. It is nil after a refresh that succeeded,
	// and in a new login.
	Failure error
}

// A StatefulSession is refreshed at most once per generation, also if many clients share it and if
// its tokens are cookies. It ends itself when a refresh fails for good.
//
// It must run its refresh under a context of [Bypass], so that the requests of the refresh do not
// wait for the refresh.
//
// It tells the early callers of RefreshSince from the others, see [IsEarly]. While only early
// callers wait for a refresh, Snapshot reports Early, and calls do not wait. If such a refresh
// fails while the token is valid, the session must not end, unless the server refused, see
// [KeepSession].
//
// Many goroutines call the methods at once.
type StatefulSession interface {
	Session

	// Snapshot returns the state. It does not block.
	Snapshot() Snapshot

	// RefreshSince joins or starts a refresh if the session is still at the generation seen, and
	// returns the state after the refresh. Otherwise it returns the current state. If ctx ends, the
	// wait ends and the refresh goes on.
	//
	// The error is that of the refresh, ErrSessionChanged if the login of seen is over, or the cause
	// of ctx's end.
	RefreshSince(ctx context.Context, seen Generation) (Snapshot, error)
}

// ErrSessionChanged is the error of RefreshSince and RefreshToken if somebody else has logged in,
// or if the session has ended.
var ErrSessionChanged = errors.New("auth: the session has ended or is another's by now")

// ErrNestedRefresh is the error of a refresh that is asked for from within a refresh of the same
// session. It would wait for itself.
var ErrNestedRefresh = errors.New(
	"auth: a refresh of this session was asked for from within its own refresh")

// bypass marks a context as that of a session's own refresh or logout. The marks of several
// sessions form a list.
type bypass struct {
	session any
	outer   *bypass // the next mark, or nil

	// asked is the interceptor's question that started this refresh. It is nil for a refresh that
	// no interceptor asked for, and for a logout that is not of a refresh.
	asked *ask

	// attaches is true if requests carry the session's token all the same. A plain session's Logout
	// tells the server by such a request.
	attaches bool
}

// ask is the context that RefreshSince gets. It carries what the interceptor tells the session, and
// ends where the session marks the context by [Bypass].
//
// Most calls that ask for a refresh join one that another call has started, and nobody looks at
// their responses. So the response is copied only when somebody asks for it, or when its call leaves
// a refresh that may still run: from then on the call's handlers and caller may modify the original.
type ask struct {
	context.Context

	// by is the session as the interceptor knows it. It may wrap the one that refreshes.
	by    *tracked
	early bool // see IsEarly

	mu       sync.Mutex
	copied   bool
	response *axle.Response // see Challenge; nil: no response asked
}

// Value implements context.Context.
func (a *ask) Value(key any) any {
	if key == (askKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// refused returns a copy of the response that asked, or nil.
func (a *ask) refused() *axle.Response {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()

	if !a.copied && a.response != nil {
		c := *a.response
		c.Header, c.Request = c.Header.Clone(), c.Request.Clone()
		a.response, a.copied = &c, true
	}
	return a.response
}

// leave ends the use of the original. After a refresh that succeeded nobody needs a copy any more.
func (a *ask) leave(succeeded bool) {
	if !succeeded {
		a.refused()
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.copied {
		a.response = nil
	}
}

type askKey struct{}

// Bypass returns a context for the requests that s itself sends while it refreshes or logs out.
// Requests under this context wait for no refresh of s, start none, and carry no token of s unless
// their caller sets one.
func Bypass(ctx context.Context, s Session) context.Context {
	return withBypass(ctx, s, false)
}

func withBypass(ctx context.Context, s Session, attaches bool) context.Context {
	mark := &bypass{session: s, attaches: attaches}
	mark.outer, _ = ctx.Value(sessionwork.Key{}).(*bypass)

	// The interceptor may know the session by another value, such as one that wraps s. Requests
	// under this context bypass that one, too.
	if asked := askOf(ctx); asked != nil {
		mark.asked = asked
		mark.outer = &bypass{session: asked.by.marked, outer: mark.outer, attaches: attaches}
		ctx = context.WithValue(ctx, askKey{}, (*ask)(nil))
	}
	return context.WithValue(ctx, sessionwork.Key{}, mark)
}

// Bypassed reports whether ctx comes from [Bypass] for s. If sessions of a type cannot be compared,
// all sessions of that type count as the same.
func Bypassed(ctx context.Context, s Session) bool {
	return bypassOf(ctx, s) != nil
}

// bypassOf returns the innermost mark of ctx for s, or nil.
func bypassOf(ctx context.Context, s Session) *bypass {
	if ctx == nil || s == nil {
		return nil
	}
	for mark, _ := ctx.Value(sessionwork.Key{}).(*bypass); mark != nil; mark = mark.outer {
		if isSame(mark.session, s) {
			return mark
		}
	}
	return nil
}

// isSame compares two sessions, by their type alone if their values cannot be compared.
func isSame(a, b any) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if !reflect.ValueOf(a).Comparable() || !reflect.ValueOf(b).Comparable() {
		return true
	}
	return a == b
}

// askOf returns what an interceptor asked for under ctx, or nil.
func askOf(ctx context.Context) *ask {
	asked, _ := ctx.Value(askKey{}).(*ask)
	return asked
}

// IsEarly reports, in RefreshSince, whether its caller asks ahead of the token's expiry, see
// [WithEarlyRefresh].
func IsEarly(ctx context.Context) bool {
	asked := askOf(ctx)
	return asked != nil && asked.early
}

// Challenge returns a copy of the refused response that asked for a refresh first. Call it in a
// RefreshFunc or in a plain session's RefreshToken: a step-up or a proof of possession may depend
// on the response's WWW-Authenticate.
//
// The response's body is in memory. Of a stream, the first MiB is there. Challenge returns nil for
// a refresh that no response asked for: an early one, one of a token that has expired, and one
// that the program asked for itself.
func Challenge(ctx context.Context) *axle.Response {
	if ctx == nil {
		return nil
	}

	// A session that does not use Bypass passes on the context of RefreshSince.
	if asked := askOf(ctx); asked != nil {
		return asked.refused()
	}
	if mark, _ := ctx.Value(sessionwork.Key{}).(*bypass); mark != nil {
		return mark.asked.refused()
	}
	return nil
}

// KeepSession reports whether a session survives a failed refresh that only early callers waited
// for. It does so if its current token is still valid and the server did not refuse, see [Refused].
// A token without an expiry, and a nil one, do not count as valid.
func KeepSession(current *oauth2.Token, refreshErr error) bool {
	left, known := expiry.Left(current, time.Now())
	return known && left > 0 && !Refused(refreshErr)
}
