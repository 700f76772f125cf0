// Package rewind lets a request's body be sent more than once: by a redirect, by a replay, or by a
// transport whose connection failed.
//
// A [Body] has a source, which says how it goes back to its start: it is made anew by a function,
// it can seek, or it is recorded as it is read. Each reading of the body is the whole of it, or
// fails. There is one reading at a time: a later one takes the body away from an earlier one, whose
// transport may still be reading.
//
// A call retains the body and releases it at its end. The source is closed, or put back to where
// its owner left it, when the call is over and nobody reads any more. A Body is safe for concurrent
// use. Of axle's packages this one imports internal/patient alone.
package rewind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Limit is how much of a plain reader is recorded for a later reading, in bytes. A reader that
// yields more is read once.
const Limit = 1 << 20

// ErrConsumed is the cause of the [Error] of a body that was read once and cannot be read again.
var ErrConsumed = errors.New("the body has been consumed")

// Error says why a body cannot be read again.
type Error struct {
	Given any // the body as its owner gave it
	Err   error
}

// Error names the type of the body, and nothing that is in it.
func (e *Error) Error() string { return e.Message() + ": " + e.Err.Error() }

// Message is the error's text without its cause.
func (e *Error) Message() string { return fmt.Sprintf("the body (%T) cannot be sent again", e.Given) }

func (e *Error) Unwrap() error { return e.Err }

// ReadError is the error of the reader that a body was made of, as a transport got it. The network is
// not at fault, and an attempt more would come to the same error.
type ReadError struct{ Err error }

// Error returns the text of the reader's error.
func (e *ReadError) Error() string { return e.Err.Error() }

func (e *ReadError) Unwrap() error { return e.Err }

// IsReadError reports whether the error of a call comes from the reader of its body.
func IsReadError(err error) bool {
	_, ok := errors.AsType[*ReadError](err)
	return ok
}

// Body is a request's body that can be read more than once. Make one with [New] or [OfRequest].
type Body struct {
	given  any
	size   int64 // in bytes; -1: unknown
	source source

	// turn orders the readings: a later one waits for a read of an earlier one that is under way.
	turn turn

	mu      sync.Mutex // never held while anything is read
	phase   phase
	current *reading // nil: nobody reads
	outer   *Body    // is sent in the place of this body, and may read it; nil: none
	inner   *Body    // the body in whose place this one is sent; nil: none
}

// phase is how far the use of a body by its call has come.
type phase int

const (
	idle     phase = iota // no call uses the body
	retained              // a call uses the body, and will release it
	released              // the call is over, and somebody still reads
)

// New returns the body that a reader yields. A [Body] is returned as it is.
//
// A *bytes.Buffer, a *bytes.Reader and a *strings.Reader are read anew for each reading, and stay
// as they are. An io.Seeker is read from where it was left, and is put back there. Any other reader
// is recorded, up to [Limit], and closed if it is an io.Closer.
func New(reader io.Reader) *Body {
	if b, isBody := reader.(*Body); isBody {
		return b
	}

	b := &Body{given: reader, turn: newTurn()}
	b.source, b.size = sourceOf(reader, b.turn)
	return b
}

// OfRequest returns the body of a net/http request, or nil if it has none. The body is closed in
// any case: by its reading, or, if nobody reads it, when its call releases it. It is made anew by
// GetBody, and recorded where there is none.
func OfRequest(r *http.Request) *Body {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}

	b := &Body{given: r.Body, size: r.ContentLength, turn: newTurn()}
	if b.size == 0 {
		b.size = -1 // net/http: unknown where there is a body
	}
	if r.GetBody != nil {
		b.source = &reopened{first: r.Body, again: r.GetBody}
	} else {
		b.source = &recorded{reader: r.Body, closer: r.Body}
	}
	return b
}

// Given returns the reader that the body was made of.
func (b *Body) Given() any { return b.given }

// Size returns the length of the body in bytes, or -1 if it is unknown.
func (b *Body) Size() int64 { return b.size }

// MayExceedLimit reports whether the body may turn out too long to be read again. That is known
// only when it has been read.
func (b *Body) MayExceedLimit() bool {
	_, isRecorded := b.source.(*recorded)
	return isRecorded && (b.size < 0 || b.size > Limit)
}

// Retain has the caller's call use the body. It returns false if a call uses the body already; that
// call then releases it.
func (b *Body) Retain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasRetained := b.phase == retained
	b.phase = retained
	return !wasRetained
}

// Release says that the call which retained the body is over. A reading that a transport has not
// closed yet goes on to its end.
func (b *Body) Release() {
	b.mu.Lock()
	b.phase = released
	b.mu.Unlock()
	b.closeIfUnused()
}

// SendWithin says that outer is sent in the place of b, and may read b until outer is closed. That
// is so where a handler wraps the body of its request.
func (b *Body) SendWithin(outer *Body) {
	if b == outer {
		return
	}
	b.mu.Lock()
	b.outer = outer
	b.mu.Unlock()

	outer.mu.Lock()
	outer.inner = b
	outer.mu.Unlock()
}

// Rewind takes the body away from its reading and goes back to the start. If the body cannot be
// read again, it returns an [*Error]. It waits for a read of the source that is under way; if ctx
// ends meanwhile, it returns ctx's cause.
func (b *Body) Rewind(ctx context.Context) error {
	b.mu.Lock()
	b.interrupt()
	b.mu.Unlock()

	// A reader that nobody rewinds may hang for ever, so whether it can be rewound is asked before
	// its turn is waited for.
	err := b.source.check()
	if err == nil {
		if err := b.turn.take(ctx); err != nil {
			return err
		}
		err = b.source.rewind()
		b.turn.give()
	}
	if err != nil {
		return &Error{b.given, err}
	}
	return nil
}

// Open begins a reading, for a transport, which must close it. It rewinds the body as [Body.Rewind]
// does. When ctx ends, a read that waits for a plain reader fails: a transport whose time is up
// waits for its reads to return.
func (b *Body) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := b.begin(ctx, byTransport)
	if err != nil {
		return nil, err
	}
	if _, isRecorded := b.source.(*recorded); isRecorded && ctx.Done() != nil {
		r.stopWatch = context.AfterFunc(ctx, r.abort)
	}
	return r, nil
}

func (b *Body) begin(ctx context.Context, by opener) (*reading, error) {
	if err := b.Rewind(ctx); err != nil {
		return nil, err
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt() // another reading may have begun since
	r := &reading{body: b, opener: by, interrupted: make(chan struct{})}
	var err error
	if r.from, err = b.source.open(r.interrupted); err != nil {
		return nil, &Error{b.given, err}
	}
	b.current = r
	return r, nil
}

// Read lets a handler that wraps the body read it. It goes on with the reading that there is, or
// begins one. That ends when a transport opens the body, or with the call.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	r := b.current
	b.mu.Unlock()

	if r == nil {
		var err error
		if r, err = b.begin(context.Background(), byHandler); err != nil {
			return 0, err
		}
	}
	return r.Read(p)
}

// Close does nothing: the source is closed when the call is over.
func (b *Body) Close() error { return nil }

// interrupt takes the body away from its current reading. It is called under mu.
func (b *Body) interrupt() {
	r := b.current
	if r == nil {
		return
	}
	b.current = nil
	r.interrupt()

	// A transport closes its readings itself.
	if r.opener == byHandler {
		_ = r.from.Close()
	}
}

// isRead reports whether a reader may still read, and will close the reading. It is called under mu.
func (b *Body) isRead() bool {
	return b.outer != nil || b.current != nil && b.current.opener == byTransport
}

// closeIfUnused closes the body if its call is over and nobody reads.
func (b *Body) closeIfUnused() {
	b.mu.Lock()
	isUnused := b.phase == released && !b.isRead()
	if isUnused {
		b.phase = idle
		b.interrupt()
	}
	b.mu.Unlock()

	if isUnused {
		b.closeSource()
	}
}

// closeIfSpent closes a source that no later reading can use, which ends a read that hangs.
func (b *Body) closeIfSpent() {
	if b.source.check() != nil {
		b.closeSource()
	}
}

// closeSource closes the source, or puts it back to where its owner left it. Then nobody can read
// the body within this one through it any more.
func (b *Body) closeSource() {
	b.source.close()

	b.mu.Lock()
	inner := b.inner
	b.inner = nil
	b.mu.Unlock()
	if inner == nil {
		return
	}

	inner.mu.Lock()
	if inner.outer == b {
		inner.outer = nil
	}
	inner.mu.Unlock()
	inner.closeIfUnused()
}

// turn is held by whoever reads the source or rewinds it.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn. If ctx ends before, take returns ctx's cause.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait waits for the turn without end.
func (t turn) wait() { t <- struct{}{} }

func (t turn) give() { <-t }
