package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/axlehttp/axle"
)

// attachment is what the interceptor knows of one attempt of a call. It is attached to the request
// and never modified.
type attachment struct {
	session *tracked

	// generation is the session's when the attempt was sent. Its Login is that of the call's first
	// attempt.
	generation Generation

	// header holds the value that was attached. An empty value is none: the session's tokens are
	// cookies. It is an array so that the request's header can share its memory.
	header [1]string

	// failures is the session's count of failed refreshes when the attempt was sent. Its low half
	// tells whether one has failed since, and every waiting call keeps it in memory.
	failures uint32

	// anonymous: the session was not active when the call was first made.
	anonymous bool

	hadFreeReplay bool // the call has spent its free replay
	hadRefresh    bool // the call has spent its refresh
}

// failuresOf returns the session's count of failed refreshes as an attachment keeps it.
func failuresOf(s Snapshot) uint32 { return uint32(s.Failures) } //nolint:gosec // the low half is meant

// attach is the request handler. It finds out which session a request belongs to, and attaches the
// session's token.
func (i *Interceptor) attach(ctx context.Context, r *axle.Request) (*axle.Request, error) {
	// After a redirect to another origin, and after Skip, the request is none of the session's.
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

	// A caller who authorizes the request does so in the place of the session.
	before, _ := i.attachments.Get(r)
	if i.isAuthorizedByCaller(r, before) {
		return i.leaveAlone(r), nil
	}

	// The call that the attachment is of may be over, and its request sent again as a new call. The
	// new call has no login yet.
	isNewCall := r.Attempt() == 0 && !r.Nested()
	if before != nil && isNewCall {
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

	// The requests of a session's own refresh carry no token of the session. They would get the
	// refused token, or one of another login.
	bypass := bypassOf(ctx, session.marked)
	if bypass != nil && !bypass.attaches {
		return i.leaveAlone(r), nil
	}

	allowed, err := i.allows(r, target)
	if err != nil {
		return nil, &axle.Error{Code: axle.CodeBadOption, Request: r, Err: err}
	}
	if !allowed {
		return i.leaveAlone(r), nil
	}

	if err := i.attachSession(ctx, r, session, target, before, bypass != nil); err != nil {
		return nil, i.unsent(ctx, r, err)
	}
	return r, nil
}

// attachSession attaches the session's token to a request that goes to the origin target. If the
// session refreshes and the token will not do, it waits for the outcome, unless the request is the
// session's own or has a response already. before is what the call's earlier attempt was sent with.
// It is nil in the first attempt.
func (i *Interceptor) attachSession(
	ctx context.Context, r *axle.Request, session *tracked, target string,
	before *attachment, isSessionsOwn bool,
) error {
	now, err := session.snapshot(ctx)
	if err != nil {
		return err
	}
	login := now.Generation.Login
	next := &attachment{session: session, generation: now.Generation}

	// A call belongs to the login of its first attempt. In another login it is not sent.
	if before != nil {
		if before.anonymous {
			return nil
		}
		if before.generation.Login != login {
			return ErrSessionChanged
		}
		next.hadFreeReplay, next.hadRefresh = before.hadFreeReplay, before.hadRefresh
	}

	if !now.Active {
		next.anonymous = true
		i.attachments.Set(r, next)
		return nil
	}

	// A request that a handler has answered is not sent, and needs no fresh token. The wait may end in
	// another login.
	if !isSessionsOwn && !r.Responded() {
		if now, err = i.waitForRefresh(ctx, session, now); err != nil {
			return err
		}
		if !now.Active || now.Generation.Login != login {
			return ErrSessionChanged
		}
	}
	next.generation, next.failures = now.Generation, failuresOf(now)

	if next.header[0], err = i.headerOf(session, now.Token); err != nil {
		return err
	}
	switch {
	case next.header[0] != "":
		r.Header[i.header] = next.header[:1:1]
		// A handler after this one may send the request to another origin. Then axle drops a bound
		// header.
		r.BindHeader(i.header, target)
	case before != nil:
		i.detach(r, before)
	}
	i.attachments.Set(r, next)
	return nil
}

// leaveAlone returns the request without anything of the session's. It also removes what an earlier
// attempt left there.
func (i *Interceptor) leaveAlone(r *axle.Request) *axle.Request {
	if before, _ := i.attachments.Get(r); before != nil {
		i.detach(r, before)
		i.attachments.Set(r, nil)
	}
	return r
}

// detach removes the header that an earlier attempt attached. It is still there if a handler sends
// the request again by Client.Do.
func (i *Interceptor) detach(r *axle.Request, before *attachment) {
	if r.Header.Get(i.header) == before.header[0] {
		delete(r.Header, i.header)
	}
}

// isAuthorizedByCaller reports whether the caller authorizes the request: by the header that
// carries the token, or by userinfo in the URL, which is sent as Authorization. before is what the
// interceptor attached to the request itself, or nil.
func (i *Interceptor) isAuthorizedByCaller(r *axle.Request, before *attachment) bool {
	if !r.SetByCaller(i.header) {
		return i.header == defaultHeader && strings.Contains(r.URL, "@") && hasUserinfo(r.URL)
	}
	return before == nil || r.Header.Get(i.header) != before.header[0]
}

func hasUserinfo(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.User != nil
}

// unsent returns the error of a request that the interceptor did not let go out.
func (i *Interceptor) unsent(ctx context.Context, r *axle.Request, err error) *axle.Error {
	code := axle.CodeInterceptor
	if errors.Is(err, errUnsendable) {
		code = axle.CodeBadOption
	}
	return &axle.Error{
		Code:    codeOf(ctx, code),
		Message: "auth: not sent",
		Request: r,
		Err:     &notSent{err, i},
	}
}

// notSent is the reason why a request was not sent. By it handleRefusal recognizes a replay that
// its own interceptor stopped.
type notSent struct {
	error
	by *Interceptor
}

func (n *notSent) Unwrap() error { return n.error }

// codeOf returns the code of an error that ended a wait: CodeTimeout or CodeCanceled if ctx ended
// the wait, and else the other code.
func codeOf(ctx context.Context, other axle.Code) axle.Code {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return axle.CodeTimeout
	case ctx.Err() != nil:
		return axle.CodeCanceled
	}
	return other
}

// sentHeader returns the value that a header had when the response's request was sent. After
// redirects this is the last request.
func sentHeader(resp *axle.Response, name string) string {
	if sent := sentRequest(resp); sent != nil {
		return sent.Header.Get(name)
	}
	return resp.Request.Header.Get(name)
}

// sentRequest returns the request that the response is for, as it was sent. It is nil for a
// synthetic response.
func sentRequest(resp *axle.Response) *http.Request {
	if raw := resp.Raw(); raw != nil {
		return raw.Request
	}
	return nil
}
