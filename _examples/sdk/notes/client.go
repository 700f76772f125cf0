// Package notes is a small API client as an SDK author would ship it. It has typed calls, typed
// errors, pages as an iterator, streams, retries with idempotency keys, and options for each call.
// docs/building-an-sdk.md explains its design.
//
// client.go holds the client and its options, notes.go the calls, envelope.go the interceptor that
// unwraps responses, and error.go the error that callers get.
package notes

import (
	"log/slog"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/interceptors/retry"
)

// Client calls the notes API. It is safe for concurrent use.
type Client struct {
	axle *axle.Client
}

// Option configures New.
type Option func(*config)

// config is what options set.
type config struct {
	axle    *axle.Client
	retries []retry.Option
}

// WithSession authorizes the calls by a session, for example a *store.UserStore, and refreshes the
// session when the API refuses its token.
func WithSession(s auth.Session) Option {
	return func(c *config) { c.axle.Use(auth.New(s)) }
}

// WithLogger logs every attempt, with secrets redacted.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.axle.Use(logging.New(logging.WithLogger(l))) }
}

// WithAxle gives access to the axle client beneath, for settings that the SDK has no option for, such
// as transports, interceptors and limits.
func WithAxle(configure func(*axle.Client)) Option {
	return func(c *config) { configure(c.axle) }
}

// WithRetries changes how failed calls are retried, or tells of retries: retry.WithAttempts,
// retry.OnRetry and others.
func WithRetries(opts ...retry.Option) Option {
	return func(c *config) { c.retries = append(c.retries, opts...) }
}

// New returns a client for the API at baseURL.
func New(baseURL string, opts ...Option) *Client {
	c := axle.New().SetBaseURL(baseURL).SetHeader("User-Agent", "notes-go/1").SetResponseLimit(10 << 20)
	cfg := config{axle: c, retries: []retry.Option{retry.WithIdempotencyKey(keyHeader)}}

	// The users' interceptors come first, so that they see the responses as the API sent them.
	for _, opt := range opts {
		if opt != nil {
			opt(&cfg)
		}
	}

	// Each call that writes has an idempotency key, by which it can be retried.
	c.Use(retry.New(cfg.retries...), envelope)
	c.SetErrorMapper(mapError)
	return &Client{c}
}

const keyHeader = "Idempotency-Key"

// CallOption is an option of one call. Every edit of an axle.Request is a CallOption, such as
// axle.ResponseInto, retry.Skip and auth.Skip.
type CallOption = func(*axle.Request)

// WithIdempotencyKey sets the key of a call that writes. Without this option, each such call gets a
// key of its own, which its retries keep.
func WithIdempotencyKey(key string) CallOption { return axle.WithHeader(keyHeader, key) }
