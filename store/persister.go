package store

import (
	"context"
	"errors"
)

// A Persister keeps the data of one session where other processes find it: in a file, in Redis, in
// the keyring of the system, or in the browser. [Open] and [WithPersister] give it to a store.
// [File] and LocalStorage are Persisters, and the modules store/keyring and store/redisstore have
// more. Package store/sessiontest tests one.
//
// The data is opaque, and the store alone gives a meaning to it. It has the session's tokens in it,
// so a Persister protects it from other users.
//
// All Persisters of one session, in this process and elsewhere, share its data and its lock. Many
// goroutines call the methods at once. Each method returns when its context ends.
type Persister interface {
	// Load returns the saved data. It returns nil if nothing is saved, which is also so after a
	// Delete. It does not wait for the lock, and it never returns half of what Save was given.
	//
	// A Persister that may lose its data by itself, as a server without a disk does, returns an
	// error that matches [ErrLost] if the data has gone without a Delete. The store then saves the
	// session again, where a nil would end it.
	Load(ctx context.Context) (data []byte, err error)

	// Save replaces the saved data if that is still equal to old. A nil old means that nothing is
	// saved. If something else is saved, Save changes nothing and returns an error that matches
	// [ErrConflict]. After a nil error the data survives a crash of the process and of the machine,
	// as far as the storage can promise that. After any other error, either is saved.
	//
	// The store calls Save and Delete while it holds the lock. If the lock may be lost while a
	// holder lives, as a lease may, the comparison and the change are one step.
	Save(ctx context.Context, old, data []byte) error

	// Delete removes the saved data if that is still equal to old. Otherwise it returns an error
	// that matches [ErrConflict]. Removing nothing, with a nil old, is no error.
	Delete(ctx context.Context, old []byte) error

	// Lock waits until this caller alone holds the lock of the session. If ctx ends while another
	// holder has it, the error matches [ErrBusy]. An error that does not match ErrBusy says that
	// the storage failed. A Persister whose storage may come back, such as a server that restarts,
	// waits for that until ctx ends.
	//
	// The lock of a holder that has died becomes free. A holder that is stopped keeps its lock if
	// the Persister cannot tell that it will not go on.
	Lock(ctx context.Context) (Lock, error)

	// Watch calls changed, from any goroutine, within a second after the data has changed. A change
	// may be reported more than once, and changes that follow each other closely may be reported
	// once. Changes of this Persister's own Save may be reported too. Nothing is called after stop
	// has returned, and stop may be called more than once. Watch itself returns at once. Its cost
	// for a session that nobody changes should be close to nothing: a program may have a million.
	Watch(changed func()) (stop func(), err error)
}

// Lock is the lock of a session that its holder has. It is for one goroutine at a time.
type Lock interface {
	// Held returns an error if the lock may be another's by now. The store asks it right before it
	// spends a refresh token. A Persister whose lock cannot be lost returns nil.
	Held() error

	// Unlock releases the lock. Everything that was saved under it is saved when it returns. If the
	// lock is another's by now, Unlock leaves it alone.
	Unlock() error
}

var (
	// ErrConflict is the error of [Persister.Save] and [Persister.Delete] if other data is saved
	// than their caller knows.
	ErrConflict = errors.New("store: the saved session has been changed elsewhere")

	// ErrLost is the error of [Persister.Load] if the data has gone although nobody deleted it.
	ErrLost = errors.New("store: the storage has lost the saved session")

	// ErrBusy is the error of a refresh that was not sent, because another holder of the session
	// had its lock for the whole time. The session goes on.
	ErrBusy = errors.New("store: another holder of the session has its lock")

	// ErrStorage is the error of a refresh that was not sent, because the session's storage failed.
	// The session goes on. It is also the error of a login, logout or new token that could not be
	// saved yet.
	ErrStorage = errors.New("store: the session's storage failed")

	// ErrForeign is the error for saved data that this version of the package cannot read. The data
	// is corrupt, comes from another program, or comes from a newer version. The store never
	// changes such data.
	ErrForeign = errors.New("store: the saved data is no session that this version can read")

	// ErrOutcomeUnknown is the error of a refresh whose refresh token was sent before, by a process
	// that has died or whose response was lost, and that the server refuses now. The server may
	// have rotated the token at that time, and the new one never arrived. A new login is needed.
	ErrOutcomeUnknown = errors.New("store: the response of an earlier refresh was lost, " +
		"and the server does not accept its refresh token again")
)
