package main

import (
	"context"
	"net/http"
	"sync"

	"github.com/axlehttp/axle"
)

// ETags is an interceptor of your own. It remembers each response that has an ETag, and sends the
// ETag in If-None-Match with the next request for the same URL. If the server responds with 304,
// which ValidateStatus refuses, ETags recovers with the response that it remembers.
//
// ETags has the shape of the interceptors that axle ships: a type whose Install adds its handlers
// by name, and which may be installed in many clients.
type ETags struct {
	mu    sync.Mutex
	known map[string]*axle.Response // by URL; a stored response is never modified
}

// Install implements axle.Plugin.
func (e *ETags) Install(c *axle.Client) (uninstall func()) {
	onlyGets := axle.RunWhen(func(r *axle.Request) bool { return r.Method == http.MethodGet })

	uninstallRequest := axle.OnRequest("etag", e.ask, nil, onlyGets).Install(c)
	uninstallResponse := axle.OnResponse("etag", e.remember, e.recover, onlyGets).Install(c)

	return func() {
		uninstallRequest()
		uninstallResponse()
	}
}

func (e *ETags) ask(_ context.Context, r *axle.Request) (*axle.Request, error) {
	if known := e.get(r); known != nil {
		r.Header.Set("If-None-Match", known.Header.Get("ETag"))
	}
	return r, nil
}

func (e *ETags) remember(_ context.Context, resp *axle.Response) (*axle.Response, error) {
	url, err := resp.Request.ResolveURL()
	if err != nil || resp.Header.Get("ETag") == "" || resp.Bytes() == nil {
		return resp, nil
	}

	e.mu.Lock()
	defer e.mu.Unlock()

	if e.known == nil {
		e.known = map[string]*axle.Response{}
	}
	e.known[url.String()] = axle.NewResponse(nil, resp.StatusCode, resp.Header.Clone(), resp.Bytes())
	return resp, nil
}

func (e *ETags) recover(_ context.Context, err *axle.Error) (*axle.Response, error) {
	if err.StatusCode() == http.StatusNotModified {
		// axle gives each call a copy of the response, so that the stored one stays as it is.
		if known := e.get(err.Request); known != nil {
			return known, nil
		}
	}
	return nil, err
}

func (e *ETags) get(r *axle.Request) *axle.Response {
	url, err := r.ResolveURL()
	if err != nil {
		return nil
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[url.String()]
}
