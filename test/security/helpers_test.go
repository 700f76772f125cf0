package security_test

import "github.com/axlehttp/axle/internal/axletest"

// Short names for the helpers that several test packages share.
type roundTripFunc = axletest.RoundTripFunc

var (
	errBoom        = axletest.ErrBoom
	newClient      = axletest.NewClient
	newFakeClient  = axletest.NewFakeClient
	newLoopback    = axletest.NewLoopback
	newRequest     = axletest.NewRequest
	newWatchedBody = axletest.NewWatchedBody
	reply          = axletest.Reply
	always         = axletest.Always
	unreachable    = axletest.Unreachable
	useRequest     = axletest.UseRequest
	useFulfilled   = axletest.UseFulfilled
	useRejected    = axletest.UseRejected
	asAxle         = axletest.AsAxle
)
