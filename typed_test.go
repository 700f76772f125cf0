package axle_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

type user struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// echoCall answers with the method and the body that were sent, as JSON.
func echoCall(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	out, err := json.Marshal(map[string]string{"name": r.Method + " " + string(body) + r.Header.Get("X-Edit")})
	return reply(r, 200, string(out)), err
}

func TestTyped_EveryVerbDecodesTheAnswer(t *testing.T) {
	c, _ := newFakeClient(echoCall)
	edit := func(r *axle.Request) { r.SetHeader("X-Edit", "edited") }
	ctx := t.Context()
	for want, call := range map[string]func() (user, error){
		"GET edited":    func() (user, error) { return axle.Get[user](ctx, c, "/", edit) },
		"DELETE edited": func() (user, error) { return axle.Delete[user](ctx, c, "/", edit) },
		"POST 1edited":  func() (user, error) { return axle.Post[user](ctx, c, "/", 1, edit) },
		"PUT 1edited":   func() (user, error) { return axle.Put[user](ctx, c, "/", 1, edit) },
		"PATCH 1edited": func() (user, error) { return axle.Patch[user](ctx, c, "/", 1, edit) },
		"OPTIONS 1edited": func() (user, error) {
			return axle.Do[user](c, c.R(ctx).SetMethod("options").SetURL("/").SetBody(1).With(edit))
		},
	} {
		got, err := call()
		require.NoError(t, err)
		assert.Equal(t, user{Name: want}, got)
	}
}

func TestTyped_AnEmptyBodyGivesTheZeroValueAndNoError(t *testing.T) {
	c, _ := newFakeClient(always(204, ""))
	u, err := axle.Get[*user](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Nil(t, u)
}

func TestTyped_TextAndBytesComeVerbatim(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"id":1}`))
	text, err := axle.Get[string](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, `{"id":1}`, text)
	raw, err := axle.Get[[]byte](t.Context(), c, "/")
	require.NoError(t, err)
	assert.Equal(t, []byte(`{"id":1}`), raw)
}

func TestTyped_EveryErrorComesWithTheZeroValue(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"id":1,"name":2}`))
	u, err := axle.Get[user](t.Context(), c, "/")
	require.Error(t, err)
	assert.Zero(t, u, "though it decoded half-way")

	_, err = axle.Do[user](c, nil)
	require.ErrorIs(t, err, axle.CodeBadOption)
	_, err = axle.Get[user](nil, c, "/") //nolint:staticcheck // the bad input that this is about
	require.ErrorIs(t, err, axle.CodeBadOption)
}

func TestTyped_DoTakesThePlaceOfTheRequestsOwnTarget(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"id":1}`))
	var own user
	mine := c.R(t.Context()).SetURL("/").SetResult(&own)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // so one request with one target can be sent by many
			u, err := axle.Do[user](c, mine)
			assert.NoError(t, err)
			assert.Equal(t, user{ID: 1}, u)
		})
	}
	wg.Wait()
	assert.Zero(t, own)
}

func TestTyped_AStreamDoesNotGoWithAResult(t *testing.T) {
	c, network := newFakeClient(always(200, `{"id":1}`))
	_, err := axle.Get[user](t.Context(), c, "/", func(r *axle.Request) { r.SetStream(true) })
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.Zero(t, network.Sent.Load())
}

// Decoding comes once, after the outermost response chain.

func TestResult_IsDecodedAfterTheResponseChain(t *testing.T) {
	c, _ := newFakeClient(always(200, `{"data":{"id":1}}`))
	var u user
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		assert.Zero(t, u)
		var envelope struct{ Data json.RawMessage }
		require.NoError(t, resp.Decode(&envelope))
		return resp.SetBytes(envelope.Data), nil
	})
	_, err := c.R(t.Context()).SetResult(&u).Get("/")
	require.NoError(t, err)
	assert.Equal(t, user{ID: 1}, u)
}

// decodeCounter counts how often it is decoded into.
type decodeCounter struct{ times int }

func (d *decodeCounter) UnmarshalJSON([]byte) error { d.times++; return nil }

func TestResult_IsDecodedOnceAlsoWithNestedCalls(t *testing.T) {
	for name, again := range map[string]func(c *axle.Client, r *axle.Request) (*axle.Response, error){
		"Do":            func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r) },
		"Do of a clone": func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r.Clone()) },
		"Execute":       func(_ *axle.Client, r *axle.Request) (*axle.Response, error) { return r.Get("/") },
		"Replay":        func(_ *axle.Client, r *axle.Request) (*axle.Response, error) { return r.Replay() },
		"Do in a replay": func(c *axle.Client, r *axle.Request) (*axle.Response, error) {
			_, _ = r.Replay()
			return c.Do(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(inTurn(500, 201, 202))
			var result decodeCounter
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				resp, failed := again(c, err.Request)
				assert.Zero(t, result.times)
				return resp, failed
			})
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.SetBytes([]byte("{}")), nil })
			_, err := c.R(t.Context()).SetResult(&result).Get("/")
			require.NoError(t, err)
			assert.Equal(t, 1, result.times)
		})
	}
}

func TestResult_IsDecodedForARequestThatWasInACallThatIsOver(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	var result decodeCounter
	_, err := c.R(t.Context()).SetResult(&result).Get("/")
	require.Error(t, err)
	c.Interceptors.Response.Use(func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		return resp.SetBytes([]byte("{}")), nil
	}, nil)
	_, err = c.Do(asAxle(t, err).Request)
	require.NoError(t, err)
	assert.Equal(t, 1, result.times)
}

func TestResult_IsNotDecodedIntoByAFailedCall(t *testing.T) {
	c, _ := newFakeClient(always(500, `{"id":1}`))
	var u user
	_, err := c.R(t.Context()).SetResult(&u).Get("/")
	require.Error(t, err)
	assert.Zero(t, u)
}

func TestResult_AFailureToDecodeIsTheCallsErrorAndKeepsTheBody(t *testing.T) {
	c, _ := newFakeClient(always(200, "<html>"))
	var log callTrace
	log.onResponse(c, "handler")
	for _, call := range []func() error{
		func() error { _, err := axle.Get[user](t.Context(), c, "/here"); return err },
		func() error { _, err := c.R(t.Context()).SetResult(new(user)).Get("/here"); return err },
	} {
		e := asAxle(t, call())
		assert.Equal(t, axle.CodeBadResponse, e.Code)
		assert.Equal(t, "<html>", e.Response.String())
		assert.Equal(t, "/here", e.Request.URL)
		var syntax *json.SyntaxError
		require.ErrorAs(t, e, &syntax)
		assert.Equal(t, []string{"handler"}, log.taken(), "the chain is over: no rejected handler sees it")
	}
}

func TestResult_ADecodeInAHandlerIsThatHandlersBusiness(t *testing.T) {
	c, _ := newFakeClient(always(200, "<html>"))
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		var u user
		require.ErrorIs(t, resp.Decode(&u), axle.CodeBadResponse)
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "<html>", resp.String())
}

func TestResult_ThatCannotBeDecodedIntoIsRefusedBeforeAnythingIsSent(t *testing.T) {
	c, network := newFakeClient(always(200, "{}"))
	for _, target := range []any{user{}, (*user)(nil), "text", map[string]any{}} {
		_, err := c.R(t.Context()).SetResult(target).Get("/")
		require.ErrorIs(t, err, axle.CodeBadOption, "%T", target)
	}
	assert.Zero(t, network.Sent.Load())
}
