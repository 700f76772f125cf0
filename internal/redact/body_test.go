package redact_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/redact"
)

const (
	asJSON = "application/json"
	asForm = "application/x-www-form-urlencoded"
)

func TestBody_IsNotShownIfItsSecretsCannotBeToldApart(t *testing.T) {
	for name, x := range map[string]struct{ contentType, body, want string }{
		"plain text":                      {"text/plain", "s3cret", "[text/plain, 6 bytes]"},
		"markup":                          {"application/xml", "<a>s3cret</a>", "[application/xml, 13 bytes]"},
		"a GraphQL document":              {"application/graphql", `{ login(pin: "s3cret") { id } }`, "[application/graphql, 31 bytes]"},
		"no type":                         {"", "s3cret", "[no type, 6 bytes]"},
		"a type with a control character": {"text/\x1b[2J", "s3cret", `[text/\u001b[2j, 6 bytes]`},

		"a GraphQL document in JSON": {asJSON, `{"query":"mutation L { login(pin: \"s3cret\") { id } }","variables":{"a":1}}`,
			`{"query":"[GraphQL]","variables":{"a":1}}`},
		"a short one":          {asJSON, `{"query":"{ login(pin: \"s3cret\") { id } }"}`, `{"query":"[GraphQL]"}`},
		"one without literals": {asJSON, `{"query":"{ me { id } }"}`, `{"query":"{ me { id } }"}`},
		"a search":             {asJSON, `{"query":"shoes (red)"}`, `{"query":"shoes (red)"}`},
		"one in a form":        {asForm, "query=mutation+%7B+login%28pin%3A+%22s3cret%22%29+%7D&a=1", "query=%5BGraphQL%5D&a=1"},

		"a private key in JSON": {asJSON, `{"pem":"-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n"}`, `{"pem":"REDACTED\n"}`},
		"one that is cut off":   {asJSON, `{"pem":"-----BEGIN PGP PRIVATE KEY BLOCK-----\ns3cret"}`, `{"pem":"REDACTED"}`},
		"a certificate":         {asJSON, `{"pem":"-----BEGIN CERTIFICATE-----"}`, `{"pem":"-----BEGIN CERTIFICATE-----"}`},
		"a JWT in JSON":         {asJSON, `{"a":["eyJhbGciOiJIUzI1NiJ9.s3cret.s3cret"]}`, `{"a":["REDACTED"]}`},
		"a JWT in a form":       {asForm, "a=eyJhbGciOiJIUzI1NiJ9.s3cret.s3cret", "a=REDACTED"},
		"a credential in JSON":  {asJSON, `{"a":"Bearer s3cret-value"}`, `{"a":"Bearer REDACTED"}`},

		"JSON in a form":                 {asForm, `a=%7B%22password%22%3A%22s3cret%22%7D&b=1`, `a=%7B%22password%22%3A%22REDACTED%22%7D&b=1`},
		"harmless JSON in a form":        {asForm, `a=%7B%22b%22%3A1%7D`, `a=%7B%22b%22%3A1%7D`},
		"JSON alone in a form":           {asForm, `%7B%22password%22%3A%22s3cret%22%7D`, `%7B%22password%22%3A%22REDACTED%22%7D`},
		"a broken escape in a form":      {asForm, `a=%7B%22password%22%3A%22s3cret%22%7D%2`, `a=%7B%22password%22%3A%22REDACTED%22%7D%0A%E2%80%A6+%5Bunreadable+from+here%5D`},
		"JSON in JSON":                   {asJSON, `{"a":"[{\"password\":\"s3cret\"}]"}`, `{"a":"[{\"password\":\"REDACTED\"}]"}`},
		"a text in brackets":             {asJSON, `{"a":"[note] hello","b":"{id} of 3"}`, `{"a":"[note] hello","b":"{id} of 3"}`},
		"broken JSON in JSON":            {asJSON, `{"a":"{\"b\":1,\"c\"s3cret"}`, `{"a":"{\"b\":1,\"c\":… [unreadable from here]"}`},
		"JSON that is nested too deeply": {asJSON, nested(8), ""},

		"a relative URL in JSON": {asJSON, `{"next":"/cb?token=s3cret","color":"#fff","q":"what?"}`, `{"next":"/cb?token=REDACTED","color":"#fff","q":"what?"}`},
		"control characters":     {asJSON, `{"a":"\u009b31m\u202e\u001b"}`, `{"a":"\u009b31m\u202e\u001b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			shown := redact.Body([]byte(x.body), x.contentType, "", 1<<10)
			assert.NotContains(t, shown, "s3cret")
			if x.want != "" {
				assert.Equal(t, x.want, shown)
			}
		})
	}
}

// nested is JSON in a string of JSON, and so on.
func nested(times int) string {
	if times == 0 {
		return `{"password":"s3cret"}`
	}
	return fmt.Sprintf(`{"a":%q}`, nested(times-1))
}

func TestBody_AValueWhoseNameStandsBesideItIsASecret(t *testing.T) {
	for in, want := range map[string]string{
		`[{"name":"password","value":"s3cret"},{"name":"page","value":"2"}]`: `[{"name":"password","value":"REDACTED"},{"name":"page","value":"2"}]`,
		`{"value":"s3cret","name":"token"}`:                                  `{"value":"REDACTED","name":"token"}`,
		`{"value":"2","b":[1,{"c":2}],"name":"page"}`:                        `{"value":"2","b":[1,{"c":2}],"name":"page"}`,
		`{"key":"token","value":"s3cret"}`:                                   `{"key":"REDACTED","value":"REDACTED"}`,
		`{"field":"otp","val":123456,"more":true}`:                           `{"field":"otp","val":"REDACTED","more":true}`,
		`{"Header":"X-Api-Key","Values":["s3cret"],"a":1}`:                   `{"Header":"X-Api-Key","Values":"REDACTED","a":1}`,
		`{"value":{"a":["s3cret"]},"name":"credentials","a":1}`:              `{"value":"REDACTED","name":"credentials","a":1}`,
		`{"value":"s3cret"`:                                                  `{"value":"REDACTED"… [unreadable from here]`,
		`{"value":"s3cret`:                                                   `{"value":… [unreadable from here]`,
		`{"value":[1,2`:                                                      `{"value":[1,2… [unreadable from here]`,
		`[["Cookie","s3cret"],["Accept","text/html"]]`:                       `[["Cookie","REDACTED"],["Accept","text/html"]]`,
		`["Host","h","Authorization","s3cret"]`:                              `["Host","h","Authorization","REDACTED"]`,
		`{"name":"gopher","text":"hello"}`:                                   `{"name":"gopher","text":"hello"}`,
	} {
		assert.Equal(t, want, redact.Body([]byte(in), asJSON, "", 1<<10), in)
	}
	shown := redact.Body([]byte(`{"value":"s3cret","b":["x","y","z"],"name":"token"}`), asJSON, "", 22)
	assert.True(t, strings.HasPrefix(shown, `{"value":"REDACTED","b…`), "also where the limit hides the name: %s", shown)
}

func TestBody_CostIsBoundedByTheLimit(t *testing.T) {
	const limit = 200
	long := strings.Repeat("x", 8<<20)
	for name, x := range map[string]struct{ contentType, start, want string }{
		"a JSON string":            {asJSON, `{"a":"` + long, `{"a":"` + long[:limit-6]},
		"JSON of many values":      {asJSON, `[` + strings.Repeat(`"a",`, 2<<20), `[` + strings.Repeat(`"a",`, 49) + `"a"`},
		"JSON of white space":      {asJSON, `[1,` + strings.Repeat(" ", 8<<20), `[1,`},
		"a secret":                 {asJSON, `{"token":"` + long, `{"token":"REDACTED"`},
		"JSON that is no JSON":     {asJSON, `{` + long, `{`},
		"a form":                   {asForm, `a=` + long, `a=` + long[:limit-2]},
		"a form of many fields":    {asForm, strings.Repeat("a=b&", 2<<20), strings.Repeat("a=b&", limit/4)},
		"a form with one secret":   {asForm, `token=` + long, `token=REDACTED`},
		"JSON that is called text": {"text/plain", `{"a":"` + long, `{"a":"` + long[:limit-6]},
	} {
		t.Run(name, func(t *testing.T) {
			// A control character, and bytes that are no UTF-8, make a body opaque. That these do not shows that what is
			// beyond the limit is not read.
			body := []byte(x.start + "\x00\xff")
			shown := redact.Body(body, x.contentType, "", limit)
			assert.Equal(t, fmt.Sprintf("%s… (%d bytes)", x.want, len(body)), shown)

			// Nor is it copied: no more is allocated than a multiple of what is read.
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			redact.Body(body, x.contentType, "", limit)
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(100*(limit+4096)))
		})
	}
}

func TestBody_ACutInsideAStringShowsItUpToThere(t *testing.T) {
	for _, tail := range []string{`é`, `\u00e9`, `\\`, `\"`, `\n`, `"`, `😀`} {
		for cut := range 16 { // at whichever byte of the tail
			body := `{"a":"` + strings.Repeat("x", 4096+200-6-cut) + strings.Repeat(tail, 2000)
			shown := redact.Body([]byte(body), asJSON, "", 200)
			assert.Equal(t, fmt.Sprintf("%s… (%d bytes)", body[:200], len(body)), shown, "%s cut at %d", tail, cut)
			assert.True(t, utf8.ValidString(shown))
		}
	}
}

func TestText_IsCutOffAtItsLimit(t *testing.T) {
	text := redact.Text(strings.Repeat("x", 1<<20) + "\xff")
	assert.Less(t, len(text), 20<<10)
	assert.True(t, strings.HasSuffix(text, "… (1048577 bytes)"))
}

func TestPrintable_WritesOutWhatATerminalWouldActOn(t *testing.T) {
	for in, want := range map[string]string{
		"plain äöü 漢字 😀\t\n": "plain äöü 漢字 😀\t\n",
		"\x1b[31m":           `\u001b[31m`,
		"\x9b31m":            `\x9b31m`,
		"\u009b":             `\u009b`,
		"\u202eabc\u2066":    `\u202eabc\u2066`,
		"a\u200bb\ufeff":     `a\u200bb\ufeff`,
		"\u2028":             `\u2028`,
		"\r\x00\x7f":         `\r\u0000\u007f`,
		"\U000e0041":         `\ue0041`,
		"\ufffd":             "\ufffd",
	} {
		assert.Equal(t, want, redact.Printable(in), "%q", in)
	}
	assert.Equal(t, `a\nb\tc`, redact.OneLine("a\nb\tc"))
}
