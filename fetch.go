package axle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/origin"
)

// This file is a dispatch in a browser, where net/http sends by the Fetch API. The browser
// follows redirects, keeps cookies and undoes encodings by itself, and drops in silence some of what
// it is given. A request that it would not send as it is written is refused before anything is sent.

// usesFetch reports whether the requests go out by a browser's fetch.
func (s *settings) usesFetch() bool { return fetch.Possible && fetch.SentBy(s.engine.transport()) }

// prepareForFetch makes the URL and the header such that fetch takes them, or refuses the request.
func (d *dispatch) prepareForFetch() error {
	// A transport that does not send by fetch has no use for its options.
	s := d.request.settings()
	if !s.usesFetch() {
		maps.DeleteFunc(d.header, func(name string, _ []string) bool { return fetch.IsOption(name) })
		return nil
	}

	if err := d.openOpaque(); err != nil {
		return err
	}
	d.moveUserinfo()
	if s.withCredentials && d.header[fetch.Credentials] == nil {
		d.header[fetch.Credentials] = []string{fetch.Include}
	}

	// An SDK behind the bridge names itself in its User-Agent. In a browser the browser does that.
	in := d.request.pass.inbound
	if in.verbatim {
		delete(d.header, "User-Agent")
	}

	host := ""
	if in.hasHostOf(d.url) {
		host = in.host
	}
	if bridged, ok := d.request.pass.sender.(*bridgedRequest); ok && len(bridged.Trailer) > 0 {
		return errors.New("a browser does not send trailers")
	}
	if err := d.refuseDropped(d.request.method(), host, d.url, d.header); err != nil {
		return err
	}
	return d.keepFromRedirects(d.header)
}

// prepareRestyForFetch is prepareForFetch for what resty has made of the dispatch, and what its hooks
// have.
func (d *dispatch) prepareRestyForFetch(raw *http.Request, hasPolicy bool) error {
	// resty names itself. In a browser the browser does that.
	if strings.HasPrefix(raw.Header.Get("User-Agent"), "go-resty/") {
		delete(raw.Header, "User-Agent")
	}
	if hasPolicy && followsRedirects(raw.Header) {
		return errors.New("resty's SetRedirectPolicy cannot be kept in a browser, " +
			"which follows redirects by itself: " + howToStay)
	}

	if err := checkHeaders(raw.Header); err != nil {
		return err
	}
	if err := d.refuseDropped(raw.Method, raw.Host, raw.URL, raw.Header); err != nil {
		return err
	}

	// The error of the fetch names the credentials that resty has added, too.
	d.header = raw.Header
	return d.keepFromRedirects(raw.Header)
}

// boundFetchedBody makes the reads of the response's body end with the dispatch, or with the
// request's context if the body is streamed. A response that has no body gets [http.NoBody], as it
// does elsewhere.
func (d *dispatch) boundFetchedBody(raw *http.Response) {
	if !d.request.settings().usesFetch() || raw.Body == nil {
		return
	}

	isHead := strings.EqualFold(d.request.method(), http.MethodHead)
	hasNone := raw.StatusCode == http.StatusNoContent || raw.StatusCode == http.StatusNotModified
	if isHead || hasNone || raw.ContentLength == 0 {
		_ = raw.Body.Close()
		raw.Body = http.NoBody
		return
	}
	raw.Body = fetch.EndWith(d.Context, raw.Body, d.request.settings().engine.transport())
}

// openOpaque makes a plain URL of one whose path is opaque, which net/http sends elsewhere as it is
// written. Fetch would take the text for a relative URL, and send the request to the page's origin.
func (d *dispatch) openOpaque() error {
	if d.url.Opaque == "" {
		return nil
	}
	text := d.url.Opaque
	switch {
	case strings.HasPrefix(text, "//"):
		text = d.url.Scheme + ":" + text
	case strings.HasPrefix(text, "/"):
		text = d.url.Scheme + "://" + d.url.Host + text
	}
	if d.url.RawQuery != "" {
		text += "?" + d.url.RawQuery
	}

	plain, err := url.Parse(text)
	if err != nil || plain.Fragment != "" || plain.User != nil || !origin.Same(plain, d.url) {
		return errors.New("a browser does not send this opaque URL")
	}
	plain.User = d.url.User
	d.url = plain
	return nil
}

// moveUserinfo makes an Authorization header of the URL's userinfo, as net/http does elsewhere. Fetch
// refuses such a URL.
func (d *dispatch) moveUserinfo() {
	if d.url.User == nil {
		return
	}
	if len(d.header["Authorization"]) == 0 {
		d.header["Authorization"] = []string{basicAuthOf(d.url.User)}
	}
	plain := *d.url
	plain.User = nil
	d.url = &plain
}

func basicAuthOf(userinfo *url.Userinfo) string {
	password, _ := userinfo.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo.Username()+":"+password))
}

// withUserinfo returns the URL that a response came from with the userinfo that moveUserinfo has sent
// as a header, so that the userinfo goes along to the next page of the same origin.
func (r *Response) withUserinfo(sent *url.URL) *url.URL {
	if r.Request == nil || sent.User != nil {
		return sent
	}
	asked, err := r.Request.ResolveURL()
	if err != nil || asked.User == nil || !origin.Same(asked, sent) {
		return sent
	}
	if r.raw.Request.Header.Get("Authorization") != basicAuthOf(asked.User) {
		return sent
	}
	with := *sent
	with.User = asked.User
	return &with
}

// refuseDropped returns the error of a request of which the browser would drop or change a part.
func (d *dispatch) refuseDropped(method, host string, u *url.URL, header http.Header) error {
	noCORS := slices.Contains(header[fetch.Mode], fetch.NoCORS)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		list := header[name]
		switch {
		case fetch.IsOption(name):
			continue
		case fetch.Drops(name, list):
			return fmt.Errorf("a browser does not send the header %s, which is its own to set", name)
		case noCORS && fetch.DropsWithoutCORS(name, list):
			return fmt.Errorf("a browser does not send the header %s with %s: %s, or not this value of it",
				name, fetch.Mode, fetch.NoCORS)
		}
		for _, value := range list {
			if i := fetch.NonASCII(value); i >= 0 {
				return fmt.Errorf("the value of header %s is not ASCII at byte %d: "+
					"a browser would send other bytes", name, i)
			}
		}
	}

	isRead := strings.EqualFold(method, http.MethodGet) || strings.EqualFold(method, http.MethodHead)
	switch {
	case u.Host == "":
		return errors.New("the URL has no host")
	case host != "" && host != u.Host:
		return fmt.Errorf("a browser does not send the Host %q: its own is that of the URL", host)
	case fetch.ResolvesPath(u.EscapedPath()):
		return errors.New(`the path of the URL has a segment "." or "..": ` +
			"a browser would send another path")
	case fetch.BadQueryByte(u.RawQuery) >= 0:
		return fmt.Errorf("the query of the URL has to be escaped at byte %d: "+
			"a browser would send another query", fetch.BadQueryByte(u.RawQuery))
	case !fetch.AllowsMethod(method):
		return fmt.Errorf("a browser does not send a %s", method)
	case noCORS && !isRead && method != http.MethodPost:
		return fmt.Errorf("a browser does not send a %s with %s: %s", method, fetch.Mode, fetch.NoCORS)
	case isRead && d.payload.open != nil && d.payload.length != 0:
		return fmt.Errorf("a browser does not send a body with a %s", method)
	}
	return nil
}

// keepFromRedirects tells the browser to follow no redirect if a header is a credential. The browser
// would take all headers but Authorization to another origin. Nobody can be asked on the way, and
// the redirects cannot be counted.
func (d *dispatch) keepFromRedirects(header http.Header) error {
	s, chosen := d.request.settings(), header[fetch.Redirect]
	if !followsRedirects(header) {
		return nil
	}

	// Behind the bridge these settings have no say.
	switch {
	case d.request.pass.inbound.verbatim:
	case s.limitsRedirects:
		return errors.New("SetMaxRedirects cannot be kept in a browser, " +
			"which follows redirects by itself: " + howToStay)
	case d.request.redirectCheck() != nil:
		return errors.New("SetRedirectCheck cannot be kept in a browser, " +
			"which follows redirects by itself: " + howToStay)
	}

	credentials := d.credentials(header)
	switch {
	case len(credentials) == 0:
		return nil
	case len(chosen) > 0:
		return fmt.Errorf("%s is %q, and a browser would take %s to another origin",
			fetch.Redirect, chosen[0], listed(credentials))
	}
	header[fetch.Redirect] = []string{fetch.Fail}
	return nil
}

// followsRedirects reports whether the browser follows redirects of a request with this header.
func followsRedirects(header http.Header) bool {
	chosen := header[fetch.Redirect]
	return len(chosen) == 0 || chosen[0] == fetch.Follow
}

const howToStay = "the header entry " + fetch.Redirect + ": " + fetch.Fail + " makes it refuse them"

// credentials returns the names of the headers that may not follow a redirect to another origin.
func (d *dispatch) credentials(header http.Header) (names []string) {
	for name := range header {
		if d.request.isCredential(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func listed(names []string) string { return strings.Join(names, ", ") }

// explainFetch adds to the error of a fetch that failed what the browser does not say.
func (d *dispatch) explainFetch(err *Error) *Error {
	if err.Code != CodeNetwork || err.Message != "" || !d.request.settings().usesFetch() {
		return err
	}

	const unsaid = "the browser does not say why; perhaps a redirect, which was not to be followed, because "
	credentials := d.credentials(d.header)
	switch {
	case slices.Contains(d.request.Header[fetch.Redirect], fetch.Fail):
		err.Message = unsaid + fetch.Redirect + " is " + fetch.Fail
	case len(credentials) > 0:
		err.Message = unsaid + "it might leave the origin, and the request has the credential " +
			listed(credentials)
	}
	return err
}
