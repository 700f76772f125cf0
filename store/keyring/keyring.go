// Package keyring keeps a session in the keyring of the system: the Keychain of macOS, the
// Credential Manager of Windows, or the Secret Service of a desktop such as GNOME or KDE. It is a
// module of its own, on top of github.com/zalando/go-keyring.
//
//	session, err := store.Open[User](ctx, refresh, keyring.New("example-cli", "ada"))
//
// # What is where
//
// The tokens are in the keyring. A file beside it, whose path is that of store.UserFile, says so, and
// has no secret in it. The file also has the lock of the session, and it is replaced by each save, so
// that other processes see the change. If the file is deleted, the session is gone.
//
// Where there is no keyring, as on a server or in a container, the session itself is in that file, as
// store.File keeps it. That is decided when a login is saved, and holds until the logout: a keyring
// that fails later is an error that matches store.ErrStorage, and the session does not move. So a
// session is never in both places. [File] encrypts the file.
//
// # Sizes
//
// Windows takes 2560 bytes for each item, and macOS about 3000. A session that is larger is split
// over several items. A save writes items that the saved session does not use, then replaces the
// file, and then deletes the items of the old session. A crash leaves the old session or the new one.
//
// # Prompts
//
// A keyring that is locked may ask the user for a password, for as long as the user likes. Methods
// return when their context ends all the same. A write that goes on then keeps the lock of the
// session until it has ended.
package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zalando/go-keyring"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/store"
)

// Option configures [New].
type Option func(*settings)

type settings struct {
	path string
	opts []store.FileOption
}

// File sets the file that is beside the keyring, and that has the session where there is no keyring,
// see store.File. An empty path keeps the default, which is a file of the account in the folder that
// store.UserFile has for the service. All holders of a session need the same path.
func File(path string, opts ...store.FileOption) Option {
	return func(s *settings) {
		if path != "" {
			s.path = path
		}
		s.opts = append(s.opts, opts...)
	}
}

// New returns a Persister that keeps the session of an account in the keyring of the system, under the
// name of a service, which is usually that of the program. Without a [File], the service is also the
// name of a folder, see store.UserFile. If the arguments are no good, each method returns an error
// that says so.
func New(service, account string, opts ...Option) store.Persister {
	var s settings
	for _, opt := range opts {
		if opt != nil {
			opt(&s)
		}
	}

	p := &persister{
		items:   items{ring: systemRing{}, service: service, account: account},
		writing: make(chan struct{}, 1),
	}
	switch {
	case service == "":
		p.bad = errors.New("keyring: New was given an empty service")
	case len(service)+len(account) > maxName:
		p.bad = fmt.Errorf("keyring: the service and the account have %d bytes together, and at most %d fit",
			len(service)+len(account), maxName)
	case strings.ContainsAny(service+account, "\x00\r\n"):
		p.bad = errors.New("keyring: the service or the account has a control character in it")
	case s.path == "":
		s.path, p.bad = defaultPath(service, account)
	}
	p.file = store.File(s.path, s.opts...)
	return p
}

// defaultPath returns the file of an account. Its name has a hash of the account, which may be longer
// than a file's name, and need not differ from another in more than upper and lower case.
func defaultPath(service, account string) (string, error) {
	path, err := store.UserFile(service)
	if err != nil || account == "" {
		return path, err
	}
	sum := sha256.Sum256([]byte(account))
	return filepath.Join(filepath.Dir(path), "session-"+hex.EncodeToString(sum[:8])+".json"), nil
}

const (
	// maxName is the most that the service and the account have together, in bytes. The command line
	// of macOS's keychain has 4096 bytes, with an item in it.
	maxName = 512

	// maxItem is the most of a session that is in one item, in bytes. Encoded, it fits the 2560 bytes
	// of Windows, and encoded once more the command line of macOS.
	maxItem = 1500

	// maxItems is the most items of a session.
	maxItems = 1000
)

// persister is the Persister of [New].
type persister struct {
	items items
	file  store.Persister
	bad   error // what is wrong with the arguments of New

	// writing has a value in it while a write to the keyring runs. The write may outlive its caller.
	writing chan struct{}
}

// note is what the file says of a session in the keyring. It follows notePrefix. No two saves have
// the same note, also if they save the same: by that a reader notices that the items have changed.
type note struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Account string `json:"account"`
	Slot    string `json:"slot"`  // a or b
	Items   int    `json:"items"` // of the slot
	SHA256  string `json:"sha256"`
}

// notePrefix begins the file of a session that is in the keyring. No session begins so.
const notePrefix = "The session is in the keyring of the system.\n"

// readNote returns nil if the content of the file is the session itself.
func (p *persister) readNote(content []byte) (*note, error) {
	text, isNote := bytes.CutPrefix(content, []byte(notePrefix))
	if !isNote {
		return nil, nil
	}
	var n note
	err := json.Unmarshal(text, &n)
	switch {
	case err != nil, n.Items < 1, n.Items > maxItems, n.Slot != "a" && n.Slot != "b":
		return nil, fmt.Errorf("%w: the file beside the keyring has no note of a session", store.ErrForeign)
	case n.Service != p.items.service || n.Account != p.items.account:
		return nil, fmt.Errorf("%w: the file beside the keyring is of the account %q of %q",
			store.ErrForeign, n.Account, n.Service)
	}
	return &n, nil
}

func (n *note) encode() ([]byte, error) {
	text, err := json.Marshal(n)
	return append([]byte(notePrefix), append(text, '\n')...), err
}

// saved is a session as it was read.
type saved struct {
	content []byte // of the file
	note    *note  // nil: the session is in the file
	data    []byte
}

// Load implements store.Persister.
func (p *persister) Load(ctx context.Context) ([]byte, error) {
	at, err := p.read(ctx)
	return at.data, err
}

// read returns the session. If a save replaces its items meanwhile, the file has changed too, and read
// begins again.
func (p *persister) read(ctx context.Context) (saved, error) {
	if p.bad != nil {
		return saved{}, p.bad
	}
	content, err := p.file.Load(ctx)
	for {
		if err != nil {
			return saved{}, err
		}
		n, err := p.readNote(content)
		if err != nil || n == nil {
			return saved{content: content, data: content}, err
		}

		data, readErr := future.Go(func() ([]byte, error) { return p.items.read(n) }).Await(ctx)
		if readErr == nil {
			return saved{content, n, data}, nil
		}
		var again []byte
		if again, err = p.file.Load(ctx); err == nil && bytes.Equal(again, content) {
			return saved{content: content, note: n}, readErr
		}
		content = again
	}
}

// Save implements store.Persister.
func (p *persister) Save(ctx context.Context, old, data []byte) error {
	at, err := p.compare(ctx, old)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(data, []byte(notePrefix)) {
		return errors.New("keyring: the data begins as the note of a session in a keyring does")
	}

	// A session that is in the file stays there.
	if at.content != nil && at.note == nil {
		return p.file.Save(ctx, at.content, data)
	}

	next := &note{ID: rand.Text(), Service: p.items.service, Account: p.items.account, Slot: "a"}
	if at.note != nil && at.note.Slot == "a" {
		next.Slot = "b"
	}
	if err := p.write(ctx, func() error { return p.items.write(next, data) }); err != nil {
		// A new login goes where it can. If the keyring goes on with the write, it is asking the user,
		// and there is one.
		if at.content == nil && ctx.Err() == nil {
			_ = p.write(ctx, func() error { return p.items.sweep(next.Slot, 0) })
			return p.file.Save(ctx, nil, data)
		}
		return fmt.Errorf("keyring: %w", err)
	}

	content, err := next.encode()
	if err != nil {
		return err
	}
	if err := p.file.Save(ctx, at.content, content); err != nil {
		return err
	}

	// The items of the old session are of no use, and the next save deletes them if this one cannot.
	_ = p.write(ctx, func() error {
		return errors.Join(
			p.items.sweep(next.Slot, next.Items), p.items.sweep(otherSlot(next.Slot), 0))
	})
	return nil
}

// Delete implements store.Persister.
func (p *persister) Delete(ctx context.Context, old []byte) error {
	at, err := p.compare(ctx, old)
	if err != nil || at.content == nil {
		return err
	}
	if err := p.file.Delete(ctx, at.content); err != nil || at.note == nil {
		return err
	}
	err = p.write(ctx, func() error {
		return errors.Join(p.items.sweep("a", 0), p.items.sweep("b", 0))
	})
	if err != nil {
		return fmt.Errorf("keyring: the session has ended, and its items could not be deleted: %w", err)
	}
	return nil
}

// compare returns an error if something else than old is saved.
func (p *persister) compare(ctx context.Context, old []byte) (saved, error) {
	at, err := p.read(ctx)
	if errors.Is(err, store.ErrLost) {
		err = nil
	}
	if err == nil && (!bytes.Equal(at.data, old) || (at.data == nil) != (old == nil)) {
		err = store.ErrConflict
	}
	return at, err
}

// write runs a write to the keyring, after the one that runs already. If ctx ends, the write may go
// on.
func (p *persister) write(ctx context.Context, fn func() error) error {
	select {
	case p.writing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := future.Go(func() (struct{}, error) {
		defer func() { <-p.writing }()
		return struct{}{}, fn()
	}).Await(ctx)
	return err
}

// Lock implements store.Persister.
func (p *persister) Lock(ctx context.Context) (store.Lock, error) {
	if p.bad != nil {
		return nil, p.bad
	}
	lock, err := p.file.Lock(ctx)
	if err != nil {
		return nil, err
	}
	return &held{lock, p.writing}, nil
}

// Watch implements store.Persister.
func (p *persister) Watch(changed func()) (stop func(), err error) {
	if p.bad != nil {
		return nil, p.bad
	}
	return p.file.Watch(changed)
}

// held is the lock of the session.
type held struct {
	store.Lock
	writing chan struct{} // of the Persister
}

// Unlock implements store.Lock. If a write of this holder still runs, because the keyring asks the
// user, the lock is released when the write has ended.
func (l *held) Unlock() error {
	select {
	case l.writing <- struct{}{}:
		return l.release()
	default:
		go func() {
			l.writing <- struct{}{}
			_ = l.release()
		}()
		return nil
	}
}

func (l *held) release() error {
	defer func() { <-l.writing }()
	return l.Lock.Unlock()
}

func otherSlot(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}

// ring is a keyring.
type ring interface {
	Get(service, item string) (string, error)
	Set(service, item, secret string) error
	Delete(service, item string) error
}

// systemRing is the keyring of the system.
type systemRing struct{}

func (systemRing) Get(service, item string) (string, error) { return keyring.Get(service, item) }
func (systemRing) Set(service, item, secret string) error   { return keyring.Set(service, item, secret) }
func (systemRing) Delete(service, item string) error        { return keyring.Delete(service, item) }

// itemPrefix begins an item, which is never empty.
const itemPrefix = "axle:"

// items are the items of one account. A slot is a whole session. A save writes the slot that the saved
// session is not in.
type items struct {
	ring
	service, account string
}

func (i items) name(slot string, number int) string {
	return i.account + "/" + slot + strconv.Itoa(number)
}

// write writes data to a slot, and notes what it has written.
func (i items) write(n *note, data []byte) error {
	sum := sha256.Sum256(data)
	n.SHA256 = hex.EncodeToString(sum[:])
	if len(data) > maxItem*maxItems {
		return fmt.Errorf("the session has %d bytes, and at most %d fit", len(data), maxItem*maxItems)
	}
	for n.Items = 0; n.Items == 0 || len(data) > 0; n.Items++ {
		part := data[:min(len(data), maxItem)]
		data = data[len(part):]
		secret := itemPrefix + base64.StdEncoding.EncodeToString(part)
		if err := i.Set(i.service, i.name(n.Slot, n.Items), secret); err != nil {
			return err
		}
	}
	return nil
}

// read reads what was noted. If an item is missing, the error matches store.ErrLost.
func (i items) read(n *note) ([]byte, error) {
	data := []byte{}
	for number := range n.Items {
		secret, err := i.Get(i.service, i.name(n.Slot, number))
		if errors.Is(err, keyring.ErrNotFound) {
			return nil, fmt.Errorf("%w: an item is missing in the keyring", store.ErrLost)
		}
		if err != nil {
			return nil, fmt.Errorf("keyring: %w", err)
		}

		text, isItem := strings.CutPrefix(secret, itemPrefix)
		part, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !isItem {
			return nil, fmt.Errorf("%w: an item of the keyring has been changed", store.ErrForeign)
		}
		data = append(data, part...)
	}

	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != n.SHA256 {
		return nil, fmt.Errorf("%w: the items of the keyring have been changed", store.ErrForeign)
	}
	return data, nil
}

// sweep deletes the items of a slot from the number on, until there is none. A crash may have left
// more than the note says.
func (i items) sweep(slot string, number int) error {
	for ; number < maxItems; number++ {
		err := i.Delete(i.service, i.name(slot, number))
		if errors.Is(err, keyring.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
