package axle

import (
	"net/http"

	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/fetch"
)

const userAgent = "axle/1"

// An engine sends one dispatch over the network and follows its redirects. It does not know what a
// call is: the chains, the credentials, the body and the meaning of the response are decided
// elsewhere.
//
// There are two engines. A client starts with the engine over net/http, in this file.
// [Client.SetEngine] replaces it by the engine over resty, in resty.go.
type engine interface {
	// send sends d and returns the response to its last redirect, whose body has not been read. The
	// caller closes that body. If there is an error, there is no response to close.
	send(d *dispatch) (*http.Response, error)

	// transport returns what the engine sends through. The bridge sends through it directly, since
	// an http.Client above the bridge follows redirects and keeps cookies by itself.
	transport() http.RoundTripper
}

// An engineSource makes the engine over resty. It is an interface, so that a program that calls
// neither SetEngine nor FromResty is linked without resty, which matters in a browser.
type engineSource interface {
	newEngine(transport http.RoundTripper, jar http.CookieJar) engine
}

// newEngine returns the engine for these settings. It runs no code of the user's, since
// [Client.update] calls it under a lock. The first call of transport does.
func newEngine(s *settings) engine {
	if s.resty != nil {
		return s.resty.newEngine(s.transport, s.jar)
	}
	return &netHTTPEngine{client: &http.Client{
		Transport:     s.transport,
		Jar:           s.jar,
		CheckRedirect: checkRedirect,
	}}
}

// netHTTPEngine sends by an http.Client.
type netHTTPEngine struct{ client *http.Client }

func (e *netHTTPEngine) transport() http.RoundTripper { return e.client.Transport }

func (e *netHTTPEngine) send(d *dispatch) (*http.Response, error) {
	raw, err := d.newRequest()
	if err != nil {
		return nil, err
	}

	// The requests of a refresh see the cookies that wait for the refresh's outcome, and nobody
	// else does.
	client := e.client
	if fetch.Possible && fetch.SentBy(client.Transport) {
		// The browser keeps the cookies, and would drop those of a jar.
		withoutJar := *client
		withoutJar.Jar = nil
		return withoutJar.Do(raw)
	}
	if pending := cookies.PendingOf(d.Context); pending != nil {
		withPending := *client
		withPending.Jar = pending.Over(client.Jar)
		client = &withPending
	}
	return client.Do(raw)
}

// asksForGzip reports whether a transport, or the one that it wraps, would ask for gzip by itself,
// and would decompress the response out of axle's sight.
func asksForGzip(transport http.RoundTripper) bool {
	for {
		switch t := transport.(type) {
		case *http.Transport:
			return t != nil && !t.DisableCompression
		case interface{ Unwrap() http.RoundTripper }:
			transport = t.Unwrap()
		default:
			return false
		}
	}
}
