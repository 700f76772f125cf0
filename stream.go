package axle

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// This file is the body of a response on its way from the network to its reader: decompression,
// limits, and reading it whole.

// responseStream is the body of a response that is still to be read. Copies of the response share
// it, which tells that they are one response.
type responseStream struct {
	io.ReadCloser
	isReplaced bool // by a handler's, which may have another length
}

// gunzip decompresses a body. It reads nothing before it is read.
type gunzip struct {
	body   io.Closer
	source readErrors // the compressed bytes, and an error of the network's
	zip    *gzip.Reader
	err    error // of the first read that failed; io.EOF at the end
}

func newGunzip(body io.ReadCloser) *gunzip {
	return &gunzip{body: body, source: readErrors{Reader: body}}
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}

	if g.zip == nil {
		zip, err := gzip.NewReader(&g.source)
		if err != nil {
			g.err = g.explain(err)
			return 0, g.err
		}
		g.zip = zip
	}

	n, err := g.zip.Read(p)
	if err != nil {
		g.err = g.explain(err)
	}
	return n, g.err
}

// explain tells damaged data from a network that broke off. The end of an empty body is neither.
func (g *gunzip) explain(err error) error {
	if errors.Is(err, io.EOF) || g.source.err != nil {
		return err
	}
	return &Error{
		Code:    CodeBadResponse,
		Message: "the Content-Encoding says gzip, and the body is not whole and valid gzip data",
		Err:     err,
	}
}

func (g *gunzip) Close() error { return g.body.Close() }

// isGzip reports whether a body is encoded by gzip and nothing else (RFC 9110 §8.4.1.3: "x-gzip" is
// the same). A body with several encodings stays as it came, since half of them undone would be a
// body that no header describes.
func isGzip(header http.Header) bool {
	lines := header["Content-Encoding"]
	if len(lines) != 1 {
		return false
	}
	name := strings.TrimSpace(lines[0])
	return strings.EqualFold(name, "gzip") || strings.EqualFold(name, "x-gzip")
}

// encodingOf says which Content-Encoding is still on a body, for the error of one that does not
// decode. It is empty where none seems to be.
func encodingOf(header http.Header, body []byte) string {
	declared := strings.Join(header["Content-Encoding"], ", ")
	switch {
	case declared != "" && !strings.EqualFold(declared, "identity"):
		return fmt.Sprintf("it is still encoded, by its Content-Encoding %q", declared)
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return "it looks like gzip data, and no Content-Encoding says so"
	}
	return ""
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
		n, err := body.Read(buf[len(buf):cap(buf)])
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
