package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The one user of the API.
const (
	name     = "ada"
	password = "lovelace"
)

// grace is how long a refresh token that was spent still gets the pair of tokens that took its place. A
// page that is reloaded during a refresh loses the response, and goes on by the grace.
const grace = 10 * time.Second

// api is a typical server: its access tokens expire, and each refresh token is good for one refresh.
type api struct {
	http.Handler
	refreshTakes time.Duration

	mu     sync.Mutex
	logins []*login
	counts counts
}

// login is one login and its current pair of tokens.
type login struct {
	tokens
	expired bool      // the access token is not accepted any more
	spent   string    // the refresh token before the current one
	rotated time.Time // when the current pair took the place of the last one
}

type tokens struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"` // seconds
}

// counts says how often the API did each thing.
type counts struct {
	Asked        int `json:"asked"` // requests for a refresh that have arrived
	Refreshes    int `json:"refreshes"`
	Regranted    int `json:"regranted"` // spent refresh tokens that got the new pair by the grace
	Reused       int `json:"reused"`    // spent refresh tokens that ended their login
	Unauthorized int `json:"unauthorized"`
	Stars        int `json:"stars"`
	Logouts      int `json:"logouts"`
}

func newAPI(refreshTakes time.Duration) *api {
	mux := http.NewServeMux()
	a := &api{Handler: mux, refreshTakes: refreshTakes}
	mux.HandleFunc("POST /api/login", a.login)
	mux.HandleFunc("POST /api/refresh", a.refresh)
	mux.HandleFunc("POST /api/logout", a.logout)
	mux.HandleFunc("POST /api/expire", a.expire)
	mux.HandleFunc("GET /api/stars", a.authorized(a.listStars))
	mux.HandleFunc("GET /api/stars/{id}", a.authorized(a.oneStar))
	mux.HandleFunc("GET /api/counts", a.listCounts)
	return a
}

func (a *api) login(w http.ResponseWriter, r *http.Request) {
	var body struct{ Name, Password string }
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Name != name || body.Password != password {
		answer(w, http.StatusUnauthorized, problem{"The name or the password is wrong."})
		return
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	l := &login{tokens: newTokens()}
	a.logins = append(a.logins, l)
	answer(w, http.StatusOK, l.tokens)
}

func (a *api) refresh(w http.ResponseWriter, r *http.Request) {
	token := refreshTokenOf(r)
	a.mu.Lock()
	a.counts.Asked++
	a.mu.Unlock()

	// A refresh over a real network takes its time, and the 401s pile up meanwhile.
	time.Sleep(a.refreshTakes)

	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.find(func(l *login) bool { return l.Refresh == token || l.spent == token })
	switch {
	case token == "" || l == nil:
		answer(w, http.StatusBadRequest, problem{"invalid_grant"})
		return

	case token == l.Refresh:
		a.counts.Refreshes++
		l.spent, l.rotated, l.expired, l.tokens = token, time.Now(), false, newTokens()

	case time.Since(l.rotated) < grace:
		a.counts.Regranted++

	default:
		// Somebody has spent the token before, perhaps a thief. The login ends for everybody.
		a.counts.Reused++
		a.end(l)
		answer(w, http.StatusBadRequest, problem{"invalid_grant"})
		return
	}
	answer(w, http.StatusOK, l.tokens)
}

// logout ends the login of a refresh token.
func (a *api) logout(w http.ResponseWriter, r *http.Request) {
	token := refreshTokenOf(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.find(func(l *login) bool { return l.Refresh == token }); l != nil {
		a.counts.Logouts++
		a.end(l)
	}
	w.WriteHeader(http.StatusNoContent)
}

// expire lets the access token expire which the request carries.
func (a *api) expire(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.find(hasAccess(r)); l != nil {
		l.expired = true
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, http.StatusUnauthorized, problem{"invalid_token"})
}

// authorized calls next for requests with an access token that is accepted.
func (a *api) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		l := a.find(hasAccess(r))
		accepted := l != nil && !l.expired
		if !accepted {
			a.counts.Unauthorized++
		}
		a.mu.Unlock()

		if !accepted {
			answer(w, http.StatusUnauthorized, problem{"invalid_token"})
			return
		}
		next(w, r)
	}
}

func (a *api) listStars(w http.ResponseWriter, _ *http.Request) {
	var names []string
	for _, s := range stars() {
		names = append(names, s.Name)
	}
	answer(w, http.StatusOK, names)
}

func (a *api) oneStar(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	all := stars()
	if err != nil || id < 1 || id > len(all) {
		answer(w, http.StatusNotFound, problem{"There is no such star."})
		return
	}

	// The API has work to do, and for some stars more than for others.
	time.Sleep(time.Duration(30+id*37%90) * time.Millisecond)

	a.mu.Lock()
	a.counts.Stars++
	a.mu.Unlock()
	answer(w, http.StatusOK, all[id-1])
}

func (a *api) listCounts(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer(w, http.StatusOK, a.counts)
}

// find returns the login for which the condition holds, or nil. The lock is held.
func (a *api) find(condition func(*login) bool) *login {
	for _, l := range a.logins {
		if condition(l) {
			return l
		}
	}
	return nil
}

// end forgets a login. The lock is held.
func (a *api) end(ended *login) {
	var others []*login
	for _, l := range a.logins {
		if l != ended {
			others = append(others, l)
		}
	}
	a.logins = others
}

func hasAccess(r *http.Request) func(*login) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return func(l *login) bool { return l.Access == token }
}

func refreshTokenOf(r *http.Request) string {
	var body struct {
		RefreshToken string `json:"refresh_token"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	return body.RefreshToken
}

func newTokens() tokens {
	return tokens{Access: rand.Text(), Refresh: rand.Text(), Type: "Bearer", ExpiresIn: 900}
}

type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
