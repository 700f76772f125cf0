package sessions

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// taskVariable holds a task as JSON. A test binary that finds it is a worker.
const taskVariable = "AXLE_SESSIONS_TASK"

// task is the work of a worker process. The worker shares the session in a file, and calls the
// server from several goroutines until its standard input is closed.
type task struct {
	Path    string        // of the session
	Server  string        // the origin
	Callers int           // goroutines
	Limit   time.Duration // of a refresh; 0: the default
}

// report is one line that a worker writes to its standard output.
type report struct {
	Generation int    `json:",omitempty"` // every caller had a success with a token of this generation
	Failure    string `json:",omitempty"` // a call failed
	Lost       bool   `json:",omitempty"` // … with ErrOutcomeUnknown
	Ended      bool   `json:",omitempty"` // … and the session has ended
	Calls      int    `json:",omitempty"` // all calls, in the last report
}

type user struct{ Name string }

// work does the task of a worker process.
func work(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// The test closes the pipe, or has died.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	opts := []store.Option{store.WithLogoutWhen(store.RejectedOnly), store.WithRefreshTimeout(t.Limit)}
	session, err := store.Open[user](ctx, refreshAt(t.Server), store.File(t.Path), opts...)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	client := axle.New().SetBaseURL(t.Server).Use(auth.New(session))

	w := &worker{out: json.NewEncoder(os.Stdout), reached: make([]int, t.Callers)}
	var callers sync.WaitGroup
	for caller := range t.Callers {
		callers.Go(func() { w.call(ctx, caller, client, session) })
	}
	callers.Wait()
	w.tell(report{Calls: w.calls})
	return nil
}

// refreshAt is the RefreshFunc of the tests: the refresh grant at the server's token endpoint.
func refreshAt(server string) store.RefreshFunc {
	return store.OAuth2(&oauth2.Config{
		ClientID: "test",
		Endpoint: oauth2.Endpoint{TokenURL: server + "/token", AuthStyle: oauth2.AuthStyleInParams},
	})
}

// worker is what the callers of one worker process share.
type worker struct {
	mu         sync.Mutex
	out        *json.Encoder
	calls      int
	reached    []int // the newest generation of each caller
	generation int   // the newest that every caller has reached
}

func (w *worker) tell(r report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(r)
}

// call calls the server again and again.
func (w *worker) call(ctx context.Context, caller int, client *axle.Client, session *store.UserStore[user]) {
	for ctx.Err() == nil {
		data, err := axle.Get[struct{ Generation int }](ctx, client, "/data")
		if ctx.Err() != nil {
			return
		}
		w.note(caller, data.Generation, err, session)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// note reports a failure, and that all callers have had a success with a newer token.
func (w *worker) note(caller, generation int, err error, session *store.UserStore[user]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if err != nil {
		_ = w.out.Encode(report{
			Failure: err.Error(),
			Lost:    errors.Is(err, store.ErrOutcomeUnknown),
			Ended:   !session.Snapshot().Active,
		})
		return
	}
	w.reached[caller] = generation
	if least := slices.Min(w.reached); least > w.generation {
		w.generation = least
		_ = w.out.Encode(report{Generation: least})
	}
}

// process is a running worker.
type process struct {
	*exec.Cmd
	stdin io.Closer

	mu       sync.Mutex
	last     report // the newest generation that the worker has
	failures []report
	calls    int
	closed   chan struct{} // closed at the end of the output
	moved    func()        // called after a report
}

// start starts a worker.
func start(t *testing.T, work task, moved func()) *process {
	t.Helper()
	text, err := json.Marshal(work)
	require.NoError(t, err)

	p := &process{Cmd: exec.Command(os.Args[0]), closed: make(chan struct{}), moved: moved}
	p.Env = append(os.Environ(), taskVariable+"="+string(text))
	p.Stderr = os.Stderr
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
		case r.Calls > 0:
			p.calls = r.Calls
		default:
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

// stop closes the worker's input and waits for its end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close()
	<-p.closed
	require.NoError(t, p.Wait())
}

// until waits until the condition holds, which is asked after each report.
func until(t *testing.T, reports <-chan struct{}, condition func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for !condition() {
		select {
		case <-reports:
		case <-limit:
			t.Fatal("the workers have not come so far within two minutes")
		}
	}
}

// login saves a login in a file, as another program would.
func login(t *testing.T, path string, token *oauth2.Token) {
	t.Helper()
	s, err := store.Open[user](t.Context(), nil, store.File(path))
	require.NoError(t, err)
	s.Login(user{"Ada"}, token)
	require.NoError(t, s.Close())
}
