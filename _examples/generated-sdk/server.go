package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/axlehttp/axle/test/sdks/petstore"
)

// server is a petstore. Its access tokens expire when the test calls expire, and each of its refresh
// tokens is good for one refresh.
type server struct {
	*httptest.Server
	refreshes, reused atomic.Int64
	dead              atomic.Bool // the newest access token has expired
}

func newServer() *server {
	s := &server{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/refresh-token", s.refresh)
	mux.HandleFunc("GET /pets/{id}", s.guard(func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "axle" {
			respond(w, http.StatusNotFound, petstore.Error{Code: "not_found", Message: "there is no such pet"})
			return
		}
		respond(w, http.StatusOK, petstore.Pet{Id: "axle", Name: "Axle", Tag: new("cat")})
	}))
	mux.HandleFunc("POST /pets", s.guard(func(w http.ResponseWriter, r *http.Request) {
		var given petstore.NewPet
		if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
			respond(w, http.StatusBadRequest, petstore.Error{Code: "bad_request", Message: err.Error()})
			return
		}
		respond(w, http.StatusCreated, petstore.Pet{Id: given.Name, Name: given.Name})
	}))
	s.Server = httptest.NewServer(mux)
	return s
}

func (s *server) expire() { s.dead.Store(true) }

func (s *server) refresh(w http.ResponseWriter, r *http.Request) {
	var given struct {
		RefreshToken string `json:"refresh_token"`
	}
	count := s.refreshes.Load()
	if json.NewDecoder(r.Body).Decode(&given) != nil || given.RefreshToken != fmt.Sprint("refresh-", count) ||
		!s.refreshes.CompareAndSwap(count, count+1) {
		s.reused.Add(1)
		respond(w, http.StatusUnauthorized, petstore.Error{
			Code: "invalid_grant", Message: "the refresh token is spent",
		})
		return
	}
	s.dead.Store(false)
	respond(w, http.StatusOK, map[string]any{
		"access_token":  fmt.Sprint("access-", count+1),
		"refresh_token": fmt.Sprint("refresh-", count+1),
		"expires_in":    900,
	})
}

func (s *server) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.dead.Load() || r.Header.Get("Authorization") != fmt.Sprint("Bearer access-", s.refreshes.Load()) {
			respond(w, http.StatusUnauthorized, petstore.Error{Code: "unauthorized", Message: "the token is dead"})
			return
		}
		next(w, r)
	}
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
