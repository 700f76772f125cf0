package page_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExample_EndsAndLeavesNothingBehind(t *testing.T) {
	program := filepath.Join(t.TempDir(), "browser.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./_examples/browser")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	for name, end := range map[string]func(*example) error{
		"Enter":    func(e *example) error { _, err := e.input.Write([]byte("\n")); return err },
		"Ctrl-C":   func(e *example) error { return e.process.Process.Signal(os.Interrupt) },
		"no input": func(e *example) error { return e.input.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			process := exec.CommandContext(t.Context(), program)
			process.Env = append(os.Environ(), "TMPDIR="+folder)
			one, err := start(process)
			require.NoError(t, err)

			require.NoError(t, end(one))
			require.NoError(t, process.Wait())
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}
