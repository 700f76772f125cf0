package sessions

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

func TestProcesses_AnEncryptedSessionIsLeftAloneByWhoeverHasNotTheKey(t *testing.T) {
	var asked atomic.Int32
	server := sessiontest.NewServer(sessiontest.Rules{BeforeRefresh: func() { asked.Add(1) }})
	t.Cleanup(server.Close)
	path, key := filepath.Join(t.TempDir(), "session.json"), bytes.Repeat([]byte("k"), 32)
	token := server.Login()
	loginOver(t, store.File(path, store.FileKey(key)), token)
	work := task{Path: path, Key: key, Server: server.URL(), Callers: 3, AnyFailureEnds: true}
	workers := launch(t, 3, work)
	workers.untilAt(t, 1)
	saved, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(saved), token.RefreshToken)

	for name, wrong := range map[string][]byte{"no key": nil, "another key": bytes.Repeat([]byte("K"), 32)} {
		t.Run(name, func(t *testing.T) {
			strange := work
			strange.Key = wrong
			stranger := launch(t, 1, strange)
			stranger.until(t, func(w *process) bool { return len(w.failed()) > 0 })
			stranger.stop(t)
			assert.Contains(t, stranger.failed()[0].Kinds, "ErrForeign")
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, saved, after)
		})
	}

	// Somebody changes the file while the workers run.
	tampered := bytes.Clone(saved)
	tampered[len(tampered)/2] ^= 1
	require.NoError(t, os.WriteFile(path, tampered, 0o600))
	server.Expire()
	workers.untilFailed(t, 6)
	assert.Zero(t, asked.Load(), "the refresh token was sent")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, tampered, after)

	require.NoError(t, os.WriteFile(path, saved, 0o600))
	workers.untilAt(t, 2)
	assertEach(t, "ErrForeign", workers.failed())
	assert.Equal(t, 1, server.Counts().Refreshes)
	figures.add("an encrypted file, another key, no key, a changed byte", "5 processes",
		"ErrForeign, 0 refresh tokens sent, 0 logouts, the file is left alone")
}
