package redisstore_test

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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// taskVariable holds a task as JSON. A test binary that finds it is a worker process.
const taskVariable = "AXLE_REDISSTORE_TASK"

// workerLease is long enough for a machine that is busy.
const workerLease = 2 * time.Second

// task is the work of a worker: to call the server from several goroutines, with the session in
// Redis, until the standard input is closed.
type task struct {
	Redis   string
	Server  string
	Callers int
}

// report is one line that a worker writes.
type report struct {
	Generation int    `json:",omitempty"` // every caller has had a success with this generation's token
	Failure    string `json:",omitempty"` // a call failed
	Unknown    bool   `json:",omitempty"` // … with store.ErrOutcomeUnknown
}

func work(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	client := redis.NewClient(&redis.Options{Addr: t.Redis})
	defer client.Close()
	session, err := openSession(ctx, t.Server, newPersister(client, "session", workerLease))
	if err != nil {
		return err
	}
	defer session.Close()

	w := &worker{out: json.NewEncoder(os.Stdout), reached: make([]int, t.Callers)}
	api := axle.New().SetBaseURL(t.Server).Use(auth.New(session))
	var callers sync.WaitGroup
	for caller := range t.Callers {
		callers.Go(func() {
			for ctx.Err() == nil {
				data, err := axle.Get[struct{ Generation int }](ctx, api, "/data")
				if ctx.Err() == nil {
					w.note(caller, data.Generation, err)
				}

				// The pace of a program that is in use.
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	callers.Wait()
	return nil
}

func openSession(ctx context.Context, server string, p store.Persister) (*store.UserStore[account], error) {
	refresh := store.OAuth2(&oauth2.Config{
		ClientID: "test",
		Endpoint: oauth2.Endpoint{TokenURL: server + "/token", AuthStyle: oauth2.AuthStyleInParams},
	})
	return store.Open[account](ctx, refresh, p,
		store.WithLogoutWhen(store.RejectedOnly), store.WithStorageFailure(func(error) {}))
}

type worker struct {
	mu         sync.Mutex
	out        *json.Encoder
	reached    []int
	generation int
}

func (w *worker) note(caller, generation int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		_ = w.out.Encode(report{Failure: err.Error(), Unknown: errors.Is(err, store.ErrOutcomeUnknown)})
		return
	}
	w.reached[caller] = generation
	if least := slices.Min(w.reached); least > w.generation {
		w.generation = least
		_ = w.out.Encode(report{Generation: least})
	}
}

// process is a worker as the test sees it.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	reports chan struct{} // has a signal after a report
	closed  chan struct{} // closed at the end of the output

	generation atomic.Int64
	mu         sync.Mutex
	failures   []report
}

func startWorker(t *testing.T, work task) *process {
	t.Helper()
	text, err := json.Marshal(work)
	require.NoError(t, err)
	p := &process{
		cmd:     exec.Command(os.Args[0]),
		reports: make(chan struct{}, 1),
		closed:  make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.closed
		_ = p.cmd.Wait()
	})

	go func() {
		defer close(p.closed)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				r.Failure = "the worker wrote: " + lines.Text()
			}
			p.take(r)
			select {
			case p.reports <- struct{}{}:
			default:
			}
		}
	}()
	return p
}

func (p *process) take(r report) {
	if r.Failure == "" {
		p.generation.Store(int64(r.Generation))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = append(p.failures, r)
}

func (p *process) failed() []report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.failures)
}

// stop ends the worker, and reports its failures.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close()
	<-p.closed
	require.NoError(t, p.cmd.Wait())
	assert.Empty(t, p.failed())
}

// until waits until the condition holds, which is asked after each report of the worker.
func (p *process) until(t *testing.T, condition func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for !condition() {
		select {
		case <-p.reports:
		case <-limit:
			t.Fatalf("a worker has not come so far in two minutes: it is at generation %d; its failures: %v",
				p.generation.Load(), p.failed())
		}
	}
}

// untilAllHave waits until every worker has the token of a generation.
func untilAllHave(t *testing.T, generation int, workers ...*process) {
	t.Helper()
	for _, w := range workers {
		w.until(t, func() bool { return w.generation.Load() >= int64(generation) })
	}
}

// loginAt saves a login, as another program would.
func loginAt(t *testing.T, s *redisServer, server *sessiontest.Server) {
	t.Helper()
	session, err := openSession(t.Context(), server.URL(), newPersister(s.client(t), "session", workerLease))
	require.NoError(t, err)
	session.Login(account{"Ada"}, server.Login())
	require.NoError(t, session.Close())
}

func TestProcesses_OneExpiryIsOneRefreshAlsoWhenRedisIsKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"and has lost everything": nil,
		"and has kept everything": {"--appendonly", "yes", "--appendfsync", "always"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			processes, callers, expiries := 5, scaled(50, 8), scaled(100, 8)
			database := startRedis(t, args...)
			var kill atomic.Bool
			refreshing, killed := make(chan struct{}), make(chan struct{})
			server := sessiontest.NewServer(sessiontest.Rules{AfterRefresh: func() bool {
				// Redis dies while the token is being spent, and the lock with it.
				if kill.CompareAndSwap(true, false) {
					close(refreshing)
					<-killed
				}
				return true
			}})
			t.Cleanup(server.Close)
			loginAt(t, database, server)

			var workers []*process
			for range processes {
				workers = append(workers, startWorker(t, task{database.address, server.URL(), callers}))
			}
			for expiry := range expiries {
				untilAllHave(t, 1+expiry, workers...)
				kill.Store(expiry == expiries/2)
				server.Expire()
				if expiry == expiries/2 {
					<-refreshing
					database.kill()
					close(killed)

					// The workers find Redis away for a while, and report nothing of it.
					time.Sleep(200 * time.Millisecond)
					database.start(t)
				}
			}
			untilAllHave(t, 1+expiries, workers...)

			for _, w := range workers {
				w.stop(t)
			}
			counts := server.Counts()
			assert.Equal(t, expiries, counts.Refreshes)
			assert.Zero(t, counts.Reused)
			assert.Zero(t, counts.Refused)
			t.Logf("%d processes x %d goroutines x %d expiries: %d refreshes, %d re-uses",
				processes, callers, expiries, counts.Refreshes, counts.Reused)
		})
	}
}

// stopHolder stops a worker when the server has rotated the token and the response is on its way. It
// returns when another worker has got its word.
func stopHolder(t *testing.T, grace time.Duration) (server *sessiontest.Server, stopped, next *process) {
	t.Helper()
	database := startRedis(t)
	var first atomic.Bool
	rotated, goOn := make(chan struct{}), make(chan struct{})
	server = sessiontest.NewServer(sessiontest.Rules{Grace: grace, AfterRefresh: func() bool {
		if first.CompareAndSwap(false, true) {
			close(rotated)
			<-goOn
		}
		return true
	}})
	t.Cleanup(server.Close)
	loginAt(t, database, server)

	stopped = startWorker(t, task{database.address, server.URL(), 2})
	untilAllHave(t, 1, stopped)
	server.Expire()
	<-rotated
	require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGSTOP))

	// The signal takes a moment.
	var status syscall.WaitStatus
	_, err := syscall.Wait4(stopped.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	require.NoError(t, err)
	require.True(t, status.Stopped())
	close(goOn)
	return server, stopped, startWorker(t, task{database.address, server.URL(), 2})
}

func TestProcesses_AHolderThatIsStoppedBeyondItsLeaseHarmsNobodyOnAServerWithGrace(t *testing.T) {
	t.Parallel()
	server, stopped, next := stopHolder(t, time.Minute)
	untilAllHave(t, 2, next)
	require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGCONT))
	untilAllHave(t, 2, stopped)
	server.Expire()
	untilAllHave(t, 3, stopped, next)

	stopped.stop(t)
	next.stop(t)
	counts := server.Counts()
	assert.Equal(t, 2, counts.Refreshes)
	assert.Equal(t, 1, counts.Regranted)
	assert.Zero(t, counts.Reused)
}

func TestProcesses_AHolderThatIsStoppedBeyondItsLeaseIsALostResponseOnAStrictServer(t *testing.T) {
	t.Parallel()
	server, _, next := stopHolder(t, 0)
	next.until(t, func() bool { return len(next.failed()) > 0 })
	assert.True(t, next.failed()[0].Unknown, next.failed()[0].Failure)
	assert.Equal(t, 1, server.Counts().Reused)
}
