// Command size measures how much larger axle makes a program for the browser. It builds the programs
// in its folders for js/wasm, without paths and symbols, and compresses each as a server would:
//
//	go run ./test/browser/size          prints the sizes
//	go run ./test/browser/size -write   writes them into docs/browser.md
//
// It fails if axle adds more than its bar to a program that has net/http anyway.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// bar is how many bytes axle may add to a program with net/http, compressed.
const bar = 650_000

const document = "docs/browser.md"

func main() {
	writes := flag.Bool("write", false, "write the sizes into "+document)
	flag.Parse()
	if err := run(context.Background(), *writes); err != nil {
		fmt.Fprintln(os.Stderr, "size:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, writes bool) error {
	folder, err := os.MkdirTemp("", "axle-size-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()

	// The first program is what the others are compared with.
	programs := []program{
		{name: "nethttp", has: "net/http alone"},
		{name: "json", has: "net/http and encoding/json"},
		{name: "client", has: "axle"},
		{name: "session", has: "axle, interceptors/auth and store, with `store.LocalStorage`"},
	}
	for i := range programs {
		if err := programs[i].measure(ctx, folder); err != nil {
			return fmt.Errorf("%s: %w", programs[i].name, err)
		}
	}

	table := tableOf(programs)
	_, _ = os.Stdout.Write(table)
	if writes {
		if err := write(table); err != nil {
			return err
		}
	}
	if added := programs[2].compressed - programs[0].compressed; added > bar {
		return fmt.Errorf("axle adds %d bytes to net/http, and the bar is %d", added, bar)
	}
	return nil
}

// program is one of the folders, and its size in bytes.
type program struct {
	name, has        string
	size, compressed int
}

// measure builds the program into the folder.
func (p *program) measure(ctx context.Context, folder string) error {
	path := filepath.Join(folder, p.name+".wasm")
	//nolint:gosec // the arguments are constants
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./test/browser/size/"+p.name)
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	binary, err := os.ReadFile(path) //nolint:gosec // the path is in the folder of this run
	if err != nil {
		return err
	}

	var compressed bytes.Buffer
	z, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(binary); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	p.size, p.compressed = len(binary), compressed.Len()
	return nil
}

// tableOf returns the sizes as a table of the document, in megabytes of a million bytes.
func tableOf(programs []program) []byte {
	var table bytes.Buffer
	table.WriteString("| a program with | wasm | gzip -9 | more than net/http |\n|---|---|---|---|\n")
	for i, p := range programs {
		more := "–"
		if i > 0 {
			more = megabytes(p.compressed - programs[0].compressed)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", p.has, megabytes(p.size), megabytes(p.compressed), more)
	}
	return table.Bytes()
}

func megabytes(bytes int) string { return fmt.Sprintf("%.2f MB", float64(bytes)/1e6) }

// The sizes are between two lines of the document.
var (
	begin = []byte("<!-- sizes: begin -->\n")
	end   = []byte("<!-- sizes: end -->\n")
)

// write replaces the sizes in the document.
func write(table []byte) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, begin)
	_, after, ended := bytes.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no place for the sizes", document)
	}
	//nolint:gosec // the path is a constant
	return os.WriteFile(document, bytes.Join([][]byte{before, begin, table, end, after}, nil), 0o600)
}
