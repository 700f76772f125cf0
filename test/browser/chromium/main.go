//go:build !js

// Command chromium runs a test binary that is compiled to js/wasm in headless Chromium. It is for
// the flag -exec of go test:
//
//	go build -o /tmp/in-chromium ./test/browser/chromium
//	GOOS=js GOARCH=wasm go test -exec /tmp/in-chromium ./test/browser
//
// Its arguments are the binary and the flags of the binary. It serves the page that runs the binary
// on one origin of the loopback interface, and the servers that the tests of test/browser send to,
// on that origin and on a second one: see api.go. It prints what the binary prints, and ends with
// the exit code of the binary.
//
// A test may open further tabs with the address /?tab=NAME. Such a tab runs the binary with AXLE_TAB=NAME,
// shares the storage of the page, and is closed when the binary ends.
//
// A suite that has servers of its own, by httptest, runs with AXLE_NETWORK=relay or AXLE_NETWORK=memory.
// Its servers listen in the page, in the network in memory of package net. With "relay" a proxy takes
// the requests of fetch there: see relay.go. With "memory" the page has no fetch, and net/http uses the
// network in memory itself. The page has a file system in memory in any case.
//
// The browser is the program "chromium", or the one that the variable CHROMIUM names. It has an
// empty profile, which is removed at the end.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/axlehttp/axle/store/sessiontest"
)

//go:embed page.html
var page []byte

//go:embed back.html
var back []byte

//go:embed files.js
var files []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	code, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chromium:", err)
		code = 1
	}
	os.Exit(code)
}

// run returns the exit code of the binary.
func run(ctx context.Context) (int, error) {
	if len(os.Args) < 2 {
		return 0, errors.New("the arguments are a js/wasm binary and the flags of that binary")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	api := newAPI()
	other, err := serve(ctx, api)
	if err != nil {
		return 0, err
	}

	b := &binary{path: os.Args[1], args: os.Args[1:], other: other, ended: make(chan int, 1)}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", b.servePage)
	routes.HandleFunc("GET /back", serveBack)
	routes.HandleFunc("GET /files.js", serveFiles)
	routes.HandleFunc("GET /run", toFrames(b.serveRun))
	routes.HandleFunc("GET /binary", toFrames(b.serveBinary))
	routes.HandleFunc("GET /wasm_exec.js", serveSupport)
	routes.HandleFunc("POST /print", b.print)
	routes.HandleFunc("POST /exit", b.exit)
	routes.Handle("/api/", api)
	routes.Handle("/session/", newSession(ctx, "/session", sessiontest.Rules{}))
	routes.Handle("/strict/", newSession(ctx, "/strict", sessiontest.Rules{}))
	routes.Handle("/graceful/", newSession(ctx, "/graceful", sessiontest.Rules{Grace: time.Minute}))
	if b.page, err = serve(ctx, routes); err != nil {
		return 0, err
	}

	var flags []string
	if os.Getenv("AXLE_NETWORK") == "relay" {
		proxy := newRelay()
		routes.Handle("GET /relay", proxy.accept(ctx))
		own := strings.NewReplacer("http://", "").Replace(b.page + ";" + b.other)
		flags = []string{
			"--proxy-server=" + proxy.start(ctx), "--proxy-bypass-list=<-loopback>;" + own,
			"--ignore-certificate-errors",
		}
	}

	crashed, err := open(ctx, b.page, flags)
	if err != nil {
		return 0, err
	}
	var code int
	select {
	case code = <-b.ended:
	case err = <-crashed:
		return 0, fmt.Errorf("the browser has ended before the tests: %w", err)
	case <-ctx.Done():
		err = errors.New("interrupted")
	}

	// The profile can be removed only after the browser has ended.
	cancel()
	for range crashed {
	}
	return code, err
}

// serve starts a server on the loopback interface, and returns its origin.
func serve(ctx context.Context, handler http.Handler) (origin string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return "http://" + listener.Addr().String(), nil
}

// binary is the test binary, and what the page and the binary tell each other.
type binary struct {
	path        string
	args        []string
	page, other string // the two origins
	ended       chan int
}

func (b *binary) servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}

// serveBack serves a page that goes back to the page before it, when a test asks for that.
func serveBack(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(back)
}

func serveFiles(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = w.Write(files)
}

// serveRun tells the page the arguments and the environment of the binary. The environment of this
// program is nobody's business in the browser, except for the variables of the tests themselves.
func (b *binary) serveRun(w http.ResponseWriter, r *http.Request) {
	env := map[string]string{"AXLE_PAGE_ORIGIN": b.page, "AXLE_OTHER_ORIGIN": b.other}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AXLE_") || name == "GODEBUG" {
			env[name] = value
		}
	}
	if tab := r.URL.Query().Get("tab"); tab != "" {
		env["AXLE_TAB"] = tab
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"args": b.args, "env": env})
}

func (b *binary) serveBinary(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/wasm")
	http.ServeFile(w, r, b.path)
}

// toFrames lets a sandboxed frame read the response. It has no origin.
func toFrames(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		serve(w, r)
	}
}

// serveSupport serves the script that the Go toolchain brings for wasm.
func serveSupport(w http.ResponseWriter, r *http.Request) {
	root, err := exec.CommandContext(r.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeFile(w, r, filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
}

func (b *binary) print(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(os.Stdout, r.Body) }

func (b *binary) exit(_ http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	code, err := strconv.Atoi(string(text))
	if err != nil {
		fmt.Fprintln(os.Stderr, "chromium:", string(text))
		code = 1
	}
	select {
	case b.ended <- code:
	default:
	}
}

// open starts the browser with the URL and with more flags. The channel receives how the browser ended, after its
// profile is gone, and is then closed.
func open(ctx context.Context, url string, more []string) (<-chan error, error) {
	name := os.Getenv("CHROMIUM")
	if name == "" {
		name = "chromium"
	}
	profile, err := os.MkdirTemp("", "axle-chromium-")
	if err != nil {
		return nil, err
	}

	flags := []string{
		"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
		"--disable-background-networking", "--disable-popup-blocking", "--disable-component-update", "--disable-dev-shm-usage",
		// A hidden page would have its timers slowed down.
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding",
		"--disable-backgrounding-occluded-windows",
		"--user-data-dir=" + profile,
	}

	// The sandbox of Chromium does not start for root.
	if runtime.GOOS != "windows" && os.Geteuid() == 0 {
		flags = append(flags, "--no-sandbox")
	}

	flags = append(append(flags, more...), url)
	browser := exec.CommandContext(ctx, name, flags...) //nolint:gosec // the developer's own
	var said strings.Builder
	browser.Stderr = &said
	browser.Cancel = func() error { return browser.Process.Signal(os.Interrupt) }
	browser.WaitDelay = 5 * time.Second
	if err := browser.Start(); err != nil {
		_ = os.RemoveAll(profile)
		return nil, err
	}

	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		err := browser.Wait()
		_ = os.RemoveAll(profile)
		ended <- fmt.Errorf("%w: %s", errors.Join(err, errEnded), said.String())
	}()
	return ended, nil
}

var errEnded = errors.New("it has ended")
