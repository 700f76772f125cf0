// Package drained frees the connection of a response that nobody reads while a handler waits. The
// interceptors auth and retry use it.
package drained

import (
	"io"
	"time"

	"github.com/axlehttp/axle"
)

// limit and timeLimit bound how much of a response is kept, and how long the reading may take.
const (
	limit     = 1 << 20 // bytes
	timeLimit = 5 * time.Second
)

// IntoMemory reads the body of a stream into memory and closes the stream, so that its connection is
// free. A longer or slower body is cut off. A nil response, and one that is in memory already, are
// left as they are.
func IntoMemory(resp *axle.Response) {
	if resp == nil || !resp.IsStream() {
		return
	}

	stream := resp.Stream()
	clock := time.AfterFunc(timeLimit, func() { _ = stream.Close() })
	body, _ := io.ReadAll(io.LimitReader(stream, limit))
	clock.Stop()

	// This closes the stream, too.
	resp.SetBytes(body)
}
