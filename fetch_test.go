//go:build !js

package axle_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// What these settings do in a browser is tested in test/browser. Here is what they do elsewhere, and
// so the file is not for js.

func TestFetchOptions_AreRefusedOutsideABrowser(t *testing.T) {
	c, network := newFakeClient(always(http.StatusOK, ""))
	for _, name := range []string{"js.fetch:credentials", "js.fetch:mode", "js.fetch:redirect"} {
		_, err := c.Get(t.Context(), "/", axle.WithHeader(name, "error"))
		require.ErrorIs(t, err, axle.CodeBadOption)
		assert.ErrorContains(t, err, "is not a token")

		_, err = c.Clone().SetHeader(name, "error").Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeBadOption)
	}
	assert.Zero(t, network.Sent.Load())
}

func TestWithCredentials_OutsideABrowserTheJarDecides(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NotContains(t, r.Header, "Js.fetch:credentials")
		if _, err := r.Cookie("sid"); err == nil {
			w.WriteHeader(http.StatusAccepted)
		}
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1"})
	})
	for i, on := range []bool{true, false, true} {
		resp, err := c.SetWithCredentials(on).Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, i > 0, resp.StatusCode == http.StatusAccepted)
	}
	resp, err := c.SetWithCredentials(true).SetCookieJar(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
}
