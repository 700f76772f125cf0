package bridge_test

import (
	"net/http"

	"github.com/axlehttp/axle/internal/axletest"
)

// Short names for the helpers that several test packages share.
type (
	countingReader = axletest.CountingReader
	endless        = axletest.Endless
	endlessBody    = axletest.EndlessBody
	failingReader  = axletest.FailingReader
	fakeTransport  = axletest.FakeTransport
	roundTripFunc  = axletest.RoundTripFunc
	watchedBodies  = axletest.WatchedBodies
	watchedBody    = axletest.WatchedBody
)

var (
	errBoom         = axletest.ErrBoom
	newFakeClient   = axletest.NewFakeClient
	newLoopback     = axletest.NewLoopback
	newRequest      = axletest.NewRequest
	newWatchedBody  = axletest.NewWatchedBody
	reply           = axletest.Reply
	replyWith       = axletest.ReplyWith
	always          = axletest.Always
	hang            = axletest.Hang
	unreachable     = axletest.Unreachable
	opaque          = axletest.Opaque
	useRequest      = axletest.UseRequest
	useFulfilled    = axletest.UseFulfilled
	useRejected     = axletest.UseRejected
	passThroughPair = axletest.UsePassThroughPair
	asAxle          = axletest.AsAxle
)

// echoUpgrade switches to a protocol that answers one line with the same line.
func echoUpgrade(w http.ResponseWriter, _ *http.Request) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_ = buf.Flush()
	line, _ := buf.ReadString('\n')
	_, _ = buf.WriteString("echo " + line)
	_ = buf.Flush()
}
