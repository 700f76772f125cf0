// Package retries compares how axle and its peers retry: how much load they offer to a server that
// fails, how they come back, and how often a POST takes effect twice. It is a module of its own so
// that axle's users do not inherit the peers.
//
//	go test .                       # the promises of axle, and small runs of the peers
//	go test . -run Table -update    # all of it, into ../../docs/retries.md
//
// The networks are in memory, and time is testing/synctest's, so that ten minutes take seconds.
package retries
