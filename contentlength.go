package axle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// declared gives the body the length that a Content-Length header declares. The body then fails if
// it has another length. net/http itself ignores the header, and sends a body of unknown length in
// chunks, which some servers refuse.
func (b payload) declared(header http.Header) (payload, error) {
	list := header["Content-Length"]
	if len(list) == 0 {
		return b, nil
	}
	if len(list) > 1 {
		return b, fmt.Errorf("there are %d Content-Length headers", len(list))
	}
	length, err := strconv.ParseUint(list[0], 10, 63)
	if err != nil {
		return b, fmt.Errorf("the Content-Length %q is not a number of bytes", list[0])
	}

	declared, known := int64(length), b.length
	if b.open == nil {
		known = 0
	}
	switch {
	case known == declared:
		return b, nil
	case known >= 0:
		return b, fmt.Errorf("the Content-Length is %d, and the body has %d bytes", declared, known)
	}

	open := b.open
	b.length = declared
	b.open = func(ctx context.Context) (io.ReadCloser, error) {
		body, err := open(ctx)
		if err != nil {
			return nil, err
		}
		exact := &exactly{ReadCloser: body, left: declared, length: declared}

		// A body of no bytes is not read when it is sent.
		if declared == 0 {
			if _, err := exact.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				_ = body.Close()
				return nil, err
			}
		}
		return exact, nil
	}
	return b, nil
}

// exactly is a body that fails if it has more bytes than its Content-Length, or fewer.
type exactly struct {
	io.ReadCloser
	left, length int64
	failed       error
}

func (e *exactly) Read(p []byte) (n int, err error) {
	if e.failed != nil || len(p) == 0 {
		return 0, e.failed
	}

	if e.left > 0 {
		n, err = e.ReadCloser.Read(p[:min(int64(len(p)), e.left)])
		e.left -= int64(n)
	}
	switch {
	case e.left > 0 && err == io.EOF:
		message := fmt.Sprintf("the body has %d bytes less than its Content-Length, %d", e.left, e.length)
		e.failed = badOption(nil, message, nil)
		return n, e.failed
	case e.left > 0, err != nil:
		return n, err
	}

	// The last bytes are returned only if no byte follows them, since a server that has them takes
	// the body for complete.
	more, err := io.ReadFull(e.ReadCloser, make([]byte, 1))
	if more > 0 {
		message := fmt.Sprintf("the body has more bytes than its Content-Length, %d", e.length)
		e.failed = badOption(nil, message, nil)
		return 0, e.failed
	}
	return n, err
}
