package retry

import (
	"context"
	"time"

	"github.com/axlehttp/axle"
)

// Event tells of an outcome that is one to retry: either the call is sent again after Wait, or it is
// given up, and Final says why. Nothing in it may be changed.
type Event struct {
	// Attempt is the number of the attempt that failed, counted from 1.
	Attempt int

	// Wait is how long the call waits before the next attempt. It is zero in a final event.
	Wait time.Duration

	// Response is the response of the attempt. It is nil if no response came.
	Response *axle.Response

	// Err is the error of the attempt. It is nil for a fulfilled response, which only a
	// [WithCondition] can have retried.
	Err *axle.Error

	// Final is why the call is given up. It is empty if another attempt follows.
	Final Reason
}

// Reason is why a call whose outcome is one to retry was given up. It is a text for people.
type Reason string

// The reasons.
const (
	NoAttemptsLeft    Reason = "no attempts are left"                           // see WithAttempts
	BudgetSpent       Reason = "the budget is spent"                            // see WithBudget
	RetryAfterTooLong Reason = "the server asks for a longer wait than allowed" // see WithMaxRetryAfter
	PastDeadline      Reason = "the wait would pass the context's deadline"
	WaitEnded         Reason = "the context ended during the wait"
	CannotBeSentAgain Reason = "the request cannot be sent again" // its body, above all
)

func (i *Interceptor) tell(ctx context.Context, e Event) {
	for _, observe := range i.observers {
		observe(ctx, e)
	}
}
