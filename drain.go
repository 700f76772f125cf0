package axle

import (
	"io"
	"net/http"
	"time"
)

// drainLimit, in bytes, and drainTime bound the reading of a response that nobody wants.
const (
	drainLimit = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// drain reads the rest of an HTTP/1 response that nobody wants, before it is closed. net/http gives
// up the connection of a body that was not read to its end. A body that is longer or slower than
// the limits is not worth that. Over HTTP/2 a closed body costs its stream alone.
func (r *Response) drain() {
	raw := r.raw
	switch {
	case raw == nil, raw.Body == nil, raw.Body == http.NoBody:
		return
	case raw.ProtoMajor != 1, raw.StatusCode == http.StatusSwitchingProtocols, raw.ContentLength > drainLimit:
		return
	}

	// It is read in a goroutine, so that the call does not depend on a read's end. The close that
	// follows ends the read.
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyN(io.Discard, raw.Body, drainLimit+1)
	}()
	clock := time.NewTimer(drainTime)
	defer clock.Stop()
	select {
	case <-done:
	case <-clock.C:
	}
}
