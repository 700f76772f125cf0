package cookies

import (
	"cmp"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/axlehttp/axle/internal/origin"
)

// A jar tells the name and the value of a cookie alone, and only for a URL that the cookie goes to.
// This file keeps the other attributes beside a [Jar], so that a session can be saved with its
// cookies.

// Saved is one cookie as it is saved with a session.
type Saved struct {
	URL string `json:"url"` // the origin that set the cookie

	// Line is the value of a Set-Cookie header. It always has a Path, and it has an Expires in the
	// place of a Max-Age.
	Line string `json:"line"`
}

// cookie reads a saved cookie. It returns false if the cookie makes no sense.
func (s Saved) cookie() (*url.URL, *http.Cookie, bool) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, nil, false
	}
	c, err := http.ParseSetCookie(s.Line)
	return u, c, err == nil
}

// Export returns the cookies of a jar that go to the host of base, whatever their path. The pending
// cookies of p, which may be nil, count as those of the jar.
//
// Of a jar that is no [Jar], and of cookies from before [Jar.Keep], only the name and the value are
// known, and only if the jar has the cookie for base itself.
func (p *Pending) Export(jar http.CookieJar, base *url.URL) []Saved {
	jar = Unrouted(jar)
	if jar == nil {
		return nil
	}

	all := cookieLog{}
	if own, ok := jar.(*Jar); ok {
		all = own.logged()
	}
	if p != nil {
		v := p.over(jar)
		for _, response := range v.responses() {
			all.note(response.url, response.list)
		}
		jar = v
	}

	host := hostOf(base)
	maps.DeleteFunc(all, func(k key, e entry) bool { return !e.goesTo(k, host) || e.isExpired() })
	all.addUnknown(base, jar.Cookies(base))
	return all.saved()
}

// responses returns the pending cookies of a view.
func (v *view) responses() []response {
	v.owner.mu.Lock()
	defer v.owner.mu.Unlock()
	return slices.Clone(v.pending)
}

// Import gives saved cookies to a jar. It leaves out those that do not go to the host of base.
func Import(jar http.CookieJar, base *url.URL, list []Saved) {
	jar = Unrouted(jar)
	if jar == nil {
		return
	}

	host := hostOf(base)
	for _, s := range list {
		u, c, ok := s.cookie()
		if !ok {
			continue
		}
		if k, e, ok := entryOf(u, c); ok && e.goesTo(k, host) {
			jar.SetCookies(u, []*http.Cookie{c})
		}
	}
}

// Remove deletes the cookies that [Pending.Export] returns from a jar.
func Remove(jar http.CookieJar, base *url.URL) {
	var none *Pending
	list := none.Export(jar, base)
	for i := range list {
		list[i].Line += "; Max-Age=0"
	}
	Import(jar, base, list)
}

// keptLog is the log of a [Jar].
type keptLog struct {
	mu      sync.Mutex
	cookies cookieLog
}

// cookieLog has cookies with all their attributes. A cookie replaces another one with the same key,
// as in a jar.
type cookieLog map[key]entry

type key struct{ domain, path, name string }

type entry struct {
	origin   string // of the URL that set the cookie
	hostOnly bool   // the cookie has no Domain
	cookie   *http.Cookie
}

// note adds the cookies that a response has set, and removes those that it has deleted.
func (l cookieLog) note(u *url.URL, list []*http.Cookie) {
	for _, c := range list {
		k, e, ok := entryOf(u, c)
		switch {
		case !ok:
		case deletes(c):
			delete(l, k)
		default:
			l[k] = e
		}
	}
}

// addUnknown adds the cookies that a jar has for base and that the log has not noted.
func (l cookieLog) addUnknown(base *url.URL, inJar []*http.Cookie) {
	known := map[string]bool{}
	for k := range l {
		known[k.name] = true
	}
	for _, c := range inJar {
		if known[c.Name] {
			continue
		}

		// Its Path is not known, and a refresh may need it at any. The base URL's scheme is the one
		// that it surely may go to.
		l.note(base, []*http.Cookie{{ //nolint:gosec // the cookie is for a jar
			Name: c.Name, Value: c.Value, Quoted: c.Quoted,
			Path: "/", Secure: base.Scheme == "https", HttpOnly: true,
		}})
	}
}

// saved returns the cookies in a fixed order.
func (l cookieLog) saved() []Saved {
	keys := slices.SortedFunc(maps.Keys(l), func(a, b key) int {
		return cmp.Or(
			cmp.Compare(a.domain, b.domain),
			cmp.Compare(a.path, b.path),
			cmp.Compare(a.name, b.name),
		)
	})

	var list []Saved
	for _, k := range keys {
		if line := l[k].cookie.String(); line != "" {
			list = append(list, Saved{URL: l[k].origin, Line: line})
		}
	}
	return list
}

// entryOf returns a cookie as a log has it. It returns false for a cookie whose Domain the host
// that set it does not belong to. No jar takes such a cookie.
func entryOf(u *url.URL, c *http.Cookie) (key, entry, bool) {
	host := hostOf(u)
	domain := strings.ToLower(strings.TrimPrefix(c.Domain, "."))
	hostOnly := domain == ""
	if hostOnly {
		domain = host
	}
	if host == "" || !belongsTo(host, domain) {
		return key{}, entry{}, false
	}

	own := *c //nolint:gosec // a copy of what the server set
	own.Raw, own.RawExpires, own.Unparsed = "", "", nil
	if own.Path == "" || own.Path[0] != '/' {
		own.Path = defaultPath(u.Path)
	}
	if own.MaxAge > 0 {
		life := time.Duration(min(int64(own.MaxAge), math.MaxInt32)) * time.Second
		own.Expires, own.MaxAge = time.Now().Add(life), 0
	}
	return key{domain, own.Path, own.Name}, entry{origin.Of(u), hostOnly, &own}, true
}

// goesTo reports whether the cookie is sent to a host.
func (e entry) goesTo(k key, host string) bool {
	if e.hostOnly {
		return host == k.domain
	}
	return belongsTo(host, k.domain)
}

func (e entry) isExpired() bool { return deletes(e.cookie) }

// belongsTo reports whether a host matches the Domain of a cookie (RFC 6265 §5.1.3).
func belongsTo(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain) && net.ParseIP(host) == nil
}

// hostOf returns the host of a URL without its port, in the form of package origin.
func hostOf(u *url.URL) string {
	o, err := url.Parse(origin.Of(u))
	if err != nil {
		return ""
	}
	return o.Hostname()
}

// defaultPath is the Path of a cookie that has none (RFC 6265 §5.1.4).
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 && path[0] == '/' {
		return path[:i]
	}
	return "/"
}
