package axle_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// twoOrigins is a client of one server, which redirects /away to the other, and /around to the other and back; and what each saw.
type twoOrigins struct {
	client    *axle.Client
	other     string
	atHome    []http.Header
	elsewhere []http.Header
}

func newTwoOrigins(t *testing.T, status int) *twoOrigins {
	t.Helper()
	w := &twoOrigins{}
	var home string
	other := newLoopback(t, func(rw http.ResponseWriter, r *http.Request) {
		w.elsewhere = append(w.elsewhere, r.Header)
		if r.URL.Path == "/back" {
			http.Redirect(rw, r, home+"/end", status)
		}
	})
	w.other = other.BaseURL()
	w.client = newLoopback(t, func(rw http.ResponseWriter, r *http.Request) {
		w.atHome = append(w.atHome, r.Header)
		switch r.URL.Path {
		case "/away":
			http.Redirect(rw, r, w.other+"/x", status)
		case "/around":
			http.Redirect(rw, r, w.other+"/back", status)
		case "/home":
			http.Redirect(rw, r, "/end", status)
		}
	})
	home = w.client.BaseURL()
	return w
}

func (w *twoOrigins) get(t *testing.T, url string, edits ...func(*axle.Request)) {
	t.Helper()
	w.atHome, w.elsewhere = nil, nil
	_, err := w.client.Get(t.Context(), url, edits...)
	require.NoError(t, err)
}

func values(headers []http.Header, name string) (all []string) {
	for _, h := range headers {
		all = append(all, h.Get(name))
	}
	return all
}

func TestOrigins_ASensitiveDefaultGoesToTheBaseURLsOriginAlone(t *testing.T) {
	w := newTwoOrigins(t, http.StatusFound)
	w.client.SetSensitiveHeaders("X-Mine")
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Mine"} {
		w.client.SetHeader(name, "a=1")
	}
	w.client.SetHeader("X-Plain", "1")
	w.get(t, "/")
	w.get(t, w.client.BaseURL()+"/absolute")
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Mine", "X-Plain"} {
		assert.NotEmpty(t, w.atHome[0].Get(name), name)
	}
	w.get(t, w.other)
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Mine"} {
		assert.Empty(t, w.elsewhere[0].Get(name), name)
	}
	assert.Equal(t, "1", w.elsewhere[0].Get("X-Plain"))
}

func TestOrigins_WithoutABaseURLASensitiveDefaultGoesNowhere(t *testing.T) {
	var seen http.Header
	server := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	c := axle.New().SetHeader("Authorization", "Bearer s3cret").SetHeader("X-Plain", "1")
	_, err := c.Get(t.Context(), server.BaseURL())
	require.NoError(t, err)
	assert.Empty(t, seen.Get("Authorization"))
	assert.Equal(t, "1", seen.Get("X-Plain"))
}

func TestOrigins_TheCallersOwnGoesToTheURLThatTheCallerGave(t *testing.T) {
	w := newTwoOrigins(t, http.StatusFound)
	own := func(r *axle.Request) { r.SetHeader("Authorization", "Bearer own") }
	w.get(t, w.other, own)
	assert.Equal(t, []string{"Bearer own"}, values(w.elsewhere, "Authorization"))

	useRequest(w.client, func(r *axle.Request) { r.SetURL(w.other) }) // a handler sends the call elsewhere
	w.get(t, "/", own)
	assert.Equal(t, []string{""}, values(w.elsewhere, "Authorization"))
}

func TestP9_NoCredentialFollowsARedirectToAnotherOrigin(t *testing.T) {
	for name, set := range map[string]func(c *axle.Client) []func(*axle.Request){
		"the client's default": func(c *axle.Client) []func(*axle.Request) {
			c.SetHeader("Authorization", "Bearer s").SetHeader("X-Api-Key", "s")
			return nil
		},
		"the caller's": func(*axle.Client) []func(*axle.Request) {
			return []func(*axle.Request){func(r *axle.Request) { r.SetHeader("Authorization", "Bearer s").SetHeader("X-Api-Key", "s") }}
		},
		"a handler's": func(c *axle.Client) []func(*axle.Request) {
			useRequest(c, func(r *axle.Request) { r.SetHeader("Authorization", "Bearer s").SetHeader("X-Api-Key", "s") })
			return nil
		},
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			w := newTwoOrigins(t, status)
			edits := append(set(w.client), func(r *axle.Request) { r.SetHeader("X-Plain", "1") })
			for _, header := range []string{"Authorization", "X-Api-Key"} {
				w.get(t, "/away", edits...)
				assert.NotEqual(t, []string{""}, values(w.atHome, header), "%s, %d: %s", name, status, header)
				assert.Equal(t, []string{""}, values(w.elsewhere, header), "%s, %d: %s", name, status, header)
				assert.Equal(t, []string{"1"}, values(w.elsewhere, "X-Plain"))
				w.get(t, "/around", edits...)
				assert.Empty(t, w.atHome[1].Get(header), "%s: not even back home, where another origin has led", name)
				w.get(t, "/home", edits...)
				assert.NotEmpty(t, w.atHome[1].Get(header), "%s: within one origin it follows", name)
			}
			assert.Empty(t, w.elsewhere)
		}
	}
}

func TestP9_HTTPSToHTTPIsAnotherOrigin(t *testing.T) {
	var seen http.Header
	plain := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.BaseURL()+"/secret-path", http.StatusFound))
	defer secure.Close()
	c := axle.New().SetTransport(secure.Client().Transport).SetBaseURL(secure.URL).SetHeader("Authorization", "Bearer s3cret")
	_, err := c.Get(t.Context(), "/private?token=s3cret")
	require.NoError(t, err)
	assert.Empty(t, seen.Get("Authorization"))
	assert.Empty(t, seen.Get("Referer"))
}

func TestP9_CookiesOfTheJarGoWhereTheyBelong(t *testing.T) {
	w := newTwoOrigins(t, http.StatusFound)
	set := newLoopback(t, func(rw http.ResponseWriter, _ *http.Request) {
		http.SetCookie(rw, &http.Cookie{Name: "a", Value: "1", Path: "/"})
	})
	_, err := w.client.Get(t.Context(), set.BaseURL()+"/login") // a cookie knows a host, and no port
	require.NoError(t, err)
	w.get(t, "/")
	assert.Equal(t, []string{"a=1"}, values(w.atHome, "Cookie"))
}

func TestOrigins_AReplayAndANestedDoKeepWhereACredentialMayGo(t *testing.T) {
	w := newTwoOrigins(t, http.StatusFound)
	w.client.SetValidateStatus(func(int) bool { return true })
	w.client.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		if resp.Request.Attempt() > 1 || resp.Request.Header.Get("X-Done") != "" {
			return resp, nil
		}
		if resp.Request.Header.Get("X-Do") != "" {
			return w.client.Do(resp.Request.Clone().SetURL(w.other).SetHeader("X-Done", "1"))
		}
		return resp.Request.Replay(func(r *axle.Request) { r.SetURL(w.other) })
	}, nil)
	own := func(r *axle.Request) { r.SetHeader("Authorization", "Bearer own") }
	w.get(t, "/", own)
	assert.Equal(t, []string{""}, values(w.elsewhere, "Authorization"), "an edit of a replay changed the URL")
	w.get(t, "/", own, func(r *axle.Request) { r.SetHeader("X-Do", "1") })
	assert.Equal(t, []string{""}, values(w.elsewhere, "Authorization"), "a handler sent it elsewhere by Do")
}
