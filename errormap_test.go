package axle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// sdkError is the error type of an SDK. It wraps the call's if inner is set.
type sdkError struct {
	status int
	inner  error
}

func (e *sdkError) Error() string { return fmt.Sprint("sdk: status ", e.status) }
func (e *sdkError) Unwrap() error { return e.inner }

func wrapping(err *axle.Error) error     { return &sdkError{err.StatusCode(), err} }
func withoutCause(err *axle.Error) error { return &sdkError{status: err.StatusCode()} }

// callError returns the *axle.Error that err leads to.
func callError(t *testing.T, err error) *axle.Error {
	t.Helper()
	e, ok := errors.AsType[*axle.Error](err)
	require.True(t, ok, "%T leads to no *axle.Error: %v", err, err)
	return e
}

// requireType returns err, which must be an E itself. An error that wraps one is not enough.
func requireType[E error](t *testing.T, err error) E {
	t.Helper()
	e, ok := err.(E) //nolint:errorlint // the error itself is meant
	require.True(t, ok, "%T: %v", err, err)
	return e
}

func TestErrorMapper_CallersOfEveryKindGetTheMappersError(t *testing.T) {
	ctx := t.Context()
	for name, send := range map[string]func(c *axle.Client) error{
		"Do":         func(c *axle.Client) error { _, err := c.Do(c.R(ctx).SetURL("/500")); return err },
		"Do of nil":  func(c *axle.Client) error { _, err := c.Do(nil); return err },
		"a verb":     func(c *axle.Client) error { _, err := c.Get(ctx, "/500"); return err },
		"Execute":    func(c *axle.Client) error { _, err := c.R(ctx).Execute("PUT", "/500"); return err },
		"typed":      func(c *axle.Client) error { _, err := axle.Get[string](ctx, c, "/500"); return err },
		"typed Do":   func(c *axle.Client) error { _, err := axle.Do[string](c, nil); return err },
		"a stream":   func(c *axle.Client) error { _, err := c.R(ctx).SetStream(true).Get("/500"); return err },
		"decoding":   func(c *axle.Client) error { _, err := axle.Get[int](ctx, c, "/200"); return err },
		"bad option": func(c *axle.Client) error { _, err := c.Post(ctx, "/", make(chan int)); return err },
		"bad URL":    func(c *axle.Client) error { _, err := c.Get(ctx, "ftp://x/"); return err },
		"network":    func(c *axle.Client) error { _, err := c.Get(ctx, "/down"); return err },
		"a handler": func(c *axle.Client) error {
			useFulfilled(c, fails)
			_, err := c.Get(ctx, "/200")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(byPath)
			plain := send(c)
			requireType[*axle.Error](t, plain)

			c, _ = newFakeClient(byPath)
			mapped := send(c.SetErrorMapper(wrapping))
			assert.Equal(t, asAxle(t, plain).Code, callError(t, mapped).Code)
			assert.Equal(t, asAxle(t, plain).StatusCode(), requireType[*sdkError](t, mapped).status, "the mapper's error itself")
		})
	}
}

// byPath answers /200 and /500 with that status and other paths not at all.
func byPath(r *http.Request) (*http.Response, error) {
	switch r.URL.Path {
	case "/200":
		return reply(r, 200, "text"), nil
	case "/500":
		return reply(r, 500, "text"), nil
	}
	return nil, errBoom
}

func TestErrorMapper_TheErrorLeadsToTheCallsErrorWhateverTheMapperReturns(t *testing.T) {
	for name, mapper := range map[string]func(*axle.Error) error{
		"the call's error wrapped":  wrapping,
		"an error without a cause":  withoutCause,
		"the cause alone":           func(err *axle.Error) error { return &sdkError{err.StatusCode(), err.Err} },
		"another call's error":      func(err *axle.Error) error { return &sdkError{err.StatusCode(), &axle.Error{Code: "OTHER"}} },
		"two errors, another first": func(err *axle.Error) error { return &sdkError{500, errors.Join(&axle.Error{Code: "OTHER"}, err)} },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(byPath)
			_, err := c.SetErrorMapper(mapper).Get(t.Context(), "/500")
			assert.EqualError(t, err, "sdk: status 500", "the mapper's text alone")

			own, ok := errors.AsType[*sdkError](err)
			require.True(t, ok)
			assert.Equal(t, 500, own.status)

			call := callError(t, err)
			assert.Equal(t, axle.CodeBadResponse, call.Code)
			assert.Equal(t, "text", call.Response.String())
			assert.Equal(t, "/500", call.Request.URL)
			assert.ErrorIs(t, err, axle.CodeBadResponse)
			assert.ErrorIs(t, err, error(call))

			body, ok := axle.ErrorBody[string](err)
			assert.True(t, ok)
			assert.Equal(t, "text", body)
		})
	}
}

func TestErrorMapper_OfATimeLimitAndACancellationIsStillOne(t *testing.T) {
	c, _ := newFakeClient(hang)
	c.SetErrorMapper(withoutCause)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	_, err := c.Get(ctx, "/")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, errBoom)

	_, err = c.R(t.Context()).SetTimeout(1).Get("/")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
}

func TestErrorMapper_NilLeavesTheError(t *testing.T) {
	for name, mapper := range map[string]func(*axle.Error) error{
		"no mapper":                nil,
		"a nil result":             func(*axle.Error) error { return nil },
		"a nil pointer of its own": func(*axle.Error) error { return (*sdkError)(nil) },
		"a nil *Error":             func(*axle.Error) error { return (*axle.Error)(nil) },
		"the error itself":         func(err *axle.Error) error { return err },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(byPath)
			_, err := c.SetErrorMapper(wrapping).SetErrorMapper(mapper).Get(t.Context(), "/500")
			requireType[*axle.Error](t, err)
			assert.Equal(t, 500, callError(t, err).StatusCode())
		})
	}
}

func TestErrorMapper_AnErrorThatItMakesIsTheOneThatCallersFind(t *testing.T) {
	c, _ := newFakeClient(byPath)
	_, err := c.SetErrorMapper(func(err *axle.Error) error {
		changed := *err
		changed.Message = "changed"
		return &changed
	}).Get(t.Context(), "/500")
	requireType[*axle.Error](t, err)
	assert.Equal(t, "changed", callError(t, err).Message)
}

func TestErrorMapper_HandlersAndOnEndGetTheError(t *testing.T) {
	// The innermost call is of a handler: one that goes through the same chains, sends its own
	// request again, and looks at the error that it gets.
	inner := map[string]func(c *axle.Client, r *axle.Request) error{
		"Do":     func(c *axle.Client, r *axle.Request) error { _, err := c.Do(r); return err },
		"verb":   func(_ *axle.Client, r *axle.Request) error { _, err := r.Get("/500"); return err },
		"typed":  func(c *axle.Client, r *axle.Request) error { _, err := axle.Do[string](c, r); return err },
		"Replay": func(_ *axle.Client, r *axle.Request) error { _, err := r.Replay(); return err },
	}
	for name, again := range inner {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(byPath)
			times := 0
			c.SetErrorMapper(func(err *axle.Error) error { times++; return wrapping(err) })
			var e ends
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				if err.Request.Nested() {
					return nil, err
				}
				failed := again(c, err.Request)
				requireType[*axle.Error](t, failed)
				return nil, failed
			})
			r := c.R(t.Context())
			r.OnEnd(e.note)
			_, err := r.Get("/500")
			requireType[*sdkError](t, err)
			assert.Equal(t, 1, times)
			assert.Equal(t, []string{"ERR_BAD_RESPONSE"}, e.taken())
		})
	}
}

// axle cannot tell a call that a handler starts anew from any other call. Its error leads to the
// *Error, and keeps code, request and response when the handler passes it on.
func TestErrorMapper_ACallThatAHandlerStartsAnewIsMappedAndKeepsItsCode(t *testing.T) {
	for name, mapper := range map[string]func(*axle.Error) error{"wrapping": wrapping, "without a cause": withoutCause} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(byPath)
			c.SetErrorMapper(mapper)
			c.Interceptors.Request.Use(func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
				if r.URL != "/200" {
					return r, nil
				}
				_, err := c.Get(ctx, "/500")
				assert.Equal(t, axle.CodeBadResponse, callError(t, err).Code)
				return nil, err
			}, nil)
			_, err := c.Get(t.Context(), "/200")
			assert.ErrorIs(t, err, axle.CodeBadResponse)
			assert.Equal(t, 500, callError(t, err).StatusCode())
		})
	}
}

func TestErrorMapper_RunsBeforeTheFunctionsOfOnEndAlsoIfItPanics(t *testing.T) {
	c, _ := newFakeClient(byPath)
	var e ends
	c.SetErrorMapper(func(*axle.Error) error { e.add("mapper"); panic("boom") })
	r := c.R(t.Context())
	r.OnEnd(e.note)
	assert.PanicsWithValue(t, "boom", func() { _, _ = r.Get("/500") })
	assert.Equal(t, []string{"mapper", "ERR_BAD_RESPONSE"}, e.taken())
}

func TestErrorMapper_TheBridgeAndReadingAResponseDoWithoutIt(t *testing.T) {
	c, _ := newFakeClient(byPath)
	c.SetErrorMapper(withoutCause)
	_, err := c.HTTPClient().Do(newRequest(t, "GET", "http://axle.test/down", nil)) //nolint:bodyclose // none
	assert.NotErrorAs(t, err, new(*sdkError))
	assert.Equal(t, axle.CodeNetwork, callError(t, err).Code)

	resp, err := c.Get(t.Context(), "/200")
	require.NoError(t, err)
	requireType[*axle.Error](t, resp.Decode(new(int)))
}

func TestErrorMapper_ACallHasTheOneItStartedWithAndACloneHasACopy(t *testing.T) {
	c, _ := newFakeClient(byPath)
	c.SetErrorMapper(wrapping)
	d := c.Clone()
	useRequest(c, func(*axle.Request) { c.SetErrorMapper(nil) })
	_, err := c.Get(t.Context(), "/500")
	requireType[*sdkError](t, err)
	_, err = c.Get(t.Context(), "/500")
	requireType[*axle.Error](t, err)
	_, err = d.Get(t.Context(), "/500")
	requireType[*sdkError](t, err)
}

func TestErrorBody_IsTheBodyOfAFailedCallDecodedByItsContentType(t *testing.T) {
	type problem struct {
		XMLName struct{} `json:"-" xml:"problem"`
		Detail  string   `json:"detail" xml:"detail"`
	}
	want := problem{Detail: "no such item"}
	for name, test := range map[string]struct {
		status            int
		contentType, body string
		found             bool
	}{
		"JSON":                      {404, "application/json", `{"detail":"no such item"}`, true},
		"problem+json":              {404, "application/problem+json; charset=utf-8", `{"detail":"no such item"}`, true},
		"without a type":            {500, "", `{"detail":"no such item"}`, true},
		"XML":                       {400, "application/xml", `<problem><detail>no such item</detail></problem>`, true},
		"HTML":                      {502, "text/html", `<html>Bad Gateway</html>`, false},
		"another JSON":              {400, "application/json", `["no such item"]`, false},
		"half decoded":              {400, "application/json", `{"detail":"no such item"`, false},
		"an empty body":             {500, "application/json", ``, false},
		"of a decoding that failed": {200, "application/json", `{"detail":"no such item"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if test.contentType != "" {
					w.Header().Set("Content-Type", test.contentType)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			})
			_, err := axle.Get[int](t.Context(), c, "/")
			require.Error(t, err)
			got, ok := axle.ErrorBody[problem](fmt.Errorf("outer: %w", err))
			assert.Equal(t, test.found, ok)
			if test.found {
				assert.Equal(t, want, got)
			} else {
				assert.Zero(t, got)
			}

			text, ok := axle.ErrorBody[string](err)
			assert.Equal(t, test.body != "", ok)
			assert.Equal(t, test.body, text)
		})
	}
}

func TestErrorBody_IsOfTheClientsCodec(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 400, "raw")
		resp.Header = http.Header{"Content-Type": {"application/cbor"}}
		return resp, nil
	})
	c.SetCodec("application/cbor", nil, func(data []byte, v any) error {
		*v.(*int) = len(data) //nolint:forcetypeassert // the test's own
		return nil
	})
	_, err := c.Get(t.Context(), "/")
	got, ok := axle.ErrorBody[int](err)
	assert.True(t, ok)
	assert.Equal(t, 3, got)
}

func TestErrorBody_WithoutABodyIsFalse(t *testing.T) {
	c, _ := newFakeClient(unreachable)
	_, unreached := c.Get(t.Context(), "/")
	stream := axle.NewResponse(nil, 500, nil, nil).SetStream(newWatchedBody(`"text"`))
	for name, err := range map[string]error{
		"nil":                  nil,
		"an error of no call":  errBoom,
		"a nil *Error":         (*axle.Error)(nil),
		"no response":          unreached,
		"a stream, not read":   &axle.Error{Response: stream},
		"a response with none": &axle.Error{Response: axle.NewResponse(nil, 500, nil, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := axle.ErrorBody[string](err)
			assert.False(t, ok)
		})
	}
}

func TestResponseInto_GivesTheResponseAlsoOfAFailedCallThatHasOne(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		mapper func(*axle.Error) error
		status int
	}{
		"decoded":          {path: "/200", status: 200},
		"refused":          {path: "/500", status: 500},
		"refused, mapped":  {path: "/500", mapper: withoutCause, status: 500},
		"without any":      {path: "/down"},
		"refused as input": {path: "ftp://x/"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(byPath)
			c.SetErrorMapper(test.mapper)
			resp := axle.NewResponse(nil, 1, nil, nil)
			text, err := axle.Get[string](t.Context(), c, test.path, axle.ResponseInto(&resp))
			assert.Equal(t, test.status == 200, err == nil)
			if test.status == 0 {
				assert.Nil(t, resp, "no response of another call stays there")
				return
			}
			require.NotNil(t, resp)
			assert.Equal(t, test.status, resp.StatusCode)
			assert.Equal(t, "text", resp.String())
			if err == nil {
				assert.Equal(t, "text", text)
			}
		})
	}

	t.Run("not decoded", func(t *testing.T) {
		c, _ := newFakeClient(byPath)
		var resp *axle.Response
		_, err := axle.Get[int](t.Context(), c, "/200", axle.ResponseInto(&resp))
		require.ErrorIs(t, err, axle.CodeBadResponse)
		assert.Equal(t, "text", resp.String())
	})
}

func TestResponseInto_IsTheResponseThatTheHandlersLeave(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	var resp *axle.Response
	_, err := axle.Get[string](t.Context(), c, "/", axle.ResponseInto(&resp))
	require.NoError(t, err)
	assert.Equal(t, 2, resp.Request.Attempt())
}

func TestResponseInto_OfANilPointerIsRefused(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	_, err := axle.Get[string](t.Context(), c, "/", axle.ResponseInto(nil))
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.ErrorContains(t, err, "ResponseInto needs a pointer")
	assert.Zero(t, network.Sent.Load())
}
