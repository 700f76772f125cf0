package rewind

import (
	"errors"
	"io"
	"sync"

	"github.com/axlehttp/axle/internal/patient"
)

// reading is one reading of a body, from its start. It is not safe for concurrent use, except that
// Close may be called during a Read.
type reading struct {
	body   *Body
	opener opener
	from   io.ReadCloser

	// interrupted is closed when the reading is over: when it was closed, when a later one has
	// taken over, or when its time is up.
	interrupted   chan struct{}
	interruptOnce sync.Once

	stopWatch func() bool // over the transport's context; nil: there is none
}

// opener is who has opened a reading.
type opener int

const (
	byTransport opener = iota // Open's caller, which closes the reading
	byHandler                 // a handler's Read of the body: nobody closes the reading
)

var errInterrupted = errors.New("axle: this reading of the request's body is over")

// Read reads on, unless the reading is over.
func (r *reading) Read(p []byte) (int, error) {
	r.body.turn.wait()
	defer r.body.turn.give()

	// Also a reader that was made for this reading alone is not read any more: some share a buffer
	// with the one before.
	if isClosed(r.interrupted) {
		return 0, errInterrupted
	}
	n, err := patient.Read(r.from, p)

	// A source that was closed meanwhile may fail for that reason. An error around io.EOF is not the
	// end of the body.
	isFailure := err != nil && err != io.EOF //nolint:errorlint // see above
	if isFailure && r.opener == byTransport && !isClosed(r.interrupted) {
		err = &ReadError{err}
	}
	return n, err
}

// Close ends the reading. It does not wait for a read that is under way. The body's source stays
// open until the call is over, unless nobody can read it again.
func (r *reading) Close() error {
	if r.stopWatch != nil {
		r.stopWatch()
	}
	r.interrupt()
	err := r.from.Close()

	b := r.body
	b.mu.Lock()
	isCurrent := b.current == r
	if isCurrent {
		b.current = nil
	}
	b.mu.Unlock()

	if isCurrent {
		b.closeIfSpent()
		b.closeIfUnused()
	}
	return err
}

// interrupt ends a wait for the source, and all later reads.
func (r *reading) interrupt() {
	r.interruptOnce.Do(func() { close(r.interrupted) })
}

// abort ends a read that hangs when the transport's time is up.
func (r *reading) abort() {
	r.interrupt()

	b := r.body
	b.mu.Lock()
	isCurrent := b.current == r
	b.mu.Unlock()
	if isCurrent {
		b.closeIfSpent()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
