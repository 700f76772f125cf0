// Package streams tests lists of pages, polls and server-sent events together with a session that
// expires on the way: over real connections, with package auth, package store and package retry.
package streams
