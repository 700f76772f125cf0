package recent_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/recent"
)

// counted returns a map that counts how often it has made the value of each key.
func counted(size int) (*recent.Map[int, *int], map[int]int) {
	made := map[int]int{}
	return recent.New(size, func(key int) *int {
		made[key]++
		return new(int)
	}), made
}

func TestRecent_AKeyKeepsItsValueWhileItIsUsed(t *testing.T) {
	m, made := counted(3)
	first := m.Get(0)
	for other := 1; other < 100; other++ {
		m.Get(other)
		assert.Same(t, first, m.Get(0))
	}
	assert.Equal(t, 1, made[0])
}

func TestRecent_TheLastKeysAreRememberedAndOlderOnesForgotten(t *testing.T) {
	const size = 10
	m, made := counted(size)
	for key := range 100 {
		m.Get(key)
	}
	for key := 99; key > 99-size; key-- {
		m.Get(key)
		assert.Equal(t, 1, made[key], "key %d is one of the last %d", key, size)
	}
	m.Get(79)
	assert.Equal(t, 2, made[79], "more than twice as many were used since")
}

func TestRecent_IsSafeForConcurrentUse(t *testing.T) {
	m, _ := counted(4)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for key := range 1000 {
				m.Get(key % 9)
			}
		})
	}
	wg.Wait()
}

func TestRecent_AKnownKeyAllocatesNothing(t *testing.T) {
	m, _ := counted(4)
	m.Get(1)
	assert.Zero(t, testing.AllocsPerRun(100, func() { m.Get(1) }))
}
