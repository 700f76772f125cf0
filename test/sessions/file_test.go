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
	workers := launch(t, processes, task{Path: path, Server: server.URL(), Callers: callers})

	// Each expiry waits until every caller has used the token of the one before, so that no call can
	// meet two expiries.
	for expiry := range expiries {
		workers.untilAt(t, 1+expiry)
		server.Expire()
	}
	workers.untilAt(t, 1+expiries)

	calls, counts, failures := workers.stop(t), server.Counts(), workers.failed()
	assertNone(t, failures)
	assert.Equal(t, expiries, counts.Refreshes)
	assert.Zero(t, counts.Reused)
	figures.add("one expiry is one refresh",
		fmt.Sprintf("%d processes × %d goroutines × %d expiries", processes, callers, expiries),
		fmt.Sprintf("%d refreshes, %d re-uses, %d failed calls of %d",
			counts.Refreshes, counts.Reused, len(failures), calls))
}
