package redisstore_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// redisServer is a real redis-server on loopback.
type redisServer struct {
	address string
	args    []string
	cmd     *exec.Cmd
	log     string
}

// startRedis starts a server of its own for one test. Without arguments it keeps nothing on disk.
func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	folder := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	s := &redisServer{address: address, log: filepath.Join(folder, "log")}
	s.args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", folder, "--logfile", s.log,
		"--save", "", "--enable-debug-command", "yes",
	}, args...)
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// start starts the server, or starts it again, and waits until it answers. The server does not tell
// when it does, so it is asked again and again.
func (s *redisServer) start(t *testing.T) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("there is no redis-server for this test: apt-get install redis-server")
	}
	s.cmd = exec.Command(binary, s.args...)
	require.NoError(t, s.cmd.Start())

	client := redis.NewClient(&redis.Options{Addr: s.address, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	for range 500 {
		if err = client.Ping(t.Context()).Err(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	log, _ := os.ReadFile(s.log)
	t.Fatalf("redis-server does not answer: %v\n%s", err, log)
}

// kill ends the server as a power failure does.
func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *redisServer) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(signal))
}

// client returns a client of the server, with its own connections.
func (s *redisServer) client(t *testing.T) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.address})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// warmUp waits until the server has run for a time. A server that has just started grants no lock.
func (s *redisServer) warmUp(t *testing.T, lease time.Duration) {
	t.Helper()
	client := s.client(t)
	p := newPersister(client, "warm-up", lease)
	lock, err := p.Lock(t.Context())
	require.NoError(t, err, "the first lock of %s", s.address)
	require.NoError(t, lock.Unlock())
}

func splitAddress(address string) (host, port string, err error) { return net.SplitHostPort(address) }
