package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

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
	allowed, err := i.allows(r, target)
	if err != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: err}
	}
	before, _ := i.attempts.Get(r)
	if !allowed || i.isCallersOwn(r, before) {
		return i.leaveAlone(r), nil
	}
	if before != nil && r.Attempt() == 0 && !r.Nested() { // of a call that is over, whose request is sent again
		before.detach(r)
		before = nil
	}
	now, err := i.snapshot(ctx)
	if err != nil {
		return nil, i.unsent(ctx, r, err)
	}
	next := &attempt{generation: now.Generation}
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
	if now, err = i.hold(ctx, now); err != nil {
		return nil, i.unsent(ctx, r, err)
	}
	if !now.Active || now.Generation.Login != next.generation.Login {
		return nil, i.unsent(ctx, r, ErrSessionChanged)
	}
	next.generation = now.Generation
	next.bearer[0] = i.authorization(now.Token)
	switch {
	case next.bearer[0] != "":
		r.Header["Authorization"] = next.bearer[:1:1]
		r.BindHeader("Authorization", target) // a handler after this one may send it elsewhere
	case before != nil:
		before.detach(r)
	}
	i.attempts.Set(r, next)
	return r, nil
}

// leaveAlone takes the request for none of this session's.
func (i *Interceptor) leaveAlone(r *axle.Request) *axle.Request {
	if before, _ := i.attempts.Get(r); before != nil {
		before.detach(r)
		i.attempts.Set(r, nil)
	}
	return r
}

// detach removes what an earlier attempt attached: a handler's Do sends the request on as it was left.
func (a *attempt) detach(r *axle.Request) {
	if a.bearer[0] != "" && r.Header.Get("Authorization") == a.bearer[0] {
		delete(r.Header, "Authorization")
	}
}

// isCallersOwn reports whether the caller authorizes the request by a header, or by the URL's userinfo.
func (i *Interceptor) isCallersOwn(r *axle.Request, before *attempt) bool {
	if !r.SetByCaller("Authorization") {
		return strings.Contains(r.URL, "@") && hasUserinfo(r.URL)
	}
	return before == nil || before.bearer[0] == "" || r.Header.Get("Authorization") != before.bearer[0]
}

func hasUserinfo(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.User != nil
}

// hold lets a request wait while its session refreshes, and refreshes early. Within a refresh of this session it does neither.
func (i *Interceptor) hold(ctx context.Context, now Snapshot) (Snapshot, error) {
	if Bypassed(ctx, i.marked) {
		return now, nil
	}
	early := i.isInWindow(now)
	switch {
	case now.Refreshing && !early:
		return i.refreshSince(ctx, now.Generation)
	case now.Refreshing: // who joins an early refresh does not make it one that is needed
	case !early, i.hasFailed(now):
		return now, nil
	}
	after, err := i.refreshSince(context.WithValue(ctx, earlyKey{}, true), now.Generation)
	if err == nil {
		return after, nil
	}
	if ctx.Err() != nil || errors.Is(err, ErrSessionChanged) || !KeepSession(now.Token, err) {
		return after, err
	}
	i.earlyFailure.Store(&earlyFailure{now.Generation, time.Now()})
	after, snapshotErr := i.snapshot(ctx)
	if snapshotErr == nil && !after.Active { // somebody who waited too was not early: it has ended the session
		return after, err
	}
	return after, snapshotErr
}

// earlyFailure is the last early refresh that failed.
type earlyFailure struct {
	generation Generation
	at         time.Time
}

const earlyPause = 10 * time.Second

// isInWindow reports whether the token has entered the time before its expiry in which it is refreshed early. One that was
// obtained inside that time never does.
func (i *Interceptor) isInWindow(s Snapshot) bool {
	if i.early <= 0 || s.Token == nil || s.Token.Expiry.IsZero() {
		return false
	}
	opens := s.Token.Expiry.Add(-i.early)
	return !time.Now().Before(opens) && s.Obtained.Before(opens)
}

// hasFailed reports whether an early refresh of this generation has failed just now.
func (i *Interceptor) hasFailed(s Snapshot) bool {
	failed := i.earlyFailure.Load()
	return failed != nil && failed.generation == s.Generation && time.Since(failed.at) < earlyPause
}

// unsent is the error of a request that was not sent.
func (i *Interceptor) unsent(ctx context.Context, r *axle.Request, err error) *axle.Error {
	return &axle.Error{Code: codeOf(ctx, axle.CodeInterceptor), Message: "auth: not sent", Request: r, Err: &notSent{err, i}}
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

// authorizationOf is what a response's request was sent with: of a redirect, the last.
func authorizationOf(resp *axle.Response) string {
	if sent := sentRequest(resp); sent != nil {
		return sent.Header.Get("Authorization")
	}
	return resp.Request.Header.Get("Authorization")
}

func sentRequest(resp *axle.Response) *http.Request {
	if raw := resp.Raw(); raw != nil {
		return raw.Request
	}
	return nil
}
