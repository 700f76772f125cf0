package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A mutant is one small change of one file. The change is a guard around a piece of the source: the guarded code does what the
// piece does, unless mutateIsOn(id) is true. So one compilation serves all changes.
type mutant struct {
	id             int // counted from 1; 0: not numbered yet
	file           string
	line, column   int
	start, end     int    // offsets of the piece
	before, behind string // of the piece; each %d stands for the id
	change         string // for people
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.file, m.line, m.column, m.change)
}

// guard returns the source with the guards of all the mutants. Mutants of one piece have to be in the order in which find lists
// them: a piece before the pieces in it.
func guard(source []byte, mutants []mutant) []byte {
	type insertion struct {
		offset int
		text   string
	}
	var befores, behinds []insertion
	for _, m := range mutants {
		id := fmt.Sprint(m.id)
		befores = append(befores, insertion{m.start, strings.ReplaceAll(m.before, "%d", id)})
		behinds = append(behinds, insertion{m.end, strings.ReplaceAll(m.behind, "%d", id)})
	}

	// Where two guards meet, the inner one closes first, and one that ends comes before one that starts.
	slices.Reverse(behinds)
	all := append(behinds, befores...) //nolint:gocritic // behinds is not used again
	slices.SortStableFunc(all, func(a, b insertion) int { return a.offset - b.offset })

	var guarded []byte
	from := 0
	for _, i := range all {
		guarded = append(guarded, source[from:i.offset]...)
		guarded = append(guarded, i.text...)
		from = i.offset
	}
	return append(guarded, source[from:]...)
}

// A finder collects the mutants of one file.
type finder struct {
	fset   *token.FileSet
	file   string
	source []byte
	found  []mutant
}

// find lists the changes of one file, each piece of code before the pieces in it.
func find(fset *token.FileSet, file *ast.File, name string, source []byte) []mutant {
	f := &finder{fset: fset, file: name, source: source}
	ast.Inspect(file, func(n ast.Node) bool {
		f.visit(n)
		return true
	})
	return f.found
}

// widened are the comparisons that take in, or leave out, the case of two equal values.
var widened = map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.BlockStmt:
		f.visitStatements(n.List)
	case *ast.CaseClause:
		f.visitStatements(n.Body)
	case *ast.CommClause:
		f.visitStatements(n.Body)
	case *ast.IfStmt:
		f.turn(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			f.visitCases(n)
		}
	case *ast.ForStmt:
		if n.Cond != nil {
			f.add(n.Cond, "(!mutateIsOn(%d) && (", "))", "never")
		}
	case *ast.BinaryExpr:
		f.visitBinary(n)
	case *ast.ReturnStmt:
		f.visitReturn(n)
	}
}

// visitStatements leaves out one statement at a time.
func (f *finder) visitStatements(list []ast.Stmt) {
	for _, statement := range list {
		switch n := statement.(type) {
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok && f.text(call.Fun) == "panic" {
				continue // without it a function may lack its return
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		default:
			continue
		}
		f.add(statement, "if !mutateIsOn(%d) { ", " }", "left out")
	}
}

// visitCases turns the conditions of a switch without a tag, one at a time.
func (f *finder) visitCases(n *ast.SwitchStmt) {
	for _, clause := range n.Body.List {
		for _, cond := range clause.(*ast.CaseClause).List {
			f.turn(cond)
		}
	}
}

// visitBinary changes a comparison, or leaves one operand of && and || out of account.
func (f *finder) visitBinary(n *ast.BinaryExpr) {
	switch n.Op {
	case token.LAND:
		f.add(n.X, "(mutateIsOn(%d) || (", "))", "left out of &&")
		f.add(n.Y, "(mutateIsOn(%d) || (", "))", "left out of &&")
	case token.LOR:
		f.add(n.X, "(!mutateIsOn(%d) && (", "))", "left out of ||")
		f.add(n.Y, "(!mutateIsOn(%d) && (", "))", "left out of ||")
	case token.EQL, token.NEQ:
		f.add(n, "(mutateIsOn(%d) != (", "))", "turned")
	default:
		if operator, ok := widened[n.Op]; ok {
			other := "(" + f.text(n.X) + ") " + operator + " (" + f.text(n.Y) + ")"
			f.add(n, "(!mutateIsOn(%d) && (", ") || mutateIsOn(%d) && ("+other+"))", "with "+operator)
		}
	}
}

// visitReturn turns the truth values that are returned as they stand.
func (f *finder) visitReturn(n *ast.ReturnStmt) {
	for _, result := range n.Results {
		if name, ok := result.(*ast.Ident); ok && (name.Name == "true" || name.Name == "false") {
			f.turn(name)
		}
	}
}

// turn turns a condition. An == or a != is turned by visitBinary, and would count twice.
func (f *finder) turn(n ast.Expr) {
	if comparison, ok := n.(*ast.BinaryExpr); ok && (comparison.Op == token.EQL || comparison.Op == token.NEQ) {
		return
	}
	f.add(n, "(mutateIsOn(%d) != (", "))", "turned")
}

func (f *finder) add(n ast.Node, before, behind, change string) {
	from, to := f.fset.Position(n.Pos()), f.fset.Position(n.End())
	shown := strings.Join(strings.Fields(f.text(n)), " ")
	if runes := []rune(shown); len(runes) > 70 {
		shown = string(runes[:70]) + "…"
	}
	f.found = append(f.found, mutant{
		file: f.file, line: from.Line, column: from.Column,
		start: from.Offset, end: to.Offset, before: before, behind: behind,
		change: fmt.Sprintf("%s: %s", change, shown),
	})
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.fset.Position(n.Pos()).Offset:f.fset.Position(n.End()).Offset])
}
