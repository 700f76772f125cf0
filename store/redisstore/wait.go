package redisstore

import (
	"context"
	"math/rand/v2"
	"time"
)

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// jitter spreads a pause, so that many holders do not come at the same moment.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // a pause is no secret
}
