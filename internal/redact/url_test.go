package redact_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/redact"
)

func TestURL_HidesUserinfoFragmentAndSecretParameters(t *testing.T) {
	for in, want := range map[string]string{
		"https://api.test/a?page=2":                                       "https://api.test/a?page=2",
		"https://api.test/a?access_token=s3cret&b=1":                      "https://api.test/a?access_token=REDACTED&b=1",
		"https://api.test/a?b=1;token=s3cret":                             "https://api.test/a?b=1;token=REDACTED",
		"https://api.test/a?acc%65ss_token=s3cret":                        "https://api.test/a?acc%65ss_token=REDACTED",
		"https://me:s3cret@api.test/":                                     "https://REDACTED@api.test/",
		"https://api.test/#access_token=s3cret":                           "https://api.test/",
		"https://api.test/?next=https%3A%2F%2Fb.test%2F%3Ftoken%3Ds3cret": "https://api.test/?next=https%3A%2F%2Fb.test%2F%3Ftoken%3DREDACTED",
		"https://api.test/?next=https%3A%2F%2Fb.test%2Fa":                 "https://api.test/?next=https%3A%2F%2Fb.test%2Fa",

		// A relative URL in a value, and one within another.
		"https://api.test/?next=/cb?token=s3cret":                           "https://api.test/?next=%2Fcb%3Ftoken%3DREDACTED",
		"https://api.test/?next=%2Fcb%3Fpage%3D2%26code%3Ds3cret&a=1":       "https://api.test/?next=%2Fcb%3Fpage%3D2%26code%3DREDACTED&a=1",
		"https://api.test/?next=%2Fcb%3Fnext%3D%252Fx%253Ftoken%253Ds3cret": "https://api.test/?next=%2Fcb%3Fnext%3D%252Fx%253Ftoken%253DREDACTED",
		"https://api.test/?next=/cb%23access_token=s3cret":                  "https://api.test/?next=%2Fcb%23access_token%3DREDACTED",
		"https://api.test/?next=/cb%3Bjsessionid=s3cret":                    "https://api.test/?next=%2Fcb%3Bjsessionid%3DREDACTED",
		"https://api.test/?next=//me:s3cret@b.test/%3Fa":                    "https://api.test/?next=%2F%2FREDACTED%40b.test%2F%3Fa",
		"https://api.test/?next=%2Fa%3Fpage%3D2":                            "https://api.test/?next=%2Fa%3Fpage%3D2",
		"https://api.test/?filter=%7B%22token%22%3A%22s3cret%22%7D":         "https://api.test/?filter=%7B%22token%22%3A%22REDACTED%22%7D",
		"https://api.test/?q=what%3F&c=C%23&p=100%":                         "https://api.test/?q=what%3F&c=C%23&p=100%",
		"https://api.test/?/cb?token=s3cret":                                "https://api.test/?/cb?token=REDACTED",

		// Parameters of a path's segments.
		"https://api.test/a;jsessionid=s3cret/b;v=1?x=1": "https://api.test/a;jsessionid=REDACTED/b;v=1?x=1",
		"https://api.test/a%2Fb;JSESSIONID=s3cret;q=2":   "https://api.test/a%2Fb;JSESSIONID=REDACTED;q=2",
		"https://api.test/a;b":                           "https://api.test/a;b",
		"/relative;jsessionid=s3cret":                    "/relative;jsessionid=REDACTED",
		"https://api.test/eyJhbGciOiJIUzI1NiJ9.s3cret.x": "https://api.test/REDACTED",
		"mailto:me:s3cret@b.test":                        "mailto:REDACTED@b.test",
		"https://api.test/%1b%c2%9b\u202e":               "https://api.test/%1B%C2%9B%E2%80%AE",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		assert.Equal(t, want, redact.URL(u))
		assert.Equal(t, want, redact.RawURL(in))
	}
	assert.Empty(t, redact.URL(nil))
}

func TestRawURL_WhatDoesNotParseKeepsNeitherUserinfoNorQuery(t *testing.T) {
	for in, want := range map[string]string{
		"http://me:s3cret@[::1?token=s3cret": "REDACTED@[::1?REDACTED",
		"http://a b?x=s3cret#s3cret":         "http://a b?REDACTED",
		"http://a b/;jsessionid=s3cret":      "http://a b/;jsessionid=REDACTED",
		"http://a\r\nb":                      `http://a\r\nb`,
	} {
		assert.Equal(t, want, redact.RawURL(in))
	}
}

func TestURL_WhatIsNestedTooDeeplyIsMasked(t *testing.T) {
	inner := "token=s3cret"
	for range 20 {
		inner = "next=" + url.QueryEscape("/cb?"+inner)
	}
	shown := redact.RawURL("https://api.test/?" + inner)
	assert.NotContains(t, shown, "s3cret")
	assert.Contains(t, shown, "REDACTED")

	flat := redact.RawURL("https://api.test/?" + strings.Repeat("a=/?", 1<<14) + "token=s3cret")
	assert.NotContains(t, flat, "s3cret")
}

func TestNames_AUsersOwnHoldForURLsTextsAndBodies(t *testing.T) {
	var names redact.Names
	names.AddSecret("ssn")
	names.Allow("secretPath")
	for shown, want := range map[string]string{
		names.RawURL("https://h/;ssn=1?secretPath=a&ssn=2&token=3"):                 "https://h/;ssn=REDACTED?secretPath=a&ssn=REDACTED&token=REDACTED",
		names.Text("secretPath=a ssn=2 token=3"):                                    "secretPath=a ssn=REDACTED token=REDACTED",
		names.Body([]byte(`{"secret_path":"a","ssn":2}`), asJSON, "", 99):           `{"secret_path":"a","ssn":"REDACTED"}`,
		names.Body([]byte(`[{"name":"ssn","value":2}]`), asJSON, "", 99):            `[{"name":"ssn","value":"REDACTED"}]`,
		names.Body([]byte("secretPath=a&ssn=2"), asForm, "", 99):                    "secretPath=a&ssn=REDACTED",
		names.Body([]byte(`{"a":"https://h/?ssn=2&secretPath=b"}`), asJSON, "", 99): `{"a":"https://h/?ssn=REDACTED&secretPath=b"}`,
	} {
		assert.Equal(t, want, shown)
	}
}

func TestValue_MayBeAURLAsAWhole(t *testing.T) {
	for in, want := range map[string]string{
		"/login?next=%2Fcb%3Ftoken%3Ds3cret":  "/login?next=%2Fcb%3Ftoken%3DREDACTED",
		"//me:s3cret@h/?a":                    "//REDACTED@h/?a",
		`{"token":"s3cret"}`:                  `{"token":"REDACTED"}`,
		`<https://h/?token=s3cret>; rel=next`: `<https://h/?token=REDACTED>; rel=next`,
		"text/html; charset=utf-8":            "text/html; charset=utf-8",
		"what? yes":                           "what? yes",
		`W/"0815"`:                            `W/"0815"`,
	} {
		assert.Equal(t, want, redact.Value(in))
	}
	assert.Less(t, len(redact.Value("/?"+strings.Repeat("x", 1<<20))), 20<<10)
}

func TestText_WhatGoPrintsOfMapsAndStructsShowsNoSecret(t *testing.T) {
	header := map[string][]string{"X-Api-Key": {"s3cret-1", "s3cret-2"}, "Accept": {"text/html"}}
	fields := struct{ Token, User string }{"s3cret-1", "gopher1"}
	for format, want := range map[string]string{
		"%v":  "map[Accept:[text/html] X-Api-Key:[REDACTED REDACTED]] {s3cret-1 gopher1}",
		"%+v": "map[Accept:[text/html] X-Api-Key:[REDACTED REDACTED]] {Token:REDACTED User:gopher1}",
		"%#v": `map[string][]string{"Accept":[]string{"text/html"}, "X-Api-Key":REDACTED} ` +
			`struct { Token string; User string }{Token:"REDACTED", User:"gopher1"}`,
		"%q": `map["Accept":["text/html"] "X-Api-Key":"REDACTED"] {"s3cret-1" "gopher1"}`,
	} {
		assert.Equal(t, want, redact.Text(fmt.Sprintf(format+" "+format, header, fields)), format)
	}
	for _, harmless := range []string{
		"map[password:[must have 8 characters]]", `password: "too short"`, `{Page:"2"}`, "token: [1 of 2]",
	} {
		assert.Equal(t, harmless, redact.Text(harmless))
	}
}

func TestText_WhatPeopleWriteOfASecretIsMasked(t *testing.T) {
	for text, want := range map[string]string{
		`login failed, password: "s3cret-1" is wrong`:     `login failed, password: "REDACTED" is wrong`,
		`token: 's3cret-1'`:                               `token: 'REDACTED'`,
		`user = gopher1, password = s3cret-1`:             `user = gopher1, password = REDACTED`,
		`run --user gopher1 --token s3cret-1 -v`:          `run --user gopher1 --token REDACTED -v`,
		`<user>gopher1</user><password>s3cret</password>`: `<user>gopher1</user><password>REDACTED</password>`,
		`--password must be given`:                        `--password must be given`,
		`password = missing`:                              `password = missing`,
		`password: "required"`:                            `password: "required"`,
	} {
		assert.Equal(t, want, redact.Text(text))
	}
}
