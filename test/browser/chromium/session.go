//go:build !js

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle/store/sessiontest"
)

// session is a sessiontest.Server on the origin of the page, for the tabs that share a session.
//
//	POST PREFIX/token              the token endpoint
//	GET  PREFIX/data               the resource
//	POST PREFIX/login              begins a login, and answers with its token
//	POST PREFIX/expire?refused=N   makes the access tokens expire; the next refresh waits until N
//	                               calls were refused, so that all tabs want it at the same time
//	GET  PREFIX/counts             answers with sessiontest.Counts
//	POST PREFIX/hold?at=POINT      keeps the next refresh from its answer until its tab has gone. The
//	                               POINT is before or after the server has rotated the token
//	GET  PREFIX/held               answers when a refresh is held
//	POST PREFIX/release            lets a refresh that is held after the rotation have its answer
type session struct {
	server  *sessiontest.Server
	forward http.Handler  // to the server
	refused atomic.Int64  // calls that the next refresh waits for
	hold    atomic.Value  // the point at which the next refresh is held; "" for none
	held    chan struct{} // gets a value when a refresh is held
	release chan struct{}
}

// newSession returns the handler of a server whose prefix is a path such as /session.
func newSession(ctx context.Context, prefix string, rules sessiontest.Rules) http.Handler {
	s := &session{held: make(chan struct{}, 1), release: make(chan struct{}, 1)}
	s.hold.Store("")
	rules.BeforeRefresh = func() {
		// The condition is exact, and the server's counts have no event, so they are read again and again.
		for ctx.Err() == nil && int64(s.server.Counts().Unauthorized) < s.refused.Load() {
			time.Sleep(time.Millisecond)
		}
	}
	s.server = sessiontest.NewServer(rules)
	context.AfterFunc(ctx, s.server.Close)

	target, _ := url.Parse(s.server.URL())
	s.forward = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.refresh)
	mux.Handle("GET /data", s.forward)
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.server.Login())
	})
	mux.HandleFunc("POST /expire", func(_ http.ResponseWriter, r *http.Request) {
		var more int64
		_, _ = fmt.Sscan(r.URL.Query().Get("refused"), &more)
		s.refused.Store(int64(s.server.Counts().Unauthorized) + more)
		s.server.Expire()
	})
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.server.Counts())
	})
	mux.HandleFunc("POST /hold", func(_ http.ResponseWriter, r *http.Request) {
		s.hold.Store(r.URL.Query().Get("at"))
	})
	mux.HandleFunc("GET /held", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-s.held:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /release", func(http.ResponseWriter, *http.Request) { s.release <- struct{}{} })
	return http.StripPrefix(prefix, mux)
}

// refresh is the token endpoint. A request that is held gets no answer.
func (s *session) refresh(w http.ResponseWriter, r *http.Request) {
	point := s.hold.Swap("")
	if point == "" {
		s.forward.ServeHTTP(w, r)
		return
	}

	// net/http notices that a client has gone after it has read the body.
	body, _ := io.ReadAll(r.Body)
	answer := httptest.NewRecorder()
	if point == "after" {
		seen := r.Clone(context.WithoutCancel(r.Context()))
		seen.Body = io.NopCloser(strings.NewReader(string(body)))
		s.forward.ServeHTTP(answer, seen)
	}
	s.held <- struct{}{}

	select {
	case <-r.Context().Done():
	case <-s.release:
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}
}
