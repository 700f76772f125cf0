package notes_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/_examples/sdk/notes"
	"github.com/axlehttp/axle/_examples/sdk/notestest"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
)

// newClient returns a client whose token has expired, and its server.
func newClient(t *testing.T, opts ...notes.Option) (*notes.Client, *notestest.Server) {
	t.Helper()
	server := notestest.New()
	t.Cleanup(server.Close)
	session := store.New[string](store.Endpoint(axle.New().SetBaseURL(server.URL), "/auth/refresh-token"))
	session.Login("ada", &oauth2.Token{AccessToken: "stale", RefreshToken: "r"})
	return notes.New(server.URL, append(opts, notes.WithSession(session))...), server
}

func TestClient_RefreshesAndCreatesOnce(t *testing.T) {
	client, server := newClient(t)
	created, err := client.Create(t.Context(), "buy milk")
	require.NoError(t, err)
	got, err := client.Get(t.Context(), created.ID)
	require.NoError(t, err)
	assert.Equal(t, notes.Note{ID: "1", Text: "buy milk"}, got)
	assert.Equal(t, 1, server.Refreshes)
}

func TestCreate_AnIdempotencyKeyCreatesOnce(t *testing.T) {
	client, _ := newClient(t)
	for range 3 {
		n, err := client.Create(t.Context(), "once", notes.WithIdempotencyKey("k"))
		require.NoError(t, err)
		assert.Equal(t, "1", n.ID)
	}
}

func TestCreate_AReplayKeepsItsKey(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	client, _ := newClient(t, notes.WithAxle(func(c *axle.Client) {
		c.SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			return http.DefaultTransport.RoundTrip(r)
		}))
	}))
	_, err := client.Create(t.Context(), "buy milk") // 401, refresh, replay
	require.NoError(t, err)
	require.Len(t, keys, 2)
	assert.NotEmpty(t, keys[0])
	assert.Equal(t, keys[0], keys[1])
}

func TestAttachment_IsAStream(t *testing.T) {
	client, _ := newClient(t)
	stream, err := client.Attachment(t.Context(), "1")
	require.NoError(t, err)
	text, err := io.ReadAll(stream)
	require.NoError(t, err)
	require.NoError(t, stream.Close())
	assert.Equal(t, "the attachment of 1", string(text))
}

func TestCreate_IsRetriedAndCreatesOnce(t *testing.T) {
	client, server := newClient(t)
	server.FailNext(1)
	created, err := client.Create(t.Context(), "buy milk")
	require.NoError(t, err)
	assert.Equal(t, "1", created.ID)

	server.FailNext(1)
	_, err = client.Create(t.Context(), "buy milk", retry.Skip)
	failed, ok := errors.AsType[*notes.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "unavailable", failed.Code)
}

func TestGet_TheRawResponseIsThereForThoseWhoAsk(t *testing.T) {
	client, _ := newClient(t)
	var resp *axle.Response
	_, err := client.Get(t.Context(), "404", axle.ResponseInto(&resp))
	require.Error(t, err)
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)
}

func TestGet_ARecordOfTheLogHasTheOperation(t *testing.T) {
	var log bytes.Buffer
	client, _ := newClient(t, notes.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	_, _ = client.Get(t.Context(), "404")
	assert.Contains(t, log.String(), "notes.get")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestGet_AnErrorOfTheAPIIsTyped(t *testing.T) {
	client, _ := newClient(t)
	_, err := client.Get(t.Context(), "404")
	failed, ok := errors.AsType[*notes.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "not_found", failed.Code)
	assert.Equal(t, http.StatusNotFound, failed.Status)
	assert.ErrorIs(t, err, axle.CodeBadRequest, "and the whole exchange is beneath it")
}

func TestGet_AnIDIsEscaped(t *testing.T) {
	client, _ := newClient(t)
	_, err := client.Get(t.Context(), "../auth/refresh-token?x=1")
	failed, ok := errors.AsType[*notes.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "not_found", failed.Code)
}

func TestAll_AsksForPagesAsTheyAreNeeded(t *testing.T) {
	client, server := newClient(t)
	for _, text := range []string{"a", "b", "c", "d", "e"} {
		_, err := client.Create(t.Context(), text)
		require.NoError(t, err)
	}
	var texts string
	for n, err := range client.All(t.Context(), 2) {
		require.NoError(t, err)
		texts += n.Text
	}
	assert.Equal(t, "abcde", texts)
	assert.Equal(t, 3, server.Pages)
	for range client.All(t.Context(), 2) {
		break
	}
	assert.Equal(t, 4, server.Pages, "no more than the first")
}

func TestAll_EndsWithTheFirstError(t *testing.T) {
	client, _ := newClient(t)
	n := 0
	for _, err := range client.All(t.Context(), 0) {
		n++
		failed, ok := errors.AsType[*notes.Error](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, "bad_request", failed.Code)
	}
	assert.Equal(t, 1, n)
}
