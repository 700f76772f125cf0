package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestFind_ListsEachChangeWithWhatItMakesOfTheSource(t *testing.T) {
	const source = `package p

func f(a, b int, ok bool) bool {
	if ok && a < b {
		a++
	}
	if a == b {
		return ok
	}
	return true
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}

	found := find(fset, file, "p.go", []byte(source))
	got := map[string]bool{}
	for _, m := range found {
		if _, err := parser.ParseFile(token.NewFileSet(), "p.go", m.source, 0); err != nil {
			t.Errorf("%s: the result is no Go: %v", m, err)
		}
		for i, line := range strings.Split(string(m.source), "\n") {
			if line != strings.Split(source, "\n")[i] {
				got[strings.TrimSpace(line)] = true
			}
		}
	}

	want := []string{
		"if !(ok && a < b) {", "if true && a < b {", "if ok && true {", "if ok && a <= b {", "{}", "if a != b {", "return false",
	}
	for _, line := range want {
		if !got[line] {
			t.Errorf("no change makes the line %q; got %v", line, got)
		}
		delete(got, line)
	}
	if len(got) > 0 {
		t.Errorf("unexpected changes: %v", got)
	}
	if len(found) != len(want) {
		t.Errorf("%d changes, some of them twice: want %d", len(found), len(want))
	}
}

func TestIsUnreached_AsksTheBlocksAroundThePosition(t *testing.T) {
	blocks := []block{
		{fromLine: 1, fromColumn: 10, toLine: 5, toColumn: 2, reached: true},
		{fromLine: 6, fromColumn: 1, toLine: 9, toColumn: 2},
	}
	for name, c := range map[string]struct {
		line, column int
		want         bool
	}{
		"in a block that is run":           {3, 1, false},
		"in a block that is never run":     {7, 1, true},
		"before the block on its line":     {1, 5, false},
		"outside every block, as in cases": {12, 1, false},
	} {
		if got := isUnreached(blocks, c.line, c.column); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
