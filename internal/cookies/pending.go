package cookies

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/axlehttp/axle/internal/detached"
)

// Pending holds the cookies that the responses of one refresh have set, until the outcome of the
// refresh is known. The refresh's own requests carry them at once. Every other request carries them
// only after [Pending.Commit].
//
// The context of the refresh carries its Pending, see [NewPending]. A Pending is safe for
// concurrent use, and the methods of a nil Pending do nothing.
type Pending struct {
	mu    sync.Mutex
	state state
	views []*view

	// refresh is the one whose cookies the requests of a logout carry. It is nil in any other
	// state.
	refresh *Pending

	// mark tells the refresh's cookies from others, see [Pending.Mark]. It is empty until a
	// response needs it. The jars that know the mark are in routed.
	mark   string
	routed []*Routed
}

// state says what becomes of a cookie that a response sets.
type state int

const (
	open      state = iota // the cookie waits for the outcome of the refresh
	committed              // it goes to the jar
	dropped                // it is forgotten
	logout                 // it goes to the jar, and requests still carry the refresh's cookies
)

type pendingKey struct{}

// NewPending returns a context for a refresh. The cookies that the responses to its requests set
// are kept in the Pending beside it.
func NewPending(ctx context.Context) (context.Context, *Pending) {
	p := &Pending{}
	return context.WithValue(ctx, pendingKey{}, p), p
}

// WithoutPending returns a context under which responses set their cookies in the jar itself.
func WithoutPending(ctx context.Context) context.Context {
	if PendingOf(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, pendingKey{}, (*Pending)(nil))
}

// LogoutContext returns a context for the requests that end a login at the server. The refresh of p
// came too late for that login. Its cookies are the newest that the server knows, so the requests
// carry them. The responses set their cookies in the jar itself.
func (p *Pending) LogoutContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, pendingKey{}, &Pending{state: logout, refresh: p})
}

// PendingOf returns the Pending that ctx carries, or nil.
func PendingOf(ctx context.Context) *Pending {
	p, _ := ctx.Value(pendingKey{}).(*Pending)
	return p
}

// Commit gives the pending cookies to their jars, in the order in which they came. Cookies that
// come later go to their jar at once. After a Drop, Commit does nothing.
//
// The RefreshFunc must have returned. Each jar has the limit to take its cookies, and Commit does
// not wait longer for it. The error is a jar's panic or such an overrun. The other jars get their
// cookies nevertheless.
func (p *Pending) Commit(limit time.Duration) error {
	var failed []error
	for _, v := range p.settle(committed) {
		if len(v.pending) == 0 {
			continue
		}

		// A jar may be the user's code. Neither its panic, nor its Goexit, nor a jar that does not
		// return may keep the refresh from settling.
		_, err := detached.Run(context.Background(), limit, func(context.Context) (struct{}, error) {
			for _, response := range v.pending {
				v.jar.SetCookies(response.url, response.list)
			}
			return struct{}{}, nil
		})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Drop forgets the pending cookies, and those that come later. After a Commit, Drop does nothing.
// The RefreshFunc must have returned.
func (p *Pending) Drop() { p.settle(dropped) }

// settle makes the outcome final. It returns the views, whose pending cookies do not change any
// more, or nil if there was an outcome before.
func (p *Pending) settle(outcome state) []*view {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != open {
		return nil
	}

	p.state = outcome
	for _, r := range p.routed {
		r.views.Delete(p.mark)
	}
	p.routed = nil
	return p.views
}

// Over returns the jar as the refresh sees it: the pending cookies over those of the jar. A nil jar
// stays nil.
func (p *Pending) Over(jar http.CookieJar) http.CookieJar {
	if p == nil || jar == nil {
		return jar
	}
	return p.over(jar)
}

func (p *Pending) over(jar http.CookieJar) *view {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.viewOf(jar)
}

// viewOf returns the view of a jar. The lock is held.
func (p *Pending) viewOf(jar http.CookieJar) *view {
	jar = Unrouted(jar)
	for _, v := range p.views {
		if isSame(v.jar, jar) {
			return v
		}
	}

	v := &view{owner: p, jar: jar, visible: newCookieJar()}
	if p.refresh != nil {
		v.visible = p.refresh.over(jar).visible
	}
	p.views = append(p.views, v)
	return v
}

// isSame compares two jars, whose types need not be comparable.
func isSame(a, b http.CookieJar) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}
