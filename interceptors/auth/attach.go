package auth

import (
	"context"
	"errors"
	"net/http"
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
	now, err := i.snapshot()
	if err != nil {
		return nil, unsent(ctx, r, err)
	}
	next := &attempt{generation: now.Generation}
	if before != nil {
		if before.anonymous {
			return r, nil
		}
		if before.generation.Login != now.Generation.Login {
			return nil, unsent(ctx, r, ErrSessionChanged)
		}
		next.freed, next.refreshed = before.freed, before.refreshed
	}
	if !now.Active {
		next.anonymous = true
		i.attempts.Set(r, next)
		return r, nil
	}
	if now, err = i.hold(ctx, now); err != nil {
		return nil, unsent(ctx, r, err)
	}
	if !now.Active || now.Generation.Login != next.generation.Login {
		return nil, unsent(ctx, r, ErrSessionChanged)
	}
	next.generation = now.Generation
	next.bearer[0] = i.authorization(now.Token)
	switch {
	case next.bearer[0] != "":
		r.Header["Authorization"] = next.bearer[:1:1]
	case before != nil && before.bearer[0] != "":
		delete(r.Header, "Authorization")
	}
	i.attempts.Set(r, next)
	return r, nil
}

// leaveAlone takes the request for none of this session's.
func (i *Interceptor) leaveAlone(r *axle.Request) *axle.Request {
	if before, _ := i.attempts.Get(r); before != nil {
		if before.bearer[0] != "" && r.Header.Get("Authorization") == before.bearer[0] {
			delete(r.Header, "Authorization") // attached by an earlier attempt
		}
		i.attempts.Set(r, nil)
	}
	return r
}

// isCallersOwn reports whether the caller authorizes the request by a header, or by the URL's userinfo.
func (i *Interceptor) isCallersOwn(r *axle.Request, before *attempt) bool {
	if !r.SetByCaller("Authorization") {
		return false
	}
	return before == nil || before.bearer[0] == "" || r.Header.Get("Authorization") != before.bearer[0]
}

// hold lets a request wait while its session refreshes, and refreshes early. Within a refresh of this session it does neither.
func (i *Interceptor) hold(ctx context.Context, now Snapshot) (Snapshot, error) {
	if Bypassed(ctx, i.marked) {
		return now, nil
	}
	if now.Refreshing {
		return i.refreshSince(ctx, now.Generation)
	}
	if !i.isDue(now) {
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
	return i.snapshot()
}

// earlyFailure is the last early refresh that failed.
type earlyFailure struct {
	generation Generation
	at         time.Time
}

const earlyPause = 10 * time.Second

// isDue reports whether the token has entered the time before its expiry in which it is refreshed early.
func (i *Interceptor) isDue(s Snapshot) bool {
	if i.early <= 0 || s.Token == nil || s.Token.Expiry.IsZero() {
		return false
	}
	now, opens := time.Now(), s.Token.Expiry.Add(-i.early)
	if now.Before(opens) || !s.Obtained.Before(opens) {
		return false
	}
	failed := i.earlyFailure.Load()
	return failed == nil || failed.generation != s.Generation || now.Sub(failed.at) >= earlyPause
}

// unsent is the error of a request that was not sent.
func unsent(ctx context.Context, r *axle.Request, err error) *axle.Error {
	return &axle.Error{Code: codeOf(ctx, axle.CodeInterceptor), Message: "auth: not sent", Request: r, Err: err}
}

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
