package axios_test

import "github.com/axlehttp/axle/internal/axletest"

// Short names for the helpers that several test packages share.
type (
	fakeTransport = axletest.FakeTransport
	roundTripFunc = axletest.RoundTripFunc
)

var (
	errBoom       = axletest.ErrBoom
	newFakeClient = axletest.NewFakeClient
	newLoopback   = axletest.NewLoopback
	reply         = axletest.Reply
	always        = axletest.Always
	useRequest    = axletest.UseRequest
	asAxle        = axletest.AsAxle
)
