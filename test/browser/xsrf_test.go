//go:build js

package browser_test

import (
	"net/url"
	"syscall/js"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// setPageCookie sets a cookie of the page, and removes it when the test ends.
func setPageCookie(t *testing.T, name, value string) {
	t.Helper()
	document := js.Global().Get("document")
	document.Set("cookie", name+"="+value+"; path=/")
	t.Cleanup(func() { document.Set("cookie", name+"=; path=/; max-age=0") })
}

func TestXSRF_TheCookieOfThePageIsSentToThePagesOwnOriginAlone(t *testing.T) {
	setPageCookie(t, "other", "1")
	setPageCookie(t, "XSRF-TOKEN", "from-the-page")
	const header = "X-XSRF-TOKEN"
	get := func(base, target string, edits ...func(*axle.Request)) string {
		c := axle.New().SetBaseURL(base).SetXSRF("XSRF-TOKEN", header)
		got, err := axle.Get[received](t.Context(), c, target+"/api/echo/xsrf", edits...)
		require.NoError(t, err)
		return got.Header.Get(header)
	}

	assert.Equal(t, "from-the-page", get(pageOrigin(t), ""))
	assert.Equal(t, "from-the-page", get(pageOrigin(t), pageOrigin(t)))
	assert.Equal(t, "own", get(pageOrigin(t), "", axle.WithHeader(header, "own")))

	// The cookie is the page's. Another origin is not told it, not even if it is the base URL's.
	assert.Empty(t, get(pageOrigin(t), otherOrigin(t)))
	assert.Empty(t, get(otherOrigin(t), ""))
	assert.Empty(t, get(otherOrigin(t), pageOrigin(t)))
	assert.Empty(t, get("", pageOrigin(t)))
}

func TestXSRF_TheCookieIsReadAtEachCallAndNeedsNoJar(t *testing.T) {
	c := axle.New().SetBaseURL(pageOrigin(t)).SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN").SetCookieJar(nil)
	assert.Empty(t, echo(t, c, "fresh").Header.Get("X-XSRF-TOKEN"))
	for _, value := range []string{"first", "second"} {
		setPageCookie(t, "XSRF-TOKEN", value)
		assert.Equal(t, value, echo(t, c, "fresh").Header.Get("X-XSRF-TOKEN"))
	}
}

func TestXSRF_TheTokenIsReadFromAnyCookieThatABrowserHas(t *testing.T) {
	for value, token := range map[string]string{"eyJ%3D%3D": "eyJ==", `{"a":1}`: `{"a":1}`, `"quoted"`: `"quoted"`, "a=b": "a=b"} {
		setPageCookie(t, "csrf[token]", value)
		c := axle.New().SetBaseURL(pageOrigin(t)).SetXSRF("csrf[token]", "X-XSRF-TOKEN")
		assert.Equal(t, token, echo(t, c, "xsrf-value").Header.Get("X-XSRF-TOKEN"))
	}
}

func TestXSRF_TheTokenDoesNotFollowARedirect(t *testing.T) {
	setPageCookie(t, "XSRF-TOKEN", "secret")
	c := axle.New().SetBaseURL(pageOrigin(t)).SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN")
	_, err := c.Get(t.Context(), "/api/redirect/x?to="+url.QueryEscape(otherOrigin(t)+"/api/echo/xsrf-redirected"))
	require.ErrorIs(t, err, axle.CodeNetwork)
	assert.ErrorContains(t, err, "X-Xsrf-Token")
	assert.Empty(t, kept(t, otherOrigin(t), "xsrf-redirected"))
}
