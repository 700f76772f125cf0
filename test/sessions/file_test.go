package sessions

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/store/sessiontest"
)

func TestProcesses_OneExpiryIsOneRefresh(t *testing.T) {
	processes, callers, expiries := scaled(20, 6), scaled(50, 10), scaled(100, 10)
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())

	reports := make(chan struct{}, 1)
	var workers []*process
	for range processes {
		workers = append(workers, start(t, task{Path: path, Server: server.URL(), Callers: callers}, signalOn(reports)))
	}

	// Each expiry waits until every caller has used the token of the one before, so that no call can
	// meet two expiries.
	allAt := func(generation int) func() bool {
		return func() bool {
			for _, w := range workers {
				if w.generation() < generation {
					return false
				}
			}
			return true
		}
	}
	for expiry := range expiries {
		until(t, reports, allAt(1+expiry))
		server.Expire()
	}
	until(t, reports, allAt(1+expiries))

	calls, failures := 0, 0
	for _, w := range workers {
		w.stop(t)
		calls += w.calls
		failures += len(w.failed())
		for _, f := range w.failed() {
			t.Error(f.Failure)
		}
	}
	counts := server.Counts()
	assert.Equal(t, expiries, counts.Refreshes)
	assert.Zero(t, counts.Reused)
	assert.Zero(t, failures)
	figures.add("one expiry is one refresh",
		fmt.Sprintf("%d processes × %d goroutines × %d expiries", processes, callers, expiries),
		fmt.Sprintf("%d refreshes, %d re-uses, %d failed calls of %d", counts.Refreshes, counts.Reused, failures, calls))
}
