package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
)

// FileOption configures [File].
type FileOption func(*file)

// FileKey encrypts the file with AES-256-GCM, which also authenticates it. The key has 32 bytes,
// and it must come from a random source, such as the keyring of the system. A password needs a
// function such as scrypt first. A file that was written with another key, or with none, is an error
// that matches [ErrForeign].
func FileKey(key []byte) FileOption {
	key = bytes.Clone(key)
	return func(f *file) { f.sealed, f.key = true, key }
}

// File returns a Persister that keeps a session in the file at path, for all processes of one user
// on one machine. [UserFile] has a good path. A folder that is missing is made for the user alone
// (0700), and the file is for the user alone (0600). On Windows the folder decides who may read the
// file. The path must be on a local disk: a lock on a network file system may exclude nobody.
//
// Each Save writes a new file, syncs it and renames it, so that a crash leaves the old session or
// the new one. If path is a symbolic link, its target is replaced. A file keeps its owner when root
// replaces it, so that a user can go on after a sudo.
//
// The lock is a lock of the system on a second file, path with ".lock" at the end, which is never
// removed. The system releases it when the process of its holder ends, however that happens. The
// lock of a process that is stopped, as by Ctrl-Z, is not released. Others wait for it, within their
// limits, since the stopped process may be about to spend the refresh token.
//
// Changes are found by looking at the file four times a second, without a goroutine. A call does not
// look at the file.
func File(path string, opts ...FileOption) Persister {
	f := &file{path: path}
	for _, opt := range opts {
		if opt != nil {
			opt(f)
		}
	}

	switch {
	case path == "":
		f.bad = errors.New("store: File was given an empty path")
	case strings.ContainsRune(path, 0):
		f.bad = errors.New("store: the path of File has a NUL in it")
	case f.sealed && len(f.key) != keyLength:
		f.bad = fmt.Errorf("store: FileKey was given %d bytes, and a key has %d", len(f.key), keyLength)
	case f.sealed:
		f.aead, f.bad = newAEAD(f.key)
	}
	return f
}

// UserFile returns the path where a program keeps the session of its user: below $XDG_STATE_HOME or
// ~/.local/state, on macOS below ~/Library/Application Support, and on Windows below %LocalAppData%.
// The name of the program becomes the folder. It must be a single element of a path.
func UserFile(app string) (path string, err error) {
	if app == "" || app == "." || app == ".." || strings.ContainsAny(app, "/\\:\x00") {
		return "", fmt.Errorf("store: UserFile was given %q, which is no name of a folder", app)
	}
	folder, err := stateFolder()
	if err != nil {
		return "", fmt.Errorf("store: UserFile: %w", err)
	}
	return filepath.Join(folder, app, "session.json"), nil
}

// file is the Persister of [File].
type file struct {
	path   string
	bad    error // what is wrong with the arguments of File
	sealed bool
	key    []byte
	aead   cipher.AEAD // nil: the file is plain

	changes atomic.Uint64 // that this Persister has made
}

const (
	keyLength = 32 // bytes

	// lockPause is the pause between two attempts to get the lock.
	lockPause = 10 * time.Millisecond

	// lookPause is the pause between two looks at the file.
	lookPause = 250 * time.Millisecond

	// maxFile is the most that is read of a file, in bytes. A session is much smaller.
	maxFile = 16 << 20
)

// Load implements Persister.
func (f *file) Load(ctx context.Context) ([]byte, error) {
	if err := f.usable(ctx); err != nil {
		return nil, err
	}

	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrForeign, f.path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrForeign, f.path, info.Size())
	}

	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return f.unseal(data)
}

// Save implements Persister.
func (f *file) Save(ctx context.Context, old, data []byte) error {
	if err := f.compare(ctx, old); err != nil {
		return err
	}
	f.changes.Add(1)
	return replaceFile(f.target(), f.seal(data))
}

// Delete implements Persister.
func (f *file) Delete(ctx context.Context, old []byte) error {
	if err := f.compare(ctx, old); err != nil || old == nil {
		return err
	}
	f.changes.Add(1)
	target := f.target()
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(filepath.Dir(target))
}

// compare returns an error if something else than old is saved. The lock is held, so nobody else
// changes the file.
func (f *file) compare(ctx context.Context, old []byte) error {
	saved, err := f.Load(ctx)
	if err == nil && (!bytes.Equal(saved, old) || (saved == nil) != (old == nil)) {
		err = ErrConflict
	}
	return err
}

// target returns the path of the file itself, where path is a symbolic link.
func (f *file) target() string {
	if target, err := filepath.EvalSymlinks(f.path); err == nil {
		return target
	}
	return f.path
}

func (f *file) usable(ctx context.Context) error {
	switch {
	case f.bad != nil:
		return f.bad
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return nil
}

// Lock implements Persister.
func (f *file) Lock(ctx context.Context) (Lock, error) {
	if err := f.usable(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, err
	}

	for {
		if err := prepareLock(f.path + ".lock"); err != nil {
			return nil, err
		}
		l := flock.New(f.path + ".lock")
		got, err := l.TryLockContext(ctx, lockPause)
		switch {
		case ctx.Err() != nil && !got:
			return nil, fmt.Errorf("%w (%s)", ErrBusy, l.Path())
		case err != nil:
			return nil, err
		}

		// Somebody may have removed the file between its opening and its locking.
		if held := (fileLock{l}); held.Held() == nil {
			return held, nil
		}
		if err := l.Unlock(); err != nil {
			return nil, err
		}
	}
}

// fileLock is the lock of a [File].
type fileLock struct{ *flock.Flock }

// Held returns an error if the lock's file has been removed. Others would lock a new one.
func (l fileLock) Held() error {
	mine, err := l.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(l.Path())
	if err != nil {
		return err
	}
	if !os.SameFile(mine, now) {
		return fmt.Errorf("%s has been replaced by another file", l.Path())
	}
	return nil
}

// Watch implements Persister.
func (f *file) Watch(changed func()) (stop func(), err error) {
	if f.bad != nil {
		return nil, f.bad
	}

	w := &fileWatch{file: f, changed: changed, changes: f.changes.Load()}
	w.last, _ = os.Stat(f.path)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(lookPause, w.look)
	return w.stop, nil
}

// fileWatch looks at a file again and again.
type fileWatch struct {
	file    *file
	changed func()

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool

	// The file, and the changes that its Persister had made, at the last look. The file is nil if
	// there was none.
	last    fs.FileInfo
	changes uint64
}

func (w *fileWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}

	// Each save makes another file. If this process has saved since the last look, somebody else may
	// have put the older state back in the same moment, as a logout after a login does.
	changes := w.file.changes.Load()
	now, _ := os.Stat(w.file.path)
	if changes != w.changes || !isSameVersion(w.last, now) {
		w.last, w.changes = now, changes
		w.changed()
	}
	w.timer.Reset(lookPause)
}

func (w *fileWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func isSameVersion(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// sealedPrefix begins an encrypted file. It is authenticated with the data.
var sealedPrefix = []byte("axle-sealed-session 1\n")

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts the data, if there is a key.
func (f *file) seal(data []byte) []byte {
	if f.aead == nil {
		return data
	}

	prefix := bytes.Clone(sealedPrefix)
	return f.aead.Seal(prefix, nil, data, sealedPrefix) //nolint:gosec // the AEAD makes its nonce
}

// unseal decrypts the content of the file, if there is a key.
func (f *file) unseal(content []byte) ([]byte, error) {
	sealed, isSealed := bytes.CutPrefix(content, sealedPrefix)
	switch {
	case f.aead == nil && !isSealed:
		return content, nil
	case f.aead == nil:
		return nil, fmt.Errorf("%w: %s is encrypted, and there is no FileKey", ErrForeign, f.path)
	case !isSealed:
		return nil, fmt.Errorf("%w: %s is not encrypted, and there is a FileKey", ErrForeign, f.path)
	}

	// Empty data is not nil, which would say that nothing is saved.
	data, err := f.aead.Open([]byte{}, nil, sealed, sealedPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %s was encrypted with another key, or has been changed",
			ErrForeign, f.path)
	}
	return data, nil
}

// replaceFile writes a file for the user alone, in one step that a crash cannot cut in half.
func replaceFile(path string, content []byte) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}

	// The lock is held, so nobody else writes this file. One that a crash has left is of no use.
	name := path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	temporary, err := os.OpenFile(name, flags, 0o600) //nolint:gosec // the user's path
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temporary.Close()
			_ = os.Remove(name)
		}
	}()

	// The file stays that of its owner.
	if replaced, err := os.Stat(path); err == nil {
		if err := giveTo(temporary, replaced); err != nil {
			return err
		}
	}
	if _, err := temporary.Write(content); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	if err := os.Rename(name, path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes the renaming and the removal of a file in the folder survive a crash of the
// machine. Windows cannot sync a folder, nor can every file system.
func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // the user's path
	if err != nil {
		return nil
	}
	_ = folder.Sync()
	return folder.Close()
}
