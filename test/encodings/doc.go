// Package encodings tests [axle.Client.SetDecompressor] with the libraries that axle's users take for Brotli and Zstandard,
// against servers that others wrote. It is a module of its own so that axle's users do not inherit these dependencies.
package encodings
