package axletest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Opaque returns a reader of text that hides its length and that it could seek.
func Opaque(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

// FailingReader fails every read with ErrBoom.
type FailingReader struct{}

// Read returns ErrBoom.
func (FailingReader) Read([]byte) (int, error) { return 0, ErrBoom }

// CountingReader counts the bytes that are read of it.
type CountingReader struct {
	io.Reader
	N atomic.Int64
}

// Read reads and counts.
func (c *CountingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.N.Add(int64(n))
	return n, err
}

// Endless yields a pattern of so many bytes.
type Endless struct{ Left int }

// Read yields the next bytes of the pattern.
func (e *Endless) Read(p []byte) (int, error) {
	if e.Left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.Left)
	for i := range n {
		p[i] = byte((e.Left - i) % 251) //nolint:gosec // below 251
	}
	e.Left -= n
	return n, nil
}

// EndlessBody goes on until it is closed. A read after that fails.
type EndlessBody struct{ Closed atomic.Int64 }

// Read fills p, unless the body is closed.
func (b *EndlessBody) Read(p []byte) (int, error) {
	if b.Closed.Load() > 0 {
		return 0, errors.New("read after close")
	}
	return len(p), nil
}

// Close counts.
func (b *EndlessBody) Close() error { b.Closed.Add(1); return nil }

// WatchedBody counts how often it is closed, and fails reads after that.
type WatchedBody struct {
	io.Reader
	Closed atomic.Int64
}

// NewWatchedBody returns a body of the text.
func NewWatchedBody(text string) *WatchedBody { return &WatchedBody{Reader: strings.NewReader(text)} }

// Read reads, unless the body is closed.
func (b *WatchedBody) Read(p []byte) (int, error) {
	if b.Closed.Load() > 0 {
		return 0, errors.New("read after close")
	}
	return b.Reader.Read(p)
}

// Close counts.
func (b *WatchedBody) Close() error { b.Closed.Add(1); return nil }

// IsClosed reports whether the body was closed.
func (b *WatchedBody) IsClosed() bool { return b.Closed.Load() > 0 }

// WatchedBodies is a network that answers every request with a fresh body, and keeps them all.
type WatchedBodies struct {
	// Status returns the status of the nth response, counted from 1. Without it every status is 200.
	Status func(n int) int

	mu     sync.Mutex
	bodies []*WatchedBody
}

// Answer is the network: the answer of a FakeTransport.
func (w *WatchedBodies) Answer(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := NewWatchedBody("streamed")
	w.bodies = append(w.bodies, b)

	status := http.StatusOK
	if w.Status != nil {
		status = w.Status(len(w.bodies))
	}
	return ReplyWith(r, status, b), nil
}

// All returns every body so far.
func (w *WatchedBodies) All() []*WatchedBody {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bodies
}

// Open returns the numbers of the bodies that have not been closed, counted from 1.
func (w *WatchedBodies) Open() (numbers []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, b := range w.bodies {
		if !b.IsClosed() {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}
