package security_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
)

// What a Request, a Response and an Error show of themselves where somebody prints them.

var printVerbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%30v", "%-30s"}

// secretRequest has a secret in every place of a request, and comes from a call, with its answer.
func secretRequest(t *testing.T) (*axle.Request, *axle.Response) {
	t.Helper()
	key := axle.NewKey[string]("note")
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 200, "s3cret-body")
		resp.Header = http.Header{
			"Set-Cookie": {"session=s3cret"}, "X-Anything": {"s3cret"}, "Content-Type": {"text/plain"},
			"Location": {"https://me:s3cret@h/?code=s3cret"},
		}
		return resp, nil
	})
	c.SetSensitiveHeaders("X-Request-Id").SetHeader("X-Default", "s3cret").SetQueryParam("api_key", "s3cret")
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		r.SetHeader("Etag", "s3cret").BindHeader("Etag", "http://axle.test")
		return r, nil
	}, nil)
	resp, err := c.R(t.Context()).
		SetHeader("Authorization", "Bearer s3cret").SetHeader("X-Request-Id", "s3cret").SetHeader("X-Api-Key", "s3cret").
		SetHeader("Range", "bytes=0-9").
		SetQueryParam("access_token", "s3cret").SetQueryParam("page", "2").SetPathParam("token", "s3cret").
		SetBody(axle.NewMultipart().Field("password", "s3cret")).SetResult(new(string)).
		With(func(r *axle.Request) { key.Set(r, "s3cret") }).
		Post("/invitations/{token};jsessionid=s3cret?next=/cb?code=s3cret")
	require.NoError(t, err)
	return resp.Request, resp
}

func TestPrint_RequestsAndResponsesShowNoSecretByFmtSlogAndJSON(t *testing.T) {
	req, resp := secretRequest(t)
	for name, v := range map[string]any{
		"a request": req, "a request's value": *req, "in a struct": struct{ R axle.Request }{*req},
		"behind a pointer in a struct": struct{ R *axle.Request }{req}, "in a map": map[string]any{"r": req, "v": *req},
		"in a slice": []axle.Request{*req}, "in a slice of pointers": []*axle.Request{req},

		"a response": resp, "a response's value": *resp, "a response in a struct": struct{ R axle.Response }{*resp},
		"a response behind a pointer in a struct": struct{ R *axle.Response }{resp},
		"a response in a map":                     map[string]any{"r": resp, "v": *resp}, "a response in a slice": []axle.Response{*resp},
	} {
		for _, verb := range printVerbs {
			printed := fmt.Sprintf(verb, v)
			assert.NotContains(t, printed, "s3cret", "%s by %s", name, verb)
			assert.Contains(t, printed, "page=2", "%s by %s", name, verb)
		}

		var text, asJSON bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("", "it", v)
		slog.New(slog.NewJSONHandler(&asJSON, nil)).Info("", "it", v)
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		for _, printed := range []string{text.String(), asJSON.String(), string(raw)} {
			assert.NotContains(t, printed, "s3cret", name)
			assert.Contains(t, printed, "page=2", name)
		}
	}
}

func TestPrint_ARequestIsItsMethodURLAndHarmlessHeaders(t *testing.T) {
	c := axle.New().SetBaseURL("https://axle.test/v1")
	r := c.R(t.Context()).SetMethod("put").SetURL("/a").SetHeader("Accept", "text/html").SetHeader("X-Mine", "s3cret")
	const want = "axle.Request(PUT https://axle.test/v1/a [Accept: text/html] [X-Mine: REDACTED])"
	assert.Equal(t, want, fmt.Sprint(r))
	assert.Equal(t, want, fmt.Sprintf("%#v", *r))
	assert.Equal(t, `"`+want+`"`, fmt.Sprintf("%q", r))
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	assert.JSONEq(t, `{"method":"PUT","url":"https://axle.test/v1/a","header":{"Accept":["text/html"],"X-Mine":["REDACTED"]}}`, string(raw))
	assert.Equal(t, "axle.Request(GET )", fmt.Sprint(axle.Request{}))
}

func TestPrint_AResponseIsItsStatusRequestAndHarmlessHeaders(t *testing.T) {
	r := axle.NewResponse(axle.New().R(t.Context()).SetURL("http://h/a"), 404, http.Header{"Etag": {"1"}, "X-Mine": {"2"}}, []byte("s3cret"))
	assert.Equal(t, "axle.Response(404 Not Found to GET http://h/a [Etag: 1] [X-Mine: REDACTED])", fmt.Sprintf("%+v", r))
	assert.Equal(t, "s3cret", r.String(), "the method returns the body")
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	assert.JSONEq(t, `{"status":"404 Not Found","method":"GET","url":"http://h/a","header":{"Etag":["1"],"X-Mine":["REDACTED"]}}`, string(raw))
	assert.Equal(t, "axle.Response(0)", fmt.Sprint(axle.Response{}))
}

func TestPrint_NilPointersDoNotPanic(t *testing.T) {
	for _, v := range []any{(*axle.Request)(nil), (*axle.Response)(nil), (*axle.Error)(nil)} {
		for _, verb := range printVerbs {
			assert.Contains(t, fmt.Sprintf(verb, v), "<nil>", "%T by %s", v, verb)
		}
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		assert.Equal(t, "null", string(raw))
		assert.NotPanics(t, func() {
			slog.New(slog.NewJSONHandler(new(bytes.Buffer), nil)).Info("", "it", v)
			slog.New(slog.NewTextHandler(new(bytes.Buffer), nil)).Info("", "it", v)
		})
	}
}

func TestPrint_AClientShowsNoSecret(t *testing.T) {
	c := axle.New().SetBaseURL("https://me:s3cret@axle.test").SetHeader("Authorization", "Bearer s3cret").SetQueryParam("api_key", "s3cret")
	for _, verb := range printVerbs {
		assert.NotContains(t, fmt.Sprintf(verb, c), "s3cret", verb)
	}
}

func TestError_PrintsAsErrorByEveryVerb(t *testing.T) {
	req, resp := secretRequest(t)
	err := &axle.Error{Code: axle.CodeBadResponse, Message: "m", Request: req, Response: resp, Err: errors.New("token=s3cret")}
	assert.NotContains(t, err.Error(), "s3cret")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		assert.Equal(t, err.Error(), fmt.Sprintf(verb, err), verb)
		assert.Equal(t, err.Error(), fmt.Sprintf(verb, *err), verb)
	}
	assert.Equal(t, "around: "+err.Error(), fmt.Errorf("around: %w", err).Error())
}

func TestError_TheTextOfACauseIsRedacted(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiJ9.s3cret.s3cret"
	for name, x := range map[string]struct {
		err  error
		want string
	}{
		"a URL":                 {errors.New("no answer from https://id.test/token?key=s3cret"), "no answer from https://id.test/token?key=REDACTED"},
		"a handler's url.Error": {&url.Error{Op: "Post", URL: "https://me:s3cret@id.test/?sig=s3cret", Err: errBoom}, `Post "https://REDACTED@id.test/?sig=REDACTED": boom`},
		"joined":                {errors.Join(errBoom, errors.New("password=s3cret")), "boom\npassword=REDACTED"},
		"an answer in JSON": {
			&oauth2.RetrieveError{Response: &http.Response{Status: "400 Bad Request"}, Body: []byte(`{"refresh_token":"s3cret","a":1}`)},
			"oauth2: cannot fetch token: 400 Bad Request\nResponse: " + `{"refresh_token":"REDACTED","a":1}`,
		},
		"an answer in words": {
			&oauth2.RetrieveError{Response: &http.Response{Status: "400 Bad Request"}, Body: []byte("s3cret is spent")},
			"oauth2: cannot fetch token: 400 Bad Request\nResponse: REDACTED",
		},
		"an object in JSON":        {errors.New(`got {"a":1,"credentials":{"x":{"y":"s3cret}"},"z":["s3cret"]},"b":[1]}`), `got {"a":1,"credentials":"REDACTED","b":[1]}`},
		"an array that is cut off": {errors.New(`got {"tokens":["s3cret","s3`), `got {"tokens":"REDACTED"`},
		"an escaped URL":           {errors.New("redirected to /login?next=%2Fcb%3Ftoken%3Ds3cret&a=%2Fb"), "redirected to /login?next=REDACTED&a=%2Fb"},
		"a header":                 {errors.New("sent Authorization: Bearer s3cret-value-1"), "sent Authorization: Bearer REDACTED"},
		"another":                  {errors.New("sent X-Api-Key: s3cret-1"), "sent X-Api-Key: REDACTED"},
		"a map":                    {fmt.Errorf("form %v", map[string]string{"password": "s3cret-1"}), "form map[password:REDACTED]"},
		"a JWT":                    {errors.New(jwt + " has expired"), "REDACTED has expired"},
		"a private key":            {errors.New("bad key -----BEGIN RSA PRIVATE KEY-----\ns3cret\n-----END RSA PRIVATE KEY----- in x.pem"), "bad key REDACTED in x.pem"},
		"a message for people stays readable": {errors.New("the token: it has expired; POST /token: 401 Unauthorized"),
			"the token: it has expired; POST /token: 401 Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			direct := &axle.Error{Code: axle.CodeNetwork, Err: x.err}
			assert.Equal(t, "axle: ERR_NETWORK: "+x.want, direct.Error())

			inMessage := &axle.Error{Code: axle.CodeNetwork, Message: x.err.Error()}
			assert.Equal(t, "axle: ERR_NETWORK: "+x.want, inMessage.Error())

			wrapped := &axle.Error{Code: axle.CodeInterceptor, Err: fmt.Errorf("around: %w", errors.Join(errBoom, direct))}
			assert.NotContains(t, wrapped.Error(), "s3cret")
			assert.ErrorIs(t, wrapped, errBoom)

			again := &axle.Error{Code: axle.CodeNetwork, Err: direct}
			assert.Equal(t, "axle: ERR_NETWORK: axle: ERR_NETWORK: "+x.want, again.Error(), "what is redacted twice reads as once")
		})
	}
}

func TestError_OfOneCallSaysMethodURLAndStatusOnce(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/refresh" {
			return reply(r, 403, ""), nil
		}
		return reply(r, 401, ""), nil
	})
	const prefix = "axle: GET http://axle.test/x?token=REDACTED: 401 Unauthorized: ERR_BAD_REQUEST: "
	for name, x := range map[string]struct {
		handler func(err *axle.Error) error
		want    string
	}{
		"the error itself": {func(err *axle.Error) error { return err }, "the status was refused"},
		"wrapped": {
			func(err *axle.Error) error { return fmt.Errorf("inventory: %w", err) },
			"interceptor h: inventory: ERR_BAD_REQUEST: the status was refused",
		},
		"joined": {
			func(err *axle.Error) error { return errors.Join(errBoom, err) },
			"interceptor h: boom\nERR_BAD_REQUEST: the status was refused",
		},
		"as the cause": {
			func(err *axle.Error) error {
				return &axle.Error{Code: err.Code, Message: "auth: the refresh failed", Request: err.Request, Response: err.Response, Err: err}
			},
			"auth: the refresh failed: ERR_BAD_REQUEST: the status was refused",
		},
		"of a nested Do": {
			func(err *axle.Error) error {
				_, again := c.Clone().Do(err.Request.SetHeader("X-Nested", "1"))
				return fmt.Errorf("again: %w", again)
			},
			"interceptor h: again: ERR_BAD_REQUEST: the status was refused",
		},
		"another call's keeps its own": {
			func(err *axle.Error) error {
				_, other := err.Request.Client().Post(context.Background(), "/refresh", nil)
				return &axle.Error{Code: err.Code, Message: "auth: the refresh failed", Request: err.Request, Response: err.Response, Err: other}
			},
			"auth: the refresh failed: axle: POST http://axle.test/refresh: 403 Forbidden: ERR_BAD_REQUEST: the status was refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.Interceptors.Response.Clear()
			c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
				return nil, x.handler(err)
			}, axle.Named("h"), axle.RunWhen(func(r *axle.Request) bool { return r.URL == "/x?token=s3cret" && r.Header.Get("X-Nested") == "" }))
			_, err := c.Get(t.Context(), "/x?token=s3cret")
			assert.Equal(t, prefix+x.want, err.Error())
		})
	}
}

func TestError_AnotherStatusOfTheSameCallIsSaid(t *testing.T) {
	req := axle.New().R(t.Context()).SetURL("http://h/x")
	inner := &axle.Error{Code: axle.CodeBadResponse, Request: req, Response: axle.NewResponse(req, 503, nil, nil)}
	outer := &axle.Error{Code: axle.CodeBadRequest, Request: req, Response: axle.NewResponse(req, 401, nil, nil), Err: inner}
	assert.Equal(t, "axle: GET http://h/x: 401 Unauthorized: ERR_BAD_REQUEST: 503 Service Unavailable: ERR_BAD_RESPONSE", outer.Error())
}

func TestError_NoControlCharacterReachesATerminal(t *testing.T) {
	const evil = "\x1b[2J\x9b31m\u009b\u202e\u2066\u200b\x07\x7f"
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := reply(r, 500, "")
		resp.Status = "500 Oops" + evil + "\nforged line"
		resp.Header = http.Header{"Etag": {evil}}
		return resp, nil
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		err.Message, err.Err = "message"+evil, errors.New("cause"+evil+"\r")
		return nil, err
	}, axle.Named("name"+evil))
	_, err := c.Get(t.Context(), "/a?q="+url.QueryEscape(evil))
	e := asAxle(t, err)
	e.Request.Method = "GET" + evil
	e.Request.SetURL("/\u202e?\u009b")

	raw, jsonErr := json.Marshal(e)
	require.NoError(t, jsonErr)
	var slogged bytes.Buffer
	slog.New(slog.NewTextHandler(&slogged, nil)).Info("", "err", err)
	for _, text := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprint(e.Request), fmt.Sprintf("%+v", e.Response), string(raw), slogged.String()} {
		for _, r := range text {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202e\u2066\u200b", r) {
				t.Errorf("%q has %q", text, r)
			}
		}
		assert.True(t, utf8.ValidString(text))
		assert.NotContains(t, text, "\nforged", "a status is one line")
	}
	assert.Contains(t, e.Error(), `500 Oops\u001b[2J\x9b31m\u009b\u202e`)
}

func TestCurl_AHeaderThatIsBoundIsRedacted(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var line string
	c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		r.SetHeader("X-Tenant", "s3cret").BindHeader("X-Tenant", "http://axle.test")
		line = r.Curl()
		return r, nil
	}, nil)
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Contains(t, line, "X-Tenant: REDACTED")
}

func TestError_ACopyShowsNoMoreThanThePointerAlsoByJSONAndSlog(t *testing.T) {
	e := axle.Error{
		Code: axle.CodeNetwork, Message: "http://h/?password=s3cret",
		Err: &url.Error{Op: "Get", URL: "http://h/?key=s3cret", Err: errBoom},
	}
	asJSON, err := json.Marshal(map[string]any{"copy": e, "pointer": &e, "nil": (*axle.Error)(nil)})
	require.NoError(t, err)
	assert.NotContains(t, string(asJSON), "s3cret")
	assert.Contains(t, string(asJSON), `"nil":null`)

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("failed", "copy", e, "list", []any{e})
	slog.New(slog.NewTextHandler(&log, nil)).Info("failed", "copy", e, "list", []any{e})
	assert.NotContains(t, log.String(), "s3cret")
}

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
