package sessiontest_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVariable says that the test binary was started by one of its own tests, which reads what
// fails. See failuresOf.
const childVariable = "AXLE_SESSIONTEST_CHILD"

// TestMain fails the package when a test leaves a goroutine behind. The tests of a child fail on
// purpose, in the middle of what they do.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}
