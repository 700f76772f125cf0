package axle_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// frame is one HTTP/2 frame (RFC 9113 §4.1).
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
	return append(head, payload...)
}

// newGoAwayServer is an HTTP/2 server that reads so many bytes of a request and then takes its leave, having processed nothing.
func newGoAwayServer(t *testing.T, read int64) (url string, config *tls.Config) {
	t.Helper()
	plain := httptest.NewUnstartedServer(nil)
	plain.StartTLS() // for its certificate
	t.Cleanup(plain.Close)
	config = plain.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // httptest's is one

	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: plain.TLS.Certificates, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err == nil {
			answerGoAway(conn, read)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-served })
	return "https://" + listener.Addr().String(), config
}

func answerGoAway(conn net.Conn, read int64) {
	defer conn.Close()
	const window = 1<<31 - 1
	increment := uint32(window - 65535)
	_, _ = conn.Write(frame(4, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff)) // SETTINGS_INITIAL_WINDOW_SIZE
	_, _ = conn.Write(frame(8, 0, 0, byte(increment>>24), byte(increment>>16), byte(increment>>8), byte(increment)))
	_, _ = conn.Write(frame(4, 1, 0)) // SETTINGS, acknowledged
	if _, err := io.CopyN(io.Discard, conn, read); err != nil {
		return
	}
	_, _ = conn.Write(frame(7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)) // GOAWAY, last stream 0, no error
	_, _ = io.Copy(io.Discard, conn)
}

func TestError_ABodyThatATransportCannotSendAgainIsANetworkErrorWithTheReason(t *testing.T) {
	const large = axle.ReplayLimit + 1<<20
	for name, newBody := range map[string]func() any{
		"a stream":         func() any { return io.MultiReader(&bulk{left: large}) },
		"a multipart form": func() any { return axle.NewMultipart().File("f", "f", io.MultiReader(&bulk{left: large})) },
	} {
		for _, behind := range []bool{false, true} {
			url, config := newGoAwayServer(t, large-1000)
			transport := axle.DefaultTransport()
			transport.TLSClientConfig = config
			c := newClient().SetTransport(transport)
			var seen *axle.Error
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { seen = err; return nil, err })

			var err error
			body := newBody()
			if reader, ok := body.(io.Reader); ok && behind {
				_, err = c.HTTPClient().Do(newRequest(t, "POST", url, reader)) //nolint:bodyclose // there is none
			} else {
				_, err = c.Post(t.Context(), url, body)
			}
			transport.CloseIdleConnections()
			require.Error(t, err, name)
			assert.Equal(t, axle.CodeNetwork, seen.Code, "%s: %v", name, err)
			require.ErrorIs(t, err, axle.ErrBodyConsumed, name)
			require.NotErrorIs(t, err, axle.CodeBadOption, name)
			assert.NotNil(t, seen.Request, name)
		}
	}
}

// bulk yields many bytes at a time.
type bulk struct{ left int }

func (b *bulk) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func TestError_ABodyThatCannotBeSentAgainOverAnOldConnectionIsANetworkError(t *testing.T) {
	const large = axle.ReplayLimit + 1<<20
	for _, behind := range []bool{false, true} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan struct{})
		go func() { // it answers one request on each connection, and hangs up on the next
			defer close(served)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				reader := bufio.NewReader(conn)
				if r, err := http.ReadRequest(reader); err == nil && r.Method == http.MethodGet {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					_, _ = io.CopyN(io.Discard, reader, large)
				}
				_ = conn.Close()
			}
		}()

		transport := axle.DefaultTransport()
		c := newClient().SetBaseURL("http://" + listener.Addr().String()).SetTransport(transport)
		var seen *axle.Error
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { seen = err; return nil, err })
		_, err = c.Get(t.Context(), "/")
		require.NoError(t, err)
		body := io.MultiReader(&bulk{left: 4 * large})
		if behind {
			r := newRequest(t, "POST", c.BaseURL()+"/", body)
			r.Header.Set("Idempotency-Key", "k")
			_, err = c.HTTPClient().Do(r) //nolint:bodyclose // there is none
		} else {
			_, err = c.Post(t.Context(), "/", body, func(r *axle.Request) { r.SetHeader("Idempotency-Key", "k") })
		}
		require.Error(t, err)
		require.NotNil(t, seen)
		assert.Equal(t, axle.CodeNetwork, seen.Code, "%v", err)

		transport.CloseIdleConnections()
		_ = listener.Close()
		<-served
	}
}

func TestRedirect_ABodyThatIsSpentIsStillABadOption(t *testing.T) {
	const large = axle.ReplayLimit + 1<<20
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	_, err := c.Post(context.Background(), "/", io.MultiReader(&bulk{left: large}))
	assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%v", err)
	assert.ErrorIs(t, err, axle.ErrBodyConsumed)
}
