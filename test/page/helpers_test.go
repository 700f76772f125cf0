package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var screenshots = flag.String("screenshots", "", "the folder that pictures of the page are kept in")

// patience is how long a condition of the page may take to hold. It is for a machine that is slow.
const patience = 30 * time.Second

// refreshTakes is long enough for a test to do something in the middle of a refresh.
const refreshTakes = 2 * time.Second

// site is the origin of the example, and browser is the Chromium that all tests share.
var (
	site    string
	browser context.Context
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/page:", err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "test/page:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	one, err := startExample(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, one.end()) }()
	site = one.origin

	allocator, stop := chromedp.NewExecAllocator(ctx, browserFlags()...)
	defer stop()
	var closeBrowser func()
	browser, closeBrowser = chromedp.NewContext(allocator)
	defer closeBrowser()
	if err := chromedp.Do(browser); err != nil {
		return 0, fmt.Errorf("starting Chromium: %w", err)
	}
	return m.Run(), nil
}

// example is a running process of the example.
type example struct {
	origin  string
	input   io.WriteCloser
	process *exec.Cmd
}

// startExample starts the example as its documentation says, from the folder of the repository.
func startExample(ctx context.Context) (*example, error) {
	return start(exec.CommandContext(ctx,
		"go", "run", "./_examples/browser", "-refresh", refreshTakes.String()))
}

// start starts a process of the example, and waits until its page can be opened.
func start(process *exec.Cmd) (*example, error) {
	process.Dir = filepath.Join("..", "..")
	process.Stderr = os.Stderr
	input, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}

	// Its last line says that it is ready.
	address := regexp.MustCompile(`http://[0-9.:]+`)
	var said strings.Builder
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if strings.Contains(lines.Text(), "to end") {
			return &example{address.FindString(said.String()), input, process}, nil
		}
	}
	return nil, fmt.Errorf("the example has ended early (%w): %s", process.Wait(), &said)
}

// end ends the example as a closed terminal does.
func (e *example) end() error { return errors.Join(e.input.Close(), e.process.Wait()) }

func browserFlags() []chromedp.ExecAllocatorOption {
	name := os.Getenv("CHROMIUM")
	if name == "" {
		name = "chromium"
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(name),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)

	// The sandbox of Chromium does not start for root.
	if os.Geteuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	return flags
}

// tab is the page in one tab. Its methods end the test if something does not hold in time.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	console []chromedp.ConsoleMessage
}

// newVisitor opens the page in a profile of its own, with nothing in its localStorage.
func newVisitor(t *testing.T) *tab {
	t.Helper()
	return openSite(t, browser, site, chromedp.WithNewBrowserContext())
}

// newMember opens the page as newVisitor does, and logs in.
func newMember(t *testing.T) *tab {
	t.Helper()
	page := newVisitor(t)
	page.login("lovelace")
	page.untilListed()
	return page
}

// another opens the page in a second tab of the same visitor.
func (p *tab) another() *tab {
	p.t.Helper()
	return openSite(p.t, p.ctx, site)
}

func openSite(
	t *testing.T, parent context.Context, origin string, opts ...chromedp.ContextOption,
) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, opts...)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	p.watchConsole()
	p.do(chromedp.EmulateViewport(1440, 1000), chromedp.Navigate(origin))
	p.ready()
	return p
}

// watchConsole reads the console of the page, and fails the test if the browser complains of
// something. A resource that it could not load is none of that: it is a 401 that the test has asked for.
func (p *tab) watchConsole() {
	messages := chromedp.Console(p.ctx)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for message, err := range messages {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.console = append(p.console, message)
			p.mu.Unlock()
		}
	}()

	p.t.Cleanup(func() {
		assert.NoError(p.t, chromedp.Cancel(p.ctx))
		<-watching
		for _, m := range p.console {
			isFault := m.IsException() || m.Type == "error" && m.Source != "network"
			assert.False(p.t, isFault, "the browser complains: %s", m)
		}
	})
}

// logged returns how many lines of the console have a text.
func (p *tab) logged(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.console {
		if strings.Contains(m.Text, text) {
			n++
		}
	}
	return n
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, actions...))
}

// evaluate returns the value of an expression of JavaScript.
func evaluate[T any](p *tab, format string, args ...any) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf(format, args...)))
	require.NoError(p.t, err)
	return value
}

// until waits until an expression of JavaScript is true in the page.
func (p *tab) until(expression string) {
	p.t.Helper()
	poll := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience))
	if _, err := chromedp.Run(p.ctx, poll); err != nil {
		require.FailNow(p.t, "the page does not come to it",
			"%s: %v\nthe page:\n%s", expression, err, p.text("body"))
	}
}

// ready waits until the program of the page has started.
func (p *tab) ready() {
	p.t.Helper()
	p.until(`document.getElementById("loading")?.hidden`)
}

func (p *tab) click(id string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS("#" + id)))
}

func (p *tab) text(selector string) string {
	p.t.Helper()
	return evaluate[string](p, "document.querySelector(%q).innerText", selector)
}

// count returns how many elements a selector has.
func (p *tab) count(selector string) int {
	p.t.Helper()
	return evaluate[int](p, "document.querySelectorAll(%q).length", selector)
}

func (p *tab) untilCount(selector string, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.querySelectorAll(%q).length === %d", selector, n))
}

// login logs in with a password.
func (p *tab) login(password string) {
	p.t.Helper()
	p.until(`!document.getElementById("guest").hidden`)
	p.do(
		chromedp.SetValue(chromedp.CSS("#name"), "ada"),
		chromedp.SetValue(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS("#login button")),
	)
}

// untilListed waits until the page shows the list, which only a user sees, and has saved the login.
func (p *tab) untilListed() {
	p.t.Helper()
	p.until(`!document.getElementById("member").hidden`)
	p.until(`!document.getElementById("login-fields").disabled`)
	p.untilCount("#stars li", 50)
	p.untilSettled()
}

// untilLoggedOut waits until the page shows the form, and until the session has ended everywhere.
func (p *tab) untilLoggedOut() {
	p.t.Helper()
	p.until(`!document.getElementById("guest").hidden && document.getElementById("member").hidden`)
	p.until(`!document.getElementById("login-fields").disabled`)
}

// untilLoads waits until so many calls of the run are in a state. A refresh is none of them.
func (p *tab) untilLoads(state string, n int) {
	p.t.Helper()
	p.untilCount("#calls li:not([data-refresh])[data-state="+state+"]", n)
}

// untilSettled waits until every call of the run has ended.
func (p *tab) untilSettled() {
	p.t.Helper()
	p.untilCount("#calls li:not([data-state=done], [data-state=failed])", 0)
}

// expire has the access token expire.
func (p *tab) expire() {
	p.t.Helper()
	p.click("expire")
	p.until(`document.getElementById("message").textContent.includes("has expired")`)
	p.untilSettled()
}

// setScheme makes the page light or dark.
func (p *tab) setScheme(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(p.t, err)
}

// picture keeps a picture of the whole page, if somebody has asked for pictures.
func (p *tab) picture(name string) {
	p.t.Helper()
	if *screenshots == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o600))
}

// counts is what the API has counted.
type counts struct{ Asked, Refreshes, Regranted, Reused, Unauthorized, Stars, Logouts int }

func served(t *testing.T) (c counts) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site+"/api/counts", nil)
	require.NoError(t, err)
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	defer response.Body.Close()
	require.NoError(t, json.NewDecoder(response.Body).Decode(&c))
	return c
}

// since returns what the API has counted since an earlier count.
func since(t *testing.T, before counts) counts {
	t.Helper()
	now := served(t)
	return counts{
		Asked:        now.Asked - before.Asked,
		Refreshes:    now.Refreshes - before.Refreshes,
		Regranted:    now.Regranted - before.Regranted,
		Reused:       now.Reused - before.Reused,
		Unauthorized: now.Unauthorized - before.Unauthorized,
		Stars:        now.Stars - before.Stars,
		Logouts:      now.Logouts - before.Logouts,
	}
}
