package sessionkit

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store/sessiontest"
)

// adapters are the caches, as sessions.
var adapters = map[string]func(t *testing.T, server *sessiontest.Server) auth.Session{
	"ReuseTokenSource": openReuse,
	"smithy":           openSmithy,
	"azcore":           openAzure,
	"ssocreds":         openSSO,
	"openai":           openOpenAI,
	"axle":             openAxle,
}

// adapterVariable names the adapter that a child process tests.
const adapterVariable = "AXLE_SESSIONKIT_ADAPTER"

// TestChild is the kit over one adapter, in a child process.
func TestChild(t *testing.T) {
	if open := adapters[os.Getenv(adapterVariable)]; open != nil {
		sessiontest.Session(t, open)
	}
}

// The subtests that some cache fails.
const (
	r5        = "R5: a refused refresh is sent once, however many callers wait"
	r13       = "R13: a caller who gives up returns at once"
	r14       = "R14: a refresh that ends after a logout brings nothing back"
	r14Sends  = "R14: nothing is sent after a logout"
	r19Goexit = "R19: a Goexit in the transport does not block the next refresh"
	r19Panic  = "R19: a panic in the transport does not block the next refresh"
	r20       = "R20: a refresh goes on for the others if its first caller gives up"
	r20All    = "R20: a rotated token is kept although all callers have given up"
	holders   = "Holders of one login refresh once for each expiry"
	holdsOut  = "Holders of one login hear of a logout within a second"
)

// faultsOf returns the subtests that fail for an adapter.
func faultsOf(t *testing.T, adapter string) []string {
	t.Helper()

	// The panic may end its process, and runs in one of its own.
	pattern := "^TestChild$/^" + regexp.QuoteMeta(strings.ReplaceAll(r19Panic, " ", "_")) + "$"
	rest := future.Go(func() (string, error) { return runChild(adapter, "-test.skip="+pattern) })
	alone := future.Go(func() (string, error) { return runChild(adapter, "-test.run="+pattern) })
	outputs, err := future.All(rest, alone).Await(t.Context())
	require.NoError(t, err)

	require.Contains(t, outputs[0], ": TestChild (", "the child has not come to its end: %s", outputs[0])
	faults := failuresIn(outputs[0])
	if !strings.Contains(outputs[1], ": TestChild (") {
		return append(faults, r19Panic)
	}
	return append(faults, failuresIn(outputs[1])...)
}

// runChild runs the kit over an adapter in a child process, which may fail.
func runChild(adapter, filter string) (output string, err error) {
	child := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v", "-test.timeout=4m", filter)
	child.Env = append(os.Environ(), adapterVariable+"="+adapter)
	text, err := child.CombinedOutput()
	if _, isExit := errors.AsType[*exec.ExitError](err); isExit {
		err = nil
	}
	return string(text), err
}

// failuresIn returns the subtests that have failed.
func failuresIn(output string) (failed []string) {
	for line := range strings.Lines(output) {
		name, isFailure := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: TestChild/")
		if isFailure {
			name, _, _ = strings.Cut(name, " (")
			failed = append(failed, strings.ReplaceAll(name, "_", " "))
		}
	}
	return failed
}

// known are the faults of each cache. None of the others has a logout (R14).
var known = map[string][]string{
	// Token has no context, so each caller waits for its turn (R13). If the server refuses, each of
	// them asks again in its turn (R5).
	"ReuseTokenSource": {r5, r13, r14},

	// The refresh is shared by a singleflight. Those who wait for one that ended in a Goexit wait for
	// ever, and a panic ends the process.
	"smithy": {r14, r19Goexit, r19Panic},

	// The refresh has the context of its first caller (R20), and the others wait whatever theirs says
	// (R13). If it fails, each of them asks again (R5). After a panic nobody refreshes any more.
	"azcore": {r5, r13, r14, r19Goexit, r19Panic, r20, r20All},

	// The holders of a file do not know of each other: the refresh token is spent twice. The cache in
	// front is smithy's. The file still has the token after a logout.
	"ssocreds": {holders, holdsOut, r14, r14Sends, r19Goexit, r19Panic},

	// The refresh has the context of its first caller. After a panic nobody refreshes any more.
	"openai": {r14, r14Sends, r19Goexit, r19Panic, r20, r20All},

	"axle": nil,
}

func TestSession_NamesTheKnownFaultsOfEachCacheAndNoOther(t *testing.T) {
	if os.Getenv(adapterVariable) != "" {
		return
	}
	for name := range adapters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.ElementsMatch(t, known[name], faultsOf(t, name))
		})
	}
}
