package axle

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/axlehttp/axle/internal/patient"
)

// This file is the body of a response on its way from the network to its reader: limits, and reading
// it whole. decompress.go is beneath it.

// responseStream is the body of a response that is still to be read. Copies of the response share
// it, which tells that they are one response.
type responseStream struct {
	io.ReadCloser
	isReplaced bool // by a handler's, which may have another length
}

// limited is a body that fails where it goes on beyond its limit.
type limited struct {
	what        string // "response" or "request", for the error
	body        io.ReadCloser
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, tooLarge(l.what, l.limit)
	}

	// One byte more than the limit is asked for, to tell a body that ends there from one that goes
	// on.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.body.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return n - 1, tooLarge(l.what, l.limit)
	}
	return n, err
}

func (l *limited) Close() error { return l.body.Close() }

func tooLarge(what string, limit int64) *Error {
	return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("the %s has more than %d bytes", what, limit)}
}

// firstRead is how much memory is made for a body because of its Content-Length alone, in bytes.
const firstRead = 32 << 10

// firstReads are buffers for the beginnings of larger bodies.
var firstReads = sync.Pool{New: func() any { return new([firstRead]byte) }}

// readAll reads a body to its end, into a buffer of the right size where the size is known, and -1
// where it is not. A large buffer is made only when the first part of the body has arrived, so that
// a false size costs little.
func readAll(body io.Reader, size int64) ([]byte, error) {
	const most = 1 << 20
	if size < 0 {
		size = 512 - 1
	}

	// The buffer has room for one byte more, so that the end is found without growing it.
	if size < firstRead {
		return readInto(make([]byte, 0, size+1), body)
	}

	first, _ := firstReads.Get().(*[firstRead]byte)
	begin, err := fill(first[:0], body)
	if err != nil {
		begin = bytes.Clone(begin)
		firstReads.Put(first)
		return begin, unlessEOF(err)
	}

	buf := append(make([]byte, 0, min(size, most)+1), begin...)
	firstReads.Put(first)
	return readInto(buf, body)
}

// readInto appends the rest of a body to buf.
func readInto(buf []byte, body io.Reader) ([]byte, error) {
	for {
		var err error
		if buf, err = fill(buf, body); err != nil {
			return buf, unlessEOF(err)
		}
		buf = append(buf, 0)[:len(buf)]
	}
}

// fill appends to buf until it is full or the body ends.
func fill(buf []byte, body io.Reader) ([]byte, error) {
	for len(buf) < cap(buf) {
		n, err := patient.Read(body, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

func unlessEOF(err error) error {
	//nolint:errorlint // an error around io.EOF is an error of the body's
	if err == io.EOF {
		return nil
	}
	return err
}
