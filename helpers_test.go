package axle_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/axletest"
)

// Short names for the helpers that several test packages share.
type (
	countingReader = axletest.CountingReader
	endless        = axletest.Endless
	endlessBody    = axletest.EndlessBody
	failingReader  = axletest.FailingReader
	fakeTransport  = axletest.FakeTransport
	roundTripFunc  = axletest.RoundTripFunc
	watchedBodies  = axletest.WatchedBodies
	watchedBody    = axletest.WatchedBody
)

var (
	errBoom         = axletest.ErrBoom
	newClient       = axletest.NewClient
	newFakeClient   = axletest.NewFakeClient
	newLoopback     = axletest.NewLoopback
	newRequest      = axletest.NewRequest
	newWatchedBody  = axletest.NewWatchedBody
	reply           = axletest.Reply
	replyWith       = axletest.ReplyWith
	always          = axletest.Always
	hang            = axletest.Hang
	unreachable     = axletest.Unreachable
	opaque          = axletest.Opaque
	useRequest      = axletest.UseRequest
	useFulfilled    = axletest.UseFulfilled
	useRejected     = axletest.UseRejected
	passThroughPair = axletest.UsePassThroughPair
	asAxle          = axletest.AsAxle
)

// inTurn answers the nth request with the nth status, and further ones with the last. The body is "n", n times.
func inTurn(statuses ...int) func(*http.Request) (*http.Response, error) {
	var n atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		i := int(n.Add(1))
		return reply(r, statuses[min(i, len(statuses))-1], strings.Repeat("n", i)), nil
	}
}

// callTrace records what ran, in order.
type callTrace struct {
	mu    sync.Mutex
	steps []string
}

func (l *callTrace) add(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, step)
}

func (l *callTrace) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := l.steps
	l.steps = nil
	return steps
}

// onRequest adds a pass-through pair to the request chain that records "name" or "name!" (rejected).
func (l *callTrace) onRequest(c *axle.Client, name string, opts ...axle.UseOption) axle.InterceptorID {
	return c.Interceptors.Request.Use(
		func(_ context.Context, req *axle.Request) (*axle.Request, error) { l.add(name); return req, nil },
		func(_ context.Context, err *axle.Error) (*axle.Request, error) { l.add(name + "!"); return nil, err },
		append(opts, axle.Named(name))...)
}

// onResponse does the same in the response chain.
func (l *callTrace) onResponse(c *axle.Client, name string, opts ...axle.UseOption) axle.InterceptorID {
	return c.Interceptors.Response.Use(
		func(_ context.Context, resp *axle.Response) (*axle.Response, error) { l.add(name); return resp, nil },
		func(_ context.Context, err *axle.Error) (*axle.Response, error) { l.add(name + "!"); return nil, err },
		append(opts, axle.Named(name))...)
}
