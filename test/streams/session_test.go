package streams_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// account is the user of the tests.
type account struct{ Name string }

// api is a server whose access token expires when a test says so. Its refresh tokens are for one
// use.
type api struct {
	*httptest.Server

	mu        sync.Mutex
	token     int // the number of the token that is valid
	expired   bool
	expiries  int
	refreshes int
	refused   int // requests that were refused with a 401
	rejected  int // refreshes with a refresh token that was used before
}

// newAPI starts a server that guards a handler.
func newAPI(t *testing.T, guarded http.HandlerFunc) *api {
	a := &api{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /refresh", a.refresh)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !a.allows(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		guarded(w, r)
	})

	a.Server = httptest.NewUnstartedServer(mux)
	a.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	a.Start()
	t.Cleanup(a.Close)
	return a
}

type connKey struct{}

// connOf returns the connection of a request.
func connOf(r *http.Request) *net.TCPConn {
	return r.Context().Value(connKey{}).(*net.TCPConn) //nolint:forcetypeassert // newAPI put it there
}

// expire ends the life of the present access token.
func (a *api) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = true
	a.expiries++
}

func (a *api) allows(r *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.expired || r.Header.Get("Authorization") != fmt.Sprintf("Bearer access-%d", a.token) {
		a.refused++
		return false
	}
	return true
}

func (a *api) refresh(w http.ResponseWriter, r *http.Request) {
	var sent struct {
		Token string `json:"refresh_token"`
	}
	_ = json.NewDecoder(r.Body).Decode(&sent)

	a.mu.Lock()
	defer a.mu.Unlock()
	if sent.Token != fmt.Sprintf("refresh-%d", a.token) {
		a.rejected++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	a.token++
	a.refreshes++
	a.expired = false
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"access-%d","refresh_token":"refresh-%d"}`, a.token, a.token)
}

// client returns a client with a session that has logged in.
func (a *api) client(plugins ...axle.Plugin) *axle.Client {
	c := axle.New().SetBaseURL(a.URL)
	session := store.New[account](store.Endpoint(c, "/refresh"))
	session.Login(account{"ada"}, &oauth2.Token{AccessToken: "access-0", RefreshToken: "refresh-0"})
	return c.Use(auth.New(session)).Use(plugins...)
}

// figures are what a test compares at its end.
type figures struct{ expiries, refreshes, refused, rejected int }

func (a *api) figures() figures {
	a.mu.Lock()
	defer a.mu.Unlock()
	return figures{a.expiries, a.refreshes, a.refused, a.rejected}
}
