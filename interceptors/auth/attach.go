package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/axlehttp/axle"
)

// attach is the request handler: the way of a request, from top to bottom.
func (i *Interceptor) attach(ctx context.Context, r *axle.Request) (*axle.Request, error) {
	if skipped(r) || r.CrossedOrigin() {
		return i.leaveAlone(r), nil
	}
	if i.bad != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: i.bad}
	}
	target, err := r.Origin()
	if err != nil {
		return i.leaveAlone(r), nil //nolint:nilerr // dispatch refuses the URL
	}

	before, _ := i.attempts.Get(r)
	if i.isCallersOwn(r, before) {
		return i.leaveAlone(r), nil
	}
	isNewCall := r.Attempt() == 0 && !r.Nested()
	if before != nil && isNewCall {
		// The call that this attempt was of is over, and its request is sent again.
		i.detach(r, before)
		before = nil
	}

	session := i.session
	if i.choose != nil {
		if session, err = i.chosenFor(r, isNewCall); err != nil {
			return nil, i.unsent(ctx, r, err)
		}
	}
	if session == nil {
		return i.leaveAlone(r), nil
	}
	// What a session's own refresh sends carries no token of it: the one that it would get is dead, or another login's.
	within := bypassOf(ctx, session.marked)
	if within != nil && !within.attaches {
		return i.leaveAlone(r), nil
	}

	allowed, err := i.allows(r, target)
	if err != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: err}
	}
	if !allowed {
		return i.leaveAlone(r), nil
	}

	now, err := session.snapshot(ctx)
	if err != nil {
		return nil, i.unsent(ctx, r, err)
	}
	next := &attempt{session: session, generation: now.Generation}
	if before != nil {
		if before.anonymous {
			return r, nil
		}
		if before.generation.Login != now.Generation.Login {
			return nil, i.unsent(ctx, r, ErrSessionChanged)
		}
		next.freed, next.refreshed = before.freed, before.refreshed
	}
	if !now.Active {
		next.anonymous = true
		i.attempts.Set(r, next)
		return r, nil
	}

	if within == nil {
		if now, err = i.waitForRefresh(ctx, session, now); err != nil {
			return nil, i.unsent(ctx, r, err)
		}
		if !now.Active || now.Generation.Login != next.generation.Login {
			return nil, i.unsent(ctx, r, ErrSessionChanged)
		}
	}
	next.generation, next.failures = now.Generation, now.Failures

	if next.header[0], err = i.headerOf(session, now.Token); err != nil {
		return nil, i.unsent(ctx, r, err)
	}
	switch {
	case next.header[0] != "":
		r.Header[i.header] = next.header[:1:1]
		r.BindHeader(i.header, target) // a handler after this one may send it elsewhere
	case before != nil:
		i.detach(r, before)
	}
	i.attempts.Set(r, next)
	return r, nil
}

// leaveAlone takes the request for none of this session's.
func (i *Interceptor) leaveAlone(r *axle.Request) *axle.Request {
	if before, _ := i.attempts.Get(r); before != nil {
		i.detach(r, before)
		i.attempts.Set(r, nil)
	}
	return r
}

// detach removes what an earlier attempt attached: a handler's Do sends the request on as it was left.
func (i *Interceptor) detach(r *axle.Request, before *attempt) {
	if r.Header.Get(i.header) == before.header[0] {
		delete(r.Header, i.header)
	}
}

// isCallersOwn reports whether the caller authorizes the request: by the header that carries the token, or by the URL's userinfo,
// which is sent as Authorization.
func (i *Interceptor) isCallersOwn(r *axle.Request, before *attempt) bool {
	if !r.SetByCaller(i.header) {
		return i.header == defaultHeader && strings.Contains(r.URL, "@") && hasUserinfo(r.URL)
	}
	return before == nil || r.Header.Get(i.header) != before.header[0]
}

func hasUserinfo(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.User != nil
}

// unsent is the error of a request that was not sent.
func (i *Interceptor) unsent(ctx context.Context, r *axle.Request, err error) *axle.Error {
	code := axle.CodeInterceptor
	if errors.Is(err, errUnsendable) {
		code = axle.CodeBadOption
	}
	return &axle.Error{Code: codeOf(ctx, code), Message: "auth: not sent", Request: r, Err: &notSent{err, i}}
}

// notSent is why, and tells answer that a replay of its own was not.
type notSent struct {
	error
	by *Interceptor
}

func (n *notSent) Unwrap() error { return n.error }

// codeOf is the code of a wait that ended with its own context, or another.
func codeOf(ctx context.Context, other axle.Code) axle.Code {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return axle.CodeTimeout
	case ctx.Err() != nil:
		return axle.CodeCanceled
	}
	return other
}

// sentHeader returns the header's value that a response's request was sent with: of a redirect, the last.
func sentHeader(resp *axle.Response, name string) string {
	if sent := sentRequest(resp); sent != nil {
		return sent.Header.Get(name)
	}
	return resp.Request.Header.Get(name)
}

func sentRequest(resp *axle.Response) *http.Request {
	if raw := resp.Raw(); raw != nil {
		return raw.Request
	}
	return nil
}
