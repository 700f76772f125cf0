package sessiontest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// faults are ways in which a Persister is not one.
type faults struct {
	nothingIsEmpty   bool // Load returns empty data where nothing is saved
	cutsNUL          bool // Save keeps what is before a NUL
	limited          bool // Save keeps 64 KiB
	loadLocks        bool // Load waits for the lock
	tears            bool // Save is two steps
	neverCompares    bool // Save does not look at old
	nilMatchesAll    bool // a nil old replaces anything
	lateSave         bool // Save returns before others see the data
	deleteAnything   bool // Delete does not look at old
	deleteNeedsSaved bool // Delete of nothing is a conflict
	noLock           bool // everybody gets the lock
	lockPerPersister bool // Lock excludes only the callers of one Persister
	busyIsCause      bool // a Lock that gives up returns the cause of its context
	waiterStays      bool // a Lock that gives up takes the lock later
	ignoresContext   bool // Lock waits on when its context ends
	saveUnlocks      bool // Save releases the lock
	unlocksOthers    bool // Unlock releases a lock that is another's
	neverReports     bool // Watch reports nothing
	firstReportOnly  bool // Watch reports one change
	reportsOwnOnly   bool // Watch reports changes of its own Persister
	slowReports      bool // Watch reports after two seconds
	reportsAfterStop bool // stop does nothing
	stopsAll         bool // stop stops every function of the session
	watchLocks       bool // Watch waits for the lock
}

// shared is a session in memory, which many Persisters share.
type shared struct {
	faults
	lock chan struct{} // has a value in it while the lock is held

	mu       sync.Mutex
	holder   *memoryLock
	data     []byte
	watchers map[*watcher]bool
}

type watcher struct {
	of      *memory
	changed func()
	reports int
}

func newShared(f faults) *shared {
	return &shared{faults: f, lock: make(chan struct{}, 1), watchers: map[*watcher]bool{}}
}

// memory is a Persister of a session in memory.
type memory struct {
	*shared
	own chan struct{} // as shared.lock, with lockPerPersister
}

func (m *memory) Load(ctx context.Context) ([]byte, error) {
	if m.loadLocks {
		lock, err := m.Lock(ctx)
		if err != nil {
			return nil, err
		}
		defer lock.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil && m.nothingIsEmpty {
		return []byte{}, nil
	}
	return bytes.Clone(m.data), nil
}

func isSaved(data, old []byte) bool { return bytes.Equal(data, old) && (data == nil) == (old == nil) }

func (m *memory) Save(_ context.Context, old, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.neverCompares, m.nilMatchesAll && old == nil:
	case !isSaved(m.data, old):
		return store.ErrConflict
	}

	data = append([]byte{}, data...)
	if m.cutsNUL {
		data, _, _ = bytes.Cut(data, []byte{0})
	}
	if m.limited {
		data = data[:min(len(data), 64<<10)]
	}
	if m.tears {
		m.data = data[:len(data)/2]
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	if m.saveUnlocks && m.holder != nil {
		m.holder.release()
	}
	if m.lateSave {
		time.AfterFunc(10*time.Millisecond, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.data = data
		})
		return nil
	}
	m.data = data
	m.report()
	return nil
}

func (m *memory) Delete(_ context.Context, old []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil && old == nil && !m.deleteNeedsSaved {
		return nil
	}
	if (m.data == nil || !isSaved(m.data, old)) && !m.deleteAnything {
		return store.ErrConflict
	}
	m.data = nil
	m.report()
	return nil
}

// report tells the watchers. The lock is held.
func (m *memory) report() {
	for w := range m.watchers {
		w.reports++
		switch {
		case m.neverReports, m.firstReportOnly && w.reports > 1, m.reportsOwnOnly && w.of != m:
		case m.slowReports:
			time.AfterFunc(2*time.Second, w.changed)
		default:
			go func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				if m.watchers[w] {
					w.changed()
				}
			}()
		}
	}
}

func (m *memory) Watch(changed func()) (func(), error) {
	if m.watchLocks {
		m.lock <- struct{}{}
		defer func() { <-m.lock }()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &watcher{of: m, changed: changed}
	m.watchers[w] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		switch {
		case m.stopsAll:
			clear(m.watchers)
		case !m.reportsAfterStop:
			delete(m.watchers, w)
		}
	}, nil
}

func (m *memory) Lock(ctx context.Context) (store.Lock, error) {
	free := m.lock
	if m.lockPerPersister {
		free = m.own
	}
	if m.ignoresContext {
		ctx = context.Background()
	}

	select {
	case free <- struct{}{}:
		return m.hold(free), nil
	default:
	}
	if m.noLock {
		return m.hold(make(chan struct{}, 1)), nil
	}
	select {
	case free <- struct{}{}:
		return m.hold(free), nil
	case <-ctx.Done():
	}

	if m.waiterStays {
		go func() { free <- struct{}{} }()
	}
	if m.busyIsCause {
		return nil, context.Cause(ctx)
	}
	return nil, store.ErrBusy
}

func (m *memory) hold(free chan struct{}) store.Lock {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holder = &memoryLock{of: m, free: free}
	return m.holder
}

type memoryLock struct {
	of       *memory
	free     chan struct{}
	released bool
}

func (l *memoryLock) Held() error { return nil }

func (l *memoryLock) Unlock() error {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.release()
	return nil
}

func (l *memoryLock) release() {
	if l.released && !l.of.unlocksOthers {
		return
	}
	l.released = true
	select {
	case <-l.free:
	default:
	}
}

// openIn returns the open function of a session in memory.
func openIn(f faults) func(t *testing.T) store.Persister {
	var mu sync.Mutex
	sessions := map[string]*shared{}
	return func(t *testing.T) store.Persister {
		mu.Lock()
		defer mu.Unlock()
		if sessions[t.Name()] == nil {
			sessions[t.Name()] = newShared(f)
		}
		return &memory{shared: sessions[t.Name()], own: make(chan struct{}, 1)}
	}
}

func TestPersister_AGoodPersisterPassesWhole(t *testing.T) {
	t.Parallel()
	sessiontest.Persister(t, openIn(faults{}))
}

func TestPersister_AFilePassesWhole(t *testing.T) {
	t.Parallel()
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		return store.File(filepath.Join(sessiontest.Folder(t), "session.json"))
	})
}

func TestPersister_AnEncryptedFilePassesWhole(t *testing.T) {
	t.Parallel()
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		key := bytes.Repeat([]byte("k"), 32)
		return store.File(filepath.Join(sessiontest.Folder(t), "session.json"), store.FileKey(key))
	})
}

// faulty are Persisters with one fault each, and the subtests that must name it.
var faulty = map[string]struct {
	faults
	named []string
}{
	"nothing is empty":       {faults{nothingIsEmpty: true}, []string{"Load returns nil if nothing is saved"}},
	"cuts NUL":               {faults{cutsNUL: true}, []string{"Load returns what Save was given"}},
	"limited":                {faults{limited: true}, []string{"Load returns what Save was given"}},
	"Load locks":             {faults{loadLocks: true}, []string{"Load does not wait for the lock"}},
	"tears":                  {faults{tears: true}, []string{"Load never returns half of what Save was given"}},
	"never compares":         {faults{neverCompares: true}, []string{"Save changes nothing if something else is saved"}},
	"nil matches all":        {faults{nilMatchesAll: true}, []string{"Save changes nothing if something else is saved"}},
	"late Save":              {faults{lateSave: true}, []string{"Save has saved for all holders when it returns"}},
	"deletes anything":       {faults{deleteAnything: true}, []string{"Delete changes nothing if something else is saved"}},
	"Delete needs something": {faults{deleteNeedsSaved: true}, []string{"Delete of nothing with a nil old is no error"}},
	"no lock": {faults{noLock: true}, []string{
		"Lock is held by one caller alone", "Lock returns ErrBusy if ctx ends while another holder has it",
	}},
	"a lock per Persister": {faults{lockPerPersister: true}, []string{
		"Lock is held by one caller alone", "Lock returns ErrBusy if ctx ends while another holder has it",
	}},
	"busy is a cause":    {faults{busyIsCause: true}, []string{"Lock returns ErrBusy if ctx ends while another holder has it"}},
	"a waiter stays":     {faults{waiterStays: true}, []string{"Lock of a waiter that has given up stays free"}},
	"ignores ctx":        {faults{ignoresContext: true}, []string{"Lock returns ErrBusy if ctx ends while another holder has it"}},
	"Save unlocks":       {faults{saveUnlocks: true}, []string{"Lock is held until Unlock"}},
	"unlocks others":     {faults{unlocksOthers: true}, []string{"Unlock leaves a lock alone that is another's by now"}},
	"never reports":      {faults{neverReports: true}, []string{"Watch reports each change within a second"}},
	"reports once":       {faults{firstReportOnly: true}, []string{"Watch reports each change within a second"}},
	"reports its own":    {faults{reportsOwnOnly: true}, []string{"Watch reports each change within a second"}},
	"reports late":       {faults{slowReports: true}, []string{"Watch reports each change within a second"}},
	"reports after stop": {faults{reportsAfterStop: true}, []string{"Watch reports nothing after stop has returned"}},
	"one stop stops all": {faults{stopsAll: true}, []string{"Watch reports nothing after stop has returned"}},
	"Watch locks":        {faults{watchLocks: true}, []string{"Watch returns at once"}},
}

// otherLock is a file with another lock.
type otherLock struct {
	store.Persister
	lock func(ctx context.Context) (store.Lock, error)
}

func (o otherLock) Lock(ctx context.Context) (store.Lock, error) { return o.lock(ctx) }

// openFileWith returns the open function of files whose lock is made for the folder.
func openFileWith(
	lockIn func(folder string) func(ctx context.Context) (store.Lock, error),
) func(t *testing.T) store.Persister {
	return func(t *testing.T) store.Persister {
		folder := sessiontest.Folder(t)
		return otherLock{store.File(filepath.Join(folder, "session.json")), lockIn(folder)}
	}
}

// lockFile is a lock that a file is, if it exists. It outlives its holder.
type lockFile string

func lockFileIn(folder string) func(ctx context.Context) (store.Lock, error) {
	path := filepath.Join(folder, "lock")
	return func(ctx context.Context) (store.Lock, error) {
		for {
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
			if err == nil {
				return lockFile(path), f.Close()
			}
			select {
			case <-ctx.Done():
				return nil, store.ErrBusy
			case <-time.After(time.Millisecond):
			}
		}
	}
}

func (l lockFile) Held() error   { return nil }
func (l lockFile) Unlock() error { return os.Remove(string(l)) }

// processLockIn returns a lock that the other processes do not know.
func processLockIn(folder string) func(ctx context.Context) (store.Lock, error) {
	processLocks.mu.Lock()
	defer processLocks.mu.Unlock()
	if processLocks.of[folder] == nil {
		m := &memory{shared: newShared(faults{})}
		processLocks.of[folder] = m.Lock
	}
	return processLocks.of[folder]
}

var processLocks = struct {
	mu sync.Mutex
	of map[string]func(ctx context.Context) (store.Lock, error)
}{of: map[string]func(ctx context.Context) (store.Lock, error){}}

// faultyLocks are Persisters whose lock is no lock of processes.
var faultyLocks = map[string]func(t *testing.T) store.Persister{
	"a lock that outlives its holder":  openFileWith(lockFileIn),
	"a lock that one process has only": openFileWith(processLockIn),
}

func TestPersister_EachFaultIsNamed(t *testing.T) {
	t.Parallel()
	if os.Getenv(childVariable) != "" {
		sessiontest.SetPatience(400 * time.Millisecond)
		for name, f := range faulty {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				sessiontest.Persister(t, openIn(f.faults))
			})
		}
		for name, open := range faultyLocks {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				sessiontest.Persister(t, open)
			})
		}
		return
	}

	failures := failuresOf(t)
	for name, f := range faulty {
		failed := failures[name]
		for _, rule := range f.named {
			assert.Contains(t, failed, rule, name)
		}
	}
	for name := range faultyLocks {
		assert.Contains(t, failures[name], "Lock of a process that has died becomes free", name)
	}
}

// failuresOf runs the test again in a child of its own, and returns which subtests have failed
// there: the case, and the rules of the kit by their names.
func failuresOf(t *testing.T) map[string][]string {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.parallel=32",
		"-test.timeout=2m")
	child.Env = append(os.Environ(), childVariable+"=1")
	output, err := child.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		require.NoError(t, err)
	}

	failures := map[string][]string{}
	for line := range strings.Lines(string(output)) {
		name, isFailure := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "+t.Name()+"/")
		name, _, _ = strings.Cut(name, " (")
		name, rule, isRule := strings.Cut(strings.ReplaceAll(name, "_", " "), "/")
		if isFailure && isRule {
			failures[name] = append(failures[name], rule)
		}
	}
	require.NotContains(t, string(output), "\npanic: ")
	require.NotEmpty(t, failures)
	return failures
}
