package auth_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestBridge_A401BehindAnHTTPClientIsRefreshedAndReplayed(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			w := loopback(t, k)
			client := w.client.HTTPClient()
			post := func() (*http.Response, string) {
				payload := strings.NewReader("payload")
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.client.BaseURL()+"/data", payload)
				require.NoError(t, err)
				resp, err := client.Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				return resp, string(body)
			}
			w.api.expire()
			resp, body := post()
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Equal(t, "payload", body)
			assert.Equal(t, 1, w.api.refreshed())

			w.api.arriving = func(r *http.Request) {
				if r.URL.Path != refreshPath {
					w.api.expire()
				}
			}
			resp, body = post()
			assert.Equal(t, http.StatusUnauthorized, resp.StatusCode, "its last 401 is a response")
			assert.Equal(t, "who are you?", body)
		})
	}
}

func TestBridge_AFailedRefreshIsAnErrorWithBoth(t *testing.T) {
	w := loopback(t, kind{store: true})
	w.failRefresh(errBoom)
	w.api.expire()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.client.BaseURL()+"/data", http.NoBody)
	require.NoError(t, err)
	_, err = w.client.HTTPClient().Do(req) //nolint:bodyclose // it fails
	require.ErrorIs(t, err, errBoom)
	e, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok)
	assert.Equal(t, http.StatusUnauthorized, e.StatusCode())
}
