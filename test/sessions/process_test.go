package sessions

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
)

// process is a running worker, as the test sees it.
type process struct {
	*exec.Cmd
	stdin   io.WriteCloser
	ordered int // commands

	mu       sync.Mutex
	last     report // the newest generation that the worker has
	failures []report
	changes  []report
	logouts  []string
	done     []report // of the commands
	calls    int
	closed   chan struct{} // closed at the end of the output
	moved    func()        // called after a report
}

// start starts a worker. The edits change how it is started.
func start(t *testing.T, work task, moved func(), edits ...func(*exec.Cmd)) *process {
	t.Helper()
	text, err := json.Marshal(work)
	require.NoError(t, err)

	p := &process{Cmd: exec.Command(os.Args[0]), closed: make(chan struct{}), moved: moved}
	p.Env = append(os.Environ(), taskVariable+"="+string(text))
	p.Stderr = os.Stderr
	for _, edit := range edits {
		edit(p.Cmd)
	}
	p.stdin, err = p.StdinPipe()
	require.NoError(t, err)
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.closed
		_ = p.Wait()
	})
	go p.read(out)
	return p
}

func (p *process) read(out io.Reader) {
	defer close(p.closed)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			r.Failure = "the worker wrote: " + lines.Text()
		}

		p.mu.Lock()
		switch {
		case r.Failure != "":
			p.failures = append(p.failures, r)
		case r.Changed:
			p.changes = append(p.changes, r)
		case r.LoggedOut != "":
			p.logouts = append(p.logouts, r.LoggedOut)
		case r.Done:
			p.done = append(p.done, r)
		case r.Calls > 0:
			p.calls = r.Calls
		case r.Generation > 0:
			p.last = r
		}
		p.mu.Unlock()
		p.moved()
	}
}

// generation returns the newest generation that every caller of the worker has had a success with.
func (p *process) generation() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.Generation
}

// failed returns the failures so far.
func (p *process) failed() []report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]report(nil), p.failures...)
}

// changed returns the last change of the user. Before the first one, it is the zero value.
func (p *process) changed() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.changes) == 0 {
		return report{}
	}
	return p.changes[len(p.changes)-1]
}

// loggedOut returns the tokens that WithLogout's function was given.
func (p *process) loggedOut() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.logouts...)
}

// commandsDone returns the commands that are done.
func (p *process) commandsDone() []report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]report(nil), p.done...)
}

// order gives the worker a command, and does not wait for it.
func (p *process) order(t *testing.T, c command) {
	t.Helper()
	p.ordered++
	require.NoError(t, json.NewEncoder(p.stdin).Encode(c))
}

// hasObeyed reports whether all commands are done.
func (p *process) hasObeyed() bool { return len(p.commandsDone()) == p.ordered }

// stop closes the worker's input and waits for its end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close()
	<-p.closed
	require.NoError(t, p.Wait())
}

// fleet is some workers that share a session.
type fleet struct {
	reports chan struct{}
	workers []*process
}

// launch starts a fleet.
func launch(t *testing.T, processes int, work task, edits ...func(*exec.Cmd)) *fleet {
	t.Helper()
	f := &fleet{reports: make(chan struct{}, 1)}
	for range processes {
		f.workers = append(f.workers, start(t, work, signalOn(f.reports), edits...))
	}
	return f
}

// until waits until the condition holds for each worker.
func (f *fleet) until(t *testing.T, condition func(*process) bool) {
	t.Helper()
	until(t, f.reports, func() bool {
		for _, w := range f.workers {
			if !condition(w) {
				return false
			}
		}
		return true
	})
}

// untilAt waits until every caller of every worker has had a success with a token of the generation.
func (f *fleet) untilAt(t *testing.T, generation int) {
	t.Helper()
	f.until(t, func(w *process) bool { return w.generation() >= generation })
}

// untilFailed waits until each worker has so many more failures.
func (f *fleet) untilFailed(t *testing.T, more int) {
	t.Helper()
	least := map[*process]int{}
	for _, w := range f.workers {
		least[w] = len(w.failed()) + more
	}
	f.until(t, func(w *process) bool { return len(w.failed()) >= least[w] })
}

// do gives a worker of the fleet a command, and waits until it is done.
func (f *fleet) do(t *testing.T, worker int, c command) report {
	t.Helper()
	w := f.workers[worker]
	w.order(t, c)
	until(t, f.reports, w.hasObeyed)
	return w.commandsDone()[w.ordered-1]
}

// ready waits until each worker has opened the session.
func (f *fleet) ready(t *testing.T) {
	t.Helper()
	for worker := range f.workers {
		f.do(t, worker, command{})
	}
}

// failed returns the failures of all workers so far.
func (f *fleet) failed() (all []report) {
	for _, w := range f.workers {
		all = append(all, w.failed()...)
	}
	return all
}

// stop ends all workers, and returns how many calls they made.
func (f *fleet) stop(t *testing.T) (calls int) {
	t.Helper()
	for _, w := range f.workers {
		w.stop(t)
		calls += w.calls
	}
	return calls
}

// assertNone fails the test for each failure.
func assertNone(t *testing.T, failures []report) {
	t.Helper()
	for _, f := range failures {
		t.Error(f.Failure)
	}
}

// assertEach wants each failure to be of the kind, and to leave the session as it is.
func assertEach(t *testing.T, kind string, failures []report) {
	t.Helper()
	for _, f := range failures {
		if assert.Contains(t, f.Kinds, kind, f.Failure) {
			assert.False(t, f.Ended, "the session has ended: %s", f.Failure)
		}
	}
}

// until waits until the condition holds, which is asked after each report.
func until(t *testing.T, reports <-chan struct{}, condition func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !condition() {
		select {
		case <-reports:
		case <-limit:
			t.Fatal("the workers have not come so far within a minute")
		}
	}
}

// signalOn returns a function that signals on a channel without waiting.
func signalOn(reports chan<- struct{}) func() {
	return func() {
		select {
		case reports <- struct{}{}:
		default:
		}
	}
}

// gate holds the first request that comes, until it is opened.
type gate struct {
	held    atomic.Bool
	arrived chan struct{}
	opened  chan struct{}
}

func newGate() *gate {
	return &gate{arrived: make(chan struct{}), opened: make(chan struct{})}
}

// pass waits if nobody has waited before.
func (g *gate) pass() {
	if g.held.CompareAndSwap(false, true) {
		close(g.arrived)
		<-g.opened
	}
}

// loginOver saves Ada's login, as another program would.
func loginOver(t *testing.T, p store.Persister, token *oauth2.Token) {
	t.Helper()
	s, err := store.Open[user](t.Context(), nil, p)
	require.NoError(t, err)
	s.Login(user{"Ada"}, token)
	require.NoError(t, s.Close())
}

// login saves Ada's login in a file.
func login(t *testing.T, path string, token *oauth2.Token) {
	t.Helper()
	loginOver(t, store.File(path), token)
}
