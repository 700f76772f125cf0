// Browser is a small frontend in Go. Its page shows what happens to each call: fifty parallel calls on
// an expired access token wait for one refresh and are sent again.
//
//	go run ./_examples/browser
//
// The program compiles the folder frontend to WebAssembly, serves the page and a small API for it, and
// prints the address to open in a browser. It ends with Enter, with Ctrl-C, and at once where its
// standard input is empty. To watch the refresh longer, run it with -refresh 5s.
//
// The frontend is where axle is used: see frontend/main.go. The API is in api.go.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

//go:embed page.html
var page []byte

//go:embed start.js
var start []byte

func main() {
	refresh := flag.Duration("refresh", 500*time.Millisecond, "how long the API takes for a refresh")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *refresh, os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, refresh time.Duration, in io.Reader, out io.Writer) error {
	folder, err := os.MkdirTemp("", "axle-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)

	fmt.Fprintln(out, "Compiling the frontend to WebAssembly …")
	program := filepath.Join(folder, "frontend.wasm")
	if err := compile(ctx, program); err != nil {
		return fmt.Errorf("compiling the frontend: %w", err)
	}
	support, err := supportScript(ctx)
	if err != nil {
		return fmt.Errorf("looking for the Go toolchain's wasm_exec.js: %w", err)
	}

	site := http.NewServeMux()
	site.HandleFunc("GET /{$}", servePage)
	site.HandleFunc("GET /start.js", serveStart)
	site.HandleFunc("GET /wasm_exec.js", serveFile(support))
	site.HandleFunc("GET /frontend.wasm", serveFile(program))
	site.Handle("/api/", newAPI(refresh))

	// A free port is also a fresh origin, so that the browser has no session of an earlier run there.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: site, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Close()

	fmt.Fprintf(out, "Open http://%s in a browser. Log in as %s with the password %s.\n",
		listener.Addr(), name, password)
	fmt.Fprintln(out, "Press Enter or Ctrl-C here to end.")

	entered := make(chan struct{})
	go func() {
		if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
			fmt.Fprintln(out, "The standard input has ended, and so has the example.")
		}
		close(entered)
	}()

	select {
	case err = <-served:
		return err
	case <-entered:
	case <-ctx.Done():
	}
	return nil
}

// compile builds the frontend. The flags leave out what only a debugger needs.
func compile(ctx context.Context, program string) error {
	const frontend = "github.com/axlehttp/axle/_examples/browser/frontend"
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", program, frontend)
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	build.Stderr = os.Stderr
	return build.Run()
}

// supportScript returns the path of the script that connects a Go program to the browser. It has to be
// that of the Go version which compiled the program.
func supportScript(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	return filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"), err
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	// The session is in localStorage, which every script of the page can read. So the page runs no
	// script from elsewhere, and nobody can put one into its text.
	w.Header().Set("Content-Security-Policy", "default-src 'self'; "+
		"script-src 'self' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; img-src data:; "+
		"base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}

func serveStart(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = w.Write(start)
}

// serveFile serves a file under the type of its name. A browser compiles a program while it loads it
// only if the type is application/wasm.
func serveFile(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if filepath.Ext(path) == ".wasm" {
			w.Header().Set("Content-Type", "application/wasm")
		}
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFile(w, r, path)
	}
}
