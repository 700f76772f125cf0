package logging_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/logging"
)

// What of headers, bodies and errors is logged, and what is not.

func TestP10_RedactionIsTheDefault(t *testing.T) {
	const secret = "s3cr3t-value"
	handlers := map[string]http.HandlerFunc{
		"fulfilled": answer(200, `{"access_token":"`+secret+`"}`),
		"refused":   answer(401, `{"access_token":"`+secret+`"}`),
		"broken": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			var j journal
			server, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Set-Cookie", "session="+secret)
				w.Header().Set("X-Refreshed-Token", secret)
				w.Header().Set("X-Mine", secret)
				w.Header().Set("Content-Location", "https://me:"+secret+"@example.com/?code="+secret)
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("X-Plain", "plain-response")
				h(w, r)
			})
			client.SetSensitiveHeaders("X-Mine").SetCookieJar(nil).SetHeader("X-Api-Key", secret).SetQueryParam("api_key", secret)
			client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithHeaders(), logging.WithBodies(1<<10),
				logging.WithAllowedHeaders("X-Plain")))
			u := strings.Replace(server.URL, "http://", "http://me:"+secret+"@", 1) + "/?access_token=" + secret + "&page=2#" + secret
			_, _ = client.Post(t.Context(), u, map[string]string{"password": secret, "name": "gopher"}, func(r *axle.Request) {
				r.SetHeader("Authorization", "Bearer "+secret).SetHeader("Cookie", "session="+secret).SetHeader("X-Mine", secret)
				r.SetHeader("X-Plain", "plain-request")
			})

			r := j.only(t)
			assert.NotContains(t, j.String(), secret)
			assert.NotContains(t, j.String(), url.QueryEscape(secret))
			assert.Contains(t, r["url"], "page=2")
			assert.Contains(t, r.at("request.body"), "gopher")
			for _, name := range []string{"Authorization", "Cookie", "X-Mine"} {
				assert.Equal(t, "REDACTED", r.at("request.header."+name), name)
			}
			assert.Equal(t, "plain-request", r.at("request.header.X-Plain"))
			if name == "broken" {
				assert.NotContains(t, r, "response")
				return
			}
			for _, name := range []string{"Set-Cookie", "X-Refreshed-Token", "X-Mine"} {
				assert.Equal(t, "REDACTED", r.at("response.header."+name), name)
			}
			assert.Equal(t, "plain-response", r.at("response.header.X-Plain"))
			assert.Contains(t, r.at("response.body"), "access_token")
		})
	}
}

func TestLogging_NeitherHeadersNorBodiesUnlessAskedFor(t *testing.T) {
	var j journal
	_, client := serve(t, answer(200, `{"a":1}`))
	_, err := client.Use(logging.New(logging.WithLogger(j.logger()))).Post(t.Context(), "/", map[string]int{"b": 2})
	require.NoError(t, err)
	assert.NotContains(t, j.only(t), "request")
	assert.NotContains(t, j.only(t), "response")
}

func TestLogging_ErrorTextsAreScrubbed(t *testing.T) {
	const secret = "s3cr3t-value"
	for _, tc := range []struct{ text, want string }{
		{`Get "https://me:s3cr3t-value@h/p?access_token=s3cr3t-value&a=1": dial`, `Get "https://REDACTED@h/p?access_token=REDACTED&a=1": dial`},
		{`no answer from https://h/p?token=s3cr3t-value: reset`, `no answer from https://h/p?token=REDACTED: reset`},
		{`postgres://me:s3cr3t-value@db/x is down`, `postgres://REDACTED@db/x is down`},
		{`sent Authorization: Bearer s3cr3t-value, refused`, `sent Authorization: Bearer REDACTED, refused`},
		{`sent eyJhbGciOiJIUzI1NiJ9.s3cr3t-value.abc twice`, `sent REDACTED twice`},
		{`grant refresh_token=s3cr3t-value&x=1 failed`, `grant refresh_token=REDACTED&x=1 failed`},
		{`(password=p)s3cr3t-value'x).`, `(password=REDACTED).`},
		{`token=x, pin=1`, `token=REDACTED, pin=REDACTED`},
		{`with access%5Ftoken=s3cr3t-value`, `with access%5Ftoken=REDACTED`},
		{`password="my \" s3cr3t-value", user="me"`, `password=REDACTED, user="me"`},
		{`Response: {"refresh_token": "s3cr3t-value", "error": "x"}`, `Response: {"refresh_token": "REDACTED", "error": "x"}`},
		{`Response: "{\"refresh_token\":\"a\\\"s3cr3t-value\",\"error\":\"x\"}"`, `Response: "{\"refresh_token\":\"REDACTED\",\"error\":\"x\"}"`},
		{`{"pin": 12345678}`, `{"pin": "REDACTED"}`},
		{`the token: it has expired; keyboard=us`, `the token: it has expired; keyboard=us`}, // what went wrong stays readable
	} {
		t.Run(tc.text, func(t *testing.T) {
			var j journal
			client := axle.New().SetTransport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New(tc.text) }))
			_, err := client.Use(logging.New(logging.WithLogger(j.logger()))).Get(t.Context(), "http://h/")
			require.ErrorIs(t, err, axle.CodeNetwork)
			text := j.only(t)["error"]
			assert.NotContains(t, text, secret)
			assert.Equal(t, "axle: GET http://h/: ERR_NETWORK: "+tc.want, text)
		})
	}
}

func TestLogging_TokenLikeBodyFieldsAreRedacted(t *testing.T) {
	const asJSON, asForm, asText = "application/json", "application/x-www-form-urlencoded", "text/plain; charset=utf-8"
	for _, tc := range []struct{ name, contentType, body, want string }{
		{"top level", asJSON, `{"access_token":"x","expires_in":60}`, `{"access_token":"REDACTED","expires_in":60}`},
		{"any depth", asJSON, `{"a":[{"b":{"refreshToken":"x","c":1}}]}`, `{"a":[{"b":{"refreshToken":"REDACTED","c":1}}]}`},
		{"any type", asJSON, `{"pin":1234,"client_secret":["x",{"y":"z"}],"password":{"x":[1]},"token":null}`,
			`{"pin":"REDACTED","client_secret":"REDACTED","password":"REDACTED","token":null}`},
		{"an escaped name", asJSON, `{"access\u005ftoken":"x"}`, `{"access_token":"REDACTED"}`},
		{"a problem", "application/problem+json", `{"title":"no","token":"x"}`, `{"title":"no","token":"REDACTED"}`},
		{"order, numbers and repetitions stay", asJSON, `{"z":1.50,"a":12345678901234567890,"z":"<&>"}`, `{"z":1.50,"a":12345678901234567890,"z":"<&>"}`},
		{"a URL in a value", asJSON, `{"next":"https://h/?access_token=x&p=2"}`, `{"next":"https://h/?access_token=REDACTED&p=2"}`},
		{"JSON in a string", asJSON, `{"payload":"{\"password\":\"x\",\"a\":1}"}`, `{"payload":"{\"password\":\"REDACTED\",\"a\":1}"}`},
		{"a bare JWT", asJSON, `"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.sig"`, `"REDACTED"`},
		{"several values", asJSON, "{\"token\":\"x\"}\n{\"token\":\"y\"}\n", "{\"token\":\"REDACTED\"}\n{\"token\":\"REDACTED\"}"},
		{"cut off in a secret", asJSON, `{"a":1,"access_token":"xyz`, `{"a":1,"access_token":… [unreadable from here]`},
		{"broken before a secret", asJSON, `{"a":1,,"access_token":"xyz"}`, `{"a":1,… [unreadable from here]`},
		{"JSON that is called text", asText, ` {"password":"x"}`, `{"password":"REDACTED"}`},
		{"JSON that is called text, after white space", asText, strings.Repeat(" ", 100) + `{"password":["x"]}`, `{"password":"REDACTED"}`},
		{"JSON that is called a form", asForm, `{"password":"x"}`, `{"password":"REDACTED"}`},
		{"JSON without a type", "", `{"password":"x"}`, `{"password":"REDACTED"}`},
		{"a form", asForm, "grant_type=refresh_token&refresh_token=x&user%5Bpassword%5D=y&a=1", "grant_type=refresh_token&refresh_token=REDACTED&user%5Bpassword%5D=REDACTED&a=1"},
		{"a form as it should not be", asForm, "password=a;b'c d<e>&a=1", "password=REDACTED&a=1"},
		{"text", asText, "hello", "[text/plain, 5 bytes]"},
		{"text without a type", "", "hello", "[no type, 5 bytes]"},
		{"an image", "image/png", "\x89PNG", "[image/png, 4 bytes]"},
		{"markup", "text/html", "<input name=csrf value=x>", "[text/html, 25 bytes]"},
		{"binary that is called JSON", asJSON, "{\"a\x00\":1}", "[application/json, 8 bytes]"},
		{"nothing", asJSON, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want any
			if tc.want != "" {
				want = tc.want
			}
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{tc.contentType}
				_, _ = io.WriteString(w, tc.body)
			})
			resp, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10))).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, tc.body, resp.String(), "the body itself stays as it is")
			assert.Equal(t, want, j.only(t).at("response.body"))
			assert.Equal(t, len(tc.body), j.only(t)["bytes"])
		})
	}
}

func TestLogging_RequestBodies(t *testing.T) {
	for _, tc := range []struct {
		name string
		body any
		want any
	}{
		{"none", nil, nil},
		{"JSON", struct {
			Password string `json:"password"`
		}{"x"}, `{"password":"REDACTED"}`},
		{"a form", url.Values{"client_secret": {"x"}, "a": {"1"}}, "a=1&client_secret=REDACTED"},
		{"text", "hello", "[text/plain, 5 bytes]"},
		{"bytes", []byte("hello"), "[application/octet-stream, 5 bytes]"},
		{"a stream", strings.NewReader("hello"), "[stream]"},
		{"what cannot be encoded", func() {}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
			resp, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10))).Post(t.Context(), "/", tc.body)
			assert.Equal(t, tc.want, j.only(t).at("request.body"))
			if tc.want == "[stream]" {
				require.NoError(t, err)
				assert.Equal(t, "hello", resp.String(), "the stream was sent whole")
			}
		})
	}
}

func TestLogging_BodiesAreCutAtTheLimit(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, body string
		limit                   int
		want                    string
	}{
		{"at a rune", "application/json", `"aöö"`, 3, `"a… (7 bytes)`},
		{"exactly", "application/json", `"aöö"`, 7, `"aöö"`},
		{"JSON", "application/json", `{"a":"0123456789"}`, 8, `{"a":"01… (18 bytes)`},
		{"a secret across the limit", "application/json", `{"token":"0123456789"}`, 12, `{"token":"RE… (22 bytes)`},
		{"userinfo across the limit", "application/json", `"http://me:0123456789@h/"`, 15, `"http://REDACTE… (25 bytes)`},
		{"nothing but type and length", "application/json", `{"a":1}`, 0, "[application/json, 7 bytes]"},
		{"a negative limit", "application/json", `{"a":1}`, -1, "[application/json, 7 bytes]"},
		{"a long secret", "application/x-www-form-urlencoded", "token=" + strings.Repeat("x", 1<<13), 100, "token=REDACTED… (8198 bytes)"},
		{"a long string", "application/json", `{"a":"` + strings.Repeat("x", 1<<16) + `"}`, 9, `{"a":"xxx… (65544 bytes)`},
		{"a long string's escape", "application/json", `"` + strings.Repeat(`\u00e4`, 1<<14) + `"`, 5, `"ää… (98306 bytes)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				_, _ = io.WriteString(w, tc.body)
			})
			_, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(tc.limit))).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, tc.want, j.only(t).at("response.body"))
		})
	}
}

func TestLogging_StreamsAreNeverTouched(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flush bool
		bytes any
	}{
		{"of announced length", false, 5},
		{"of unknown length", true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.flush {
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, "hello")
			})
			client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10), logging.WithHeaders()))
			resp, err := client.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			defer resp.Stream().Close()
			assert.Equal(t, "[stream]", j.only(t).at("response.body"))
			assert.Equal(t, tc.bytes, j.only(t)["bytes"])
			body, err := io.ReadAll(resp.Stream())
			require.NoError(t, err)
			assert.Equal(t, "hello", string(body))
		})
	}
}

func TestLogging_AnEncodedBodyIsOpaque(t *testing.T) {
	var j journal
	_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "zstd")
		_, _ = io.WriteString(w, `{"a":1}`)
	})
	_, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<10))).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "[application/json, 7 bytes]", j.only(t).at("response.body"))
}

func TestLogging_AnInvalidURLIsRedactedToo(t *testing.T) {
	var j journal
	client := axle.New().Use(logging.New(logging.WithLogger(j.logger())))
	_, err := client.Get(t.Context(), "ftp://me:s3cr3t@h/?token=s3cr3t")
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	assert.Equal(t, "ftp://REDACTED@h/?token=REDACTED", j.only(t)["url"])
	assert.NotContains(t, j.String(), "s3cr3t")
}

// exchange logs one call with headers and bodies, and returns its record.
func exchange(t *testing.T, edit func(*axle.Client), send func(*axle.Request), opts ...logging.Option) record {
	t.Helper()
	var j journal
	_, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Mine", "mine")
		w.Header().Set("Set-Cookie", "session=s3cret")
		_, _ = io.WriteString(w, `{"secretPath":"a/b","customer_ssn":"s3cret","token":"s3cret"}`)
	})
	edit(client.SetCookieJar(nil))
	opts = append(opts, logging.WithLogger(j.logger()), logging.WithHeaders(), logging.WithBodies(1<<10))
	_, err := client.Use(logging.New(opts...)).Get(t.Context(), "/items/{secretPath}/{token}?secret_path=c&ssn=s3cret", func(r *axle.Request) {
		r.SetPathParam("secretPath", "p").SetPathParam("token", "s3cret").With(send)
	})
	require.NoError(t, err)
	assert.NotContains(t, j.String(), "s3cret")
	return j.only(t)
}

func TestLogging_OnlyHarmlessHeadersAreShownByDefault(t *testing.T) {
	r := exchange(t, func(*axle.Client) {}, func(r *axle.Request) {
		r.SetHeader("Accept", "text/html").SetHeader("X-Request-Id", "42").SetHeader("X-Mine", "mine").SetHeader("X-Api-Key", "s3cret")
	}, logging.WithSecretNames("ssn"))
	assert.Equal(t, "text/html", r.at("request.header.Accept"))
	assert.Equal(t, "42", r.at("request.header.X-Request-Id"))
	assert.Equal(t, "REDACTED", r.at("request.header.X-Mine"))
	assert.Equal(t, "REDACTED", r.at("request.header.X-Api-Key"))
	assert.Equal(t, "application/json", r.at("response.header.Content-Type"))
	assert.Equal(t, "REDACTED", r.at("response.header.X-Mine"))
	assert.Equal(t, "REDACTED", r.at("response.header.Set-Cookie"))
}

func TestLogging_AllowedHeadersAreShown(t *testing.T) {
	r := exchange(t, func(*axle.Client) {}, func(r *axle.Request) { r.SetHeader("X-Page-Token", "7").SetHeader("X-Other", "s3cret") },
		logging.WithAllowedHeaders("x-mine", "X-PAGE-TOKEN"), logging.WithSecretNames("ssn"))
	assert.Equal(t, "mine", r.at("response.header.X-Mine"))
	assert.Equal(t, "7", r.at("request.header.X-Page-Token"), "also where the name alone says that it is a secret")
	assert.Equal(t, "REDACTED", r.at("request.header.X-Other"))
}

func TestLogging_NoOptionShowsACredential(t *testing.T) {
	all := []string{"Authorization", "Cookie", "X-Declared", "X-Bound", "X-Customer-Ssn", "Set-Cookie"}
	r := exchange(t, func(c *axle.Client) {
		c.SetSensitiveHeaders("X-Declared")
		c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			for _, name := range all {
				r.SetHeader(name, "s3cret")
			}
			r.BindHeader("X-Bound", r.BaseOrigin())
			return r, nil
		}, nil)
	}, func(*axle.Request) {}, logging.WithAllowedHeaders(all...), logging.WithSecretNames("ssn"))
	for _, name := range all {
		assert.Equal(t, "REDACTED", r.at("request.header."+name), name)
	}
	assert.Equal(t, "REDACTED", r.at("response.header.Set-Cookie"))
}

func TestLogging_AllowedAndSecretNamesHoldForURLsAndBodies(t *testing.T) {
	r := exchange(t, func(*axle.Client) {}, func(*axle.Request) {}, logging.WithAllowedNames("secretPath"), logging.WithSecretNames("ssn"))
	assert.Contains(t, r["url"], "/items/p/REDACTED?secret_path=c&ssn=REDACTED")
	assert.Contains(t, r.at("response.body"), `{"secretPath":"a/b","customer_ssn":"REDACTED","token":"REDACTED"}`)

	r = exchange(t, func(*axle.Client) {}, func(*axle.Request) {}, logging.WithSecretNames("ssn"))
	assert.Contains(t, r["url"], "/items/REDACTED/REDACTED?secret_path=REDACTED&ssn=REDACTED", "by default secretPath is a secret's name")
	assert.Contains(t, r.at("response.body"), `{"secretPath":"REDACTED","customer_ssn":"REDACTED","token":"REDACTED"}`)
}

func TestLogging_ControlCharactersOfAServerAreWrittenOut(t *testing.T) {
	var j journal
	client := axle.New().SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Request: r, Header: http.Header{"Etag": {"\u009b31m\u202e"}, "Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(`"\u009b31m"`)),
		}, nil
	}))
	_, err := client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithHeaders(), logging.WithBodies(99))).Get(t.Context(), "http://h/")
	require.NoError(t, err)
	assert.Equal(t, `\u009b31m\u202e`, j.only(t).at("response.header.Etag"))
	assert.Equal(t, `"\u009b31m"`, j.only(t).at("response.body"))
}
