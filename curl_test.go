package axle_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestCurl_IsALineForPeopleWithoutSecrets(t *testing.T) {
	c := axle.New().SetBaseURL("http://me:s3cret@axle.test/v1").SetSensitiveHeaders("X-Mine")
	for name, x := range map[string]struct {
		edit func(*axle.Request)
		want string
	}{
		"GET": {func(r *axle.Request) { r.SetURL("/a").SetQueryParam("page", "2").SetQueryParam("token", "s3cret") },
			`curl 'http://REDACTED@axle.test/v1/a?page=2&token=REDACTED'`},
		"headers": {func(r *axle.Request) {
			r.SetURL("/a").SetHeader("Authorization", "Bearer s3cret").SetHeader("X-Mine", "s3cret").SetHeader("X-Its", "it's")
		}, `curl 'http://REDACTED@axle.test/v1/a' -H 'Authorization: REDACTED' -H 'X-Its: it'\''s' -H 'X-Mine: REDACTED'`},
		"JSON": {func(r *axle.Request) {
			r.SetMethod("post").SetURL("/a").SetBody(map[string]string{"name": "ada", "password": "s3cret"})
		}, `curl -X POST 'http://REDACTED@axle.test/v1/a' -H 'Content-Type: application/json' --data-raw '{"name":"ada","password":"REDACTED"}'`},
		"a stream": {func(r *axle.Request) { r.SetMethod("PUT").SetURL("/a").SetBody(strings.NewReader("s3cret")) },
			`curl -X PUT 'http://REDACTED@axle.test/v1/a' --data-binary @-`},
	} {
		line := c.R(t.Context()).With(x.edit).Curl()
		assert.NotContains(t, line, "s3cret", name)
		assert.Equal(t, x.want, line, name)
	}
	assert.Equal(t, "curl ''", new(axle.Request).Curl(), "of a request without a URL")
}

func TestCurl_InAHandlerHasTheDefaults(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetHeader("X-Default", "d")
	var line string
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { line = resp.Request.Curl(); return resp, nil })
	_, err := c.Get(t.Context(), "/a")
	require.NoError(t, err)
	assert.Equal(t, "curl http://axle.test/a -H 'Accept: application/json, text/plain, */*' -H 'User-Agent: axle/1' -H 'X-Default: d'", line)
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
