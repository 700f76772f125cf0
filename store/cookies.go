package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/detached"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/redact"
)

// WithCookies saves the cookies of the client with the session, for an API that keeps its tokens in
// cookies. It needs a Persister. The client needs a base URL, and is usually the one that
// [Endpoint] has. A nil client saves no cookies, which is the default.
//
// All cookies that go to the host of the base URL are saved, whatever their path: with each login
// as they are when Login is called, and with each refresh together with the new token. A store
// that adopts a saved session, a login or a refresh of another holder gives those cookies to the
// client's jar first. If the login has ended elsewhere, it deletes the cookies of that host. A
// cookie that is saved for another host is never given to the jar. The cookies of other responses
// are not saved before the next refresh.
//
// The jar that [axle.New] makes keeps the attributes of the cookies from the call of [Open] or
// [New] on, so that comes before the login. Another jar tells the name and the value alone, of the
// cookies that it has for the base URL itself. They are then saved with the path "/" and without
// an expiry.
//
// It is not for a browser, which keeps the cookies itself, for all tabs: there [Open] returns an error.
//
// The jar has the refresh timeout to take or to give its cookies, see [WithRefreshTimeout].
func WithCookies(c *axle.Client) Option {
	return func(o *options) { o.cookieClient = c }
}

// savesCookies reports whether the session is saved with its cookies.
func (p *persistence) savesCookies() bool { return p != nil && p.client != nil }

// checkClient returns an error if the client of WithCookies cannot be used.
func (p *persistence) checkClient() error {
	if !p.savesCookies() {
		return nil
	}
	_, _, err := p.jar()
	return err
}

// jar returns the client's jar, and the base URL whose cookies are saved.
func (p *persistence) jar() (http.CookieJar, *url.URL, error) {
	base, err := url.Parse(p.client.BaseURL())
	if err != nil || origin.Of(base) == "" {
		return nil, nil, errors.New("store: the client of WithCookies has no base URL with a host")
	}

	jar := cookies.Unrouted(p.client.HTTPClient().Jar)
	if jar == nil {
		return nil, nil, errors.New("store: the client of WithCookies has no cookie jar; " +
			"in a browser the browser keeps the cookies, and the session needs no WithCookies")
	}
	if own, ok := jar.(*cookies.Jar); ok {
		own.Keep()
	}
	return jar, base, nil
}

// withJar calls work with the client's jar. A jar that panics, or that takes longer than the
// refresh timeout, is an error.
func (p *persistence) withJar(work func(jar http.CookieJar, base *url.URL)) error {
	_, err := detached.Run(context.Background(), p.limit, func(context.Context) (struct{}, error) {
		jar, base, err := p.jar()
		if err == nil {
			work(jar, base)
		}
		return struct{}{}, err
	})
	return err
}

// readCookies returns the cookies that are to be saved. Those of a refresh that has not settled, if
// there is one, are pending. It returns false if no cookies are saved, or if the jar has failed,
// which is reported. No lock of the store is held.
func (p *persistence) readCookies(pending *cookies.Pending) (list []cookies.Saved, ok bool) {
	if !p.savesCookies() {
		return nil, false
	}

	read := make(chan []cookies.Saved, 1)
	err := p.withJar(func(jar http.CookieJar, base *url.URL) { read <- pending.Export(jar, base) })
	if err != nil {
		p.report(fmt.Errorf("%w: the cookies were not saved: %w", ErrStorage, err))
		return nil, false
	}
	return <-read, true
}

// adoptCookies makes the jar follow a record that the memory is about to adopt. Calls see the new
// state after that. The settling lock is held, and the other is not.
func (s *UserStore[U]) adoptCookies(at saved) {
	p := s.persistence
	if !p.savesCookies() {
		return
	}
	s.mu.Lock()
	difference, hadLogin := s.differenceOf(at), p.login != ""
	s.mu.Unlock()

	var removes, sets bool
	switch difference {
	case endedElsewhere:
		removes = true
	case otherLogin:
		removes, sets = hadLogin, true
	case refreshedElsewhere:
		sets = true
	default:
		return
	}

	err := p.withJar(func(jar http.CookieJar, base *url.URL) {
		if removes {
			cookies.Remove(jar, base)
		}
		if sets {
			cookies.Import(jar, base, at.record.Cookies)
		}
	})
	if err != nil {
		// The function of WithStorageFailure is not called here, since it may change the store.
		slog.Error("store: a cookie jar failed to take the saved cookies",
			"error", redact.Text(err.Error()))
	}
}
