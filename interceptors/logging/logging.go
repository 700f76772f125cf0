// Package logging writes one structured record per attempt to a [log/slog] logger, without secrets.
//
//	client.Use(logging.New())
//
// An attempt is one sending of a call: the first one, and each replay that an interceptor asks for.
// The record of an attempt has these attributes:
//
//	method    GET
//	url       as it would be sent, without userinfo and the values of secret parameters
//	status    200; absent if there was no response
//	duration  of the dispatch ([axle.Response.Duration]); without a response, since the attempt began
//	bytes     length of the response's body, decompressed; absent for a stream of unknown length
//	attempt   1, 2, …
//	operation users.get; absent for a call without [axle.Operation]
//	code      ERR_NETWORK, …; for errors only
//	error     the error's text, without secrets; for errors only
//	request   a group of header and body, with WithHeaders and WithBodies
//	response  likewise
//
// # Where to install it
//
// Response handlers run in the order in which they were installed. A replay runs the handlers that
// come before the one that asked for it. So the order decides:
//
//	client.Use(logging.New(), auth.New(session)) // a record per attempt: 401, then 200
//	client.Use(auth.New(session), logging.New()) // a record per call: 200, attempt 2
//
// An attempt that fails in a request handler, before it is sent, has a record with a code and
// without a status.
//
// # The attempt number
//
// The number counts the attempts of one request. It is kept in the request, by an [axle.Key]. Each
// time that a caller sends a request, the number starts at 1. Each replay adds one.
// Client.Do(err.Request) is a new call, but it sends the failed request again, so it adds one too.
// If a handler before logging calls Do in that way, there are two records with the same number: one
// at the end of the inner call, and one where the outer call goes on.
//
// # Redaction
//
// Redaction cannot be turned off. Only headers that are known to be harmless are shown, such as
// Content-Type and X-Request-Id. WithAllowedHeaders adds to them. The values of query parameters,
// path parameters and body fields are REDACTED if the name says that they are secret. Such names
// are access_token, clientSecret and newpassword. WithSecretNames adds to these names, and
// WithAllowedNames takes some out.
//
// A body is shown if it is JSON or a form, whose secrets have names. For every other body, plain
// text included, the record has the type and the length. A stream is never read. axle's own list of
// names has the names of credentials alone. Add the names of other private values, such as social
// security numbers, with WithSecretNames.
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

// Interceptor is an [axle.Plugin]. It may be installed in many clients. If it is installed twice in
// one client, it logs twice. It is safe for concurrent use if its logger and its level function
// are.
type Interceptor struct {
	logger  *slog.Logger // nil: slog.Default() at the time of the record
	level   func(*axle.Response, *axle.Error) slog.Level
	highest slog.Level // the highest that level can return
	headers bool
	bodies  bool
	limit   int // of bodies, in bytes

	allowedHeaders map[string]bool // in canonical form
	names          redact.Names
}

// Option configures [New]. A nil Option does nothing.
type Option func(*Interceptor)

// WithLogger sets the logger. The default, also for nil, is [slog.Default] at the time of the
// record. The logger gets the request's context.
func WithLogger(logger *slog.Logger) Option {
	return func(i *Interceptor) { i.logger = logger }
}

// WithLevel sets the function that returns the level of an attempt's record. The default, also for
// nil, is [Level], which the function may call. err is nil for a fulfilled response. resp is nil if
// no response came, and err.Response is the same response. Many goroutines call it at once.
func WithLevel(level func(resp *axle.Response, err *axle.Error) slog.Level) Option {
	return func(i *Interceptor) {
		if level == nil {
			i.level, i.highest = Level, slog.LevelError
			return
		}
		i.level, i.highest = level, math.MaxInt
	}
}

// WithHeaders adds the headers to the record: those of the request, as the handlers left them, and
// those of the response. The values of headers that are not known to be harmless are REDACTED. See
// [WithAllowedHeaders].
func WithHeaders() Option {
	return func(i *Interceptor) { i.headers = true }
}

// WithAllowedHeaders adds to the headers whose values WithHeaders shows. It may name headers that
// would count as secret. Some headers are never shown: Authorization, Proxy-Authorization, Cookie
// and Set-Cookie, those that the client declares to be sensitive (see
// [axle.Request.IsDeclaredSensitive]), and those of [WithSecretNames].
func WithAllowedHeaders(names ...string) Option {
	return func(i *Interceptor) {
		for _, name := range names {
			i.allowedHeaders[textproto.CanonicalMIMEHeaderKey(name)] = true
		}
	}
}

// WithAllowedNames shows the query parameters, path parameters and body fields with these names,
// which would be REDACTED otherwise. It is for an API that has a harmless "secretPath", for
// example. Each name is a whole name, in any spelling: "secretPath" is secret_path and Secret-Path
// too. It does not change the text of errors, which is redacted before.
func WithAllowedNames(names ...string) Option {
	return func(i *Interceptor) { i.names.Allow(names...) }
}

// WithSecretNames adds names whose values are REDACTED in headers, query parameters, path
// parameters and body fields, for example "ssn". A name also counts as a word of a longer name,
// such as customer_ssn. A name that is allowed too is REDACTED.
func WithSecretNames(names ...string) Option {
	return func(i *Interceptor) { i.names.AddSecret(names...) }
}

// WithBodies adds the first limit bytes of each body that is JSON or a form. The values of its
// secret fields, at any depth, are REDACTED, and JSON loses its white space. For every other body,
// plain text included, the record has the type and the length. If limit is zero or less, the record
// has the type and the length of every body. The cost of a record depends on the limit, and not on
// the length of the body.
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

// Install implements [axle.Plugin]. It adds a pair named "logging" to each chain of c.
func (i *Interceptor) Install(c *axle.Client) (uninstall func()) {
	l := &installed{Interceptor: i, attempts: axle.NewKey[attempt]("logging.attempt")}
	request := c.Interceptors.Request.Use(l.begin, l.beginUnsent, axle.Named("logging"))
	response := c.Interceptors.Response.Use(l.fulfilled, l.rejected, axle.Named("logging"))
	return func() {
		c.Interceptors.Request.Eject(request)
		c.Interceptors.Response.Eject(response)
	}
}

// Level is the default level of an attempt's record. It is Info if the attempt fulfilled or its
// caller cancelled it, Warn if the status was refused and is below 500, and Error for every other
// failure.
func Level(_ *axle.Response, err *axle.Error) slog.Level {
	switch {
	case err == nil, err.Code == axle.CodeCanceled:
		return slog.LevelInfo
	case err.Code == axle.CodeBadRequest, isRedirect(err):
		return slog.LevelWarn
	}
	return slog.LevelError
}

// isRedirect reports whether a status was refused because it is a redirect.
func isRedirect(err *axle.Error) bool {
	status := err.StatusCode()
	return err.Code == axle.CodeBadResponse && status >= 300 && status < 400
}

// installed is an interceptor in one client.
type installed struct {
	*Interceptor
	attempts *axle.Key[attempt]
}

// attempt is what the request handlers keep for the response handlers.
type attempt struct {
	number int
	start  time.Time
}

func (l *installed) begin(ctx context.Context, req *axle.Request) (*axle.Request, error) {
	l.count(ctx, req)
	return req, nil
}

// beginUnsent counts an attempt that an earlier request handler has rejected.
func (l *installed) beginUnsent(ctx context.Context, err *axle.Error) (*axle.Request, error) {
	l.count(ctx, err.Request)
	return nil, err
}

// count counts an attempt, unless its record cannot be enabled at any level. That saves an
// allocation.
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
	level := l.level(err.Response, err)
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

// record writes one record. An attribute that is not known is left out.
func (l *installed) record(
	ctx context.Context, level slog.Level, req *axle.Request, resp *axle.Response, err *axle.Error,
) {
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs,
		slog.String("method", cmp.Or(strings.ToUpper(req.Method), http.MethodGet)),
		slog.String("url", l.urlOf(req)))
	if resp != nil {
		attrs = append(attrs, slog.Int("status", resp.StatusCode))
	}

	this, begun := l.attempts.Get(req)
	switch {
	case resp != nil && resp.Duration() > 0:
		attrs = append(attrs, slog.Duration("duration", resp.Duration()))
	case begun:
		attrs = append(attrs, slog.Duration("duration", time.Since(this.start)))
	}
	if n, known := lengthOf(resp); known {
		attrs = append(attrs, slog.Int64("bytes", n))
	}

	// Without a count this is the first attempt, whose beginning was not enabled.
	attrs = append(attrs, slog.Int("attempt", max(this.number, 1)))
	if operation := req.Operation(); operation != "" {
		attrs = append(attrs, slog.String("operation", operation))
	}
	if err != nil {
		attrs = append(attrs,
			slog.String("code", string(err.Code)),
			slog.String("error", l.names.Text(err.Error())))
	}

	if request := l.requestDetails(req); len(request) > 0 {
		attrs = append(attrs, slog.GroupAttrs("request", request...))
	}
	if response := l.responseDetails(req, resp); len(response) > 0 {
		attrs = append(attrs, slog.GroupAttrs("response", response...))
	}
	l.log().LogAttrs(ctx, level, "http request", attrs...)
}

// lengthOf returns the length of a body in memory, or the length that the header of a stream
// announces.
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
