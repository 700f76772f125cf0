package axle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
)

// ReplayLimit is how many bytes of an io.Reader body are kept so that a replay or a redirect can send them again, in bytes.
// It concerns readers that can neither seek nor be made anew; one that yields more is streamed, and cannot be sent again.
const ReplayLimit = 1 << 20

// rewinder lets the attempts of one call send one io.Reader, each of them whole or not at all. One attempt at a time reads:
// a later one takes the reader away from an earlier, whose transport may still be at it.
type rewinder struct {
	given  any                           // the reader as the caller gave it
	size   int64                         // in bytes; -1: unknown
	again  func() (io.ReadCloser, error) // makes a fresh reader for each attempt, as http.Request.GetBody does
	first  io.ReadCloser                 // what the first attempt reads before again is asked; nil once it is taken. Or:
	source io.Reader                     // the one reader
	seeker io.Seeker                     // source, where it can go back to start
	start  int64
	closer io.Closer // source, where the call has to close it

	turn chan struct{} // holds one token: who has it may read a seeker, or a fresh reader

	mu       sync.Mutex    // never held while anything is read
	filling  chan struct{} // closed when the read of source that is under way has ended; nil: there is none
	record   []byte        // what source has yielded, until it is lost and has been read
	lost     bool          // source has yielded more than is kept for replays
	err      error         // what source has ended with
	current  *attempt
	owned    bool      // a call will finish it
	finished bool      // that call is over
	within   *rewinder // the reader of a handler that is sent in its place, and may wrap it
	waiting  bool      // it is finished, and within is still sent
	released bool

	inner *rewinder // the one that this is within
}

// ErrBodyConsumed is the cause of the [Error] (CodeBadOption) of a request whose body was sent once and cannot be read again.
var ErrBodyConsumed = errors.New("the body has been consumed")

// newRewinder wraps a body that is an io.Reader. It returns nil for one that is not, and for an empty one.
func newRewinder(body any) *rewinder {
	reader, ok := body.(io.Reader)
	if !ok || reader == http.NoBody || isNilPointer(body) {
		return nil
	}
	b := &rewinder{given: body, size: -1, turn: make(chan struct{}, 1)}
	fresh := func(size int, open func() io.Reader) {
		b.size = int64(size)
		b.again = func() (io.ReadCloser, error) { return io.NopCloser(open()), nil }
	}
	switch v := reader.(type) {
	case *rewinder:
		return v
	case *bytes.Buffer:
		data := v.Bytes()
		fresh(len(data), func() io.Reader { return bytes.NewReader(data) })
		return b
	case *bytes.Reader:
		from := *v
		fresh(v.Len(), func() io.Reader { r := from; return &r })
		return b
	case *strings.Reader:
		from := *v
		fresh(v.Len(), func() io.Reader { r := from; return &r })
		return b
	case io.Seeker:
		if size, start, ok := measure(v); ok {
			b.seeker, b.size, b.start = v, size, start
		}
	case interface{ Len() int }:
		b.size = int64(v.Len())
	}
	b.source = reader
	if b.seeker == nil {
		b.closer, _ = reader.(io.Closer)
	}
	return b
}

// isNilReader reports whether a body is nothing to read from, by mistake.
func isNilReader(body any) bool {
	switch body.(type) {
	case io.Reader, *Multipart:
		return isNilPointer(body)
	}
	return false
}

func isNilPointer(body any) bool {
	v := reflect.ValueOf(body)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// newBodyOf wraps the body of a request given to the bridge; nil if it has none.
func newBodyOf(r *http.Request) *rewinder {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &rewinder{given: r.Body, size: r.ContentLength, turn: make(chan struct{}, 1)}
	if b.size == 0 {
		b.size = -1
	}
	b.source, b.closer = r.Body, r.Body
	if r.GetBody != nil {
		b.first, b.again = r.Body, r.GetBody
	}
	return b
}

// measure returns how much a seeker has left, and where it stands. A pipe is a seeker that cannot seek.
func measure(s io.Seeker) (size, start int64, ok bool) {
	start, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1, 0, false
	}
	end, err := s.Seek(0, io.SeekEnd)
	if err != nil {
		return -1, 0, false
	}
	if _, err = s.Seek(start, io.SeekStart); err != nil {
		return -1, 0, false
	}
	return max(end-start, 0), start, true
}

// bodyOf is the body as the caller gave it, for messages.
func bodyOf(body any) any {
	if b, ok := body.(*rewinder); ok {
		return b.given
	}
	return body
}

// rewind takes the reader away from whoever has it and goes back to its start, or says why it cannot. It waits, within ctx, for a
// read of a seeker or a fresh reader that is under way; one of any other reader goes on, for whoever is next.
func (b *rewinder) rewind(ctx context.Context) error {
	if b.again != nil || b.seeker != nil {
		select {
		case b.turn <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-b.turn }()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	var err error
	switch {
	case b.again != nil:
	case b.seeker != nil:
		_, err = b.seeker.Seek(b.start, io.SeekStart)
	case b.lost:
		err = fmt.Errorf("%w: it is a stream of more than %d bytes and cannot rewind", ErrBodyConsumed, ReplayLimit)
	case b.released && b.closer != nil && !errors.Is(b.err, io.EOF):
		err = fmt.Errorf("%w: it was closed at the end of the call that it belonged to", ErrBodyConsumed)
	}
	if err != nil {
		return badOption(nil, fmt.Sprintf("the body (%T) cannot be sent again", b.given), err)
	}
	return nil
}

// open begins an attempt.
func (b *rewinder) open(ctx context.Context) (io.ReadCloser, error) {
	if err := b.rewind(ctx); err != nil {
		return nil, err
	}
	a, err := b.begin(byDispatch)
	if err != nil {
		return nil, err
	}
	if a.closed != nil && ctx.Done() != nil {
		a.stop = context.AfterFunc(ctx, a.abort)
	}
	return a, nil
}

// drop ends the attempt at hand, and closes what a handler left open. It is called under mu.
func (b *rewinder) drop() {
	if a := b.current; a != nil && a.by == byHandler && a.fresh != nil {
		_ = a.fresh.Close()
	}
	b.current = nil
}

func (b *rewinder) begin(by reading) (*attempt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &attempt{rewinder: b, by: by}
	switch {
	case b.first != nil:
		a.fresh, b.first, b.closer = b.first, nil, nil
	case b.again != nil:
		var err error
		if a.fresh, err = b.again(); err != nil {
			return nil, badOption(nil, fmt.Sprintf("the body (%T) cannot be sent again", b.given), err)
		}
	case b.seeker == nil:
		a.closed = make(chan struct{})
	}
	b.current, b.finished = a, false
	return a, nil
}

func (b *rewinder) isCurrent(a *attempt) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current == a
}

// adopt makes the caller the one who will finish it; false: there is one already.
func (b *rewinder) adopt() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.owned
	b.owned = true
	return !was
}

// sentWithin notes that outer is sent in the place of b, and may read it until it is released.
func (b *rewinder) sentWithin(outer *rewinder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.within, outer.inner = outer, b
}

func (b *rewinder) isReleased() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.released
}

// finish says that the call is over. An attempt that a transport still sends goes on to its end.
func (b *rewinder) finish() {
	b.mu.Lock()
	b.finished, b.owned = true, false
	over := false
	switch {
	case b.within != nil && !b.within.isReleased() && (b.current == nil || b.current.by == byHandler):
		b.waiting = true
	case b.current == nil:
		over = true
	case b.current.by == byHandler:
		b.drop()
		over = true
	default:
		over = b.current.fresh != nil
	}
	b.mu.Unlock()
	if over {
		b.release()
	}
}

// unwrapped says that what b was sent within has been released.
func (b *rewinder) unwrapped() {
	b.mu.Lock()
	over := b.waiting
	if over {
		b.waiting = false
		b.drop()
	}
	b.mu.Unlock()
	if over {
		b.release()
	}
}

// release closes the source, which ends a read that hangs, or puts a seeker back to where the caller left it.
func (b *rewinder) release() {
	b.mu.Lock()
	closer := b.closer
	if b.released {
		closer = nil // once is enough
	}
	b.released = true
	b.mu.Unlock()
	switch {
	case closer != nil:
		_ = closer.Close()
	case b.seeker != nil:
		b.turn <- struct{}{}
		_, _ = b.seeker.Seek(b.start, io.SeekStart)
		<-b.turn
	}
	if b.inner != nil {
		b.inner.unwrapped()
	}
}

// Read lets a handler that wraps the body read it, in the place of dispatch.
func (b *rewinder) Read(p []byte) (int, error) {
	b.mu.Lock()
	a := b.current
	b.mu.Unlock()
	if a == nil {
		var err error
		if a, err = b.begin(byHandler); err != nil {
			return 0, err
		}
	}
	return a.Read(p)
}

// Close does nothing: the call closes the source when it is over.
func (b *rewinder) Close() error { return nil }
