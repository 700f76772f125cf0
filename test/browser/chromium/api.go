//go:build !js

package main

import (
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// api is the server that the tests of test/browser send to. Both origins have the same one, so that
// a test finds out on its own origin what has reached the other.
//
//	/api/echo/NAME              answers with a received, as JSON, and keeps it under NAME; it has the
//	                            headers X-Exposed and X-Hidden, and exposes the former
//	/api/kept/NAME              answers with the list of those that were kept, also the preflights
//	/api/redirect/NAME?to=URL   redirects, with 307 or the status in ?status=; without a URL to itself
//	/api/cookie/NAME?set=a%3D1  answers with that Set-Cookie
//	/api/private/NAME           answers with a 401 to a request without the cookie private=NAME
//	/api/encoded/NAME?as=gzip   answers with a JSON body in that Content-Encoding
//	/api/cached/NAME            answers as the echo, or with one event to a client that accepts events,
//	                            and the browser may keep the answer for a minute
//	/api/status/NAME?code=401   answers with that status and a received
//	/api/stall/NAME             answers with the start of a body, and keeps the request when it is given up
//	/api/broken/NAME            answers with the start of a body, of ?length= or of no length, and breaks off
//	/api/token/NAME             answers with a new token
//	/api/wait/NAME?send=TEXT    answers with that text, and does not end until the client has gone;
//	                            without a text, no answer comes at all
//	/api/came/NAME              answers when that client has come
//	/api/gone/NAME              answers when that client has gone
//
// Each answer allows every origin, with cookies (CORS), unless the query has nocors.
type api struct {
	mux    *http.ServeMux
	mu     sync.Mutex
	kept   map[string][]received
	events map[string]chan struct{}
}

// received is a request as it has arrived.
type received struct {
	Method string
	Host   string
	URL    string
	Header http.Header
	Body   string
}

func newAPI() *api {
	a := &api{mux: http.NewServeMux(), kept: map[string][]received{}, events: map[string]chan struct{}{}}
	a.mux.HandleFunc("/api/echo/{name}", a.echo)
	a.mux.HandleFunc("/api/kept/{name}", a.list)
	a.mux.HandleFunc("/api/redirect/{name}", redirect)
	a.mux.HandleFunc("/api/cookie/{name}", setCookie)
	a.mux.HandleFunc("/api/private/{name}", private)
	a.mux.HandleFunc("/api/encoded/{name}", encoded)
	a.mux.HandleFunc("/api/cached/{name}", a.cached)
	a.mux.HandleFunc("/api/status/{name}", a.status)
	a.mux.HandleFunc("/api/stall/{name}", a.stall)
	a.mux.HandleFunc("/api/broken/{name}", breakOff)
	a.mux.HandleFunc("/api/token/{name}", newToken)
	a.mux.HandleFunc("/api/wait/{name}", a.wait)
	for _, event := range []string{"came", "gone"} {
		a.mux.HandleFunc("/api/"+event+"/{name}", func(_ http.ResponseWriter, r *http.Request) {
			<-a.event(event + r.PathValue("name"))
		})
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("nocors") {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	}
	if r.Method == http.MethodOptions {
		a.keep(r)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// keep keeps a request under the last part of its path.
func (a *api) keep(r *http.Request) received {
	body, _ := io.ReadAll(r.Body)
	one := received{r.Method, r.Host, r.URL.String(), r.Header, string(body)}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]

	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept[name] = append(a.kept[name], one)
	return one
}

func (a *api) echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Exposed", "1")
	w.Header().Set("X-Hidden", "1")
	w.Header().Set("Access-Control-Expose-Headers", "X-Exposed")
	writeJSON(w, a.keep(r))
}

func (a *api) cached(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	if r.Header.Get("Accept") == "text/event-stream" {
		a.keep(r)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: an event\n\n")
		return
	}
	a.echo(w, r)
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	var code int
	_, _ = fmt.Sscan(r.URL.Query().Get("code"), &code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	writeJSON(w, a.keep(r))
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	writeJSON(w, append([]received{}, a.kept[r.PathValue("name")]...))
}

func (a *api) wait(w http.ResponseWriter, r *http.Request) {
	close(a.event("came" + r.PathValue("name")))
	if text := r.URL.Query().Get("send"); text != "" {
		w.Header().Set("Content-Type", r.URL.Query().Get("as"))
		_, _ = io.WriteString(w, text) //nolint:gosec // the text is the test's own
		_ = http.NewResponseController(w).Flush()
	}
	<-r.Context().Done()
	close(a.event("gone" + r.PathValue("name")))
}

// event returns the channel that is closed when the event has happened.
func (a *api) event(name string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.events[name] == nil {
		a.events[name] = make(chan struct{})
	}
	return a.events[name]
}

func redirect(w http.ResponseWriter, r *http.Request) {
	code := http.StatusTemporaryRedirect
	_, _ = fmt.Sscan(r.URL.Query().Get("status"), &code)
	w.Header().Set("Location", cmp.Or(r.URL.Query().Get("to"), r.URL.String()))
	w.WriteHeader(code)
}

func setCookie(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Set-Cookie", r.URL.Query().Get("set")+"; Path=/")
	w.WriteHeader(http.StatusNoContent)
}

func private(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie("private")
	if err != nil || cookie.Value != r.PathValue("name") {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func encoded(w http.ResponseWriter, r *http.Request) {
	as := r.URL.Query().Get("as")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", as)
	const text = `{"encoding":"undone"}`
	switch as {
	case "gzip":
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
	case "deflate":
		z := zlib.NewWriter(w)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
	}
}

func (a *api) stall(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "start")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	a.keep(r)
}

func breakOff(w http.ResponseWriter, r *http.Request) {
	if length := r.URL.Query().Get("length"); length != "" {
		w.Header().Set("Content-Length", length)
	}
	_, _ = io.WriteString(w, "start")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func newToken(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"access_token": "new", "refresh_token": "next", "token_type": "Bearer"})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
