package docsnippets

import (
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// portingDocument is the document whose tables say of each row what holds in a browser.
const portingDocument = "docs/porting-from-axios.md"

// The verdicts of a row.
const (
	Same     = "same"                   // the row means the same in a browser
	Browsers = "the browser's"          // the browser decides, as the section "In a browser" says
	Refused  = "refused before sending" // a call that needs it is refused
	None     = "–"                      // the row says "none" on every platform
)

// Row is one row of a table that ports axios to axle.
type Row struct {
	Line    int // in the document
	Axle    string
	Verdict string
	Tests   []string // that the row cites
}

// PortingRows returns the rows of docs/porting-from-axios.md, for the root of the repository. The
// table of the section "In a browser" is about a browser alone: its rows have no verdict.
func PortingRows(root string) (rows, browserRows []Row, err error) {
	text, err := os.ReadFile(filepath.Join(root, portingDocument)) //nolint:gosec // the repository's own
	if err != nil {
		return nil, nil, err
	}

	cited := regexp.MustCompile("`(Test\\w+)`")
	var columns int // of the table; 0 outside of such a table
	for i, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), "|"), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			columns = 0
		case line == "| axios | axle | in a browser | test |", line == "| axios | in a browser | test |":
			columns = len(cells)
		case cells[0] == "axios":
			return nil, nil, fmt.Errorf("line %d: a table without the column \"in a browser\"", i+1)
		case columns == 0 || strings.HasPrefix(line, "|--"):
		case len(cells) != columns:
			return nil, nil, fmt.Errorf("line %d: %d cells in place of %d", i+1, len(cells), columns)
		default:
			row := Row{Line: i + 1, Axle: cells[1]}
			for _, m := range cited.FindAllStringSubmatch(cells[columns-1], -1) {
				row.Tests = append(row.Tests, m[1])
			}
			if columns == 3 {
				browserRows = append(browserRows, row)
				continue
			}
			row.Verdict = cells[2]
			rows = append(rows, row)
		}
	}
	return rows, browserRows, nil
}

// Test is a test function of the repository.
type Test struct {
	Package string // its folder, from the root
	IsForJS bool   // compiled for js/wasm, in the root module
}

// Tests returns the tests of the repository, by name. Packages may have tests of the same name.
func Tests(root string) (map[string][]Test, error) {
	js := build.Default
	js.GOOS, js.GOARCH, js.CgoEnabled = "js", "wasm", false
	defined := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Example)\w*)\(`)
	tests, nested := map[string][]Test{}, "-"

	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != root && isSkipped(entry.Name()) {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
				nested = path + string(filepath.Separator)
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}

		text, err := os.ReadFile(path) //nolint:gosec // the repository's own
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		isForJS, err := js.MatchFile(filepath.Dir(path), entry.Name())
		if err != nil {
			return err
		}
		one := Test{Package: filepath.ToSlash(folder), IsForJS: isForJS && !strings.HasPrefix(path, nested)}
		for _, m := range defined.FindAllStringSubmatch(string(text), -1) {
			tests[m[1]] = append(tests[m[1]], one)
		}
		return nil
	})
	return tests, err
}

// browserPackage has the tests of what is a browser's own.
const browserPackage = "test/browser"

// OverFetch returns the tests that show the rows of verdict [Same], by package: those that run over
// the fetch of a browser.
func OverFetch(rows []Row, tests map[string][]Test) map[string][]string {
	found, seen := map[string][]string{}, map[string]bool{}
	for _, row := range rows {
		if row.Verdict != Same {
			continue
		}
		for _, name := range row.Tests {
			for _, test := range tests[name] {
				if test.IsForJS && test.Package != browserPackage && !seen[name] {
					found[test.Package] = append(found[test.Package], name)
				}
			}
			seen[name] = true
		}
	}
	return found
}

// isSkipped reports whether a folder has no documents and no tests of the repository.
func isSkipped(folder string) bool {
	return strings.HasPrefix(folder, ".") || folder == "testdata" || folder == "node_modules"
}
