package sessiontest

import (
	"sync"
	"testing"
)

// folders are the folders that [Folder] has made, by the test.
var folders struct {
	sync.Mutex
	of map[*testing.T]string
}

// Folder returns a folder for a session that is kept in files. Each call with one t returns the same
// folder, other than t.TempDir does, and each t has its own. The folder is removed after the test.
func Folder(t *testing.T) string {
	t.Helper()
	folders.Lock()
	defer folders.Unlock()
	if folder, ok := folders.of[t]; ok {
		return folder
	}

	folder := t.TempDir()
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
