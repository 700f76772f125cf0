package axle

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/axlehttp/axle/internal/cookies"
)

// Client sends requests through two chains of interceptors. Make one with [New].
//
// It is safe for concurrent use, setters too: a call in flight keeps the settings and the
// interceptors it started with. Bad settings fail the calls, not the setter.
type Client struct {
	Interceptors Interceptors

	mu       sync.Mutex // orders the setters; calls load the snapshot
	settings atomic.Pointer[settings]
}

// New returns a client that is ready to use: a pooled transport that honours the proxy environment,
// a cookie jar, no time limit, no response limit, and statuses from 200 to 299 fulfilling.
func New() *Client {
	c := &Client{Interceptors: Interceptors{
		Request:  newChain[*Request](LIFO),
		Response: newChain[*Response](FIFO),
	}}
	c.settings.Store(&settings{})
	return c.update(func(s *settings) {
		s.transport, s.jar, s.validate = defaultTransport(), cookies.NewJar(), isSuccess
		s.maxRedirects = MaxRedirects
	})
}

// Clone returns a client with the same settings and interceptors, independent from then on. An
// interceptor's id is valid in both. The transport and the jar are shared.
func (c *Client) Clone() *Client {
	d := &Client{Interceptors: Interceptors{
		Request:  c.Interceptors.Request.clone(),
		Response: c.Interceptors.Response.clone(),
	}}
	d.settings.Store(c.settings.Load())
	return d
}

// Use installs plugins, in argument order. Nil plugins are skipped. To uninstall a plugin later,
// call its Install directly and keep the function that it returns.
func (c *Client) Use(plugins ...Plugin) *Client {
	for _, p := range plugins {
		if p != nil {
			p.Install(c)
		}
	}
	return c
}

// String returns the names of both chains in running order, one chain a line, for people. It shows no
// setting and so no secret.
//
//	request chain:  request-id -> auth -> logging
//	response chain: logging -> auth
func (c *Client) String() string {
	return "request chain:  " + cmp.Or(c.Interceptors.Request.String(), "none") +
		"\nresponse chain: " + cmp.Or(c.Interceptors.Response.String(), "none")
}

// R starts a fluent request. A nil context fails the call.
func (c *Client) R(ctx context.Context) *Request {
	r := &Request{Header: http.Header{}, Query: url.Values{}, client: c}
	return r.SetContext(ctx)
}

// Get sends a GET. The edits are applied to the request first, in order.
func (c *Client) Get(ctx context.Context, url string, edits ...func(*Request)) (*Response, error) {
	return c.send(ctx, http.MethodGet, url, nil, edits)
}

// Head sends a HEAD.
func (c *Client) Head(ctx context.Context, url string, edits ...func(*Request)) (*Response, error) {
	return c.send(ctx, http.MethodHead, url, nil, edits)
}

// Options sends an OPTIONS.
func (c *Client) Options(ctx context.Context, url string, edits ...func(*Request)) (*Response, error) {
	return c.send(ctx, http.MethodOptions, url, nil, edits)
}

// Delete sends a DELETE.
func (c *Client) Delete(ctx context.Context, url string, edits ...func(*Request)) (*Response, error) {
	return c.send(ctx, http.MethodDelete, url, nil, edits)
}

// Post sends a POST with a body; see [Request.SetBody].
func (c *Client) Post(ctx context.Context, url string, body any, edits ...func(*Request)) (*Response, error) {
	return c.send(ctx, http.MethodPost, url, body, edits)
}

// Put sends a PUT with a body.
func (c *Client) Put(ctx context.Context, url string, body any, edits ...func(*Request)) (*Response, error) {
	return c.send(ctx, http.MethodPut, url, body, edits)
}

// Patch sends a PATCH with a body.
func (c *Client) Patch(
	ctx context.Context, url string, body any, edits ...func(*Request),
) (*Response, error) {
	return c.send(ctx, http.MethodPatch, url, body, edits)
}

func (c *Client) send(
	ctx context.Context, method, url string, body any, edits []func(*Request),
) (*Response, error) {
	return c.Do(c.newRequest(ctx, method, url, body, edits))
}

func (c *Client) newRequest(
	ctx context.Context, method, url string, body any, edits []func(*Request),
) *Request {
	r := &Request{client: c}
	if len(edits) > 0 { // they may write to its maps; nobody else sees it
		r = c.R(ctx)
	}
	r.SetContext(ctx).SetMethod(method).SetURL(url)
	if body != nil {
		r.SetBody(body)
	}
	return r.With(edits...)
}
