// Package retry is an interceptor that sends a call again when it has failed in a way that may
// pass: the network failed, the server was overloaded, or an attempt took too long.
//
//	client.Use(retry.New())
//
// Between two attempts it waits, with exponential backoff and full jitter, or for as long as the
// server's Retry-After says. It sends again by [axle.Request.Replay], so that every attempt runs the
// request handlers anew: each has a fresh token and a fresh signature. The response handlers after
// this one run once, on the last outcome.
//
// # What is retried
//
// [DefaultCondition] decides. It retries network errors, attempts that reached their own time limit,
// and the statuses 408, 425, 429 and 5xx except 501. It does so for the methods that are idempotent
// (RFC 9110 §9.2.2): GET, HEAD, OPTIONS, TRACE, PUT and DELETE. Any other request, such as a POST,
// might take effect twice. It is retried only if it has an idempotency key, by which the server
// recognizes it. [WithIdempotencyKey] sets one.
//
// Some calls are never retried: those whose context has ended, those whose next attempt would begin
// after the context's deadline, those whose body cannot be sent again, those that [Skip] marks, and
// the requests of a session's own refresh or logout. A refresh may have spent its refresh token,
// even if no response came.
//
// # What the caller gets
//
// If all attempts fail, the caller gets the error of the last one, unchanged. If the wait ends with
// the context, the error has [axle.CodeTimeout] or [axle.CodeCanceled], and holds the failure before
// the wait. If the body cannot be sent again, the error says so and holds [axle.ErrBodyConsumed].
//
// # The budget
//
// Retries make an overloaded server's load worse. So every call that gets a proper response earns a
// share of a retry, and each retry costs one, see [WithBudget]. While a server is down, no call earns
// anything. After the first few, the retries stop, and the server gets no more requests than it
// would without them.
//
// # Where to install it
//
// Install it after the interceptors that each attempt should pass, and before those that should see
// the outcome of the call alone:
//
//	client.Use(logging.New(), auth.New(session), limit.New(), breaker.New(), retry.New())
//
// Both orders work with interceptors/auth. A call causes at most one refresh in either order, and a
// replay of auth counts as one of the attempts. docs/order.md has the order of all interceptors, and
// docs/retries.md says more about retries.
//
// The files, in the order to read them:
//
//   - retry.go: the interceptor and its options.
//   - replay.go: the response handlers, which decide, wait and replay.
//   - condition.go: which failures may pass.
//   - wait.go: how long to wait.
//   - budget.go: how many retries there may be.
//   - idempotency.go: the request handler, which sets the idempotency key.
//   - event.go: what observers are told.
package retry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/wire"
)

// The defaults of the options.
const (
	defaultAttempts      = 3
	defaultFirst         = 500 * time.Millisecond
	defaultMost          = 8 * time.Second
	defaultMaxRetryAfter = time.Minute
	defaultRatio         = 0.1
	defaultBurst         = 10
)

// Interceptor is an [axle.Plugin] that [New] returns. One Interceptor may be installed in many
// clients, which then share its budget. It is safe for concurrent use if the functions of its
// options are. The zero value is not usable.
type Interceptor struct {
	attempts      int
	first, most   time.Duration // of the backoff
	maxRetryAfter time.Duration
	condition     func(*axle.Response, *axle.Error) bool // nil: the default
	keyHeader     string                                 // carries the idempotency key; empty: none is set
	observers     []func(context.Context, Event)
	budget        *budget

	// bad says what is wrong with the options. It fails every call.
	bad error

	// retries counts the retries of a call. A replay by another interceptor, and a call that a
	// handler makes from the call's own request, go on counting.
	retries *axle.Key[int]
}

// Option configures [New] and [With]. A nil Option does nothing.
type Option func(*Interceptor)

// New returns an interceptor that retries calls. If an option is wrong, every call fails with
// [axle.CodeBadOption] and is not sent.
func New(opts ...Option) *Interceptor {
	i := &Interceptor{
		attempts:      defaultAttempts,
		first:         defaultFirst,
		most:          defaultMost,
		maxRetryAfter: defaultMaxRetryAfter,
		budget:        newBudget(defaultRatio, defaultBurst),
		retries:       axle.NewKey[int]("retry"),
	}
	i.apply(opts)
	return i
}

func (i *Interceptor) apply(opts []Option) {
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}
}

// setBad notes the first option that is wrong.
func (i *Interceptor) setBad(format string, args ...any) {
	if i.bad == nil {
		i.bad = fmt.Errorf("retry: "+format, args...)
	}
}

// WithAttempts sets how often a call is sent at most, the first attempt included. The default is 3,
// and 1 means no retries. Every attempt of the call counts, as [axle.Request.Attempt] does, also one
// of another interceptor, such as the replay of auth after a refresh. Fewer than 1 is an error.
func WithAttempts(n int) Option {
	return func(i *Interceptor) {
		i.attempts = n
		if n < 1 {
			i.setBad("WithAttempts(%d): the number has to be at least one, "+
				"since it counts the first attempt", n)
		}
	}
}

// WithBackoff sets the waits before the retries. The n-th wait is a random time between zero and
// first·2ⁿ⁻¹, and at most the time most ("full jitter": clients that failed together do not come
// back together). The default is 500 milliseconds and 8 seconds. WithBackoff(0, 0) does not wait. A
// negative time, and a first that is longer than most, are errors.
func WithBackoff(first, most time.Duration) Option {
	return func(i *Interceptor) {
		i.first, i.most = first, most
		if first < 0 || most < first {
			i.setBad("WithBackoff(%v, %v): the first wait has to be from zero to the longest", first, most)
		}
	}
}

// WithMaxRetryAfter sets the longest wait that a server may ask for by Retry-After or
// Retry-After-Ms. A response that asks for more is not retried: the caller gets it at once. The
// default is a minute. Zero retries no response that asks for a wait. A negative time is an error.
func WithMaxRetryAfter(d time.Duration) Option {
	return func(i *Interceptor) {
		i.maxRetryAfter = d
		if d < 0 {
			i.setBad("WithMaxRetryAfter(%v): the time has to be zero or more", d)
		}
	}
}

// WithCondition sets the function that decides which outcomes are retried, in the place of
// [DefaultCondition], which it may call. The function also decides for methods that are not
// idempotent, and for responses that were fulfilled. err is nil for a fulfilled response. resp is
// nil if no response came, and err.Response is the same response.
//
// The function is not asked for calls that are never retried, see the package's documentation. Many
// goroutines call it at once. A nil function stands for DefaultCondition.
func WithCondition(fn func(resp *axle.Response, err *axle.Error) bool) Option {
	return func(i *Interceptor) { i.condition = fn }
}

// WithBudget bounds the retries of all calls of the Interceptor together. Every call that gets a
// response which asks for no retry earns ratio retries. At most burst of them are kept, and that is
// also what there is at the beginning. Each retry costs one. The default is a ratio of 0.1 and a
// burst of 10. A ratio below 0, or one that is not a number, and a burst below 0 are errors. A burst
// of 0 means no retries.
//
// WithBudget is an option of New alone, since a budget is shared by all calls.
func WithBudget(ratio float64, burst int) Option {
	return func(i *Interceptor) {
		if !(ratio >= 0) || burst < 0 {
			i.setBad("WithBudget(%v, %d): the ratio and the burst have to be zero or more", ratio, burst)
			return
		}
		i.budget = newBudget(ratio, burst)
	}
}

// WithIdempotencyKey makes requests retryable whose method is not idempotent, such as POST. It gives
// each such call a key of its own, a random UUID, in the header of this name, such as
// "Idempotency-Key". All attempts of the call carry the same key, so that the server can recognize
// them. The server must support this. A key that the caller has set is kept. So the request of a
// call that is over, such as err.Request, still has its key if the caller sends it again.
//
// A name that is no header name is an error.
func WithIdempotencyKey(header string) Option {
	return func(i *Interceptor) {
		i.keyHeader = header
		if !wire.IsToken(header) {
			i.setBad("WithIdempotencyKey(%q): this is no header name", header)
		}
	}
}

// OnRetry adds a function that is told of every retry before its wait, and of every call that is
// given up although its outcome is one to retry. The function is for logs, spans and tests. It runs
// on the call's goroutine, so that it should not block. Many goroutines call it at once.
func OnRetry(fn func(ctx context.Context, e Event)) Option {
	return func(i *Interceptor) {
		if fn != nil {
			i.observers = append(slices.Clip(i.observers), fn)
		}
	}
}

var skip = axle.NewKey[bool]("retry.Skip")

// Skip is an edit that keeps a request out of the retries: the request is sent once, whatever comes
// of it, and gets no idempotency key.
func Skip(r *axle.Request) { skip.Set(r, true) }

func skipped(r *axle.Request) bool {
	on, _ := skip.Get(r)
	return on
}

var overrides = axle.NewKey[[]Option]("retry.With")

// With returns an edit that sets options for one call. They take the place of those of New, and the
// options of a later With take the place of those of an earlier one. Functions of OnRetry are added.
func With(opts ...Option) func(*axle.Request) {
	return func(r *axle.Request) {
		before, _ := overrides.Get(r)
		overrides.Set(r, slices.Concat(before, opts))
	}
}

// forCall returns the interceptor as the options of this call change it.
func (i *Interceptor) forCall(r *axle.Request) *Interceptor {
	opts, _ := overrides.Get(r)
	if opts == nil {
		return i
	}

	changed := *i
	changed.apply(opts)
	if changed.budget != i.budget {
		changed.setBad("With: WithBudget is an option of New alone: a budget is shared by all calls")
	}
	return &changed
}

// Install implements [axle.Plugin]. It adds a pair named "retry" to each chain of c. An
// Interceptor that is installed twice in one client does not multiply the attempts.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	request := c.Interceptors.Request.Use(i.prepare, nil, axle.Named("retry"))
	response := c.Interceptors.Response.Use(i.fulfilled, i.rejected, axle.Named("retry"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

// prepare is the request handler.
func (i *Interceptor) prepare(ctx context.Context, r *axle.Request) (*axle.Request, error) {
	if skipped(r) {
		return r, nil
	}
	i = i.forCall(r)
	if i.bad != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: i.bad}
	}

	// A caller may send the request of a call that is over as a new call.
	if isNewCall := r.Attempt() == 0 && !r.Nested(); isNewCall {
		i.retries.Delete(r)
	}

	i.setIdempotencyKey(ctx, r)
	return r, nil
}
