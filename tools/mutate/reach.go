package main

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A block is a stretch of code that is run as a whole or not at all.
type block struct {
	fromLine, fromColumn, toLine, toColumn int
	reached                                bool // some test runs it
}

// coverage runs the unchanged tests once. It returns the blocks by file name, or an error if a test fails.
func (o options) coverage() (map[string][]block, error) {
	temp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(temp) }()

	blocks := map[string][]block{}
	for _, pattern := range o.tests {
		profile := filepath.Join(temp, "profile")
		if output, err := o.test(pattern, "-coverpkg=.", "-coverprofile="+profile); err != nil {
			return nil, fmt.Errorf("the tests fail without any change: %w\n%s", err, output)
		}
		if err := readProfile(profile, blocks); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// readProfile adds the blocks of a cover profile (go doc golang.org/x/tools/cover has the form).
func readProfile(name string, blocks map[string][]block) error {
	file, err := os.Open(name) //nolint:gosec // a temporary file of ours
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()

	lines := bufio.NewScanner(file)
	for lines.Scan() {
		at := strings.LastIndex(lines.Text(), ":")
		if at < 0 {
			continue
		}
		var b block
		var statements, count int
		_, err := fmt.Sscanf(lines.Text()[at+1:], "%d.%d,%d.%d %d %d",
			&b.fromLine, &b.fromColumn, &b.toLine, &b.toColumn, &statements, &count)
		if err == nil {
			b.reached = count > 0
			base := path.Base(lines.Text()[:at])
			blocks[base] = append(blocks[base], b)
		}
	}
	return lines.Err()
}

// isUnreached reports whether no test comes to the position. A position outside every block, as that of a case's
// condition, is taken for reached.
func isUnreached(blocks []block, line, column int) bool {
	inside := false
	for _, b := range blocks {
		after := line > b.fromLine || line == b.fromLine && column >= b.fromColumn
		before := line < b.toLine || line == b.toLine && column <= b.toColumn
		if after && before {
			if b.reached {
				return false
			}
			inside = true
		}
	}
	return inside
}
