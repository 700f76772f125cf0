package future_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/axlehttp/axle/future"
)

func TestMain(m *testing.M) {
	// In a browser the runtime has a goroutine of its own, which handles the events of the page.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

var (
	errBoom = errors.New("boom")
	nothing any // nil, unknown to go vet
)

// ending is a way for a function to end, and what its future must then reject with (nil: resolves with 7).
type ending struct {
	name string
	fn   func() (int, error)
	want func(t *testing.T, err error)
}

func endings() []ending {
	return []ending{
		{"value", func() (int, error) { return 7, nil }, nil},
		{"error", func() (int, error) { return 7, errBoom }, func(t *testing.T, err error) {
			assert.Same(t, errBoom, err)
		}},
		{"panic", func() (int, error) { panic("spilled tea") }, func(t *testing.T, err error) {
			requirePanic(t, err, "spilled tea")
			assert.NoError(t, errors.Unwrap(err))
		}},
		{"panic with an error", func() (int, error) { panic(io.ErrUnexpectedEOF) }, func(t *testing.T, err error) {
			requirePanic(t, err, io.ErrUnexpectedEOF)
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}},
		{"panic with nil", func() (int, error) { panic(nothing) }, func(t *testing.T, err error) {
			_, ok := errors.AsType[*runtime.PanicNilError](err)
			assert.True(t, ok)
			assert.NotErrorIs(t, err, future.ErrGoexit)
		}},
		{"Goexit", func() (int, error) { runtime.Goexit(); return 7, nil }, func(t *testing.T, err error) {
			requirePanic(t, err, future.ErrGoexit)
			assert.ErrorIs(t, err, future.ErrGoexit)
		}},
	}
}

func requirePanic(t *testing.T, err error, value any) *future.PanicError {
	t.Helper()
	p, ok := errors.AsType[*future.PanicError](err)
	require.True(t, ok, "want a *PanicError, got %v", err)
	assert.Equal(t, value, p.Value)
	return p
}

func requireOutcome(t *testing.T, f *future.Future[int], e ending) {
	t.Helper()
	v, err := f.Await(t.Context())
	if e.want == nil {
		require.NoError(t, err)
		assert.Equal(t, 7, v)
		return
	}
	require.Error(t, err)
	assert.Zero(t, v, "a rejection carries no value")
	e.want(t, err)
}

func TestGo_R19_HoweverFnEndsTheFutureSettles(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			f := future.Go(e.fn)
			requireOutcome(t, f, e)
			requireOutcome(t, f, e) // and stays so
		})
	}
}

func spillTea() (int, error) { panic("spilled tea") }

func TestPanicError_MentionsTheValueAndKeepsTheStackApart(t *testing.T) {
	_, err := future.Go(spillTea).Await(t.Context())
	p := requirePanic(t, err, "spilled tea")
	assert.Equal(t, "future: panic: spilled tea", err.Error())
	assert.Contains(t, string(p.Stack), "spillTea")

	assert.Equal(t, "future: runtime.Goexit was called", (&future.PanicError{Value: future.ErrGoexit}).Error())
	assert.Equal(t, "future: panic: [1 2]", (&future.PanicError{Value: []int{1, 2}}).Error(), "an uncomparable value")
}

func TestAwait_R20_TheContextEndsThisWaitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := future.Go(func() (int, error) { time.Sleep(time.Minute); return 7, nil })

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f.Await(ctx)
		require.Equal(t, context.DeadlineExceeded, err)

		v, err := f.Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 7, v)
	})
}

func TestAwait_TheErrorKeepsKindAndCause(t *testing.T) {
	wrapped := errors.Join(errBoom, context.Canceled)
	cases := []struct {
		name  string
		ctx   func(context.Context) (context.Context, func())
		is    []error
		isNot error
	}{
		{"canceled", func(ctx context.Context) (context.Context, func()) {
			return context.WithCancel(ctx)
		}, []error{context.Canceled}, context.DeadlineExceeded},
		{"canceled with a cause", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(errBoom) }
		}, []error{context.Canceled, errBoom}, context.DeadlineExceeded},
		{"canceled with a cause that says so itself", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(wrapped) }
		}, []error{context.Canceled, errBoom}, context.DeadlineExceeded},
		{"deadline with a cause", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errBoom)
			return ctx, func() { time.Sleep(time.Second); synctest.Wait(); cancel() }
		}, []error{context.DeadlineExceeded, errBoom}, context.Canceled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				never, _, _ := future.WithResolvers[int]()
				ctx, end := c.ctx(t.Context())
				go end()
				_, err := never.Await(ctx)
				for _, want := range c.is {
					assert.ErrorIs(t, err, want)
				}
				assert.ErrorIs(t, err, context.Cause(ctx))
				assert.NotErrorIs(t, err, c.isNot)
			})
		})
	}
}

func TestAwait_ASettledFutureWinsOverADoneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 { // select picks at random among the ready
		v, err := future.Resolved(7).Await(ctx)
		require.NoError(t, err)
		require.Equal(t, 7, v)
	}
}

func TestAwait_ANilContextIsAnError(t *testing.T) {
	var ctx context.Context
	_, err := future.Resolved(7).Await(ctx)
	assert.ErrorContains(t, err, "nil context")
}

func TestAwait_AllocatesNothing(t *testing.T) {
	const runs = 100
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := make(chan func(int))
	go func() {
		for resolve := range next {
			resolve(7)
		}
	}()
	defer close(next)

	var fs []*future.Future[int]
	var resolves []func(int)
	for range runs + 1 { // AllocsPerRun warms up once
		f, resolve, _ := future.WithResolvers[int]()
		fs, resolves = append(fs, f), append(resolves, resolve)
	}
	i := 0
	assert.Zero(t, testing.AllocsPerRun(runs, func() {
		next <- resolves[i]
		_, _ = fs[i].Await(ctx)
		i++
	}))
}

func TestDone_ClosesWhenTheFutureSettles(t *testing.T) {
	f, resolve, _ := future.WithResolvers[int]()
	select {
	case <-f.Done():
		t.Fatal("done before it settled")
	default:
	}
	done := f.Done()
	resolve(1)
	<-done
	<-f.Done()
}

func TestWithResolvers_TheFirstSettlementWins(t *testing.T) {
	late := errors.New("late")
	cases := []struct {
		name  string
		calls func(resolve func(int), reject func(error))
		value int
		err   error
	}{
		{"resolve, resolve", func(resolve func(int), _ func(error)) { resolve(1); resolve(2) }, 1, nil},
		{"resolve, reject", func(resolve func(int), reject func(error)) { resolve(1); reject(late) }, 1, nil},
		{"reject, resolve", func(resolve func(int), reject func(error)) { reject(errBoom); resolve(2) }, 0, errBoom},
		{"reject, reject", func(_ func(int), reject func(error)) { reject(errBoom); reject(late) }, 0, errBoom},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, resolve, reject := future.WithResolvers[int]()
			c.calls(resolve, reject)
			v, err := f.Await(t.Context())
			assert.Equal(t, c.value, v)
			assert.Equal(t, c.err, err)
		})
	}
}

func TestWithResolvers_ConcurrentSettlementsAgreeOnOne(t *testing.T) {
	for range 100 {
		f, resolve, reject := future.WithResolvers[int]()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { resolve(i + 1) })
			wg.Go(func() { reject(errBoom) })
		}
		v, err := f.Await(t.Context())
		wg.Wait()
		v2, err2 := f.Await(t.Context())
		require.Equal(t, v, v2)
		require.Equal(t, err, err2)
		require.NotEqual(t, v == 0, err == nil, "a value or an error, not both")
	}
}

func TestMisuse_RejectsWithAClearError(t *testing.T) {
	type f = *future.Future[int]
	ok := future.Resolved(1)
	one := func(int) (int, error) { return 1, nil }
	pendingRejectedWithNil := func() f {
		f, _, reject := future.WithResolvers[int]()
		reject(nil)
		return f
	}
	cases := []struct {
		name string
		got  f
		want string
	}{
		{"Go(nil)", future.Go[int](nil), "nil function"},
		{"Then(f, nil)", future.Then[int, int](ok, nil), "nil function"},
		{"Catch(nil)", ok.Catch(nil), "nil function"},
		{"Finally(nil)", ok.Finally(nil), "nil function"},
		{"Rejected(nil)", future.Rejected[int](nil), "nil error"},
		{"reject(nil)", pendingRejectedWithNil(), "nil error"},
		{"nil future", nil, "nil future"},
		{"zero Future", new(future.Future[int]), "nil future"},
		{"Then(nil, fn)", future.Then(nil, one), "nil future"},
		{"nil Finally", f(nil).Finally(func() {}), "nil future"},
		{"Race with a nil", future.Race(nil, ok), "nil future"},
		{"Any of nils", future.Any[int](nil, nil), "nil future"},
		{"Any()", future.Any[int](), "at least one"},
		{"Race()", future.Race[int](), "at least one"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			<-c.got.Done()
			_, err := c.got.Await(t.Context())
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestContinuations_SettleAsTheirFunctionDoes(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			t.Run("Then", func(t *testing.T) {
				requireOutcome(t, future.Then(future.Resolved("in"), func(in string) (int, error) {
					assert.Equal(t, "in", in)
					return e.fn()
				}), e)
			})
			t.Run("Catch", func(t *testing.T) {
				requireOutcome(t, future.Rejected[int](io.EOF).Catch(func(err error) (int, error) {
					assert.Equal(t, io.EOF, err)
					return e.fn()
				}), e)
			})
			t.Run("Finally keeps the outcome", func(t *testing.T) {
				ran := false
				requireOutcome(t, future.Go(e.fn).Finally(func() { ran = true }), e)
				assert.True(t, ran)
			})
		})
	}
}

func TestFinally_OnlyAPanicOrGoexitReplacesTheOutcome(t *testing.T) {
	for _, f := range []*future.Future[int]{future.Resolved(7), future.Rejected[int](errBoom)} {
		_, err := f.Finally(func() { panic("late") }).Await(t.Context())
		requirePanic(t, err, "late")
		_, err = f.Finally(runtime.Goexit).Await(t.Context())
		requirePanic(t, err, future.ErrGoexit)
	}
}

func TestContinuations_TheOtherOutcomePassesThroughUntouched(t *testing.T) {
	_, err := future.Then(future.Rejected[int](errBoom), func(int) (string, error) {
		t.Error("Then ran on a rejection")
		return "", nil
	}).Await(t.Context())
	assert.Same(t, errBoom, err)

	v, err := future.Resolved(7).Catch(func(error) (int, error) {
		t.Error("Catch ran on a value")
		return 0, nil
	}).Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 7, v)
}

func TestContinuations_NeverRunInsideTheCallThatStartsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		gate := make(chan struct{})
		note := func(s string) (int, error) { <-gate; order = append(order, s); return 0, nil }

		// Inline, either would wait for the gate for ever.
		then := future.Then(future.Resolved(7), func(int) (int, error) { return note("settled before") })
		f, resolve, _ := future.WithResolvers[int]()
		after := future.Then(f, func(int) (int, error) { <-then.Done(); return note("settled after") })
		resolve(7)
		order = append(order, "caller")
		close(gate)

		_, _ = after.Await(t.Context())
		assert.Equal(t, []string{"caller", "settled before", "settled after"}, order)
	})
}

func TestContinuations_ASlowOneDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, resolve, _ := future.WithResolvers[int]()
		slow := f.Finally(func() { time.Sleep(time.Hour) })
		var quick []*future.Future[int]
		for range 8 {
			quick = append(quick, f.Finally(func() {}))
		}
		start := time.Now()
		resolve(7)
		for _, q := range append(quick, f) {
			_, _ = q.Await(t.Context())
		}
		assert.Zero(t, time.Since(start))
		_, _ = slow.Await(t.Context())
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

func TestContinuations_ALongChainOfPassedOnRejectionsHolds(t *testing.T) {
	f, _, reject := future.WithResolvers[int]()
	last := f
	for range 100_000 {
		last = future.Then(last, func(v int) (int, error) { return v, nil })
	}
	reject(errBoom)
	_, err := last.Await(t.Context())
	assert.Same(t, errBoom, err)
}

func TestErrors_NameThePackage(t *testing.T) {
	_, err := future.Go[int](nil).Await(t.Context())
	assert.True(t, strings.HasPrefix(err.Error(), "future: "))
}

func TestFuture_ALongChainSettlesWithinASmallStack(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20)) // in bytes; beyond it the process ends
	type link = func(*future.Future[int]) *future.Future[int]
	never := func(int) (int, error) { panic("a rejection passes it by") }
	for name, x := range map[string]struct {
		links  int
		err    error
		extend link
	}{
		"Then, rejected": {50_000, errBoom, func(f *future.Future[int]) *future.Future[int] { return future.Then(f, never) }},
		"Catch, resolved": {50_000, nil, func(f *future.Future[int]) *future.Future[int] {
			return f.Catch(func(error) (int, error) { panic("no rejection") })
		}},
		"Race": {20_000, errBoom, func(f *future.Future[int]) *future.Future[int] { return future.Race(f) }},
		"Any":  {20_000, nil, func(f *future.Future[int]) *future.Future[int] { return future.Any(f) }},
	} {
		first, resolve, reject := future.WithResolvers[int]()
		last := first
		for range x.links {
			last = x.extend(last)
		}
		if x.err != nil {
			reject(x.err)
		} else {
			resolve(7)
		}

		v, err := last.Await(t.Context())
		if x.err != nil {
			assert.Same(t, x.err, err, name)
		} else {
			require.NoError(t, err, name)
			assert.Equal(t, 7, v, name)
		}
	}
}

func TestFuture_ManyContinuationsOfEachLinkAllSettle(t *testing.T) {
	first, resolve, _ := future.WithResolvers[int]()
	layer := []*future.Future[int]{first}
	var all []*future.Future[int]
	for range 8 {
		var next []*future.Future[int]
		for _, f := range layer {
			for range 3 {
				next = append(next, f.Catch(func(error) (int, error) { return 0, nil }))
			}
		}
		all = append(all, next...)
		layer = next
	}
	resolve(7)
	for _, f := range all {
		v, err := f.Await(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, v)
	}
}
