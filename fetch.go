package axle

import (
	"encoding/base64"
	"maps"

	"github.com/axlehttp/axle/internal/fetch"
)

// This file is a dispatch in a browser, where net/http sends by the Fetch API. The browser keeps
// cookies and undoes encodings by itself.

// usesFetch reports whether the requests go out by a browser's fetch.
func (s *settings) usesFetch() bool { return fetch.Possible && fetch.SentBy(s.engine.transport()) }

// prepareForFetch makes the URL and the header such that fetch takes them.
func (d *dispatch) prepareForFetch() {
	// A transport that does not send by fetch has no use for its options.
	s := d.request.settings()
	if !s.usesFetch() {
		maps.DeleteFunc(d.header, func(name string, _ []string) bool { return fetch.IsOption(name) })
		return
	}

	d.moveUserinfo()
	if s.withCredentials && d.header[fetch.Credentials] == nil {
		d.header[fetch.Credentials] = []string{fetch.Include}
	}

}

// moveUserinfo makes an Authorization header of the URL's userinfo, as net/http does elsewhere. Fetch
// refuses such a URL.
func (d *dispatch) moveUserinfo() {
	if d.url.User == nil {
		return
	}
	if len(d.header["Authorization"]) == 0 {
		password, _ := d.url.User.Password()
		userinfo := d.url.User.Username() + ":" + password
		d.header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))}
	}
	plain := *d.url
	plain.User = nil
	d.url = &plain
}
