// Command overfetch prints which tests of which package show the rows of docs/porting-from-axios.md
// that say "same" for a browser. Each line has a package and a pattern for the flag -run of go test.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/docsnippets"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "overfetch:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	rows, _, err := docsnippets.PortingRows(root)
	if err != nil {
		return err
	}
	tests, err := docsnippets.Tests(root)
	if err != nil {
		return err
	}
	found := docsnippets.OverFetch(rows, tests)
	for _, folder := range slices.Sorted(maps.Keys(found)) {
		_, _ = fmt.Fprintf(os.Stdout, "./%s ^(%s)$\n", folder, strings.Join(found[folder], "|"))
	}
	return nil
}
