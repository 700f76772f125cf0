package auth_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func TestWithStatusCodes(t *testing.T) {
	for status, refreshed := range map[int]int64{401: 0, 403: 1, 419: 1, 500: 0} {
		users, n := countingStore()
		client := axle.New().SetBaseURL("http://api.test").SetTransport(answering(func(*http.Request) int { return status })).
			Use(auth.New(users, auth.WithStatusCodes(403, 419)))
		_, err := client.Get(t.Context(), "/")
		require.Error(t, err)
		assert.Equal(t, refreshed, n.Load(), "%d", status)
	}
}

func TestWithShouldRefresh_JudgesFulfilledResponsesToo(t *testing.T) {
	users, n := countingStore()
	envelope := inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fresh" {
			_, _ = io.WriteString(w, `{"error":"token expired"}`) // with a 200
			return
		}
		_, _ = io.WriteString(w, `{"data":1}`)
	})}
	client := axle.New().SetBaseURL("http://api.test").SetTransport(envelope).Use(auth.New(users,
		auth.WithShouldRefresh(func(r *axle.Response) bool { return strings.Contains(r.String(), "token expired") })))
	resp, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, `{"data":1}`, resp.String())
	assert.EqualValues(t, 1, n.Load())
}

func TestAnswer_AFulfilled401IsRefreshedAndItsLastOneIsReturnedFulfilled(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.SetValidateStatus(nil)
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		w.api.arriving = func(r *http.Request) {
			if r.URL.Path != refreshPath {
				w.api.expire()
			}
		}
		resp, err = w.client.Get(t.Context(), "/data")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		assert.Equal(t, "who are you?", resp.String())
	})
}

func TestAnswer_AFulfilled401WhoseRefreshFailsIsAnErrorWithBoth(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.SetValidateStatus(nil)
		w.failRefresh(errBoom)
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.ErrorIs(t, err, errBoom)
	})
}

// streamedBody tells when it is closed.
type streamedBody struct {
	io.Reader
	closed chan struct{}
}

func (b *streamedBody) Close() error { close(b.closed); return nil }

func TestAnswer_TheRefusedResponseIsReadAndClosedBeforeAnyoneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		held := newGate()
		users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			held.pass()
			return &oauth2.Token{AccessToken: "fresh"}, nil
		})
		users.Login(user{}, &oauth2.Token{AccessToken: "stale"})
		client := axle.New().SetBaseURL("http://api.test").SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer fresh" {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: &streamedBody{strings.NewReader("no"), closed}, Request: r}, nil
		})).Use(auth.New(users))
		call := future.Go(func() (*axle.Response, error) {
			return client.R(t.Context()).SetStream(true).SetValidateStatus(nil).Get("/")
		})
		synctest.Wait()
		require.EqualValues(t, 1, held.waiting.Load())
		select {
		case <-closed:
		default:
			t.Error("the 401 is open while the refresh runs")
		}
		held.open()
		resp, err := result(call)
		requireOK(t, resp, err)
	})
}
