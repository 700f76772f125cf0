//go:build unix

package sessions

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store/sessiontest"
)

// freeze stops the worker, as Ctrl-Z or a debugger does, and waits until it stands still.
func (p *process) freeze(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err == syscall.EINTR {
			continue
		}
		require.NoError(t, err)
		break
	}
	require.True(t, status.Stopped(), "the worker has ended instead")
}

func (p *process) thaw(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGCONT))
}

func TestProcesses_AStoppedHolderKeepsItsLockAndNobodyIsLoggedOut(t *testing.T) {
	// The limit of the others, and the shortest time that the holder is stopped.
	const limit, stopped = 150 * time.Millisecond, 600 * time.Millisecond

	rules := func(before, after func()) sessiontest.Rules {
		return sessiontest.Rules{
			BeforeRefresh: before,
			AfterRefresh:  func() bool { after(); return true },
		}
	}
	nothing := func() {}
	cases := []struct {
		name  string
		rules func(g *gate) sessiontest.Rules
		limit time.Duration // of the holder
		grace time.Duration
	}{
		{
			name:  "before the server has rotated the token",
			rules: func(g *gate) sessiontest.Rules { return rules(g.pass, nothing) },
		},
		{
			name:  "while the response is on its way",
			rules: func(g *gate) sessiontest.Rules { return rules(nothing, g.pass) },
		},
		// The holder gives up its own refresh when it goes on. So its response may be lost.
		{
			name:  "for longer than its own time limit",
			rules: func(g *gate) sessiontest.Rules { return rules(nothing, g.pass) },
			limit: stopped / 2,
			grace: time.Minute,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newGate()
			held := c.rules(g)
			held.Grace = c.grace
			server := sessiontest.NewServer(held)
			t.Cleanup(server.Close)
			path := filepath.Join(t.TempDir(), "session.json")
			login(t, path, server.Login())

			work := task{Path: path, Server: server.URL(), Callers: 3, Limit: c.limit, AnyFailureEnds: c.grace == 0}
			holder := launch(t, 1, work)
			holder.untilAt(t, 1)
			server.Expire()
			<-g.arrived
			holder.workers[0].freeze(t)
			began := time.Now()

			// Nobody else gets the lock, neither before the server has answered nor after it.
			work.Callers, work.Limit, work.AnyFailureEnds = 5, limit, true
			others := launch(t, scaled(10, 3), work)
			others.untilFailed(t, 5)
			close(g.opened)
			others.untilFailed(t, 5)

			// The holder's own limit is real time. It has to run out while the holder stands still.
			time.Sleep(time.Until(began.Add(stopped)))
			failures := others.failed()
			assertEach(t, "ErrBusy", failures)
			for _, f := range failures {
				assert.Less(t, f.Took, limit+2*time.Second)
			}

			holder.workers[0].thaw(t)
			holder.untilAt(t, 2)
			others.untilAt(t, 2)
			assertEach(t, "ErrBusy", others.failed())
			if c.grace == 0 {
				assertNone(t, holder.failed())
			}
			for _, f := range holder.failed() {
				assert.False(t, f.Ended, f.Failure)
			}
			counts := server.Counts()
			assert.Equal(t, 1, counts.Refreshes)
			assert.Zero(t, counts.Reused)
			figures.add("the holder of the lock is stopped (SIGSTOP) "+c.name,
				fmt.Sprintf("%d processes wait", len(others.workers)),
				fmt.Sprintf("%d refresh, %d re-uses, 0 logouts, the others get ErrBusy until it goes on",
					counts.Refreshes, counts.Reused))
		})
	}
}

func TestProcesses_StopsAtRandomPointsCostNoCall(t *testing.T) {
	processes, expiries := scaled(10, 4), scaled(200, 10)

	// The exchange takes a moment, so that a stop can fall into each part of it. The points of the
	// stops are random, and so are the times until they end.
	pause := func() { time.Sleep(rand.N(4 * time.Millisecond)) }
	server := sessiontest.NewServer(sessiontest.Rules{
		BeforeRefresh: pause,
		AfterRefresh:  func() bool { pause(); return true },
	})
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())

	workers := launch(t, processes, task{Path: path, Server: server.URL(), Callers: 3, AnyFailureEnds: true})
	for expiry := range expiries {
		workers.untilAt(t, 1+expiry)
		server.Expire()
		for range 3 {
			time.Sleep(rand.N(10 * time.Millisecond))
			victim := workers.workers[rand.IntN(processes)]
			victim.freeze(t)
			time.Sleep(rand.N(20 * time.Millisecond))
			victim.thaw(t)
		}
	}
	workers.untilAt(t, 1+expiries)

	calls, counts, failures := workers.stop(t), server.Counts(), workers.failed()
	assertNone(t, failures)
	assert.Equal(t, expiries, counts.Refreshes)
	assert.Zero(t, counts.Reused)
	figures.add("SIGSTOP and SIGCONT at random points",
		fmt.Sprintf("%d processes, %d expiries, %d stops", processes, expiries, 3*expiries),
		fmt.Sprintf("%d refreshes, %d re-uses, %d failed calls of %d",
			counts.Refreshes, counts.Reused, len(failures), calls))
}
