package future_test

import (
	"context"
	"sync"
	"testing"

	"github.com/axlehttp/axle/future"
)

func BenchmarkGoAwait(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = future.Go(func() (int, error) { return 7, nil }).Await(b.Context())
	}
}

func BenchmarkAwaitSettled(b *testing.B) {
	f := future.Resolved(7)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = f.Await(b.Context())
	}
}

// One future, 10,000 goroutines blocked in Await on it. The goroutines and their wake-up are what it costs.
func BenchmarkTenThousandWaiters(b *testing.B) {
	const waiters = 10_000
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		f, resolve, _ := future.WithResolvers[int]()
		var started, done sync.WaitGroup
		started.Add(waiters)
		for range waiters {
			done.Go(func() {
				started.Done()
				_, _ = f.Await(ctx)
			})
		}
		started.Wait()
		resolve(7)
		done.Wait()
	}
}

func BenchmarkSharedJoinInFlight(b *testing.B) {
	var s future.Shared[int]
	gate := make(chan struct{})
	fn := func() (int, error) { <-gate; return 7, nil }
	f, _ := s.Join(fn)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = s.Join(fn)
		}
	})
	close(gate)
	_, _ = f.Await(b.Context())
}

func BenchmarkRaceAgainstOneThatNeverSettles(b *testing.B) {
	never, _, _ := future.WithResolvers[int]()
	b.ReportAllocs()
	for b.Loop() {
		f, resolve, _ := future.WithResolvers[int]()
		race := future.Race(never, f)
		resolve(7)
		_, _ = race.Await(b.Context())
	}
}
