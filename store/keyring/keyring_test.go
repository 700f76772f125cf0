package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	system "github.com/zalando/go-keyring"
	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/keyring"
	"github.com/axlehttp/axle/store/sessiontest"
)

// The names and signatures that are promised. If this file compiles they are kept.
var (
	_ func(service, account string, opts ...keyring.Option) store.Persister = keyring.New
	_ func(path string, opts ...store.FileOption) keyring.Option            = keyring.File
)

// withSystem says that this machine has a keyring that may be written to. The command
//
//	dbus-run-session -- sh -c 'echo | gnome-keyring-daemon --unlock && go test -run OfTheSystem -args -real'
//
// starts one, of the Debian package gnome-keyring.
var withSystem = flag.Bool("real", false, "test the keyring of this system, too")

// TestMain fails the package when a test leaves a goroutine behind. The connection to the Secret
// Service stays open.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/godbus/dbus/v5.(*Conn).inWorker"),
		goleak.IgnoreAnyFunction("github.com/godbus/dbus/v5.newConn.func1"),
	)
}

// ring is a keyring in memory, with items as small as those of Windows.
type ring struct {
	mu     sync.Mutex
	items  map[string]string
	fails  error         // what every method returns
	failAt int           // the Set that fails, counted from 1; 0: none
	block  chan struct{} // Set waits for it; nil: it does not

	// Both run around the next Get.
	before, after func()
}

func (r *ring) Get(service, item string) (string, error) {
	r.mu.Lock()
	before, after := r.before, r.after
	r.before, r.after = nil, nil
	r.mu.Unlock()
	if before != nil {
		before()
		defer after()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	secret, ok := r.items[service+"\n"+item]
	switch {
	case r.fails != nil:
		return "", r.fails
	case !ok:
		return "", system.ErrNotFound
	}
	return secret, nil
}

func (r *ring) Set(service, item, secret string) error {
	r.mu.Lock()
	block := r.block
	r.mu.Unlock()
	if block != nil {
		<-block
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failAt--; r.failAt == 0 {
		return errBoom
	}
	switch {
	case r.fails != nil:
		return r.fails
	case len(secret) > 2560:
		return system.ErrSetDataTooBig
	}
	if r.items == nil {
		r.items = map[string]string{}
	}
	r.items[service+"\n"+item] = secret
	return nil
}

func (r *ring) Delete(service, item string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil {
		return r.fails
	}
	if _, ok := r.items[service+"\n"+item]; !ok {
		return system.ErrNotFound
	}
	delete(r.items, service+"\n"+item)
	return nil
}

func (r *ring) set(change func(*ring)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *ring) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.items)
}

var errBoom = errors.New("boom")

// serial is the mock of go-keyring, which is for one goroutine at a time.
type serial struct {
	mu sync.Mutex
	keyring.SystemRing
}

func (s *serial) Get(service, item string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.SystemRing.Get(service, item)
}

func (s *serial) Set(service, item, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.SystemRing.Set(service, item, secret)
}

func (s *serial) Delete(service, item string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.SystemRing.Delete(service, item)
}

// over returns a Persister over a keyring, and the path of its file.
func over(t *testing.T, r keyring.Ring) (store.Persister, string) {
	t.Helper()
	path := filepath.Join(sessiontest.Folder(t), "session.json")
	return keyring.Over(r, keyring.New("axle test", t.Name(), keyring.File(path))), path
}

func save(t *testing.T, p store.Persister, old, data []byte) {
	t.Helper()
	require.NoError(t, p.Save(t.Context(), old, data))
}

func requireSaved(t *testing.T, p store.Persister, want []byte) {
	t.Helper()
	got, err := p.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestKeyring_IsAPersister(t *testing.T) {
	r := &ring{}
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		p, _ := over(t, r)
		return p
	})
}

func TestKeyring_IsAPersisterWhereThereIsNoKeyring(t *testing.T) {
	r := &ring{fails: system.ErrUnsupportedPlatform}
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		p, _ := over(t, r)
		return p
	})
}

func TestKeyring_IsAPersisterOverGoKeyring(t *testing.T) {
	system.MockInit()
	r := &serial{}
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		p, _ := over(t, r)
		return p
	})
}

func TestKeyring_ASessionOverItPassesWhole(t *testing.T) {
	r := &ring{}
	sessiontest.Session(t, func(t *testing.T, s *sessiontest.Server) auth.Session {
		refresh := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
			return store.OAuth2(s.Config())(context.WithValue(ctx, oauth2.HTTPClient, s.Client()), current)
		}
		p, _ := over(t, r)
		session, err := store.Open[string](t.Context(), refresh, p, store.WithLogoutWhen(store.RejectedOnly))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, session.Close()) })
		if session.Token() == nil {
			session.Login("ada", s.Login())
		}
		return session
	})
}

func TestKeyring_TheFileHasNoSecretInIt(t *testing.T) {
	r := &ring{}
	p, path := over(t, r)
	save(t, p, nil, []byte("a secret"))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(content), "secret")
	assert.Contains(t, string(content), "The session is in the keyring of the system.")
	assert.Equal(t, 1, r.count())
}

func TestKeyring_ALargeSessionIsSplitOverItemsThatEverySystemTakes(t *testing.T) {
	r := &ring{}
	p, _ := over(t, r)
	large := bytes.Repeat([]byte("0123456789"), 1000)
	save(t, p, nil, large)
	requireSaved(t, p, large)
	assert.Equal(t, 7, r.count())

	// The command line of macOS has 4096 bytes for the item, encoded once more, and the names.
	for _, secret := range r.items {
		assert.Less(t, len(secret)*4/3+512+200, 4096)
	}
}

func TestKeyring_ASessionThatIsMuchTooLargeIsRefused(t *testing.T) {
	r := &ring{}
	p, path := over(t, r)
	save(t, p, nil, []byte("small"))
	err := p.Save(t.Context(), []byte("small"), make([]byte, 2<<20))
	require.ErrorContains(t, err, "at most 1500000 fit")
	requireSaved(t, p, []byte("small"))
	assert.FileExists(t, path)
}

func TestKeyring_NoItemIsLeftBehind(t *testing.T) {
	r := &ring{}
	p, path := over(t, r)
	large, small := make([]byte, 10_000), []byte("small")
	save(t, p, nil, large)
	save(t, p, large, small)
	assert.Equal(t, 1, r.count())
	save(t, p, small, large)
	require.NoError(t, p.Delete(t.Context(), large))
	assert.Zero(t, r.count())
	assert.NoFileExists(t, path)
}

func TestKeyring_ACrashLeavesTheOldSession(t *testing.T) {
	r := &ring{}
	p, _ := over(t, r)
	old, next := bytes.Repeat([]byte("o"), 4000), bytes.Repeat([]byte("n"), 7000)
	save(t, p, nil, old)
	for at := 1; at <= 5; at++ {
		r.set(func(r *ring) { r.failAt = at })
		require.ErrorIs(t, p.Save(t.Context(), old, next), errBoom)
		requireSaved(t, p, old)
	}

	// What the attempts have left is deleted.
	save(t, p, old, next)
	requireSaved(t, p, next)
	assert.Equal(t, 5, r.count())
}

func TestKeyring_ASessionThatIsReplacedTwiceDuringALoadIsNotLost(t *testing.T) {
	r := &ring{}
	p, _ := over(t, r)
	one, two := []byte("one"), []byte("two")
	save(t, p, nil, one)

	// The items are those of two when the Load reads them, and of one again when it looks why.
	r.set(func(r *ring) {
		r.before = func() { save(t, p, one, two) }
		r.after = func() { save(t, p, two, one) }
	})
	requireSaved(t, p, one)
}

func TestKeyring_WhereThereIsNoneTheSessionStaysInTheFileUntilTheLogout(t *testing.T) {
	r := &ring{fails: system.ErrUnsupportedPlatform}
	p, path := over(t, r)
	save(t, p, nil, []byte("one"))
	requireSaved(t, store.File(path), []byte("one"))

	// A keyring that comes later does not get a copy.
	r.set(func(r *ring) { r.fails = nil })
	save(t, p, []byte("one"), []byte("two"))
	requireSaved(t, p, []byte("two"))
	requireSaved(t, store.File(path), []byte("two"))
	assert.Zero(t, r.count())

	require.NoError(t, p.Delete(t.Context(), []byte("two")))
	save(t, p, nil, []byte("three"))
	assert.Equal(t, 1, r.count())
}

func TestKeyring_ANewLoginThatFitsOnlyInPartIsInTheFileAlone(t *testing.T) {
	r := &ring{failAt: 3}
	p, path := over(t, r)
	data := make([]byte, 7000)
	save(t, p, nil, data)
	requireSaved(t, store.File(path), data)
	assert.Zero(t, r.count())
}

func TestKeyring_AKeyringThatFailsLaterIsAnErrorAndTheSessionDoesNotMove(t *testing.T) {
	r := &ring{}
	p, path := over(t, r)
	save(t, p, nil, []byte("one"))
	r.set(func(r *ring) { r.fails = errBoom })

	_, err := p.Load(t.Context())
	require.ErrorIs(t, err, errBoom)
	require.ErrorIs(t, p.Save(t.Context(), []byte("one"), []byte("two")), errBoom)
	require.ErrorIs(t, p.Delete(t.Context(), []byte("one")), errBoom)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(content), "two")

	r.set(func(r *ring) { r.fails = nil })
	requireSaved(t, p, []byte("one"))
}

func TestKeyring_ItemsThatAreGoneAreLostAndCanBeSavedAgain(t *testing.T) {
	r := &ring{}
	p, _ := over(t, r)
	save(t, p, nil, make([]byte, 4000))
	r.set(func(r *ring) { clear(r.items) })
	_, err := p.Load(t.Context())
	require.ErrorIs(t, err, store.ErrLost)
	save(t, p, nil, []byte("again"))
	requireSaved(t, p, []byte("again"))
}

func TestKeyring_ItemsThatWereChangedAreForeignAndLeftAlone(t *testing.T) {
	r := &ring{}
	p, _ := over(t, r)
	save(t, p, nil, []byte("one"))
	for _, changed := range []string{"", "axle:", "axle:b25l!", "axle:dHdv", "a password"} {
		r.set(func(r *ring) {
			for name := range r.items {
				r.items[name] = changed
			}
		})
		_, err := p.Load(t.Context())
		require.ErrorIs(t, err, store.ErrForeign, changed)
		before := maps.Clone(r.items)
		require.ErrorIs(t, p.Save(t.Context(), []byte("one"), []byte("two")), store.ErrForeign, changed)
		assert.Equal(t, before, r.items)
	}
}

func TestKeyring_ANoteThatIsNoneIsForeignAndLeftAlone(t *testing.T) {
	r := &ring{}
	p, path := over(t, r)
	save(t, p, nil, []byte("one"))
	good, err := os.ReadFile(path)
	require.NoError(t, err)

	replace := strings.NewReplacer
	for name, change := range map[string]*strings.Replacer{
		"no JSON":          replace("{", "["),
		"no items":         replace(`"items":1`, `"items":0`),
		"too many items":   replace(`"items":1`, `"items":1001`),
		"another slot":     replace(`"slot":"a"`, `"slot":"c"`),
		"another account":  replace(`"account":"`, `"account":"x`),
		"another service":  replace(`"service":"axle test"`, `"service":"other"`),
		"another checksum": replace(`"sha256":"`, `"sha256":"0`),
	} {
		bad := change.Replace(string(good))
		require.NotEqual(t, string(good), bad, name)
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o600))
		_, err := p.Load(t.Context())
		require.ErrorIs(t, err, store.ErrForeign, name)
		require.ErrorIs(t, p.Save(t.Context(), []byte("one"), []byte("two")), store.ErrForeign, name)
		require.ErrorIs(t, p.Delete(t.Context(), []byte("one")), store.ErrForeign, name)
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, bad, string(left), name)
	}
}

func TestKeyring_DataThatBeginsAsANoteIsRefused(t *testing.T) {
	p, _ := over(t, &ring{})
	err := p.Save(t.Context(), nil, []byte("The session is in the keyring of the system.\n{}"))
	require.ErrorContains(t, err, "note of a session in a keyring")
	requireSaved(t, p, nil)
}

func TestKeyring_AWriteThatOutlivesItsCallerKeepsTheLock(t *testing.T) {
	r := &ring{block: make(chan struct{})}
	p, _ := over(t, r)
	other, _ := over(t, r)
	lock, err := p.Lock(t.Context())
	require.NoError(t, err)

	soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Save(soon, nil, []byte("one")), context.DeadlineExceeded)

	// The next save of the same holder waits for the write, and so does the next holder.
	require.ErrorIs(t, p.Save(soon, nil, []byte("two")), context.DeadlineExceeded)
	require.NoError(t, lock.Unlock())
	soon, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = other.Lock(soon)
	require.ErrorIs(t, err, store.ErrBusy)

	close(r.block)
	lock, err = other.Lock(t.Context())
	require.NoError(t, err)
	requireSaved(t, other, nil)
	save(t, other, nil, []byte("three"))
	require.NoError(t, lock.Unlock())
	requireSaved(t, p, []byte("three"))
}

func TestNew_BadArgumentsAreNamedByEachMethod(t *testing.T) {
	for name, c := range map[string]struct{ service, account, says string }{
		"no service":           {"", "ada", "empty service"},
		"a line in a name":     {"axle", "a\nda", "control character"},
		"long names":           {strings.Repeat("s", 400), strings.Repeat("a", 200), "at most 512 fit"},
		"no name of a folder":  {"a/b", "ada", "no name of a folder"},
		"the folder above all": {"..", "", "no name of a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			p := keyring.New(c.service, c.account)
			_, err := p.Load(t.Context())
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, p.Save(t.Context(), nil, []byte("x")), c.says)
			require.ErrorContains(t, p.Delete(t.Context(), nil), c.says)
			_, err = p.Lock(t.Context())
			require.ErrorContains(t, err, c.says)
			_, err = p.Watch(func() {})
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestNew_EachAccountHasAFileOfItsOwn(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("LocalAppData", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	r := &ring{}
	for _, account := range []string{"", "ada", "Ada", "ada/../bob", strings.Repeat("long", 100)} {
		p := keyring.Over(r, keyring.New("axle-test", account))
		requireSaved(t, p, nil)
		save(t, p, nil, []byte("of "+account))
		requireSaved(t, keyring.Over(r, keyring.New("axle-test", account, nil)), []byte("of "+account))
	}
	path, err := store.UserFile("axle-test")
	require.NoError(t, err)
	assert.FileExists(t, path)
}

func TestNew_AnEncryptedFileWhereThereIsNoKeyring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.json")
	key := bytes.Repeat([]byte("k"), 32)
	p := keyring.New("axle-test", "ada", keyring.File(path, store.FileKey(key)))
	p = keyring.Over(&ring{fails: errBoom}, p)
	save(t, p, nil, []byte("a secret"))
	requireSaved(t, p, []byte("a secret"))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(content), "a secret")
}

// With -real, the keyring of the system is a Persister like the others.
func TestKeyring_OfTheSystem(t *testing.T) {
	if !*withSystem {
		t.Log("the keyring of the system is left alone; -args -real tests it")
		return
	}
	sessiontest.Persister(t, func(t *testing.T) store.Persister {
		path := filepath.Join(sessiontest.Folder(t), "session.json")
		p := keyring.New("axle test", t.Name(), keyring.File(path))
		t.Cleanup(func() { _ = system.DeleteAll("axle test") })
		return p
	})

	// It was the keyring, and not the file.
	p, path := over(t, keyring.SystemRing{})
	save(t, p, nil, []byte("a secret"))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(content), "The session is in the keyring of the system.")
	secret, err := system.Get("axle test", t.Name()+"/a0")
	require.NoError(t, err)
	assert.Equal(t, "axle:YSBzZWNyZXQ=", secret)
	require.NoError(t, p.Delete(t.Context(), []byte("a secret")))
}
