// Package events compares axle's reader of server-sent events with another one that is well known,
// github.com/tmaxmax/go-sse. It is a module of its own so that axle's users do not inherit that
// dependency.
package events
