package sessiontest

import (
	"os"
	"sync"
	"testing"
)

// folders are the folders that [Folder] has made, by the test.
var folders struct {
	sync.Mutex
	of map[*testing.T]string
}

// Folder returns a folder for a session that is kept in files. Each call with one t returns the same
// folder, other than t.TempDir does, and each t has its own. The folder is removed after the test. If
// a subtest of [Persister] starts another process, Folder returns the same folder there.
func Folder(t *testing.T) string {
	t.Helper()
	folders.Lock()
	defer folders.Unlock()
	if folder, ok := folders.of[t]; ok {
		return folder
	}

	folder := os.Getenv(folderVariable)
	if folder == "" || os.Getenv(holderVariable) != t.Name() {
		folder = t.TempDir()
	}
	if folders.of == nil {
		folders.of = map[*testing.T]string{}
	}
	folders.of[t] = folder
	t.Cleanup(func() {
		folders.Lock()
		defer folders.Unlock()
		delete(folders.of, t)
	})
	return folder
}

// folderInUse returns the folder of a test that has asked for it.
func folderInUse(t *testing.T) (folder string, ok bool) {
	folders.Lock()
	defer folders.Unlock()
	folder, ok = folders.of[t]
	return folder, ok
}
