package axle_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
)

func TestFromResty_TheRestyClientGoesOnWorkingAloneAndIsNotChanged(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var trace callTrace
	rc := newResty(t, server.Server).SetAuthToken("t").SetHeader("X-A", "1").SetQueryParam("q", "1").SetRetryCount(1).
		SetRetryWaitTime(time.Millisecond).SetTimeout(time.Minute).SetCookie(&http.Cookie{Name: "c", Value: "1"}).
		AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() >= 500 }).
		SetPreRequestHook(func(*resty.Client, *http.Request) error { trace.add("pre"); return nil })
	for range 3 { // so that the list of hooks has room for one more
		rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("before"); return nil })
	}
	before := *rc.GetClient()

	c := axle.FromResty(rc)
	c.SetHeader("X-A", "axle's").SetEngine(func(own *resty.Client) {
		own.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("engine"); return nil })
	})
	after := rc.GetClient()
	assert.Same(t, before.Transport, after.Transport)
	assert.Same(t, before.Jar, after.Jar)
	assert.Equal(t, before.Timeout, after.Timeout)
	assert.Nil(t, after.CheckRedirect)

	// A hook that rc gets later is rc's alone.
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { trace.add("later"); return nil })
	rc.SetHeader("X-A", "2").SetAuthToken("later")

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"before", "before", "before", "engine", "pre"}, trace.taken())
	got := server.only(t)
	assert.Equal(t, []string{"axle's", "Bearer t", "c=1", "q=1"},
		[]string{got.Header.Get("X-A"), got.Header.Get("Authorization"), got.Header.Get("Cookie"), got.URL.RawQuery})

	_, err = rc.R().Get("/fails")
	require.NoError(t, err)
	one := []string{"before", "before", "before", "later", "pre"}
	assert.Equal(t, append(append([]string{}, one...), one...), trace.taken())
	all := server.all()
	require.Len(t, all, 3, "rc's own retries are on")
	assert.Equal(t, []string{"2", "Bearer later", "c=1", "q=1"}, []string{
		all[1].Header.Get("X-A"), all[1].Header.Get("Authorization"), all[1].Header.Get("Cookie"), all[1].URL.RawQuery,
	})
}

func TestFromResty_BothClientsMayBeUsedAtOnce(t *testing.T) {
	server := newRestyServer(t, nil)
	rc := newResty(t, server.Server).SetAuthToken("t").SetFormData(map[string]string{"a": "1"}).SetHeaderVerbatim("x-low", "1")
	rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error { r.SetHeader("X-Hook", "1"); return nil })
	c := axle.FromResty(rc)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() { _, err := c.Post(t.Context(), "/", nil); assert.NoError(t, err) })
		done.Go(func() { _, err := rc.R().SetContext(t.Context()).Post("/"); assert.NoError(t, err) })
		done.Go(func() { c.SetEngine(func(own *resty.Client) { own.SetHeader("X-Engine", "1") }) })
	}
	done.Wait()
	for _, got := range server.all() {
		assert.Equal(t, "a=1", got.body)
		assert.Equal(t, "Bearer t", got.Header.Get("Authorization"))
	}
}

func TestFromResty_StreamsAndTheBridgeWork(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "streamed") })
	c := axle.FromResty(newResty(t, server.Server).SetAuthToken("t").SetFormData(map[string]string{"a": "1"}))
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	require.NoError(t, resp.Stream().Close())
	assert.Equal(t, "streamed", string(body))

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("sdk"))
	require.NoError(t, err)
	raw, err := c.HTTPClient().Do(request)
	require.NoError(t, err)
	require.NoError(t, raw.Body.Close())
	got := server.all()[1]
	assert.Equal(t, []string{"sdk", "Bearer t"}, []string{got.body, got.Header.Get("Authorization")})
}

func TestFromResty_SetEngineWithNilPutsNetHTTPBeneathTheSameSettings(t *testing.T) {
	server := newRestyServer(t, nil)
	rc := newResty(t, server.Server).SetHeader("X-A", "1")
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { return errBoom })
	_, err := axle.FromResty(rc).SetEngine(nil).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "1", server.only(t).Header.Get("X-A"))
}

// sessionServer lets in who has the token "new", and gives it for a refresh.
func sessionServer(t *testing.T) *restyServer {
	t.Helper()
	return newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/refresh":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"new","refresh_token":"r2"}`)
		case r.Header.Get("Authorization") != "Bearer new":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":7}`)
		}
	})
}

func TestFromResty_AnAuthInterceptorWorksOverIt(t *testing.T) {
	server := sessionServer(t)
	before := 0
	var mu sync.Mutex
	rc := newResty(t, server.Server).SetAuthToken("of the resty client")
	rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error {
		mu.Lock()
		defer mu.Unlock()
		before++
		return nil
	})
	c := axle.FromResty(rc)
	session := store.New[string](store.Endpoint(c, "/refresh"))
	session.Login("ada", &oauth2.Token{AccessToken: "old", RefreshToken: "r1"})
	c.Use(auth.New(session))

	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			item, err := axle.Get[benchItem](t.Context(), c, "/item")
			assert.NoError(t, err)
			assert.Equal(t, 7, item.ID)
		})
	}
	done.Wait()
	refreshes := 0
	for _, got := range server.all() {
		if got.URL.Path == "/refresh" {
			refreshes++
			continue
		}
		assert.NotContains(t, got.Header.Get("Authorization"), "of the resty client")
	}
	assert.Equal(t, 1, refreshes)
	assert.Equal(t, len(server.all()), before)
}

func TestUnderResty_AnExistingProgramGetsTheChainsByOneLine(t *testing.T) {
	type item struct{ ID int }
	type problem struct{ Message string }
	server := newRestyServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/refresh":
			_, _ = io.WriteString(w, `{"access_token":"new","refresh_token":"r2"}`)
		case r.URL.Path == "/own":
			_, _ = io.WriteString(w, `{"id":1}`)
		case r.Header.Get("Authorization") != "Bearer new":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/flaky" && r.Header.Get("X-Attempt") == "1":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"message":"no"}`)
		default:
			_, _ = io.WriteString(w, `{"id":7}`)
		}
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := axle.New().SetBaseURL(server.URL).SetTransport(transport)
	session := store.New[string](store.Endpoint(client, "/refresh"))
	session.Login("ada", &oauth2.Token{AccessToken: "old", RefreshToken: "r1"})
	client.Use(auth.New(session))

	rc := resty.NewWithClient(client.HTTPClient()).SetBaseURL(server.URL)

	rc.SetRetryCount(2).SetRetryWaitTime(time.Millisecond).SetError(&problem{})
	rc.AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() >= 500 })
	rc.OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
		r.SetHeader("X-Attempt", string('0'+rune(r.Attempt)))
		return nil
	})

	var got item
	resp, err := rc.R().SetContext(t.Context()).SetBody(map[string]int{"a": 1}).SetResult(&got).Post("/items")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode())
	assert.Equal(t, 7, got.ID)
	all := server.all()
	require.Len(t, all, 3, "a 401, one refresh, the replay")
	assert.Equal(t, `{"a":1}`, all[2].body)

	resp, err = rc.R().SetContext(t.Context()).Get("/flaky")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode(), "resty's own retries go through the chains, each")
	assert.Equal(t, 2, resp.Request.Attempt)

	resp, err = rc.R().SetContext(t.Context()).Get("/refused")
	require.NoError(t, err, "a refused status is a response, as resty expects")
	assert.Equal(t, &problem{"no"}, resp.Error())

	resp, err = rc.R().SetContext(t.Context()).SetAuthToken("of the program").Get("/own")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode())
	last := server.all()[len(server.all())-1]
	assert.Equal(t, "Bearer of the program", last.Header.Get("Authorization"), "a token that the program sets is left alone")
}

// A handler's error reaches a resty program as an error.
func TestUnderResty_AHandlersErrorReachesTheProgram(t *testing.T) {
	server := newRestyServer(t, nil)
	client := axle.New()
	client.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil)
	_, err := resty.NewWithClient(client.HTTPClient()).R().SetContext(t.Context()).Get(server.URL)
	require.ErrorIs(t, err, errBoom)
	require.ErrorIs(t, err, axle.CodeInterceptor)
	assert.Empty(t, server.all())
}

// Lines of one call that the page about resty has a counterpart for, and no other test.
func TestFromResty_TheLinesOfACallHaveCounterparts(t *testing.T) {
	server := newRestyServer(t, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "s", Value: "1"})
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, `<benchItem><ID>7</ID></benchItem>`)
	})

	// SetSRV: another address for a host.
	address := strings.TrimPrefix(server.URL, "http://")
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	c := axle.New().SetBaseURL("http://api.test").SetTransport(transport)

	// ForceContentType.
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		resp.Header.Set("Content-Type", "application/xml")
		return resp, nil
	})

	// EnableTrace.
	connected := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	})

	var item benchItem
	resp, err := c.R(ctx).SetResult(&item).Get("/")
	require.NoError(t, err)
	assert.Equal(t, 7, item.ID)
	assert.True(t, connected)
	assert.Positive(t, resp.Duration())
	assert.Equal(t, 1, resp.Request.Attempt())
	cookies := resp.Raw().Cookies()
	require.Len(t, cookies, 1)
	assert.Equal(t, "s=1", cookies[0].Name+"="+cookies[0].Value)
}

func TestFromResty_TheRetryInterceptorTakesThePlaceOfItsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := resty.New().SetBaseURL("http://axle.test").SetRetryCount(5)
		hooks := 0
		rc.OnBeforeRequest(func(*resty.Client, *resty.Request) error { hooks++; return nil })
		transport := &fakeTransport{Answer: inTurn(503, 503, 200)}
		c := axle.FromResty(rc.SetTransport(transport))
		c.Use(retry.New())

		resp, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, "nnn", resp.String())
		assert.Equal(t, 3, hooks)
	})
}
