//go:build unix

package sessions

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody is a user without rights, as a number.
const nobody = 65534

func isRoot() bool { return os.Geteuid() == 0 }

// sharedFolder returns a new folder that every user of the system may look into. The folders of
// testing.T are for their owner alone.
func sharedFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "axle-sessions-") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	require.NoError(t, os.Chmod(folder, 0o755)) //nolint:gosec // it is shared
	return folder
}

// asNobody returns an edit that starts a worker as a user without rights. Only root can do that.
func asNobody(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	binary, err := os.Open(os.Args[0])
	require.NoError(t, err)
	defer binary.Close()
	name := filepath.Join(sharedFolder(t), "worker")
	readable, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // all users run it
	require.NoError(t, err)
	_, err = io.Copy(readable, binary)
	require.NoError(t, err)
	require.NoError(t, readable.Close())

	return func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args, cmd.Dir = name, []string{name}, filepath.Dir(name)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}
