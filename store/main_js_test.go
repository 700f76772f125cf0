package store_test

import (
	"io"
	"log"
)

// In a browser a line that is printed under testing/synctest ends the program: the callback of the
// write enters the bubble a second time. The tests that look at log records set loggers of their own.
func init() { log.SetOutput(io.Discard) }
