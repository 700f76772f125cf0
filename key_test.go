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
