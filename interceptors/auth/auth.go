// Package auth is an interceptor that attaches a session's token to requests. When the token is
// refused with a 401, the interceptor refreshes the session and replays the request. Calls that
// need a refresh at the same time share one.
//
//	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
//	client.Use(auth.New(session))
//
// Tokens go to allowed origins alone. A request that comes while the session refreshes waits for
// the outcome. A 401 is judged by the token that its request was sent with. If that token has been
// replaced since, the request is replayed at once. If not, the session is refreshed and then the
// request is replayed.
//
// # Where to install it
//
// Install it after logging, and before the interceptors that should see what a refresh could not
// mend:
//
//	client.Use(logging.New(), auth.New(session), limit.New(), breaker.New(), retry.New())
//
// docs/order.md has the order of all interceptors, and docs/auth.md says more about sessions.
//
// The files, in the order to read them:
//
//   - session.go: what the interceptor asks of a session.
//   - attach.go: the request handler, which attaches the token.
//   - refusal.go: the response handlers, which refresh and replay.
//   - tracked.go: what the interceptor remembers of a session between calls.
//   - early.go: waiting for a refresh, and refreshing before the token expires.
//   - plainsession.go and plainrefresh.go: how a plain [Session] becomes a [StatefulSession].
//   - select.go: many sessions.
//   - observer.go: telling others of refreshes and waits.
//   - header.go: the header that carries the token.
//   - challenge.go and refused.go: what a server's refusal means.
//
// No lock is held while the interceptor calls a session or the network.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/redact"
)

const defaultRefreshTimeout = 30 * time.Second

// Interceptor is an [axle.Plugin] that [New] or [Select] returns. One Interceptor may be installed
// in many clients, which then share its sessions' refreshes. It is safe for concurrent use. The
// zero value is not usable.
type Interceptor struct {
	// session is the one session of New. It is nil for Select.
	session *tracked

	// choose is the function of Select, and choices has its answer for each call: nil if the call
	// belongs to no session. recent are the sessions that it returned lately.
	choose  func(*axle.Request) StatefulSession
	choices *axle.Key[*tracked]
	recent  recentSessions

	// bad says what is wrong with the options. It fails every call.
	bad error

	codes         []int
	shouldRefresh func(*axle.Response) bool
	timeout       time.Duration // of a plain session's refresh
	observer      Observer      // of a plain session's refreshes; nil: none
	early         time.Duration // before the expiry; not positive: off
	origins       []string      // nil: that of the client's base URL

	// header carries the token. A nil headerValue stands for the token's type and the access token.
	header      string
	headerValue func(*oauth2.Token) string

	attachments *axle.Key[*attachment]
}

// Option configures [New] and [Select]. A nil Option does nothing.
type Option func(*Interceptor)

// New returns an interceptor for one session.
//
// A [StatefulSession] is used as it is. The token of a plain [Session] is watched, and the
// session's RefreshToken and Logout are called once where many calls need them. If the session is
// nil or an option is wrong, every call fails with [axle.CodeBadOption] and is not sent.
func New(s Session, opts ...Option) *Interceptor {
	i := newInterceptor(opts)
	switch s := s.(type) {
	case nil:
		i.bad = errors.New("auth: the session is nil")
	case StatefulSession:
		i.session = track(s)
		// This notes when the first token was there.
		_, _ = i.session.snapshot(context.Background())
	default:
		i.session = trackPlain(s, i.timeout, i.observer)
	}
	return i
}

func newInterceptor(opts []Option) *Interceptor {
	i := &Interceptor{
		codes:       []int{http.StatusUnauthorized},
		timeout:     defaultRefreshTimeout,
		header:      defaultHeader,
		attachments: axle.NewKey[*attachment]("auth"),
	}
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}
	return i
}

// WithStatusCodes sets the statuses that call for a refresh. The default is 401.
//
// A response whose WWW-Authenticate says error="insufficient_scope" (RFC 6750 §3.1) or
// error="use_dpop_nonce" (RFC 9449 §8) calls for no refresh, whatever its status.
func WithStatusCodes(codes ...int) Option {
	return func(i *Interceptor) { i.codes = slices.Clone(codes) }
}

// WithShouldRefresh sets a function that decides which responses call for a refresh, in the place
// of the status codes and of WWW-Authenticate. The function judges fulfilled responses, too, for
// APIs that respond with a 200 and an error in the body. Many goroutines call it at once. A nil
// function leaves the decision to the status codes.
func WithShouldRefresh(fn func(*axle.Response) bool) Option {
	return func(i *Interceptor) { i.shouldRefresh = fn }
}

// WithRefreshTimeout bounds each refresh and each logout of a plain [Session]. A [StatefulSession]
// has a bound of its own. The default is 30 seconds, also for d <= 0.
func WithRefreshTimeout(d time.Duration) Option {
	return func(i *Interceptor) {
		if d <= 0 {
			d = defaultRefreshTimeout
		}
		i.timeout = d
	}
}

// WithAllowedOrigins sets the origins that tokens may go to, each as "https://api.example.com" or
// "https://api.example.com:8443". Anything else fails every call with [axle.CodeBadOption].
//
// The default, also for no origins, is the origin of the calling client's base URL. If the client
// has no base URL either, its calls fail with [axle.CodeBadOption].
func WithAllowedOrigins(origins ...string) Option {
	return func(i *Interceptor) {
		i.origins = nil
		for _, raw := range origins {
			o := parseOrigin(raw)
			if o == "" {
				i.bad = fmt.Errorf("auth: the allowed origin %q is not one: "+
					"write it as https://host or https://host:port", redact.RawURL(raw))
				return
			}
			i.origins = append(i.origins, o)
		}
	}
}

// parseOrigin returns an origin in the form of [origin.Of]. It returns an empty string for a
// pattern, and for a URL that has more than an origin.
func parseOrigin(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil,
		u.Scheme != "http" && u.Scheme != "https",
		u.User != nil,
		u.Path != "" && u.Path != "/",
		strings.ContainsAny(raw, "?#*"):
		return ""
	}
	return origin.Of(u)
}

var skip = axle.NewKey[bool]("auth.Skip")

// Skip is an edit that keeps a request out of the session. No token is attached to the request, it
// waits for no refresh, and its 401 goes to the caller.
//
// Use it for logins and for other calls that belong to no session. Without it, the 401 of a wrong
// password would be taken for an expired token. It would refresh the session that is still there,
// and might end that session.
func Skip(r *axle.Request) { skip.Set(r, true) }

func skipped(r *axle.Request) bool {
	on, _ := skip.Get(r)
	return on
}

// Install implements [axle.Plugin]. It adds a pair named "auth" to each chain of c. An Interceptor
// that is installed twice in one client works once.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	request := c.Interceptors.Request.Use(i.attach, nil, axle.Named("auth"))
	response := c.Interceptors.Response.Use(i.fulfilled, i.rejected, axle.Named("auth"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

// allows reports whether the session's token may go to the origin o in this call.
func (i *Interceptor) allows(r *axle.Request, o string) (bool, error) {
	if i.origins != nil {
		return slices.Contains(i.origins, o), nil
	}
	if r.BaseURL() == "" {
		return false, errors.New("auth: the client has no base URL, so that no origin is known " +
			"to which the token may go: call SetBaseURL, or give auth.New the option WithAllowedOrigins")
	}
	return o != "" && o == r.BaseOrigin(), nil
}

// join adds another error to err. A nil other leaves err as it is.
func join(err, other error, how string) error {
	if other == nil {
		return err
	}
	return fmt.Errorf("%w (%s: %w)", err, how, other)
}
