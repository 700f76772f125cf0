package axle_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// newURIServer starts a server that notes the request target of each request as it stands on the wire.
func newURIServer(t *testing.T) (base string, c *axle.Client, last func() string) {
	t.Helper()
	var uri string
	c = newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { uri = r.RequestURI })
	base = c.BaseURL()
	return base, c, func() string { return uri }
}

func TestPath_WhatWasEscapedStaysEscapedWhateverElseNeedsAnEscape(t *testing.T) {
	base, c, sent := newURIServer(t)
	for _, dirty := range []struct{ text, want string }{
		{"plain", "plain"},
		{"My Project", "My%20Project"},
		{"größe", "gr%C3%B6%C3%9Fe"},
		{`a"b`, "a%22b"},
		{"a|b", "a%7Cb"},
		{"a<b>c", "a%3Cb%3Ec"},
		{"a^b", "a%5Eb"},
		{"a`b", "a%60b"},
		{"a{b", "a%7Bb"},
		{"a}b", "a%7Db"},
		{"a{b c}d", "a%7Bb%20c%7Dd"},
		{`a\b`, "a%5Cb"},
		{"a[b]", "a[b]"},
		{"a%2Fb c", "a%2Fb%20c"},
		{"a%2fb%20c d", "a%2fb%20c%20d"},
		{"\xff", "%FF"},
	} {
		for _, param := range []struct{ value, want string }{
			{"../../admin", "..%2F..%2Fadmin"},
			{"a/b", "a%2Fb"},
			{"%2e%2e", "%252e%252e"},
			{"%2F", "%252F"},
			{`..\admin`, "..%5Cadmin"},
			{"..;/admin", "..%3B%2Fadmin"},
			{"ü ü", "%C3%BC%20%C3%BC"},
			{"?q#f", "%3Fq%23f"},
			{"{id}", "%7Bid%7D"},
			{"x", "x"},
		} {
			for _, where := range []struct{ name, base, url string }{
				{"in the base", base + "/" + dirty.text, "/files/{id}"},
				{"in the path", base, "/" + dirty.text + "/files/{id}"},
				{"in an absolute URL", "http://other.test", base + "/" + dirty.text + "/files/{id}"},
				{"all in the base", base + "/" + dirty.text + "/files/{id}", ""},
			} {
				c.SetBaseURL(where.base)
				r := c.R(t.Context()).SetURL(where.url).SetPathParam("id", param.value)
				want := "/" + dirty.want + "/files/" + param.want
				_, err := c.Do(r)
				require.NoError(t, err, "%q %s", dirty.text, where.name)
				assert.Equal(t, want, sent(), "%q %s", dirty.text, where.name)

				u, err := r.ResolveURL()
				require.NoError(t, err)
				assert.Equal(t, base+want, u.String(), "ResolveURL says what is sent")

				if param.value == "../../admin" {
					engine := c.Clone().SetEngine(func(rc *resty.Client) { rc.SetHeader("X-Engine", "1") })
					_, err = engine.R(t.Context()).SetURL(where.url).SetPathParam("id", param.value).Execute(http.MethodGet, where.url)
					require.NoError(t, err)
					assert.Equal(t, want, sent(), "%q %s, by a configured engine", dirty.text, where.name)
				}
			}
		}
	}
}

func TestPath_AnEscapedSlashStaysOneWithoutAnyParameter(t *testing.T) {
	base, c, sent := newURIServer(t)
	for _, x := range []struct{ base, url, want string }{
		{"/a%2Fb", "", "/a%2Fb"},
		{"/a%2Fb ü", "", "/a%2Fb%20%C3%BC"},
		{"/a%2Fb ü", "?q=1", "/a%2Fb%20%C3%BC?q=1"},
		{"/a%2Fb", "/x", "/a%2Fb/x"},
		{"/a%2Fb", "/x y", "/a%2Fb/x%20y"},
		{"/a b", "/x%2Fy", "/a%20b/x%2Fy"},
		{"", "/a%2Fb|c", "/a%2Fb%7Cc"},
	} {
		c.SetBaseURL(base + x.base)
		_, err := c.Get(t.Context(), x.url)
		require.NoError(t, err)
		assert.Equal(t, x.want, sent(), "%q and %q", x.base, x.url)

		_, err = c.Get(t.Context(), base+x.base+x.url)
		require.NoError(t, err)
		assert.Equal(t, x.want, sent(), "%q and %q as an absolute URL", x.base, x.url)
	}
}

func TestPath_ARedirectKeepsEscapesToo(t *testing.T) {
	var sent string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.Header.Get("X-To"); r.URL.Path == "/from/here" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		sent = r.RequestURI
	})
	for location, want := range map[string]string{
		"/My Project/..%2F..%2Fadmin":               "/My%20Project/..%2F..%2Fadmin",
		"sibling ü/a%2Fb":                           "/from/sibling%20%C3%BC/a%2Fb",
		c.BaseURL() + "/x|y/a%2Fb?q=ü":              "/x%7Cy/a%2Fb?q=%C3%BC",
		"/plain?q=grün%20&n=1":                      "/plain?q=gr%C3%BCn%20&n=1",
		"/plain/%C3%BC":                             "/plain/%C3%BC",
		strings.Repeat("../", 3) + "up ü/%2e%2e%2F": "/up%20%C3%BC/%2e%2e%2F",
	} {
		_, err := c.R(t.Context()).SetHeader("X-To", location).Get("/from/here")
		require.NoError(t, err)
		assert.Equal(t, want, sent, "%q", location)
	}
}

func TestPath_TheBridgeSendsTheURLThatItWasGiven(t *testing.T) {
	base, c, sent := newURIServer(t)
	c.SetPathParam("id", "7").SetPathParam("name", "x")
	hc := c.HTTPClient()
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	for _, target := range []string{
		"/a%2Fb", "/a%2Fb/%7Bid%7D", "/{id}", "/users/{id}/{name}", `/x?filter={"a":{"id":1}}`, "/x?q={id}", "/My Project/x", "/x?",
		"/%e4/%C3%BC?q=%c3%bc&b=2&a=1", "/..%2Fx", "//x//y",
	} {
		get := func(client *http.Client) string {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+target, http.NoBody)
			require.NoError(t, err)
			resp, err := client.Do(r)
			require.NoError(t, err, target)
			require.NoError(t, resp.Body.Close())
			return sent()
		}
		want := get(plain)
		assert.Equal(t, want, get(hc), "%s: as net/http has it", target)

		// A handler that looks at the request, and a default query parameter, change nothing of it.
		d := c.Clone()
		useRequest(d, func(r *axle.Request) { _, _ = r.ResolveURL() })
		assert.Equal(t, want, get(d.HTTPClient()), "%s: with a handler", target)

		separator := "&"
		switch {
		case strings.HasSuffix(want, "?"):
			separator = ""
		case !strings.Contains(want, "?"):
			separator = "?"
		}
		assert.Equal(t, want+separator+"d=1", get(d.Clone().SetQueryParam("d", "1").HTTPClient()), "%s: with a default", target)
	}
}

func TestPlaceholder_OneWithoutAValueOrWithAnEmptyOneIsRefusedBeforeAnythingIsSent(t *testing.T) {
	set := func(value string) func(*axle.Request) { return func(r *axle.Request) { r.SetPathParam("id", value) } }
	raw := func(value string) func(*axle.Request) {
		return func(r *axle.Request) { r.SetRawPathParam("id", value) }
	}
	for _, x := range []struct {
		base, url string
		edit      func(*axle.Request)
		says      string
	}{
		{"http://axle.test", "/users/{id}", nil, "{id} has no value"},
		{"http://axle.test", "/users/{id}", set(""), "{id} has an empty value"},
		{"http://axle.test", "/users/{id}", raw(""), "{id} has an empty value"},
		{"http://axle.test", "/users/{id}/{other-id_2.x}", set("1"), "{other-id_2.x} has no value"},
		{"http://axle.test", "/users/{größe}", set("1"), "{größe} has no value"},
		{"http://axle.test", "/{{id}}", nil, "{id} has no value"},
		{"http://axle.test", "/x?q={id}", set(""), "{id} has an empty value"},
		{"http://axle.test", "http://axle.test/users/{id}", nil, "{id} has no value"},
		{"http://axle.test", "http://{host}.test/users", nil, "{host} has no value"},
		{"http://axle.test/{tenant}", "/users", nil, "{tenant} has no value"},
		{"http://axle.test/{tenant}", "", nil, "{tenant} has no value"},
		{"http://{tenant}.test", "/users", nil, "{tenant} has no value"},
	} {
		c, network := newFakeClient(always(200, ""))
		c.SetBaseURL(x.base)
		r := c.R(t.Context()).SetURL(x.url).With(x.edit)
		_, err := c.Do(r)
		assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, x.url)
		require.ErrorContains(t, err, x.says)
		_, err = r.ResolveURL()
		require.ErrorIs(t, err, axle.CodeBadOption)
		_, err = r.Origin()
		require.ErrorIs(t, err, axle.CodeBadOption)
		assert.Zero(t, network.Sent.Load())
	}
}

func TestPlaceholder_OtherBracesAreOrdinaryCharacters(t *testing.T) {
	_, c, sent := newURIServer(t)
	for _, x := range []struct{ url, want string }{
		{`/x?filter={"a":1}`, `/x?filter={"a":1}`},
		{`/x?filter={"a":{"b":1}}&v={v}`, `/x?filter={"a":{"b":1}}&v=1`},
		{"/x?q={other}", "/x?q={other}"},
		{`/{v}?filter={v}`, `/1?filter=1`},
		{"/{v}/{open", "/1/%7Bopen"},
		{"/{v}/close}", "/1/close%7D"},
		{"/{v}/{}", "/1/%7B%7D"},
		{"/{v}/{a b}", "/1/%7Ba%20b%7D"},
		{"/{{v}}", "/%7B1%7D"},
		{"/}{v}{", "/%7D1%7B"},
		{"/{v}#{other}", "/1"},
		{"/{my name}", "/set"},
	} {
		_, err := c.R(t.Context()).SetPathParam("v", "1").SetPathParam("my name", "set").Get(x.url)
		require.NoError(t, err, x.url)
		assert.Equal(t, x.want, sent(), x.url)
	}
}

func TestPlaceholder_ASegmentThatItsValuesMakeADotSegmentIsRefused(t *testing.T) {
	for _, x := range []struct {
		url, a, b string
		raw       bool
		refused   bool
	}{
		{"/x/{a}/y", "..", "", false, true},
		{"/x/{a}/y", ".", "", false, true},
		{"/x/{a}{b}/y", ".", ".", false, true},
		{"/x/{a}{b}/y", ".", ".", true, true},
		{"/x/.{a}/y", ".", "", false, true},
		{"/x/%2e{a}/y", ".", "", false, true},
		{"/x/{a};v=1/y", "..", "", false, true},
		{"/x/{a}", "..", "", false, true},
		{"/x/{a}", "%2e%2e", "", true, true},
		{"/x/{a}", "%2E.", "", true, true},
		{"/x/{a}{b}", "%2e", "%2E", true, true},
		{"/x/{a}.", "y/.", "", true, true},
		{"/x/{a}", "...", "", false, false},
		{"/x/{a}{b}", ".", "x", false, false},
		{"/x/{a}/y", "%2e%2e", "", false, false},
		{"/../x/{a}", "1", "", false, false},
	} {
		for _, base := range []string{"http://axle.test", "http://axle.test/base ü"} {
			c, network := newFakeClient(always(200, ""))
			c.SetBaseURL(base)
			r := c.R(t.Context())
			set := r.SetPathParam
			if x.raw {
				set = r.SetRawPathParam
			}
			set("a", x.a)
			set("b", x.b)
			for _, target := range []string{x.url, base + x.url} {
				_, err := r.Get(target)
				if !x.refused {
					require.NoError(t, err, "%s %q %q", target, x.a, x.b)
					continue
				}
				require.ErrorIs(t, err, axle.CodeBadOption, "%s %q %q", target, x.a, x.b)
				require.ErrorContains(t, err, "climb")
				assert.Zero(t, network.Sent.Load())
			}
		}
	}
}

func TestRawPathParam_KeepsItsSlashesAndEscapesAndEscapesTheRest(t *testing.T) {
	_, c, sent := newURIServer(t)
	for _, x := range []struct{ value, want string }{
		{"a/b", "/x/a/b/y"},
		{"a%2Fb", "/x/a%2Fb/y"},
		{"a b/ü", "/x/a%20b/%C3%BC/y"},
		{"a%20b ü%2F", "/x/a%20b%20%C3%BC%2F/y"},
		{`"|<>^{v}`, "/x/%22%7C%3C%3E%5E%7Bv%7D/y"},
		{"a;b=1,2:@$&", "/x/a;b=1,2:@$&/y"},
		{"...", "/x/.../y"},
		{"a.b/..c", "/x/a.b/..c/y"},
	} {
		_, err := c.R(t.Context()).SetRawPathParam("v", x.value).Get("/x/{v}/y")
		require.NoError(t, err, "%q", x.value)
		assert.Equal(t, x.want, sent(), "%q", x.value)
	}
}

func TestRawPathParam_WhatWouldEndThePathOrClimbItIsRefused(t *testing.T) {
	for _, value := range []string{
		"..", ".", "../x", "x/..", "x/../y", "./x", "x/.", "%2e%2e", "x/%2e%2e/y", "..%2Fx", "x%2f..", "..%5cx", "..;/x", "..;v=1",
		"a?b", "a#b", `a\b`, "a\nb", "a\x00b", "a\x7fb", "100%", "%zz",
	} {
		c, network := newFakeClient(always(200, ""))
		for _, target := range []string{"/x/{v}", "/x/{v}/y ü", "http://axle.test/{v}"} {
			_, err := c.R(t.Context()).SetRawPathParam("v", value).Get(target)
			assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%q", value)
			require.ErrorContains(t, err, "{v}")
			assert.Zero(t, network.Sent.Load(), "%q", value)
		}
	}
}

func TestRawPathParam_NoneMakesAPathAnotherHost(t *testing.T) {
	for _, value := range []string{"//evil.test/x", "http://evil.test/x", "http:evil.test", "evil.test", "@evil.test", ":80@evil.test"} {
		var host string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			host = r.URL.Host
			return reply(r, 200, ""), nil
		})
		for _, target := range []string{"{v}", "/{v}", "{v}/x"} {
			_, err := c.R(t.Context()).SetRawPathParam("v", value).Get(target)
			require.NoError(t, err, "%q in %q", value, target)
			assert.Equal(t, "axle.test", host, "%q in %q", value, target)
		}
	}
}

func TestClientPathParam_IsADefaultThatTheRequestsOwnGoesBefore(t *testing.T) {
	base, c, sent := newURIServer(t)
	c.SetBaseURL(base+"/{tenant}/v 1?for={tenant}").SetPathParam("tenant", "a/c me").SetPathParam("id", "0")
	for _, x := range []struct {
		url  string
		edit func(*axle.Request)
		want string
	}{
		{"/users/{id}", nil, "/a%2Fc%20me/v%201/users/0?for=a%2Fc+me"},
		{"", nil, "/a%2Fc%20me/v%201?for=a%2Fc+me"},
		{"users", func(r *axle.Request) { r.SetPathParam("tenant", "own") }, "/own/v%201/users?for=own"},
		{"users/{id}?x={id}", func(r *axle.Request) { r.SetPathParam("id", "1") }, "/a%2Fc%20me/v%201/users/1?for=a%2Fc+me&x=1"},
		{base + "/{tenant}/{id}", nil, "/a%2Fc%20me/0"},
	} {
		_, err := c.R(t.Context()).With(x.edit).Get(x.url)
		require.NoError(t, err, x.url)
		assert.Equal(t, x.want, sent(), x.url)
	}
	assert.Equal(t, base+"/{tenant}/v 1?for={tenant}", c.BaseURL(), "as it was set")
}

func TestClientPathParam_OrderOfTheSettersAndClonesAreIndependent(t *testing.T) {
	a := axle.New().SetPathParam("tenant", "one").SetBaseURL("https://{tenant}.example.com/v1")
	b := axle.New().SetBaseURL("https://{tenant}.example.com/v1").SetPathParam("tenant", "one")
	d := a.Clone().SetPathParam("tenant", "two")
	for c, want := range map[*axle.Client]string{a: "https://one.example.com", b: "https://one.example.com", d: "https://two.example.com"} {
		u, err := c.R(t.Context()).SetURL("/x").ResolveURL()
		require.NoError(t, err)
		assert.Equal(t, want+"/v1/x", u.String())
		o, err := c.R(t.Context()).SetURL("/x").Origin()
		require.NoError(t, err)
		assert.Equal(t, want, o)
	}
}

func TestClientPathParam_InTheHostMustBePartOfALabel(t *testing.T) {
	for _, value := range []string{
		"evil.test/", "evil.test", "a@evil", "a:80", "a#", "a?", `a\`, "a b", "a%2e", "ü", "[::1]", "..", ".", "a\n", "",
	} {
		for _, template := range []string{"http://{tenant}.axle.test/v1", "http://axle.{tenant}", "http://{tenant}", "http://u:{tenant}@axle.test"} {
			c, network := newFakeClient(always(200, ""))
			c.SetBaseURL(template).SetPathParam("tenant", value)
			_, err := c.Get(t.Context(), "/x")
			assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%q", value)
			_, err = c.Get(t.Context(), template+"/x")
			assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%q", value)
			assert.Zero(t, network.Sent.Load())
		}
	}
}

func TestClientPathParam_ARequestDoesNotChangeTheHostOfTheBaseURL(t *testing.T) {
	var host string
	c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return reply(r, 200, ""), nil
	})
	c.SetBaseURL("http://{tenant}.axle.test").SetPathParam("tenant", "one")
	for _, edit := range []func(*axle.Request){
		func(r *axle.Request) { r.SetPathParam("tenant", "two") },
		func(r *axle.Request) { r.SetRawPathParam("tenant", "two") },
		func(r *axle.Request) { r.SetPathParam("tenant", "evil.test/") },
	} {
		_, err := c.Get(t.Context(), "/x", edit)
		require.ErrorIs(t, err, axle.CodeBadOption)
		require.ErrorContains(t, err, "host of the base URL")
		_, err = c.R(t.Context()).SetURL("/x").With(edit).Origin()
		require.ErrorIs(t, err, axle.CodeBadOption, "and so it has no origin")
	}
	assert.Zero(t, network.Sent.Load())

	_, err := c.Get(t.Context(), "/{tenant}", func(r *axle.Request) { r.SetPathParam("tenant", "one") })
	require.NoError(t, err, "the same value is no change")
	assert.Equal(t, "one.axle.test", host)
}

func TestClientPathParam_SensitiveDefaultsGoToTheExpandedBase(t *testing.T) {
	got := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got[r.URL.Path] = r.Header.Get("Authorization")
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	c := axle.New().SetBaseURL("http://{name}:{port}").SetPathParam("name", "localhost").SetPathParam("port", port)
	transport := &http.Transport{DisableKeepAlives: true}
	c.SetTransport(transport).SetHeader("Authorization", "Bearer s3cret")
	for _, target := range []string{"/relative", "http://localhost:" + port + "/same", "http://127.0.0.1:" + port + "/other", "http://{name}:{port}/template"} {
		_, err := c.Get(t.Context(), target)
		require.NoError(t, err, target)
	}
	assert.Equal(t, map[string]string{
		"/relative": "Bearer s3cret", "/same": "Bearer s3cret", "/other": "", "/template": "Bearer s3cret",
	}, got)
}

func TestQuery_OfAURLGoesOutInASCIIAndOtherwiseAsItIsWritten(t *testing.T) {
	base, c, sent := newURIServer(t)
	for _, x := range []struct{ query, want string }{
		{"q=grün", "q=gr%C3%BCn"},
		{"q=日本&a=1", "q=%E6%97%A5%E6%9C%AC&a=1"},
		{"b=ü&a=%C3%BC&a=%c3%bc+%20", "b=%C3%BC&a=%C3%BC&a=%c3%bc+%20"},
		{"ü=1", "%C3%BC=1"},
		{"q=a b", "q=a%20b"},
		{"q=\xff", "q=%FF"},
		{`q={"a":[1|2]}`, `q={"a":[1|2]}`},
		{"q=100%", "q=100%"},
		{"sig=a%2Fb%3D&x=/?:@", "sig=a%2Fb%3D&x=/?:@"},
	} {
		for _, where := range []struct{ base, url string }{
			{base, "/p?" + x.query},
			{base, "/p ü?" + x.query},
			{base + "/p?" + x.query, ""},
			{"", base + "/p?" + x.query},
		} {
			c.SetBaseURL(where.base)
			r := c.R(t.Context()).SetURL(where.url)
			_, err := c.Do(r)
			require.NoError(t, err, "%+v", where)
			_, got, _ := strings.Cut(sent(), "?")
			assert.Equal(t, x.want, got, "%+v", where)
			u, err := r.ResolveURL()
			require.NoError(t, err)
			assert.Equal(t, x.want, u.RawQuery)
		}
	}
}

func TestPlaceholder_HandlersAndReplaysFillThemInLikeTheCaller(t *testing.T) {
	var paths []string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		paths = append(paths, r.URL.EscapedPath())
		return reply(r, []int{500, 200}[min(len(paths), 2)-1], ""), nil
	})
	c.SetPathParam("tenant", "t/1")
	useRequest(c, func(r *axle.Request) { r.SetPathParam("id", "7") })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetRawPathParam("rest", "c/d") })
	})
	_, err := c.R(t.Context()).SetRawPathParam("rest", "a/b").Get("/{tenant}/{id}/{rest}")
	require.NoError(t, err)
	assert.Equal(t, []string{"/t%2F1/7/a/b", "/t%2F1/7/c/d"}, paths)
}
