package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	clientID    = "axle-example-cli"
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

	codeLifetime   = time.Minute
	deviceLifetime = 10 * time.Minute
)

// server is an API with one user and its OAuth2 server: the authorization code grant with PKCE (RFC
// 7636), the device grant (RFC 8628), and the refresh grant with rotation, which notices a refresh
// token that is sent twice (RFC 9700 §4.14.2) and then ends the login. Revocation is that of RFC
// 7009. A page with one button stands for the user's sign-in.
type server struct {
	*http.Server
	URL          string
	lifetime     time.Duration // of an access token
	refreshTakes time.Duration

	mu      sync.Mutex
	codes   map[string]code   // by authorization code
	devices map[string]device // by device code
	logins  map[string]*login // by every access and refresh token that they have had
	count   counted
}

// code is what an authorization code was issued for.
type code struct {
	challenge, redirect string
	until               time.Time
}

// device is a device that waits for its user.
type device struct {
	userCode string
	approved bool
	until    time.Time
}

// login is one sign-in, with its current tokens.
type login struct {
	access, refresh string
	until           time.Time // the end of the access token
	revoked         bool
}

// counted is how often the server did each thing.
type counted struct{ refreshes, reused, revoked int }

// startServer starts a server at an origin. The port 0 stands for a free port.
func startServer(origin string) (*server, error) {
	address, _ := strings.CutPrefix(origin, "http://")
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}

	s := &server{
		URL:      "http://" + listener.Addr().String(),
		lifetime: time.Minute,
		codes:    map[string]code{},
		devices:  map[string]device{},
		logins:   map[string]*login{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", page)
	mux.HandleFunc("POST /authorize", s.authorize)
	mux.HandleFunc("POST /device_authorization", s.authorizeDevice)
	mux.HandleFunc("GET /device", page)
	mux.HandleFunc("POST /device", s.approveDevice)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("GET /userinfo", s.userinfo)
	s.Server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(listener) }()
	return s, nil
}

// expire makes every access token expire.
func (s *server) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logins {
		l.until = time.Now()
	}
}

func (s *server) counts() counted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// page is the page on which the user signs in. Its button sends the same parameters again.
func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	_, _ = w.Write([]byte(`<!doctype html><form method="post"><button>Sign in as Ada</button></form>`))
}

// authorize sends the browser back to the tool with a code.
func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	back, err := url.Parse(asked.Get("redirect_uri"))
	if err != nil || back.Scheme != "http" || back.Hostname() != "127.0.0.1" || asked.Get("client_id") != clientID {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}

	answer := url.Values{"state": {asked.Get("state")}}
	if asked.Get("response_type") != "code" || asked.Get("code_challenge_method") != "S256" {
		answer.Set("error", "invalid_request")
	} else {
		answer.Set("code", rand.Text())
		s.mu.Lock()
		s.codes[answer.Get("code")] = code{
			challenge: asked.Get("code_challenge"),
			redirect:  asked.Get("redirect_uri"),
			until:     time.Now().Add(codeLifetime),
		}
		s.mu.Unlock()
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

// authorizeDevice begins the sign-in of a device.
func (s *server) authorizeDevice(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("client_id") != clientID {
		refuse(w, "invalid_client")
		return
	}

	deviceCode, userCode := rand.Text(), rand.Text()[:8]
	s.mu.Lock()
	s.devices[deviceCode] = device{userCode: userCode, until: time.Now().Add(deviceLifetime)}
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"device_code":               deviceCode,
		"user_code":                 userCode,
		"verification_uri":          s.URL + "/device",
		"verification_uri_complete": s.URL + "/device?user_code=" + userCode,
		"expires_in":                int(deviceLifetime.Seconds()),
		"interval":                  1, // seconds
	})
}

// approveDevice signs the user of a device in.
func (s *server) approveDevice(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for deviceCode, d := range s.devices {
		if d.userCode == r.URL.Query().Get("user_code") && time.Now().Before(d.until) {
			d.approved = true
			s.devices[deviceCode] = d
			fmt.Fprintln(w, "You can go back to the device.")
			return
		}
	}
	http.Error(w, "unknown code", http.StatusNotFound)
}

// token serves the three grants.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("grant_type") == "refresh_token" {
		time.Sleep(s.refreshTakes)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var granted *login
	refusal := "invalid_grant"
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		granted = s.redeem(r)
	case deviceGrant:
		granted, refusal = s.redeemDevice(r.PostFormValue("device_code"))
	case "refresh_token":
		granted = s.rotate(r.PostFormValue("refresh_token"))
	default:
		refusal = "unsupported_grant_type"
	}
	if granted == nil {
		refuse(w, refusal)
		return
	}

	granted.access, granted.refresh = rand.Text(), rand.Text()
	granted.until = time.Now().Add(s.lifetime)
	s.logins[granted.access], s.logins[granted.refresh] = granted, granted
	answer(w, http.StatusOK, map[string]any{
		"access_token":  granted.access,
		"refresh_token": granted.refresh,
		"token_type":    "Bearer",
		"expires_in":    int(s.lifetime.Seconds()),
	})
}

// redeem spends an authorization code. The lock is held.
func (s *server) redeem(r *http.Request) *login {
	given := r.PostFormValue("code")
	c, known := s.codes[given]
	delete(s.codes, given)
	if !known || time.Now().After(c.until) || r.PostFormValue("redirect_uri") != c.redirect ||
		oauth2.S256ChallengeFromVerifier(r.PostFormValue("code_verifier")) != c.challenge {
		return nil
	}
	return &login{}
}

// redeemDevice spends a device code, if its user has signed in. The lock is held.
func (s *server) redeemDevice(given string) (granted *login, refusal string) {
	d, known := s.devices[given]
	switch {
	case !known || time.Now().After(d.until):
		return nil, "expired_token"
	case !d.approved:
		return nil, "authorization_pending"
	}
	delete(s.devices, given)
	return &login{}, ""
}

// rotate spends a refresh token. The lock is held.
func (s *server) rotate(token string) *login {
	l := s.logins[token]
	switch {
	case l == nil || l.revoked:
		return nil
	case token != l.refresh:
		// Somebody has spent the token before, and the server cannot know who is the thief.
		s.count.reused++
		l.revoked = true
		return nil
	}
	s.count.refreshes++
	return l
}

// revoke ends the login of a token.
func (s *server) revoke(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logins[r.PostFormValue("token")]; l != nil && !l.revoked {
		s.count.revoked++
		l.revoked = true
	}
}

// userinfo is the API.
func (s *server) userinfo(w http.ResponseWriter, r *http.Request) {
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	l := s.logins[given]
	good := l != nil && given == l.access && !l.revoked && time.Now().Before(l.until)
	s.mu.Unlock()

	if !good {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		refuse(w, "invalid_token")
		return
	}
	answer(w, http.StatusOK, User{Name: "Ada"})
}

func refuse(w http.ResponseWriter, code string) {
	status := http.StatusBadRequest
	if code == "invalid_token" {
		status = http.StatusUnauthorized
	}
	answer(w, status, map[string]string{"error": code})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
