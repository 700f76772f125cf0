package sessions

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/store/sessiontest"
)

// A test cannot set the clock of the machine. A record whose times are far off is what a process
// finds after the clock has jumped.
func TestProcesses_AClockThatJumpsCostsAtMostOneRefresh(t *testing.T) {
	const far = 10 * 365 * 24 * time.Hour
	token := func(r map[string]any) map[string]any { return r["token"].(map[string]any) }
	cases := []struct {
		name  string
		edit  func(record map[string]any)
		shift time.Duration // of the file
		extra int           // refreshes because the token seems to have expired
	}{
		{
			name: "the clock was ten years ahead",
			edit: func(r map[string]any) {
				r["obtained"] = time.Now().Add(far)
				token(r)["expiry"] = time.Now().Add(far)
			},
			shift: far,
		},
		{
			name: "the clock was ten years behind",
			edit: func(r map[string]any) {
				r["obtained"] = time.Now().Add(-far)
				token(r)["expiry"] = time.Now().Add(-far)
			},
			shift: -far,
			extra: 1,
		},
		{
			name: "a holder has died in ten years",
			edit: func(r map[string]any) {
				r["spending"] = map[string]any{"since": time.Now().Add(far), "holder": "process 1"}
			},
		},
		{
			name: "a holder died ten years ago",
			edit: func(r map[string]any) {
				r["spending"] = map[string]any{"since": time.Now().Add(-far), "holder": "process 1"}
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := sessiontest.NewServer(sessiontest.Rules{Lifetime: time.Hour})
			t.Cleanup(server.Close)
			path := filepath.Join(t.TempDir(), "session.json")
			login(t, path, server.Login())
			editRecord(t, path, c.edit)
			require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(c.shift)))

			work := task{
				Path: path, Server: server.URL(), Callers: 3, Early: time.Minute, AnyFailureEnds: true,
			}
			workers := launch(t, scaled(10, 4), work)
			workers.untilAt(t, 1+c.extra)
			server.Expire()
			workers.untilAt(t, 2+c.extra)
			assertNone(t, workers.failed())
			assert.Equal(t, 1+c.extra, server.Counts().Refreshes)
			assert.Zero(t, server.Counts().Reused)
		})
	}
	figures.add("the clock jumps by ten years, either way", "4 records", "at most 1 refresh more, 0 re-uses, 0 failed calls")
}

// editRecord changes the saved session as it is in the file.
func editRecord(t *testing.T, path string, edit func(record map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(data, &record))
	edit(record)
	data, err = json.Marshal(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
}
