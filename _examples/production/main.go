// Production calls a faulty API through everything that axle ships for production: logging, auth,
// limit, breaker and retry. It prints what each of them did. No call fails.
//
//	go run ./_examples/production
//
// The API is in server.go. It answers some requests with a 500 or a 429, resets connections before
// and after it has done the work, answers some too slowly, and lets access tokens expire. Traces and
// metrics are in a module of their own, see docs/telemetry.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
)

const (
	callers      = 20
	callsEach    = 30
	createEvery  = 5 // one call of so many creates an item
	attemptLimit = 250 * time.Millisecond
)

// Item is one item of the API.
type Item struct {
	ID string `json:"id"`
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "production:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	api := newFaulty()
	defer api.Close()

	seen := &seen{}
	client, session := newClient(api.URL, seen)
	session.Login("ada", &oauth2.Token{AccessToken: "expired", RefreshToken: "refresh-0"})
	fmt.Println(client)

	failures := load(ctx, client, seen)
	if err := seen.print(api); err != nil {
		return err
	}
	if want := callers * callsEach / createEvery; len(api.created) != want {
		failures = append(failures, fmt.Errorf("want %d items, got %d", want, len(api.created)))
	}
	return errors.Join(failures...)
}

// newClient installs the interceptors in the order of docs/order.md.
func newClient(baseURL string, seen *seen) (*axle.Client, *store.UserStore[string]) {
	client := axle.New().SetBaseURL(baseURL).SetTimeout(attemptLimit)
	session := store.New[string](
		store.Endpoint(client, "/auth/refresh-token"),
		store.WithLogoutWhen(store.RejectedOnly),
		store.WithObserver(seen),
	)

	client.Use(
		logging.New(logging.WithLogger(slog.New(seen))),
		auth.New(session),
		limit.New(limit.WithRate(2000, time.Second, 100)),
		breaker.New(breaker.OnChange(func(breaker.Change) { seen.changes.Add(1) })),
		retry.New(
			retry.WithAttempts(8),
			retry.WithBackoff(20*time.Millisecond, time.Second),
			retry.WithBudget(0.5, 100),
			retry.WithIdempotencyKey("Idempotency-Key"),
			retry.OnRetry(func(_ context.Context, e retry.Event) { seen.retried(e) }),
		),
	)
	return client, session
}

// load makes the calls: many callers at once, who read and write.
func load(ctx context.Context, client *axle.Client, seen *seen) (failures []error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for n := range callsEach {
				var err error
				if n%createEvery == 0 {
					_, err = axle.Post[Item](ctx, client, "/items", Item{}, axle.Operation("items.create"))
				} else {
					_, err = axle.Get[Item](ctx, client, fmt.Sprintf("/items/%d", n), axle.Operation("items.get"))
				}

				seen.calls.Add(1)
				if err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	seen.failed.Store(int64(len(failures)))
	return failures
}

// print prints what the API did, and what each interceptor did about it.
func (s *seen) print(api *faulty) error {
	api.mu.Lock()
	defer api.mu.Unlock()

	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	row := func(who, what string, count any) { _, _ = fmt.Fprintf(out, "%s\t%s\t%v\n", who, what, count) }
	row("the API", "requests", api.requests)
	for _, fault := range []string{
		"401 expired token", "500", "429 with Retry-After", "slow response",
		"connection reset before the work", "connection reset after the work",
	} {
		row("", fault, api.faults[fault])
	}
	row("", "items created", len(api.created))
	row("net/http", "requests sent again on another connection", int64(api.requests)-s.records.Load())
	row("logging", "records, one for each attempt", s.records.Load())
	row("auth", "refreshes", s.refreshes.Load())
	row("", "calls that waited for one", s.waits.Load())
	row("breaker", "changes of the circuit", s.changes.Load())
	row("retry", "retries", s.retries.Load())
	row("", "longest wait", time.Duration(s.longest.Load()).Round(time.Millisecond))
	row("the program", "calls", s.calls.Load())
	row("", "of them failed", s.failed.Load())
	return out.Flush()
}

// seen counts what happens. It is safe for concurrent use. It is the handler of the log and the
// observer of the session.
type seen struct {
	calls, failed, records, refreshes, waits, changes, retries, longest atomic.Int64
}

func (s *seen) retried(e retry.Event) {
	if e.Final != "" {
		return
	}
	s.retries.Add(1)
	for longest := s.longest.Load(); int64(e.Wait) > longest; longest = s.longest.Load() {
		s.longest.CompareAndSwap(longest, int64(e.Wait))
	}
}

// Refresh and Wait implement auth.Observer.
func (s *seen) Refresh(ctx context.Context) (context.Context, func(error)) {
	s.refreshes.Add(1)
	return ctx, func(error) {}
}

func (s *seen) Wait(context.Context) func(context.Context, error) {
	s.waits.Add(1)
	return func(context.Context, error) {}
}

// The methods of slog.Handler count the records.
func (s *seen) Enabled(context.Context, slog.Level) bool  { return true }
func (s *seen) Handle(context.Context, slog.Record) error { s.records.Add(1); return nil }
func (s *seen) WithAttrs([]slog.Attr) slog.Handler        { return s }
func (s *seen) WithGroup(string) slog.Handler             { return s }
