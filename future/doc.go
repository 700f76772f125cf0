// Package future has the two promises that axle is built with. [Future] is a value that arrives
// later. [Shared] is a slot for at most one future in flight.
//
// A [Future] settles once, with a value or with an error, and every waiter gets the same outcome.
// [Go] makes a future from work, [Resolved] and [Rejected] from a known outcome, and
// [WithResolvers] leaves the settling to its caller. [Future.Await] waits for a future. [Then],
// [Future.Catch] and [Future.Finally] continue it. [All], [AllSettled], [Any] and [Race] combine
// futures. [GoWithin] bounds how many functions run at the same time. The names and their meanings
// are JavaScript's. Where Go needs a difference, the documentation says so.
//
// Four rules hold for everything in this package:
//
//   - Nobody hangs. A function that panics or calls [runtime.Goexit] rejects its future with a
//     [*PanicError]. A nil function, a nil future and an empty race reject with a clear error. Only
//     a function that does not return and a future of [WithResolvers] that nobody settles stay
//     pending, and a wait for those ends with its context.
//   - Nothing leaks. A goroutine exists only while it runs a function of the caller. A wait, a
//     continuation and a combination need none, even if the future never settles.
//   - Everything is safe for concurrent use. A Future and a Shared must not be copied.
//   - A cancelled wait does not cancel the work. A function that should stop early needs a context
//     itself.
//
// This package imports only the standard library. It must not know HTTP or axle. It must not call a
// caller's function while it holds a lock, nor on the goroutine that settles a future or continues
// one.
package future
