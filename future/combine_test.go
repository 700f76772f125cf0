package future_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/axlehttp/axle/future"
)

// after settles once d has passed: rejected with err, or resolved with v if err is nil.
func after(d time.Duration, v int, err error) *future.Future[int] {
	f, resolve, reject := future.WithResolvers[int]()
	time.AfterFunc(d, func() {
		if err != nil {
			reject(err)
			return
		}
		resolve(v)
	})
	return f
}

func TestAll_ResolvesInTheOrderOfItsArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		vs, err := future.All(after(3*time.Second, 1, nil), after(time.Second, 2, nil), future.Resolved(3)).Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{1, 2, 3}, vs)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestAll_RejectsAsSoonAsOneDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		vs, err := future.All(after(time.Hour, 1, nil), after(time.Second, 0, errBoom), after(2*time.Second, 0, io.EOF)).Await(t.Context())
		assert.Same(t, errBoom, err)
		assert.Nil(t, vs)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestAll_OfNoneResolvesEmpty(t *testing.T) {
	vs, err := future.All[int]().Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{}, vs)

	outcomes, err := future.AllSettled[int]().Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []future.Settled[int]{}, outcomes)
}

func TestAllSettled_WaitsForEveryOutcomeAndNeverRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		outcomes, err := future.AllSettled(after(time.Second, 0, errBoom), after(time.Hour, 2, nil), future.Resolved(3), nil).Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, time.Hour, time.Since(start))
		require.Len(t, outcomes, 4)
		assert.Equal(t, []future.Settled[int]{{Err: errBoom}, {Value: 2}, {Value: 3}}, outcomes[:3])
		assert.ErrorContains(t, outcomes[3].Err, "nil future")
	})
}

func TestAny_ResolvesWithTheFirstValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		v, err := future.Any(after(time.Second, 0, errBoom), after(time.Hour, 1, nil), after(2*time.Second, 2, nil), nil).Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, v)
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestAny_AllRejectedReachesEachError(t *testing.T) {
	_, err := future.Any(
		future.Rejected[int](errBoom),
		future.Rejected[int](fmt.Errorf("wrapped: %w", &fs.PathError{Op: "open", Path: "x", Err: io.EOF})),
		future.Go(func() (int, error) { panic("third") }),
	).Await(t.Context())
	assert.ErrorIs(t, err, errBoom)
	assert.ErrorIs(t, err, io.EOF)
	_, ok := errors.AsType[*fs.PathError](err)
	assert.True(t, ok)
	requirePanic(t, err, "third")
}

func TestRace_SettlesAsTheFirstDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := future.Race(after(2*time.Second, 0, errBoom), after(time.Second, 1, nil)).Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, v)

		_, err = future.Race(after(time.Second, 0, errBoom), after(2*time.Second, 1, nil)).Await(t.Context())
		assert.Same(t, errBoom, err)
	})
}

func TestAnyAndRace_OfNoneRejectWithErrEmpty(t *testing.T) {
	for _, f := range []*future.Future[int]{future.Any[int](), future.Race[int]()} {
		_, err := f.Await(t.Context())
		assert.ErrorIs(t, err, future.ErrEmpty)
	}
}

func TestCombinators_TheArgumentsMayBeReusedAfterTheCall(t *testing.T) {
	f, resolve, _ := future.WithResolvers[int]()
	args := []*future.Future[int]{f, f}
	all := future.All(args...)
	clear(args)
	resolve(7)
	vs, err := all.Await(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{7, 7}, vs)
}

// A goroutine parked for the member that never settles would still be there when the bubble ends, and fail it.
func TestCombinators_ANeverSettlingMemberLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never, _, _ := future.WithResolvers[int]()
		ok, bad := future.Resolved(1), future.Rejected[int](errBoom)
		_ = future.All(never, ok)
		_ = future.All(never, bad)
		_ = future.AllSettled(never, ok)
		_ = future.Any(never, bad)
		_ = future.Any(never, ok)
		_ = future.Race(never, ok)
		_ = future.Race(never)
		_ = future.Then(never, func(int) (int, error) { return 0, nil })
		_ = never.Catch(func(error) (int, error) { return 0, nil }).Finally(func() {})
	})
}

// JavaScript's Promise.race leaks here: each race stays in the callback list of the promise that never settles.
func TestCombinators_ANeverSettlingMemberRemembersNoFinishedOne(t *testing.T) {
	never, resolve, _ := future.WithResolvers[int]()
	settledByAnother := func() (race, first weak.Pointer[future.Future[int]]) {
		f, settle, _ := future.WithResolvers[int]()
		r, a := future.Race(never, f), future.Any(f, never)
		settle(1)
		<-r.Done()
		<-a.Done()
		return weak.Make(r), weak.Make(a)
	}
	race, first := settledByAnother()
	runtime.GC()
	assert.Nil(t, race.Value())
	assert.Nil(t, first.Value())
	resolve(0) // never was alive all along
}

// Settle some futures in some order and compare with the sentence that defines each combinator.
func TestCombinators_FollowTheirDefinitionInAnyOrder(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		type outcome = future.Settled[int]
		outcomes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) outcome {
			if rapid.Bool().Draw(t, "resolves") {
				return outcome{Value: rapid.Int().Draw(t, "value")}
			}
			return outcome{Err: errors.New(rapid.StringN(1, 5, -1).Draw(t, "error"))}
		}), 1, 6).Draw(t, "outcomes")
		n := len(outcomes)
		order := rapid.Permutation(indexes(n)).Draw(t, "order")
		early := rapid.IntRange(0, n).Draw(t, "settled before the call")
		count := rapid.IntRange(early, n).Draw(t, "settled in the end")

		members, settle := make([]*future.Future[int], n), make([]func(), n)
		for i, o := range outcomes {
			f, resolve, reject := future.WithResolvers[int]()
			members[i], settle[i] = f, func() { resolve(o.Value) }
			if o.Err != nil {
				settle[i] = func() { reject(o.Err) }
			}
		}
		// Those settled before the call count in the order of the arguments.
		seen := make([]int, 0, n)
		for _, i := range order[:early] {
			settle[i]()
		}
		for i := range n {
			for _, j := range order[:early] {
				if i == j {
					seen = append(seen, i)
				}
			}
		}
		race, all := future.Race(members...), future.All(members...)
		first, every := future.Any(members...), future.AllSettled(members...)
		for _, i := range order[early:count] {
			settle[i]()
			seen = append(seen, i)
		}

		firstValue, firstError, values := -1, -1, make([]int, n)
		for _, i := range seen {
			values[i] = outcomes[i].Value
			if outcomes[i].Err == nil && firstValue < 0 {
				firstValue = i
			}
			if outcomes[i].Err != nil && firstError < 0 {
				firstError = i
			}
		}

		if isDone(t, "Race", race.Done(), len(seen) > 0) {
			v, err := race.Await(ctx)
			got := outcome{Value: v, Err: err}
			assert.Equal(t, outcomes[seen[0]], got)
		}
		if isDone(t, "All", all.Done(), firstError >= 0 || len(seen) == n) {
			vs, err := all.Await(ctx)
			if firstError >= 0 {
				assert.Same(t, outcomes[firstError].Err, err)
			} else {
				assert.NoError(t, err)
				assert.Equal(t, values, vs)
			}
		}
		if isDone(t, "Any", first.Done(), firstValue >= 0 || len(seen) == n) {
			v, err := first.Await(ctx)
			if firstValue >= 0 {
				assert.NoError(t, err)
				assert.Equal(t, outcomes[firstValue].Value, v)
			} else {
				for _, o := range outcomes {
					assert.ErrorIs(t, err, o.Err)
				}
			}
		}
		if isDone(t, "AllSettled", every.Done(), len(seen) == n) {
			got, err := every.Await(ctx)
			assert.NoError(t, err)
			assert.Equal(t, outcomes, got)
		}
	})
}

func isDone(t *rapid.T, what string, done <-chan struct{}, want bool) bool {
	got := false
	select {
	case <-done:
		got = true
	default:
	}
	assert.Equal(t, want, got, "%s settled", what)
	return got && want
}

func indexes(n int) []int {
	is := make([]int, n)
	for i := range is {
		is[i] = i
	}
	return is
}
