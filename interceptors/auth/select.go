package auth

import (
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/axlehttp/axle"
)

// Select returns an interceptor for many sessions, such as one for each tenant. The function choose
// says which session a request belongs to. The options are those of [New] and hold for every
// session. A nil function fails every call with [axle.CodeBadOption].
//
// choose is called when a call first reaches the interceptor. The session that it returns holds for
// the whole call, with its replays and with requests that a handler sends again by Client.Do. If
// choose returns nil, or a nil pointer in the interface, the call belongs to no session: nothing is
// attached, and its 401 goes to the caller. Many goroutines call choose at once. If it panics, the
// call fails.
//
// Return the same session for the same tenant each time. A session is recognized by ==, so it
// should be a pointer. A session of a type that cannot be compared works, but is not refreshed
// early, see [WithEarlyRefresh].
//
// The interceptor keeps no session in memory for ever: it forgets one that no call has used for
// some minutes.
func Select(choose func(*axle.Request) StatefulSession, opts ...Option) *Interceptor {
	i := newInterceptor(opts)
	i.choose, i.choices = choose, axle.NewKey[*tracked]("auth.Select")
	if choose == nil {
		i.bad = errors.New("auth: Select: the function is nil")
	}
	return i
}

// chosenFor returns the session of the request's call. It calls the function of Select when the
// call comes for the first time. It returns nil if the call belongs to no session.
func (i *Interceptor) chosenFor(r *axle.Request, isNewCall bool) (*tracked, error) {
	if before, asked := i.choices.Get(r); asked && !isNewCall {
		return before, nil
	}

	s, err := guard("the function of Select", func() (StatefulSession, error) { return i.choose(r), nil })
	if err != nil {
		return nil, err
	}

	var t *tracked
	if !isNil(s) {
		t = i.recent.track(s)
	}
	i.choices.Set(r, t)
	return t, nil
}

// isNil reports whether s is nil or holds a nil pointer.
func isNil(s StatefulSession) bool {
	if s == nil {
		return true
	}
	switch v := reflect.ValueOf(s); v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan, reflect.Slice:
		return v.IsNil()
	default:
		return false
	}
}

// forgetAfter is how often the sessions that no call uses are looked for. Such a session is
// forgotten after once to twice this time.
const forgetAfter = 2 * time.Minute

// recentSessions remembers the sessions that calls used lately. The zero value remembers none. It
// is safe for concurrent use.
//
// A session that is used moves to recent. While there is any, a clock makes recent older at a fixed
// pace, and drops the sessions that were older.
type recentSessions struct {
	mu            sync.Mutex
	recent, older map[StatefulSession]*tracked
}

// track returns what is remembered of a session, and remembers the session from now on.
func (r *recentSessions) track(s StatefulSession) *tracked {
	if !reflect.ValueOf(s).Comparable() {
		t := track(s)
		t.isUnrecognizable = true
		return t
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.recent[s]; t != nil {
		return t
	}

	// The clock stands still while there is nothing to forget.
	if len(r.recent) == 0 && len(r.older) == 0 {
		time.AfterFunc(forgetAfter, r.age)
	}

	t := r.older[s]
	if t == nil {
		t = track(s)
	}
	if r.recent == nil {
		r.recent = map[StatefulSession]*tracked{}
	}
	r.recent[s] = t
	return t
}

// age drops the older sessions and makes the recent ones older.
func (r *recentSessions) age() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.older, r.recent = r.recent, nil
	if len(r.older) > 0 {
		time.AfterFunc(forgetAfter, r.age)
	}
}
