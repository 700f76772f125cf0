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

// What stands between an answer's body and who reads it.

// responseStream is the body of a response that is still to be read. Copies of the response share it, by which they are known to be
// one response.
type responseStream struct {
	io.ReadCloser
	isReplaced bool // by a handler's, which may have another length
}

// gunzip decompresses a body. It reads nothing before it is read.
type gunzip struct {
	body   io.Closer
	source readErrors // the compressed bytes, and the error that the network ended them with
	zip    *gzip.Reader
	err    error // what the reading has ended with
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

// isGzip reports whether a body is encoded by gzip and nothing else (RFC 9110 §8.4.1.3: "x-gzip" is the same). A body with
// several encodings stays as it came, since half of them undone would be a body that no header describes.
func isGzip(header http.Header) bool {
	lines := header["Content-Encoding"]
	if len(lines) != 1 {
		return false
	}
	name := strings.TrimSpace(lines[0])
	return strings.EqualFold(name, "gzip") || strings.EqualFold(name, "x-gzip")
}

// encodingOf says, for the error of a body that does not decode, which Content-Encoding is still on it. It is empty where
// none seems to be.
func encodingOf(header http.Header, body []byte) string {
	said := strings.Join(header["Content-Encoding"], ", ")
	switch {
	case said != "" && !strings.EqualFold(said, "identity"):
		return fmt.Sprintf("it is still encoded, by its Content-Encoding %q", said)
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return "it looks like gzip data, and no Content-Encoding says so"
	}
	return ""
}

// limited fails a body that goes on beyond its limit.
type limited struct {
	what        string // a response or a request
	body        io.ReadCloser
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, tooLarge(l.what, l.limit)
	}
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

// firstRead is how many bytes of memory a Content-Length alone is worth.
const firstRead = 32 << 10

// firstReads are where the beginnings of larger bodies are read into.
var firstReads = sync.Pool{New: func() any { return new([firstRead]byte) }}

// readAll reads a body into a buffer of the right size, where a size is known. Memory follows the bytes: a large buffer is
// made when its first part has arrived, so that a false size costs little.
func readAll(body io.Reader, size int64) ([]byte, error) {
	const most = 1 << 20
	if size < 0 {
		size = 512 - 1
	}
	if size < firstRead {
		buf := make([]byte, 0, size+1) // one more, to see the end without growing
		return readInto(buf, body)
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

// readInto reads the rest of a body to the end of buf, which grows where it must.
func readInto(buf []byte, body io.Reader) ([]byte, error) {
	for {
		var err error
		if buf, err = fill(buf, body); err != nil {
			return buf, unlessEOF(err)
		}
		buf = append(buf, 0)[:len(buf)]
	}
}

// fill reads until buf is full or the body ends.
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
	if err == io.EOF { //nolint:errorlint // an error around io.EOF is an error of the body's
		return nil
	}
	return err
}
