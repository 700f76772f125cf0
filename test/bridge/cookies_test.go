package bridge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// Cookies behind HTTPClient() are its jar's, also where a handler replays or replaces an answer.

// withJar gives a client a new jar with these cookies for its base URL, and returns the jar and the URL.
func withJar(t *testing.T, c *axle.Client, cookies ...string) (*cookiejar.Jar, *url.URL) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	home, err := url.Parse(c.BaseURL() + "/")
	require.NoError(t, err)
	setCookies(t, jar, home, cookies...)
	c.SetCookieJar(jar)
	return jar, home
}

// setCookies sets cookies as a Set-Cookie header would, at the root path.
func setCookies(t *testing.T, jar http.CookieJar, at *url.URL, cookies ...string) {
	t.Helper()
	for _, line := range cookies {
		cookie, err := http.ParseSetCookie(line + "; Path=/")
		require.NoError(t, err)
		jar.SetCookies(at, []*http.Cookie{cookie})
	}
}

func cookiesOf(jar http.CookieJar, at *url.URL) string {
	var all []string
	for _, c := range jar.Cookies(at) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

func TestBridge_AReplaySendsTheCookiesThatTheJarHasNowAndTheCallersAsTheyWere(t *testing.T) {
	for name, tc := range map[string]struct {
		jar     []string // at first
		own     []string // the caller's Cookie headers
		refresh []string // what the jar is told between the attempts
		sent    []string // of the first attempt, and of the replay
		again   []string
	}{
		"changed":                        {[]string{"sid=1"}, nil, []string{"sid=2"}, []string{"sid=1"}, []string{"sid=2"}},
		"deleted":                        {[]string{"sid=1"}, nil, []string{"sid=; Max-Age=0"}, []string{"sid=1"}, nil},
		"one of two deleted":             {[]string{"a=1", "sid=1"}, nil, []string{"sid=; Max-Age=0"}, []string{"a=1; sid=1"}, []string{"a=1"}},
		"renamed":                        {[]string{"sid=1"}, nil, []string{"sid=; Max-Age=0", "new=2"}, []string{"sid=1"}, []string{"new=2"}},
		"the first one":                  {nil, nil, []string{"sid=1"}, nil, []string{"sid=1"}},
		"the first, beside the caller's": {nil, []string{"own=1"}, []string{"sid=1"}, []string{"own=1"}, []string{"own=1; sid=1"}},
		"deleted, beside the caller's":   {[]string{"sid=1"}, []string{"own=1"}, []string{"sid=; Max-Age=0"}, []string{"own=1; sid=1"}, []string{"own=1"}},
		"the caller's of that name":      {[]string{"sid=1"}, []string{"sid=own"}, []string{"sid=; Max-Age=0"}, []string{"sid=own; sid=1"}, []string{"sid=own"}},
		"the very same, the caller's":    {[]string{"sid=1"}, []string{"sid=1"}, []string{"sid=2"}, []string{"sid=1; sid=1"}, []string{"sid=1; sid=2"}},
		"values that are quoted":         {[]string{`q="a b"`}, []string{`own="a b"`}, []string{`q="c d"`}, []string{`own="a b"; q="a b"`}, []string{`own="a b"; q="c d"`}},
		"values that net/http refuses": {
			[]string{"sid=1"}, []string{`json={"a":"b, c"};x=1;  y = é\ ;broken;=z`}, []string{"sid=2"},
			[]string{`json={"a":"b, c"};x=1;  y = é\ ;broken;=z; sid=1`}, []string{`json={"a":"b, c"};x=1;  y = é\ ;broken;=z; sid=2`},
		},
		"nothing of the jar's":  {nil, []string{`json={"a":1};x="1`}, nil, []string{`json={"a":1};x="1`}, []string{`json={"a":1};x="1`}},
		"a header on two lines": {nil, []string{"a=1", "b=2"}, []string{"sid=1"}, []string{"a=1", "b=2"}, []string{"a=1; sid=1", "b=2"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, serve func(http.HandlerFunc) *axle.Client) {
				var sent [][]string
				c := serve(func(w http.ResponseWriter, r *http.Request) {
					sent = append(sent, r.Header["Cookie"])
					if len(sent) == 1 {
						w.WriteHeader(http.StatusUnauthorized)
					}
				})
				jar, home := withJar(t, c, tc.jar...)
				useRejected(c, func(err *axle.Error) (*axle.Response, error) {
					setCookies(t, jar, home, tc.refresh...)
					return err.Request.Replay()
				})
				req := newRequest(t, "GET", c.BaseURL(), nil)
				if tc.own != nil {
					req.Header["Cookie"] = tc.own
				}
				resp, err := c.HTTPClient().Do(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Len(t, sent, 2)
				if resp.ProtoMajor == 1 { // HTTP/2 sends each cookie by itself, and the server joins them
					assert.Equal(t, tc.sent, sent[0])
					assert.Equal(t, tc.again, sent[1])
					return
				}
				assert.Equal(t, joined(tc.sent), joined(sent[0]))
				assert.Equal(t, joined(tc.again), joined(sent[1]))
			})
		})
	}
}

// joined is a Cookie header without the white space that HTTP/2 does not keep.
func joined(list []string) string { return strings.ReplaceAll(strings.Join(list, ";"), " ", "") }

func TestBridge_EachReplaySendsTheCookiesOfItsTime(t *testing.T) {
	var sent []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Cookie"))
		w.WriteHeader(http.StatusUnauthorized)
	})
	jar, home := withJar(t, c, "sid=0")
	inner := 0
	refresh := func(err *axle.Error) (*axle.Response, error) { // the outer one's replay has the inner one's in it
		inner++
		setCookies(t, jar, home, fmt.Sprintf("sid=%d", inner))
		return err.Request.Replay()
	}
	useRejected(c, refresh)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		setCookies(t, jar, home, "sid=; Max-Age=0")
		return err.Request.Replay(func(r *axle.Request) { r.SetHeader("X-Edit", "1") })
	})
	req := newRequest(t, "GET", c.BaseURL(), nil)
	req.Header.Set("Cookie", "own=1")
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"own=1; sid=0", "own=1; sid=1", "own=1", "own=1; sid=2"}, sent)
}

func TestBridge_ACookieThatAReplaysEditWritesIsLeftToIt(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(r *axle.Request)
		sent string
	}{
		"written": {func(r *axle.Request) { r.SetHeader("Cookie", "edit=1") }, "edit=1"},
		"removed": {func(r *axle.Request) { r.Header.Del("Cookie") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				sent = append(sent, r.Header.Get("Cookie"))
				w.WriteHeader(http.StatusUnauthorized)
			})
			withJar(t, c, "sid=1")
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay(tc.edit) })
			resp, err := c.HTTPClient().Get(c.BaseURL())
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, []string{"sid=1", "sid=1", tc.sent, tc.sent}, sent)
		})
	}
}

func TestBridge_AReplayOnTheHopOfARedirectSendsThatHopsCookies(t *testing.T) {
	var sent []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.URL.Path+" "+r.Header.Get("Cookie"))
		switch {
		case r.URL.Path == "/start":
			http.SetCookie(w, &http.Cookie{Name: "hop", Value: "1", Path: "/"})
			http.Redirect(w, r, "/end", http.StatusFound)
		case len(sent) == 2:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	jar, home := withJar(t, c, "sid=1")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() == http.StatusUnauthorized {
			setCookies(t, jar, home, "sid=; Max-Age=0")
			return err.Request.Replay()
		}
		return nil, err
	})
	req := newRequest(t, "GET", c.BaseURL()+"/start", nil)
	req.Header.Set("Cookie", `own={"a":1}`)
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{`/start own={"a":1}; sid=1`, `/end own={"a":1}; sid=1; hop=1`, `/end own={"a":1}; hop=1`}, sent)
}

// The caller's cookies stay at their origin, and those of the jar are the newest there too.
func TestBridge_AReplayOnAHopToAnotherOriginSendsTheJarsNewCookiesAlone(t *testing.T) {
	var sent []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Cookie"))
		if len(sent) == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer other.Close()
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	jar, home := withJar(t, c, "sid=1")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() != http.StatusUnauthorized {
			return nil, err
		}
		setCookies(t, jar, home, "sid=2")
		return err.Request.Replay()
	})

	req := newRequest(t, "GET", c.BaseURL(), nil)
	req.Header.Set("Cookie", "own=1; sid=own")
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"sid=1", "sid=2"}, sent)
}

// fickleJar is a jar that another call changes after it gave its first cookies.
type fickleJar struct{ asked int }

func (j *fickleJar) SetCookies(*url.URL, []*http.Cookie) {}

func (j *fickleJar) Cookies(*url.URL) []*http.Cookie {
	j.asked++
	if j.asked == 1 {
		return []*http.Cookie{{Name: "sid", Value: "1"}, {Name: "b", Value: "1"}}
	}
	return []*http.Cookie{{Name: "b", Value: "1"}, {Name: "sid", Value: "2"}}
}

func TestBridge_CookiesThatTheJarGaveBeforeAnotherCallChangedItAreTheJars(t *testing.T) {
	for own, kept := range map[string]string{"": "", "own=1": "own=1; ", "own=1; z": "own=1; z; "} {
		var sent []string
		c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
			if sent = append(sent, r.Header.Get("Cookie")); len(sent) == 1 {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		c.SetCookieJar(&fickleJar{})
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
		req := newRequest(t, "GET", c.BaseURL(), nil)
		if own != "" {
			req.Header.Set("Cookie", own)
		}
		resp, err := c.HTTPClient().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, []string{kept + "sid=1; b=1", kept + "b=1; sid=2"}, sent)
	}
}

// net/http's jar knows a request by its Host, which may be another than its URL's.
func TestBridge_TheCookiesOfARequestWithAHostOfItsOwnAreThatHosts(t *testing.T) {
	var sent []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Host+" "+r.Header.Get("Cookie"))
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: fmt.Sprint(len(sent)), Path: "/"})
		if len(sent) == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	jar, home := withJar(t, c, "sid=home")
	other := &url.URL{Scheme: "http", Host: "other.test", Path: "/"}
	setCookies(t, jar, other, "sid=0")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	req := newRequest(t, "GET", c.BaseURL(), nil)
	req.Host = "other.test"
	resp, err := c.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"other.test sid=0", "other.test sid=1"}, sent)
	assert.Equal(t, "sid=2", cookiesOf(jar, other))
	assert.Equal(t, "sid=home", cookiesOf(jar, home))
}

// Set-Cookie of every answer.

func TestBridge_SetCookieOfEveryAnswerReachesTheJar(t *testing.T) {
	for name, handle := range map[string]func(err *axle.Error) (*axle.Response, error){
		"replayed":  func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() },
		"recovered": recoverWith(200),
		"rejected":  func(*axle.Error) (*axle.Response, error) { return nil, errBoom },
		"passed on": func(err *axle.Error) (*axle.Response, error) { return nil, err },
	} {
		t.Run(name, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, serve func(http.HandlerFunc) *axle.Client) {
				n := 0
				c := serve(func(w http.ResponseWriter, r *http.Request) {
					n++
					http.SetCookie(w, &http.Cookie{Name: "last", Value: fmt.Sprint(n), Path: "/"})
					http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("of", n), Value: "1", Path: "/"})
					http.SetCookie(w, &http.Cookie{Name: "deleted", MaxAge: -1, Path: "/"})
					if n == 1 {
						w.WriteHeader(http.StatusUnauthorized)
					}
				})
				jar, home := withJar(t, c, "deleted=0")
				useRejected(c, handle)
				resp, err := c.HTTPClient().Get(c.BaseURL())
				if err == nil {
					require.NoError(t, resp.Body.Close())
				}
				want := "last=1; of1=1"
				if name == "replayed" {
					want = "last=2; of1=1; of2=1"
				}
				assert.Equal(t, want, cookiesOf(jar, home))
			})
		})
	}
}

func TestBridge_AnAnswersCookiesReachTheJarBeforeThoseOfARefreshInItsHandler(t *testing.T) {
	var sent []string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refresh" {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "new", Path: "/"})
			return
		}
		sent = append(sent, r.Header.Get("Cookie"))
		if len(sent) == 1 {
			http.SetCookie(w, &http.Cookie{Name: "sid", MaxAge: -1, Path: "/"}) // many servers delete what they refuse
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	jar, home := withJar(t, c, "sid=old")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		assert.Empty(t, cookiesOf(jar, home))
		if _, err := c.Get(err.Request.Context(), "/refresh"); err != nil {
			return nil, err
		}
		return err.Request.Replay()
	})
	resp, err := c.HTTPClient().Get(c.BaseURL())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"sid=old", "sid=new"}, sent)
	assert.Equal(t, "sid=new", cookiesOf(jar, home))
}

func TestBridge_ACookieOfAHopIsKeptForThatHopsURL(t *testing.T) {
	hits := map[string]int{}
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		hits[r.URL.Path]++
		if hits[r.URL.Path] == 1 {
			w.Header().Set("Set-Cookie", "seen=1") // for the URL's own path
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/a/start" {
			http.Redirect(w, r, "/b/end", http.StatusFound)
		}
	})
	jar, home := withJar(t, c)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if err.StatusCode() == http.StatusUnauthorized {
			return err.Request.Replay()
		}
		return nil, err
	})
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/a/start")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Empty(t, cookiesOf(jar, home))
	for _, path := range []string{"/a/", "/b/"} {
		assert.Equal(t, "seen=1", cookiesOf(jar, home.JoinPath(path)), path)
	}
}

func TestBridge_ARoundTripperAloneKeepsNoAnswersCookies(t *testing.T) {
	n := 0
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: fmt.Sprint(n), Path: "/"})
		if n == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, r.Header.Get("Cookie"))
	})
	jar, home := withJar(t, c, "sid=0")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
	req := newRequest(t, "GET", c.BaseURL(), nil)
	req.Header.Set("Cookie", "own=1")
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "own=1", string(body))
	assert.Equal(t, "sid=0", cookiesOf(jar, home))
}

func TestBridge_AReplayWithoutCookiesHasNoCookieHeader(t *testing.T) {
	var sent []http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.Header)
		return reply(r, 500, ""), nil
	})
	jar, home := withJar(t, c, "sid=1")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		setCookies(t, jar, home, "sid=; Max-Age=0")
		return err.Request.Replay()
	})
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL(), nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Len(t, sent, 2)
	assert.Equal(t, "sid=1", sent[0].Get("Cookie"))
	assert.NotContains(t, sent[1], "Cookie")
}

// An edit of a replay may add a Cookie line of its own, behind the line that has the jar's cookies.
func TestBridge_ALineOfCookiesThatAReplaysEditAddsStaysWhenTheJarHasNoneLeft(t *testing.T) {
	var sent [][]string
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header["Cookie"])
		w.WriteHeader(http.StatusUnauthorized)
	})
	jar, home := withJar(t, c, "sid=1")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if len(sent) == 3 {
			setCookies(t, jar, home, "sid=; Max-Age=0")
		}
		return err.Request.Replay()
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.Header.Add("Cookie", "edit=1") })
	})

	resp, err := c.HTTPClient().Get(c.BaseURL())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, [][]string{{"sid=1"}, {"sid=1"}, {"sid=1", "edit=1"}, {"edit=1"}}, sent)
}

// toldJar notes the cookies that it is given, and gives none.
type toldJar struct{ told []string }

func (j *toldJar) Cookies(*url.URL) []*http.Cookie { return nil }

func (j *toldJar) SetCookies(u *url.URL, list []*http.Cookie) {
	j.told = append(j.told, fmt.Sprint(u.Path, len(list)))
}

func TestBridge_AJarIsToldOnlyOfCookiesAndTwiceOnlyWhereResponseHandlersMayReplaceTheResponse(t *testing.T) {
	for name, tc := range map[string]struct {
		install func(*axle.Client)
		want    []string
	}{
		"no handler": {func(*axle.Client) {}, []string{"/set1"}},
		"a request handler": {
			func(c *axle.Client) { useRequest(c, func(*axle.Request) {}) },
			[]string{"/set1"},
		},
		"a response handler": {
			func(c *axle.Client) {
				useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp, nil })
			},
			[]string{"/set1", "/set1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/set" {
					w.Header().Set("Set-Cookie", "sid=1")
				}
			})
			jar := &toldJar{}
			c.SetCookieJar(jar)
			tc.install(c)

			for _, path := range []string{"/none", "/set"} {
				resp, err := c.HTTPClient().Get(c.BaseURL() + path)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
			}
			assert.Equal(t, tc.want, jar.told)
		})
	}
}
