package sessiontest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// Rules say how a [Server] treats tokens. The zero value is a strict server: it rotates the refresh
// token with each refresh, and a refresh token that is sent a second time ends its login.
type Rules struct {
	// Grace is how long a refresh token that was rotated still gets the pair that took its place.
	// Many servers have such a window, for clients that lost a response.
	Grace time.Duration

	// Lifetime is how long an access token is accepted, as expires_in tells it. With zero it is
	// accepted until the next [Server.Expire], and expires_in is not sent.
	Lifetime time.Duration

	// BeforeRefresh is called for each request of the token endpoint, before the server looks at
	// it. AfterRefresh is called when the server has rotated the token and before it answers. If
	// AfterRefresh returns false, the connection is closed without a response. Nil does nothing.
	// Fail is called after BeforeRefresh. If it returns a status other than zero, the server answers
	// with that and leaves the token as it is. All three may be called from many goroutines.
	BeforeRefresh func()
	AfterRefresh  func() (answer bool)
	Fail          func() (status int)
}

// Counts is how often a [Server] did each thing.
type Counts struct {
	Refreshes    int // refresh tokens that were rotated
	Regranted    int // rotated refresh tokens that got the new pair within the grace
	Reused       int // rotated refresh tokens that were sent again and refused
	Refused      int // all refused requests of the token endpoint
	Unauthorized int // calls that got a 401
	Served       int // calls that got a 200
}

// Server is a real HTTP server on loopback, with a token endpoint as RFC 6749 §6 has it and a
// resource that asks for an access token. It notices a refresh token that is spent twice (RFC 9700
// §4.14.2). It is safe for concurrent use.
//
//	POST /token  grant_type and refresh_token as a form, or refresh_token in JSON
//	GET  /data   200 and {"generation": n} with a good access token, and 401 otherwise
type Server struct {
	rules     Rules
	listener  net.Listener
	http      *http.Server
	transport *http.Transport
	client    *http.Client

	mu     sync.Mutex
	logins map[string]*serverLogin
	counts Counts
}

// serverLogin is one login, with all the tokens that descend from it.
type serverLogin struct {
	generation int // of the current pair
	pair       issued
	rotated    time.Time // when the current pair was issued
	expired    bool      // the access token is not accepted any more
	revoked    bool
}

// issued is a pair of tokens.
type issued struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in,omitempty"` // seconds
}

// NewServer starts a server. Close it after use.
func NewServer(rules Rules) *Server {
	var loopback net.ListenConfig
	listener, err := loopback.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic("sessiontest: no port on loopback: " + err.Error())
	}

	s := &Server{
		rules:     rules,
		listener:  listener,
		transport: &http.Transport{MaxIdleConnsPerHost: 64},
		logins:    map[string]*serverLogin{},
	}
	s.client = &http.Client{Transport: s.transport}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.serveToken)
	mux.HandleFunc("GET /data", s.serveData)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }()
	return s
}

// Close stops the server and closes its connections.
func (s *Server) Close() {
	_ = s.http.Close()
	s.transport.CloseIdleConnections()
}

// Client is a client for the server, without an interceptor. A session that [Session] tests sends
// its refreshes with it, so that they meet the faults of the test: its transport may panic.
func (s *Server) Client() *http.Client { return s.client }

// URL is the origin of the server, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Config is the configuration of x/oauth2 for the server.
func (s *Server) Config() *oauth2.Config {
	return &oauth2.Config{
		ClientID: "sessiontest",
		Endpoint: oauth2.Endpoint{TokenURL: s.URL() + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// Login begins a login and returns its first pair of tokens.
func (s *Server) Login() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()

	name := strings.ToLower(rand.Text())
	login := &serverLogin{}
	s.logins[name] = login
	s.issue(name, login)

	token := &oauth2.Token{
		AccessToken:  login.pair.Access,
		RefreshToken: login.pair.Refresh,
		TokenType:    login.pair.Type,
	}
	if s.rules.Lifetime > 0 {
		token.Expiry = login.rotated.Add(s.rules.Lifetime)
	}
	return token
}

// Expire makes the current access token of every login expire.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, login := range s.logins {
		login.expired = true
	}
}

// Revoke ends every login.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, login := range s.logins {
		login.revoked = true
	}
}

// Counts returns what the server has done so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// issue gives a login its next pair. The lock is held.
func (s *Server) issue(name string, login *serverLogin) {
	login.generation++
	login.rotated, login.expired = time.Now(), false
	login.pair = issued{
		Access:    fmt.Sprintf("access.%s.%d.%s", name, login.generation, rand.Text()),
		Refresh:   fmt.Sprintf("refresh.%s.%d.%s", name, login.generation, rand.Text()),
		Type:      "Bearer",
		ExpiresIn: int64(s.rules.Lifetime / time.Second),
	}
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if s.rules.BeforeRefresh != nil {
		s.rules.BeforeRefresh()
	}

	if s.rules.Fail != nil {
		if status := s.rules.Fail(); status != 0 {
			http.Error(w, "the token endpoint fails, as the test wants it", status)
			return
		}
	}

	pair, rotated, code := s.refresh(refreshTokenOf(r))
	if rotated && s.rules.AfterRefresh != nil && !s.rules.AfterRefresh() {
		// net/http closes the connection without a response.
		panic(http.ErrAbortHandler)
	}

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
		return
	}
	_ = json.NewEncoder(w).Encode(pair)
}

// refreshTokenOf reads the refresh token of a request, which is a form or JSON.
func refreshTokenOf(r *http.Request) string {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/json" {
		return r.PostFormValue("refresh_token")
	}
	var body struct {
		RefreshToken string `json:"refresh_token"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	return body.RefreshToken
}

// refresh spends a refresh token. The code is an OAuth error, or empty.
func (s *Server) refresh(token string) (pair issued, rotated bool, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	name, generation := parts("refresh", token)
	login := s.logins[name]
	switch {
	case login == nil || login.revoked:
		s.counts.Refused++
		return issued{}, false, "invalid_grant"

	case token == login.pair.Refresh:
		s.counts.Refreshes++
		s.issue(name, login)
		return login.pair, true, ""

	case generation == login.generation-1 && time.Since(login.rotated) < s.rules.Grace:
		s.counts.Regranted++
		return login.pair, true, ""
	}

	// Somebody has spent the token before. The server cannot know who is the thief.
	s.counts.Reused++
	s.counts.Refused++
	login.revoked = true
	return issued{}, false, "invalid_grant"
}

// parts reads the login and the generation of a token.
func parts(kind, token string) (name string, generation int) {
	fields := strings.Split(token, ".")
	if len(fields) != 4 || fields[0] != kind {
		return "", 0
	}
	_, _ = fmt.Sscan(fields[2], &generation)
	return fields[1], generation
}

func (s *Server) serveData(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	generation, ok := s.accept(token)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "the access token is not accepted", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]int{"generation": generation})
}

// accept counts a call, and reports whether its access token is good.
func (s *Server) accept(token string) (generation int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	name, generation := parts("access", token)
	login := s.logins[name]
	ok = login != nil && !login.revoked && !login.expired && token == login.pair.Access &&
		(s.rules.Lifetime == 0 || time.Since(login.rotated) < s.rules.Lifetime)
	if ok {
		s.counts.Served++
	} else {
		s.counts.Unauthorized++
	}
	return generation, ok
}
