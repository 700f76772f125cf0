// Package future holds the two promises axle is built with: [Future], a value that arrives later, and [Shared], a
// slot for at most one future in flight.
//
// A [Future] settles once, as a value or as an error, and every waiter sees the same outcome. It is made by [Go]
// (work), [Resolved] and [Rejected] (an outcome already known) or [WithResolvers] (settled by hand); it is read by
// [Future.Await], continued by [Then], [Future.Catch] and [Future.Finally], and combined by [All], [AllSettled],
// [Any] and [Race]; [GoWithin] bounds how many run. The names and their meaning are JavaScript's; where Go asks for a difference, the docs say so.
//
// What holds for all of it:
//
//   - Nobody hangs. A function that panics or calls [runtime.Goexit] rejects its future with a [*PanicError]; a nil
//     function, a nil future and an empty race reject with a clear error. What stays pending is a function that does
//     not return, or a future of [WithResolvers] that nobody settles, and a wait for those ends with its context.
//   - Nothing is left behind. A goroutine exists only while a function of the caller's runs in it: a future that is
//     waited for, continued or combined costs none, even if it never settles.
//   - Everything here is safe for concurrent use, save that a Future and a Shared must not be copied.
//   - Cancelling a wait never cancels the work. A function that should stop early takes a context of its own.
//
// This package imports the standard library alone. It must never learn of HTTP, of axle, or of what it carries; it
// must never call a caller's function while it holds a lock, nor on the goroutine that settles or subscribes.
package future
