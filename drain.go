package axle

import (
	"io"
	"net/http"
	"time"
)

// drainLimit and drainTime bound how much is read of an answer that nobody wants, in bytes, and for how long.
const (
	drainLimit = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// drain reads the rest of an HTTP/1 answer that nobody wants, before it is closed: net/http gives up the connection of a body that was not
// read to its end. Over HTTP/2 a closed body costs its stream alone. A body that is too long or too slow for it is not worth it.
func (r *Response) drain() {
	raw := r.raw
	switch {
	case raw == nil, raw.Body == nil, raw.Body == http.NoBody:
		return
	case raw.ProtoMajor != 1, raw.StatusCode == http.StatusSwitchingProtocols, raw.ContentLength > drainLimit:
		return
	}

	// It is read in a goroutine, so that the call does not depend on a read's end. The close that follows ends the read.
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
