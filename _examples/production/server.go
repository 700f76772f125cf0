package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// faulty is an API that fails as APIs do. Which of its requests fail, and how, follows from their
// numbers alone.
type faulty struct {
	*httptest.Server

	mu        sync.Mutex
	requests  int
	faults    map[string]int  // how often each fault happened
	created   map[string]bool // the idempotency keys of the items
	refreshes int             // the access tokens that were issued
	expired   bool            // the current access token is not good any more
}

// tokenUses is after how many requests the access token expires.
const tokenUses = 200

func newFaulty() *faulty {
	f := &faulty{faults: map[string]int{}, created: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/refresh-token", f.refresh)
	mux.HandleFunc("GET /items/{id}", f.guarded(f.item))
	mux.HandleFunc("POST /items", f.guarded(f.create))
	f.Server = httptest.NewServer(mux)
	return f
}

func (f *faulty) refresh(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshes++
	f.expired = false
	answer(w, http.StatusOK, map[string]any{
		"access_token":  fmt.Sprintf("access-%d", f.refreshes),
		"refresh_token": fmt.Sprintf("refresh-%d", f.refreshes),
	})
}

// guarded lets a request through to serve, unless its token has expired or a fault comes between.
func (f *faulty) guarded(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch fault := f.fault(r.Header.Get("Authorization")); fault {
		case "":
			serve(w, r)
		case "401 expired token":
			answer(w, http.StatusUnauthorized, nil)
		case "500":
			answer(w, http.StatusInternalServerError, nil)
		case "429 with Retry-After":
			w.Header().Set("Retry-After", "1")
			answer(w, http.StatusTooManyRequests, nil)
		case "slow response":
			// The item is served, and the client has given up by then.
			time.Sleep(2 * attemptLimit)
			serve(w, r)
		case "connection reset before the work":
			panic(http.ErrAbortHandler)
		case "connection reset after the work":
			serve(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
	}
}

// fault counts a request and says how it fails.
func (f *faulty) fault(authorization string) string {
	f.mu.Lock()
	defer f.mu.Unlock()

	var fault string
	f.requests++
	n := f.requests
	f.expired = f.expired || n%tokenUses == 0
	switch {
	case f.expired || authorization != fmt.Sprintf("Bearer access-%d", f.refreshes):
		fault = "401 expired token"
	case n%301 == 0:
		fault = "429 with Retry-After"
	case n%23 == 0:
		fault = "slow response"
	case n%19 == 0:
		fault = "connection reset after the work"
	case n%17 == 0:
		fault = "connection reset before the work"
	case n%13 == 0:
		fault = "500"
	default:
		return ""
	}
	f.faults[fault]++
	return fault
}

func (f *faulty) item(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, Item{ID: r.PathValue("id")})
}

// create makes one item for each idempotency key, however often the key comes.
func (f *faulty) create(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	f.mu.Lock()
	f.created[key] = true
	f.mu.Unlock()
	answer(w, http.StatusCreated, Item{ID: key})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
