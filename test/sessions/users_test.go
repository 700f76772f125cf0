//go:build unix

package sessions

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store/sessiontest"
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
	require.NoError(t, os.Chmod(folder, 0o755))
	return folder
}

// asNobody returns an edit that starts a worker as a user without rights. Only root can do that.
func asNobody(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	binary, err := os.Open(os.Args[0])
	require.NoError(t, err)
	defer binary.Close()
	name := filepath.Join(sharedFolder(t), "worker")
	readable, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(readable, binary)
	require.NoError(t, err)
	require.NoError(t, readable.Close())

	return func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args, cmd.Dir = name, []string{name}, filepath.Dir(name)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

func TestProcesses_AnotherUserCannotReadChangeOrLockTheSession(t *testing.T) {
	if !isRoot() {
		t.Log("Only root can start a worker as another user, so this test does nothing here.")
		return
	}
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	folder := sharedFolder(t)
	require.NoError(t, os.Chmod(folder, 0o777))
	path := filepath.Join(folder, "session.json")
	login(t, path, server.Login())
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	stranger := launch(t, 1, task{Path: path, Server: server.URL(), Callers: 1}, asNobody(t))
	stranger.until(t, func(w *process) bool { return len(w.failed()) > 0 })
	stranger.stop(t)
	for _, failure := range stranger.failed() {
		assert.Contains(t, failure.Kinds, "ErrStorage")
		assert.Contains(t, failure.Failure, "permission denied")
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after)

	owner := launch(t, 1, task{Path: path, Server: server.URL(), Callers: 3})
	owner.untilAt(t, 1)
	server.Expire()
	owner.untilAt(t, 2)
	assertNone(t, owner.failed())
}

func TestProcesses_RootThatUsesTheSessionOfAUserLeavesItToThatUser(t *testing.T) {
	if !isRoot() {
		t.Log("Only root can start a worker as another user, so this test does nothing here.")
		return
	}
	server := sessiontest.NewServer(sessiontest.Rules{})
	t.Cleanup(server.Close)
	folder := sharedFolder(t)
	require.NoError(t, os.Chown(folder, nobody, nobody))
	path := filepath.Join(folder, "session.json")
	asUser, work := asNobody(t), task{Path: path, Server: server.URL()}
	first := launch(t, 1, work, asUser)
	first.do(t, 0, command{Login: server.Login(), User: "Ada"})
	first.stop(t)
	assertNone(t, first.failed())

	// As with sudo, also if nobody has locked the session before.
	require.NoError(t, os.Remove(path+".lock"))
	work.Callers = 3
	root := launch(t, 1, work)
	root.untilAt(t, 1)
	server.Expire()
	root.untilAt(t, 2)

	again := launch(t, 2, work, asUser)
	again.untilAt(t, 2)
	server.Expire()
	again.untilAt(t, 3)
	root.untilAt(t, 3)
	assertNone(t, append(root.failed(), again.failed()...))
	assert.Equal(t, 2, server.Counts().Refreshes)
	assert.Zero(t, server.Counts().Reused)
	figures.add("root and another user use one path", "3 processes", "2 expiries, 2 refreshes, the file stays the user's")
}
