// Package patient reads readers that may make no progress, as those of a user may. Package axle and
// the packages below internal use it.
package patient

import "io"

// most is how many reads in a row may yield neither a byte nor an error, as in package bufio.
const most = 100

// Read reads as r does, and reads again if that yields neither a byte nor an error. A reader that
// goes on so is io.ErrNoProgress: nobody waits for it for ever.
func Read(r io.Reader, p []byte) (n int, err error) {
	for range most {
		if n, err = r.Read(p); n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
