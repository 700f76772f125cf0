package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/internal/axletest"
)

// Thirty callers do at random what callers and handlers may do, so that probes succeed, fail, hang,
// are cancelled, are not sent and panic, in all orders. Then the server is well.
func TestCircuit_ClosesWhenTheServerIsWellWhateverHappenedBefore(t *testing.T) {
	const probes = 2
	boom := errors.New("boom")
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/200", breaker.WithFailures(3), breaker.WithProbes(probes))
				axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
					switch err.Request.Header.Get("Then") {
					case "replay":
						return err.Request.Replay()
					case "do":
						again := err.Request.Clone()
						again.Header.Del("Then")
						return client.Do(again)
					case "panic":
						panic(boom)
					}
					return nil, err
				})

				var wg sync.WaitGroup
				for caller := range uint64(30) {
					random := rand.New(rand.NewPCG(seed, caller))
					wg.Go(func() {
						for range 40 {
							call(t, client, random)
							time.Sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
						}
					})
				}
				wg.Wait()

				// Nothing is in flight any more, and an open circuit is over.
				time.Sleep(30 * time.Second)
				for range probes + 2 {
					require.False(t, server.isRefused(t, client, "/200"))
				}
				require.False(t, server.isRefused(t, client, "/500"))
				require.False(t, server.isRefused(t, client, "/500"))
				require.False(t, server.isRefused(t, client, "/200"), "a closed circuit, and two failures")
			})
		})
	}
}

// call makes one call at random.
func call(t *testing.T, client *axle.Client, random *rand.Rand) {
	defer func() { _ = recover() }()

	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	within := time.Duration(random.IntN(90_000)) * time.Millisecond
	if random.IntN(2) == 0 {
		time.AfterFunc(within, cancel)
	}

	req := client.R(ctx).SetTimeout(within + time.Second).SetStream(random.IntN(5) == 0)
	req.SetHeader("Then", pick("", "", "replay", "do", "panic"))
	if random.IntN(10) == 0 {
		req.SetHeader("bad name", "x")
	}
	resp, err := req.Get(pick("/200", "/200", "/401", "/500", "/500", "/broken", "/cut", "/hang"))
	if err == nil && random.IntN(2) == 0 {
		time.Sleep(within)
	}
	if err == nil {
		_ = resp.Stream().Close()
	}
}
