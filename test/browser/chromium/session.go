//go:build !js

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle/store/sessiontest"
)

// newSession is a sessiontest.Server on the origin of the page, for the tabs that share a session.
//
//	POST /session/token              the token endpoint
//	GET  /session/data               the resource
//	POST /session/login              begins a login, and answers with its token
//	POST /session/expire?refused=N   makes the access tokens expire; the next refresh waits until N
//	                                 calls were refused, so that all tabs want it at the same time
//	GET  /session/counts             answers with sessiontest.Counts
func newSession(ctx context.Context) http.Handler {
	var server *sessiontest.Server
	var refused atomic.Int64
	server = sessiontest.NewServer(sessiontest.Rules{BeforeRefresh: func() {
		// The condition is exact, and the server's counts have no event, so they are read again and again.
		for ctx.Err() == nil && int64(server.Counts().Unauthorized) < refused.Load() {
			time.Sleep(time.Millisecond)
		}
	}})
	context.AfterFunc(ctx, server.Close)

	target, _ := url.Parse(server.URL())
	endpoints := http.StripPrefix("/session", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
	})

	mux := http.NewServeMux()
	mux.Handle("POST /session/token", endpoints)
	mux.Handle("GET /session/data", endpoints)
	mux.HandleFunc("POST /session/login", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, server.Login())
	})
	mux.HandleFunc("POST /session/expire", func(_ http.ResponseWriter, r *http.Request) {
		var more int64
		_, _ = fmt.Sscan(r.URL.Query().Get("refused"), &more)
		refused.Store(int64(server.Counts().Unauthorized) + more)
		server.Expire()
	})
	mux.HandleFunc("GET /session/counts", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, server.Counts())
	})
	return mux
}
