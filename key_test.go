package axle_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestKey_HoldsOneTypedValue(t *testing.T) {
	key := axle.NewKey[int]("n")
	r := new(axle.Request)
	value, ok := key.Get(r)
	assert.False(t, ok)
	assert.Zero(t, value)
	key.Set(r, 1)
	key.Set(r, 2)
	value, ok = key.Get(r)
	assert.True(t, ok)
	assert.Equal(t, 2, value)
}

func TestKey_ItsIdentityIsThePointerAndTheNameIsForPeople(t *testing.T) {
	a, b := axle.NewKey[string]("same"), axle.NewKey[string]("same")
	r := new(axle.Request)
	a.Set(r, "a")
	_, ok := b.Get(r)
	assert.False(t, ok)
	b.Set(r, "b")
	value, _ := a.Get(r)
	assert.Equal(t, "a", value)
	assert.Equal(t, "same", a.String())
}

func TestKey_ANilValueIsSet(t *testing.T) {
	key := axle.NewKey[error]("err")
	r := new(axle.Request)
	key.Set(r, nil)
	value, ok := key.Get(r)
	assert.True(t, ok)
	assert.NoError(t, value)
}

func TestKey_ManyKeysOnOneRequest(t *testing.T) {
	keys := make([]*axle.Key[int], 10)
	r := new(axle.Request)
	for i := range keys {
		keys[i] = axle.NewKey[int](fmt.Sprint(i))
		keys[i].Set(r, -1)
		keys[i].Set(r, i)
	}
	for i, key := range keys {
		value, ok := key.Get(r)
		assert.True(t, ok)
		assert.Equal(t, i, value)
	}
}

func TestKey_CopiesAreIndependent(t *testing.T) {
	a, b, c := axle.NewKey[int]("a"), axle.NewKey[int]("b"), axle.NewKey[int]("c")
	r := new(axle.Request)
	for _, key := range []*axle.Key[int]{a, b} {
		key.Set(r, 1)
	}
	clone := r.Clone()
	for _, key := range []*axle.Key[int]{a, b, c} {
		key.Set(clone, 2)
	}
	for _, key := range []*axle.Key[int]{a, b} {
		value, _ := key.Get(r)
		assert.Equal(t, 1, value)
		value, _ = key.Get(clone)
		assert.Equal(t, 2, value)
	}
	_, ok := c.Get(r)
	assert.False(t, ok)
}

func TestKey_WhatTheCallerSetHandlersSeeAndWhatTheySetTheCallerSees(t *testing.T) {
	fromCaller, fromHandler := axle.NewKey[string]("caller"), axle.NewKey[string]("handler")
	c, _ := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		value, _ := fromCaller.Get(req)
		fromHandler.Set(req, value+" seen")
		return req, nil
	}, nil)
	mine := c.R(t.Context()).With(func(r *axle.Request) { fromCaller.Set(r, "mine") })
	resp, err := mine.Get("/")
	require.NoError(t, err)
	value, _ := fromHandler.Get(resp.Request)
	assert.Equal(t, "mine seen", value)
	_, ok := fromHandler.Get(mine)
	assert.False(t, ok)
}

func TestKey_CopiesOfOneRequestMaySetAtTheSameTime(t *testing.T) {
	keys := []*axle.Key[int]{axle.NewKey[int]("a"), axle.NewKey[int]("b"), axle.NewKey[int]("c")}
	r := new(axle.Request)
	for _, key := range keys {
		key.Set(r, -1)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		clone := r.Clone()
		wg.Go(func() {
			for _, key := range keys {
				key.Set(clone, i)
				value, _ := key.Get(clone)
				assert.Equal(t, i, value)
			}
		})
	}
	wg.Wait()
}

func TestKey_DeleteRemovesTheValueOfTheRequestAndOfNoCopy(t *testing.T) {
	keys := make([]*axle.Key[int], 4)
	for removed := range keys {
		r := new(axle.Request)
		for i := range keys {
			keys[i] = axle.NewKey[int](fmt.Sprint(i))
			keys[i].Set(r, i)
		}
		clone := r.Clone()

		// Deleting twice is no fault, and neither is deleting what was never set.
		for range 2 {
			keys[removed].Delete(r)
			axle.NewKey[int]("another").Delete(r)
		}
		for i, key := range keys {
			value, ok := key.Get(r)
			assert.Equal(t, i != removed, ok, "%d without %d", i, removed)
			if ok {
				assert.Equal(t, i, value)
			}
			value, ok = key.Get(clone)
			assert.True(t, ok)
			assert.Equal(t, i, value, "a copy keeps what it had")
		}

		keys[removed].Set(r, 100)
		value, _ := keys[removed].Get(r)
		assert.Equal(t, 100, value, "a deleted value can be set again")
		keys[removed].Delete(r)
		_, ok := keys[removed].Get(r)
		assert.False(t, ok, "no older value comes back")
	}
}

func TestKey_DeleteOfEveryValueInAnyOrderLeavesNone(t *testing.T) {
	for first := range 3 {
		r := new(axle.Request)
		keys := []*axle.Key[int]{axle.NewKey[int]("a"), axle.NewKey[int]("b"), axle.NewKey[int]("c")}
		for i, key := range keys {
			key.Set(r, i)
		}
		for i := range keys {
			keys[(first+i)%3].Delete(r)
		}
		for _, key := range keys {
			_, ok := key.Get(r)
			assert.False(t, ok)
		}
	}
}

func TestKey_AReplayAndACloneDoNotBringADeletedValueBack(t *testing.T) {
	key := axle.NewKey[string]("once")
	c, _ := newFakeClient(inTurn(503, 200))
	var seen []bool
	useRequest(c, func(r *axle.Request) {
		_, ok := key.Get(r)
		seen = append(seen, ok)
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		key.Delete(err.Request)
		return err.Request.Replay()
	})
	_, err := c.Get(t.Context(), "/", func(r *axle.Request) { key.Set(r, "set") })
	require.NoError(t, err)
	assert.Equal(t, []bool{true, false}, seen)
}

func TestKeyDefault_IsWhatGetReturnsForEveryRequestThatDoesNotSetIt(t *testing.T) {
	tenant, other := axle.NewKey[string]("tenant"), axle.NewKey[string]("tenant")
	c, _ := newFakeClient(always(200, ""))
	tenant.SetDefault(c, "acme")
	seen := func(edits ...func(*axle.Request)) string {
		resp, err := c.Get(t.Context(), "/", edits...)
		require.NoError(t, err)
		value, ok := tenant.Get(resp.Request)
		assert.True(t, ok)
		return value
	}
	assert.Equal(t, "acme", seen())
	assert.Equal(t, "own", seen(func(r *axle.Request) { tenant.Set(r, "own") }))
	assert.Empty(t, seen(func(r *axle.Request) { tenant.Set(r, "") }), "a zero value is a value")
	assert.Equal(t, "acme", seen(func(r *axle.Request) { tenant.Set(r, "own"); tenant.Delete(r) }))

	value, ok := tenant.Get(c.R(t.Context()))
	assert.True(t, ok, "a request that is in no call yet has its client's")
	assert.Equal(t, "acme", value)
	_, ok = other.Get(c.R(t.Context()))
	assert.False(t, ok, "the identity of a key is its pointer")

	tenant.SetDefault(c, "later")
	assert.Equal(t, "later", seen(), "a later default replaces an earlier one")
	other.SetDefault(c, "other")
	assert.Equal(t, "later", seen(), "many keys have defaults")
}

func TestKeyDefault_ARequestHasItFromTheClientThatSendsIt(t *testing.T) {
	key := axle.NewKey[string]("k")
	a, _ := newFakeClient(always(200, ""))
	b, _ := newFakeClient(always(200, ""))
	key.SetDefault(a, "a")
	key.SetDefault(b, "b")

	resp, err := b.Do(a.R(t.Context()).SetURL("/"))
	require.NoError(t, err)
	value, _ := key.Get(resp.Request)
	assert.Equal(t, "b", value)

	_, ok := key.Get(new(axle.Request))
	assert.False(t, ok, "a request without a client has none")
}

func TestKeyDefault_ACloneHasItAndIsIndependentFromThenOn(t *testing.T) {
	key := axle.NewKey[int]("k")
	c, _ := newFakeClient(always(200, ""))
	key.SetDefault(c, 1)
	clone := c.Clone()
	key.SetDefault(clone, 2)
	later := axle.NewKey[int]("later")
	later.SetDefault(c, 3)

	value, _ := key.Get(c.R(t.Context()))
	assert.Equal(t, 1, value)
	value, _ = key.Get(clone.R(t.Context()))
	assert.Equal(t, 2, value)
	_, ok := later.Get(clone.R(t.Context()))
	assert.False(t, ok)
}

func TestKeyDefault_ACallKeepsTheOneItStartedWith(t *testing.T) {
	key := axle.NewKey[int]("k")
	c, _ := newFakeClient(inTurn(503, 200))
	key.SetDefault(c, 1)
	var seen []int
	useRequest(c, func(r *axle.Request) {
		value, _ := key.Get(r)
		key.SetDefault(c, value+10)
		again, _ := key.Get(r)
		seen = append(seen, value, again)
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 1, 1, 1}, seen, "also in a replay")
	value, _ := key.Get(resp.Request)
	assert.Equal(t, 1, value)
}

func TestKeyDefault_MayBeSetWhileCallsRun(t *testing.T) {
	key := axle.NewKey[int]("k")
	c, _ := newFakeClient(always(200, ""))
	key.SetDefault(c, 0)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			key.SetDefault(c, i)
			resp, err := c.Get(t.Context(), "/")
			if assert.NoError(t, err) {
				_, ok := key.Get(resp.Request)
				assert.True(t, ok)
			}
		})
	}
	wg.Wait()
}

func TestKeyDefault_CostsNoAllocation(t *testing.T) {
	key, unset := axle.NewKey[string]("k"), axle.NewKey[string]("unset")
	c, _ := newFakeClient(always(200, ""))
	key.SetDefault(c, "a default")
	r := c.R(t.Context())
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = key.Get(r)
		_, _ = unset.Get(r)
		_ = r.Operation()
	}))
}
