package axle

import (
	"compress/gzip"
	"fmt"
	"io"
)

// What stands between an answer's body and who reads it.

// gunzip decompresses a body. It reads nothing before it is read.
type gunzip struct {
	body io.ReadCloser
	zip  *gzip.Reader
	err  error
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.zip == nil && g.err == nil {
		if g.zip, g.err = gzip.NewReader(g.body); g.err == io.EOF { //nolint:errorlint // an empty body is one
			return 0, io.EOF
		}
	}
	if g.err != nil {
		return 0, g.err
	}
	return g.zip.Read(p)
}

func (g *gunzip) Close() error { return g.body.Close() }

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

// readAll reads a body into a buffer of the right size, where a size is known; a false one costs no memory in advance.
func readAll(body io.Reader, size int64) ([]byte, error) {
	const most = 1 << 20
	if size < 0 {
		size = 512 - 1
	}
	buf := make([]byte, 0, min(size, most)+1) // one more, to see the end without growing
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}
