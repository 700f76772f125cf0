package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/delay"
	"github.com/axlehttp/axle/internal/drained"
	"github.com/axlehttp/axle/internal/sessionwork"
)

// outcome is what an attempt came to.
type outcome struct {
	request  *axle.Request
	response *axle.Response // nil if no response came
	err      *axle.Error    // nil if the response was fulfilled
}

// fulfilled is the response handler for fulfilled responses.
func (i *Interceptor) fulfilled(_ context.Context, resp *axle.Response) (*axle.Response, error) {
	return i.handle(outcome{resp.Request, resp, nil})
}

// rejected is the response handler for errors.
func (i *Interceptor) rejected(_ context.Context, err *axle.Error) (*axle.Response, error) {
	return i.handle(outcome{err.Request, err.Response, err})
}

// handle replays the call until an outcome stands.
func (i *Interceptor) handle(last outcome) (*axle.Response, error) {
	// A handler may have returned the outcome of another call. What is set for this one holds.
	own := last.request.Own()
	if skipped(own) {
		return last.stand()
	}
	i = i.forCall(own)

	for looped := 1; ; looped++ {
		if !i.wants(last) {
			i.earn(last)
			return last.stand()
		}

		// The context is that of the last attempt, as for any handler.
		ctx := last.request.Context()
		if ctx.Err() != nil || sessionwork.Is(ctx) {
			return last.stand()
		}

		// A call that a handler has made from this call's own request counts on.
		retries, _ := i.retries.Get(last.request)
		before, _ := i.retries.Get(last.request.Own())
		retries = max(retries, before)
		attempts := max(last.request.Attempt(), retries+1, looped)
		event := Event{Attempt: attempts, Response: last.response, Err: last.err}

		wait, final, refused := i.plan(ctx, last, attempts, retries+1)
		if final != "" {
			event.Final = final
			i.tell(ctx, event)
			return last.standBecause(refused)
		}
		event.Wait = wait
		i.tell(ctx, event)

		// This frees the connection during the wait.
		drained.IntoMemory(last.response)
		if delay.Wait(ctx, wait) != nil {
			i.budget.refund()
			event.Wait, event.Final = 0, WaitEnded
			i.tell(ctx, event)
			return nil, last.cutOff(ctx)
		}

		next, unsent := last.again(func(r *axle.Request) { i.retries.Set(r, retries+1) })
		if unsent == nil {
			last = next
			continue
		}

		i.budget.refund()
		if ctx.Err() != nil {
			return nil, last.cutOff(ctx)
		}
		return last.standBecause(unsent)
	}
}

// again replays the call, with its new count of retries, and returns the outcome. unsent is the
// error of a replay that a request handler has kept from being sent.
func (o outcome) again(count func(*axle.Request)) (next outcome, unsent error) {
	resp, err := o.request.Replay(count)
	if err == nil {
		return outcome{resp.Request, resp, nil}, nil
	}

	// Every error of a replay is an *axle.Error.
	failed, _ := errors.AsType[*axle.Error](err)
	if failed.Response == nil && failed.Request.Attempt() <= o.request.Attempt() {
		return o, err
	}
	return outcome{failed.Request, failed.Response, failed}, nil
}

// wants reports whether an outcome is one to retry.
func (i *Interceptor) wants(o outcome) bool {
	if i.condition != nil {
		return i.condition(o.response, o.err)
	}
	return DefaultCondition(o.response, o.err)
}

// plan returns how long to wait before the retry of this number, and takes the retry from the
// budget. If there is to be none, final is why. refused is then the error of a request that cannot
// be sent again.
func (i *Interceptor) plan(
	ctx context.Context, o outcome, attempts, retry int,
) (wait time.Duration, final Reason, refused error) {
	if attempts >= i.attempts {
		return 0, NoAttemptsLeft, nil
	}

	wait = retryAfter(o.response)
	if wait > i.maxRetryAfter {
		return 0, RetryAfterTooLong, nil
	}
	if wait <= 0 {
		wait = i.backoff(retry)
	}

	// An attempt that begins at the deadline cannot finish before it.
	if deadline, ok := ctx.Deadline(); ok && wait >= time.Until(deadline) {
		return 0, PastDeadline, nil
	}

	if !i.budget.spend() {
		return 0, BudgetSpent, nil
	}

	// This comes last, since it disturbs an attempt that still sends the body.
	if refused = o.request.CheckReplay(); refused != nil {
		i.budget.refund()
		return 0, CannotBeSentAgain, refused
	}
	return wait, "", nil
}

// earn adds to the budget what a call that has ended well brings. A response that was refused for a
// good reason, such as a 404, shows that the server works.
func (i *Interceptor) earn(o outcome) {
	if o.response != nil && !delay.MayPass(o.response.StatusCode) {
		i.budget.earn()
	}
}

// stand returns the outcome itself.
func (o outcome) stand() (*axle.Response, error) {
	if o.err != nil {
		return nil, o.err
	}
	return o.response, nil
}

// standBecause returns the outcome with the reason why it was not retried. A nil reason adds
// nothing, and a fulfilled response has no place for one.
func (o outcome) standBecause(reason error) (*axle.Response, error) {
	if o.err == nil || reason == nil {
		return o.stand()
	}

	e := *o.err
	e.Err = fmt.Errorf("retry: not sent again: %w", reason)
	if o.err.Err != nil {
		e.Err = fmt.Errorf("%w (%w)", o.err.Err, e.Err)
	}
	return nil, &e
}

// cutOff returns the error of a wait that ended with ctx. It holds the failure before the wait.
func (o outcome) cutOff(ctx context.Context) error {
	e := &axle.Error{
		Code:     axle.CodeCanceled,
		Message:  "retry: the wait for the next attempt ended",
		Request:  o.request,
		Response: o.response,
		Err:      context.Cause(ctx),
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Code = axle.CodeTimeout
	}
	if o.err != nil {
		e.Err = fmt.Errorf("%w (after %w)", e.Err, o.err)
	}
	return e
}
