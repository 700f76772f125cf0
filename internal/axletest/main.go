package axletest

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, and fails the package when a test leaves a goroutine behind. It is
// for TestMain.
//
// In a browser the runtime has a goroutine of its own, which handles the events of the page, and the
// relay has some: see the command test/browser/chromium.
func Main(m *testing.M, opts ...goleak.Option) {
	startRelay()

	const here = "github.com/axlehttp/axle/internal/axletest."
	goleak.VerifyTestMain(m, append(opts, goleak.IgnoreAnyFunction("runtime.handleEvent"),
		goleak.IgnoreAnyFunction(here+"relay"), goleak.IgnoreAnyFunction(here+"relayBack"))...)
}
