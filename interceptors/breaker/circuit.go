package breaker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/axlehttp/axle"
)

// State is the state of a circuit.
type State string

// The states.
const (
	Closed   State = "closed"    // every call goes through
	Open     State = "open"      // no call goes through
	HalfOpen State = "half-open" // the probes go through, and no other call
)

// Change is a change of a circuit's state. See [OnChange].
type Change struct {
	Origin   string // whose circuit it is
	From, To State
	Until    time.Time // when the first probe may go out, if To is Open
}

// OpenError is the cause of the [axle.Error] of a call that was refused, and not sent. The code of
// that error is [axle.CodeInterceptor].
type OpenError struct {
	Origin string    // whose circuit is not closed
	Until  time.Time // no call goes through before, unless a probe succeeds
}

// Error says for which origin no call goes through, and until when.
func (e *OpenError) Error() string {
	return fmt.Sprintf("breaker: %s has failed, and gets no request until %s",
		e.Origin, e.Until.Format(time.RFC3339))
}

// circuit is the circuit of one origin. gobreaker counts and decides. The circuit adds what
// gobreaker does not tell: when an open circuit ends, and which probes are in flight.
type circuit struct {
	origin    string
	openFor   time.Duration
	observers []func(Change)
	states    *gobreaker.TwoStepCircuitBreaker[struct{}]

	// gobreaker calls stateChanged while it holds its own lock. So gobreaker is not called while mu
	// is held.
	mu      sync.Mutex
	until   time.Time    // the end of the latest time that the circuit is open
	probes  []*admission // in flight, the oldest first
	changes []Change     // not told yet
}

func (i *Interceptor) newCircuit(origin string) *circuit {
	c := &circuit{origin: origin, openFor: i.openFor, observers: i.observers}
	s := i.settings
	s.OnStateChange = c.stateChanged
	s.IsExcluded = func(outcome error) bool { return errors.Is(outcome, errNeither) }

	// gobreaker stays open for a moment longer than it is told. Without that moment, a call at the
	// very time that OpenError says goes through.
	s.Timeout = max(i.openFor-1, 1)
	c.states = gobreaker.NewTwoStepCircuitBreaker[struct{}](s)
	return c
}

// stateChanged is called by gobreaker.
func (c *circuit) stateChanged(_ string, from, to gobreaker.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change := Change{Origin: c.origin, From: stateOf(from), To: stateOf(to)}
	if to == gobreaker.StateOpen {
		c.until = time.Now().Add(c.openFor)
		change.Until = c.until
	}
	c.probes = nil
	if len(c.observers) > 0 {
		c.changes = append(c.changes, change)
	}
}

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	}
	return Closed
}

// tell tells of the changes of state. gobreaker's lock is free by now, so that the function may use
// the breaker.
func (c *circuit) tell() {
	if len(c.observers) == 0 {
		return
	}
	c.mu.Lock()
	changes := c.changes
	c.changes = nil
	c.mu.Unlock()

	for _, change := range changes {
		for _, fn := range c.observers {
			fn(change)
		}
	}
}

// admit lets an attempt through, or returns why it may not go.
func (c *circuit) admit(i *Interceptor, r *axle.Request) *OpenError {
	defer c.tell()

	// A replay belongs to the call that was admitted. The request that a handler sends by Do has the
	// values of the outer call's, and is a call of its own, whose first attempt is to come.
	isNewCall := r.Attempt() == 0
	if a, _ := i.admissions.Get(r); a != nil && a.circuit == c && !isNewCall && a.goOn(r.Attempt()) {
		state := c.states.State()
		if state == gobreaker.StateClosed || state == gobreaker.StateHalfOpen && a.isProbe {
			return nil
		}
		return c.refusal()
	}

	a := &admission{circuit: c, outcome: errNeither, attempts: r.Attempt()}
	for {
		report, err := c.states.Allow()
		if err == nil {
			a.report = report
			break
		}
		if !c.freeProbe() {
			return c.refusal()
		}
	}
	if c.states.State() == gobreaker.StateHalfOpen {
		c.addProbe(a)
	}
	i.admissions.Set(r, a)
	r.OnEnd(func(*axle.Response, *axle.Error) { a.settle() })
	return nil
}

func (c *circuit) addProbe(a *admission) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.isProbe, a.start = true, time.Now()
	c.probes = append(c.probes, a)
}

func (c *circuit) removeProbe(a *admission) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes = slices.DeleteFunc(c.probes, func(other *admission) bool { return other == a })
}

// freeProbe takes the oldest probe's slot for another one, if that probe takes longer than the
// circuit is open. Otherwise a probe that hangs would keep the circuit half open for ever.
func (c *circuit) freeProbe() bool {
	c.mu.Lock()
	var late *admission
	if len(c.probes) > 0 && time.Since(c.probes[0].start) >= c.openFor {
		late, c.probes = c.probes[0], c.probes[1:]
	}
	c.mu.Unlock()

	if late == nil {
		return false
	}
	late.leaveSlot()
	return true
}

// refusal returns the error of an attempt that may not go.
func (c *circuit) refusal() *OpenError {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.until
	if len(c.probes) > 0 {
		until = c.probes[0].start.Add(c.openFor)
	}
	return &OpenError{Origin: c.origin, Until: until}
}

// admission is a call that was let through, or an attempt of it with WithPerAttempt.
type admission struct {
	circuit *circuit
	report  func(outcome error) // gobreaker's
	isProbe bool
	start   time.Time // of a probe

	mu        sync.Mutex
	attempts  int   // of the call, when its latest attempt was let through
	outcome   error // of the latest attempt that had one
	isSettled bool
	hasLeft   bool // another probe has its slot
}

// goOn begins a further attempt of the same call. It returns false if the admission is over.
func (a *admission) goOn(attempts int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isSettled {
		return false
	}
	a.attempts = attempts
	return true
}

// wasSent reports whether the latest attempt has been dispatched. If a later request handler refuses
// a request, it has not.
func (a *admission) wasSent(r *axle.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return r.Attempt() > a.attempts
}

// note notes the outcome of an attempt. An attempt that is neither a success nor a failure does not
// replace the outcome of an earlier one.
func (a *admission) note(outcome error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !errors.Is(outcome, errNeither) {
		a.outcome = outcome
	}
}

// settle counts the outcome. gobreaker ignores that of a call that began before the latest change of
// state.
func (a *admission) settle() {
	a.mu.Lock()
	isSettled := a.isSettled
	a.isSettled = true
	outcome, hasLeft := a.outcome, a.hasLeft
	a.mu.Unlock()
	if isSettled {
		return
	}

	// The slot has been given back already.
	if !hasLeft || !errors.Is(outcome, errNeither) {
		a.report(outcome)
	}
	if a.isProbe {
		a.circuit.removeProbe(a)
	}
	a.circuit.tell()
}

// leaveSlot gives the slot of a probe to another one. The outcome of the probe still counts.
func (a *admission) leaveSlot() {
	a.mu.Lock()
	leaves := !a.isSettled && !a.hasLeft
	a.hasLeft = true
	a.mu.Unlock()

	if leaves {
		a.report(errNeither)
	}
}
