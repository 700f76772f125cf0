package cookies_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/cookies"
)

func TestJar_InABrowserACookieIsForTheHostAloneThatHasSetIt(t *testing.T) {
	cases := []struct {
		name   string
		domain string
		own    []string // the values that the host gets back
	}{
		{"no domain", "", []string{"1"}},
		{"the host itself", "api.example.com", []string{"1"}},
		{"the domain above", "example.com", nil},
		{"a public suffix", "com", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			jar := cookies.NewJar()
			host := &url.URL{Scheme: "https", Host: "api.example.com", Path: "/"}
			jar.SetCookies(host, []*http.Cookie{{Name: "a", Value: "1", Domain: c.domain}})

			var own []string
			for _, cookie := range jar.Cookies(host) {
				own = append(own, cookie.Value)
			}
			assert.Equal(t, c.own, own)
			for _, other := range []string{"www.example.com", "example.com", "sub.api.example.com"} {
				assert.Empty(t, jar.Cookies(&url.URL{Scheme: "https", Host: other, Path: "/"}), other)
			}
		})
	}
}
