package auth

import (
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/axlehttp/axle"
)

// Select returns an interceptor for many sessions, as of tenants: choose says which one a request belongs to. The options are those
// of [New] and hold for every session.
//
// choose is asked when a call first reaches the interceptor. Its answer holds for the whole call, with its replays and what a
// handler sends again by Do. Nil, or a nil pointer in the interface, means that the call is none of the interceptor's business:
// nothing is attached, and its 401 stands. choose is called by many goroutines at once. If it panics, the call fails.
//
// Return the same session for the same tenant each time. A session is recognized by ==, so it should be a pointer. One of a type
// that cannot be compared works, but is not refreshed beside its calls, see [WithEarlyRefresh]. The interceptor forgets a session
// that no call has been for in some minutes, so that it keeps no session in memory for ever.
func Select(choose func(*axle.Request) StatefulSession, opts ...Option) *Interceptor {
	i := newInterceptor(opts)
	i.choose, i.choices = choose, axle.NewKey[*tracked]("auth.Select")
	if choose == nil {
		i.bad = errors.New("auth: Select: the function is nil")
	}
	return i
}

// chosenFor returns the session that was chosen for the request's call, and chooses one when the call comes for the first time.
// It is nil if the call is nobody's.
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

// forgetAfter is how long a session that no call asks for is remembered, at least. At twice this time it is forgotten.
const forgetAfter = 2 * time.Minute

// recentSessions remembers the sessions that calls were for lately. The zero value remembers none.
//
// A session that is asked for moves to recent. A clock that runs while there are any makes recent older, and drops what was older.
type recentSessions struct {
	mu            sync.Mutex
	recent, older map[StatefulSession]*tracked
}

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

func (r *recentSessions) age() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.older, r.recent = r.recent, nil
	if len(r.older) > 0 {
		time.AfterFunc(forgetAfter, r.age)
	}
}
