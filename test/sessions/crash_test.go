package sessions

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func TestProcesses_AKillLosesNoLoginOnAServerWithGrace(t *testing.T) {
	kills := scaled(1000, 10)
	result := killAtRandom(t, kills, sessiontest.Rules{Grace: 30 * time.Second})
	assert.Zero(t, result.lost)
	figures.add("kill -9 at random points, a server with a grace of 30 s", fmt.Sprintf("%d kills", kills), result.String())
}

func TestProcesses_AKillOnAStrictServerLosesOnlyALostResponseAndSaysSo(t *testing.T) {
	kills := scaled(1000, 10)
	result := killAtRandom(t, kills, sessiontest.Rules{})
	figures.add("kill -9 at random points, a strict server", fmt.Sprintf("%d kills", kills), result.String())
}

// kills is what random kills have led to.
type kills struct {
	lost   int // logins that ended, each with ErrOutcomeUnknown, after the server had rotated
	mended int // intents of the dead that the next holder settled
}

func (k kills) String() string {
	return fmt.Sprintf("%d logins lost, %d lost responses mended", k.lost, k.mended)
}

// killAtRandom kills a worker again and again while it refreshes, and looks at what a process that
// comes later finds.
func killAtRandom(t *testing.T, count int, rules sessiontest.Rules) (result kills) {
	// The exchange takes a moment, so that a kill can fall into each part of it.
	pause := func() { time.Sleep(rand.N(4 * time.Millisecond)) }
	rules.BeforeRefresh = pause
	rules.AfterRefresh = func() bool { pause(); return true }
	server := sessiontest.NewServer(rules)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())

	for range count {
		reports := make(chan struct{}, 1)
		victim := start(t, task{Path: path, Server: server.URL(), Callers: 3}, signalOn(reports))
		until(t, reports, func() bool { return victim.generation() > 0 || len(victim.failed()) > 0 })
		server.Expire()

		// The point of the kill is random, so that no point of a refresh is spared.
		time.Sleep(rand.N(25 * time.Millisecond))
		require.NoError(t, victim.Process.Kill())
		<-victim.closed
		for _, f := range victim.failed() {
			t.Error(f.Failure)
		}

		if !isAlive(t, path, server, &result) {
			login(t, path, server.Login())
		}
	}
	return result
}

// isAlive refreshes the session as the next process does. A session that has ended was lost by a
// lost response: the server had rotated the token.
func isAlive(t *testing.T, path string, server *sessiontest.Server, result *kills) bool {
	t.Helper()
	before := server.Counts()
	next, err := store.Open[user](t.Context(), refreshAt(server.URL()), store.File(path), store.WithLogoutWhen(store.RejectedOnly))
	require.NoError(t, err)
	defer func() { require.NoError(t, next.Close()) }()

	_, err = next.RefreshToken(t.Context())
	after := server.Counts()
	if after.Regranted > before.Regranted {
		result.mended++
	}
	if err == nil {
		return true
	}
	require.ErrorIs(t, err, store.ErrOutcomeUnknown)
	assert.Equal(t, before.Reused+1, after.Reused, "the server had not rotated the token")
	result.lost++
	return false
}

func TestProcesses_LostResponsesLogNobodyOutOnAServerWithGrace(t *testing.T) {
	refreshes, dropped := scaled(10_000, 200), 0
	server := sessiontest.NewServer(sessiontest.Rules{
		Grace: 30 * time.Second,
		AfterRefresh: func() bool {
			lost := rand.IntN(20) == 0
			if lost {
				dropped++
			}
			return !lost
		},
	})
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "session.json")
	login(t, path, server.Login())
	s, err := store.Open[user](t.Context(), refreshAt(server.URL()), store.File(path), store.WithLogoutWhen(store.RejectedOnly))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })

	failed := 0
	for server.Counts().Refreshes < refreshes {
		if _, err := s.RefreshToken(t.Context()); err != nil {
			failed++
		}
		require.NotNil(t, s.State().User)
	}
	assert.Equal(t, dropped, failed)
	assert.Zero(t, server.Counts().Reused)
	figures.add("a network that drops 5 % of the responses, a server with a grace of 30 s",
		fmt.Sprintf("%d refreshes", refreshes), fmt.Sprintf("%d responses lost, 0 logouts", dropped))
}
