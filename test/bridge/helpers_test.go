package bridge_test

import "github.com/axlehttp/axle/internal/axletest"

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
