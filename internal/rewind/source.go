package rewind

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/axlehttp/axle/internal/patient"
)

// source is where the readings of a body get its bytes.
type source interface {
	// check says why the source cannot go back to its start; nil if it can, as far as is known. It
	// never waits.
	check() error

	// rewind goes back to the start. It is called by the holder of the turn.
	rewind() error

	// open returns what a reading reads from, from the start on. A wait of that for the source ends
	// when interrupted is closed.
	open(interrupted <-chan struct{}) (io.ReadCloser, error)

	// close frees what the source holds. It may be called more than once.
	close()
}

// sourceOf chooses the source of a reader, and tells its size in bytes: -1 if it is unknown.
func sourceOf(reader io.Reader, t turn) (s source, size int64) {
	switch v := reader.(type) {
	case *bytes.Buffer:
		data := v.Bytes()
		return reopen(func() io.Reader { return bytes.NewReader(data) }), int64(len(data))
	case *bytes.Reader:
		start := *v
		return reopen(func() io.Reader { r := start; return &r }), int64(v.Len())
	case *strings.Reader:
		start := *v
		return reopen(func() io.Reader { r := start; return &r }), int64(v.Len())
	case io.ReadSeeker:
		if size, start, ok := measure(v); ok {
			return &seekable{v, start, t}, size
		}
	}

	size = -1
	if v, ok := reader.(interface{ Len() int }); ok {
		size = int64(v.Len())
	}
	closer, _ := reader.(io.Closer)
	return &recorded{reader: reader, closer: closer}, size
}

// reopened is a source that a function makes anew for each reading, as [http.Request.GetBody] does.
type reopened struct {
	mu    sync.Mutex
	first io.ReadCloser // for the first reading; nil once it is taken, and where the function makes that too
	again func() (io.ReadCloser, error)
}

func reopen(open func() io.Reader) *reopened {
	return &reopened{again: func() (io.ReadCloser, error) { return io.NopCloser(open()), nil }}
}

func (s *reopened) check() error  { return nil }
func (s *reopened) rewind() error { return nil }

func (s *reopened) open(<-chan struct{}) (io.ReadCloser, error) {
	if first := s.takeFirst(); first != nil {
		return first, nil
	}
	return s.again()
}

// close closes the first reader if no reading has taken it.
func (s *reopened) close() {
	if first := s.takeFirst(); first != nil {
		_ = first.Close()
	}
}

func (s *reopened) takeFirst() io.ReadCloser {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.first
	s.first = nil
	return first
}

// seekable is a source that can go back to where its owner left it. The owner closes it.
type seekable struct {
	io.ReadSeeker
	start int64
	turn  turn
}

func (s *seekable) check() error { return nil }

func (s *seekable) rewind() error {
	_, err := s.Seek(s.start, io.SeekStart)
	return err
}

func (s *seekable) open(<-chan struct{}) (io.ReadCloser, error) {
	return io.NopCloser(s.ReadSeeker), nil
}

// close puts the seeker back to where its owner left it, so that a later call sends the same.
func (s *seekable) close() {
	s.turn.wait()
	defer s.turn.give()
	_ = s.rewind()
}

// measure returns how much a seeker has left, and where it is. A pipe is a seeker that cannot seek.
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

// recorded is a plain reader. What it yields is kept, up to [Limit], for later readings.
type recorded struct {
	reader io.Reader
	closer io.Closer // nil: none

	mu       sync.Mutex    // never held while anything is read
	filling  chan struct{} // closed when the read that is under way has returned; nil: none is
	record   []byte        // the bytes so far; nil once they are more than the limit and have been read
	isSpent  bool          // the reader has yielded more than the limit
	err      error         // of the reader; io.EOF at its end
	isClosed bool
}

// minFill and maxFill bound how much one read asks of the reader, in bytes: little at first, since
// most bodies are small.
const (
	minFill = 4 << 10
	maxFill = 32 << 10
)

func (s *recorded) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.isSpent:
		return fmt.Errorf("%w: it is a stream of more than %d bytes and cannot rewind", ErrConsumed, Limit)
	case s.isClosed && s.closer != nil && !errors.Is(s.err, io.EOF):
		return fmt.Errorf("%w: it was closed at the end of the call that it belonged to", ErrConsumed)
	}
	return nil
}

func (s *recorded) rewind() error { return s.check() }

func (s *recorded) open(interrupted <-chan struct{}) (io.ReadCloser, error) {
	return &cursor{recorded: s, interrupted: interrupted}, nil
}

func (s *recorded) close() {
	s.mu.Lock()
	isFirst := !s.isClosed
	s.isClosed = true
	s.mu.Unlock()

	if isFirst && s.closer != nil {
		_ = s.closer.Close()
	}
}

// cursor is one reading of a recorded source.
type cursor struct {
	*recorded
	offset      int // in the record
	interrupted <-chan struct{}
}

func (c *cursor) Close() error { return nil }

// Read reads from the record, and waits for the reader where the record ends. An interrupt ends the
// wait: a transport that gives up must not hang on a pipe that its user writes to later.
func (c *cursor) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, filling, err := c.next(p)
		switch {
		case n > 0 || err != nil:
			return n, err
		case isClosed(c.interrupted):
			return 0, errInterrupted
		case filling == nil:
			return c.reader.Read(p)
		}

		select {
		case <-filling:
		case <-c.interrupted:
			return 0, errInterrupted
		}
	}
}

// next copies from the record. Where the record ends, it returns the reader's error, or else the
// read to wait for, or, for a reader of which no more is recorded, nothing.
func (c *cursor) next(p []byte) (n int, filling <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.offset < len(c.record):
		n = copy(p, c.record[c.offset:])
		c.offset += n
		return n, nil, nil
	case c.err != nil:
		return 0, nil, c.err
	case c.isSpent:
		c.record = nil // no later reading can want it
		return 0, nil, nil
	}

	if c.filling == nil {
		c.filling = make(chan struct{})
		go c.fill(c.room(len(p)))
	}
	return 0, c.filling, nil
}

// room makes room for the next read, at the end of the record. It is called under mu.
func (s *recorded) room(most int) []byte {
	most = min(most, maxFill, max(cap(s.record), minFill))
	if cap(s.record)-len(s.record) < most {
		grown := make([]byte, 0, min(4*cap(s.record)+most, Limit+maxFill))
		s.record = append(grown, s.record...)
	}
	return s.record[len(s.record) : len(s.record)+most]
}

// fill reads the reader once, in a goroutine of its own, so that nobody who waits for it has to
// wait for its return.
func (s *recorded) fill(into []byte) {
	n, err := 0, errors.New("axle: the body's reader did not return")
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.record = s.record[:len(s.record)+n]
		s.err = err
		s.isSpent = s.isSpent || len(s.record) > Limit
		close(s.filling)
		s.filling = nil
	}()
	n, err = patient.Read(s.reader, into)
}
