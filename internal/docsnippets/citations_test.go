package docsnippets

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCitationsExist checks that every test that a document cites is in the repository, nested
// modules included, and that every file that a document links to exists.
func TestCitationsExist(t *testing.T) {
	const root = "../.."
	tests, documents := map[string]bool{}, map[string]string{}

	defined := regexp.MustCompile(`(?m)^func (Test\w+|Benchmark\w+|Example\w*)\(`)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if path != root && isSkipped(entry.Name()) {
				return filepath.SkipDir
			}
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			for _, m := range defined.FindAllStringSubmatch(string(text), -1) {
				tests[m[1]] = true
			}
			return err
		case strings.HasSuffix(path, ".md"):
			text, err := os.ReadFile(path)
			documents[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	cited := regexp.MustCompile("`(Test\\w+|Benchmark\\w+)`")
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	linked := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for path, text := range documents {
		for _, m := range cited.FindAllStringSubmatch(text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s cites %s, which does not exist", path, m[1])
			}
		}
		for _, m := range linked.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			}
		}
	}
}
