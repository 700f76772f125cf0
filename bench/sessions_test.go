//go:build unix

package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// sessionUser is the user of an idle session.
type sessionUser struct{ Name string }

// newSessionToken returns a token that shares no memory with another one: 43 bytes each, as 32
// random bytes are in base64.
func newSessionToken(n int) *oauth2.Token {
	return &oauth2.Token{
		AccessToken:  fmt.Sprintf("access-%036d", n),
		RefreshToken: fmt.Sprintf("refresh-%035d", n),
		TokenType:    "Bearer",
		Expiry:       time.Now().Add(time.Hour),
	}
}

// idleSession is a way to keep a session that nobody uses at the moment.
type idleSession struct {
	name       string
	most       float64 // bytes of heap and stack for each: a pin, a little above what it is
	goroutines float64 // for each
	count      int     // how many the test makes
	open       func(tb testing.TB, folder string, n int) (session any, stop func())
}

// idleSessions are the rows of docs/scale.md.
var idleSessions = []idleSession{
	{
		name: "the token and the user alone", most: 360, count: 20_000,
		open: func(_ testing.TB, _ string, n int) (any, func()) {
			return &store.State[sessionUser]{User: &sessionUser{strconv.Itoa(n)}, Token: newSessionToken(n)}, nil
		},
	},
	{
		name: "store.New", most: 800, count: 20_000,
		open: func(_ testing.TB, _ string, n int) (any, func()) { return newIdle(n), nil },
	},
	{
		name: "store.New, with a client of its own", most: 3000, count: 5000,
		open: func(_ testing.TB, _ string, n int) (any, func()) {
			return axle.New().SetTransport(idleTransport).SetBaseURL(memoryURL).Use(auth.New(newIdle(n))), nil
		},
	},
	{
		name: "store.New, with KeepFresh", most: 6500, goroutines: 1, count: 5000,
		open: func(_ testing.TB, _ string, n int) (any, func()) {
			session := newIdle(n)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = session.KeepFresh(ctx, time.Minute) }()
			return session, func() { cancel(); <-done }
		},
	},
	{
		name: "store.Open over storage elsewhere", most: 1700, count: 20_000,
		open: func(tb testing.TB, _ string, n int) (any, func()) { return openIdle(tb, n, idleStorage{}) },
	},
	{
		name: "store.Open over File", most: 3000, count: 500,
		open: func(tb testing.TB, folder string, n int) (any, func()) {
			return openIdle(tb, n, store.File(filepath.Join(folder, strconv.Itoa(n))))
		},
	},
}

var idleTransport = axle.DefaultTransport()

func noRefresh(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, nil }

func newIdle(n int) *store.UserStore[sessionUser] {
	session := store.New[sessionUser](noRefresh)
	session.Login(sessionUser{strconv.Itoa(n)}, newSessionToken(n))
	return session
}

func openIdle(tb testing.TB, n int, p store.Persister) (any, func()) {
	session, err := store.Open[sessionUser](tb.Context(), noRefresh, p)
	require.NoError(tb, err)
	session.Login(sessionUser{strconv.Itoa(n)}, newSessionToken(n))
	return session, func() { require.NoError(tb, session.Close()) }
}

// idleStorage is a Persister whose data is elsewhere, as on a server. It is asked for it only before
// the first Save. So the memory of the sessions is that of the store alone.
type idleStorage struct{}

func (idleStorage) Load(context.Context) ([]byte, error)       { return nil, nil }
func (idleStorage) Save(context.Context, []byte, []byte) error { return nil }
func (idleStorage) Delete(context.Context, []byte) error       { return nil }
func (idleStorage) Lock(context.Context) (store.Lock, error)   { return idleLock{}, nil }
func (idleStorage) Watch(func()) (stop func(), err error)      { return func() {}, nil }

type idleLock struct{}

func (idleLock) Held() error   { return nil }
func (idleLock) Unlock() error { return nil }

// idled is what the sessions cost.
type idled struct {
	bytes, goroutines float64       // for each
	processor         time.Duration // of each, in a second
}

// idle makes sessions and lets them be for a while.
func idle(tb testing.TB, kind idleSession, count int) idled {
	folder := tb.TempDir()
	sessions, stops := make([]any, count), make([]func(), 0, count)
	before, goroutines := settled(), runtime.NumGoroutine()
	for n := range sessions {
		session, stop := kind.open(tb, folder, n)
		sessions[n] = session
		if stop != nil {
			stops = append(stops, stop)
		}
	}
	after := settled()
	cost := idled{
		bytes: float64(int64(after.HeapAlloc+after.StackInuse)-int64(before.HeapAlloc+before.StackInuse)) / float64(count),
		// A goroutine may be looking at a file at this moment.
		goroutines: float64(runtime.NumGoroutine()-goroutines) / float64(count),
	}

	// The processor time is that of a real second in which nobody uses the sessions.
	began, used := time.Now(), processorTime(tb)
	time.Sleep(time.Second)
	cost.processor = time.Duration(float64(processorTime(tb)-used) / time.Since(began).Seconds() / float64(count))
	runtime.KeepAlive(sessions)
	for _, stop := range stops {
		stop()
	}
	return cost
}

// processorTime is the time for which this process has had a processor.
func processorTime(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (c idled) String() string {
	return fmt.Sprintf("%.0f bytes, %.2f goroutines, and %v of a processor in a second",
		c.bytes, c.goroutines, c.processor)
}

func TestSessions_AnIdleOneCostsMemoryAlone(t *testing.T) {
	for _, kind := range idleSessions {
		t.Run(kind.name, func(t *testing.T) {
			cost := idle(t, kind, kind.count)
			t.Log(cost)
			if !raceEnabled {
				assert.Less(t, cost.bytes, kind.most)
			}
			assert.InDelta(t, kind.goroutines, cost.goroutines, 0.1)
		})
	}
}

// BenchmarkSessions is a million idle sessions, for docs/scale.md.
func BenchmarkSessions(b *testing.B) {
	const million = 1_000_000
	for _, kind := range idleSessions {
		if kind.count < 10_000 {
			continue
		}
		b.Run(kind.name, func(b *testing.B) {
			for range b.N {
				cost := idle(b, kind, million)
				b.ReportMetric(cost.bytes, "B/session")
				b.ReportMetric(cost.goroutines*million, "goroutines")
			}
		})
	}
}
