// Parallel shows many calls at once, with a limit on how many run at a time. It also shows the effect
// of a cancellation on the calls that remain.
//
//	go run ./_examples/parallel
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
)

const (
	calls = 40
	most  = 5
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "parallel:", err)
		os.Exit(1)
	}
}

// api counts the requests that it serves at the moment, the most at one time, and all of them.
type api struct{ now, peak, total atomic.Int64 }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.total.Add(1)
	for now := a.now.Add(1); ; {
		peak := a.peak.Load()
		if now <= peak || a.peak.CompareAndSwap(peak, now) {
			break
		}
	}
	defer a.now.Add(-1)

	// The refusal comes at once. The other calls take so long that many still wait for their turn then.
	if r.URL.Path == "/items/13" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	select {
	case <-time.After(25 * time.Millisecond):
	case <-r.Context().Done():
		return
	}
	_, _ = fmt.Fprintf(w, "%q", r.URL.Path)
}

func run(ctx context.Context) error {
	a := &api{}
	server := httptest.NewServer(a)
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	start := func(ctx context.Context, limit *future.Limit) (items []*future.Future[string]) {
		for i := range calls {
			items = append(items, future.GoWithin(ctx, limit, func(ctx context.Context) (string, error) {
				return axle.Get[string](ctx, client, fmt.Sprintf("/items/%d", i))
			}))
		}
		return items
	}

	// AllSettled waits for every outcome and keeps their order.
	settled, err := future.AllSettled(start(ctx, future.NewLimit(most))...).Await(ctx)
	if err != nil {
		return err
	}

	failed := 0
	for _, s := range settled {
		if s.Err != nil {
			failed++
		}
	}

	fmt.Printf("AllSettled  %d calls, %d failed, never more than %d at a time\n",
		len(settled), failed, a.peak.Load())
	if failed != 1 || a.peak.Load() > most {
		return errors.New("that is not what was asked for")
	}

	// All returns the first failure. The cancellation then calls off the rest: a call that still waits
	// for its turn never runs, and the context of a call that runs has ended.
	a.total.Store(0)
	within, cancel := context.WithCancelCause(ctx)
	_, err = future.All(start(within, future.NewLimit(most))...).Await(ctx)
	cancel(err)

	var refused *axle.Error
	if !errors.As(err, &refused) {
		return fmt.Errorf("want the 418: %w", err)
	}

	fmt.Printf("All         %s, and the rest is called off after %d of %d calls\n",
		refused.Response.Status, a.total.Load(), calls)
	if a.total.Load() == calls {
		return errors.New("nothing was called off")
	}

	// Any returns the first success of several mirrors. Race would return the first outcome.
	first, err := future.Any(
		future.Go(func() (string, error) { return axle.Get[string](ctx, client, "/items/13") }),
		future.Go(func() (string, error) { return axle.Get[string](ctx, client, "/mirror") }),
	).Await(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("Any         %s\n", first)
	return nil
}
