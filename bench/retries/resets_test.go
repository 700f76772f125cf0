package retries

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// shop is a server that takes orders by POST, and the network before it. It speaks HTTP/1.1 over
// connections in memory, and cuts one of them for each order, at a given byte of the exchange: of
// the request or of the response. Later attempts of the same order are not cut.
//
// A client makes one call at a time.
type shop struct {
	mu    sync.Mutex
	left  int // bytes until the cut; negative: there is none
	moved int // bytes so far, of both directions

	orders map[string]int  // how often each order took effect
	keys   map[string]bool // the idempotency keys so far
}

const noCut = -1

var errRefused = errors.New("connect: connection refused")

func (s *shop) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		s.left = noCut
		return nil, errRefused
	}
	client, server := net.Pipe()
	go s.serve(server)
	return client, nil
}

// take reports how many of n bytes pass before the cut, and whether the cut is due.
func (s *shop) take(n int) (pass int, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left < 0 || n < s.left {
		if s.left >= 0 {
			s.left -= n
		}
		s.moved += n
		return n, false
	}
	pass, s.left = s.left, noCut
	return pass, true
}

// wire is the server's end of a connection.
type wire struct {
	net.Conn
	shop *shop
}

func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		return n, err
	}
	pass, cut := w.shop.take(n)
	if cut {
		_ = w.Close()
		return pass, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (w wire) Write(p []byte) (int, error) {
	pass, cut := w.shop.take(len(p))
	if !cut {
		return w.Conn.Write(p)
	}
	n, _ := w.Conn.Write(p[:pass])
	_ = w.Close()
	return n, io.ErrClosedPipe
}

func (s *shop) serve(conn net.Conn) {
	defer conn.Close()
	w := wire{conn, s}
	for r := bufio.NewReader(w); ; {
		order, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.ReadAll(order.Body); err != nil {
			return
		}

		s.mu.Lock()
		key := order.Header.Get("Idempotency-Key")
		if key == "" || !s.keys[key] {
			s.orders[order.URL.Path]++
			s.keys[key] = true
		}
		s.mu.Unlock()

		body := strings.Repeat("x", 200)
		if _, err := fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return
		}
	}
}

// resetsResult is what a peer did with orders whose exchanges were cut.
type resetsResult struct {
	orders     int
	duplicates int // times that an order took effect beyond the first
	lost       int // orders that took effect although the caller got an error
	succeeded  int
}

// runResets makes orders, each of which is cut at a random byte of its first exchange.
func runResets(t *testing.T, p peer, orders int) (result resetsResult) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{left: noCut, orders: map[string]int{}, keys: map[string]bool{}}
		transport := &http.Transport{DialContext: s.dial}
		defer transport.CloseIdleConnections()
		do := p.new(transport)
		body := []byte(strings.Repeat("y", 200))

		// One whole exchange shows how many bytes there are.
		if err := do(t.Context(), http.MethodPost, "/orders/first", body); err != nil {
			t.Fatal(err)
		}
		length := s.moved

		// Every peer has the same cuts.
		random := rand.New(rand.NewPCG(1, 2))
		for i := range orders {
			s.mu.Lock()
			s.left = random.IntN(length)
			s.mu.Unlock()

			path := fmt.Sprintf("/orders/%05d", i)
			err := do(t.Context(), http.MethodPost, path, body)
			synctest.Wait()
			s.mu.Lock()
			took := s.orders[path]
			s.left = noCut
			s.mu.Unlock()

			result.orders++
			result.duplicates += max(took-1, 0)
			if err == nil {
				result.succeeded++
			} else if took > 0 {
				result.lost++
			}
		}
	})
	return result
}
