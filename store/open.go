package store

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"weak"

	"github.com/axlehttp/axle/internal/redact"
)

// Open returns a store, see [New], whose session is kept by a Persister. If a session is saved, the
// store begins with it. Other stores and other processes with the same saved session share its
// logins, refreshes and logouts:
//
//   - Of all that find the token refused or expired, one refreshes. The others adopt the new token.
//   - A login, a logout and a refresh are saved before the callers go on.
//   - A change that another holder makes reaches State, Subscribe and every call within a second.
//   - A refresh token is spent after an intent has been saved. If the response is lost, because the
//     process dies or the network fails, the next refresh tries the token once more. If the server
//     refuses it, the error is [ErrOutcomeUnknown].
//   - A refresh that was not sent, because of the lock ([ErrBusy]) or of the storage ([ErrStorage]),
//     never ends the session.
//
// Saved data that is corrupt or not a session is an error that matches [ErrForeign], and is left
// alone. Open does not wait for the lock of the session. ctx bounds Open alone. Call
// [UserStore.Close] when the store is not needed any more.
//
// The user is saved as JSON. An API that keeps its tokens in cookies needs [WithCookies]. Of a token
// response's members beyond RFC 6749's, id_token and scope are saved.
func Open[U any](
	ctx context.Context, refresh RefreshFunc, p Persister, opts ...Option,
) (*UserStore[U], error) {
	switch {
	case ctx == nil:
		return nil, errNilContext
	case p == nil:
		return nil, errors.New("store: Open was given no Persister")
	}

	s := build[U](refresh, append(slices.Clip(opts), WithPersister(p)))
	if err := s.persistence.checkClient(); err != nil {
		return nil, err
	}
	if err := s.watch(); err != nil {
		return nil, err
	}
	if err := s.reconcileWithin(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// reconcileWithin reads the record. The wait ends with ctx.
func (s *UserStore[U]) reconcileWithin(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.reconcile(ctx, false)
}

// WithPersister makes New return a store whose session is kept by a Persister, as [Open] does. New
// does not wait for the saved session. It is read beside the first calls and adopted, unless Login
// is called first. With [WithCookies], adopting gives the saved cookies to the jar, and between the
// response of a login and the call of Login they would replace the new ones: a program that logs in
// right at its start uses Open. A session that cannot be read goes to the function of
// [WithStorageFailure]. A nil Persister keeps the session in memory alone.
func WithPersister(p Persister) Option {
	return func(o *options) { o.persister = p }
}

// WithStorageFailure sets the function that is told when the session could not be saved or read. It
// is told of each attempt. The store tries again until it succeeds. The function runs on any
// goroutine, must be safe for concurrent use, and must return soon. The default writes a warning to
// [slog.Default].
func WithStorageFailure(fn func(err error)) Option {
	return func(o *options) {
		if fn != nil {
			o.storageFailure = fn
		}
	}
}

func logStorageFailure(err error) {
	slog.Warn("store: the session could not be saved or read", "error", redact.Text(err.Error()))
}

// tell calls the function of WithStorageFailure. A panic in it is written to the log.
func tell(fn func(error), failure error) {
	if err := contained(func() error { fn(failure); return nil }); err != nil {
		slog.Error("store: the function of WithStorageFailure failed", "error", redact.Text(err.Error()))
	}
}

// newPersistence returns the link to the Persister of the options, which may be nil.
func newPersistence(o options) *persistence {
	if o.persister == nil {
		return nil
	}
	p := &persistence{
		persister: o.persister,
		holding:   holding{persister: o.persister, limit: o.timeout},
		report:    func(failure error) { tell(o.storageFailure, failure) },
		limit:     o.timeout,
		client:    o.cookieClient,
		step:      make(chan struct{}, 1),
	}
	p.open, p.close = context.WithCancel(context.Background())
	return p
}

// watch begins to look for changes that other holders make. A store that nobody uses any more is
// collected although it has not been closed.
func (s *UserStore[U]) watch() error {
	p, pointer := s.persistence, weak.Make(s)
	stop, err := p.persister.Watch(func() {
		if s := pointer.Value(); s != nil {
			s.look()
		}
	})
	if err != nil {
		return storageError("watching", err)
	}

	p.stopWatching = stop
	runtime.AddCleanup(s, func(stop func()) { stop() }, stop)
	return nil
}

// Close ends the store's link to its Persister. The session itself goes on: it stays saved, and
// this store keeps it in memory. Changes of other holders do not reach the store any more. If a
// change could not be saved yet, Close tries once more, within the refresh timeout, and returns the
// failure. Close of a store without a Persister does nothing. It may be called more than once.
func (s *UserStore[U]) Close() error {
	p := s.persistence
	if p == nil {
		return nil
	}

	s.mu.Lock()
	behind := p.isBehind()
	s.mu.Unlock()

	// This comes first, since the goroutine that still tries to save a new token has the lock.
	var err error
	if behind {
		err = s.trySave(context.Background())
	}
	p.close()
	if p.stopWatching != nil {
		p.stopWatching()
	}
	return err
}
