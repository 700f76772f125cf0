// Package sessions proves by real processes that a session which many processes share costs one
// refresh for each expiry, and that no crash loses the login where the server would not.
//
// The test binary starts itself again as a worker. `go test ./test/sessions` runs each proof small.
// `go test ./test/sessions -timeout 60m -args -full` runs them at the size of docs/sessions.md, and
// writes the figures there.
package sessions

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

var full = flag.Bool("full", false, "run each proof at its full size, and write docs/sessions.md")

// scaled returns the full size of a proof, or the small one.
func scaled(whole, small int) int {
	if *full {
		return whole
	}
	return small
}

// TestMain does the work of one worker process, or runs the tests and fails the package when a test
// leaves a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	if task := os.Getenv(taskVariable); task != "" {
		if err := work(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}

	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 && *full {
		if err := figures.write("../../docs/sessions.md"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
