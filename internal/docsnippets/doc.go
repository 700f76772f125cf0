// Package docsnippets holds one test: every Go block in the repository's Markdown compiles. It is quick, offline, and a
// part of `go test ./...`; a failure names the line of the document.
//
// What makes a block (a fence whose language is go) compile:
//
//   - A block that starts with a package clause is a complete file. Nothing is added to it, and nothing is forgiven.
//   - Any other block is a piece of a program. Its func and type declarations, and its var and const declarations if
//     there is nothing else in it, belong to a file; the rest belongs to a function that may return anything. Variables
//     that it does not use are forgiven.
//   - What a piece uses without declaring it comes, in this order, from an earlier piece of the same document that
//     declared it at file level, from the usual cast (ctx, client, st, User, …: the table in tables_test.go), or from an import
//     (axle, auth, http, slog, …: there too). A piece may also spell out imports of its own.
//   - There is no way to opt out. What is not Go, or is not meant to compile, is ```text.
//   - A block that needs a dependency of a nested module names the module: ```go module=test/sdks. Such a block imports
//     that dependency itself, and is compiled only with AXLE_SNIPPETS=all in the environment, as CI does.
//
// Nothing imports this package, and it imports nothing of axle's.
package docsnippets
