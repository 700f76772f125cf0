package axletest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall/js"
)

// startRelay makes the servers of the tests, which listen in memory, reachable by the browser's fetch,
// if the page has such a proxy: see relay.go of the command test/browser/chromium.
func startRelay() {
	if !IsFetched() {
		return
	}
	reservePorts()
	for range 8 {
		go relay()
	}
}

// IsFetched reports whether the requests of the tests go out by the fetch of a browser.
func IsFetched() bool { return os.Getenv("AXLE_NETWORK") == "relay" }

// reservePorts makes the network in memory, which gives out port after port from 1 on, begin beyond
// the ports that a browser refuses, 10080 being the last, and beyond the default ports of http and
// https.
func reservePorts() {
	for {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		_ = l.Close()
		if l.Addr().(*net.TCPAddr).Port > 10080 {
			return
		}
	}
}

// relay opens one connection to the proxy, which says the address when it needs the connection, and
// copies bytes between it and the server at that address.
func relay() {
	stream, err := openStream("ws://" + js.Global().Get("location").Get("host").String() + "/relay")
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }()
	address, err := stream.readMessage()
	if err != nil {
		return
	}
	go relay()

	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", address.String())
	if err != nil {
		return
	}
	go relayBack(conn, stream)
	_, _ = io.Copy(stream, conn)
	_ = conn.Close()
}

func relayBack(conn net.Conn, stream *stream) {
	_, _ = io.Copy(conn, stream)
	_ = conn.Close()
}

// stream is a WebSocketStream of the browser: a WebSocket that holds its writer back.
type stream struct {
	socket, reader, writer js.Value
	pending                []byte
}

func openStream(url string) (*stream, error) {
	socket := js.Global().Get("WebSocketStream").New(url)
	opened, err := await(socket.Get("opened"))
	if err != nil {
		return nil, err
	}
	return &stream{
		socket: socket,
		reader: opened.Get("readable").Call("getReader"),
		writer: opened.Get("writable").Call("getWriter"),
	}, nil
}

func (s *stream) readMessage() (js.Value, error) {
	result, err := await(s.reader.Call("read"))
	switch {
	case err != nil:
		return js.Value{}, err
	case result.Get("done").Bool():
		return js.Value{}, io.EOF
	}
	return result.Get("value"), nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		message, err := s.readMessage()
		if err != nil {
			return 0, err
		}
		array := js.Global().Get("Uint8Array").New(message)
		s.pending = make([]byte, array.Length())
		js.CopyBytesToGo(s.pending, array)
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	array := js.Global().Get("Uint8Array").New(len(p))
	js.CopyBytesToJS(array, p)
	if _, err := await(s.writer.Call("write", array)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.socket.Call("close")
	return nil
}

// await waits for a promise.
func await(promise js.Value) (js.Value, error) {
	type result struct {
		value js.Value
		err   error
	}
	done := make(chan result, 1)
	fulfilled := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- result{value: args[0]}
		return nil
	})
	defer fulfilled.Release()
	rejected := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- result{err: errors.New(args[0].Call("toString").String())}
		return nil
	})
	defer rejected.Release()

	promise.Call("then", fulfilled, rejected)
	r := <-done
	return r.value, r.err
}
