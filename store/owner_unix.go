//go:build unix

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// giveTo gives a new file to the owner of another one. That matters if root runs the program of a
// user, as with sudo: the user must be able to go on with the session.
func giveTo(file *os.File, like fs.FileInfo) error {
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	is, known := mine.Sys().(*syscall.Stat_t)
	want, wanted := like.Sys().(*syscall.Stat_t)
	if !known || !wanted || is.Uid == want.Uid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

// prepareLock makes the file of a lock, if root is the first to need it. Then the file belongs to the
// owner of its folder, who could not open one of root's.
func prepareLock(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user's path
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}

	folder, err := os.Stat(filepath.Dir(path))
	if err == nil {
		err = giveTo(file, folder)
	}
	return errors.Join(err, file.Close())
}
