// Package origin compares web origins (RFC 6454): scheme, host and port, as net/http puts them on
// the wire.
package origin

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Of returns u's origin as "scheme://host" or "scheme://host:port": in lower case, without a
// default port, and with the dot that may end a host name removed. An internationalised host is in
// punycode, as it is sent.
//
// Of is empty for a URL without a scheme or a host, for a host that net/http cannot send, and for a
// URL whose opaque part names another origin, to which a proxy or a server would take the request.
func Of(u *url.URL) string {
	if u == nil || u.Scheme == "" || u.Host == "" || u.Opaque != "" && !isOwnOpaque(u) {
		return ""
	}

	scheme, host, port := strings.ToLower(u.Scheme), u.Hostname(), u.Port()
	if isASCII(host) {
		host = strings.ToLower(host)
	} else {
		host = punycode(host)
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" {
		return ""
	}

	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// Same reports whether both URLs have an origin, and the same one.
func Same(a, b *url.URL) bool {
	o := Of(a)
	return o != "" && o == Of(b)
}

// To returns the origin that a request to u leads to if it is sent with this Host. It is u's
// origin, unless the request is plain http and the Host names another origin: a forward proxy is
// told the Host, and may take the request there. To then names both origins, as no URL does. The
// Host of an https request changes nothing: the request goes to the peer that TLS has
// authenticated.
func To(u *url.URL, host string) string {
	o := Of(u)
	if o == "" || host == "" || host == u.Host || !strings.EqualFold(u.Scheme, "http") {
		return o
	}
	named := Of(&url.URL{Scheme: u.Scheme, Host: host})
	if named == o {
		return o
	}
	return o + " with the Host " + host
}

// isOwnOpaque reports whether the opaque part of u, which is sent instead of its path, stays on u's
// origin.
func isOwnOpaque(u *url.URL) bool {
	target := u.Opaque

	// net/http sends it with the scheme in front.
	if strings.HasPrefix(target, "//") {
		target = u.Scheme + ":" + target
	}
	if strings.HasPrefix(target, "/") || target == "*" {
		return true
	}
	named, err := url.Parse(target)
	own := &url.URL{Scheme: u.Scheme, Host: u.Host}
	return err == nil && named.User == nil && Same(named, own)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// punycode returns an internationalised host as net/http sends it in the Host, in lower case. It is
// empty if net/http refuses the host. net/http itself writes the host here, so that both agree.
//
// A host with full-width digits has another origin than the same digits in ASCII, although net/http
// dials the same address for both: their Hosts differ.
func punycode(host string) string {
	if !utf8.ValidString(host) {
		return ""
	}

	var wire bytes.Buffer
	written := http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "http", Host: host},
		Header: http.Header{},
	}
	if err := written.Write(&wire); err != nil {
		return ""
	}
	read, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return ""
	}
	return strings.ToLower(read.Host)
}
