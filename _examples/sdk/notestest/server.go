// Package notestest holds the notes API in memory, for the tests of the SDK and for the tests of its
// users.
package notestest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"

	"github.com/axlehttp/axle/_examples/sdk/notes"
)

// Server is a notes API. Its access token is "good", and POST /auth/refresh-token gives this token to
// every caller.
type Server struct {
	*httptest.Server

	mu        sync.Mutex
	notes     []notes.Note
	created   map[string]notes.Note // by idempotency key
	failures  int
	Refreshes int
	Pages     int
}

// FailNext makes the next n authorized requests fail with the status 503.
func (s *Server) FailNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = n
}

// New starts a server; Close stops it.
func New() *Server {
	s := &Server{created: map[string]notes.Note{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/refresh-token", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.Refreshes++
		write(w, http.StatusOK, map[string]any{"access_token": "good", "refresh_token": "r", "expires_in": 900})
	})
	mux.HandleFunc("GET /notes/{id}", s.authorized(s.get))
	mux.HandleFunc("GET /notes/{id}/attachment", s.authorized(s.attachment))
	mux.HandleFunc("GET /notes", s.authorized(s.list))
	mux.HandleFunc("POST /notes", s.authorized(s.create))
	s.Server = httptest.NewServer(mux)
	return s
}

func (s *Server) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			fail(w, http.StatusUnauthorized, "unauthorized", "the token has expired")
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.failures > 0 {
			s.failures--
			fail(w, http.StatusServiceUnavailable, "unavailable", "please come back later")
			return
		}
		next(w, r)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	for _, n := range s.notes {
		if n.ID == r.PathValue("id") {
			write(w, http.StatusOK, map[string]any{"data": n})
			return
		}
	}
	fail(w, http.StatusNotFound, "not_found", "there is no such note")
}

func (s *Server) attachment(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "the attachment of "+r.PathValue("id"))
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.Pages++
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	if err != nil || limit < 1 || from < 0 || from > len(s.notes) {
		fail(w, http.StatusBadRequest, "bad_request", "limit and cursor must make sense")
		return
	}
	to, next := min(from+limit, len(s.notes)), ""
	if to < len(s.notes) {
		next = strconv.Itoa(to)
	}
	write(w, http.StatusOK, map[string]any{"data": map[string]any{"items": s.notes[from:to], "next": next}})
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if n, ok := s.created[key]; ok {
		write(w, http.StatusOK, map[string]any{"data": n})
		return
	}
	var n notes.Note
	if json.NewDecoder(r.Body).Decode(&n) != nil || n.Text == "" {
		fail(w, http.StatusUnprocessableEntity, "invalid", "a note needs a text")
		return
	}
	n.ID = strconv.Itoa(len(s.notes) + 1)
	s.notes = append(s.notes, n)
	s.created[key] = n
	write(w, http.StatusCreated, map[string]any{"data": n})
}

func fail(w http.ResponseWriter, status int, code, message string) {
	write(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
