// Package limit is an interceptor that keeps a client within a rate, and that holds back when a
// server says that its own limit is reached.
//
//	client.Use(limit.New(limit.WithRate(600, time.Minute, 10)))
//
// A request that would break the rate waits, as long as its context lets it. Each dispatch takes
// part: a replay, a retry and a request that a handler sends by Client.Do is one more request to the
// server, and waits in its turn. The client's time limit ([axle.Client.SetTimeout]) bounds the
// dispatch alone, and so not the wait. The requests of a session's own refresh and logout take no
// part, since the calls that wait may be waiting for them.
//
// # What a server says
//
// Of each response, the interceptor reads the fields in which a server tells its own limit. If
// nothing is left of that limit, the interceptor sends nothing to the server's origin until the
// limit is reset, though never for longer than an hour. Every call to that origin waits then, and no
// call to another. These are the fields:
//
//	Retry-After                  of a 429 and a 503: seconds or a date (RFC 9110 §10.2.3)
//	RateLimit                    "default";r=0;t=30, of the IETF's draft, and its older forms
//	RateLimit-Remaining, -Reset  of that draft's first versions: seconds
//	X-RateLimit-Remaining, -Reset, and X-Rate-Limit-…
//	                             seconds, a number of seconds since 1970, a date, or a text such as 1m30s
//
// When the limit is reset, all the calls that waited for that go out at once, unless WithRate spaces
// them.
//
// # Where to install it
//
// Install it after auth and before retry:
//
//	client.Use(auth.New(session), limit.New(), retry.New())
//
// Request handlers run in the reverse order, and so auth attaches its token after the wait, when it
// is fresh. A replay of auth or of retry waits in its turn. The interceptor sees the response of
// each attempt, except the 401s that auth replays. A cache that calls [axle.Request.Respond] is
// installed after it: a request that is not sent takes no part. docs/order.md has the order of all
// interceptors.
//
// The files, in the order to read them:
//
//   - limit.go: the interceptor and its options.
//   - wait.go: the wait for a turn.
//   - announced.go: what a response says of the server's limit.
package limit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/recent"
	"github.com/axlehttp/axle/internal/sessionwork"
)

const (
	// defaultMaxWait is how long a request waits, unless WithMaxWait says otherwise.
	defaultMaxWait = time.Minute

	// longestPause bounds a pause that a server asks for, so that a server whose clock is wrong does
	// not silence the client for ever. The widest windows that are in use have an hour.
	longestPause = time.Hour

	// knownOrigins is of how many origins the rate and the pause are kept at least.
	knownOrigins = 1000
)

// Interceptor is an [axle.Plugin] that [New] returns. One Interceptor may be installed in many
// clients, which then share its rate. It is safe for concurrent use. The zero value is not usable.
type Interceptor struct {
	// bad says what is wrong with the options. It fails every call.
	bad error

	rate        rate.Limit
	burst       int
	isPerOrigin bool
	maxWait     time.Duration

	// shared is the limiter of all origins. With WithPerOrigin it is not used.
	shared *rate.Limiter

	// origins has what is kept of each origin. hasPaused says that one of them has paused.
	origins   *recent.Map[string, *place]
	hasPaused atomic.Bool
}

// Option configures [New]. A nil Option does nothing.
type Option func(*Interceptor)

// WithRate lets that many requests out in each period, evenly spaced. burst is how many of them may
// go out at once after a time of rest. Without WithRate, only the server's limits hold. If any of
// the three is less than one, every call fails with [axle.CodeBadOption].
func WithRate(requests int, per time.Duration, burst int) Option {
	return func(i *Interceptor) {
		if requests < 1 || per < 1 || burst < 1 {
			i.bad = fmt.Errorf("limit: WithRate(%d, %v, %d): each has to be at least one",
				requests, per, burst)
			return
		}
		i.rate, i.burst = rate.Limit(float64(requests)/per.Seconds()), burst
	}
}

// WithPerOrigin gives each origin (scheme, host and port) a rate of its own. The default is one rate
// for all requests of the Interceptor. The origin is that of the request when the handler runs. The
// rates of at least the last 1000 origins are kept.
func WithPerOrigin() Option { return func(i *Interceptor) { i.isPerOrigin = true } }

// WithMaxWait sets the longest time that a request waits, for the rate and for a pause of the server
// together. A request that would wait for longer fails at once, with a [WaitError]. The default is
// one minute. For zero or less no request waits.
func WithMaxWait(d time.Duration) Option { return func(i *Interceptor) { i.maxWait = max(d, 0) } }

// New returns an interceptor that honours the limits which servers announce, and with [WithRate] a
// limit of the client's own. If an option is wrong, every call fails with [axle.CodeBadOption] and is
// not sent.
func New(opts ...Option) *Interceptor {
	i := &Interceptor{maxWait: defaultMaxWait}
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}

	i.shared = i.newLimiter()
	i.origins = recent.New(knownOrigins, func(string) *place { return &place{limiter: i.newLimiter()} })
	return i
}

// newLimiter returns a token bucket of the rate. It is nil without WithRate.
func (i *Interceptor) newLimiter() *rate.Limiter {
	if i.burst == 0 {
		return nil
	}
	return rate.NewLimiter(i.rate, i.burst)
}

// Install implements [axle.Plugin]. It adds a pair named "limit" to each chain of c. If an
// Interceptor is installed twice in one client, each request counts twice.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	request := c.Interceptors.Request.Use(i.admit, nil, axle.Named("limit"))
	response := c.Interceptors.Response.Use(i.fulfilled, i.rejected, axle.Named("limit"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

var skip = axle.NewKey[bool]("limit.Skip")

// Skip is an edit that keeps a request out of the limit: the request does not wait, does not count,
// and its response causes no pause.
func Skip(r *axle.Request) { skip.Set(r, true) }

// isExempt reports whether a request is none of the limit's business. A session's own refresh is
// exempt too: the calls that would be before it in the queue may be waiting for it.
func isExempt(ctx context.Context, r *axle.Request) bool {
	on, _ := skip.Get(r)
	return on || sessionwork.Is(ctx)
}

// admit is the request handler. It waits until the request may go out.
func (i *Interceptor) admit(ctx context.Context, r *axle.Request) (*axle.Request, error) {
	if isExempt(ctx, r) || r.Responded() {
		return r, nil
	}
	if i.bad != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: i.bad}
	}

	w := waiting{interceptor: i, request: r, start: time.Now(), limiter: i.shared}
	if i.isPerOrigin {
		place := i.placeOf(r)
		if place == nil {
			return r, nil // dispatch refuses the URL
		}
		w.limiter = place.limiter
	}
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// placeOf returns what is kept of the request's origin. It is nil for a URL that has none.
func (i *Interceptor) placeOf(r *axle.Request) *place {
	target, _ := r.Origin()
	if target == "" {
		return nil
	}
	return i.origins.Get(target)
}

func (i *Interceptor) fulfilled(ctx context.Context, resp *axle.Response) (*axle.Response, error) {
	i.observe(ctx, resp)
	return resp, nil
}

func (i *Interceptor) rejected(ctx context.Context, err *axle.Error) (*axle.Response, error) {
	i.observe(ctx, err.Response)
	return nil, err
}

// observe begins the pause that a response asks for. A response that a handler made asks for none.
func (i *Interceptor) observe(ctx context.Context, resp *axle.Response) {
	if resp == nil || resp.Raw() == nil || isExempt(ctx, resp.Request) {
		return
	}
	now := time.Now()
	wait := response{status: resp.StatusCode, header: resp.Header, now: now}.pause()
	if wait == 0 {
		return
	}

	// After a redirect, it is the last origin that asks.
	asking := ""
	if sent := resp.Raw().Request; sent != nil {
		asking = origin.Of(sent.URL)
	} else if o, err := resp.Request.Origin(); err == nil {
		asking = o
	}
	if asking != "" {
		i.origins.Get(asking).pause(now.Add(wait))
		i.hasPaused.Store(true)
	}
}

// place is what is kept of one origin.
type place struct {
	limiter *rate.Limiter // for WithPerOrigin; nil without WithRate

	mu    sync.Mutex
	until time.Time // the end of the pause
}

// pause lets nothing out before until. A pause is never cut short: responses may arrive in another
// order than the one in which the server counted.
func (p *place) pause(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}

// pausedUntil returns the end of the pause of the request's origin. It is in the past if there is no
// pause.
func (i *Interceptor) pausedUntil(r *axle.Request) time.Time {
	// Most clients never pause, and need not look for the origin.
	if !i.hasPaused.Load() {
		return time.Time{}
	}
	p := i.placeOf(r)
	if p == nil {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until
}
