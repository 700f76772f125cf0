//go:build !race

package retries

const scale = 1
