package cookies

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/axlehttp/axle/internal/detached"
)

// Pending holds back the cookies that the answers of one refresh set. The refresh's own requests see them at once; nobody else does
// before [Pending.Commit]. It is safe for concurrent use, and a nil Pending does nothing.
type Pending struct {
	mu     sync.Mutex
	state  state
	closed bool // the refresh has returned: its context stages nothing any more
	views  []*view
	past   *Pending // whose cookies the requests of a farewell carry; nil for any other stage
	mark   string   // see Mark; empty until it is needed
	routes []func() // each removes one
}

// state says where a cookie goes that an answer of the refresh sets.
type state int

const (
	open      state = iota // to the stage
	committed              // to the jar itself
	dropped                // nowhere
	farewell               // to the jar itself, while requests still carry what the stage holds
)

type pendingKey struct{}

// NewPending returns a context under which axle's dispatches hold back the cookies of their answers, in the stage that it returns.
func NewPending(ctx context.Context) (context.Context, *Pending) {
	s := &Pending{}
	return context.WithValue(ctx, pendingKey{}, s), s
}

// WithoutPending returns a context without a stage: what is sent under it writes to the jars themselves.
func WithoutPending(ctx context.Context) context.Context {
	if PendingOf(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, pendingKey{}, (*Pending)(nil))
}

// LogoutContext returns a context for what is sent after the login of the stage is over, to end it at the server too. Its requests carry
// the cookies that the stage holds, for these are the newest that the server knows. What its answers set goes to the jar itself.
func (p *Pending) LogoutContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, pendingKey{}, &Pending{state: farewell, past: p})
}

// PendingOf returns the stage of ctx; nil if it has none.
func PendingOf(ctx context.Context) *Pending {
	s, _ := ctx.Value(pendingKey{}).(*Pending)
	return s
}

// Commit gives what was held back to the jars that it was meant for, in the order in which it came, and what comes later goes
// there at once. A dropped stage stays dropped. Each jar has until limit; one that takes longer is left to itself. The error is a
// jar's panic or such an overrun; the other jars get their cookies all the same.
func (p *Pending) Commit(limit time.Duration) error {
	if p == nil {
		return nil
	}

	p.mu.Lock()
	if p.state != open {
		p.mu.Unlock()
		return nil
	}
	p.state = committed
	views := p.views
	p.mu.Unlock()

	var failed []error
	for _, v := range views {
		if len(v.held) == 0 {
			continue
		}
		// A jar may be the user's code. Neither its panic, nor its Goexit, nor a jar that does not return may keep the refresh
		// from settling.
		_, err := detached.Run(context.Background(), limit, func(context.Context) (struct{}, error) {
			for _, h := range v.held {
				v.jar.SetCookies(h.url, h.list)
			}
			return struct{}{}, nil
		})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Drop forgets what was held back, and what the refresh's answers set from then on. A committed stage stays committed.
func (p *Pending) Drop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == open {
		p.state = dropped
	}
}

// Close is to be called when the refresh has returned and the stage is committed or dropped: it lets go what told the refresh's
// requests from others.
func (p *Pending) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, remove := range p.routes {
		remove()
	}
	p.routes = nil
}

// Over returns the jar as the refresh sees it: with what was held back over what the jar has. A nil jar stays nil.
func (p *Pending) Over(jar http.CookieJar) http.CookieJar {
	if p == nil || jar == nil {
		return jar
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over(jar)
}

func (p *Pending) over(jar http.CookieJar) *view {
	jar = Unrouted(jar)
	for _, v := range p.views {
		if isSame(v.jar, jar) {
			return v
		}
	}
	v := &view{stage: p, jar: jar, scratch: newCookieJar()}
	if p.past != nil {
		p.past.mu.Lock()
		v.scratch = p.past.over(jar).scratch
		p.past.mu.Unlock()
	}
	p.views = append(p.views, v)
	return v
}

// isSame compares what may not be comparable.
func isSame(a, b http.CookieJar) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// Apply prepares a request that an http.Client over a [Routed] jar is about to send: its cookies, which are from the jar itself, are
// brought up to date with the stage, in a copy of r. The answer is then to be given to [Pending.Mark].
func (p *Pending) Apply(jar http.CookieJar, r *http.Request) *http.Request {
	routed, ok := jar.(*Routed)
	if p == nil || !ok {
		return r
	}
	p.mu.Lock()
	v := p.over(routed)
	p.mu.Unlock()
	u := URLOf(r)
	if len(v.scratch.Cookies(u)) == 0 {
		return r
	}

	// What the http.Client added is what the jar itself has. A cookie of the caller's own has another name or another value.
	var fromJar []string
	for _, c := range v.jar.Cookies(u) {
		fromJar = append(fromJar, c.String())
	}
	adopted := r.WithContext(r.Context())
	adopted.Header = r.Header.Clone()
	adopted.Header.Del("Cookie")
	for _, c := range r.Cookies() {
		if !slices.Contains(fromJar, c.String()) {
			adopted.AddCookie(c)
		}
	}
	for _, c := range v.Cookies(u) {
		adopted.AddCookie(c)
	}
	return adopted
}

// URLOf is the URL for which an http.Client asks its jar, and for which it tells it what the answer sets: it has the Host of r.
func URLOf(r *http.Request) *url.URL {
	if r.Host == "" || r.Host == r.URL.Host {
		return r.URL
	}
	u := *r.URL
	u.Host = r.Host
	return &u
}

// Mark tells the [Routed] jar of the http.Client that resp goes to that its cookies belong to the stage. An http.Client gives its jar
// an URL and the cookies, and nothing that says whose they are. So that is written into an attribute of the cookies, which nobody
// else knows and everybody ignores (RFC 6265 §5.2).
func (p *Pending) Mark(jar http.CookieJar, resp *http.Response) {
	routed, ok := jar.(*Routed)
	if p == nil || !ok || len(resp.Header["Set-Cookie"]) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == committed || p.state == farewell {
		return
	}
	if p.mark == "" {
		p.mark = markName + rand.Text()
	}
	// After Close there is no route: the jar drops cookies whose mark has none.
	if !p.closed {
		routed.routes.Store(p.mark, p.over(routed))
		p.routes = append(p.routes, func() { routed.routes.Delete(p.mark) })
	}

	resp.Header = resp.Header.Clone()
	for i, line := range resp.Header["Set-Cookie"] {
		resp.Header["Set-Cookie"][i] = line + "; " + p.mark
	}
}

// Unmark undoes [Pending.Mark], once the http.Client is done with the response.
func (p *Pending) Unmark(header http.Header) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mark == "" {
		return
	}
	for i, line := range header["Set-Cookie"] {
		header["Set-Cookie"][i] = strings.TrimSuffix(line, "; "+p.mark)
	}
}

const markName = "axle-pending="

// Transport is for an http.Client over a [Routed] jar: it takes the requests of a refresh to the refresh's stage.
type Transport struct {
	http.RoundTripper
	Jar http.CookieJar
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pending := PendingOf(r.Context())
	adopted := pending.Apply(t.Jar, r)
	resp, err := t.RoundTripper.RoundTrip(adopted)
	if err != nil || resp == nil {
		return nil, err
	}
	if resp.Request == adopted {
		resp.Request = r
	}
	pending.Mark(t.Jar, resp)
	return resp, nil
}

// Routed is a jar that gives the cookies that [Pending.Mark] has marked to their stage, and all others to the jar that it wraps.
type Routed struct {
	jar    http.CookieJar
	routes sync.Map // of a mark to its *view
}

// Route wraps a jar so that a stage can take over some of its cookies. A nil jar stays nil, and a [*Routed] one is returned as it is.
func Route(jar http.CookieJar) http.CookieJar {
	if _, ok := jar.(*Routed); ok || jar == nil {
		return jar
	}
	return &Routed{jar: jar}
}

// Unrouted returns the jar that [Route] was given.
func Unrouted(jar http.CookieJar) http.CookieJar {
	if routed, ok := jar.(*Routed); ok {
		return routed.jar
	}
	return jar
}

// Cookies implements http.CookieJar.
func (r *Routed) Cookies(u *url.URL) []*http.Cookie { return r.jar.Cookies(u) }

// SetCookies implements http.CookieJar. Cookies whose stage is closed belong to no login any more, and are dropped.
func (r *Routed) SetCookies(u *url.URL, list []*http.Cookie) {
	mark := markOf(list)
	if mark == "" {
		r.jar.SetCookies(u, list)
		return
	}
	v, ok := r.routes.Load(mark)
	if !ok {
		return
	}
	plain := make([]*http.Cookie, len(list))
	for i, c := range list {
		p := *c //nolint:gosec // a copy of what the server set, for a jar
		p.Raw = strings.TrimSuffix(c.Raw, "; "+mark)
		p.Unparsed = slices.DeleteFunc(slices.Clone(c.Unparsed), func(s string) bool { return s == mark })
		plain[i] = &p
	}
	v.(*view).SetCookies(u, plain)
}

// markOf returns the mark of one answer's cookies; empty if they have none.
func markOf(list []*http.Cookie) string {
	for _, c := range list {
		for _, attribute := range c.Unparsed {
			if strings.HasPrefix(attribute, markName) {
				return attribute
			}
		}
	}
	return ""
}

// view is one jar as a refresh sees it.
type view struct {
	stage   *Pending
	jar     http.CookieJar
	scratch *cookiejar.Jar // knows where a held cookie is to be sent; its values are marked, see below
	held    []held         // under the stage's lock
}

// held is one answer's cookies.
type held struct {
	url  *url.URL
	list []*http.Cookie
}

// The first byte of a value in the scratch jar.
const (
	markSet     = "+"
	markDeleted = "-"
)

// Cookies implements http.CookieJar. A held cookie hides those of its name, and a held deletion too.
func (v *view) Cookies(u *url.URL) []*http.Cookie {
	inJar := v.jar.Cookies(u)
	v.stage.mu.Lock()
	state := v.stage.state
	v.stage.mu.Unlock()
	if state == committed {
		return inJar
	}

	list := v.scratch.Cookies(u)
	if len(list) == 0 {
		return inJar
	}
	seen := slices.DeleteFunc(slices.Clone(inJar), func(c *http.Cookie) bool {
		return slices.ContainsFunc(list, func(h *http.Cookie) bool { return h.Name == c.Name })
	})
	for _, c := range list {
		if c.Value[:1] == markSet {
			c.Value = c.Value[1:]
			seen = append(seen, c)
		}
	}
	return seen
}

// SetCookies implements http.CookieJar.
func (v *view) SetCookies(u *url.URL, list []*http.Cookie) {
	v.stage.mu.Lock()
	state := v.stage.state
	if state == open {
		at := *u
		v.held = append(v.held, held{&at, slices.Clone(list)})
	}
	v.stage.mu.Unlock()
	if state == committed || state == farewell {
		v.jar.SetCookies(u, list)
	}
	if state == committed {
		return
	}

	marked := make([]*http.Cookie, len(list))
	for i, c := range list {
		m := *c //nolint:gosec // a copy of what the server set, for a jar
		marked[i] = &m
		if deletes(c) {
			m.Value, m.MaxAge, m.Expires = markDeleted, 0, time.Time{}
		} else {
			m.Value = markSet + c.Value
		}
	}
	v.scratch.SetCookies(u, marked)
}

// deletes reports whether a jar takes c for the order to delete the cookie (RFC 6265 §5.2.2 and §5.3).
func deletes(c *http.Cookie) bool {
	return c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && !c.Expires.After(time.Now())
}
