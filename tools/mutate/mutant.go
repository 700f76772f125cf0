package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
)

// A mutant is one file with one small change.
type mutant struct {
	file         string
	line, column int
	change       string // for people: "a == b -> a != b"
	source       []byte
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.file, m.line, m.column, m.change)
}

// A finder collects the mutants of one file.
type finder struct {
	fset   *token.FileSet
	file   string
	source []byte
	found  []mutant
}

// find lists the changes of one file, in the order of its lines.
func find(fset *token.FileSet, file *ast.File, name string, source []byte) []mutant {
	f := &finder{fset: fset, file: name, source: source}
	ast.Inspect(file, func(n ast.Node) bool {
		f.visit(n)
		return true
	})
	slices.SortStableFunc(f.found, func(a, b mutant) int { return a.line - b.line })
	return f.found
}

// opposites are the operators that are swapped for one another.
var opposites = map[token.Token]string{
	token.EQL: "!=", token.NEQ: "==",
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
	token.ADD: "-", token.SUB: "+",
}

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.negate(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			f.visitCases(n)
		}
	case *ast.ForStmt:
		if n.Cond != nil {
			f.replace(n.Cond, "false")
		}
	case *ast.BinaryExpr:
		f.visitBinary(n)
	case *ast.ReturnStmt:
		f.visitReturn(n)
	case *ast.ExprStmt:
		f.delete(n)
	case *ast.IncDecStmt:
		f.delete(n)
	case *ast.DeferStmt:
		f.delete(n)
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			f.delete(n)
		}
	case *ast.BasicLit:
		if v, err := strconv.Atoi(n.Value); err == nil && n.Kind == token.INT {
			f.replace(n, strconv.Itoa(v+1))
		}
	}
}

// visitCases negates the conditions of a switch without a tag, one at a time.
func (f *finder) visitCases(n *ast.SwitchStmt) {
	for _, clause := range n.Body.List {
		for _, cond := range clause.(*ast.CaseClause).List {
			f.negate(cond)
		}
	}
}

// visitBinary swaps an operator, or leaves one operand of && and || out of account.
func (f *finder) visitBinary(n *ast.BinaryExpr) {
	switch n.Op {
	case token.LAND:
		f.replace(n.X, "true")
		f.replace(n.Y, "true")
	case token.LOR:
		f.replace(n.X, "false")
		f.replace(n.Y, "false")
	default:
		if op, ok := opposites[n.Op]; ok {
			f.splice(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op, n)
		}
	}
}

// visitReturn turns the truth values that are returned as they stand.
func (f *finder) visitReturn(n *ast.ReturnStmt) {
	for _, result := range n.Results {
		if name, ok := result.(*ast.Ident); ok {
			switch name.Name {
			case "true":
				f.replace(name, "false")
			case "false":
				f.replace(name, "true")
			}
		}
	}
}

// negate turns a condition. One that is an == or a != is turned by visitBinary, and would count twice.
func (f *finder) negate(n ast.Expr) {
	if comparison, ok := n.(*ast.BinaryExpr); ok && (comparison.Op == token.EQL || comparison.Op == token.NEQ) {
		return
	}
	f.splice(n.Pos(), n.End(), "!("+f.text(n)+")", n)
}

func (f *finder) replace(n ast.Expr, with string) { f.splice(n.Pos(), n.End(), with, n) }

func (f *finder) delete(n ast.Stmt) { f.splice(n.Pos(), n.End(), "", n) }

// splice records the mutant whose bytes from start to end are replaced. The node shows people what was changed.
func (f *finder) splice(start, end token.Pos, with string, shown ast.Node) {
	from, to := f.fset.Position(start), f.fset.Position(end)
	if with == "" {
		with = "{}" // an empty block keeps the syntax whole
	}
	changed := slices.Concat(f.source[:from.Offset], []byte(with), f.source[to.Offset:])
	before := f.text(shown)
	if len(before) > 70 {
		before = before[:70] + "…"
	}
	f.found = append(f.found, mutant{
		file: f.file, line: from.Line, column: from.Column,
		change: fmt.Sprintf("%q at column %d becomes %q", before, from.Column, with), source: changed,
	})
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.fset.Position(n.Pos()).Offset:f.fset.Position(n.End()).Offset])
}
