package axle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// itemPage is a page in the form that an API of cursors gives.
type itemPage struct {
	Items []int  `json:"items"`
	Next  string `json:"next"`
}

func nextOf(p itemPage) string { return p.Next }
func sizeOf(p itemPage) int    { return len(p.Items) }

// pageServer answers /items with the page of two items that the query parameter at says, out of the
// items from 0 to 4. It notes the requests.
type pageServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	answer   func(w http.ResponseWriter, r *http.Request, at int)
}

func newPageServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, at int)) *pageServer {
	s := &pageServer{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		at, _ := strconv.Atoi(r.URL.Query().Get("at"))
		s.answer(w, r, at)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *pageServer) client() *axle.Client { return newClient().SetBaseURL(s.URL) }

func (s *pageServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func itemsFrom(at int) (items []int) {
	for i := at; i < min(at+2, 5); i++ {
		items = append(items, i)
	}
	return items
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// collect returns what an iteration yields before its error, and the error.
func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func TestPages_NextLinkFollowsTheLinkHeader(t *testing.T) {
	for how, format := range map[string]string{
		"absolute": "<%[1]s/items?at=%[2]d>; rel=\"next\", </items?at=0>; rel=first",
		"relative": "</items?at=0>; rel=first, <?at=%[2]d>; rel=next",
	} {
		t.Run(how, func(t *testing.T) {
			s := newPageServer(t, func(w http.ResponseWriter, r *http.Request, at int) {
				if at < 4 {
					w.Header().Set("Link", fmt.Sprintf(format, "http://"+r.Host, at+2))
				}
				writeJSON(w, itemsFrom(at))
			})

			pages := axle.Pages[[]int](t.Context(), s.client(), "/items", axle.NextLink)
			got, err := collect(pages)
			require.NoError(t, err)
			assert.Equal(t, [][]int{{0, 1}, {2, 3}, {4}}, got)
			assert.Equal(t, []string{"GET /items", "GET /items?at=2", "GET /items?at=4"}, s.seen())
		})
	}
}

func TestPages_ALinkTakesThePlaceOfTheWholeURL(t *testing.T) {
	s := newPageServer(t, func(w http.ResponseWriter, _ *http.Request, at int) {
		next := ""
		if at < 2 {
			next = "/lists/other%2Fnäme?at=2&q={list}#part"
		}
		writeJSON(w, itemPage{itemsFrom(at), next})
	})

	c := s.client().SetQueryParam("size", "2").SetPathParam("list", "default")
	pages := axle.Pages(t.Context(), c, "/lists/{list}?a=1", axle.NextURL(nextOf), func(r *axle.Request) {
		r.SetPathParam("list", "mine").SetQueryParam("b", "2")
	})
	_, err := collect(pages)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"GET /lists/mine?a=1&b=2&size=2",
		"GET /lists/other%2Fn%C3%A4me?at=2&q=%7Blist%7D&size=2", // a default of the client's is still one
	}, s.seen())
}

func TestPages_ALinkIsRelativeToWhereARedirectLed(t *testing.T) {
	s := newPageServer(t, func(w http.ResponseWriter, r *http.Request, at int) {
		switch {
		case r.URL.Path == "/items":
			http.Redirect(w, r, "/v2/list/items", http.StatusFound)
		case at == 0:
			writeJSON(w, itemPage{itemsFrom(at), "more?at=2"})
		default:
			writeJSON(w, itemPage{itemsFrom(at), ""})
		}
	})
	_, err := collect(axle.Pages(t.Context(), s.client(), "/items", axle.NextURL(nextOf)))
	require.NoError(t, err)
	assert.Equal(t, []string{"GET /items", "GET /v2/list/items", "GET /v2/list/more?at=2"}, s.seen())
}

func TestPages_ALinkBelowTheBaseURLIsAPathForAClientWithoutAbsoluteURLs(t *testing.T) {
	for link, allowed := range map[string]bool{
		"/v1/items?at=2":                     true,
		"?at=2":                              true,
		"http://axle.test/v1/items?at=2":     true,
		"http://axle.test/v1?at=2":           true,
		"http://axle.test/v1":                true,
		"http://axle.test/v2/items?at=2":     false,
		"http://axle.test/v10/items?at=2":    false,
		"http://other.test/v1/items?at=2":    false,
		"http://axle.test/v1//other.test/a":  false,
		"http://axle.test.evil/v1/items?a=2": false,
	} {
		pages := []string{`{"next":"` + link + `"}`, "{}"}
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			page := pages[0]
			pages = pages[1:]
			return reply(r, 200, page), nil
		})
		c.SetBaseURL("http://axle.test/v1/").SetAllowAbsoluteURLs(false)
		_, err := collect(axle.Pages(t.Context(), c, "/items", axle.NextURL(nextOf)))
		if allowed {
			require.NoError(t, err, link)
			assert.EqualValues(t, 2, network.Sent.Load())
			continue
		}
		require.ErrorIs(t, err, axle.CodeInvalidURL, link)
		assert.EqualValues(t, 1, network.Sent.Load())
	}
}

func TestPages_NextCursorSetsAParameterOnceWhereverItWas(t *testing.T) {
	s := newPageServer(t, func(w http.ResponseWriter, _ *http.Request, at int) {
		next := ""
		if at < 4 {
			next = strconv.Itoa(at + 2)
		}
		writeJSON(w, itemPage{itemsFrom(at), next})
	})

	t.Run("absent", func(t *testing.T) {
		got, err := collect(axle.Items(axle.Pages(t.Context(), s.client(), "/items?x=a+b", axle.NextCursor("at", nextOf)),
			func(p itemPage) []int { return p.Items }))
		require.NoError(t, err)
		assert.Equal(t, []int{0, 1, 2, 3, 4}, got)
		assert.Equal(t, []string{"GET /items?x=a+b", "GET /items?x=a+b&at=2", "GET /items?x=a+b&at=4"}, s.seen())
	})

	t.Run("in the URL", func(t *testing.T) {
		s.requests = nil
		_, err := collect(axle.Pages(t.Context(), s.client(), "/items?%61t=2&x=1#top", axle.NextCursor("at", nextOf)))
		require.NoError(t, err)
		assert.Equal(t, []string{"GET /items?%61t=2&x=1", "GET /items?x=1&at=4"}, s.seen())
	})

	t.Run("alone in the URL, and in Query", func(t *testing.T) {
		s.requests = nil
		c := s.client()
		var urls []string
		useRequest(c, func(r *axle.Request) { urls = append(urls, r.URL) })
		_, err := collect(axle.Pages(t.Context(), c, "/items?at=2", axle.NextCursor("at", nextOf),
			axle.WithQuery("size", "2")))
		require.NoError(t, err)
		assert.Equal(t, []string{"/items?at=2", "/items"}, urls, "no question mark is left")
		assert.Equal(t, []string{"GET /items?at=2&size=2", "GET /items?at=4&size=2"}, s.seen())
	})
}

func TestPages_NextOffsetAddsTheSizeOfThePage(t *testing.T) {
	s := newPageServer(t, func(w http.ResponseWriter, _ *http.Request, at int) {
		writeJSON(w, itemPage{Items: itemsFrom(at)})
	})
	for first, want := range map[string][]string{
		"/items":      {"GET /items", "GET /items?at=2", "GET /items?at=4", "GET /items?at=5"},
		"/items?at=2": {"GET /items?at=2", "GET /items?at=4", "GET /items?at=5"},
	} {
		s.requests = nil
		_, err := collect(axle.Pages(t.Context(), s.client(), first, axle.NextOffset("at", sizeOf)))
		require.NoError(t, err)
		assert.Equal(t, want, s.seen())
	}
}

func TestPages_NextOffsetCountsNumberedPagesToo(t *testing.T) {
	s := newPageServer(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		number, _ := strconv.Atoi(r.URL.Query().Get("page"))
		writeJSON(w, itemPage{Items: itemsFrom(2 * (number - 1))})
	})
	step := func(p itemPage) int { return min(len(p.Items), 1) }
	_, err := collect(axle.Pages(t.Context(), s.client(), "/items", axle.NextOffset("page", step), axle.WithQuery("page", "1")))
	require.NoError(t, err)
	assert.Equal(t, []string{"GET /items?page=1", "GET /items?page=2", "GET /items?page=3", "GET /items?page=4"}, s.seen())
}

func TestPages_AnOffsetThatIsNoNumberIsAClearError(t *testing.T) {
	c, network := newFakeClient(always(200, `{"items":[1]}`))
	_, err := collect(axle.Pages(t.Context(), c, "/items?at=end", axle.NextOffset("at", sizeOf)))
	require.ErrorContains(t, err, "the query parameter at is not a number")
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestPages_ANextFunctionMayChangeAnyPartOfTheRequest(t *testing.T) {
	var bodies []string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		var query struct{ Cursor string }
		_ = json.NewDecoder(r.Body).Decode(&query)
		bodies = append(bodies, r.Method+" "+query.Cursor)
		return reply(r, 200, map[string]string{"": `{"next":"a"}`, "a": `{"next":"b"}`, "b": `{}`}[query.Cursor]), nil
	})
	search := func(cursor string) func(*axle.Request) {
		return func(r *axle.Request) { r.SetMethod(http.MethodPost).SetBody(map[string]string{"Cursor": cursor}) }
	}
	_, err := collect(axle.Pages(t.Context(), c, "/search", func(p itemPage, _ *axle.Response) func(*axle.Request) {
		if p.Next == "" {
			return nil
		}
		return search(p.Next)
	}, search("")))
	require.NoError(t, err)
	assert.Equal(t, []string{"POST ", "POST a", "POST b"}, bodies)
}

// A list without an end would be fetched for ever.
func TestPages_ANextPageThatWasRequestedBeforeIsAnError(t *testing.T) {
	for name, next := range map[string][]string{
		"the same page":   {"?at=0"},
		"another address": {"?at=2", "/items?at=2"},
		"a round":         {"?at=1", "?at=2", "?at=3", "?at=1"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
				resp := reply(r, 200, `[1]`)
				resp.Header.Set("Link", "<"+next[min(int(n.Add(1)), len(next))-1]+"&key=s3cret>; rel=next")
				return resp, nil
			})
			pages, err := collect(axle.Pages[[]int](t.Context(), c, "/items?at=0&key=s3cret", axle.NextLink))
			e := asAxle(t, err)
			require.ErrorIs(t, err, axle.CodeBadResponse)
			assert.Contains(t, err.Error(), "the next page was requested before")
			assert.Contains(t, err.Error(), "no end: http://axle.test/items?at=", "it names the URL")
			assert.NotContains(t, err.Error(), "s3cret")
			assert.Equal(t, 200, e.StatusCode())
			assert.Len(t, pages, len(next), "no page comes twice")
			assert.EqualValues(t, len(next), network.Sent.Load())
		})
	}
}

func TestPages_RequestsThatDifferInAHeaderOrABodyAreNoLoop(t *testing.T) {
	only := func(r *axle.Request, name, value string) { r.Header = http.Header{name: {value}} }
	for name, edit := range map[string]func(r *axle.Request, n int){
		"a header's name": func(r *axle.Request, n int) { only(r, "X-"+strconv.Itoa(n), "1") },
		"where a header's name ends": func(r *axle.Request, n int) {
			only(r, []string{"", "A", "A1", "A12"}[n], []string{"", "12", "2", ""}[n])
		},
		"a body's type": func(r *axle.Request, n int) { r.SetBody([]any{nil, "1", []byte("1"), 1}[n]) },
		"a body that is a reader, which is not looked at": func(r *axle.Request, _ int) {
			r.SetMethod(http.MethodPost).SetBody(strings.NewReader("same"))
		},
		"header": func(r *axle.Request, n int) { r.SetHeader("X-Cursor", strconv.Itoa(n)) },
		"body":   func(r *axle.Request, n int) { r.SetBody(map[string]int{"n": n}) },
		"method": func(r *axle.Request, n int) { r.SetMethod([]string{"GET", "PUT", "POST", "DELETE"}[n]) },
	} {
		c, _ := newFakeClient(always(200, `{}`))
		n := 0
		pages, err := collect(axle.Pages(t.Context(), c, "/", func(itemPage, *axle.Response) func(*axle.Request) {
			if n++; n == 4 {
				return nil
			}
			return func(r *axle.Request) { edit(r, n) }
		}))
		require.NoError(t, err, name)
		assert.Len(t, pages, 4)
	}
}

func TestPages_ABadLinkIsAnErrorAndNeverTheSilentEndOfTheList(t *testing.T) {
	for link, message := range map[string]string{
		`</items?key=s3cret`:                       "the Link header is malformed at byte",
		`<http://[::1?key=s3cret>; rel=next`:       "the link to follow is malformed",
		`<file:///etc/passwd?key=s3cret>;rel=next`: "ERR_INVALID_URL",
	} {
		c, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := reply(r, 200, `[1]`)
			resp.Header.Set("Link", link)
			return resp, nil
		})
		pages, err := collect(axle.Pages[[]int](t.Context(), c, "/items", axle.NextLink))
		asAxle(t, err)
		require.ErrorContains(t, err, message)
		assert.NotContains(t, err.Error(), "s3cret")
		assert.Len(t, pages, 1)
		assert.EqualValues(t, 1, network.Sent.Load())
	}
}

// The origin rules of a call hold for the list as a whole.
func TestPages_NoCredentialFollowsALinkToAnotherOrigin(t *testing.T) {
	type header struct{ Authorization, Key, Own, Cookie, Host, Plain string }
	var mu sync.Mutex
	got := map[string]header{}
	note := func(at string, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got[at] = header{
			r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Header.Get("X-Own-Secret"),
			r.Header.Get("Cookie"), r.Host, r.Header.Get("X-Plain"),
		}
	}

	var first *httptest.Server
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("other"+r.URL.Path, r)
		if r.URL.Path == "/2" {
			writeJSON(w, itemPage{Next: first.URL + "/3"})
			return
		}
		writeJSON(w, itemPage{})
	}))
	defer other.Close()
	first = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("first"+r.URL.Path, r)
		if r.URL.Path == "/1" {
			writeJSON(w, itemPage{Next: strings.Replace(other.URL, "http://", "http://user:made-up@", 1) + "/2"})
			return
		}
		writeJSON(w, itemPage{})
	}))
	defer first.Close()

	c := newClient().SetBaseURL(first.URL).SetHeader("Authorization", "Bearer default")
	c.SetSensitiveHeaders("X-Own-Secret")
	useRequest(c, func(r *axle.Request) { r.SetHeader("X-Plain", "plain") })
	_, err := collect(axle.Pages(t.Context(), c, "/1", axle.NextURL(nextOf), func(r *axle.Request) {
		r.SetHeader("X-Api-Key", "key").SetHeader("Host", "first.example")
		r.Header["x-own-secret"] = []string{"own"}  // in any spelling
		r.Header["Cookie"] = []string{"session=me"} // the caller's own
	}))
	require.NoError(t, err)

	host := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	assert.Equal(t, map[string]header{
		// For plain http another Host is another origin, to which the client's default does not go.
		"first/1": {"", "key", "own", "session=me", "first.example", "plain"},
		"other/2": {"", "", "", "", host(other), "plain"},
		// Back on the base URL's origin, the client's default goes along. The caller's headers are
		// bound to the URL with the Host that the caller gave.
		"first/3": {"Bearer default", "", "", "", host(first), "plain"},
	}, got)
}

func TestPages_TheCallersCredentialsStayOnTheOriginOfTheFirstURL(t *testing.T) {
	var keys []string
	s := newPageServer(t, func(w http.ResponseWriter, r *http.Request, at int) {
		user, _, _ := r.BasicAuth()
		keys = append(keys, r.Header.Get("X-Api-Key")+user)
		next := ""
		if at < 4 {
			next = "http://" + r.Host + "/items?at=" + strconv.Itoa(at+2)
		}
		writeJSON(w, itemPage{itemsFrom(at), next})
	})

	t.Run("a header", func(t *testing.T) {
		_, err := collect(axle.Pages(t.Context(), s.client(), "/items", axle.NextURL(nextOf), axle.WithHeader("X-Api-Key", "key")))
		require.NoError(t, err)
		assert.Equal(t, []string{"key", "key", "key"}, keys)
	})

	t.Run("the userinfo of the URL", func(t *testing.T) {
		keys = nil
		base := strings.Replace(s.URL, "http://", "http://me:secret@", 1)
		_, err := collect(axle.Pages(t.Context(), newClient(), base+"/items", axle.NextURL(nextOf)))
		require.NoError(t, err)
		assert.Equal(t, []string{"me", "me", "me"}, keys)
	})
}

func TestPages_TheUserinfoOfTheFirstURLDoesNotFollowALinkToAnotherOrigin(t *testing.T) {
	var users []string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		user, _, _ := r.BasicAuth()
		users = append(users, r.URL.Host+" "+user)
		if len(users) == 2 {
			return reply(r, 200, "{}"), nil
		}
		return reply(r, 200, `{"next":"http://other.test/2"}`), nil
	})
	_, err := collect(axle.Pages(t.Context(), c, "http://me:secret@axle.test/1", axle.NextURL(nextOf)))
	require.NoError(t, err)
	assert.Equal(t, []string{"axle.test me", "other.test "}, users)
}

func TestPages_TheCallersHostStaysOnTheOriginOfTheFirstURL(t *testing.T) {
	for link, host := range map[string]string{"/2": "virtual.test", "http://other.test/2": "other.test"} {
		var hosts []string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			hosts = append(hosts, r.Host)
			if len(hosts) == 2 {
				return reply(r, 200, "{}"), nil
			}
			return reply(r, 200, `{"next":"`+link+`"}`), nil
		})
		_, err := collect(axle.Pages(t.Context(), c, "/1", axle.NextURL(nextOf), axle.WithHeader("Host", "virtual.test")))
		require.NoError(t, err)
		assert.Equal(t, []string{"virtual.test", host}, hosts)
	}
}

// A test of the user's own may make the response, and look at the edit.
func TestPages_ALinkOfAResponseThatCameFromNowhereIsTakenAsItIs(t *testing.T) {
	for _, link := range []string{"http://axle.test/2", "/2"} {
		header := http.Header{"Link": {"<" + link + ">; rel=next"}}
		edit := axle.NextLink(0, axle.NewResponse(nil, 200, header, nil))
		r := new(axle.Request).SetHeader("Host", "virtual.test").With(edit)
		assert.Equal(t, link, r.URL)
		assert.NotContains(t, r.Header, "Host", "it may be another's")
	}
}

// A transport of the user's own may leave the request of a response out.
func TestPages_ALinkIsRelativeToTheRequestWhereTheTransportNamesNone(t *testing.T) {
	for name, of := range map[string]*http.Request{"no request": nil, "a request without a URL": {}} {
		var paths []string
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			paths = append(paths, r.URL.Path)
			resp := reply(r, 200, "{}")
			if len(paths) == 1 {
				resp = reply(r, 200, `{"next":"2"}`)
			}
			resp.Request = of
			return resp, nil
		})
		_, err := collect(axle.Pages(t.Context(), c, "/v1/1", axle.NextURL(nextOf)))
		require.NoError(t, err, name)
		assert.Equal(t, []string{"/v1/1", "/v1/2"}, paths, name)
	}
}

func TestPages_EachPageIsACallOfItsOwnThroughBothChains(t *testing.T) {
	c, _ := newFakeClient(inTurn(200, 200, 200))
	var trace callTrace
	trace.onRequest(c, "request")
	trace.onResponse(c, "response")
	n := 0
	_, err := collect(axle.Pages(t.Context(), c, "/", func(string, *axle.Response) func(*axle.Request) {
		n++
		if n == 2 {
			return nil
		}
		return axle.WithQuery("n", "2")
	}))
	require.NoError(t, err)
	assert.Equal(t, []string{"request", "response", "request", "response"}, trace.taken())
}

func TestPages_AnErrorEndsTheIterationWithTheZeroPage(t *testing.T) {
	c, network := newFakeClient(inTurn(200, 500, 200))
	var pages []string
	var errs []error
	for page, err := range axle.Pages(t.Context(), c, "/", func(string, *axle.Response) func(*axle.Request) {
		return axle.WithQuery("n", "2")
	}) {
		pages, errs = append(pages, page), append(errs, err)
	}
	assert.Equal(t, []string{"n", ""}, pages)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], axle.CodeBadResponse)
	assert.EqualValues(t, 2, network.Sent.Load())
}

func TestPages_APageIsRequestedWhenTheLoopAsksForIt(t *testing.T) {
	c, network := newFakeClient(always(200, `{"next":"x"}`))
	pages := axle.Pages(t.Context(), c, "/", axle.NextCursor("at", nextOf))
	assert.Zero(t, network.Sent.Load())

	for range 2 { // and the second loop starts at the first page
		network.Sent.Store(0)
		for range pages {
			break
		}
		assert.EqualValues(t, 1, network.Sent.Load())
	}
}

func TestPages_TheNextFunctionSeesThePageBeforeTheLoopDoes(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("at") {
			return reply(r, 200, `{"items":[3]}`), nil
		}
		return reply(r, 200, `{"items":[1,2],"next":"a"}`), nil
	})
	next := func(p *itemPage, _ *axle.Response) func(*axle.Request) {
		if p.Next == "" {
			return nil
		}
		return axle.WithQuery("at", p.Next)
	}
	n := 0
	for page, err := range axle.Pages(t.Context(), c, "/", next) {
		require.NoError(t, err)
		*page = itemPage{}
		n++
	}
	assert.Equal(t, 2, n)
}

func TestPages_BadInputFailsBeforeAnythingIsSent(t *testing.T) {
	c, network := newFakeClient(always(200, `[]`))
	for name, seq := range map[string]iter.Seq2[[]int, error]{
		"nil context": axle.Pages[[]int](nil, c, "/", axle.NextLink), //nolint:staticcheck // the bad input that this is about
		"a stream":    axle.Pages[[]int](t.Context(), c, "/", axle.NextLink, func(r *axle.Request) { r.SetStream(true) }),
		"a method":    axle.Pages[[]int](t.Context(), c, "/", axle.NextLink, func(r *axle.Request) { r.SetMethod("G T") }),

		"no next":            axle.Pages[[]int](t.Context(), c, "/", nil),
		"NextURL of none":    axle.Pages(t.Context(), c, "/", axle.NextURL[[]int](nil)),
		"NextCursor of none": axle.Pages(t.Context(), c, "/", axle.NextCursor[[]int]("cursor", nil)),
		"NextOffset of none": axle.Pages(t.Context(), c, "/", axle.NextOffset[[]int]("offset", nil)),
	} {
		_, err := collect(seq)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
	}
	assert.Zero(t, network.Sent.Load())
}

func TestItems_AnErrorOfThePagesEndsThemAndABreakEndsThePages(t *testing.T) {
	ended := false
	pages := func(yield func([]int, error) bool) {
		defer func() { ended = true }()
		_ = yield([]int{1, 2}, nil) && yield(nil, nil) && yield(nil, errBoom) && yield([]int{9}, nil)
	}
	all := func(page []int) []int { return page }
	got, err := collect(axle.Items(pages, all))
	assert.Equal(t, errBoom, err)
	assert.Equal(t, []int{1, 2}, got)

	ended = false
	for item := range axle.Items(pages, all) {
		assert.Equal(t, 1, item)
		break
	}
	assert.True(t, ended)
}

// codeError is the error of a mapper, and wraps nothing.
type codeError struct{ code axle.Code }

func (e *codeError) Error() string { return "code: " + string(e.code) }

// What ends an iteration is an error of the client, though it may be of no call.
func TestErrorMapper_MapsTheErrorsOfPagesPollsAndEventsToo(t *testing.T) {
	answer := func(contentType, body string, header ...string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			resp := reply(r, 200, body)
			resp.Header.Set("Content-Type", contentType)
			for i := 0; i < len(header); i += 2 {
				resp.Header.Set(header[i], header[i+1])
			}
			return resp, nil
		}
	}
	const stream = "text/event-stream"
	post := func(r *axle.Request) { r.SetMethod(http.MethodPost) }
	notDone := func(jobState, *axle.Response) bool { return false }
	ctx := t.Context()
	soon, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()

	for name, one := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		run    func(c *axle.Client) error
		code   axle.Code
	}{
		"a page that was refused": {always(500, ""), func(c *axle.Client) error {
			_, err := collect(axle.Pages[[]int](ctx, c, "/", axle.NextLink))
			return err
		}, axle.CodeBadResponse},
		"a list without an end": {answer("application/json", "[]", "Link", "</>; rel=next"), func(c *axle.Client) error {
			_, err := collect(axle.Pages[[]int](ctx, c, "/", axle.NextLink))
			return err
		}, axle.CodeBadResponse},
		"a bad link": {answer("application/json", "[]", "Link", "</"), func(c *axle.Client) error {
			_, err := collect(axle.Pages[[]int](ctx, c, "/", axle.NextLink))
			return err
		}, axle.CodeBadResponse},
		"a job without a URL": {always(202, ""), func(c *axle.Client) error {
			_, err := axle.Poll(ctx, c, "/", notDone, post)
			return err
		}, axle.CodeBadResponse},
		"a wait beyond the deadline": {always(202, ""), func(c *axle.Client) error {
			_, err := axle.Poll(soon, c, "/", notDone, axle.PollInterval(2*time.Hour, 2*time.Hour))
			return err
		}, axle.CodeTimeout},
		"no event stream": {always(200, ""), func(c *axle.Client) error {
			_, err := collect(axle.Events[int](ctx, c, "/"))
			return err
		}, axle.CodeBadResponse},
		"data that does not decode": {answer(stream, "data: x\n\n"), func(c *axle.Client) error {
			_, err := collect(axle.Events[int](ctx, c, "/"))
			return err
		}, axle.CodeBadResponse},
		"an event that is too large": {answer(stream, "data: 12345678\n\n"), func(c *axle.Client) error {
			_, err := collect(axle.Events[int](ctx, c.SetResponseLimit(10), "/"))
			return err
		}, axle.CodeTooLarge},
		"a reconnection beyond the deadline": {answer(stream, "retry: 99999999999\ndata: 1\n\n"), func(c *axle.Client) error {
			short, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			_, err := collect(axle.Events[int](short, c, "/"))
			return err
		}, axle.CodeTimeout},
		"a cut that may not be connected again": {
			func(r *http.Request) (*http.Response, error) {
				resp := replyWith(r, 200, io.NopCloser(iotest.ErrReader(errReset)))
				resp.Header.Set("Content-Type", stream)
				return resp, nil
			},
			func(c *axle.Client) error {
				_, err := collect(axle.Events[int](ctx, c, "/", post))
				return err
			}, axle.CodeNetwork,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(one.answer)
			c.SetErrorMapper(func(err *axle.Error) error { return &codeError{err.Code} })
			err := one.run(c)
			require.EqualError(t, err, "code: "+string(one.code))
			require.ErrorIs(t, err, one.code, "the *axle.Error is still found")
			_, found := errors.AsType[*codeError](err)
			assert.True(t, found)
		})
	}
}

func TestErrorMapper_AnEventStreamStillConnectsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newEventClient(eventAnswer{stream: "data: a\n\n"}, eventAnswer{status: 503}, eventAnswer{refuse: errReset},
			eventAnswer{stream: "data: b\n\n"}, eventAnswer{status: 204})
		c.SetErrorMapper(func(err *axle.Error) error { return &codeError{err.Code} })
		got, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b"}, got)
		assert.Len(t, server.got, 5)
	})
}
