package axle

import (
	"cmp"
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Interceptors holds a client's two chains.
type Interceptors struct {
	Request  *Chain[*Request]
	Response *Chain[*Response]
}

// InterceptorID names one link of one chain, and of the clones of its client. It is comparable and
// never reused. The zero value is no interceptor's.
type InterceptorID struct{ n uint64 }

var lastID atomic.Uint64

// Order is the order in which the request chain runs.
type Order int

// The orders. The response chain is always first in, first out.
const (
	LIFO Order = iota // the last added runs first, as in axios
	FIFO              // the first added runs first
)

// Chain is an ordered list of handler pairs. It is safe for concurrent use, also by handlers. A
// change affects the calls that start after it. It neither blocks a call nor waits for one.
type Chain[T interface{ *Request | *Response }] struct {
	mu       sync.Mutex // orders the writers; readers load the snapshot
	snapshot atomic.Pointer[links[T]]
}

// links is one state of a chain; it is never modified.
type links[T any] struct {
	order       Order
	list        []link[T] // in running order
	conditional bool      // some link has a RunWhen
}

type link[T any] struct {
	useOptions
	id        InterceptorID
	fulfilled func(context.Context, T) (T, error)
	rejected  func(context.Context, *Error) (T, error)
}

type useOptions struct {
	name   string
	when   func(*Request) bool
	places []place
}

// place is what Before or After asks for: to run next to the interceptors that have the name anchor.
type place struct {
	anchor string
	after  bool
}

// UseOption is an option of [Chain.Use].
type UseOption func(*useOptions)

// Named gives an interceptor the name that errors, logs and [Chain.String] show. Without one they
// show the file and the line that added it.
func Named(name string) UseOption { return func(o *useOptions) { o.name = name } }

// RunWhen makes an interceptor part of only those calls for which cond returns true (axios's
// runWhen, for both chains). cond is called once, at the start of the call, with the merged
// request, which it must not modify. A nil cond stands for every call.
func RunWhen(cond func(*Request) bool) UseOption { return func(o *useOptions) { o.when = cond } }

// Before makes an interceptor run directly before the one of that name, which another package may
// have installed. "Before" is meant in running order, in both chains and in each [Order]. If several
// interceptors have the name, the new one runs before all of them. If none has it, Before is as if
// it were not given.
//
// The place is chosen when Use is called. To eject the interceptor of that name later, or to add
// another one, moves nothing. Only [Client.SetInterceptorOrder] with another order chooses all
// places anew, as if the interceptors were added again in the order in which they were added.
//
// Of several Before and After options of one interceptor, the first whose name is in the chain
// decides.
func Before(name string) UseOption { return placed(place{anchor: name}) }

// After makes an interceptor run directly after the one of that name; if several have it, after all
// of them. For everything else see [Before].
func After(name string) UseOption { return placed(place{anchor: name, after: true}) }

func placed(p place) UseOption { return func(o *useOptions) { o.places = append(o.places, p) } }

// Use adds a pair of handlers and returns its id. A nil handler passes its value or error on
// unchanged. The pair runs as the last of its chain, or as the first in the request chain of [LIFO],
// unless [Before] or [After] gives it another place.
//
// Both handlers get the context of the request that they are given. The result of a handler is the
// input of the next pair: a value goes to the pair's fulfilled handler, an error to its rejected
// handler. If a handler returns both, the error wins. If it returns neither, the call fails with
// [ErrNoResult]. Handlers run on the caller's goroutine, and those of several calls run at the same
// time.
func (c *Chain[T]) Use(
	fulfilled func(ctx context.Context, value T) (T, error),
	rejected func(ctx context.Context, err *Error) (T, error),
	opts ...UseOption,
) InterceptorID {
	l := link[T]{fulfilled: fulfilled, rejected: rejected}
	for _, opt := range opts {
		if opt != nil {
			opt(&l.useOptions)
		}
	}

	if l.name == "" {
		l.name = callSite()
	}

	c.update(func(s *links[T]) {
		// The ids of one chain grow in the order in which its interceptors were added.
		l.id = InterceptorID{lastID.Add(1)}
		s.add(l)
	})
	return l.id
}

// callSite returns the file and the line that called its caller.
func callSite() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "unnamed"
	}
	return filepath.Base(file) + ":" + strconv.Itoa(line)
}

// Eject removes a pair and reports whether it was there. Calls in flight keep it.
func (c *Chain[T]) Eject(id InterceptorID) bool {
	found := false
	c.update(func(s *links[T]) {
		list := slices.DeleteFunc(slices.Clone(s.list), func(l link[T]) bool { return l.id == id })
		found = len(list) < len(s.list)
		s.list = list
	})
	return found
}

// Clear removes every pair. Calls in flight keep them.
func (c *Chain[T]) Clear() { c.update(func(s *links[T]) { s.list = nil }) }

// Len returns the number of pairs.
func (c *Chain[T]) Len() int { return len(c.load().list) }

// String returns the names of the pairs in the order in which they will run, as "a -> b -> c".
func (c *Chain[T]) String() string {
	var names []string
	for _, l := range c.load().list {
		names = append(names, l.name)
	}
	return strings.Join(names, " -> ")
}

// load returns the chain as it stands. It takes no lock.
func (c *Chain[T]) load() *links[T] {
	if s := c.snapshot.Load(); s != nil {
		return s
	}
	return &links[T]{}
}

// update publishes a changed copy of the chain. The change must leave the old list's elements
// alone.
func (c *Chain[T]) update(change func(*links[T])) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.load()
	change(&next)
	next.conditional = slices.ContainsFunc(next.list, func(l link[T]) bool { return l.when != nil })
	c.snapshot.Store(&next)
}

func (c *Chain[T]) setOrder(order Order) {
	c.update(func(s *links[T]) {
		if s.order == order {
			return
		}

		// All are added again. In a reversed list, an interceptor that Before has placed would run
		// after the one that it was placed before.
		added := slices.SortedFunc(slices.Values(s.list), func(a, b link[T]) int {
			return cmp.Compare(a.id.n, b.id.n)
		})
		s.order, s.list = order, nil
		for _, l := range added {
			s.add(l)
		}
	})
}

func newChain[T interface{ *Request | *Response }](order Order) *Chain[T] {
	c := new(Chain[T])
	c.snapshot.Store(&links[T]{order: order})
	return c
}

// clone returns an independent chain of the same links.
func (c *Chain[T]) clone() *Chain[T] {
	d := new(Chain[T])
	d.snapshot.Store(c.load())
	return d
}

// add inserts l at its place in a copy of the list.
func (s *links[T]) add(l link[T]) {
	at := s.placeOf(l)
	s.list = slices.Concat(s.list[:at], []link[T]{l}, s.list[at:])
}

// placeOf returns the index at which l has to be inserted.
func (s *links[T]) placeOf(l link[T]) int {
	for _, p := range l.places {
		first, end := -1, -1
		for i := range s.list {
			if s.list[i].name != p.anchor {
				continue
			}
			if first < 0 {
				first = i
			}
			end = i + 1
		}

		switch {
		case first < 0:
			continue
		case p.after:
			return end
		}
		return first
	}

	if s.order == LIFO {
		return 0
	}
	return len(s.list)
}

// running returns the links that take part in the call of this request.
func (s *links[T]) running(req *Request) []link[T] {
	if !s.conditional {
		return s.list
	}
	list := make([]link[T], 0, len(s.list))
	for _, l := range s.list {
		if l.when == nil || l.when(req) {
			list = append(list, l)
		}
	}
	return list
}
