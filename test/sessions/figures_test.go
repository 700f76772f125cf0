package sessions

import (
	"bytes"
	"fmt"
	"os"
	"sync"
)

// figures are the results of the proofs, for docs/sessions.md.
var figures table

// table is a table of results. It is safe for concurrent use.
type table struct {
	mu   sync.Mutex
	rows []string
}

// add adds a row.
func (f *table) add(proof, size, result string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, fmt.Sprintf("| %s | %s | %s |\n", proof, size, result))
}

// The figures are between two lines of the document.
var (
	figuresBegin = []byte("<!-- figures: begin -->\n")
	figuresEnd   = []byte("<!-- figures: end -->\n")
)

// write replaces the figures in the document.
func (f *table) write(path string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(document, figuresBegin)
	_, after, ended := bytes.Cut(rest, figuresEnd)
	if !ok || !ended {
		return fmt.Errorf("%s has no place for the figures", path)
	}

	var out bytes.Buffer
	out.Write(before)
	out.Write(figuresBegin)
	out.WriteString("| proof | size | result |\n|---|---|---|\n")
	for _, row := range f.rows {
		out.WriteString(row)
	}
	out.Write(figuresEnd)
	out.Write(after)
	return os.WriteFile(path, out.Bytes(), 0o644)
}
