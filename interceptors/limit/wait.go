package limit

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/delay"
)

// waiting is one request that waits for its turn.
type waiting struct {
	interceptor *Interceptor
	request     *axle.Request
	start       time.Time
	limiter     *rate.Limiter // nil: there is no rate
}

// wait returns when the request may go out, or with the reason why it may not.
func (w *waiting) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for {
		// The pause comes first, so that the rate spaces the requests that waited for its end.
		now := time.Now()
		if until := w.interceptor.pausedUntil(w.request); until.After(now) {
			if err := w.sleep(ctx, now, until, true); err != nil {
				return err
			}
			continue
		}

		if err := w.take(ctx, now); err != nil {
			return err
		}

		// A pause may have begun during the wait. The request then takes a new turn after it.
		if !w.interceptor.pausedUntil(w.request).After(time.Now()) {
			return nil
		}
	}
}

// take takes a token of the rate, and waits for one if there is none.
func (w *waiting) take(ctx context.Context, now time.Time) error {
	if w.limiter == nil || w.limiter.AllowN(now, 1) {
		return nil
	}

	// A reservation that is given up may cost others their turn. So none is made for a request that
	// may not wait for so long.
	missing := 1 - w.limiter.TokensAt(now)
	soonest := now.Add(time.Duration(missing / float64(w.limiter.Limit()) * float64(time.Second)))
	if err := w.refuse(ctx, soonest, false); err != nil {
		return err
	}

	turn := w.limiter.ReserveN(now, 1)
	if err := w.sleep(ctx, now, now.Add(turn.DelayFrom(now)), false); err != nil {
		turn.Cancel()
		return err
	}
	return nil
}

// sleep sleeps until a time, if the request may wait for so long. The error of a context that ends
// is its cause.
func (w *waiting) sleep(ctx context.Context, now, until time.Time, isAnnounced bool) error {
	if err := w.refuse(ctx, until, isAnnounced); err != nil {
		return err
	}
	return delay.Wait(ctx, until.Sub(now))
}

// refuse returns the error of a request that would wait for too long; nil if it may wait. A request
// that would go out at its deadline or later could not end in time, and so it does not wait.
func (w *waiting) refuse(ctx context.Context, until time.Time, isAnnounced bool) error {
	maxWait := w.interceptor.maxWait
	deadline, hasDeadline := ctx.Deadline()
	passesDeadline := hasDeadline && !until.Before(deadline)
	if !passesDeadline && until.Sub(w.start) <= maxWait {
		return nil
	}

	reason := &WaitError{Until: until, Wait: time.Until(until), Announced: isAnnounced}
	reason.Origin, _ = w.request.Origin()
	failed := &axle.Error{
		Code:    axle.CodeInterceptor,
		Message: fmt.Sprintf("the wait would be longer than WithMaxWait allows, %v", maxWait),
		Request: w.request,
		Err:     reason,
	}
	if passesDeadline {
		failed.Code, failed.Message = axle.CodeTimeout, "the wait would pass the context's deadline"
	}
	return failed
}

// WaitError is the cause of the [axle.Error] of a request that would have waited for too long. The
// request was not sent, and did not wait. The code is [axle.CodeTimeout] if the context's deadline
// comes before the request's turn, and [axle.CodeInterceptor] if the wait is longer than
// [WithMaxWait].
type WaitError struct {
	Origin    string        // of the request
	Until     time.Time     // when the request could have gone out
	Wait      time.Duration // how long that would have been
	Announced bool          // the server's limit is reached; false: that of WithRate is
}

// Error says which limit is reached, and until when.
func (e *WaitError) Error() string {
	whose := "the client's own limit"
	if e.Announced {
		whose = "the server's limit"
	}
	return fmt.Sprintf("limit: %s for %s is reached until %s, which is in %v",
		whose, e.Origin, e.Until.Format(time.RFC3339), e.Wait.Round(time.Millisecond))
}
