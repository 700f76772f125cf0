package axle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestError_ACodeIsAnErrorThatErrorsIsFinds(t *testing.T) {
	err := fmt.Errorf("around: %w", &axle.Error{Code: axle.CodeTimeout})
	assert.ErrorIs(t, err, axle.CodeTimeout)
	assert.NotErrorIs(t, err, axle.CodeCanceled)
	assert.EqualError(t, axle.CodeTimeout, "ETIMEDOUT")
}

func TestError_TheCauseIsSeenThrough(t *testing.T) {
	cause := &url.Error{Op: "cause", Err: errBoom}
	err := error(&axle.Error{Code: axle.CodeNetwork, Err: cause})
	assert.ErrorIs(t, err, errBoom)
	found, ok := errors.AsType[*url.Error](err)
	assert.True(t, ok)
	assert.Same(t, cause, found)
}

func TestError_TimeoutsAndCancellationsAreTheContextErrors(t *testing.T) {
	assert.ErrorIs(t, &axle.Error{Code: axle.CodeTimeout}, context.DeadlineExceeded)
	assert.ErrorIs(t, &axle.Error{Code: axle.CodeCanceled}, context.Canceled)
	assert.NotErrorIs(t, &axle.Error{Code: axle.CodeCanceled}, context.DeadlineExceeded)
	assert.NotErrorIs(t, &axle.Error{Code: axle.CodeNetwork}, context.Canceled)
	assert.True(t, (&axle.Error{Code: axle.CodeTimeout}).Timeout())
	assert.False(t, (&axle.Error{Code: axle.CodeNetwork}).Timeout())
	assert.True(t, (&url.Error{Err: &axle.Error{Code: axle.CodeTimeout}}).Timeout(), "url.Error asks it")
}

func TestError_StatusCodeIsZeroWithoutAResponse(t *testing.T) {
	assert.Zero(t, new(axle.Error).StatusCode())
	assert.Zero(t, (*axle.Error)(nil).StatusCode())
	assert.Equal(t, 418, (&axle.Error{Response: axle.NewResponse(nil, 418, nil, nil)}).StatusCode())
}

func TestError_TextNamesMethodRedactedURLStatusCodeCauseAndTheInterceptor(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errBoom }, axle.Named("breaker"))
	_, err := c.R(t.Context()).SetQueryParam("access_token", "s3cret").SetQueryParam("page", "2").Post("/users")
	text := asAxle(t, err).Error()
	for _, part := range []string{"POST", "http://axle.test/users", "page=2", "200", "ERR_INTERCEPTOR", "breaker", "boom"} {
		assert.Contains(t, text, part)
	}
	assert.NotContains(t, text, "s3cret")
}

func TestError_TextOfAnErrorWithNothingInIt(t *testing.T) {
	var none *axle.Error
	assert.NotPanics(t, func() {
		_ = none.Error()
		_ = new(axle.Error).Error()
		_ = (&axle.Error{Request: new(axle.Request), Response: new(axle.Response)}).Error()
	})
	assert.NoError(t, none.Unwrap())
	assert.NotErrorIs(t, errors.Join(none), axle.CodeTimeout)
}

func TestError_CodesOfRefusedStatuses(t *testing.T) {
	for status, code := range map[int]axle.Code{
		302: axle.CodeBadResponse, 399: axle.CodeBadResponse, 400: axle.CodeBadRequest, 404: axle.CodeBadRequest,
		499: axle.CodeBadRequest, 500: axle.CodeBadResponse, 599: axle.CodeBadResponse,
	} {
		c, _ := newFakeClient(always(status, ""))
		_, err := c.Get(t.Context(), "/")
		e := asAxle(t, err)
		assert.Equal(t, code, e.Code, "%d", status)
		assert.Equal(t, status, e.StatusCode())
	}
}

func TestError_ANetworkFailureKeepsItsCauseAndNoURL(t *testing.T) {
	c, _ := newFakeClient(func(*http.Request) (*http.Response, error) { return nil, errBoom })
	_, err := c.Get(t.Context(), "/?api_key=s3cret")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	assert.Nil(t, e.Response)
	assert.ErrorIs(t, err, errBoom)
	assert.NotContains(t, err.Error(), "s3cret")
}

func TestError_ATimeLimitAndACallersDeadlineAreTimeouts(t *testing.T) {
	for name, call := range map[string]func(c *axle.Client) error{
		"the client's": func(c *axle.Client) error {
			_, err := c.SetTimeout(time.Second).Get(context.Background(), "/")
			return err
		},
		"the request's": func(c *axle.Client) error {
			_, err := c.R(context.Background()).SetTimeout(time.Second).Get("/")
			return err
		},
		"the caller's": func(c *axle.Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := c.Get(ctx, "/")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFakeClient(hang)
				start := time.Now()
				err := call(c)
				assert.Equal(t, time.Second, time.Since(start))
				assert.Equal(t, axle.CodeTimeout, asAxle(t, err).Code)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.NotErrorIs(t, err, context.Canceled)
				assert.True(t, asAxle(t, err).Timeout())
			})
		})
	}
}

func TestError_TheTimeLimitIsOfEachDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, network := newFakeClient(hang)
		c.SetTimeout(time.Second)
		for range 2 {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				require.NoError(t, err.Request.Context().Err(), "the request's own context goes on")
				return err.Request.Replay()
			})
		}
		start := time.Now()
		_, err := c.Get(context.Background(), "/")
		require.ErrorIs(t, err, axle.CodeTimeout)
		assert.EqualValues(t, 4, network.Sent.Load())
		assert.Equal(t, 4*time.Second, time.Since(start))
	})
}

func TestError_ACancellationKeepsItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(hang)
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(errBoom) })
		_, err := c.Get(ctx, "/")
		assert.Equal(t, axle.CodeCanceled, asAxle(t, err).Code)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, errBoom)
		assert.NotErrorIs(t, err, axle.CodeTimeout)
	})
}

func TestCall_AnotherClientsErrorAndResponseKeepTheirURL(t *testing.T) {
	two := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	one, _ := newFakeClient(always(200, ""))
	path := "/refused"
	useFulfilled(one, func(*axle.Response) (*axle.Response, error) { return two.Get(context.Background(), path) })
	_, err := one.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Contains(t, e.Error(), two.BaseURL()+"/refused")
	u, err := e.Request.ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, two.BaseURL()+"/refused", u.String())
	path = "/mirror"
	resp, err := one.Get(t.Context(), "/")
	require.NoError(t, err)
	u, err = resp.Request.ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, two.BaseURL()+"/mirror", u.String())
}

func TestCall_NonNilErrorWinsOverValue(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp, errBoom })
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.EqualValues(t, 1, network.Sent.Load())

	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) { return req, errBoom }, nil)
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, errBoom)
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestCall_NilErrorPointerIsNoError(t *testing.T) {
	c, _ := newFakeClient(always(500, ""))
	var none *axle.Error
	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) { return req, none }, nil)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return axle.NewResponse(nil, 200, nil, nil), none })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp, none })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode)

	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, none })
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.ErrNoResult, "and with no value there is no result")
}

func TestCall_AnErrorOfAxlesIsPassedOnAsItIs(t *testing.T) {
	c, _ := newFakeClient(always(500, ""))
	var first *axle.Error
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { first = err; return nil, err })
	c.Interceptors.Response.Use(nil, nil)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { assert.Same(t, first, err); return nil, err })
	_, err := c.Get(t.Context(), "/")
	assert.Same(t, first, err)
}

func TestCall_AnErrorOfAxlesGetsAnEmptyRequestFilledIn(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	own := &axle.Error{Code: "E_QUOTA", Message: "spent"}
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, own })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { require.NotNil(t, err.Request); return nil, err })
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, "/here", e.Request.URL)
	assert.Nil(t, e.Response)
	assert.ErrorIs(t, err, axle.Code("E_QUOTA"))
	assert.ErrorIs(t, err, own)
	assert.Nil(t, own.Request, "the handler's own error is not modified")
}

func TestCall_APlainErrorGetsCodeInterceptorTheCallsRequestAndTheResponseAtHand(t *testing.T) {
	c, _ := newFakeClient(always(200, "at hand"))
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errBoom }, axle.Named("breaker"))
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeInterceptor, e.Code)
	assert.Equal(t, "/here", e.Request.URL)
	assert.Equal(t, "at hand", e.Response.String())
	assert.Equal(t, errBoom, e.Unwrap())
	assert.Contains(t, err.Error(), "breaker")
}

func TestCall_APlainErrorOfARejectedHandlerKeepsTheResponseAtHand(t *testing.T) {
	c, _ := newFakeClient(always(503, "at hand"))
	useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, errBoom })
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeInterceptor, e.Code)
	assert.Equal(t, 503, e.StatusCode())
	assert.NotErrorIs(t, err, axle.CodeBadResponse, "the error before is gone, as in a promise chain")
}

func TestCall_APlainErrorAroundAnErrorOfAxlesKeepsItsCodeRequestAndResponse(t *testing.T) {
	c, _ := newFakeClient(always(404, "inner"))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return nil, errors.Join(errBoom, err)
	}, axle.Named("joiner"))
	_, err := c.Get(t.Context(), "/here")
	e := asAxle(t, err)
	assert.Equal(t, axle.CodeBadRequest, e.Code)
	assert.Equal(t, "inner", e.Response.String())
	assert.Equal(t, "/here", e.Request.URL)
	assert.ErrorIs(t, err, errBoom)
	assert.Contains(t, err.Error(), "joiner")

	c.Interceptors.Response.Clear()
	other, _ := newFakeClient(unreachable)
	useRejected(c, func(*axle.Error) (*axle.Response, error) {
		_, err := other.Get(context.Background(), "/elsewhere")
		return nil, errors.Join(err)
	})
	_, err = c.Get(t.Context(), "/here")
	e = asAxle(t, err)
	assert.Equal(t, axle.CodeNetwork, e.Code)
	assert.Equal(t, "/elsewhere", e.Request.URL)
	assert.Nil(t, e.Response)
}

func TestCall_APlainErrorAroundANilErrorPointerIsAPlainError(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var none *axle.Error
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, errors.Join(errBoom, none) })
	_, err := c.Get(t.Context(), "/")
	assert.Equal(t, axle.CodeInterceptor, asAxle(t, err).Code)
	assert.ErrorIs(t, err, errBoom)
	assert.NotErrorIs(t, err, axle.CodeTimeout)
	assert.NotEmpty(t, err.Error())
}

func TestCall_NeitherValueNorErrorIsAnErrorThatNamesTheInterceptor(t *testing.T) {
	for _, status := range []int{200, 500} {
		c, _ := newFakeClient(always(status, "at hand"))
		c.Interceptors.Response.Use(
			func(context.Context, *axle.Response) (*axle.Response, error) { return nil, nil },
			func(context.Context, *axle.Error) (*axle.Response, error) { return nil, nil }, axle.Named("forgetful"))
		_, err := c.Get(t.Context(), "/")
		require.ErrorIs(t, err, axle.ErrNoResult)
		assert.Equal(t, axle.CodeInterceptor, asAxle(t, err).Code)
		assert.Equal(t, status, asAxle(t, err).StatusCode())
		assert.Contains(t, err.Error(), "forgetful")
	}
	c, network := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(nil, func(context.Context, *axle.Error) (*axle.Request, error) { return nil, nil }, axle.Named("second"))
	c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, nil }, nil, axle.Named("first"))
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.ErrNoResult)
	assert.Contains(t, err.Error(), "second")
	assert.Zero(t, network.Sent.Load())
}

func TestCall_NothingIsSwallowed(t *testing.T) {
	c, _ := newFakeClient(unreachable)
	for range 3 {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { return nil, err })
	}
	resp, err := c.Get(t.Context(), "/")
	assert.Nil(t, resp)
	assert.ErrorIs(t, err, axle.CodeNetwork)
}

func TestCall_ASharedErrorIsNeverModified(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	sentinel := &axle.Error{Code: "E_MAINTENANCE", Message: "closed for today"}
	useFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, sentinel })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { err.Request.SetHeader("X", "1"); return nil, err })
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			_, err := c.Get(context.Background(), "/"+strconv.Itoa(i))
			assert.ErrorIs(t, err, sentinel)
			if e, ok := errors.AsType[*axle.Error](err); assert.True(t, ok) {
				assert.Equal(t, "/"+strconv.Itoa(i), e.Request.URL)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, &axle.Error{Code: "E_MAINTENANCE", Message: "closed for today"}, sentinel)
}

func TestCall_TheErrorOfOneCallMayBeTheErrorOfManyOthers(t *testing.T) {
	c, _ := newFakeClient(always(500, "shared"))
	_, shared := c.Get(t.Context(), "/shared")
	useRejected(c, func(*axle.Error) (*axle.Response, error) { return nil, shared })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		err.Request.SetHeader("X", "1")
		assert.Same(t, err.Request, err.Response.Request)
		return nil, err
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := c.Get(context.Background(), "/")
			assert.ErrorIs(t, err, shared)
		})
	}
	wg.Wait()
	assert.Empty(t, asAxle(t, shared).Request.Header.Get("X"))
}

func TestErrorForm_JSONAndSlogAreRedactedAndHaveTheAttempt(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 503, "s3cret"), nil })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		_, second := err.Request.Replay()
		return nil, second
	})
	_, err := c.R(t.Context()).SetHeader("Authorization", "Bearer s3cret").SetQueryParam("api_key", "s3cret").Get("/a")
	raw, jsonErr := json.Marshal(err)
	require.NoError(t, jsonErr)
	assert.JSONEq(t, `{"code":"ERR_BAD_RESPONSE","message":"the status was refused","method":"GET",
		"url":"http://axle.test/a?api_key=REDACTED","status":503,"attempt":2}`, string(raw))

	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).LogAttrs(context.Background(), slog.LevelError, "failed", slog.Any("err", err))
	assert.Contains(t, out.String(), "err.code=ERR_BAD_RESPONSE")
	assert.Contains(t, out.String(), "err.status=503 err.attempt=2")
	assert.NotContains(t, out.String(), "s3cret")

	var none *axle.Error
	raw, jsonErr = json.Marshal(none)
	require.NoError(t, jsonErr)
	assert.Equal(t, "null", string(raw))
	assert.NotPanics(t, func() { none.LogValue() })
}

func TestErrorForm_TheCauseIsRedacted(t *testing.T) {
	c, _ := newFakeClient(func(*http.Request) (*http.Response, error) {
		return nil, &axle.Error{Code: axle.CodeNetwork, Message: "at http://x.test/?token=s3cret"}
	})
	_, err := c.Get(t.Context(), "/")
	raw, jsonErr := json.Marshal(err)
	require.NoError(t, jsonErr)
	assert.NotContains(t, string(raw), "s3cret")
}

func TestAttempt_CountsTheDispatchesOfACall(t *testing.T) {
	c, _ := newFakeClient(inTurn(503, 503, 200))
	var seen []int
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		seen = append(seen, err.Request.Attempt())
		_, second := err.Request.Replay()
		seen = append(seen, asAxle(t, second).Request.Attempt())
		return err.Request.Replay()
	})
	r := c.R(t.Context())
	resp, err := r.Get("/")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, seen)
	assert.Equal(t, 3, resp.Request.Attempt())
	assert.Zero(t, r.Attempt(), "the caller's request is not a call's")
}
