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
	context.Context             // ends with the request's context, or when the time is up
	clock           *time.Timer // nil without a limit
	cancel          context.CancelCauseFunc
}

// limitTime starts the clock of a dispatch. Its error is of a context that has ended already.
func (d *dispatch) limitTime() *Error {
	req := d.request
	ctx := req.Context()
	if ctx.Err() != nil {
		return contextError(ctx, req)
	}

	after := d.request.pass.settings.timeout
	if req.overrides.timeout {
		after = req.timeout
	}
	if after == 0 || !req.overrides.timeout && detached.IsWithoutLimits(ctx) {
		d.Context = ctx
		return nil
	}

	ctx, cancel := context.WithCancelCause(ctx)
	clock := time.AfterFunc(after, func() { cancel(fmt.Errorf("%w: %v", errTimeout, after)) })
	d.timeLimit = timeLimit{Context: ctx, clock: clock, cancel: cancel}
	return nil
}

// stopClock stops the clock and frees the context.
func (l *timeLimit) stopClock() {
	if l.clock != nil {
		l.clock.Stop()
		l.cancel(nil)
	}
}

// stopClockOver stops the clock at once, and frees the context when the stream is closed.
func (l *timeLimit) stopClockOver(stream io.ReadCloser) io.ReadCloser {
	if l.clock == nil {
		return stream
	}
	l.clock.Stop()
	free := func() { l.cancel(nil) }

	// The stream of a 101 can be written to.
	if duplex, ok := stream.(io.ReadWriteCloser); ok {
		return &freeingDuplex{duplex, free}
	}
	return &freeing{stream, free}
}

// freeing is a stream that frees the context of its dispatch when it is closed.
type freeing struct {
	io.ReadCloser
	free func()
}

func (f *freeing) Close() error {
	defer f.free()
	return f.ReadCloser.Close()
}

// freeingDuplex is a stream that can be written to.
type freeingDuplex struct {
	io.ReadWriteCloser
	free func()
}

func (f *freeingDuplex) Close() error {
	defer f.free()
	return f.ReadWriteCloser.Close()
}
