//go:build !js

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maxence-charriere/go-app/v10/pkg/app"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The login of the API is one whose access token has expired already, so that the list needs a refresh.
func TestGoApp_AComponentShowsWhatAxleHasLoaded(t *testing.T) {
	program := filepath.Join(t.TempDir(), "app.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	route()
	var refreshes atomic.Int64
	site := http.NewServeMux()
	icon := app.Icon{Default: "/web/icon.png", SVG: "/web/icon.svg"} // go-app's own is on the network
	site.Handle("/", &app.Handler{Name: "axle in go-app", Icon: icon})
	site.HandleFunc("GET /web/app.wasm", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, program)
	})
	site.HandleFunc("POST /api/login", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"access_token": "expired", "refresh_token": "first"})
	})
	site.HandleFunc("POST /api/refresh", func(w http.ResponseWriter, _ *http.Request) {
		refreshes.Add(1)
		writeJSON(w, map[string]string{"access_token": "good", "refresh_token": "second"})
	})
	site.HandleFunc("GET /api/items", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, []string{"Sirius", "Vega"})
	})
	server := httptest.NewServer(site)
	defer server.Close()

	browser := openBrowser(t)
	require.NoError(t, chromedp.Do(browser, chromedp.Navigate(server.URL)))
	shown, err := chromedp.Run(browser, chromedp.Poll[[]string](
		`(() => {
			const items = [...document.querySelectorAll("li")].map((li) => li.textContent);
			return items.length > 0 && items;
		})()`, chromedp.WithPollingTimeout(time.Minute)))
	require.NoError(t, err)
	assert.Equal(t, []string{"Sirius", "Vega"}, shown)
	assert.EqualValues(t, 1, refreshes.Load())
}

// openBrowser starts Chromium, which ends with the test.
func openBrowser(t *testing.T) context.Context {
	// The machine may be slow, and go-app's page loads and compiles some megabytes.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)

	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium")),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)

	// The sandbox of Chromium does not start for root.
	if os.Geteuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
