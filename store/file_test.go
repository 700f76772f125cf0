//go:build !js

// A browser has no locks for files, which store.File needs, and so this file is not for js.

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// saveFile saves data through a Persister that knows what is saved.
func saveFile(t *testing.T, p store.Persister, data string) {
	t.Helper()
	old, err := p.Load(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Save(t.Context(), old, []byte(data)))
}

// readFile returns what is in a file.
func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// ending returns a context that ends soon.
func ending(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestFile_IsForItsUserAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("On Windows the folder decides, and modes say nothing.")
		return
	}
	folder := t.TempDir()
	outer := filepath.Join(folder, "new")
	path := filepath.Join(outer, "app", "session.json")
	open(t, path, nil).Login(user{"Ada"}, tokenNamed("0"))
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	assert.Equal(t, fs.FileMode(0o600), mode(path))
	assert.Equal(t, fs.FileMode(0o600), mode(path+".lock"))
	assert.Equal(t, fs.FileMode(0o700), mode(outer))
	assert.Equal(t, fs.FileMode(0o700), mode(filepath.Dir(path)))

	unlocked := filepath.Join(folder, "unlocked", "session.json")
	saveFile(t, store.File(unlocked), "data")
	assert.Equal(t, fs.FileMode(0o600), mode(unlocked))
	assert.Equal(t, fs.FileMode(0o700), mode(filepath.Dir(unlocked)))

	// A folder that was there keeps its mode. A file that others could read does not.
	loose := filepath.Join(folder, "loose")
	require.NoError(t, os.Mkdir(loose, 0o750))
	path = filepath.Join(loose, "session.json")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	saveFile(t, store.File(path), "new")
	assert.Equal(t, fs.FileMode(0o750), mode(loose))
	assert.Equal(t, fs.FileMode(0o600), mode(path))
}

func TestFile_ASymbolicLinkStaysAndItsTargetIsReplaced(t *testing.T) {
	folder := t.TempDir()
	target, link := filepath.Join(folder, "target.json"), filepath.Join(folder, "session.json")
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o600))
	if err := os.Symlink(target, link); err != nil {
		t.Logf("This system makes no symbolic links: %v", err)
		return
	}
	p := store.File(link)
	saveFile(t, p, "new")
	assert.Equal(t, "new", readFile(t, target))
	to, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, target, to)

	require.NoError(t, p.Delete(t.Context(), []byte("new")))
	assert.NoFileExists(t, target)
	saved, err := p.Load(t.Context())
	require.NoError(t, err)
	assert.Nil(t, saved)

	// The link leads nowhere now.
	saveFile(t, p, "again")
	saved, err = p.Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "again", string(saved))
}

func TestFile_WhatACrashHasLeftBesideItIsReplacedAndNotFollowed(t *testing.T) {
	folder := t.TempDir()
	path, victim := filepath.Join(folder, "session.json"), filepath.Join(folder, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o600))
	lefts := map[string]func() error{
		"half a file":     func() error { return os.WriteFile(path+".new", []byte(strings.Repeat("x", 10_000)), 0o600) },
		"a symbolic link": func() error { return os.Symlink(victim, path+".new") },
		"a read-only one": func() error { return os.WriteFile(path+".new", nil, 0o400) },
	}
	for name, leave := range lefts {
		t.Run(name, func(t *testing.T) {
			if err := leave(); err != nil {
				t.Logf("This system does not make that: %v", err)
				return
			}
			saveFile(t, store.File(path), name)
			assert.Equal(t, name, readFile(t, path))
			assert.Equal(t, "untouched", readFile(t, victim))
			assert.NoFileExists(t, path+".new")
		})
	}
}

func TestOpen_DataThatIsNoSessionIsAnErrorAndIsLeftAlone(t *testing.T) {
	good := sessionFile(t)
	open(t, good, nil).Login(user{"Ada"}, tokenNamed("0"))
	record := readFile(t, good)
	sealed := sessionFile(t)
	s, err := store.Open[user](t.Context(), nil, store.File(sealed, store.FileKey(make([]byte, 32))))
	require.NoError(t, err)
	s.Login(user{"Ada"}, tokenNamed("0"))
	require.NoError(t, s.Close())

	cases := map[string]string{
		"nothing at all":                 "",
		"zeros":                          strings.Repeat("\x00", len(record)),
		"no JSON":                        "access_token=1",
		"a list":                         "[]",
		"an empty object":                "{}",
		"null":                           "null",
		"another program's":              `{"access_token":"a","refresh_token":"b"}`,
		"another format":                 strings.Replace(record, `"axle-session"`, `"axle-sessions"`, 1),
		"a newer version":                strings.Replace(record, `"version":1`, `"version":2`, 1),
		"an older version":               strings.Replace(record, `"version":1`, `"version":0`, 1),
		"no login":                       strings.Replace(record, `"login":"`, `"logon":"`, 1),
		"something after it":             record + "{}",
		"a user of another type":         strings.Replace(record, `{"Name":"Ada"}`, `["Ada"]`, 1),
		"an encrypted one without a key": readFile(t, sealed),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, record, data, "the case changes nothing")
			path := filepath.Join(t.TempDir(), "session.json")
			require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
			requireForeign(t, path)
			assert.Equal(t, data, readFile(t, path))
		})
	}

	t.Run("a folder", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "session.json")
		require.NoError(t, os.MkdirAll(filepath.Join(path, "sub"), 0o700))
		requireForeign(t, path)
		assert.DirExists(t, filepath.Join(path, "sub"))
	})
	t.Run("far too much", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "session.json")
		require.NoError(t, os.WriteFile(path, []byte(record), 0o600))
		require.NoError(t, os.Truncate(path, 1<<30))
		requireForeign(t, path)
		_, err := store.File(path).Load(t.Context())
		require.ErrorContains(t, err, "has 1073741824 bytes")
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, int64(1<<30), info.Size())
	})
	t.Run("cut at each byte", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "session.json")
		for length := range len(strings.TrimSpace(record)) {
			require.NoError(t, os.WriteFile(path, []byte(record[:length]), 0o600))
			_, err := store.Open[user](t.Context(), nil, store.File(path))
			require.ErrorIs(t, err, store.ErrForeign, "cut after %d bytes", length)
		}
	})
}

// requireForeign wants ErrForeign of everything that reads or changes the session, and no secret in
// the errors.
func requireForeign(t *testing.T, path string) {
	t.Helper()
	_, err := store.Open[user](t.Context(), nil, store.File(path))
	require.ErrorIs(t, err, store.ErrForeign)
	assert.NotContains(t, err.Error(), "refresh-0")

	// A login does not replace it either.
	told := make(chan error, 100)
	s := store.New[user](nil, store.WithPersister(store.File(path)), store.WithRefreshTimeout(5*time.Second),
		store.WithStorageFailure(func(err error) { told <- err }))
	s.Login(user{"Grace"}, tokenNamed("1"))
	require.ErrorIs(t, <-told, store.ErrForeign)
	require.ErrorIs(t, s.Close(), store.ErrForeign)
}

func TestFileKey_TamperingAtEachByteIsNoticed(t *testing.T) {
	path, key := sessionFile(t), bytes.Repeat([]byte{7}, 32)
	p := store.File(path, store.FileKey(key))
	saveFile(t, p, "the session")
	sealed := []byte(readFile(t, path))
	require.NotContains(t, string(sealed), "session.json")
	require.NotContains(t, string(sealed), "the session")

	tampered := map[string][]byte{"a byte more": append(bytes.Clone(sealed), 0)}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x10
		tampered[fmt.Sprint("byte changed: ", i)] = changed
		tampered[fmt.Sprint("bytes left: ", i)] = sealed[:i]
	}
	require.Len(t, tampered, 2*len(sealed)+1)
	for name, data := range tampered {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		_, err := p.Load(t.Context())
		require.ErrorIs(t, err, store.ErrForeign, name)
		require.ErrorIs(t, p.Save(t.Context(), nil, []byte("new")), store.ErrForeign, name)
		require.ErrorIs(t, p.Delete(t.Context(), []byte("the session")), store.ErrForeign, name)
		require.Equal(t, string(data), readFile(t, path), name)
	}

	require.NoError(t, os.WriteFile(path, sealed, 0o600))
	data, err := p.Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "the session", string(data))
}

func TestFileKey_TheErrorTellsWhatIsWrong(t *testing.T) {
	plain, sealed := sessionFile(t), sessionFile(t)
	key, other := store.FileKey(make([]byte, 32)), store.FileKey(bytes.Repeat([]byte{7}, 32))
	saveFile(t, store.File(plain), "the session")
	saveFile(t, store.File(sealed, key), "the session")
	cases := []struct {
		persister store.Persister
		want      string
	}{
		{store.File(sealed), "is encrypted, and there is no FileKey"},
		{store.File(plain, key), "is not encrypted, and there is a FileKey"},
		{store.File(sealed, other), "was encrypted with another key"},
	}
	for _, c := range cases {
		_, err := c.persister.Load(t.Context())
		require.ErrorIs(t, err, store.ErrForeign)
		require.ErrorContains(t, err, c.want)
	}
}

func TestFile_SaveAndDeleteChangeOnlyWhatTheirCallerKnows(t *testing.T) {
	p := store.File(sessionFile(t))
	require.ErrorIs(t, p.Save(t.Context(), []byte("x"), []byte("new")), store.ErrConflict)
	require.ErrorIs(t, p.Delete(t.Context(), []byte("x")), store.ErrConflict)
	require.NoError(t, p.Delete(t.Context(), nil))
	saveFile(t, p, "saved")
	for _, old := range [][]byte{nil, {}, []byte("saveD"), []byte("saved ")} {
		require.ErrorIs(t, p.Save(t.Context(), old, []byte("new")), store.ErrConflict, "%q", old)
		require.ErrorIs(t, p.Delete(t.Context(), old), store.ErrConflict, "%q", old)
	}
	data, err := p.Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "saved", string(data))
}

func TestFileKey_EachSaveHasAnotherNonce(t *testing.T) {
	path := sessionFile(t)
	p := store.File(path, store.FileKey(make([]byte, 32)))
	saveFile(t, p, "the session")
	first := readFile(t, path)
	saveFile(t, p, "the session")
	assert.NotEqual(t, first, readFile(t, path))
}

func TestFileKey_TheCallersKeyMayChangeAfterwards(t *testing.T) {
	path, key := sessionFile(t), bytes.Repeat([]byte{7}, 32)
	option := store.FileKey(key)
	clear(key)
	p := store.File(path, option)
	saveFile(t, p, "the session")
	data, err := store.File(path, store.FileKey(bytes.Repeat([]byte{7}, 32))).Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "the session", string(data))
}

func TestFile_BadArgumentsAreTheErrorOfEveryMethod(t *testing.T) {
	cases := map[string]struct {
		persister store.Persister
		want      string
	}{
		"empty path":  {store.File(""), "empty path"},
		"NUL":         {store.File("a\x00b"), "NUL"},
		"short key":   {store.File("x", store.FileKey([]byte("secret-key"))), "10 bytes"},
		"empty key":   {store.File("x", store.FileKey(nil)), "0 bytes"},
		"nil options": {store.File("", nil), "empty path"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, loadErr := c.persister.Load(t.Context())
			_, lockErr := c.persister.Lock(t.Context())
			_, watchErr := c.persister.Watch(func() {})
			_, openErr := store.Open[user](t.Context(), nil, c.persister)
			saveErr := c.persister.Save(t.Context(), nil, []byte("x"))
			deleteErr := c.persister.Delete(t.Context(), []byte("x"))
			for _, err := range []error{loadErr, lockErr, watchErr, openErr, saveErr, deleteErr} {
				require.ErrorContains(t, err, c.want)
				assert.NotContains(t, err.Error(), "secret-key")
			}
		})
	}
}

func TestUserFile_IsInTheFolderForStateOfTheSystem(t *testing.T) {
	home, state := t.TempDir(), t.TempDir()
	type environment map[string]string
	cases := map[string][]struct {
		set  environment
		want string
	}{
		"windows": {{environment{"LocalAppData": state}, state}},
		"darwin":  {{environment{"HOME": home}, filepath.Join(home, "Library", "Application Support")}},
		"linux": {
			{environment{"HOME": home, "XDG_STATE_HOME": state}, state},
			{environment{"HOME": home, "XDG_STATE_HOME": ""}, filepath.Join(home, ".local", "state")},
			{environment{"HOME": home, "XDG_STATE_HOME": "relative"}, filepath.Join(home, ".local", "state")},
		},
	}
	for _, c := range cases[runtime.GOOS] {
		for name, value := range c.set {
			t.Setenv(name, value)
		}
		path, err := store.UserFile("my tool")
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(c.want, "my tool", "session.json"), path)
	}

	for name := range map[string]bool{"HOME": true, "XDG_STATE_HOME": true, "LocalAppData": true} {
		t.Setenv(name, "")
	}
	_, err := store.UserFile("my tool")
	require.ErrorContains(t, err, "UserFile")
}

func TestUserFile_ANameThatIsNoFolderIsAnError(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "../x", "/x", "c:x", "x\x00"} {
		_, err := store.UserFile(name)
		require.ErrorContains(t, err, "no name of a folder", "%q", name)
	}
}

func TestFile_ALockWhoseFileWasReplacedIsNotHeld(t *testing.T) {
	path := sessionFile(t)
	p := store.File(path)
	first, err := p.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, first.Held())
	_, err = p.Lock(ending(t))
	require.ErrorIs(t, err, store.ErrBusy)

	require.NoError(t, os.Remove(path+".lock"))
	require.Error(t, first.Held())
	second, err := store.File(path).Lock(t.Context())
	require.NoError(t, err)
	require.Error(t, first.Held())
	require.NoError(t, second.Held())

	require.NoError(t, first.Unlock())
	require.NoError(t, second.Held())
	_, err = p.Lock(ending(t))
	require.ErrorIs(t, err, store.ErrBusy, "the first one has released the lock of the second")
	require.NoError(t, second.Unlock())
	third, err := p.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, third.Unlock())
}

// losing is a File whose locks are removed by somebody as soon as they are held.
type losing struct {
	store.Persister
	path string
}

func (l losing) Lock(ctx context.Context) (store.Lock, error) {
	lock, err := l.Persister.Lock(ctx)
	return lock, errors.Join(err, os.Remove(l.path+".lock"))
}

func TestPersist_NothingIsSpentUnderALockThatIsGone(t *testing.T) {
	path, srv := sessionFile(t), &rotating{}
	open(t, path, nil).Login(user{"Ada"}, srv.token())
	s, err := store.Open[user](t.Context(), srv.refresh, losing{store.File(path), path})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })

	_, err = s.RefreshToken(t.Context())
	require.ErrorIs(t, err, store.ErrStorage)
	assert.NotNil(t, s.State().User)
	assert.Zero(t, srv.spent)
	assert.NotContains(t, readFile(t, path), "spending", "the intent was not taken back")
}

func TestFile_WatchTellsOfAChangeWithinASecond(t *testing.T) {
	path := sessionFile(t)
	saveFile(t, store.File(path), "first")
	watched := store.File(path)
	changes := make(chan time.Time, 100)
	stop, err := watched.Watch(func() { changes <- time.Now() })
	require.NoError(t, err)
	t.Cleanup(stop)

	steps := []struct {
		name   string
		change func() error
	}{
		{"another holder saves", func() error { return store.File(path).Save(t.Context(), []byte("first"), []byte("other")) }},
		{"another holder saves as much, in the same second", func() error {
			return store.File(path).Save(t.Context(), []byte("other"), []byte("othes"))
		}},
		{"another holder deletes", func() error { return store.File(path).Delete(t.Context(), []byte("othes")) }},
		{"another holder saves after that", func() error { return store.File(path).Save(t.Context(), nil, []byte("again")) }},
		{"the clock is set back", func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)) }},
	}
	for _, step := range steps {
		began := time.Now()
		require.NoError(t, step.change(), step.name)
		select {
		case at := <-changes:
			assert.Less(t, at.Sub(began), time.Second, step.name)
		case <-time.After(10 * time.Second):
			require.FailNow(t, "the change was not told", step.name)
		}
	}

	// Nothing is told of a session that nobody changes, nor after the end.
	select {
	case <-changes:
		require.FailNow(t, "a change was told, and there was none")
	case <-time.After(600 * time.Millisecond):
	}
	stop()
	stop()
	saveFile(t, store.File(path), "later")
	select {
	case <-changes:
		require.FailNow(t, "a change was told after the end")
	case <-time.After(600 * time.Millisecond):
	}
}

func TestFile_WatchTellsOfAChangeThatPutsTheOlderStateBack(t *testing.T) {
	path := sessionFile(t)
	watched := store.File(path)
	changes := make(chan struct{}, 100)
	stop, err := watched.Watch(func() { changes <- struct{}{} })
	require.NoError(t, err)
	t.Cleanup(stop)

	// Both happen between two looks.
	require.NoError(t, watched.Save(t.Context(), nil, []byte("login")))
	require.NoError(t, store.File(path).Delete(t.Context(), []byte("login")))
	select {
	case <-changes:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the change was not told")
	}
}

// counted counts the operations of a Persister. Each of them costs at least one system call. It does
// not watch, since looking at the file has nothing to do with calls.
type counted struct {
	store.Persister
	operations atomic.Int64
}

func (c *counted) Load(ctx context.Context) ([]byte, error) {
	c.operations.Add(1)
	return c.Persister.Load(ctx)
}

func (c *counted) Save(ctx context.Context, old, data []byte) error {
	c.operations.Add(1)
	return c.Persister.Save(ctx, old, data)
}

func (c *counted) Delete(ctx context.Context, old []byte) error {
	c.operations.Add(1)
	return c.Persister.Delete(ctx, old)
}

func (c *counted) Lock(ctx context.Context) (store.Lock, error) {
	c.operations.Add(1)
	return c.Persister.Lock(ctx)
}

func (c *counted) Watch(func()) (func(), error) { return func() {}, nil }

type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// steady returns a client with a session that is logged in.
func steady(s *store.UserStore[user]) *axle.Client {
	s.Login(user{"Ada"}, &oauth2.Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Hour)})
	return axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).SetTransport(nowhere{}).
		Use(auth.New(s, auth.WithEarlyRefresh(time.Minute)))
}

func TestFile_ACallCostsNothingMoreThanWithoutAPersister(t *testing.T) {
	p := &counted{Persister: store.File(sessionFile(t))}
	kept, err := store.Open[user](t.Context(), nil, p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, kept.Close()) })
	withFile, without := steady(kept), steady(store.New[user](nil))
	before := p.operations.Load()

	call := func(c *axle.Client) func() {
		return func() {
			if _, err := c.Get(t.Context(), "/"); err != nil {
				t.Error(err)
			}
		}
	}
	assert.LessOrEqual(t, testing.AllocsPerRun(2000, call(withFile)), testing.AllocsPerRun(2000, call(without)))
	assert.Equal(t, before, p.operations.Load(), "a call has used the storage")
}

func BenchmarkCall(b *testing.B) {
	kept, err := store.Open[user](b.Context(), nil, store.File(filepath.Join(b.TempDir(), "session.json")))
	require.NoError(b, err)
	b.Cleanup(func() { assert.NoError(b, kept.Close()) })
	for name, s := range map[string]*store.UserStore[user]{"memory": store.New[user](nil), "File": kept} {
		b.Run(name, func(b *testing.B) {
			c := steady(s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Get(b.Context(), "/"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
