// Package origin compares web origins (RFC 6454): scheme, host and port.
package origin

import (
	"net/url"
	"strings"
)

// Of returns u's origin as "scheme://host" or "scheme://host:port": in lower case, without a default port, and with
// the dot that may end a host name removed. It is empty for a URL without a scheme or a host, and for one whose opaque part names
// another host, to which a proxy would send it.
func Of(u *url.URL) string {
	if u == nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	if opaque, found := strings.CutPrefix(u.Opaque, "//"); found {
		if named, _, _ := strings.Cut(opaque, "/"); !strings.EqualFold(named, u.Host) {
			return ""
		}
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
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
