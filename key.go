package axle

import "slices"

// Key attaches typed values to a [Request] (axios: config._retry = true). The values survive copies
// and replays.
//
// A key's identity is its pointer: two keys of one name are two keys. Make it once, in a package
// variable or a struct. A Key is safe for concurrent use; a Request is not.
type Key[T any] struct {
	name string
}

// NewKey returns a new key. The name is for people.
func NewKey[T any](name string) *Key[T] { return &Key[T]{name: name} }

// Set attaches value to r. It replaces an earlier value of the key. Copies of r that exist already
// are not affected.
func (k *Key[T]) Set(r *Request, value T) { r.values = r.values.with(k, value) }

// Get returns the value attached to r, and whether there is one.
func (k *Key[T]) Get(r *Request) (value T, ok bool) {
	v, found := r.values.get(k)
	if !found {
		return value, false
	}

	// A nil that was set as an interface value is no T. The zero value stands for it.
	value, _ = v.(T)
	return value, true
}

// String returns the name.
func (k *Key[T]) String() string { return k.name }

// values are a Request's Key values. They are copied on write, so that copies of a Request share
// them. The first value is in the struct itself, since most requests have at most one.
type values struct {
	first value
	rest  []value
}

type value struct{ key, val any }

func (v values) get(key any) (any, bool) {
	if v.first.key == key {
		return v.first.val, true
	}
	for _, e := range v.rest {
		if e.key == key {
			return e.val, true
		}
	}
	return nil, false
}

func (v values) with(key, val any) values {
	if v.first.key == nil || v.first.key == key {
		v.first = value{key, val}
		return v
	}
	i := slices.IndexFunc(v.rest, func(e value) bool { return e.key == key })
	if i < 0 {
		v.rest = append(slices.Clip(v.rest), value{key, val})
		return v
	}
	v.rest = slices.Clone(v.rest)
	v.rest[i].val = val
	return v
}
