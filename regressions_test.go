package axle_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// What a stranger's eyes found, each with the test that keeps it so.

func TestBody_AReaderThatHangsEndsWithTheTimeLimit(t *testing.T) {
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, first := range map[string]int{"before the replay limit": 0, "after it": axle.ReplayLimit + 100_000} {
		for _, bridged := range []bool{false, true} {
			reader, writer := io.Pipe()
			go func() { _, _ = writer.Write(make([]byte, first)) }()
			var err error
			if bridged {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				req := newRequest(t, http.MethodPost, c.BaseURL(), reader).WithContext(ctx)
				_, err = c.RoundTripper().RoundTrip(req) //nolint:bodyclose // it fails
				cancel()
			} else {
				_, err = c.R(t.Context()).SetTimeout(200 * time.Millisecond).SetBody(reader).Post("/")
			}
			require.ErrorIs(t, err, axle.CodeTimeout, name)
			_ = writer.Close()
		}
	}
}

func TestURL_ResolveURLHasTheClientsParameters(t *testing.T) {
	u, err := axle.New().SetBaseURL("http://axle.test").SetQueryParam("api", "1").SetQueryParam("q", "default").
		R(t.Context()).SetURL("/x").SetQueryParam("q", "2").ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, "http://axle.test/x?api=1&q=2", u.String())
}

func TestEncodedBody_HasTheClientsContentType(t *testing.T) {
	c := axle.New().SetHeader("Content-Type", "application/vnd.api+json")
	_, contentType, err := c.R(t.Context()).SetBody(map[string]int{"a": 1}).EncodedBody()
	require.NoError(t, err)
	assert.Equal(t, "application/vnd.api+json", contentType)
	_, contentType, err = c.SetMethodHeader(http.MethodPatch, "Content-Type", "application/merge-patch+json").R(t.Context()).
		SetMethod("patch").SetBody(map[string]int{"a": 1}).EncodedBody()
	require.NoError(t, err)
	assert.Equal(t, "application/merge-patch+json", contentType)
	_, contentType, err = axle.New().R(t.Context()).SetBody([]byte(nil)).EncodedBody()
	require.NoError(t, err)
	assert.Empty(t, contentType, "nothing is sent")
}

func TestCall_AHeaderLiteralInAnotherCaseIsTheSameHeader(t *testing.T) {
	var seen http.Header
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	c.SetHeader("Authorization", "default").SetHeader("X-Foo", "default")
	header := http.Header{"authorization": {"mine"}, "x-foo": {"mine"}, "accept": {"text/csv"}}
	_, err := c.Do(&axle.Request{URL: "/", Header: header})
	require.NoError(t, err)
	assert.Equal(t, []string{"mine"}, seen["Authorization"])
	assert.Equal(t, []string{"mine"}, seen["X-Foo"])
	assert.Equal(t, []string{"text/csv"}, seen["Accept"])
	assert.Contains(t, header, "x-foo", "the caller's map is left alone")
}

func TestCall_AnotherClientsErrorAndResponseKeepTheirURL(t *testing.T) {
	two := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	one, _ := newFakeClient(always(200, ""))
	path := "/refused"
	useFulfilled(one, func(*axle.Response) (*axle.Response, error) { return two.Get(context.Background(), path) })
	_, err := one.Get(t.Context(), "/")
	e := asAxle(t, err)
	assert.Contains(t, e.Error(), two.BaseURL()+"/refused")
	u, err := e.Request.ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, two.BaseURL()+"/refused", u.String())
	path = "/mirror"
	resp, err := one.Get(t.Context(), "/")
	require.NoError(t, err)
	u, err = resp.Request.ResolveURL()
	require.NoError(t, err)
	assert.Equal(t, two.BaseURL()+"/mirror", u.String())
}

func TestResponseLimit_HoldsForAStreamThatAHandlerSets(t *testing.T) {
	bomb := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(make([]byte, 1000))) }
	c, _ := newFakeClient(always(200, "x"))
	c.SetResponseLimit(10)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		resp.SetStream(bomb()) // as of a decompressor
		err := resp.Buffer()
		return resp, err
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooLarge)

	c, _ = newFakeClient(always(200, "x"))
	useRequest(c.SetResponseLimit(10), func(r *axle.Request) { r.Respond(axle.NewResponse(r, 200, nil, nil).SetStream(bomb())) })
	_, err = c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeTooLarge)
}

func TestError_ALocationThatDoesNotParseKeepsItsSecrets(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://h.test/%zz?token=s3cret")
		w.WriteHeader(http.StatusFound)
	})
	_, err := c.Get(t.Context(), "/")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}

func TestCall_AHostHeaderIsSent(t *testing.T) {
	var host string
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	_, err := c.R(t.Context()).SetHeader("Host", "virtual.test").Get("/")
	require.NoError(t, err)
	assert.Equal(t, "virtual.test", host)
}

func TestBindHeader_GoesToItsOriginAlone(t *testing.T) {
	var seen []string
	c := axle.New().SetBaseURL("http://axle.test").SetCookieJar(nil).SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.URL.Host+strings.Join(r.Header["X-Signature"], ","))
		return reply(r, 200, ""), nil
	}))
	elsewhere := false
	useRequest(c, func(r *axle.Request) { // runs after the next
		if elsewhere {
			r.SetURL("http://evil.test/")
		}
	})
	useRequest(c, func(r *axle.Request) {
		r.SetHeader("X-Signature", "s")
		r.BindHeader("x-signature", "http://axle.test")
	})
	for _, elsewhere = range []bool{false, true} {
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"axle.tests", "evil.test"}, seen)
	c.R(t.Context()).BindHeader("X-A", "http://axle.test") // outside a call it does nothing
}

func TestBindHeader_OfACloneLeavesTheOriginalsAlone(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	sent := map[string]string{}
	c.SetTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		sent[r.URL.Host] = r.Header.Get("X-Key")
		return reply(r, 200, ""), nil
	}))
	useRequest(c, func(r *axle.Request) {
		if r.Nested() {
			return
		}
		clone := r.Clone().SetURL("http://other.test/").SetHeader("X-Key", "clones")
		clone.BindHeader("X-Key", "http://other.test")
		r.SetHeader("X-Key", "originals")
		r.BindHeader("X-Key", "http://axle.test")
		_, err := c.Do(clone.SetURL("http://third.test/"))
		assert.NoError(t, err)
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"axle.test": "originals", "third.test": ""}, sent)
}

func TestNested_IsACallThatAHandlerSendsFromItsOwnRequest(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200, 200))
	var nested []bool
	useRequest(c, func(r *axle.Request) { nested = append(nested, r.Nested()) })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return c.Do(err.Request) })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	_, err = c.Do(resp.Request)
	require.NoError(t, err)
	assert.Equal(t, []bool{false, true, false}, nested)
}
