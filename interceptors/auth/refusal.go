package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/origin"
)

// fulfilled and rejected are the response handlers; a 401 may be either.
func (i *Interceptor) fulfilled(ctx context.Context, resp *axle.Response) (*axle.Response, error) {
	if !i.refuses(resp) {
		return resp, nil
	}
	return i.answer(ctx, refusal{resp, nil})
}

func (i *Interceptor) rejected(ctx context.Context, err *axle.Error) (*axle.Response, error) {
	if err.Response == nil || !i.refuses(err.Response) {
		return nil, err
	}
	return i.answer(ctx, refusal{err.Response, err})
}

// refuses reports whether a response calls for a refresh.
func (i *Interceptor) refuses(resp *axle.Response) bool {
	if i.shouldRefresh != nil {
		return i.shouldRefresh(resp)
	}
	return slices.Contains(i.codes, resp.StatusCode) && !needsMoreThanARefresh(resp.Header)
}

// refusal is a 401, refused or fulfilled.
type refusal struct {
	response *axle.Response
	err      *axle.Error // nil: fulfilled
}

// answer is the way of a 401, from top to bottom. A call has one free replay, for a token that was replaced while it was under
// way, and one refresh with a replay; its last 401 is its caller's.
func (i *Interceptor) answer(ctx context.Context, r refusal) (*axle.Response, error) {
	var freed, refreshed bool // here, whatever a handler nearer to the wire makes of the request
	for {
		req := r.response.Request
		sent := i.attemptOf(r.response)
		if sent == nil || Bypassed(ctx, sent.session.marked) {
			return r.stands(nil)
		}
		now, err := sent.session.snapshot(ctx)
		switch {
		case err != nil:
			return r.fails(ctx, err)
		case !now.Active || now.Generation.Login != sent.generation.Login:
			return r.stands(nil)
		}
		next := *sent
		if now.Generation == sent.generation {
			if sent.refreshed || refreshed {
				return r.stands(nil)
			}
			r.drain()
			if now.Failures != sent.failures && now.Failure != nil {
				// A refresh that settled while the call was under way was for this 401 too.
				return r.fails(ctx, now.Failure)
			}
			next.refreshed, refreshed = true, true
			i.attempts.Set(req, &next)
			after, err := sent.session.refreshSince(ctx, sent.generation, ask{refused: r.copy()})
			switch {
			case errors.Is(err, ErrSessionChanged), err == nil && after.Generation.Login != sent.generation.Login:
				return r.stands(ErrSessionChanged)
			case err != nil:
				return r.fails(ctx, err)
			}
		} else {
			if sent.freed || freed {
				return r.stands(nil)
			}
			next.freed, freed = true, true
			i.attempts.Set(req, &next)
			r.drain()
		}
		resp, err := req.Replay()
		var failed *axle.Error
		var held *notSent
		switch {
		case err == nil && !i.refuses(resp):
			return resp, nil
		case err == nil:
			r = refusal{resp, nil}
		case errors.Is(err, ErrSessionChanged):
			return r.stands(ErrSessionChanged)
		case errors.As(err, &held) && held.by == i: // it was held for a refresh, which failed
			return r.fails(ctx, held.error)
		case !errors.As(err, &failed):
			return nil, err
		case failed.Response == nil && failed.Code == axle.CodeBadOption: // its body cannot be sent again
			return r.stands(err)
		case failed.Response != nil && i.refuses(failed.Response):
			r = refusal{failed.Response, failed}
		default:
			return nil, err
		}
	}
}

// attemptOf returns what was sent, if the session was in play: its token, or its cookies, at an allowed origin, in the end.
func (i *Interceptor) attemptOf(resp *axle.Response) *attempt {
	sent, _ := i.attempts.Get(resp.Request)
	if sent == nil || sent.anonymous || skipped(resp.Request) {
		return nil
	}
	if attached := sent.header[0]; attached != "" && sentHeader(resp, i.header) != attached {
		return nil
	}
	if r := sentRequest(resp); r != nil {
		if allowed, _ := i.allows(resp.Request, origin.Of(r.URL)); !allowed {
			return nil
		}
	}
	return sent
}

// drainLimit and drainTime bound what is kept of a refused body, in bytes, and how long it is waited for.
const (
	drainLimit = 1 << 20
	drainTime  = 5 * time.Second
)

// drain reads and closes the body of a stream, so that its connection is free while the call waits.
func (r refusal) drain() {
	if r.response.Bytes() != nil {
		return
	}
	stream := r.response.Stream()
	clock := time.AfterFunc(drainTime, func() { _ = stream.Close() })
	body, _ := io.ReadAll(io.LimitReader(stream, drainLimit))
	clock.Stop()
	r.response.SetBytes(body) // closes it
}

// copy returns the response for Challenge. The refresh may outlive the call, whose handlers and caller may modify the original.
func (r refusal) copy() *axle.Response {
	c := *r.response
	c.Header, c.Request = c.Header.Clone(), c.Request.Clone()
	return &c
}

// stands is the 401 itself, with the reason, if there is one, why it was not mended.
func (r refusal) stands(reason error) (*axle.Response, error) {
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

// fails is the error of a refresh, with the 401 that it was for.
func (r refusal) fails(ctx context.Context, refreshErr error) (*axle.Response, error) {
	e := &axle.Error{
		Code: axle.CodeBadResponse, Message: "auth: the refresh failed", Request: r.response.Request, Response: r.response, Err: refreshErr,
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

// both is the failure of a refresh and the 401 that it was for.
type both struct {
	refresh  error
	original *axle.Error
}

func (b *both) Error() string   { return b.refresh.Error() }
func (b *both) Unwrap() []error { return []error{b.refresh, b.original} }
