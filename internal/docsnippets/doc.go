// Package docsnippets has tests of the repository's Markdown. Every Go block compiles, every test
// that a document cites exists, and so does every file that it links to. The tests are quick, need
// no network, and are part of `go test ./...`. A failure names the line of the document.
//
// A block is a fence whose language is go. These rules decide whether it compiles:
//
//   - A block that begins with a package clause is a whole file. Nothing is added to it.
//   - Any other block is a piece of a program. Its func and type declarations belong to a file, and
//     so do its var and const declarations if the block has nothing else. The rest belongs to a
//     function that may return anything. Unused variables are allowed.
//   - A piece may use a name that it does not declare. The name comes from an earlier piece of the
//     same document that declared it at file level, or from the usual cast (ctx, client, st, User,
//     …), or from an import (axle, auth, http, slog, …). They are looked for in this order. The
//     cast and the imports are in tables_test.go. A piece may also have imports itself.
//   - Every Go block is compiled. Text that is not Go, or need not compile, is ```text.
//   - A block that needs a dependency of a nested module names that module: ```go module=test/sdks.
//     Such a block imports the dependency itself. A block for a browser alone is ```go goos=js. Both
//     are compiled only if the environment has AXLE_SNIPPETS=all, as in CI.
//
// The tables of docs/porting-from-axios.md also say what holds in a browser. PortingRows reads them, and
// the command overfetch lists the tests that show what they say.
//
// Nothing but that command imports this package, and it imports nothing of axle.
package docsnippets
