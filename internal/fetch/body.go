package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// EndWith returns the body of a response whose reads end when the context ends, and then return its
// cause. The body that net/http makes of a fetch does not know the context of its request: it would
// wait for a server that has gone silent. The transport is the one that the response came from.
func EndWith(ctx context.Context, body io.ReadCloser, transport http.RoundTripper) io.ReadCloser {
	_, isOfFetch := transport.(*http.Transport)
	return &endingBody{
		ReadCloser: body, ctx: ctx, isOfFetch: isOfFetch,
		forget: context.AfterFunc(ctx, func() { _ = body.Close() }),
	}
}

type endingBody struct {
	io.ReadCloser
	ctx    context.Context
	forget func() bool
	err    error // of the Read that was the last one
	broken atomic.Bool

	isOfFetch bool // the body is net/http's own, and of no transport around it
}

func (b *endingBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}

	// A read that Close interrupts sees the end of the body.
	b.forget()
	switch {
	case b.ctx.Err() != nil:
		err = context.Cause(b.ctx)
	case !errors.Is(err, io.EOF):
		b.broken.Store(true)
	}
	b.err = err
	return n, err
}

func (b *endingBody) Close() error {
	b.forget()

	// The browser has closed a body that has broken off. To cancel the body of such a fetch would be a
	// rejected promise that nobody handles, which a page reports as an error of its own.
	if b.isOfFetch && b.broken.Load() {
		return nil
	}
	return b.ReadCloser.Close()
}
