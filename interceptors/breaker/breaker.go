// Package breaker is an interceptor that stops calling a server that fails (circuit breaker).
//
//	client.Use(breaker.New())
//
// Each origin (scheme, host and port) has a circuit. A closed circuit lets every call through. After
// five failed calls in a row it opens: for thirty seconds, calls to that origin fail at once with an
// [OpenError], and nothing is sent. Then the circuit is half open, and lets one call through as a
// probe. If the probe succeeds, the circuit closes. If it fails, the circuit opens again.
//
// # What counts
//
// A call counts once, with the outcome of its last attempt at that origin, however many attempts it
// took. [WithPerAttempt] counts each attempt instead. It is a failure if the network failed, if time
// ran out after the request was sent, or if the status is 500 or more and not 501 (Not Implemented).
// Any other response is a success, 429 Too Many Requests too: see package limit. A call that its
// caller cancelled, that was never sent, or whose body could not be read, counts as neither.
// [WithCondition] changes what a failure is.
//
// A call counts when it is over. A stream counts when its headers have come: a stream that breaks
// off later is no failure, and a stream that lasts for hours is no probe for hours. If a probe takes
// longer than the circuit is open, another call may probe beside it.
//
// The requests of a session's own refresh and logout are neither refused nor counted. The session
// might end if they were refused, and the probe itself may need a refresh.
//
// While the circuit is not closed, the replays of calls that started before are refused too. A probe
// may be replayed.
//
// # Where to install it
//
// Install it after auth and limit, and before retry:
//
//	client.Use(auth.New(session), limit.New(), breaker.New(), retry.New())
//
// Then a call to an open circuit neither takes part in the rate nor waits for a refresh, the
// outcome that counts is the one after auth's replay, and retry's replays are checked. A fallback
// that recovers from errors is installed after it, since the breaker counts a response that a
// handler made as neither a failure nor a success. So is a cache that calls [axle.Request.Respond].
// retry does not retry an OpenError, because its code is [axle.CodeInterceptor]. docs/order.md has
// the order of all interceptors.
//
// The files, in the order to read them:
//
//   - breaker.go: the interceptor, its options, and which outcomes are failures.
//   - circuit.go: the circuit of one origin, and the calls that it lets through.
package breaker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/recent"
	"github.com/axlehttp/axle/internal/rewind"
	"github.com/axlehttp/axle/internal/sessionwork"
)

const (
	defaultFailures = 5
	defaultOpenFor  = 30 * time.Second

	// knownOrigins is of how many origins the circuit is kept at least.
	knownOrigins = 1000
)

// Interceptor is an [axle.Plugin] that [New] returns. One Interceptor may be installed in many
// clients, which then share its circuits. It is safe for concurrent use. The zero value is not usable.
type Interceptor struct {
	// bad says what is wrong with the options. It fails every call.
	bad error

	settings     gobreaker.Settings
	openFor      time.Duration
	isFailure    func(*axle.Response, *axle.Error) bool
	isPerAttempt bool
	observers    []func(Change)

	circuits   *recent.Map[string, *circuit] // by origin
	admissions *axle.Key[*admission]
}

// Option configures [New]. A nil Option does nothing.
type Option func(*Interceptor)

// WithFailures opens a circuit after n failures in a row. The default is 5, and the least is 1.
func WithFailures(n int) Option {
	return func(i *Interceptor) {
		i.check(n >= 1, "WithFailures(%d): the number has to be at least one", n)
		i.settings.Interval, i.settings.BucketPeriod = 0, 0
		i.settings.ReadyToTrip = func(counts gobreaker.Counts) bool {
			return int64(counts.ConsecutiveFailures) >= int64(n)
		}
	}
}

// WithFailureRate opens a circuit if, of the calls within the last window, at least this part has
// failed, from more than 0 to 1. It does not judge fewer than atLeast calls. It takes the place of
// [WithFailures].
func WithFailureRate(rate float64, atLeast int, window time.Duration) Option {
	return func(i *Interceptor) {
		i.check(rate > 0 && rate <= 1 && atLeast >= 1 && window > 0,
			"WithFailureRate(%v, %d, %v): the rate has to be from more than 0 to 1, "+
				"and the others more than zero", rate, atLeast, window)
		i.settings.Interval, i.settings.BucketPeriod = window, max(window/10, 1)
		i.settings.ReadyToTrip = func(counts gobreaker.Counts) bool {
			failures := float64(counts.TotalFailures)
			calls := failures + float64(counts.TotalSuccesses)
			return calls >= float64(atLeast) && failures >= rate*calls
		}
	}
}

// WithOpenFor sets how long an open circuit refuses calls before it lets a probe through. The
// default is 30 seconds.
func WithOpenFor(d time.Duration) Option {
	return func(i *Interceptor) {
		i.check(d > 0, "WithOpenFor(%v): the time has to be more than zero", d)
		i.openFor = d
	}
}

// WithProbes sets how many calls a circuit that is half open lets through. If all of them succeed,
// it closes. The default is 1.
func WithProbes(n int) Option {
	return func(i *Interceptor) {
		i.check(n >= 1 && n <= 1e6, "WithProbes(%d): the number has to be from one to a million", n)
		i.settings.MaxRequests = uint32(min(max(n, 1), 1e6))
	}
}

// WithCondition sets the function that decides which outcomes are failures, in the place of
// [DefaultCondition], which it may call. err is nil for a fulfilled response. resp is nil if no
// response came, and err.Response is the same response.
//
// The function is not asked about a call that its caller cancelled, that was not sent, or whose body
// could not be read. Many goroutines call it at once. A nil function stands for DefaultCondition.
func WithCondition(isFailure func(resp *axle.Response, err *axle.Error) bool) Option {
	return func(i *Interceptor) {
		if isFailure == nil {
			isFailure = DefaultCondition
		}
		i.isFailure = isFailure
	}
}

// WithPerAttempt counts each attempt that reaches the interceptor, a retry too, and not each call.
func WithPerAttempt() Option { return func(i *Interceptor) { i.isPerAttempt = true } }

// OnChange adds a function that is told of each change of a circuit's state, for logs and alarms. It
// runs on the goroutine of the call that caused the change, so that it should not block. Many
// goroutines call it at once.
func OnChange(fn func(Change)) Option {
	return func(i *Interceptor) {
		if fn != nil {
			i.observers = append(i.observers, fn)
		}
	}
}

// New returns an interceptor that stops calling servers that fail. If an option is wrong, every call
// fails with [axle.CodeBadOption] and is not sent.
func New(opts ...Option) *Interceptor {
	i := &Interceptor{admissions: axle.NewKey[*admission]("breaker")}
	for _, opt := range append([]Option{
		WithFailures(defaultFailures), WithOpenFor(defaultOpenFor), WithProbes(1), WithCondition(nil),
	}, opts...) {
		if opt != nil {
			opt(i)
		}
	}
	i.circuits = recent.New(knownOrigins, i.newCircuit)
	return i
}

// check notes the first option that is wrong.
func (i *Interceptor) check(isGood bool, format string, args ...any) {
	if !isGood && i.bad == nil {
		i.bad = fmt.Errorf("breaker: "+format, args...)
	}
}

// Install implements [axle.Plugin]. It adds a pair named "breaker" to each chain of c. An
// Interceptor that is installed twice in one client works once.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	request := c.Interceptors.Request.Use(i.admit, nil, axle.Named("breaker"))
	response := c.Interceptors.Response.Use(i.fulfilled, i.rejected, axle.Named("breaker"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

var skip = axle.NewKey[bool]("breaker.Skip")

// Skip is an edit that keeps a request out of the breaker: the request is never refused, and its
// outcome does not count. Health checks use it.
func Skip(r *axle.Request) { skip.Set(r, true) }

// isExempt reports whether a request is none of the breaker's business. A session's own refresh is
// exempt too. It may be the probe itself that needs the refresh, and a refresh that is refused may
// end the session.
func isExempt(ctx context.Context, r *axle.Request) bool {
	on, _ := skip.Get(r)
	return on || sessionwork.Is(ctx)
}

// admit is the request handler. It refuses the request if the circuit of its origin says so.
func (i *Interceptor) admit(ctx context.Context, r *axle.Request) (*axle.Request, error) {
	if isExempt(ctx, r) || r.Responded() {
		return r, nil
	}
	if i.bad != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: i.bad}
	}
	target, _ := r.Origin()
	if target == "" {
		return r, nil // dispatch refuses the URL
	}

	refused := i.circuits.Get(target).admit(i, r)
	if refused != nil {
		return nil, &axle.Error{Code: axle.CodeInterceptor, Request: r, Err: refused}
	}
	return r, nil
}

func (i *Interceptor) fulfilled(_ context.Context, resp *axle.Response) (*axle.Response, error) {
	i.observe(resp.Request, resp, nil)
	return resp, nil
}

func (i *Interceptor) rejected(_ context.Context, err *axle.Error) (*axle.Response, error) {
	i.observe(err.Request, err.Response, err)
	return nil, err
}

// observe notes the outcome of an attempt. It counts at the end of the call, since a later attempt
// may replace it.
func (i *Interceptor) observe(r *axle.Request, resp *axle.Response, err *axle.Error) {
	a, _ := i.admissions.Get(r)
	if a == nil {
		return
	}
	outcome := i.judge(a, resp, err)
	a.note(outcome)

	// The end of a stream may be hours away.
	isStream := err == nil && resp.IsStream() && outcome == nil
	if i.isPerAttempt || isStream {
		a.settle()
	}
}

// The outcomes of an attempt, beside nil for a success. They are errors since gobreaker wants one.
var (
	errFailure = errors.New("failure")
	errNeither = errors.New("neither a success nor a failure")
)

// judge returns the outcome of an attempt.
func (i *Interceptor) judge(a *admission, resp *axle.Response, err *axle.Error) error {
	switch {
	case err != nil && err.Code == axle.CodeCanceled:
		return errNeither

	// A handler has responded, and not the server.
	case resp != nil && resp.Raw() == nil:
		return errNeither

	// A later request handler has failed or has waited for too long, and nothing was sent.
	case resp == nil && !a.wasSent(err.Request):
		return errNeither

	// The caller's own body has failed, and not the server.
	case resp == nil && rewind.IsReadError(err):
		return errNeither

	case i.isFailure(resp, err):
		return errFailure

	// An error without a response that is no failure is axle's own, such as one redirect too many.
	case resp == nil:
		return errNeither
	}
	return nil
}

// DefaultCondition reports whether an outcome is a failure of the server: a network error, a time
// limit, or a status of 500 or more that is not 501, also if the client accepts that status. It is
// what an Interceptor does without [WithCondition], and a part to build other conditions from.
func DefaultCondition(resp *axle.Response, err *axle.Error) bool {
	if err != nil && (err.Code == axle.CodeNetwork || err.Code == axle.CodeTimeout) {
		return true
	}
	return resp != nil && resp.StatusCode >= http.StatusInternalServerError &&
		resp.StatusCode != http.StatusNotImplemented
}
