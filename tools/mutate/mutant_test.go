package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

const source = `package p

func f(a, b int, ok bool) bool {
	if ok && a < b {
		a++
	}
	for a == b {
		panic(a)
	}
	switch {
	case ok:
		b = a
	}
	return true
}
`

func findIn(t *testing.T, source string) []mutant {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := find(fset, file, "p.go", []byte(source))
	for i := range found {
		found[i].id = i + 1
	}
	return found
}

func TestFind_ListsEachChangeOnce(t *testing.T) {
	got := map[string]int{}
	for _, m := range findIn(t, source) {
		got[m.change]++
	}

	for _, change := range []string{
		"turned: ok && a < b", "left out of &&: ok", "left out of &&: a < b", "with <=: a < b", "left out: a++",
		"never: a == b", "turned: a == b", "turned: ok", "left out: b = a", "turned: true",
	} {
		if got[change] != 1 {
			t.Errorf("%q is listed %d times; all: %v", change, got[change], got)
		}
		delete(got, change)
	}
	if len(got) > 0 {
		t.Errorf("unexpected changes: %v", got)
	}
}

func TestGuard_GuardsOfPiecesInPiecesStayWhole(t *testing.T) {
	guarded := string(guard([]byte(source), findIn(t, source)))
	if _, err := parser.ParseFile(token.NewFileSet(), "p.go", guarded, 0); err != nil {
		t.Fatalf("the result is no Go: %v\n%s", err, guarded)
	}
	if got, want := strings.Count(guarded, "\n"), strings.Count(source, "\n"); got != want {
		t.Errorf("%d lines: want %d, so that a panic names the true one", got, want)
	}

	for _, part := range []string{
		"return (mutateIsOn(10) != (true))",
		"if !mutateIsOn(9) { b = a }",
	} {
		if !strings.Contains(guarded, part) {
			t.Errorf("no %q in\n%s", part, guarded)
		}
	}
}
