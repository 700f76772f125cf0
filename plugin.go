package axle

import (
	"context"
	"slices"
)

// This file is what [Client.Use] installs, and the ready-made plugins of one pair of handlers.

// Plugin is a ready-made interceptor, or several that belong together.
type Plugin interface {
	// Install adds its handlers to c and returns what removes them; calls in flight keep them.
	Install(c *Client) (uninstall func())
}

// PluginFunc is a Plugin.
type PluginFunc func(c *Client) (uninstall func())

// Install calls f; a nil one installs nothing.
func (f PluginFunc) Install(c *Client) (uninstall func()) {
	if f == nil {
		return func() {}
	}
	return f(c)
}

// OnRequest returns a [Plugin] that adds one pair of handlers to the request chain, under this name.
// It takes what [Chain.Use] takes, so that an interceptor of one pair is one value:
//
//	client.Use(axle.OnRequest("request-id", setRequestID, nil, axle.Before("auth")))
//
// Without a name, errors and [Chain.String] show the file and the line that called OnRequest. The
// Plugin may be installed in many clients.
func OnRequest(
	name string,
	fulfilled func(ctx context.Context, req *Request) (*Request, error),
	rejected func(ctx context.Context, err *Error) (*Request, error),
	opts ...UseOption,
) Plugin {
	if name == "" {
		name = callSite()
	}
	opts = append(slices.Clip(opts), Named(name))
	return PluginFunc(func(c *Client) func() {
		id := c.Interceptors.Request.Use(fulfilled, rejected, opts...)
		return func() { c.Interceptors.Request.Eject(id) }
	})
}

// OnResponse returns a [Plugin] that adds one pair of handlers to the response chain, under this
// name. See [OnRequest].
func OnResponse(
	name string,
	fulfilled func(ctx context.Context, resp *Response) (*Response, error),
	rejected func(ctx context.Context, err *Error) (*Response, error),
	opts ...UseOption,
) Plugin {
	if name == "" {
		name = callSite()
	}
	opts = append(slices.Clip(opts), Named(name))
	return PluginFunc(func(c *Client) func() {
		id := c.Interceptors.Response.Use(fulfilled, rejected, opts...)
		return func() { c.Interceptors.Response.Eject(id) }
	})
}
