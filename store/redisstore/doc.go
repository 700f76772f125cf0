// Package redisstore keeps a session in Redis, for processes on many machines. [New] returns a
// Persister for store.Open, and the store does the rest: one expiry costs one refresh, however many
// processes share the session.
//
// Redis 5 or later is needed, or a server that is compatible with it and lets scripts call INFO, TIME
// and PUBLISH. A cluster and Sentinel are supported. All that is kept of a session is one hash at its
// key, and changes are published at the key with ":changed" at the end. The data has the session's
// tokens in it, so the server needs a password or an ACL, and TLS outside of a private network.
//
// # The lock
//
// The lock is a lease. Its holder extends it every third of [WithLease], 10 seconds by default. Redis
// counts the lease by its clock. The holder counts it by its own clocks from the moment it asked, so
// that its lease ends before the one in Redis does. Right before a refresh token is spent, the store
// asks whether the lease still runs, with a tenth of it to spare. Every change of the data compares
// first and is one step, so that a holder whose lease has run out overwrites nothing.
//
// The lock of a process that has died becomes free when its lease ends. So does the lock of a
// process that was stopped for longer than its lease. If that process goes on, it finds that the
// lease is over and does not send its refresh token. If it had sent the token before it was stopped,
// the next holder finds the intent in the data and sends the token once more. A server with a grace
// window for rotated tokens answers, and the session goes on. A strict server ends the session, and
// the error is store.ErrOutcomeUnknown. No lock can prevent that, since nothing takes back a
// request that has been sent.
//
// # Redis away
//
// While Redis is away, starts, or changes its primary, each method waits for it until its context
// ends. The store gives a refresh the time of store.WithRefreshTimeout, and its error is then
// store.ErrStorage. The session is not ended by that, and calls with a token that is still good do
// not ask Redis at all. A token that was obtained just before Redis went away is used at once, and
// saved when Redis comes back.
//
// Redis may come back without its data, or without the last moments of it. Each Persister remembers
// what it has seen last. When it finds that Redis has something older, it puts the newer one back. A
// Persister with a Watch does so as soon as its connection is made again. That also holds for the end
// of a session: Delete leaves a tombstone for a day. To end a session from outside, use Delete of a
// Persister, since a key that was only removed is put back. A change that no running process
// remembers is lost, unless Redis has it on its disk (appendonly).
//
// Redis may lose a lock in the same way, while its holder spends the refresh token. So the lock of a
// session is granted by the rules below, and a holder whose lock was lost takes it back with its next
// extension:
//
//   - A server that has run for less than a lease grants no lock that it does not know of. That
//     costs each session that needs a refresh a wait of a lease, and a second, after a restart, and
//     also right after the very first start of a server.
//   - A server that has been a replica, or has lost the session while it ran, grants the first lock
//     of that session a lease after it was asked. That costs each session such a wait once after each
//     failover. A session that is new to everybody does not wait.
//
// Not covered is a holder that cannot reach Redis for longer than the lease while its request to
// the token endpoint takes just as long: another holder may then send the token again, as after a
// stop. So the lease should be longer than a refresh takes. Not covered either is a primary that has
// been cut off and still grants locks beside the new one. Redis's setting min-replicas-to-write
// bounds that time.
//
// # Cost
//
// A refresh costs its holder nine scripts, and each other process that has the session two: it reads
// the intent and the new token. A process that wanted to refresh at the same moment asks for the lock
// a few times more. To open a session is one script, and one more when its subscription has begun. A
// session of one kilobyte takes little more than that in Redis.
//
// All sessions of a client share one connection for changes, and a session that nobody uses sends
// nothing. After that connection was lost, the sessions are read again, up to 5,000 in a second, so a
// process with more sessions than that in a lease takes longer to put back what Redis has lost. A
// Persister keeps a copy of the data that it has seen.
package redisstore
