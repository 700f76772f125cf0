package future_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/axlehttp/axle/future"
)

func TestShared_TheZeroValueIsReadyAndIdle(t *testing.T) {
	var s future.Shared[int]
	assert.Nil(t, s.InFlight())
	s.Forget()
	f, joined := s.Join(func() (int, error) { return 7, nil })
	assert.False(t, joined)
	v, err := f.Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 7, v)
}

func TestShared_TenThousandCallersShareOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 10_000
		var s future.Shared[int]
		var runs, starters atomic.Int64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				f, joined := s.Join(func() (int, error) {
					runs.Add(1)
					time.Sleep(time.Second)
					return 7, nil
				})
				if !joined {
					starters.Add(1)
				}
				v, err := f.Await(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, 7, v)
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, runs.Load())
		assert.EqualValues(t, 1, starters.Load())
	})
}

// R3: with the slot emptied on success alone, one failure would fail every later Join without a try. R19: with it
// emptied after fn returns, a panic would.
func TestShared_R3_R19_TheSlotEmptiesHoweverFnEnds(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			var s future.Shared[int]
			for range 3 {
				f, joined := s.Join(e.fn)
				require.False(t, joined, "a later Join starts anew")
				requireOutcome(t, f, e)
				require.Nil(t, s.InFlight())
			}
		})
	}
}

func TestShared_R3_TheSlotIsEmptyBeforeAnyWaiterWakes(t *testing.T) {
	for range 500 {
		var s future.Shared[int]
		gate := make(chan struct{})
		f, _ := s.Join(func() (int, error) { <-gate; return 7, nil })
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				<-f.Done()
				assert.Nil(t, s.InFlight(), "a waiter woke before the slot was empty")
			})
		}
		then := f.Finally(func() { assert.Nil(t, s.InFlight(), "a continuation ran before the slot was empty") })
		close(gate)
		wg.Wait()
		<-then.Done()
	}
}

func TestShared_R4_OnlyTheOwnerEmptiesTheSlot(t *testing.T) {
	var s future.Shared[int]
	oldGate, newGate := make(chan struct{}), make(chan struct{})
	older, _ := s.Join(func() (int, error) { <-oldGate; return 1, nil })
	s.Forget()
	assert.Nil(t, s.InFlight())
	newer, joined := s.Join(func() (int, error) { <-newGate; return 2, nil })
	require.False(t, joined)
	require.NotSame(t, older, newer)

	close(oldGate)
	v, err := older.Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, v, "the forgotten one settles for those who hold it")
	assert.Same(t, newer, s.InFlight(), "the forgotten one wiped the newer")

	close(newGate)
	v, err = newer.Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, v)
	assert.Nil(t, s.InFlight())
}

func TestShared_R20_ACallerThatLeavesCancelsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s future.Shared[int]
		f, _ := s.Join(func() (int, error) { time.Sleep(time.Second); return 7, nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := f.Await(ctx)
		require.ErrorIs(t, err, context.Canceled)

		assert.Same(t, f, s.InFlight())
		second, joined := s.Join(func() (int, error) { t.Error("started twice"); return 0, nil })
		require.True(t, joined)
		v, err := second.Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 7, v)
	})
}

// P1: axios-auth-refresh failed the second of two concurrent callers, and a throw left it paused for ever.
func TestShared_P1_AWaiterThatRetriesStartsOneNewRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s future.Shared[int]
		var runs atomic.Int64
		fn := func() (int, error) {
			time.Sleep(time.Second)
			if runs.Add(1) == 1 {
				panic("first try")
			}
			return 7, nil
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				f, _ := s.Join(fn)
				_, err := f.Await(t.Context())
				requirePanic(t, err, "first try")
				f, _ = s.Join(fn)
				v, err := f.Await(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, 7, v)
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, runs.Load())
	})
}

func TestShared_FnRunsOutsideTheLock(t *testing.T) {
	var s future.Shared[int]
	gate := make(chan struct{})
	var own, joinedOwn *future.Future[int]
	f, _ := s.Join(func() (int, error) {
		<-gate
		own = s.InFlight()
		joinedOwn, _ = s.Join(func() (int, error) { return 0, nil })
		s.Forget()
		return 7, nil
	})
	close(gate)
	_, err := f.Await(t.Context())
	require.NoError(t, err)
	assert.Same(t, f, own)
	assert.Same(t, f, joinedOwn)
}

func TestShared_ANilFunctionRejectsAndLeavesTheSlotAlone(t *testing.T) {
	var s future.Shared[int]
	for _, busy := range []bool{false, true} {
		var inFlight *future.Future[int]
		gate := make(chan struct{})
		if busy {
			inFlight, _ = s.Join(func() (int, error) { <-gate; return 7, nil })
		}
		f, joined := s.Join(nil)
		assert.False(t, joined)
		_, err := f.Await(t.Context())
		assert.ErrorContains(t, err, "nil function")
		assert.Same(t, inFlight, s.InFlight())
		close(gate)
	}
}

// Any sequence of Join, Forget and ends of runs, against a model of one variable.
func TestShared_HoldsAtMostTheLatestUnsettledFuture(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		type work struct {
			f   *future.Future[int]
			end chan error
		}
		var s future.Shared[int]
		var running []work
		var slot *future.Future[int]
		end := func(i int, err error) {
			w := running[i]
			running = append(running[:i:i], running[i+1:]...)
			w.end <- err
			_, got := w.f.Await(ctx)
			assert.Equal(t, err, got)
			if slot == w.f {
				slot = nil
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				w := work{end: make(chan error, 1)}
				f, joined := s.Join(func() (int, error) { return 0, <-w.end })
				assert.Equal(t, slot != nil, joined)
				if joined {
					assert.Same(t, slot, f)
					return
				}
				w.f, slot = f, f
				running = append(running, w)
			},
			"forget": func(*rapid.T) { s.Forget(); slot = nil },
			"end": func(t *rapid.T) {
				if len(running) == 0 {
					t.Skip("nothing runs")
				}
				end(rapid.IntRange(0, len(running)-1).Draw(t, "which"), rapid.SampledFrom([]error{nil, errBoom}).Draw(t, "how"))
			},
			"": func(t *rapid.T) { assert.Equal(t, slot, s.InFlight()) },
		})
		for len(running) > 0 {
			end(0, nil)
		}
	})
}
