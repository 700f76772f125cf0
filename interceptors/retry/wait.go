package retry

import (
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/delay"
)

// backoff returns a random wait before the retry of this number, counted from 1: between zero and
// the full interval, which doubles with each retry.
func (i *Interceptor) backoff(retry int) time.Duration {
	// The library's wait is between zero and twice its interval.
	policy := backoff.ExponentialBackOff{
		InitialInterval:     i.first / 2,
		MaxInterval:         i.most / 2,
		Multiplier:          2,
		RandomizationFactor: 1,
	}

	wait := policy.NextBackOff()
	for range retry - 1 {
		wait = policy.NextBackOff()
	}
	return wait
}

// retryAfter returns how long a response asks the client to wait. It is zero or less if the response
// asks for no wait.
func retryAfter(resp *axle.Response) time.Duration {
	if resp == nil {
		return 0
	}
	return delay.Of(resp.Header, time.Now())
}
