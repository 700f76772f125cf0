//go:build !js

package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"

	"golang.org/x/net/websocket"
)

// relay is the browser's proxy, for the suites that have servers of their own. Such a server listens
// in the page, in the network in memory of package net, at an address that the browser cannot reach.
// The proxy therefore takes every request to the page, over a WebSocket that the page has opened:
// the other half is in internal/axletest. One connection carries one request, so that nothing is
// sent twice and a connection that is cut is cut at the other end too.
//
// The browser speaks HTTP/2 with the proxy, where its limit of six connections for each host does
// not hold. The handlers of the tests know nothing of CORS: the proxy answers the preflights, and
// allows the page all there is.
type relay struct{ waiting chan *relayed }

// relayed is a connection into the page.
type relayed struct {
	*websocket.Conn
	closed chan struct{}
	once   sync.Once
}

func (c *relayed) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func newRelay() *relay { return &relay{waiting: make(chan *relayed)} }

// start starts the proxy and returns its URL. Nobody checks its certificate.
func (p *relay) start(ctx context.Context) (url string) {
	server := httptest.NewUnstartedServer(p)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that the browser drops
	server.StartTLS()
	context.AfterFunc(ctx, server.CloseClientConnections)
	return server.URL
}

// accept takes a WebSocket of the page, which waits there for its address.
func (p *relay) accept(ctx context.Context) http.Handler {
	return websocket.Handler(func(socket *websocket.Conn) {
		c := &relayed{Conn: socket, closed: make(chan struct{})}
		select {
		case p.waiting <- c:
			<-c.closed
		case <-ctx.Done():
		}
	})
}

// dial opens a connection to a server in the page.
func (p *relay) dial(ctx context.Context, _, address string) (net.Conn, error) {
	select {
	case c := <-p.waiting:
		if err := websocket.Message.Send(c.Conn, address); err != nil {
			_ = c.Close()
			return nil, err
		}
		c.PayloadType = websocket.BinaryFrame
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ServeHTTP implements http.Handler.
func (p *relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The answers of a server with TLS could not be allowed, since nobody between can read them.
	if r.Method == http.MethodConnect {
		http.Error(w, "the relay has no TLS", http.StatusForbidden)
		return
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		allow(w.Header(), r)
		w.Header().Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
		w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		w.WriteHeader(http.StatusNoContent)
		return
	}

	transport := &http.Transport{DialContext: p.dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	proxy := httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the servers of the tests break off on purpose
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = "http", pr.In.Host
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery
		},
		ModifyResponse: func(resp *http.Response) error {
			allow(resp.Header, r)
			names := make([]string, 0, len(resp.Header))
			for name := range resp.Header {
				names = append(names, name)
			}
			resp.Header.Set("Access-Control-Expose-Headers", strings.Join(names, ", "))
			return nil
		},
		// No answer is an answer too: the browser sees a network error.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	proxy.ServeHTTP(w, r)
}

// allow lets the page read an answer. The Origin is "null" after a redirect to another origin.
func allow(h http.Header, r *http.Request) {
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Access-Control-Allow-Credentials", "true")
}
