package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A binary is the compiled tests of one package, over the guarded source.
type binary struct {
	path, folder string
	reached      map[int][]string         // the tests that come to a mutant, by its id
	took         map[string]time.Duration // by test, in a run by itself
}

// guards is the file that is added to the measured package. It reports whether a mutant is the chosen one, and writes down, if
// asked, to which mutants a run comes.
const guards = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	mutateChosen, _ = strconv.Atoi(os.Getenv("MUTATE_ID"))
	mutateReach, _  = os.OpenFile(os.Getenv("MUTATE_REACH"), os.O_WRONLY|os.O_APPEND, 0)
	mutateReached   [%d]atomic.Bool
)

func mutateIsOn(id int) bool {
	if mutateReach != nil && !mutateReached[id].Swap(true) {
		mutateReach.WriteString(strconv.Itoa(id) + "\n")
	}
	return id == mutateChosen
}
`

// compile writes the guarded source beside the real one, by an overlay (go help build), and compiles the tests of each package.
func (o options) compile(temp string, sources map[string][]byte, mutants []mutant) ([]*binary, error) {
	replace := map[string]string{}
	put := func(name string, content []byte) error {
		replace[filepath.Join(o.folder, name)] = filepath.Join(temp, name)
		return os.WriteFile(filepath.Join(temp, name), content, 0o600)
	}

	for name, source := range sources {
		var own []mutant
		for _, m := range mutants {
			if m.file == name {
				own = append(own, m)
			}
		}
		if err := put(name, guard(source, own)); err != nil {
			return nil, err
		}
	}
	if err := put("mutate_guards.go", fmt.Appendf(nil, guards, o.packageName, len(mutants)+1)); err != nil {
		return nil, err
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(temp, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return nil, err
	}

	var binaries []*binary
	for i, tests := range o.tests {
		b := &binary{
			path: filepath.Join(temp, strconv.Itoa(i)+".test"), folder: filepath.Join(o.folder, tests),
			reached: map[int][]string{}, took: map[string]time.Duration{},
		}
		cmd := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", b.path, ".") //nolint:gosec // our own
		cmd.Dir = b.folder
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("the guarded source of %s does not compile: %w\n%s", tests, err, output)
		}
		binaries = append(binaries, b)
	}
	return binaries, nil
}

// findReach runs each test of the binary by itself, without any change, and notes to which mutants it comes. A test that fails
// in this way is not used.
func (b *binary) findReach(o options, temp string) error {
	output, err := b.run(o.limit, nil, "-test.list=.")
	if err != nil {
		return fmt.Errorf("the tests cannot be listed: %w\n%s", err, output)
	}
	reach := filepath.Join(temp, "reach")
	for test := range strings.FieldsSeq(string(output)) {
		if strings.HasPrefix(test, "Benchmark") {
			continue
		}
		if err := os.WriteFile(reach, nil, 0o600); err != nil {
			return err
		}
		start := time.Now()
		output, err := b.run(o.limit, []string{"MUTATE_REACH=" + reach}, "-test.run=^"+test+"$")
		if err != nil {
			fmt.Printf("not used, since it fails without any change: %s\n%s", test, output)
			continue
		}
		b.took[test] = time.Since(start)
		ids, err := os.ReadFile(reach) //nolint:gosec // our own
		if err != nil {
			return err
		}
		for id := range bytes.FieldsSeq(ids) {
			n, err := strconv.Atoi(string(id))
			if err != nil {
				return err
			}
			b.reached[n] = append(b.reached[n], test)
		}
	}
	return nil
}

// notices runs the tests that come to a mutant, with the mutant in force, and reports whether one of them fails.
func (b *binary) notices(o options, m mutant) (failed string, noticed bool) {
	tests := b.reached[m.id]
	if len(tests) == 0 {
		return "", false
	}

	// A change that makes a test wait forever is noticed long before the limit that the user sets.
	limit := 5 * time.Second
	for _, test := range tests {
		limit += 4 * b.took[test]
	}
	pattern := "-test.run=^(" + strings.Join(tests, "|") + ")$"
	output, err := b.run(min(limit, o.limit), []string{"MUTATE_ID=" + strconv.Itoa(m.id)}, pattern, "-test.failfast")
	if err == nil {
		return "", false
	}
	for line := range strings.Lines(string(output)) {
		if after, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			return strings.Fields(after)[0], true
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || bytes.Contains(output, []byte("panic: test timed out")) {
		return "the time limit", true
	}
	return "a panic", true
}

func (b *binary) run(limit time.Duration, environment []string, flags ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+10*time.Second)
	defer cancel()
	flags = append(flags, "-test.timeout="+limit.String())
	cmd := exec.CommandContext(ctx, b.path, flags...) //nolint:gosec // compiled above
	cmd.Dir = b.folder
	cmd.Env = append(os.Environ(), environment...)
	return cmd.CombinedOutput()
}
