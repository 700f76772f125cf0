package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// api is a typical server: its access tokens are short-lived, and each refresh token is good for one
// refresh.
type api struct {
	timeline *timeline

	mu      sync.Mutex
	number  int // the number of the current pair of tokens
	expired bool
	revoked bool
	n       counts
}

type counts struct{ requests, unauthorized, refreshes, reuses int }

func newAPI(t *timeline) *api { return &api{timeline: t} }

func (a *api) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = true
}

func (a *api) counts() counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch id, isItem := strings.CutPrefix(r.URL.Path, "/items/"); {
	case isItem:
		a.item(w, r, id)
	case r.URL.Path == "/auth/login":
		a.mu.Lock()
		defer a.mu.Unlock()
		a.issueTokens(w)
	case r.URL.Path == "/auth/refresh-token":
		a.refresh(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (a *api) item(w http.ResponseWriter, r *http.Request, id string) {
	// The API has work to do.
	time.Sleep(2 * time.Millisecond)

	a.mu.Lock()
	defer a.mu.Unlock()

	a.n.requests++
	if a.expired || a.revoked || r.Header.Get("Authorization") != "Bearer access-"+strconv.Itoa(a.number) {
		if a.n.unauthorized++; a.n.unauthorized == 1 {
			a.timeline.add("the first 401: the access token has expired")
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}

	if a.n.requests-a.n.unauthorized == 1 {
		a.timeline.add("the first replay gets a 200")
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"id":%s}`, id)
}

func (a *api) refresh(w http.ResponseWriter, r *http.Request) {
	var body struct {
		RefreshToken string `json:"refresh_token"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	a.timeline.add("POST /auth/refresh-token: the refresh begins")

	// A refresh over a real network takes its time, and the 401s pile up meanwhile.
	time.Sleep(20 * time.Millisecond)

	a.mu.Lock()
	defer a.mu.Unlock()

	// A refresh token that comes a second time may be a stolen copy, so the session ends for everyone.
	if a.revoked || body.RefreshToken != "refresh-"+strconv.Itoa(a.number) {
		a.n.reuses++
		a.revoked = true
		w.WriteHeader(http.StatusUnauthorized)
		return
	}

	a.n.refreshes++
	a.timeline.add(fmt.Sprintf("new tokens are issued; %d calls wait for them after their 401", a.n.unauthorized))
	a.issueTokens(w)
}

func (a *api) issueTokens(w http.ResponseWriter) {
	a.number++
	a.expired = false
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"access-%[1]d","refresh_token":"refresh-%[1]d","expires_in":900}`, a.number)
}

// timeline records the events of a run and their times.
type timeline struct {
	mu     sync.Mutex
	began  time.Time
	events []event
}

type event struct {
	after time.Duration
	text  string
}

func (t *timeline) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = time.Now()
	t.events = []event{{0, fmt.Sprintf("%d calls leave with the old token", calls)}}
}

func (t *timeline) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, event{time.Since(t.began), text})
}

func (t *timeline) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		_, _ = fmt.Fprintf(w, "  %6.1f ms  %s\n", float64(e.after.Microseconds())/1000, e.text)
	}
}
