package sessiontest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// A subtest that needs another process starts the test binary again, for itself alone. The child finds
// the name of the subtest in holderVariable, and its folder in folderVariable.
const (
	holderVariable = "AXLE_SESSIONTEST_HOLDER"
	folderVariable = "AXLE_SESSIONTEST_FOLDER"

	holdsLock = "sessiontest: this process holds the lock"
)

// lockOfDead wants that the lock excludes other processes, and that it becomes free if its holder is
// killed.
func lockOfDead(s *storage) {
	p := s.open()
	folder, shares := folderInUse(s.T)
	if !shares {
		s.Log("the session is not in the folder of Folder, where another process finds it")
		return
	}
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}

	arguments := []string{"-test.run=" + exactly(s.Name()), "-test.timeout=1m"}
	arguments = append(arguments, ownFlags(os.Args[1:])...)
	child := exec.CommandContext(s.T.Context(), self, arguments...) //nolint:gosec // the test itself
	child.Env = append(os.Environ(), holderVariable+"="+s.Name(), folderVariable+"="+folder)
	output, err := child.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	stdin, err := child.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := child.Start(); err != nil {
		s.Fatalf("another process cannot be started: %v", err)
	}
	defer func() {
		_ = stdin.Close()
		_ = child.Process.Kill()
		_ = child.Wait()
	}()

	if said, ok := waitForLine(output, holdsLock); !ok {
		s.Fatalf("another process has not got the lock:\n%s", said)
	}
	s.wantBusy(p, aDeadline)

	if err := child.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	s.locked(p, func() {})
}

// holdUntilKilled is the child of lockOfDead.
func holdUntilKilled(s *storage) {
	s.locked(s.open(), func() {
		_, _ = fmt.Fprintln(os.Stdout, holdsLock)
		_, _ = io.Copy(io.Discard, os.Stdin)
	})
}

// waitForLine reads until a line comes, or until the end. It returns what it has read.
func waitForLine(r io.Reader, line string) (said string, ok bool) {
	var all strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.Contains(lines.Text(), line) {
			return all.String(), true
		}
		_, _ = fmt.Fprintln(&all, lines.Text())
	}
	return all.String(), false
}

// ownFlags returns the arguments that are not flags of go test. The child may need them to come to the
// same subtest.
func ownFlags(arguments []string) (own []string) {
	for _, argument := range arguments {
		if !strings.HasPrefix(strings.TrimLeft(argument, "-"), "test.") {
			own = append(own, argument)
		}
	}
	return own
}

// exactly is the pattern of -test.run for one subtest.
func exactly(name string) string {
	elements := strings.Split(name, "/")
	for i, element := range elements {
		elements[i] = "^" + regexp.QuoteMeta(element) + "$"
	}
	return strings.Join(elements, "/")
}
