//go:build race

package retries

// The race detector makes everything ten times slower.
const scale = 10
