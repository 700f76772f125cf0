package sessions

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store/sessiontest"
)

func init() {
	limitFileSize = func(bytes int64) error {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		limit.Cur = limit.Max
		if bytes >= 0 {
			limit.Cur = uint64(bytes)
		}
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	}
}

const unlimited = -1

// limitFiles limits the size of the files of each worker, in bytes.
func (f *fleet) limitFiles(t *testing.T, bytes int64) {
	t.Helper()
	for worker := range f.workers {
		f.do(t, worker, command{FileSize: &bytes})
	}
}

// smallDisk mounts a new disk of 64 KiB, if this process may do that.
func smallDisk(t *testing.T) (folder string, ok bool) {
	t.Helper()
	folder = t.TempDir()
	if err := syscall.Mount("axle-sessions", folder, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Logf("No disk can be mounted here (%v), so the limit of the file size stands for a full disk.", err)
		return "", false
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	return folder, true
}

// broken is a storage that takes nothing for a while.
type broken struct {
	name   string
	folder string
	start  []func(*exec.Cmd) // how the workers are started
	fail   func(t *testing.T, f *fleet)
	mend   func(t *testing.T, f *fleet)
}

func brokenStorages(t *testing.T) []broken {
	t.Helper()
	storages := []broken{{
		name:   "files have reached their size limit",
		folder: t.TempDir(),
		fail:   func(t *testing.T, f *fleet) { f.limitFiles(t, 0) },
		mend:   func(t *testing.T, f *fleet) { f.limitFiles(t, unlimited) },
	}}

	var start []func(*exec.Cmd)
	folder := t.TempDir()
	if isRoot() {
		// A folder is never read-only for root.
		folder, start = sharedFolder(t), []func(*exec.Cmd){asNobody(t)}
		require.NoError(t, os.Chown(folder, nobody, nobody))
	}
	storages = append(storages, broken{
		name:   "the folder is read-only",
		folder: folder,
		start:  start,
		fail:   func(t *testing.T, _ *fleet) { require.NoError(t, os.Chmod(folder, 0o500)) },
		mend:   func(t *testing.T, _ *fleet) { require.NoError(t, os.Chmod(folder, 0o700)) },
	})

	full, ok := smallDisk(t)
	if !ok {
		return storages
	}
	filler := filepath.Join(full, "filler")
	readOnly, _ := smallDisk(t)
	return append(storages, broken{
		name:   "the disk is full",
		folder: full,
		fail: func(t *testing.T, _ *fleet) {
			file, err := os.Create(filler)
			require.NoError(t, err)
			defer file.Close()
			_, err = io.Copy(file, zeros{})
			require.ErrorIs(t, err, syscall.ENOSPC)
		},
		mend: func(t *testing.T, _ *fleet) { require.NoError(t, os.Remove(filler)) },
	}, broken{
		name:   "the file system is read-only",
		folder: readOnly,
		fail: func(t *testing.T, _ *fleet) {
			require.NoError(t, syscall.Mount("", readOnly, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		},
		mend: func(t *testing.T, _ *fleet) {
			require.NoError(t, syscall.Mount("", readOnly, "", syscall.MS_REMOUNT, ""))
		},
	})
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestProcesses_NothingIsSpentWhileTheStorageTakesNothing(t *testing.T) {
	for _, storage := range brokenStorages(t) {
		t.Run(storage.name, func(t *testing.T) {
			var asked atomic.Int32
			server := sessiontest.NewServer(sessiontest.Rules{BeforeRefresh: func() { asked.Add(1) }})
			t.Cleanup(server.Close)
			path := filepath.Join(storage.folder, "session.json")
			login(t, path, server.Login())
			giveAway(t, storage.folder, len(storage.start) > 0)

			work := task{Path: path, Server: server.URL(), Callers: 3, AnyFailureEnds: true}
			workers := launch(t, scaled(10, 3), work, storage.start...)
			workers.untilAt(t, 1)
			storage.fail(t, workers)
			server.Expire()
			workers.untilFailed(t, 9)
			assert.Zero(t, asked.Load(), "the refresh token was sent")

			storage.mend(t, workers)
			workers.untilAt(t, 2)
			assertEach(t, "ErrStorage", workers.failed())
			counts := server.Counts()
			assert.Equal(t, 1, counts.Refreshes)
			assert.Zero(t, counts.Reused)
			figures.add("before the refresh, "+storage.name,
				fmt.Sprintf("%d processes", len(workers.workers)), "0 refresh tokens sent, 0 logouts, 1 refresh when the storage is back")
		})
	}
}

// giveAway gives what is in a folder to nobody, if another user is to have it.
func giveAway(t *testing.T, folder string, away bool) {
	t.Helper()
	if !away {
		return
	}
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, entry := range entries {
		require.NoError(t, os.Chown(filepath.Join(folder, entry.Name()), nobody, nobody))
	}
}

func TestProcesses_ARotatedTokenThatCannotBeSavedIsKeptFromTheOthersUntilItIs(t *testing.T) {
	g := newGate()
	server := sessiontest.NewServer(sessiontest.Rules{BeforeRefresh: g.pass})
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	work := task{Path: path, Server: server.URL(), Callers: 3, AnyFailureEnds: true}
	holder := launch(t, 1, work)
	holder.untilAt(t, 1)

	// The disk is full when the response comes.
	server.Expire()
	<-g.arrived
	holder.limitFiles(t, 0)
	close(g.opened)
	holder.untilAt(t, 2)
	work.Limit = 150 * time.Millisecond
	others := launch(t, 3, work)
	others.untilFailed(t, 5)

	holder.limitFiles(t, unlimited)
	others.untilAt(t, 2)
	assertNone(t, holder.failed())
	assertEach(t, "ErrBusy", others.failed())
	counts := server.Counts()
	assert.Equal(t, 1, counts.Refreshes)
	assert.Zero(t, counts.Reused)
	figures.add("the disk is full when the new token comes", "3 other processes",
		"the holder goes on, the others get ErrBusy until the token is saved, 0 re-uses, 0 logouts")
}
