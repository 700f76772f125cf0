package retry

import (
	"math"
	"sync/atomic"
)

// budget is a token bucket that is filled by calls in place of time. Its unit is a millionth of a
// retry. It is safe for concurrent use.
type budget struct {
	share, most int64
	left        atomic.Int64
}

const oneRetry = 1_000_000

// newBudget returns a full budget. Neither argument is negative.
func newBudget(ratio float64, burst int) *budget {
	most := min(int64(burst), math.MaxInt64/oneRetry/2) * oneRetry
	b := &budget{most: most, share: int64(min(math.Round(ratio*oneRetry), float64(most)))}
	b.left.Store(most)
	return b
}

// spend takes one retry, and reports whether there was one.
func (b *budget) spend() bool {
	for {
		left := b.left.Load()
		if left < oneRetry {
			return false
		}
		if b.left.CompareAndSwap(left, left-oneRetry) {
			return true
		}
	}
}

// refund gives back a retry that was not sent.
func (b *budget) refund() { b.add(oneRetry) }

// earn adds the share of a call that has ended well.
func (b *budget) earn() { b.add(b.share) }

func (b *budget) add(amount int64) {
	for {
		left := b.left.Load()
		if left >= b.most || b.left.CompareAndSwap(left, min(left+amount, b.most)) {
			return
		}
	}
}
