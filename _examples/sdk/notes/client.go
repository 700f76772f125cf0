// Package notes is a small API client as an SDK author would ship it: typed calls, typed errors, pages as an iterator, options per
// call, idempotency keys. docs/building-an-sdk.md walks through it.
//
// client.go is the client and its options, notes.go the calls, interceptors.go what they have in common.
package notes

import (
	"log/slog"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/logging"
)

// Client calls the notes API. It is safe for concurrent use.
type Client struct {
	axle *axle.Client
}

// Option configures New.
type Option func(*axle.Client)

// WithSession authorizes the calls by a session, a *store.UserStore for example, and refreshes it.
func WithSession(s auth.Session) Option { return func(c *axle.Client) { c.Use(auth.New(s)) } }

// WithLogger logs every attempt, with secrets redacted.
func WithLogger(l *slog.Logger) Option {
	return func(c *axle.Client) { c.Use(logging.New(logging.WithLogger(l))) }
}

// WithAxle gives access to the client beneath, for what the SDK has no option for: transports, interceptors, limits.
func WithAxle(configure func(*axle.Client)) Option { return configure }

// New returns a client for the API at baseURL.
func New(baseURL string, opts ...Option) *Client {
	c := axle.New().SetBaseURL(baseURL).SetHeader("User-Agent", "notes-go/1").SetResponseLimit(10 << 20)
	for _, opt := range opts { // before ours: theirs see the answers as they came
		if opt != nil {
			opt(c)
		}
	}
	c.Use(axle.PluginFunc(idempotency), axle.PluginFunc(envelope))
	return &Client{c}
}

// CallOption is an option of one call. Any edit of an axle.Request is one.
type CallOption = func(*axle.Request)

// WithIdempotencyKey sets the key of a call that writes. Without, each gets one of its own, which its replays keep.
func WithIdempotencyKey(key string) CallOption {
	return func(r *axle.Request) { r.SetHeader("Idempotency-Key", key) }
}
