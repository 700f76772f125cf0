package axle_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// resolve is the URL that a request would be sent to, and that it is sent to.
func resolve(t *testing.T, c *axle.Client, r *axle.Request) string {
	t.Helper()
	u, err := r.ResolveURL()
	require.NoError(t, err)
	var sent string
	c.SetTransport(roundTripFunc(func(raw *http.Request) (*http.Response, error) {
		sent = raw.URL.String()
		return reply(raw, 200, ""), nil
	}))
	_, err = c.Do(r)
	require.NoError(t, err)
	assert.Equal(t, u.String(), sent, "ResolveURL says what is sent")
	return sent
}

func TestURL_BaseAndPathAreJoined(t *testing.T) {
	for _, x := range []struct{ base, path, want string }{
		{"http://a.test", "", "http://a.test"},
		{"http://a.test", "/", "http://a.test/"},
		{"http://a.test", "x", "http://a.test/x"},
		{"http://a.test", "/x", "http://a.test/x"},
		{"http://a.test/", "x", "http://a.test/x"},
		{"http://a.test/", "/x", "http://a.test/x"},
		{"http://a.test//", "/x", "http://a.test/x"},
		{"http://a.test/v1", "", "http://a.test/v1"},
		{"http://a.test/v1", "/", "http://a.test/v1/"},
		{"http://a.test/v1", "x", "http://a.test/v1/x"},
		{"http://a.test/v1", "/x", "http://a.test/v1/x"},
		{"http://a.test/v1/", "x", "http://a.test/v1/x"},
		{"http://a.test/v1/", "/x/", "http://a.test/v1/x/"},
		{"http://a.test/v1/", "", "http://a.test/v1/"},
		{"http://a.test:8080/v1", "x/y", "http://a.test:8080/v1/x/y"},
		{"https://[::1]:8443/v1", "/x", "https://[::1]:8443/v1/x"},
		// Queries, of either side, as they are written.
		{"http://a.test/v1?k=1", "", "http://a.test/v1?k=1"},
		{"http://a.test/v1?k=1", "/x", "http://a.test/v1/x?k=1"},
		{"http://a.test/v1/?k=1", "/x?q=2", "http://a.test/v1/x?k=1&q=2"},
		{"http://a.test/v1?k=1", "?q=2", "http://a.test/v1?k=1&q=2"},
		{"http://a.test/v1", "x?b=2&a=1&a=0&c", "http://a.test/v1/x?b=2&a=1&a=0&c"},
		{"http://a.test", "/x?q=%2F+%20a;b", "http://a.test/x?q=%2F+%20a;b"},
		{"http://a.test", "/x?q=a b", "http://a.test/x?q=a%20b"},
		{"http://a.test", "/x?", "http://a.test/x"},
		{"http://a.test", "/x?next=http://b.test/y", "http://a.test/x?next=http://b.test/y"},
		{"http://a.test", "/x?a?b", "http://a.test/x?a?b"},
		// Fragments are not sent.
		{"http://a.test/v1#base", "/x", "http://a.test/v1/x"},
		{"http://a.test/v1?k=1#base", "/x", "http://a.test/v1/x?k=1"},
		{"http://a.test/v1", "/x#there", "http://a.test/v1/x"},
		{"http://a.test/v1", "/x?q=1#there?no=1", "http://a.test/v1/x?q=1"},
		{"http://a.test/v1", "#there", "http://a.test/v1"},
		// Escapes are kept, and what needs one gets it.
		{"http://a.test/v1", "/a%2Fb", "http://a.test/v1/a%2Fb"},
		{"http://a.test/v%2F1", "/x", "http://a.test/v%2F1/x"},
		{"http://a.test", "/a b/ü", "http://a.test/a%20b/%C3%BC"},
		{"http://a.test", "/a:b@c", "http://a.test/a:b@c"},
		{"http://a.test", "a:b", "http://a.test/a:b"},
		{"http://a.test", "mailto:x@b.test", "http://a.test/mailto:x@b.test"},
		{"http://a.test", "://b.test", "http://a.test/://b.test"},
		// An absolute URL stands for itself.
		{"http://a.test/v1?k=1", "http://b.test", "http://b.test"},
		{"http://a.test/v1", "https://b.test:1/x?q=1#f", "https://b.test:1/x?q=1"},
		{"http://a.test/v1", "HTTPS://b.test/x", "https://b.test/x"},
		{"", "http://b.test/x?q=a b", "http://b.test/x?q=a%20b"},
		{"http://a.test", "http://me:pw@b.test/x", "http://me:pw@b.test/x"},
	} {
		c := axle.New().SetBaseURL(x.base)
		assert.Equal(t, x.want, resolve(t, c, c.R(t.Context()).SetURL(x.path)), "%q and %q", x.base, x.path)
		assert.Equal(t, x.base, c.BaseURL())
	}
}

func TestURL_QueryParametersAreAppendedAndOverrideDefaultsByName(t *testing.T) {
	for _, x := range []struct {
		name, url string
		edit      func(r *axle.Request)
		want      string
	}{
		{"defaults", "/x", nil, "/x?d1=1&d2=2"},
		{"by the query", "/x", func(r *axle.Request) { r.SetQueryParam("d1", "own") }, "/x?d1=own&d2=2"},
		{"all values of a name", "/x", func(r *axle.Request) { r.Query["d1"] = []string{"a", "b"} }, "/x?d1=a&d1=b&d2=2"},
		{"by the URL's own query", "/x?d1=own", nil, "/x?d1=own&d2=2"},
		{"the URL's own query is not sorted", "/x?z=1&a=2", func(r *axle.Request) { r.SetQueryParam("q", "ü &=") }, "/x?z=1&a=2&d1=1&d2=2&q=%C3%BC+%26%3D"},
		{"an empty value overrides", "/x", func(r *axle.Request) { r.SetQueryParam("d1", "") }, "/x?d1=&d2=2"},
		{"none of a name removes it", "/x", func(r *axle.Request) { r.Query["d1"] = nil }, "/x?d2=2"},
		{"no Query at all", "/x", func(r *axle.Request) { r.Query = nil }, "/x?d1=1&d2=2"},
		{"the same in both", "/x?q=url", func(r *axle.Request) { r.SetQueryParam("q", "set") }, "/x?q=url&d1=1&d2=2&q=set"},
		{"a fragment", "/x?d1=own#d2=no", nil, "/x?d1=own&d2=2"},
		{"a fragment with an ampersand", "/x?d1=own#f&d2=no", nil, "/x?d1=own&d2=2"},
		{"a fragment with a question mark", "/x#f?d1=no", nil, "/x?d1=1&d2=2"},
	} {
		var sent string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			sent = r.URL.RequestURI()
			return reply(r, 200, ""), nil
		})
		c.SetQueryParam("d1", "1").SetQueryParam("d2", "old").SetQueryParam("d2", "2")
		_, err := c.R(t.Context()).With(x.edit).Get(x.url)
		require.NoError(t, err)
		assert.Equal(t, x.want, sent, x.name)
	}
}

func TestURL_PathParametersAreEscaped(t *testing.T) {
	for _, x := range []struct{ url, value, want string }{
		{"/a/{v}/b", "1", "/a/1/b"},
		{"/a/{v}/{v}", "1", "/a/1/1"},
		{"/a/{v}", "x/y", "/a/x%2Fy"},
		{"/a/{v}", "../../admin", "/a/..%2F..%2Fadmin"},
		{"/a/{v}", "?admin=1", "/a/%3Fadmin=1"},
		{"/a/{v}", "x#y", "/a/x%23y"},
		{"/a/{v}", "x%2e", "/a/x%252e"},
		{"/a/{v}", "%2e%2e", "/a/%252e%252e"},
		{"/a/{v}", "a b;ü", "/a/a%20b%3B%C3%BC"},
		{"/a/{v}", `x\y`, "/a/x%5Cy"},
		{"/a/{v}", "x\r\ny", "/a/x%0D%0Ay"},
		{"/a/{v}", "{v}", "/a/%7Bv%7D"},
		{"/a/{v}", "...", "/a/..."},
		{"/{v}", "//evil.test", "/%2F%2Fevil.test"},
		{"/a?q={v}&r=1", "x&y=z #ü", "/a?q=x%26y%3Dz+%23%C3%BC&r=1"},
		{"/a?q={v}", "..", "/a?q=.."},
	} {
		c := axle.New().SetBaseURL("http://a.test")
		assert.Equal(t, "http://a.test"+x.want, resolve(t, c, c.R(t.Context()).SetURL(x.url).SetPathParam("v", x.value)), "%q", x.value)
	}
}

func TestURL_PathParametersThatClimbOrLackAreRefused(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	for _, x := range []struct{ url, value, says string }{
		{"/a/{v}/b", "..", "climb"},
		{"/a/{v}/b", ".", "climb"},
		{"/a/{other}", "1", "{other}"},
	} {
		r := c.R(t.Context()).SetURL(x.url).SetPathParam("v", x.value)
		_, err := c.Do(r)
		e := asAxle(t, err)
		assert.Equal(t, axle.CodeBadOption, e.Code)
		assert.ErrorContains(t, err, x.says)
		_, err = r.ResolveURL()
		assert.ErrorIs(t, err, axle.CodeBadOption)
		_, err = r.Origin()
		assert.ErrorIs(t, err, axle.CodeBadOption)
	}
	assert.Zero(t, network.Sent.Load())
}

func TestURL_Origin(t *testing.T) {
	for _, x := range []struct{ base, url, want string }{
		{"http://a.test", "/x", "http://a.test"},
		{"http://a.test/v1?q=1", "", "http://a.test"},
		{"HTTP://A.Test:80/", "/x y", "http://a.test"},
		{"https://a.test:443", "x", "https://a.test"},
		{"http://a.test:443", "x", "http://a.test:443"},
		{"https://a.test:80", "x", "https://a.test:80"},
		{"http://a.test.", "x", "http://a.test"},
		{"http://[::1]:8080", "x", "http://[::1]:8080"},
		{"http://a.test", "https://B.test:8443/x", "https://b.test:8443"},
		{"http://a.test", "http://a.test@b.test/", "http://b.test"},
		{"http://a.test", "http://a.test#@b.test/", "http://a.test"},
		{"http://a.test", "http://a.test?@b.test/", "http://a.test"},
		{"http://a.test", "..//b.test", "http://a.test"},
	} {
		got, err := axle.New().SetBaseURL(x.base).R(t.Context()).SetURL(x.url).Origin()
		require.NoError(t, err)
		assert.Equal(t, x.want, got, "%q and %q", x.base, x.url)
	}
}

func TestURL_InAHandlerItIsResolvedWithTheCallsSettings(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.SetBaseURL("http://axle.test/v1").SetQueryParam("d", "1")
	useRequest(c, func(r *axle.Request) {
		c.SetBaseURL("http://later.test")
		u, err := r.ResolveURL()
		if assert.NoError(t, err) {
			assert.Equal(t, "http://axle.test/v1/1/x?d=1", u.String())
		}
		assert.Equal(t, "http://axle.test/v1", r.BaseURL())
		o, err := r.Origin()
		assert.NoError(t, err)
		assert.Equal(t, "http://axle.test", o)
		u.Host = "changed.test" // what it returns is the caller's to change
	})
	resp, err := c.R(t.Context()).SetPathParam("id", "1").Get("/{id}/x")
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/v1/1/x?d=1", resp.Raw().Request.URL.String())
}

func TestURL_ADefaultParameterThatAHandlerRemovesIsNotResolvedAgain(t *testing.T) {
	var sent string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = r.URL.String()
		return reply(r, 200, ""), nil
	})
	c.SetQueryParam("d", "1")
	useRequest(c, func(r *axle.Request) {
		r.Query.Del("d")
		u, err := r.ResolveURL()
		if assert.NoError(t, err) {
			assert.Equal(t, "http://axle.test/x", u.String())
		}
	})
	_, err := c.Get(t.Context(), "/x")
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/x", sent)
}

func TestURL_WhatResolveURLReturnsIsACopy(t *testing.T) {
	c := axle.New().SetBaseURL("http://a.test/v1")
	for _, path := range []string{"", "/x"} {
		u, err := c.R(t.Context()).SetURL(path).ResolveURL()
		require.NoError(t, err)
		u.Host, u.Path = "changed.test", "/changed"
		again, err := c.R(t.Context()).SetURL(path).ResolveURL()
		require.NoError(t, err)
		assert.Equal(t, "http://a.test/v1"+path, again.String())
	}
}

func TestURL_ARequestWithoutAClientIsResolvedWithoutABase(t *testing.T) {
	u, err := (&axle.Request{URL: "http://b.test/x", Query: url.Values{"q": {"1"}}}).ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, "http://b.test/x?q=1", u.String())
	o, err := (&axle.Request{URL: "http://b.test/x"}).Origin()
	require.NoError(t, err)
	assert.Equal(t, "http://b.test", o)

	_, err = (&axle.Request{URL: "/x"}).ResolveURL()
	require.ErrorIs(t, err, axle.CodeInvalidURL)
	_, err = (&axle.Request{URL: "/x"}).Origin()
	assert.ErrorIs(t, err, axle.CodeInvalidURL)
}

func TestURL_MalformedOnesAreRefusedAndNothingIsSent(t *testing.T) {
	for _, x := range []struct{ name, base, url string }{
		{"no base", "", "/x"},
		{"nothing", "", ""},
		{"a base without a scheme", "a.test", "/x"},
		{"a base that is a path", "/v1", "/x"},
		{"a base without a host", "http://", "/x"},
		{"a base with a port alone", "http://:80", "/x"},
		{"a base of another scheme", "ftp://a.test", "/x"},
		{"a base that does not parse", "http://a.test:port", "/x"},
		{"a base with a control character", "http://a.test/\r\n", "/x"},
		{"a base with a control character in the query", "http://a.test/?a\nb", "/x"},
		{"a bad base beside an absolute URL", "http://a.test:port", "http://b.test"},
		{"a bad escape", "http://a.test", "/%zz"},
		{"a bad escape of an absolute URL", "http://a.test", "http://b.test/%zz"},
		{"a control character", "http://a.test", "/a\nb"},
		{"a control character in the query", "http://a.test", "/a?b=\r\nX-Evil: 1"},
		{"NUL in the query", "http://a.test", "/a?b=\x00"},
		{"DEL in the query", "http://a.test", "/a?b=\x7f"},
		{"a control character in the query of an absolute URL", "http://a.test", "http://b.test/?a\r\nb"},
		{"no host", "http://a.test", "http:///x"},
		{"a port that is none", "http://a.test", "http://b.test:99x/"},
		{"ftp", "http://a.test", "ftp://b.test/x"},
		{"file", "http://a.test", "file:///etc/passwd"},
		{"ws", "http://a.test", "ws://b.test/"},
		{"gopher", "http://a.test", "gopher://b.test/_x"},
		{"unix", "http://a.test", "unix:///var/run/docker.sock"},
		{"a space before", "http://a.test", " http://b.test/"},
	} {
		t.Run(x.name, func(t *testing.T) {
			network := &fakeTransport{Answer: always(200, "")}
			c := axle.New().SetBaseURL(x.base).SetTransport(network)
			_, err := c.Get(t.Context(), x.url)
			assert.Equal(t, axle.CodeInvalidURL, asAxle(t, err).Code)
			_, err = c.R(t.Context()).SetURL(x.url).ResolveURL()
			assert.ErrorIs(t, err, axle.CodeInvalidURL)
			_, err = c.R(t.Context()).SetURL(x.url).Origin()
			assert.ErrorIs(t, err, axle.CodeInvalidURL)
			assert.Zero(t, network.Sent.Load())
		})
	}
}

// Base URL escapes: CVE-2024-39338, CVE-2025-27152, CVE-2023-45857.

func TestAdvisory_NoFormOfURLTakesCredentialsToAnotherHost(t *testing.T) {
	var atEvil atomic.Int64
	var leaked atomic.Value
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		atEvil.Add(1)
		for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Xsrf-Token", "X-Csrf-Token"} {
			if v := r.Header.Get(name); strings.Contains(v, "s3cret") {
				leaked.Store(r.URL.String() + " " + name + ": " + v)
			}
		}
	}))
	defer evil.Close()
	host := strings.Replace(strings.TrimPrefix(evil.URL, "http://"), "127.0.0.1", "localhost", 1) // cookies know no ports
	var atHome http.Header
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { atHome = r.Header })
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	home, err := url.Parse(c.BaseURL())
	require.NoError(t, err)
	jar.SetCookies(home, []*http.Cookie{{Name: "session", Value: "s3cret"}, {Name: "XSRF-TOKEN", Value: "s3cret"}})
	c.SetCookieJar(jar).SetXSRF("XSRF-TOKEN", "X-XSRF-TOKEN")
	c.SetHeader("Authorization", "Bearer s3cret").SetHeader("X-Api-Key", "s3cret").SetMethodHeader("GET", "X-Csrf-Token", "s3cret")
	_, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Xsrf-Token", "X-Csrf-Token"} {
		require.Contains(t, atHome.Get(name), "s3cret", "at home it is sent, or the test proves nothing: %s", name)
	}

	const refused, stays, goes = "refused", "stays at home", "goes, without credentials"
	for form, want := range map[string]string{
		"//%s":                              refused,
		"///%s":                             refused,
		`\\%s`:                              refused,
		`\%s`:                               refused,
		`/\%s`:                              refused,
		`\/%s`:                              refused,
		"http:%s":                           refused,
		"http:/%s":                          refused,
		`http:\\%s`:                         refused,
		`http:/\%s`:                         refused,
		"HTTP:%s":                           refused,
		"https:%s":                          refused,
		"http:///%s":                        refused,
		" http://%s":                        refused, //nolint:gocritic // the blank is the point
		"\thttp://%s":                       refused,
		"\n//%s":                            refused,
		"ht\ntp://%s":                       refused,
		"/..//%s":                           stays,
		"/.//%s":                            stays,
		"..//%s":                            stays,
		"/x/../..//%s":                      stays,
		"@%s":                               stays,
		":80@%s":                            stays,
		".%s":                               stays,
		"?@%s":                              stays,
		"#@%s":                              stays,
		";@%s":                              stays,
		"http://%s":                         goes,
		"HtTp://%s/x":                       goes,
		"http://user@%s/":                   goes,
		"http://" + home.Host + "@%s/":      goes,
		"http://127.0.0.1:80@%s/":           goes,
		"http://" + home.Hostname() + "@%s": goes,
	} {
		t.Run(form, func(t *testing.T) {
			target := strings.Replace(form, "%s", host, 1)
			for name, edit := range map[string]func(r *axle.Request){
				"the URL":            func(r *axle.Request) { r.SetURL(target) },
				"a path parameter":   func(r *axle.Request) { r.SetURL("{p}").SetPathParam("p", target) },
				"a handler's change": func(r *axle.Request) { targetKey.Set(r, target) },
			} {
				atEvil.Store(0)
				atHome = nil
				d := c.Clone()
				useRequest(d, func(r *axle.Request) {
					if u, ok := targetKey.Get(r); ok {
						r.SetURL(u)
					}
				})
				_, err := d.Do(d.R(t.Context()).With(edit))
				assert.Nil(t, leaked.Load(), name)
				got := stays
				switch {
				case err != nil:
					assert.ErrorIs(t, err, axle.CodeInvalidURL, name)
					got = refused
				case atEvil.Load() > 0:
					got = goes
				default:
					assert.NotNil(t, atHome, name)
				}
				if name == "a path parameter" {
					assert.NotEqual(t, goes, got, name)
				} else {
					assert.Equal(t, want, got, name)
				}
			}
		})
	}
}

// targetKey carries a URL to a handler.
var targetKey = axle.NewKey[string]("url")

func TestURL_BaseOriginIsTheOriginOfTheBaseURLAndAllocatesNothing(t *testing.T) {
	for base, want := range map[string]string{
		"": "", "HTTP://A.Test:80/v1?q=1": "http://a.test", "https://a.test:8443": "https://a.test:8443", "a.test": "",
	} {
		r := axle.New().SetBaseURL(base).R(t.Context()).SetURL("http://elsewhere.test/")
		assert.Equal(t, want, r.BaseOrigin(), base)
		assert.Zero(t, testing.AllocsPerRun(10, func() { _ = r.BaseOrigin() }))
	}
	assert.Empty(t, new(axle.Request).BaseOrigin(), "without a client")

	c, _ := newFakeClient(always(200, ""))
	useRequest(c, func(r *axle.Request) {
		c.SetBaseURL("http://later.test")
		assert.Equal(t, "http://axle.test", r.BaseOrigin(), "in a call it is that which the call started with")
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
}

func TestURL_ResolveURLHasTheClientsParameters(t *testing.T) {
	u, err := axle.New().SetBaseURL("http://axle.test").SetQueryParam("api", "1").SetQueryParam("q", "default").
		R(t.Context()).SetURL("/x").SetQueryParam("q", "2").ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/x?api=1&q=2", u.String())
}

// search is what a caller would write.
type search struct {
	Text  string         `json:"q"`
	Tags  []string       `json:"tags,omitempty"`
	Page  int            `json:"page"`
	Exact bool           `json:"exact"`
	Since *time.Time     `json:"since"`
	Range map[string]any `json:"range,omitempty"`
	inner int
}

// sentQuery is the query that a server sees.
func sentQuery(t *testing.T, configure func(*axle.Client), edit func(*axle.Request)) string {
	t.Helper()
	var seen string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen, _ = url.QueryUnescape(r.URL.RawQuery) })
	if configure != nil {
		configure(c)
	}
	_, err := c.Get(t.Context(), "/", edit)
	require.NoError(t, err)
	return seen
}

func TestParams_ListsByEncoder(t *testing.T) {
	for name, c := range map[string]struct {
		encoder axle.QueryEncoder
		want    string
	}{
		"default":  {nil, "a=1&a=2"},
		"repeat":   {axle.QueryRepeat, "a=1&a=2"},
		"brackets": {axle.QueryBrackets, "a[]=1&a[]=2"},
		"indices":  {axle.QueryIndices, "a[0]=1&a[1]=2"},
		"comma":    {axle.QueryComma, "a=1,2"},
		"dots":     {axle.QueryDots, "a=1&a=2"},
		"custom": {func(any) (url.Values, error) {
			return url.Values{"a": {"custom"}}, nil
		}, "a=custom"},
	} {
		got := sentQuery(t, func(client *axle.Client) { client.SetQueryEncoder(c.encoder) },
			func(r *axle.Request) { r.SetParams(map[string]any{"a": []int{1, 2}}) })
		assert.Equal(t, c.want, got, name)
	}
}

func TestParams_OfStructsAndNestedValues(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		params any
		want   string
	}{
		"a struct, by its JSON tags": {search{Text: "a b&c", Tags: []string{"x", "y"}, Page: 2, Since: &since, inner: 1},
			"exact=false&page=2&q=a b&c&since=2026-01-02T03:04:05Z&tags=x&tags=y"},
		"null is left out":         {search{Text: "x"}, "exact=false&page=0&q=x"},
		"an object in an object":   {map[string]any{"a": map[string]any{"b": map[string]int{"c": 1}}}, "a[b][c]=1"},
		"a list of objects":        {map[string]any{"a": []any{map[string]int{"b": 1}, map[string]int{"b": 2}}}, "a[0][b]=1&a[1][b]=2"},
		"a list of lists":          {map[string]any{"a": [][]int{{1}, {2, 3}}}, "a[0]=1&a[1]=2&a[1]=3"},
		"a large number":           {map[string]any{"n": int64(9007199254740993)}, "n=9007199254740993"},
		"an empty list":            {map[string]any{"a": []int{}}, ""},
		"url.Values, as they are":  {url.Values{"a": {"1", "2"}}, "a=1&a=2"},
		"nil":                      {nil, ""},
		"a nil map":                {map[string]string(nil), ""},
		"a map with a nil element": {map[string]any{"a": nil, "b": []any{nil, 1}}, "b=1"},
	} {
		assert.Equal(t, c.want, sentQuery(t, nil, func(r *axle.Request) { r.SetParams(c.params) }), name)
	}
}

func TestParams_DotsBetweenAnObjectAndItsMembers(t *testing.T) {
	deep := any("end")
	for range axle.MaxQueryDepth + 1 {
		deep = map[string]any{"a": deep}
	}
	_, err := axle.QueryDots(deep)
	require.ErrorContains(t, err, "nested")

	for name, c := range map[string]struct {
		params any
		want   string
	}{
		"an object":              {map[string]any{"a": map[string]any{"b": 1}}, "a.b=1"},
		"an object in an object": {map[string]any{"a": map[string]any{"b": map[string]int{"c": 1, "d": 2}}}, "a.b.c=1&a.b.d=2"},
		"a list":                 {map[string]any{"a": []int{1, 2}}, "a=1&a=2"},
		"a list in an object":    {map[string]any{"a": map[string]any{"b": []int{1, 2}}}, "a.b=1&a.b=2"},
		"a list of objects":      {map[string]any{"a": []any{map[string]int{"b": 1}, map[string]int{"b": 2}}}, "a[0].b=1&a[1].b=2"},
		"a list of lists":        {map[string]any{"a": [][]int{{1}, {2, 3}}}, "a[0]=1&a[1]=2&a[1]=3"},
		"null is left out":       {map[string]any{"a": map[string]any{"b": nil}}, ""},
		"a struct, by its JSON tags": {struct {
			Page struct {
				Size int `json:"size"`
			} `json:"page"`
		}{}, "page.size=0"},
		"no object, no dots":          {map[string]any{"a": "b.c"}, "a=b.c"},
		"an empty object has no name": {map[string]any{"a": map[string]any{}}, ""},
	} {
		edit := func(r *axle.Request) { r.SetQueryEncoder(axle.QueryDots).SetParams(c.params) }
		assert.Equal(t, c.want, sentQuery(t, nil, edit), name)
	}
}

func TestParams_ARequestsOwnEncoderTakesThePlaceOfTheClients(t *testing.T) {
	list := map[string]any{"a": []int{1, 2}}
	comma := func(c *axle.Client) { c.SetQueryEncoder(axle.QueryComma) }
	for name, c := range map[string]struct {
		edit func(*axle.Request)
		want string
	}{
		"the client's":      {func(r *axle.Request) { r.SetParams(list) }, "a=1,2"},
		"its own":           {func(r *axle.Request) { r.SetQueryEncoder(axle.QueryBrackets).SetParams(list) }, "a[]=1&a[]=2"},
		"nil: the client's": {func(r *axle.Request) { r.SetQueryEncoder(axle.QueryBrackets).SetQueryEncoder(nil).SetParams(list) }, "a=1,2"},
		"set too late":      {func(r *axle.Request) { r.SetParams(list).SetQueryEncoder(axle.QueryBrackets) }, "a=1,2"},
		"a copy's":          {func(r *axle.Request) { *r = *r.SetQueryEncoder(axle.QueryIndices).Clone().SetParams(list) }, "a[0]=1&a[1]=2"},
		"one for each of two": {func(r *axle.Request) {
			r.SetQueryEncoder(axle.QueryIndices).SetParams(list).SetQueryEncoder(axle.QueryRepeat).SetParams(map[string]any{"b": []int{3, 4}})
		}, "a[0]=1&a[1]=2&b=3&b=4"},
	} {
		assert.Equal(t, c.want, sentQuery(t, comma, c.edit), name)
	}
}

func TestForm_ARequestsOwnEncoderHoldsForItsFormsAndInAReplay(t *testing.T) {
	form := map[string]any{"a": map[string]any{"b": 1}}
	for name, edit := range map[string]func(*axle.Request){
		"SetForm": func(r *axle.Request) { r.SetForm(form) },
		"a value under a form's Content-Type": func(r *axle.Request) {
			r.SetHeader("Content-Type", "application/x-www-form-urlencoded").SetBody(form)
		},
		"a replay": func(r *axle.Request) { r.SetBody("before").SetHeader("X-Replay", "yes") },
	} {
		var got []string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, string(body))
			return reply(r, 200, ""), nil
		})
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
			if resp.Request.Header.Get("X-Replay") == "" {
				return resp, nil
			}
			return resp.Request.Replay(func(r *axle.Request) { r.SetForm(form) })
		})
		_, err := c.R(t.Context()).SetQueryEncoder(axle.QueryDots).With(edit).Post("/")
		require.NoError(t, err, name)
		assert.Equal(t, "a.b=1", got[len(got)-1], name)
	}
}

func TestParams_ReplaceThoseOfTheSameNameAndKeepTheURLsOwn(t *testing.T) {
	got := sentQuery(t, func(c *axle.Client) { c.SetQueryParam("a", "default").SetQueryParam("d", "default") }, func(r *axle.Request) {
		r.SetURL("/?u=1").SetQueryParam("a", "set").SetQueryParam("b", "2").SetParams(map[string]int{"a": 3})
	})
	assert.Equal(t, "u=1&a=3&b=2&d=default", got)
}

func TestBadInput_Params(t *testing.T) {
	deep := map[string]any{"x": 1}
	for range axle.MaxQueryDepth {
		deep = map[string]any{"a": deep}
	}
	for name, c := range map[string]struct {
		edit func(*axle.Request)
		says string
	}{
		"a scalar":        {func(r *axle.Request) { r.SetParams(7) }, "a map or a struct"},
		"a list":          {func(r *axle.Request) { r.SetParams([]int{1}) }, "a map or a struct"},
		"a channel":       {func(r *axle.Request) { r.SetParams(map[string]any{"c": make(chan int)}) }, "chan int"},
		"too deep":        {func(r *axle.Request) { r.SetParams(deep) }, "100 deep"},
		"a form, scalar":  {func(r *axle.Request) { r.SetForm("text") }, "the form (string)"},
		"a form, channel": {func(r *axle.Request) { r.SetForm(make(chan int)) }, "the form (chan int)"},
	} {
		client, transport := newFakeClient(always(200, ""))
		_, err := client.Get(t.Context(), "/", c.edit)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.ErrorContains(t, err, c.says, name)
		assert.Zero(t, transport.Sent.Load(), name)
	}
}

func TestForm_FromAMapOrAStruct(t *testing.T) {
	var form url.Values
	var contentType string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		contentType = r.Header.Get("Content-Type")
		assert.NoError(t, r.ParseForm())
		form = r.PostForm
	})
	_, err := c.R(t.Context()).SetForm(search{Text: "ü&=", Tags: []string{"x", "y"}}).Post("/")
	require.NoError(t, err)
	assert.Equal(t, "application/x-www-form-urlencoded", contentType)
	assert.Equal(t, url.Values{"q": {"ü&="}, "tags": {"x", "y"}, "page": {"0"}, "exact": {"false"}}, form)
}

func TestParams_AreInResolveURL(t *testing.T) {
	u, err := axle.New().SetBaseURL("http://axle.test").R(t.Context()).SetURL("/a").SetParams(map[string]string{"q": "1 2"}).ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/a?q=1+2", u.String())
	assert.True(t, strings.HasPrefix(u.String(), "http://axle.test"))
}
