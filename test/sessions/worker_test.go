package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// taskVariable holds a task as JSON. A test binary that finds it is a worker.
const taskVariable = "AXLE_SESSIONS_TASK"

// callHeader names one call. Its retry after a refresh has the same name.
const callHeader = "X-Call"

// task is the work of a worker process. The worker shares the session in a file, and calls the
// server from several goroutines. It does the commands of its standard input until that is closed.
type task struct {
	Path    string        // of the session
	Key     []byte        // of the file; nil: the file is plain
	Server  string        // the origin
	Callers int           // goroutines
	Limit   time.Duration // of a refresh; 0: the default
	Early   time.Duration // before a token's end, when it is refreshed; 0: never

	// AnyFailureEnds keeps the store's default for the failures that end the session. Otherwise
	// only a refusal ends it.
	AnyFailureEnds bool
}

// command is one line of a worker's standard input.
type command struct {
	Login *oauth2.Token `json:",omitempty"` // log in with this token
	User  string        `json:",omitempty"` // … as this user

	Logout bool `json:",omitempty"`

	// FileSize is how long a file may become from now on, in bytes. A negative size is no limit.
	FileSize *int64 `json:",omitempty"`
}

// report is one line that a worker writes to its standard output.
type report struct {
	Generation int `json:",omitempty"` // every caller had a success with a token of this generation

	Failure string        `json:",omitempty"` // a call failed
	Kinds   []string      `json:",omitempty"` // … with these errors
	Ended   bool          `json:",omitempty"` // … and the session has ended
	Took    time.Duration `json:",omitempty"` // … after this time

	Changed bool   `json:",omitempty"` // another user, or nobody, is logged in
	User    string `json:",omitempty"` // … empty: nobody

	LoggedOut string `json:",omitempty"` // the refresh token that WithLogout's function was given

	Done  bool      `json:",omitempty"` // a command is done
	Began time.Time `json:",omitzero"`
	At    time.Time `json:",omitzero"` // of a change, and of the end of a command

	Calls int `json:",omitempty"` // all calls, in the last report
}

// kinds are the errors that a report names.
var kinds = map[string]error{
	"ErrBusy":           store.ErrBusy,
	"ErrStorage":        store.ErrStorage,
	"ErrForeign":        store.ErrForeign,
	"ErrOutcomeUnknown": store.ErrOutcomeUnknown,
	"ErrSessionChanged": auth.ErrSessionChanged,
}

// failure returns the report of an error.
func failure(err error) report {
	r := report{Failure: err.Error()}
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			r.Kinds = append(r.Kinds, name)
		}
	}
	slices.Sort(r.Kinds)
	return r
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

	w := &worker{out: json.NewEncoder(os.Stdout), reached: make([]int, t.Callers)}
	session, err := store.Open[user](ctx, refreshAt(t.Server), t.persister(), t.options(w)...)
	if err != nil {
		w.tell(failure(err))
		return nil
	}
	defer func() { _ = session.Close() }()
	unsubscribe := session.Subscribe(w.noteChange)
	defer unsubscribe()
	go func() {
		// The test closes the pipe, or has died.
		w.obey(json.NewDecoder(os.Stdin), session)
		cancel()
	}()

	client := axle.New().SetBaseURL(t.Server).Use(auth.New(session, auth.WithEarlyRefresh(t.Early)))
	var callers sync.WaitGroup
	for caller := range t.Callers {
		callers.Go(func() { w.call(ctx, caller, client, session) })
	}
	callers.Wait()
	<-ctx.Done()
	w.tell(report{Calls: w.calls})
	return nil
}

// persister returns the file of the session.
func (t task) persister() store.Persister {
	if t.Key != nil {
		return store.File(t.Path, store.FileKey(t.Key))
	}
	return store.File(t.Path)
}

// options are those of the worker's store.
func (t task) options(w *worker) []store.Option {
	opts := []store.Option{
		store.WithRefreshTimeout(t.Limit),
		store.WithStorageFailure(func(error) {}),
		store.WithLogout(func(_ context.Context, last *oauth2.Token) error {
			if last != nil {
				w.tell(report{LoggedOut: last.RefreshToken})
			}
			return nil
		}),
	}
	if !t.AnyFailureEnds {
		opts = append(opts, store.WithLogoutWhen(store.RejectedOnly))
	}
	return opts
}

// refreshAt is the RefreshFunc of the tests: the refresh grant at the server's token endpoint.
func refreshAt(server string) store.RefreshFunc {
	return store.OAuth2(&oauth2.Config{
		ClientID: "test",
		Endpoint: oauth2.Endpoint{TokenURL: server + "/token", AuthStyle: oauth2.AuthStyleInParams},
	})
}

// worker is what the goroutines of one worker process share.
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

// noteChange reports that another user is logged in, or nobody.
func (w *worker) noteChange(now, before store.State[user]) {
	if name := nameOf(now); name != nameOf(before) {
		w.tell(report{Changed: true, User: name, At: time.Now()})
	}
}

func nameOf(state store.State[user]) string {
	if state.User == nil {
		return ""
	}
	return state.User.Name
}

// obey does one command after the other, until there are no more.
func (w *worker) obey(commands *json.Decoder, session *store.UserStore[user]) {
	var c command
	for ; commands.Decode(&c) == nil; c = (command{}) {
		began := time.Now()
		if err := c.do(session); err != nil {
			w.tell(failure(err))
		}
		w.tell(report{Done: true, Began: began, At: time.Now()})
	}
}

func (c command) do(session *store.UserStore[user]) error {
	switch {
	case c.Login != nil:
		session.Login(user{c.User}, c.Login)
	case c.Logout:
		return session.Logout(context.Background())
	case c.FileSize != nil:
		return limitFileSize(*c.FileSize)
	}
	return nil
}

// limitFileSize sets how long a file of this process may become. Some systems have no such limit.
var limitFileSize = func(int64) error { return errors.ErrUnsupported }

// call calls the server again and again.
func (w *worker) call(ctx context.Context, caller int, client *axle.Client, session *store.UserStore[user]) {
	for n := 0; ctx.Err() == nil; n++ {
		name, began := fmt.Sprintf("%d-%d-%d", os.Getpid(), caller, n), time.Now()
		data, err := axle.Get[struct{ Generation int }](ctx, client, "/data", axle.WithHeader(callHeader, name))
		if ctx.Err() != nil {
			return
		}
		w.note(caller, data.Generation, err, time.Since(began), session)

		// The pace of a program that is in use, which calls less often after a failure.
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// note reports a failure, and that all callers have had a success with a newer token.
func (w *worker) note(
	caller, generation int, err error, took time.Duration, session *store.UserStore[user],
) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if err != nil {
		r := failure(err)
		r.Ended, r.Took = !session.Snapshot().Active, took
		_ = w.out.Encode(r)
		return
	}
	w.reached[caller] = generation
	if least := slices.Min(w.reached); least > w.generation {
		w.generation = least
		_ = w.out.Encode(report{Generation: least})
	}
}
