package redisstore_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

var full = flag.Bool("full", false, "run the proofs with processes at their full size")

// scaled returns the full size of a proof, or the small one.
func scaled(whole, small int) int {
	if *full {
		return whole
	}
	return small
}

// silent is a logger of go-redis.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// TestMain does the work of one worker process, or runs the tests and fails the package when a test
// leaves a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	redis.SetLogger(silent{}) // it writes a line for each attempt to reach a server that is away
	if task := os.Getenv(taskVariable); task != "" {
		if err := work(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}

	// The tests wait most of the time.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
