package axle

import (
	"errors"
	"fmt"
	"net/http"
)

// This file says what a redirect keeps and drops, for either engine. An http.Client calls it before
// it follows a redirect. Behind the bridge the http.Client above follows redirects, by net/http's
// rules.

// MaxRedirects is how many redirects one dispatch follows, unless [Client.SetMaxRedirects] says
// otherwise.
const MaxRedirects = 10

// checkRedirect decides whether the redirected request next is sent, and corrects it: its scheme,
// its number, its method (RFC 9110 §15.4), the credentials that stay behind, and then the check of
// the request or the client. It is an http.Client's CheckRedirect.
func checkRedirect(next *http.Request, via []*http.Request) error {
	return checkRedirectToo(nil)(next, via)
}

// redirectCheck is an http.Client's CheckRedirect.
type redirectCheck = func(next *http.Request, via []*http.Request) error

// checkRedirectToo returns checkRedirect with the check of an engine's own, which is asked before
// that of the request or the client.
func checkRedirectToo(engines redirectCheck) redirectCheck {
	return func(next *http.Request, via []*http.Request) error {
		d, ok := via[0].Context().Value(dispatchKey{}).(*dispatch)
		if !ok {
			return http.ErrUseLastResponse
		}

		err := d.redirect(next, via)
		for _, check := range []redirectCheck{engines, d.request.redirectCheck()} {
			if err == nil && check != nil {
				err = d.ask(check, next, via)
			}
		}

		// net/http compares in this way too, and then leaves the body of the request that it does
		// not send open.
		if err == http.ErrUseLastResponse && next.Body != nil { //nolint:errorlint // see above
			_ = next.Body.Close()
		}
		return err
	}
}

// ask asks a check of the user's. The check may change the redirected request, so that axle's own
// rules are applied again to its scheme and its credentials.
func (d *dispatch) ask(check redirectCheck, next *http.Request, via []*http.Request) error {
	if err := check(next, via); err != nil {
		return d.refusedByCheck(err)
	}
	if next.URL == nil {
		message := "the check of a redirect has set the URL of the request to nil"
		return &Error{Code: CodeInterceptor, Message: message, Request: d.request}
	}

	// Without a header there is none to send. net/http needs a map, for the cookies of a jar.
	if next.Header == nil {
		next.Header = make(http.Header) //nolint:gosec // it is empty
	}
	d.leaveCredentials(next, via)
	return d.refuseScheme(next)
}

// refusedByCheck returns the error of a redirect that a check of the user's has refused. It has a
// handler's code, because the network is not at fault: to send the request again would not help.
func (d *dispatch) refusedByCheck(err error) error {
	var known *Error
	switch {
	case err == http.ErrUseLastResponse: //nolint:errorlint // net/http compares in this way too
		return err

	// An error of axle's keeps its code, and a check may have waited until the context ended.
	case errors.As(err, &known), isEndOf(d.Context, err):
		return err
	}
	return &Error{
		Code: CodeInterceptor, Message: "the check of a redirect refused", Request: d.request, Err: err,
	}
}

// redirectCheck returns the request's own check, or else the client's; nil: none.
func (r *Request) redirectCheck() redirectCheck {
	if r.overrides.redirect {
		return r.redirect
	}
	return r.settings().redirect
}

func (d *dispatch) refuseScheme(next *http.Request) error {
	if next.URL.Scheme != "http" && next.URL.Scheme != "https" {
		return invalidURL(d.request, fmt.Sprintf("a redirect to the scheme %q", next.URL.Scheme))
	}
	return nil
}

// redirect applies axle's own rules to a redirected request.
func (d *dispatch) redirect(next *http.Request, via []*http.Request) error {
	if err := d.refuseScheme(next); err != nil {
		return err
	}

	switch most := d.request.settings().maxRedirects; {
	case most == 0:
		return http.ErrUseLastResponse
	case len(via) > most:
		message := fmt.Sprintf("more than %d redirects", most)
		return &Error{Code: CodeTooManyRedirects, Message: message, Request: d.request}
	}

	last := via[len(via)-1]
	keepRedirectEscapes(next, last)
	if err := d.keepMethod(next, last, via[0]); err != nil {
		return err
	}
	d.leaveCredentials(next, via)
	return nil
}

// leaveCredentials takes the credentials from a redirected request that has left its origin.
func (d *dispatch) leaveCredentials(next *http.Request, via []*http.Request) {
	if crossedOrigin(via, next) {
		d.request.stripCredentials(next.Header)
		dropForeignReferer(next.Header, destinationOf(next))
	}
}

// keepMethod undoes what net/http does beyond RFC 9110 §15.4 on a 301 or 302. net/http changes any
// method to GET, where POST alone is meant. It also takes the body of a request whose method stays,
// for that redirect and all that follow.
func (d *dispatch) keepMethod(next, last, first *http.Request) error {
	if next.Response == nil {
		return nil
	}
	switch next.Response.StatusCode {
	case http.StatusSeeOther:
		return nil
	case http.StatusMovedPermanently, http.StatusFound:
		if last.Method == http.MethodPost {
			return nil
		}
	}

	next.Method = last.Method
	if d.payload.open == nil || last.GetBody == nil || next.GetBody != nil {
		return nil
	}
	body, err := first.GetBody()
	if err != nil {
		return err
	}
	next.Body, next.GetBody, next.ContentLength = body, first.GetBody, first.ContentLength
	for _, name := range []string{
		"Content-Type", "Content-Encoding", "Content-Language", "Content-Location",
	} {
		if list, ok := first.Header[name]; ok {
			next.Header[name] = list
		}
	}
	return nil
}
