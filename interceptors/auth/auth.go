// Package auth is the interceptor that answers 401s with one shared refresh, and replays the requests.
//
//	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
//	client.Use(auth.New(session))
//
// Before a request is sent the session's token is attached, for allowed origins alone, and a request that comes while the
// session refreshes waits for the outcome. A 401 is judged by the token that its request was sent with: if that has been
// replaced since, the request is replayed at once. If not, the session is refreshed, once for all calls that need it, and then
// the request is replayed.
//
// attach.go is the way of a request, refusal.go that of a 401. session.go is the contract with a session, tracked.go what is
// remembered of one, and plainsession.go and plainrefresh.go make a plain [Session] a stateful one. early.go refreshes ahead of the expiry, header.go makes
// the header, challenge.go reads WWW-Authenticate, and select.go serves many sessions. No lock is held while a session or the
// network is asked.
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

// Interceptor is an [axle.Plugin]. One Interceptor may be installed in many clients, which then share its sessions' refreshes. It
// is safe for concurrent use.
type Interceptor struct {
	session *tracked // of New

	choose  func(*axle.Request) StatefulSession // of Select
	choices *axle.Key[*tracked]                 // what it chose for a call; nil: none
	recent  recentSessions                      // that it chose

	bad           error // what is wrong with the options; fails every call
	codes         []int
	shouldRefresh func(*axle.Response) bool
	timeout       time.Duration
	early         time.Duration
	origins       []string
	header        string                     // carries the token
	headerValue   func(*oauth2.Token) string // nil: the token's type and the access token

	attempts *axle.Key[*attempt]
}

// Option configures [New] and [Select].
type Option func(*Interceptor)

// New returns an interceptor for one session. A [StatefulSession] is used as it is; a plain [Session] is watched, and its
// RefreshToken and Logout are called once where many need them. Bad options fail the calls, with CodeBadOption.
func New(s Session, opts ...Option) *Interceptor {
	i := newInterceptor(opts)
	switch s := s.(type) {
	case nil:
		i.bad = errors.New("auth: the session is nil")
	case StatefulSession:
		i.session = track(s)
		_, _ = i.session.snapshot(context.Background()) // notes when the first token was there
	default:
		i.session = trackPlain(s, i.timeout)
	}
	return i
}

func newInterceptor(opts []Option) *Interceptor {
	i := &Interceptor{
		codes: []int{http.StatusUnauthorized}, timeout: defaultRefreshTimeout, header: defaultHeader,
		attempts: axle.NewKey[*attempt]("auth"),
	}
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}
	return i
}

// WithStatusCodes sets the statuses that call for a refresh. The default is 401. An answer whose WWW-Authenticate says
// error="insufficient_scope" or error="use_dpop_nonce" calls for none, whatever its status (RFC 6750 §3.1, RFC 9449 §8).
func WithStatusCodes(codes ...int) Option {
	return func(i *Interceptor) { i.codes = slices.Clone(codes) }
}

// WithShouldRefresh decides, in the place of the status codes and of WWW-Authenticate, which responses call for a refresh.
// Fulfilled ones are judged too: for APIs that answer 200 with an error inside. It may be called by many goroutines at once.
func WithShouldRefresh(fn func(*axle.Response) bool) Option {
	return func(i *Interceptor) { i.shouldRefresh = fn }
}

// WithRefreshTimeout bounds each refresh, and each logout, of a plain [Session]; a [StatefulSession] has its own bound. The
// default, also for d <= 0, is 30 s.
func WithRefreshTimeout(d time.Duration) Option {
	return func(i *Interceptor) {
		if i.timeout = d; d <= 0 {
			i.timeout = defaultRefreshTimeout
		}
	}
}

// WithAllowedOrigins sets where tokens go, as "https://api.example.com". The default, also for none, is the origin of the calling
// client's base URL. A client that has no base URL needs them: without, its calls fail with CodeBadOption.
func WithAllowedOrigins(origins ...string) Option {
	return func(i *Interceptor) {
		i.origins = nil
		for _, raw := range origins {
			o := parseOrigin(raw)
			if o == "" {
				i.bad = fmt.Errorf("auth: the allowed origin %q is not one: write it as https://host or https://host:port", redact.RawURL(raw))
				return
			}
			i.origins = append(i.origins, o)
		}
	}
}

// parseOrigin returns an origin as [origin.Of] writes it; empty: raw is none, but a pattern, or a URL with more to it.
func parseOrigin(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.User != nil, u.Path != "" && u.Path != "/",
		strings.ContainsAny(raw, "?#*"):
		return ""
	}
	return origin.Of(u)
}

var skip = axle.NewKey[bool]("auth.Skip")

// Skip is an edit that keeps a request out of the session: no token is attached to it, it waits for no refresh, and its 401 is
// passed on as it is.
//
// It is for logins and other calls that belong to no session. Without it, the 401 of a wrong password is taken for an expired
// token: it refreshes the session that is still there, and may end it.
func Skip(r *axle.Request) { skip.Set(r, true) }

func skipped(r *axle.Request) bool {
	on, _ := skip.Get(r)
	return on
}

// Install implements [axle.Plugin]: it adds a pair named "auth" to each chain of c. Installed twice, it works once.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	request := c.Interceptors.Request.Use(i.attach, nil, axle.Named("auth"))
	response := c.Interceptors.Response.Use(i.fulfilled, i.rejected, axle.Named("auth"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

// attempt is what the interceptor knows of one attempt of a call. It is attached to the request and never modified.
type attempt struct {
	session    *tracked
	generation Generation // in which it was sent; of Login, in which the call was first made
	failures   uint64     // the session's failed refreshes by then
	header     [1]string  // the value that was attached; empty: none, the session's tokens are cookies
	anonymous  bool       // made without a session
	freed      bool       // the call has had its free replay
	refreshed  bool       // the call has had its refresh
}

// allows reports whether the session's tokens may go to the origin o in this call.
func (i *Interceptor) allows(r *axle.Request, o string) (bool, error) {
	if i.origins != nil {
		return slices.Contains(i.origins, o), nil
	}
	if r.BaseURL() == "" {
		return false, errors.New("auth: the client has no base URL, and no allowed origins are set: the token would go anywhere or nowhere")
	}
	return o != "" && o == r.BaseOrigin(), nil
}

// join adds to an error what else went wrong.
func join(err, other error, how string) error {
	if other == nil {
		return err
	}
	return fmt.Errorf("%w (%s: %w)", err, how, other)
}
