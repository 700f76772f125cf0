package docsnippets

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDocumentsCompile(t *testing.T) {
	const root = "../.."
	blocks := readAll(t, root)
	if len(blocks) == 0 {
		t.Log("no snippets")
		return
	}

	bySetting := map[setting][]block{}
	for _, b := range blocks {
		bySetting[b.setting] = append(bySetting[b.setting], b)
	}

	for s, blocks := range bySetting {
		if s != (setting{}) && os.Getenv("AXLE_SNIPPETS") != "all" {
			t.Logf("%d snippets of %s left to CI (AXLE_SNIPPETS=all)", len(blocks), s)
			continue
		}
		for _, problem := range compile(root, s, blocks) {
			t.Error(problem)
		}
		t.Logf("%d snippets of %s", len(blocks), s)
	}
}

// The next two tests check the checker. good.md has one block of each kind that must pass. In
// bad.md each block is followed by the line at which it fails, counted from 1, and by a part of the
// message.
func TestGoodBlocksPass(t *testing.T) {
	blocks := extract(t, "testdata/good.md", "good.md")
	if len(blocks) < 10 {
		t.Fatalf("found %d blocks in good.md", len(blocks))
	}
	for _, problem := range compile(".", setting{}, blocks) {
		t.Error(problem)
	}
}

func TestBadBlocksFail(t *testing.T) {
	blocks := extract(t, "testdata/bad.md", "bad.md")
	doc, err := os.ReadFile("testdata/bad.md")
	if err != nil {
		t.Fatal(err)
	}
	wants := regexp.MustCompile(`(?m)^Fails at \+(\d+): (.*)$`).FindAllStringSubmatch(string(doc), -1)
	if len(blocks) != len(wants) || len(blocks) == 0 {
		t.Fatalf("bad.md has %d blocks and %d expectations", len(blocks), len(wants))
	}
	for i, b := range blocks {
		problems := compile(".", setting{}, []block{b})
		if len(problems) == 0 {
			t.Errorf("bad.md:%d: compiled; want %q", b.line, wants[i][2])
			continue
		}
		var offset int
		_, _ = fmt.Sscan(wants[i][1], &offset)
		at := fmt.Sprintf("bad.md:%d:", b.line+offset-1)
		if got := problems[0].Error(); !strings.HasPrefix(got, at) || !strings.Contains(got, wants[i][2]) {
			t.Errorf("got %q; want it to start with %q and contain %q", got, at, wants[i][2])
		}
	}
}

// block is one Go block of a document.
type block struct {
	setting
	doc  string // slash-separated, from the root
	line int    // the number of the first line inside the fence
	text string
}

// setting says where a block compiles. The zero value is the root module on this platform.
type setting struct {
	module string // the folder of the nested module whose dependencies it needs
	goos   string // js, where GOARCH is wasm
}

func (s setting) String() string {
	module := "module " + cmp.Or(s.module, "axle")
	if s.goos != "" {
		module += " for " + s.goos
	}
	return module
}

// readAll extracts the blocks of every document below root. It also looks at every Go file and
// go.mod there, because `go test` uses a cached result until a file changes that the test has
// looked at.
func readAll(t *testing.T, root string) (blocks []block) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && isSkipped(name) {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".mod":
			_, err = os.Stat(path)
			return err
		case ".md":
			doc, err := filepath.Rel(root, path)
			blocks = append(blocks, extract(t, path, filepath.ToSlash(doc))...)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// fence matches the first line of a fence. A list marker may come before it.
var fence = regexp.MustCompile("^((?: *(?:[-*+]|[0-9]+[.)]) )* *)(`{3,}|~{3,})\\s*([^`]*)$")

// extract returns the Go blocks of one document.
func extract(t *testing.T, path, doc string) (blocks []block) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	var (
		closing string // the end of the current fence; "" outside of a fence
		opened  int    // the line at which it begins
		indent  int
		current *block
		text    strings.Builder
	)
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if closing == "" {
			m := fence.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			indent, closing, opened = len(m[1]), m[2], i+1
			if info := strings.Fields(m[3]); len(info) > 0 && (info[0] == "go" || info[0] == "golang") {
				current = &block{doc: doc, line: i + 2}
				for _, word := range info[1:] {
					module, ok := strings.CutPrefix(word, "module=")
					switch {
					case ok:
						current.module = module
					case word == "goos=js":
						current.goos = "js"
					default:
						t.Errorf("%s:%d: %q after go is unknown here; only module=FOLDER and goos=js are", doc, i+1, word)
					}
				}
			}
			continue
		}

		if bare := strings.TrimSpace(line); strings.HasPrefix(bare, closing) && strings.Trim(bare, closing[:1]) == "" {
			if current != nil {
				current.text = text.String()
				blocks = append(blocks, *current)
			}
			closing, current = "", nil
			text.Reset()
			continue
		}

		if current != nil {
			spaces := len(line) - len(strings.TrimLeft(line, " "))
			text.WriteString(line[min(indent, spaces):] + "\n")
		}
	}
	if closing != "" {
		t.Errorf("%s:%d: the fence is never closed", doc, opened)
	}
	return blocks
}

// compile type-checks blocks in a setting below the folder root, and returns their faults.
func compile(root string, in setting, blocks []block) (problems []error) {
	type file struct {
		ast    *ast.File
		strict bool
	}
	var (
		fset     = token.NewFileSet()
		files    []file
		wanted   = map[string]bool{}
		declared = map[string]map[string]string{} // by document and name: what its pieces have declared
	)
	for _, b := range blocks {
		var (
			parsed *ast.File
			err    error
		)
		complete := startsWith(b.text, token.PACKAGE)
		if complete {
			parsed, err = parser.ParseFile(fset, "", b.source(b.text), parser.SkipObjectResolution)
		} else {
			known := declared[b.doc]
			if known == nil {
				known = maps.Clone(cast)
				declared[b.doc] = known
			}
			parsed, err = piece(fset, b, known)
		}
		if err != nil {
			problems = append(problems, first(err))
			continue
		}

		files = append(files, file{parsed, complete})
		for _, spec := range parsed.Imports {
			wanted[strings.Trim(spec.Path.Value, "\"`")] = true
		}
	}

	exports, err := exportData(root, in, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return append(problems, err)
	}
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if export := exports[path]; export != "" {
			return os.Open(export)
		}
		return nil, errors.New("it does not compile, or no required module provides it")
	})

	// The Error function gets all errors, so the one that Check returns is not needed.
	for _, f := range files {
		config := types.Config{Importer: imp, Error: func(err error) {
			if f.strict || !unused(err) {
				problems = append(problems, err)
			}
		}}
		_, _ = config.Check("snippet", fset, []*ast.File{f.ast}, nil)
	}
	return problems
}

// unused reports whether err is about a variable that a piece declares and does not use.
func unused(err error) bool {
	var e types.Error
	return errors.As(err, &e) && strings.Contains(e.Msg, "and not used")
}

func first(err error) error {
	var list scanner.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		return list[0]
	}
	return err
}

// source returns the text, which begins at the block's first line, with the position that it has in
// the document.
func (b block) source(text string) string { return b.at(0) + text }

func (b block) at(line int) string { return fmt.Sprintf("//line %s:%d\n", b.doc, b.line+line) }

// piece makes a whole file of a piece. It adds the known declarations and the imports that the
// piece uses. Later pieces of the same document know what this one declares at file level.
func piece(fset *token.FileSet, b block, known map[string]string) (*ast.File, error) {
	imported, file, body := b.split()
	fixed := strings.Join(imported, "") + "\n"
	function := []string{
		"func _() " + results(body) + " {\n",
		b.source(body),
		b.at(strings.Count(body, "\n")), "panic(0) }",
	}
	rest := strings.Join(slices.Concat(file, function), "")

	// An added declaration may use other names, which are added in the next round.
	added := map[string]bool{}
	var header, extra string
	for {
		source := "package snippet\n" + header + fixed + extra + rest
		parsed, err := parser.ParseFile(fset, "", source, 0)
		if err != nil {
			return nil, err
		}

		more := false
		for _, ident := range parsed.Unresolved {
			name := ident.Name
			isImported := func(s *ast.ImportSpec) bool { return importName(s) == name }
			if added[name] || slices.ContainsFunc(parsed.Imports, isImported) {
				continue
			}

			// A fault of an addition is reported at the line that uses it.
			at := fset.Position(ident.Pos())
			line := fmt.Sprintf("//line %s:%d\n", at.Filename, at.Line)
			if decl, ok := known[name]; ok {
				// The declaration may have been added for another of its names.
				if !strings.Contains(extra, decl) {
					extra += line + decl + "\n"
				}
			} else if path, ok := imports[name]; ok {
				header += line + fmt.Sprintf("import %s %q\n", name, path)
			} else {
				continue
			}
			added[name], more = true, true
		}

		if !more {
			b.remember(parsed, file, known)
			return parsed, nil
		}
	}
}

func importName(s *ast.ImportSpec) string {
	if s.Name != nil {
		return s.Name.Name
	}
	path := strings.Trim(s.Path.Value, "\"`")
	for name, p := range imports {
		if p == path {
			return name
		}
	}
	return path[strings.LastIndex(path, "/")+1:]
}

// remember adds the block's file-level declarations to known. A method goes with its type.
func (b block) remember(parsed *ast.File, file []string, known map[string]string) {
	for _, source := range file {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package snippet\n"+source, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil {
					known[decl.Name.Name] = source
				} else if name := receiver(decl.Recv.List[0].Type); name != "" {
					known[name] += "\n" + source
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						known[spec.Name.Name] = source
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							known[name.Name] = source
						}
					}
				}
			}
		}
	}
}

func receiver(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.StarExpr:
		return receiver(expr.X)
	case *ast.IndexExpr:
		return receiver(expr.X)
	case *ast.IndexListExpr:
		return receiver(expr.X)
	case *ast.Ident:
		return expr.Name
	}
	return ""
}

// split splits a block into its imports, its file-level declarations, and its statements, which
// keep their lines. A var or const among statements counts as a statement.
func (b block) split() (imported, file []string, body string) {
	type part struct {
		kind       token.Token // of its first token
		start, end int         // offsets of whole lines
	}
	var (
		parts []part
		depth int
		open  = true // the next token starts a part
		s     scanner.Scanner
		fset  = token.NewFileSet()
		src   = []byte(b.text)
		f     = fset.AddFile("", -1, len(src))
	)

	// Errors are left to the parser, whose messages are better.
	s.Init(f, src, func(token.Position, string) {}, 0)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}

		offset := f.Offset(pos)
		if open {
			parts = append(parts, part{kind: tok, start: lineStart(src, offset), end: len(src)})
			if tok == token.FUNC && !bytes.HasPrefix(src[offset:], []byte("func ")) {
				// A call of a function literal, func() { … }(), is a statement.
				parts[len(parts)-1].kind = token.LPAREN
			}
			open = false
		}

		switch tok {
		case token.LBRACE, token.LPAREN, token.LBRACK:
			depth++
		case token.RBRACE, token.RPAREN, token.RBRACK:
			depth--
		case token.SEMICOLON:
			if depth == 0 && lit == "\n" {
				parts[len(parts)-1].end = offset
				open = true
			}
		}
	}

	declarations := []token.Token{token.IMPORT, token.FUNC, token.TYPE}
	if !slices.ContainsFunc(parts, func(p part) bool {
		return !slices.Contains(declarations, p.kind) && p.kind != token.VAR && p.kind != token.CONST
	}) {
		declarations = append(declarations, token.VAR, token.CONST)
	}

	// The declarations are blanked out of the statements.
	statements := slices.Clone(src)
	for _, p := range parts {
		if !slices.Contains(declarations, p.kind) {
			continue
		}
		source := b.at(bytes.Count(src[:p.start], []byte("\n"))) + string(src[p.start:p.end]) + "\n"
		if p.kind == token.IMPORT {
			imported = append(imported, source)
		} else {
			file = append(file, source)
		}
		for i := p.start; i < p.end; i++ {
			if statements[i] != '\n' {
				statements[i] = ' '
			}
		}
	}
	return imported, file, string(statements)
}

func lineStart(src []byte, offset int) int { return bytes.LastIndexByte(src[:offset], '\n') + 1 }

// results returns a list of results for a function with this body. Function literals in the body
// have other results.
func results(body string) string {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package snippet\nfunc _() {\n"+body+"\n}\n", parser.SkipObjectResolution)
	if err != nil {
		// The same error comes again, with the right line, when the whole file is parsed.
		return ""
	}

	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			n = max(n, len(node.Results))
		}
		return true
	})
	return "(" + strings.TrimSuffix(strings.Repeat("any, ", n), ", ") + ")"
}

func startsWith(text string, want token.Token) bool {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", -1, len(text)), []byte(text), func(token.Position, string) {}, 0)
	_, tok, _ := s.Scan()
	return tok == want
}

// exportData returns the file with the compiler's export data for each package and its
// dependencies. The files are in the build cache.
func exportData(root string, in setting, paths []string) (map[string]string, error) {
	exports := map[string]string{}
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == "unsafe" || path == "C" })
	if len(paths) == 0 {
		return exports, nil
	}

	args := []string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export", "--"}
	list := exec.Command("go", append(args, paths...)...)
	list.Dir = filepath.Join(root, in.module)
	if in.goos == "js" {
		list.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	}
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list for %s: %w\n%s", in, err, &stderr)
	}

	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
	}
	return exports, nil
}
