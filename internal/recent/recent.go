// Package recent keeps values for the keys that were used lately, such as origins, and forgets the
// others. So a program that calls more and more origins does not use more and more memory. The
// interceptors of package limit and package breaker share it.
package recent

import "sync"

// Map keeps the values of the keys that were used lately: at least of the last size different ones,
// and at most of twice as many. It is safe for concurrent use. Make one with [New].
//
// A key that is used is put among the young. When the young are too many, they become the old, and
// the keys that were old until then are forgotten.
type Map[K comparable, V any] struct {
	mu         sync.Mutex
	size       int
	create     func(K) V
	young, old map[K]V
}

// New returns a map that makes the value of a key, when the key is first used, by calling create.
// The map is locked while create runs.
func New[K comparable, V any](size int, create func(K) V) *Map[K, V] {
	return &Map[K, V]{size: size, create: create}
}

// Get returns the value of a key, which counts as a use of the key. For a key that is known it
// allocates nothing, unless the key comes from among the old.
func (m *Map[K, V]) Get(key K) V {
	m.mu.Lock()
	defer m.mu.Unlock()

	if v, found := m.young[key]; found {
		return v
	}
	v, found := m.old[key]
	if !found {
		v = m.create(key)
	}

	if len(m.young) >= m.size {
		m.old, m.young = m.young, nil
	}
	if m.young == nil {
		m.young = map[K]V{}
	}
	m.young[key] = v
	return v
}
