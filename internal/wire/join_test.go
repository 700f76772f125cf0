package wire_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/wire"
)

func newBase(t *testing.T, raw string, defaults wire.Params) *wire.Base {
	t.Helper()
	base, err := wire.ParseBase(raw, defaults)
	require.NoError(t, err)
	return base
}

func TestJoin_BaseAndPathHaveOneSlashBetweenThem(t *testing.T) {
	for _, x := range []struct{ base, raw, want string }{
		{"http://a.test", "", "http://a.test"},
		{"http://a.test", "x", "http://a.test/x"},
		{"http://a.test/", "/x", "http://a.test/x"},
		{"http://a.test/v1", "x/", "http://a.test/v1/x/"},
		{"http://a.test/v1//", "x//y", "http://a.test/v1/x//y"},
		{"http://a.test/v1", "?q=1", "http://a.test/v1?q=1"},
		{"http://a.test/v1?k=1", "x?q=1#f", "http://a.test/v1/x?k=1&q=1"},
		{"http://a.test/a%2Fb", "c d", "http://a.test/a%2Fb/c%20d"},
		{"http://a.test/a%2Fb", "c", "http://a.test/a%2Fb/c"},
		{"http://a.test/a%2Fb?k=1#f", "c", "http://a.test/a%2Fb/c?k=1"},
		{"http://a.test/a%2Fb#f?g", "c", "http://a.test/a%2Fb/c"},
		{"http://a.test", "://b.test", "http://a.test/://b.test"},
		{"http://a.test", "x?q=grün 1", "http://a.test/x?q=gr%C3%BCn%201"},
		{"http://a.test", "https://b.test/y#f", "https://b.test/y"},
		{"", "https://b.test/a%2Fb c", "https://b.test/a%2Fb%20c"},
		{"http://a.test", "/http://b.test", "http://a.test/http://b.test"},
	} {
		u, err := wire.Join(newBase(t, x.base, nil), x.raw, wire.Values{})
		require.NoError(t, err, "%q and %q", x.base, x.raw)
		assert.Equal(t, x.want, u.String(), "%q and %q", x.base, x.raw)
	}
}

func TestJoin_ATextThatMayBeTakenForAnotherHostIsRefused(t *testing.T) {
	base := newBase(t, "http://a.test/v1", nil)
	for raw, says := range map[string]string{
		"//b.test":        "neither a path nor an absolute URL",
		`\\b.test`:        "neither a path nor an absolute URL",
		`/\b.test`:        "neither a path nor an absolute URL",
		"http:b.test":     "neither a path nor an absolute URL",
		"HTTPS:/b.test":   "neither a path nor an absolute URL",
		"ftp://b.test":    `has the scheme "ftp"`,
		"http://":         "has no host",
		"http://a b/":     "does not parse",
		"x%zz":            "does not parse",
		"x?a\nb":          "the query has a control character at byte 1",
		"x?\nb":           "the query has a control character at byte 0",
		"http://:80/path": "has no host",
	} {
		_, err := wire.Join(base, raw, wire.Values{})
		require.ErrorContains(t, err, says, "%q", raw)
	}
	_, err := wire.Join(nil, "/x", wire.Values{})
	require.ErrorContains(t, err, "the client has no base URL")
}

func TestJoin_AnErrorShowsNoPassword(t *testing.T) {
	_, err := wire.ParseBase("http://ada:s3cret@a.test:port", nil)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
	_, err = wire.Join(nil, "ftp://ada:s3cret@a.test", wire.Values{})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}

func TestJoin_APlainJoinNeverFails(t *testing.T) {
	base := newBase(t, "http://a.test/v1", nil)
	for path, want := range map[string]bool{
		"": true, "/users/7": true, "a-b_c.d": true, "..": true,
		"//b.test": false, "/a b": false, "/{id}": false, "?q": false, "#f": false, "/a%2Fb": false, "http://b.test": false, "ü": false,
	} {
		assert.Equal(t, want, base.IsPlainJoin(path), "%q", path)
		if want {
			_, err := wire.Join(base, path, wire.Values{})
			require.NoError(t, err)
		}
	}
	assert.False(t, newBase(t, "http://a.test/{v}", nil).IsPlainJoin("/x"))
}

func TestBase_ItsHostIsFilledInFromTheDefaultsAlone(t *testing.T) {
	defaults := wire.Params{"tenant": {Text: "ada"}}
	base := newBase(t, "https://{tenant}.test/{version}", defaults)
	assert.Equal(t, "ada.test", base.Host)

	own := wire.Params{"version": {Text: "v2"}}
	for _, same := range []wire.Params{own, own.With("tenant", defaults["tenant"])} {
		u, err := wire.Join(base, "/x", wire.Values{Own: same, Defaults: defaults})
		require.NoError(t, err)
		assert.Equal(t, "https://ada.test/v2/x", u.String())
	}

	_, err := wire.Join(base, "/x", wire.Values{Own: own.With("tenant", wire.Param{Text: "eve"}), Defaults: defaults})
	require.ErrorContains(t, err, "{tenant} stands in the host of the base URL")

	for _, value := range []string{"", "eve.test/", "a.b", "a:1", "a@b", "ü"} {
		_, err := wire.ParseBase("https://{tenant}.test", wire.Params{"tenant": {Text: value}})
		var bad *wire.ParamError
		require.ErrorAs(t, err, &bad, "%q", value)
		assert.Equal(t, "tenant", bad.Name)
	}

	long := newBase(t, "https://{tenant}.test", wire.Params{"tenant": {Text: "ada-1_B"}})
	assert.Equal(t, "ada-1_B.test", long.Host)
}

func TestJoin_EachPartOfAnAbsoluteURLHasItsPlaceholdersFilledInByItsOwnRule(t *testing.T) {
	values := wire.Values{Own: wire.Params{"id": {Text: "a b&c/d"}, "tenant": {Text: "ada"}}}
	for raw, want := range map[string]string{
		"https://{tenant}.test/{id}":            "https://ada.test/a%20b&c%2Fd",
		"https://{tenant}.test?q={id}":          "https://ada.test?q=a+b%26c%2Fd",
		"https://b.test/{id}?q={id}#{id}":       "https://b.test/a%20b&c%2Fd?q=a+b%26c%2Fd",
		"https://b.test/x?{other}={id}&{tenant": "https://b.test/x?{other}=a+b%26c%2Fd&{tenant",
	} {
		u, err := wire.Join(nil, raw, values)
		require.NoError(t, err, raw)
		assert.Equal(t, want, u.String(), raw)
	}

	values.Own = values.Own.With("none", wire.Param{})
	for raw, name := range map[string]string{
		"https://{id}.test/":        "id",
		"https://{other}.test/":     "other",
		"https://b.test/{other}":    "other",
		"https://b.test/x?q={none}": "none",
	} {
		u, err := wire.Join(nil, raw, values)
		var bad *wire.ParamError
		require.ErrorAs(t, err, &bad, raw)
		assert.Equal(t, name, bad.Name, raw)
		assert.Nil(t, u, raw)
	}
}

func TestKeepEscapes_AQueryGoesOutInPrintableASCII(t *testing.T) {
	u := &url.URL{RawQuery: "a=\x00 ~\x7fü%2f"}
	wire.KeepEscapes(u)
	assert.Equal(t, "a=%00%20~%7F%C3%BC%2f", u.RawQuery)
}

func TestParams_AreNeverModified(t *testing.T) {
	var none wire.Params
	one := none.With("a", wire.Param{Text: "1"})
	two := one.With("b", wire.Param{Text: "2"})
	assert.Empty(t, none)
	assert.Len(t, one, 1)
	assert.Len(t, two, 2)
}

func TestRedirect_ALocationKeepsItsEscapes(t *testing.T) {
	from, err := url.Parse("http://a.test/from/here")
	require.NoError(t, err)
	for location, want := range map[string]string{
		"/My Project/..%2Fadmin": "/My%20Project/..%2Fadmin",
		"sibling ü/a%2Fb":        "/from/sibling%20%C3%BC/a%2Fb",
		"/a b":                   "/a%20b",
	} {
		path, rawPath, differs := wire.ResolveKeepingEscapes(from, location)
		assert.True(t, differs, location)
		assert.Equal(t, want, (&url.URL{Path: path, RawPath: rawPath}).EscapedPath(), location)
	}

	for _, location := range []string{"/plain/a%2Fb", "/plain", "?q=1", "%zz"} {
		_, _, differs := wire.ResolveKeepingEscapes(from, location)
		assert.False(t, differs, "%s: net/http's own path is right, or there is none", location)
	}
}

// FuzzJoin joins any path to a base URL, with any value of a path parameter. The result is of the base URL's origin, it parses
// to itself, what is sent of it is ASCII, and it begins with the path of the base URL.
func FuzzJoin(f *testing.F) {
	for _, raw := range []string{
		"/users/{id}", "//evil.test/{id}", `\\evil`, "/{id}?q={id}#f", "http:evil", "?{id}", "/a%2Fb/{id} ü", "{id}", "{id}//evil", ";{id}",
		"/{{id}}", "/\x00", "@evil.test/", ":80@evil.test", "/{id}/..",
	} {
		for _, value := range []string{"7", "../..", "//evil.test", "http://evil.test", "%2e%2e", "@evil", "", "ü\n", `..\`} {
			f.Add(raw, value, false)
			f.Add(raw, value, true)
		}
	}
	defaults := wire.Params{"v": {Text: "1"}}
	base, err := wire.ParseBase("https://ada:secret@a.test:8443/a%2Fb/{v}?k=1", defaults)
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, raw, value string, isRaw bool) {
		u, err := wire.Join(base, raw, wire.Values{Own: wire.Params{"id": {Text: value, Raw: isRaw}}, Defaults: defaults})
		if wire.IsAbsolute(raw) {
			return
		}
		if err != nil {
			if u != nil {
				t.Fatal("a URL beside an error")
			}
			return
		}

		if origin.Of(u) != origin.Of(&base.URL) || u.User.String() != base.User.String() {
			t.Fatalf("%q with %q leaves the origin: %s", raw, value, u)
		}
		again, err := url.Parse(u.String())
		if err != nil || again.String() != u.String() || origin.Of(again) != origin.Of(u) {
			t.Fatalf("%q with %q does not parse to itself: %s, %s, %v", raw, value, u, again, err)
		}
		sent := u.RequestURI()
		for i := range len(sent) {
			if sent[i] <= ' ' || sent[i] >= 0x7f {
				t.Fatalf("%q with %q sends %q", raw, value, sent)
			}
		}
		if !strings.HasPrefix(sent, "/a%2Fb/1") || !strings.Contains(sent, "k=1") {
			t.Fatalf("%q with %q has lost the base URL: %q", raw, value, sent)
		}
	})
}
