//go:build js

package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
)

// state is what happens to a call at the moment. The style sheet has a colour for each.
type state string

const (
	queued   state = "queued"   // the call has begun, and nothing was sent
	sent     state = "sent"     // its first attempt is under way
	refused  state = "refused"  // an attempt got a 401
	waiting  state = "waiting"  // it waits for the refresh
	replayed state = "replayed" // a further attempt is under way
	done     state = "done"
	failed   state = "failed"
)

// board follows each call through the client, and has the view show it. It learns of the calls from
// three sides: from an interceptor at each end of the chains, and as the observer of the session's
// refreshes.
//
// The calls of a run are shown together, until the next run begins.
type board struct {
	view view
	key  *axle.Key[*call] // the call that a request belongs to

	mu      sync.Mutex
	began   time.Time // when the run began
	calls   []*call   // of the run, with its refreshes
	number  int       // of the last call, without the refreshes
	running int       // those of calls that have not ended
}

// call is one call of the run. The lock of the board guards it.
type call struct {
	row
	state     state
	began     time.Time
	attempts  int
	refused   bool // an attempt got a 401
	isRefresh bool // it is the request of a refresh, and no call of the page
}

// An observer gets contexts, and no requests. So the context of a request has its call, and that of a
// refresh is marked.
type (
	ofCall    struct{}
	ofRefresh struct{}
)

func newBoard(p page) *board {
	return &board{view: newView(p), key: axle.NewKey[*call]("call")}
}

// begin begins a run, unless calls of the last one are still on their way. Those are shown on.
func (b *board) begin(title string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running > 0 {
		return
	}
	b.began, b.calls, b.number = time.Now(), nil, 0
	b.view.clear(title)
	b.show()
}

// nearCaller is the interceptor that sees each call once, when it begins and when it ends.
func (b *board) nearCaller() axle.Plugin {
	return axle.OnRequest("calls", func(ctx context.Context, req *axle.Request) (*axle.Request, error) {
		// A replay passes here again, and has the values of the first attempt.
		c, known := b.key.Get(req)
		if !known {
			c = b.add(req, ctx.Value(ofRefresh{}) != nil)
			b.key.Set(req, c)
			req.OnEnd(func(_ *axle.Response, err *axle.Error) { b.end(c, err) })
		}
		return req.SetContext(context.WithValue(ctx, ofCall{}, c)), nil
	}, nil)
}

// nearNetwork is the interceptor that sees each attempt, also those that another interceptor repeats.
func (b *board) nearNetwork() axle.Plugin {
	sending := func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		if c, ok := b.key.Get(req); ok {
			b.send(c)
		}
		return req, nil
	}
	failing := func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		if c, ok := b.key.Get(err.Request); ok && err.StatusCode() == http.StatusUnauthorized {
			b.refuse(c)
		}
		return nil, err
	}

	return axle.PluginFunc(func(client *axle.Client) func() {
		eject := axle.OnRequest("attempts", sending, nil).Install(client)
		ejectToo := axle.OnResponse("attempts", nil, failing).Install(client)
		return func() { eject(); ejectToo() }
	})
}

func (b *board) add(req *axle.Request, isRefresh bool) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	c := &call{began: time.Now(), isRefresh: isRefresh}
	b.calls = append(b.calls, c)
	if !isRefresh {
		b.number++
	}
	c.row = b.view.newRow(b.number, method+" "+req.URL, isRefresh)
	b.running++
	b.enter(c, queued)
	return c
}

func (b *board) send(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.attempts++
	if c.attempts == 1 {
		b.enter(c, sent)
	} else {
		b.enter(c, replayed)
	}
}

func (b *board) refuse(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.refused = true
	b.enter(c, refused)
}

func (b *board) end(c *call, err *axle.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if err == nil {
		b.enter(c, done)
		c.explain("done in "+seconds(time.Since(c.began)), "")
		return
	}

	b.enter(c, failed)
	switch {
	case errors.Is(err, auth.ErrSessionChanged):
		c.explain("session ended", err.Error())
	case err.StatusCode() != 0:
		c.explain("status "+strconv.Itoa(err.StatusCode()), err.Error())
	default:
		c.explain(string(err.Code), err.Error())
	}
}

// Refresh implements auth.Observer.
func (b *board) Refresh(ctx context.Context) (own context.Context, done func(err error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	began := time.Now()
	b.view.refreshBegins()

	return context.WithValue(ctx, ofRefresh{}, true), func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.view.refreshEnds(time.Since(began), err)
	}
}

// Wait implements auth.Observer.
func (b *board) Wait(ctx context.Context) (done func(refresh context.Context, err error)) {
	if c, ok := ctx.Value(ofCall{}).(*call); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.enter(c, waiting)
	}

	// A wait ends with the next attempt of its call, or with the call.
	return func(context.Context, error) {}
}

// enter takes a call to its next state. The lock is held.
func (b *board) enter(c *call, next state) {
	c.state = next
	c.row.enter(next, time.Since(b.began))
	b.show()
}

// show brings the counts and the places of the calls up to date. The lock is held.
func (b *board) show() {
	s := summary{running: b.running, took: time.Since(b.began), states: map[state]int{}}
	for _, c := range b.calls {
		if c.state == sent || c.state == replayed {
			s.onNetwork++
		}
		if c.isRefresh {
			s.refreshes++
			continue
		}
		s.calls++
		s.states[c.state]++
		s.replays += max(0, c.attempts-1)
		if c.refused {
			s.refused++
		}
		if c.state == waiting && c.attempts == 0 {
			s.held++
		}
	}
	b.view.show(s)
}
