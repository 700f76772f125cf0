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

// Get returns the value attached to r, or else the default that the client of r has by
// [Key.SetDefault], and whether there is either.
func (k *Key[T]) Get(r *Request) (value T, ok bool) {
	v, found := r.values.get(k)
	if s := r.settings(); !found && s != nil {
		v, found = s.keyDefaults.get(k)
	}
	if !found {
		return value, false
	}

	// A nil that was set as an interface value is no T. The zero value stands for it.
	value, _ = v.(T)
	return value, true
}

// Delete removes the value attached to r, so that Get returns the client's default, if there is
// one. Copies of r that exist already are not affected.
func (k *Key[T]) Delete(r *Request) { r.values = r.values.without(k) }

// SetDefault sets what Get returns for every request of c that has no value of its own. It is a
// setting of c, as [Client.SetHeader] sets one: calls that have started keep the default that they
// started with, and a clone of c made later has it too. It may be called at any time.
func (k *Key[T]) SetDefault(c *Client, value T) {
	c.update(func(s *settings) { s.keyDefaults = s.keyDefaults.with(k, value) })
}

// String returns the name.
func (k *Key[T]) String() string { return k.name }

// values are a Request's Key values, or a client's defaults of them. They are copied on write, so
// that copies of a Request share them. The first value is in the struct itself, since most requests
// have at most one. Without a first value there is no value at all.
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

func (v values) without(key any) values {
	if v.first.key == key {
		v.first = value{}
		if len(v.rest) > 0 {
			v.first, v.rest = v.rest[0], v.rest[1:]
		}
		return v
	}
	if i := slices.IndexFunc(v.rest, func(e value) bool { return e.key == key }); i >= 0 {
		v.rest = slices.Delete(slices.Clone(v.rest), i, i+1)
	}
	return v
}
