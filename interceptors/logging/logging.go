// Package logging writes one structured record per attempt to a [log/slog] logger, without secrets.
//
//	client.Use(logging.New())
//
// An attempt is one sending of a call: its first, and each replay that an interceptor asks for. Its record has
//
//	method    GET
//	url       as it would be sent; userinfo and the values of secret parameters are REDACTED
//	status    200; absent if no response arrived
//	duration  of the dispatch ([axle.Response.Duration]); without one, since the attempt began
//	bytes     of the response's body, decompressed; absent for a stream of unknown length
//	attempt   1, 2, …
//	code      ERR_NETWORK, …; errors alone
//	error     the error's text, its secrets REDACTED; errors alone
//	request   a group: header and body, with WithHeaders and WithBodies
//	response  likewise
//
// # Where to install it
//
// Response handlers run in the order in which they were added, and a replay runs those before the one that asked for it. So:
//
//	client.Use(logging.New(), auth.New(session)) // a record per attempt: 401, then 200
//	client.Use(auth.New(session), logging.New()) // a record per call: 200, attempt 2
//
// An attempt that failed before it was sent, in a request handler, has a record too: with a code and without a status.
//
// # The attempt number
//
// The number counts how often one request has begun: it travels with the request, in an [axle.Key]. The request that a caller
// built starts at 1 every time it is sent, and each replay is one more. Client.Do(err.Request) is a new call, and yet it sends
// the request that failed: it goes on counting. If a handler that stands before logging does that, the outcome is recorded
// twice, under the same number: at the end of the inner call, and where the outer call goes on.
//
// # Redaction
//
// It cannot be turned off. Of headers only those are shown that are known to be harmless, such as Content-Type and X-Request-Id;
// WithAllowedHeaders adds to them. Of query parameters, of placeholders in the path, and of the fields of bodies those are
// REDACTED whose name says that they hold a secret, as access_token, clientSecret and newpassword do; WithSecretNames and
// WithAllowedNames add to that list and take from it.
//
// A body is shown if its secrets can be told from the rest of it: if it is JSON or a form. Of any other body, of plain text too,
// the type and the length stand there. A stream is never touched. The list is one of credentials: what else is private, as a
// social security number is, has to be added to it.
package logging

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/redact"
)

// Interceptor is an [axle.Plugin]. One may be installed in many clients; installed twice in one, it logs twice. It is safe for
// concurrent use if its logger and its level function are.
type Interceptor struct {
	logger  *slog.Logger // nil: slog.Default(), at the time of the record
	level   func(*axle.Response, *axle.Error) slog.Level
	highest slog.Level // that level can return
	headers bool
	bodies  bool
	limit   int // of bodies, in bytes

	allowedHeaders map[string]bool // in canonical form
	names          redact.Names
}

// Option is an option of [New].
type Option func(*Interceptor)

// WithLogger sets the logger. The default, and nil, is [slog.Default] at the time of the record. It gets the request's context.
func WithLogger(logger *slog.Logger) Option {
	return func(i *Interceptor) { i.logger = logger }
}

// WithLevel sets the function that gives an attempt its level, in the place of [Level]; nil is Level. One of its arguments is
// nil: the error of an attempt that fulfilled, or the response (err.Response may be one) of an attempt that failed.
func WithLevel(level func(resp *axle.Response, err *axle.Error) slog.Level) Option {
	return func(i *Interceptor) {
		if i.level, i.highest = level, math.MaxInt; level == nil {
			i.level, i.highest = Level, slog.LevelError
		}
	}
}

// WithHeaders adds the headers of the request, as the handlers left them, and of the response. The values of those that are not
// known to be harmless are REDACTED, see [WithAllowedHeaders].
func WithHeaders() Option {
	return func(i *Interceptor) { i.headers = true }
}

// WithAllowedHeaders adds to the headers whose values WithHeaders shows, also headers whose name says that they hold a secret.
// Authorization, Proxy-Authorization, Cookie and Set-Cookie are never shown, nor is what the client declares to be sensitive (see
// [axle.Request.IsDeclaredSensitive]) or what [WithSecretNames] names.
func WithAllowedHeaders(names ...string) Option {
	return func(i *Interceptor) {
		for _, name := range names {
			i.allowedHeaders[textproto.CanonicalMIMEHeaderKey(name)] = true
		}
	}
}

// WithAllowedNames shows the query parameters, path parameters and body fields of these names, which would be REDACTED:
// WithAllowedNames("secretPath") for an API that calls something harmless so. Each is a whole name, however it is spelled:
// "secretPath" stands for secret_path and Secret-Path too. The text of an error is redacted before it comes here, and stays so.
func WithAllowedNames(names ...string) Option {
	return func(i *Interceptor) { i.names.Allow(names...) }
}

// WithSecretNames adds names whose values are REDACTED, in headers, query parameters, path parameters and body fields:
// WithSecretNames("ssn"). They count where they are words of a longer name too, as in customer_ssn. A name that is also allowed
// is REDACTED.
func WithSecretNames(names ...string) Option {
	return func(i *Interceptor) { i.names.AddSecret(names...) }
}

// WithBodies adds the first limit bytes of each body that is JSON or a form, with the values of its secret fields, at any depth,
// REDACTED. Of any other body the type and the length stand there. JSON loses its white space. A limit of zero or less shows the
// type and the length of every body. What a record costs depends on the limit, not on the body's length.
func WithBodies(limit int) Option {
	return func(i *Interceptor) { i.bodies, i.limit = true, max(limit, 0) }
}

// New returns an interceptor that logs every attempt.
func New(opts ...Option) *Interceptor {
	i := &Interceptor{level: Level, highest: slog.LevelError, allowedHeaders: map[string]bool{}}
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}
	return i
}

// Install adds the handlers to c and returns what removes them.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	l := &installed{Interceptor: i, attempts: axle.NewKey[attempt]("logging.attempt")}
	request := c.Interceptors.Request.Use(l.begin, l.beginUnsent, axle.Named("logging"))
	response := c.Interceptors.Response.Use(l.fulfilled, l.rejected, axle.Named("logging"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

// Level is the default level of an attempt: Info if it fulfilled or its caller gave up, Warn if its status was refused and is
// below 500, and Error for every other failure.
func Level(_ *axle.Response, err *axle.Error) slog.Level {
	switch {
	case err == nil, err.Code == axle.CodeCanceled:
		return slog.LevelInfo
	case err.Code == axle.CodeBadRequest,
		err.Code == axle.CodeBadResponse && err.StatusCode() >= 300 && err.StatusCode() < 400:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// installed is an interceptor in one client.
type installed struct {
	*Interceptor
	attempts *axle.Key[attempt]
}

// attempt is what the request handlers leave for the response handlers.
type attempt struct {
	number int
	start  time.Time
}

func (l *installed) begin(ctx context.Context, req *axle.Request) (*axle.Request, error) {
	l.count(ctx, req)
	return req, nil
}

// beginUnsent counts the attempts that a request handler failed before they came here.
func (l *installed) beginUnsent(ctx context.Context, err *axle.Error) (*axle.Request, error) {
	l.count(ctx, err.Request)
	return nil, err
}

// count costs nothing where nothing will be logged.
func (l *installed) count(ctx context.Context, req *axle.Request) {
	if l.log().Enabled(ctx, l.highest) {
		before, _ := l.attempts.Get(req)
		l.attempts.Set(req, attempt{number: before.number + 1, start: time.Now()})
	}
}

func (l *installed) fulfilled(ctx context.Context, resp *axle.Response) (*axle.Response, error) {
	level := l.level(resp, nil)
	if l.log().Enabled(ctx, level) {
		l.record(ctx, level, resp.Request, resp, nil)
	}
	return resp, nil
}

func (l *installed) rejected(ctx context.Context, err *axle.Error) (*axle.Response, error) {
	level := l.level(nil, err)
	if l.log().Enabled(ctx, level) {
		l.record(ctx, level, err.Request, err.Response, err)
	}
	return nil, err
}

func (l *installed) log() *slog.Logger {
	if l.logger != nil {
		return l.logger
	}
	return slog.Default()
}

// record writes one record. It leaves out what is not known rather than log a zero for it.
func (l *installed) record(ctx context.Context, level slog.Level, req *axle.Request, resp *axle.Response, err *axle.Error) {
	this, begun := l.attempts.Get(req)
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("method", cmp.Or(strings.ToUpper(req.Method), http.MethodGet)), slog.String("url", l.urlOf(req)))
	if resp != nil {
		attrs = append(attrs, slog.Int("status", resp.StatusCode))
	}
	switch {
	case resp != nil && resp.Duration() > 0:
		attrs = append(attrs, slog.Duration("duration", resp.Duration()))
	case begun:
		attrs = append(attrs, slog.Duration("duration", time.Since(this.start)))
	}
	if n, known := lengthOf(resp); known {
		attrs = append(attrs, slog.Int64("bytes", n))
	}
	attrs = append(attrs, slog.Int("attempt", max(this.number, 1)))
	if err != nil {
		attrs = append(attrs, slog.String("code", string(err.Code)), slog.String("error", l.names.Text(err.Error())))
	}
	if request := l.requestDetails(req); len(request) > 0 {
		attrs = append(attrs, slog.GroupAttrs("request", request...))
	}
	if response := l.responseDetails(req, resp); len(response) > 0 {
		attrs = append(attrs, slog.GroupAttrs("response", response...))
	}
	l.log().LogAttrs(ctx, level, "http request", attrs...)
}

// lengthOf returns the length of a body that is in memory, or that a stream's headers announce.
func lengthOf(resp *axle.Response) (n int64, known bool) {
	switch {
	case resp == nil:
		return 0, false
	case resp.Bytes() != nil:
		return int64(len(resp.Bytes())), true
	case resp.Raw() == nil:
		return 0, false
	case resp.Raw().Body == http.NoBody:
		return 0, true
	}
	n = resp.Raw().ContentLength
	return n, n >= 0
}

func (l *installed) requestDetails(req *axle.Request) (attrs []slog.Attr) {
	if l.headers {
		attrs = l.appendHeaders(attrs, req, req.Header)
	}
	if l.bodies {
		attrs = appendBody(attrs, l.requestBody(req))
	}
	return attrs
}

func (l *installed) responseDetails(req *axle.Request, resp *axle.Response) (attrs []slog.Attr) {
	if resp == nil {
		return nil
	}
	if l.headers {
		attrs = l.appendHeaders(attrs, req, resp.Header)
	}
	if l.bodies {
		attrs = appendBody(attrs, l.responseBody(resp))
	}
	return attrs
}

func appendBody(attrs []slog.Attr, body string) []slog.Attr {
	if body == "" {
		return attrs
	}
	return append(attrs, slog.String("body", body))
}
