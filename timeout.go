package axle

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/axlehttp/axle/internal/detached"
)

// timeLimit is the clock of one dispatch.
type timeLimit struct {
	context.Context             // ends with the request's, or when the time is up
	clock           *time.Timer // nil: no limit
	cancel          context.CancelCauseFunc
}

func (p *pass) limitTime(req *Request, limit *timeLimit) *Error {
	ctx := req.Context()
	if ctx.Err() != nil {
		return contextError(ctx, req)
	}
	after := p.settings.timeout
	if req.own.timeout {
		after = req.timeout
	}
	if after == 0 || !req.own.timeout && detached.IsWithoutLimits(ctx) {
		limit.Context = ctx
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	clock := time.AfterFunc(after, func() { cancel(fmt.Errorf("%w: %v", errTimeout, after)) })
	*limit = timeLimit{Context: ctx, clock: clock, cancel: cancel}
	return nil
}

// end stops the clock and frees the context.
func (l *timeLimit) end() {
	if l.clock != nil {
		l.clock.Stop()
		l.cancel(nil)
	}
}

// endWith stops the clock at once, and frees the context when the stream is closed.
func (l *timeLimit) endWith(stream io.ReadCloser) io.ReadCloser {
	if l.clock == nil {
		return stream
	}
	l.clock.Stop()
	free := func() { l.cancel(nil) }
	if duplex, ok := stream.(io.ReadWriteCloser); ok {
		return &freeingDuplex{duplex, free}
	}
	return &freeing{stream, free}
}

type freeing struct {
	io.ReadCloser
	free func()
}

func (f *freeing) Close() error { defer f.free(); return f.ReadCloser.Close() }

type freeingDuplex struct {
	io.ReadWriteCloser
	free func()
}

func (f *freeingDuplex) Close() error { defer f.free(); return f.ReadWriteCloser.Close() }
