package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// life is what an API does with the tokens before a refresh.
type life int

const (
	stays   life = iota // all refresh tokens and access tokens go on
	rotates             // a refresh token is good for one refresh, which ends the access token before
	watched             // as rotates; a refresh token that comes twice is taken for stolen, and the session is revoked
)

func (l life) String() string { return [...]string{"stay valid", "rotate", "watched for re-use"}[l] }

const (
	deadToken    = "dead"
	firstRefresh = "refresh-0"
	refreshPath  = "/auth/refresh-token"
	warmPath     = "/warm"
	refreshTakes = 5 * time.Millisecond
)

// api is a resource server with a session whose access token is dead.
type api struct {
	life  life
	late  bool // each tenth 401 leaves 50 to 200 ms after the others
	calls int  // the 401s of the dead token are sent when so many calls have come: then all of them stand on it

	dead, warm gate

	mu        sync.Mutex
	access    map[string]bool
	refresh   string
	refreshes int // asked for, refused ones included
	revoked   bool
}

func newAPI(l life, late bool, calls int) *api {
	a := &api{life: l, late: late, calls: calls, access: map[string]bool{}, refresh: firstRefresh}
	a.dead.open, a.warm.open = make(chan struct{}), make(chan struct{})
	return a
}

// gate lets all go when the last has come.
type gate struct {
	came atomic.Int64
	open chan struct{}
}

func (g *gate) wait(ctx context.Context, all int) (number int64) {
	number = g.came.Add(1)
	if number == int64(all) {
		close(g.open)
	}
	select {
	case <-g.open:
	case <-ctx.Done():
	}
	return number
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case warmPath:
		a.warm.wait(r.Context(), a.calls)
		w.WriteHeader(http.StatusNoContent)
	case refreshPath:
		a.serveRefresh(w, r)
	default:
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token == deadToken {
			number := a.dead.wait(r.Context(), a.calls)
			if a.late && number%10 == 0 {
				time.Sleep(50*time.Millisecond + time.Duration(number%151)*time.Millisecond)
			}
		}
		if !a.accepts(token) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(answer)
	}
}

func (a *api) accepts(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.access[token]
}

type refreshAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
}

func (a *api) serveRefresh(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	time.Sleep(refreshTakes / 2)
	got, ok := a.renew(asked.RefreshToken)
	time.Sleep(refreshTakes / 2)
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header()["Content-Type"] = jsonType
	_ = json.NewEncoder(w).Encode(got)
}

func (a *api) renew(token string) (refreshAnswer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refreshes++
	switch {
	case a.revoked:
		return refreshAnswer{}, false
	case a.life == stays:
	case token != a.refresh:
		if a.life == watched {
			a.revoked = true
			clear(a.access)
		}
		return refreshAnswer{}, false
	default:
		clear(a.access)
		a.refresh = fmt.Sprint("refresh-", a.refreshes)
	}
	access := fmt.Sprint("access-", a.refreshes)
	a.access[access] = true
	return refreshAnswer{access, a.refresh, 3600}, true
}

// refresher asks an api for new tokens, for the clients that have no way of their own.
type refresher struct {
	client *http.Client
	url    string
}

var errRefused = errors.New("the refresh was refused")

func (f refresher) refresh(ctx context.Context, token string) (*oauth2.Token, error) {
	body := strings.NewReader(fmt.Sprintf(`{"refresh_token":%q}`, token))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+refreshPath, body)
	if err != nil {
		return nil, err
	}
	req.Header["Content-Type"] = jsonType
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errRefused
	}
	var got refreshAnswer
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, err
	}
	return &oauth2.Token{
		AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, Expiry: time.Now().Add(time.Duration(got.ExpiresIn) * time.Second),
	}, nil
}
