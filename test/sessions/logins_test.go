package sessions

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func TestProcesses_ALoginAndALogoutAreSeenEverywhereWithinASecond(t *testing.T) {
	processes, rounds := scaled(20, 5), scaled(50, 3)
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	workers := launch(t, processes, task{Path: path, Server: server.URL()})
	workers.ready(t)

	var slowest time.Duration
	give := func(worker int, c command) {
		done := workers.do(t, worker%processes, c)
		workers.until(t, func(w *process) bool { return w.changed().Changed && w.changed().User == c.User })
		for _, w := range workers.workers {
			slowest = max(slowest, w.changed().At.Sub(done.Began))
		}
	}
	for round := range rounds {
		give(round, command{Logout: true})
		give(round+1, command{Login: server.Login(), User: fmt.Sprintf("Grace %d", round)})
		give(round+2, command{Login: server.Login(), User: fmt.Sprintf("Edsger %d", round)})
	}
	assertNone(t, workers.failed())
	assert.LessOrEqual(t, slowest, time.Second)
	figures.add("a login or a logout is seen by every other process",
		fmt.Sprintf("%d processes, %d changes", processes, 3*rounds),
		fmt.Sprintf("after %d ms at the latest", slowest.Milliseconds()))
}

// front stands before the server. It notes which logins each call was sent with, and can hold calls.
type front struct {
	*httptest.Server

	mu     sync.Mutex
	logins map[string]map[string]bool // of each call
	held   int
	gate   chan struct{} // nil: no call is held
}

func newFront(t *testing.T, server *sessiontest.Server) *front {
	t.Helper()
	origin, err := url.Parse(server.URL())
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(origin) },
		ErrorLog: log.New(io.Discard, "", 0), // a worker that ends cancels its calls
	}

	f := &front{logins: map[string]map[string]bool{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gate := f.note(r); gate != nil {
			<-gate
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// note notes a call, and returns the gate that holds it.
func (f *front) note(r *http.Request) chan struct{} {
	name := r.Header.Get(callHeader)
	if name == "" {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logins[name] == nil {
		f.logins[name] = map[string]bool{}
	}

	// The access tokens of a server have the name of their login: access.NAME.GENERATION.RANDOM.
	if fields := strings.Split(r.Header.Get("Authorization"), "."); len(fields) == 4 {
		f.logins[name][fields[1]] = true
	}
	if f.gate != nil {
		f.held++
	}
	return f.gate
}

// hold holds the calls that come from now on, until release is called.
func (f *front) hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.gate, f.held = gate, 0
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.gate = nil
		close(gate)
	}
}

func (f *front) holds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

// assertOneLogin wants that no call was sent with the tokens of two logins.
func (f *front) assertOneLogin(t *testing.T) (calls int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for call, logins := range f.logins {
		assert.LessOrEqual(t, len(logins), 1, "the call %s was sent with the tokens of %v", call, logins)
	}
	return len(f.logins)
}

func TestProcesses_CallsOfALoginAreNeverSentWithTheTokenOfTheNext(t *testing.T) {
	const processes, callers = 3, 5
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	f := newFront(t, server)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	workers := launch(t, processes, task{Path: path, Server: f.URL, Callers: callers, AnyFailureEnds: true})
	workers.untilAt(t, 1)

	// Ada's calls are under way when her token expires, and Grace logs in before they get their 401.
	release := f.hold()
	require.Eventually(t, func() bool { return f.holds() == processes*callers }, 30*time.Second, time.Millisecond)
	server.Expire()
	workers.do(t, 0, command{Login: server.Login(), User: "Grace"})
	workers.until(t, func(w *process) bool { return w.changed().User == "Grace" })
	release()
	workers.untilFailed(t, callers)

	// The 401 is their error. Neither a refresh nor a retry could make Ada's calls out of Grace's
	// session.
	failures := workers.failed()
	assert.Len(t, failures, processes*callers)
	for _, failure := range failures {
		assert.Contains(t, failure.Failure, "401 Unauthorized")
		assert.False(t, failure.Ended)
	}
	workers.stop(t)
	assert.Zero(t, server.Counts().Refreshes)
	calls := f.assertOneLogin(t)
	assert.Greater(t, calls, processes*callers, "no call of Grace was sent")
}

// underLock is a Persister whose lock the test has already.
type underLock struct {
	store.Persister
	lock store.Lock
}

func (u underLock) Lock(context.Context) (store.Lock, error) { return noUnlock{u.lock}, nil }

type noUnlock struct{ store.Lock }

func (noUnlock) Unlock() error { return nil }

func TestProcesses_CallsThatWaitForTheRefreshOfALoginThatIsReplacedGetErrSessionChanged(t *testing.T) {
	const processes, callers = 3, 5
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	f := newFront(t, server)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	workers := launch(t, processes, task{Path: path, Server: f.URL, Callers: callers, AnyFailureEnds: true})
	workers.untilAt(t, 1)

	// All calls have got their 401, and wait for the lock, when somebody else logs in.
	release := f.hold()
	require.Eventually(t, func() bool { return f.holds() == processes*callers }, 30*time.Second, time.Millisecond)
	lock, err := store.File(path).Lock(t.Context())
	require.NoError(t, err)
	server.Expire()
	release()
	require.Eventually(t, func() bool { return server.Counts().Unauthorized == processes*callers },
		30*time.Second, time.Millisecond)
	loginOver(t, underLock{store.File(path), lock}, server.Login())
	workers.untilFailed(t, callers)
	require.NoError(t, lock.Unlock())

	// A caller that comes to know of its 401 after the login gets that alone.
	for _, w := range workers.workers {
		var told int
		for _, failure := range w.failed() {
			assert.Contains(t, failure.Failure, "401 Unauthorized")
			assert.False(t, failure.Ended)
			if slices.Contains(failure.Kinds, "ErrSessionChanged") {
				told++
			}
		}
		assert.Positive(t, told)
	}
	assert.Len(t, workers.failed(), processes*callers)
	workers.stop(t)
	assert.Zero(t, server.Counts().Refreshes)
	f.assertOneLogin(t)
}

func TestProcesses_LoginsAndExpiriesAtAnyTimeMixNoTwoLogins(t *testing.T) {
	processes, logins := scaled(10, 4), scaled(200, 12)
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	f := newFront(t, server)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	workers := launch(t, processes, task{Path: path, Server: f.URL, Callers: 3})
	workers.untilAt(t, 1)

	last := ""
	for n := range logins {
		if n%3 == 2 {
			workers.workers[(n+1)%processes].order(t, command{Logout: true})
		}
		last = fmt.Sprint("user ", n)
		workers.do(t, n%processes, command{Login: server.Login(), User: last})
		server.Expire()
	}

	// The last one who logged in, or nobody, is the user everywhere.
	workers.until(t, (*process).hasObeyed)
	saved, err := store.File(path).Load(t.Context())
	require.NoError(t, err)
	want := ""
	if saved != nil {
		want = last
	}
	workers.until(t, func(w *process) bool { return w.changed().User == want })
	workers.stop(t)
	for _, failure := range workers.failed() {
		assert.NotContains(t, failure.Kinds, "ErrOutcomeUnknown", failure.Failure)
		assert.NotContains(t, failure.Kinds, "ErrStorage", failure.Failure)
	}
	assert.Zero(t, server.Counts().Reused)
	calls := f.assertOneLogin(t)
	figures.add("logins as other users, logouts and expiries at any time",
		fmt.Sprintf("%d processes, %d logins", processes, logins),
		fmt.Sprintf("0 re-uses, 0 of %d calls sent with the tokens of two logins", calls))
}

func TestProcesses_ALogoutWaitsForTheRefreshOfAnotherProcessAndEndsItsToken(t *testing.T) {
	g := newGate()
	server := sessiontest.NewServer(sessiontest.Rules{BeforeRefresh: g.pass})
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	work := task{Path: path, Server: server.URL()}
	others := launch(t, 2, work)
	others.ready(t)
	work.Callers = 3
	refreshing := launch(t, 1, work)
	refreshing.untilAt(t, 1)
	server.Expire()
	<-g.arrived

	// The logout is under way while the other process has the lock.
	leaving := others.workers[0]
	leaving.order(t, command{Logout: true})
	until(t, others.reports, func() bool { return leaving.changed().Changed })
	assert.FileExists(t, path)
	assert.Empty(t, leaving.loggedOut())
	close(g.opened)
	until(t, others.reports, leaving.hasObeyed)

	for _, f := range []*fleet{refreshing, others} {
		f.until(t, func(w *process) bool { return w.changed().Changed && w.changed().User == "" })
	}
	assert.NoFileExists(t, path)
	tokens := leaving.loggedOut()
	require.Len(t, tokens, 1)
	assert.Contains(t, tokens[0], ".2.", "the server was not told to revoke the newest refresh token")
	assertNone(t, others.failed())
	refreshing.stop(t)
	others.stop(t)
	_, err := os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist, "the session has come back")
	assert.Equal(t, 1, server.Counts().Refreshes)
	assert.Zero(t, server.Counts().Reused)
}
