package axle_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// TestAdvisory_RedirectsRewriteMethodAndBodyAsRFC9110 is RFC 9110 §15.4: only POST becomes GET on a 301 and a 302, all but HEAD do on
// a 303, and a 307 and a 308 change nothing.
func TestAdvisory_RedirectsRewriteMethodAndBodyAsRFC9110(t *testing.T) {
	for _, c := range []struct {
		status       int
		method, want string
		body         string
	}{
		{301, "GET", "GET", ""}, {301, "HEAD", "HEAD", ""}, {301, "POST", "GET", ""}, {301, "PUT", "PUT", "body"}, {301, "DELETE", "DELETE", "body"},
		{302, "GET", "GET", ""}, {302, "POST", "GET", ""}, {302, "PATCH", "PATCH", "body"}, {302, "PROPFIND", "PROPFIND", "body"},
		{303, "GET", "GET", ""}, {303, "HEAD", "HEAD", ""}, {303, "POST", "GET", ""}, {303, "PUT", "GET", ""}, {303, "DELETE", "GET", ""},
		{307, "GET", "GET", ""}, {307, "POST", "POST", "body"}, {307, "PUT", "PUT", "body"},
		{308, "POST", "POST", "body"}, {308, "PATCH", "PATCH", "body"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.method), func(t *testing.T) {
			var method, body, contentType string
			client := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					http.Redirect(w, r, "/next", c.status)
					return
				}
				raw, _ := io.ReadAll(r.Body)
				method, body, contentType = r.Method, string(raw), r.Header.Get("Content-Type")
			})
			r := client.R(t.Context())
			if c.method != "GET" && c.method != "HEAD" {
				r.SetBody("body")
			}
			_, err := r.Execute(c.method, "/")
			require.NoError(t, err)
			assert.Equal(t, c.want, method)
			assert.Equal(t, c.body, body)
			assert.Equal(t, c.body != "", contentType != "", "a Content-Type goes with a body: %q", contentType)
		})
	}
}

func TestRedirect_ABodyThatCannotBeReadAgainIsRefused(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Redirect(w, r, "/next", http.StatusTemporaryRedirect)
	})
	_, err := c.Post(t.Context(), "/", io.MultiReader(strings.NewReader(strings.Repeat("x", axle.ReplayLimit+1))))
	require.ErrorIs(t, err, axle.CodeBadOption)
	require.ErrorIs(t, err, axle.ErrBodyConsumed)
}

func TestRedirect_ToAnotherSchemeIsRefused(t *testing.T) {
	for _, to := range []string{"ftp://x.test/", "file:///etc/passwd", "javascript:alert(1)"} {
		c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		})
		_, err := c.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.CodeInvalidURL, to)
	}
}

func TestRedirect_ACheckMayRefuseOne(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	_, err := c.Get(t.Context(), "/", func(r *axle.Request) {
		r.SetRedirectCheck(func(next *http.Request, via []*http.Request) error {
			assert.Equal(t, "/again", next.URL.Path)
			assert.Len(t, via, 1)
			return errBoom
		})
	})
	require.ErrorIs(t, err, errBoom)
}

func TestRedirect_RawTellsTheLastRequest(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "/next", resp.Raw().Request.URL.Path)
	assert.Equal(t, "/", resp.Request.URL)
}

func TestRedirect_A3xxWithoutALocationIsTheAnswer(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadResponse)
	assert.Equal(t, http.StatusNotModified, asAxle(t, err).StatusCode())
}
