// Package bench measures axle beside its peers, all doing the same work in the same run. It is a module of its own so that
// axle's users do not inherit the peers.
//
//	go run ./cmd/report         # all of it, into ../docs/benchmarks.md
//	go test -bench Memory .     # one part of it, by hand
package bench
