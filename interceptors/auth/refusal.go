package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/drained"
	"github.com/axlehttp/axle/internal/origin"
)

// refusal is a response that calls for a refresh, a 401 unless options say otherwise.
type refusal struct {
	response *axle.Response

	// err is the error that the response came with. It is nil if the response was fulfilled.
	err *axle.Error
}

// fulfilled is the response handler for fulfilled responses.
func (i *Interceptor) fulfilled(ctx context.Context, resp *axle.Response) (*axle.Response, error) {
	if !i.refuses(resp) {
		return resp, nil
	}
	return i.handleRefusal(ctx, refusal{resp, nil})
}

// rejected is the response handler for errors.
func (i *Interceptor) rejected(ctx context.Context, err *axle.Error) (*axle.Response, error) {
	if err.Response == nil || !i.refuses(err.Response) {
		return nil, err
	}
	return i.handleRefusal(ctx, refusal{err.Response, err})
}

// refuses reports whether a response calls for a refresh.
func (i *Interceptor) refuses(resp *axle.Response) bool {
	if i.shouldRefresh != nil {
		return i.shouldRefresh(resp)
	}
	return slices.Contains(i.codes, resp.StatusCode) && !needsMoreThanARefresh(resp.Header)
}

// handleRefusal refreshes the session if that may help, and replays the call.
//
// A call has one free replay, for a token that was replaced while the call was under way, and one
// refresh with a replay. The refusal after these is the caller's.
func (i *Interceptor) handleRefusal(ctx context.Context, r refusal) (*axle.Response, error) {
	// The request carries the same two marks, for a handler that sends it again. These hold even if
	// a handler nearer to the wire drops them from the request.
	var hadFreeReplay, hadRefresh bool

	for {
		// A refusal that is not the session's stands, and so does one in a login that is over.
		sent := i.attachmentOf(r.response)
		if sent == nil || Bypassed(ctx, sent.session.marked) {
			return r.stand(nil)
		}
		now, err := sent.session.snapshot(ctx)
		if err != nil {
			return r.fail(ctx, err)
		}
		if !now.Active || now.Generation.Login != sent.generation.Login {
			return r.stand(nil)
		}

		// A token that has been replaced since costs no refresh.
		isReplaced := now.Generation != sent.generation
		isSpent := sent.hadRefresh || hadRefresh
		if isReplaced {
			isSpent = sent.hadFreeReplay || hadFreeReplay
		}
		if isSpent {
			return r.stand(nil)
		}

		// This frees the connection while the call waits, and for the replay.
		drained.IntoMemory(r.response)

		// A refresh that failed while the call was under way was for this refusal, too.
		if !isReplaced && failuresOf(now) != sent.failures && now.Failure != nil {
			return r.fail(ctx, now.Failure)
		}

		req, next := r.response.Request, *sent
		if isReplaced {
			next.hadFreeReplay, hadFreeReplay = true, true
		} else {
			next.hadRefresh, hadRefresh = true, true
		}
		i.attachments.Set(req, &next)

		if !isReplaced {
			err := sent.refresh(ctx, r)
			if errors.Is(err, ErrSessionChanged) {
				return r.stand(ErrSessionChanged)
			}
			if err != nil {
				return r.fail(ctx, err)
			}
		}

		resp, err := req.Replay()
		var unsent *notSent
		switch {
		case errors.Is(err, ErrSessionChanged):
			// The replay was not sent, because the login is over.
			return r.stand(ErrSessionChanged)

		case errors.As(err, &unsent) && unsent.by == i:
			// The replay was not sent, because it waited for a refresh that failed.
			return r.fail(ctx, unsent.error)

		case isUnrepeatable(err):
			// The replay was not sent, because the request's body cannot be read again.
			return r.stand(err)
		}

		var refusedAgain bool
		if r, refusedAgain = i.refusalIn(resp, err); !refusedAgain {
			return resp, err
		}
	}
}

// isUnrepeatable reports whether a replay was not sent because of the request itself.
func isUnrepeatable(err error) bool {
	failed, ok := errors.AsType[*axle.Error](err)
	return ok && failed.Response == nil && failed.Code == axle.CodeBadOption
}

// refusalIn returns the refusal in the outcome of a call, if the outcome is one.
func (i *Interceptor) refusalIn(resp *axle.Response, err error) (r refusal, ok bool) {
	if err == nil {
		return refusal{resp, nil}, i.refuses(resp)
	}

	failed, ok := errors.AsType[*axle.Error](err)
	if !ok || failed.Response == nil {
		return refusal{}, false
	}
	return refusal{failed.Response, failed}, i.refuses(failed.Response)
}

// refresh refreshes the session that the attachment is of, unless it has moved on already. If the
// login is over, the error is or holds [ErrSessionChanged].
func (a *attachment) refresh(ctx context.Context, r refusal) error {
	after, err := a.session.refreshSince(ctx, a.generation, false, r.response)
	if err == nil && after.Generation.Login != a.generation.Login {
		return ErrSessionChanged
	}
	return err
}

// attachmentOf returns what the response's request was sent with. It is nil if the refusal is not
// the session's: the session's token was not sent, or the response came from an origin that the
// token may not go to.
func (i *Interceptor) attachmentOf(resp *axle.Response) *attachment {
	sent, _ := i.attachments.Get(resp.Request)
	if sent == nil || sent.anonymous || skipped(resp.Request) {
		return nil
	}

	// A handler after this one may have changed the header, and a redirect may have dropped it.
	if attached := sent.header[0]; attached != "" && sentHeader(resp, i.header) != attached {
		return nil
	}

	// After redirects, the last request is the one that was refused.
	if last := sentRequest(resp); last != nil {
		if allowed, _ := i.allows(resp.Request, origin.Of(last.URL)); !allowed {
			return nil
		}
	}
	return sent
}

// stand returns the refusal itself. The reason says why it was not mended. A nil reason adds
// nothing.
func (r refusal) stand(reason error) (*axle.Response, error) {
	if r.err == nil {
		return r.response, nil
	}
	if reason == nil {
		return nil, r.err
	}

	e := *r.err
	e.Err = reason
	if r.err.Err != nil {
		e.Err = fmt.Errorf("%w (%w)", r.err.Err, reason)
	}
	return nil, &e
}

// fail returns the error of a refresh, which holds the refusal that the refresh was for. If the
// caller's own context ended the wait, the error's code says so.
func (r refusal) fail(ctx context.Context, refreshErr error) (*axle.Response, error) {
	e := &axle.Error{
		Code:     axle.CodeBadResponse,
		Message:  "auth: the refresh failed",
		Request:  r.response.Request,
		Response: r.response,
		Err:      refreshErr,
	}
	if status := r.response.StatusCode; status >= 400 && status <= 499 {
		e.Code = axle.CodeBadRequest
	}
	if r.err != nil {
		e.Code, e.Err = r.err.Code, &both{refreshErr, r.err}
	}

	if code := codeOf(ctx, e.Code); code != e.Code {
		e.Code, e.Message = code, "auth: the wait for the refresh ended"
	}
	return nil, e
}

// both is the failure of a refresh and the refusal that the refresh was for.
type both struct {
	refresh error
	refusal *axle.Error
}

func (b *both) Error() string   { return b.refresh.Error() }
func (b *both) Unwrap() []error { return []error{b.refresh, b.refusal} }
