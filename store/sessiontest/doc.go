// Package sessiontest tests sessions, as testing/fstest tests file systems. A [Server] is a real
// token server that rotates refresh tokens and notices one that is spent twice.
//
// [Session] puts any auth.Session through the faults that sessions are known for: refresh
// stampedes, a 401 that comes late, failures that poison the next refresh, panics and lost
// responses. [Persister] does the same for a store.Persister.
package sessiontest
