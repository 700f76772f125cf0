package axle_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestOnEnd_BehindTheBridgeRunsWithTheBody(t *testing.T) {
	read := func(r *http.Response) error { _, err := io.ReadAll(r.Body); return err }
	broken := func(r *http.Response) error {
		if err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the body is whole: %w", err)
		}
		return nil
	}
	for name, test := range map[string]struct {
		method, path string
		after        func(r *http.Response) error
		want         string
	}{
		"read to its end":               {"GET", "/200", read, "ok 200"},
		"closed unread":                 {"GET", "/200", func(r *http.Response) error { return r.Body.Close() }, "ok 200"},
		"a refused status":              {"GET", "/500", read, "ERR_BAD_RESPONSE"},
		"without a body":                {"GET", "/204", nil, "ok 204"},
		"HEAD":                          {"HEAD", "/200", nil, "ok 200"},
		"a body of a handler's":         {"GET", "/200?made", read, "ok 203"},
		"a body of a handler's, closed": {"GET", "/200?made", func(r *http.Response) error { return r.Body.Close() }, "ok 203"},
		"a body that breaks off":        {"GET", "/200?broken", broken, "ERR_NETWORK"},
		"a refused one that breaks off": {"GET", "/500?broken", broken, "ERR_BAD_RESPONSE"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				status, _ := strconv.Atoi(r.URL.Path[1:])
				if r.URL.RawQuery == "broken" {
					w.Header().Set("Content-Length", "99")
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "text")
			})
			var e ends
			e.useOnEnd(c)
			useFulfilled(c, func(r *axle.Response) (*axle.Response, error) {
				if r.Request.Query.Has("made") || strings.HasSuffix(r.Request.URL, "?made") {
					return axle.NewResponse(r.Request, 203, nil, []byte("made")), nil
				}
				return r, nil
			})

			resp, err := c.HTTPClient().Do(newRequest(t, test.method, c.BaseURL()+test.path, nil))
			require.NoError(t, err)
			if test.after != nil {
				assert.Empty(t, e.taken(), "before")
				require.NoError(t, test.after(resp))
			}
			assert.Equal(t, []string{test.want}, e.taken())
			require.NoError(t, resp.Body.Close())
			assert.Empty(t, e.taken(), "once")
		})
	}
}

func TestOnEnd_BehindTheBridgeRunsForARoundTripThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		handle func(r *axle.Response) (*axle.Response, error)
		want   string
	}{
		"no network":            {answer: unreachable, want: "ERR_NETWORK"},
		"an error of a handler": {answer: always(200, "text"), handle: fails, want: "ERR_INTERCEPTOR"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(test.answer)
			var e ends
			e.useOnEnd(c)
			useFulfilled(c, test.handle)
			_, err := c.HTTPClient().Do(newRequest(t, "GET", "http://axle.test/", nil)) //nolint:bodyclose // none
			require.Error(t, err)
			assert.Equal(t, []string{test.want}, e.taken())
		})
	}
}

func TestOnEnd_BehindTheBridgeASwitchedProtocolCanStillBeWritten(t *testing.T) {
	c := newLoopback(t, echoAfterUpgrade(t))
	var e ends
	e.useOnEnd(c)
	req := newRequest(t, "GET", c.BaseURL(), nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	resp, err := c.RoundTripper().RoundTrip(req)
	require.NoError(t, err)
	duplex, ok := resp.Body.(io.ReadWriteCloser)
	require.True(t, ok)
	_, err = io.WriteString(duplex, "ping\n")
	require.NoError(t, err)
	require.NoError(t, duplex.Close())
	assert.Equal(t, []string{"ERR_BAD_RESPONSE"}, e.taken(), "a 101 is a refused status in the chains")
}

// Each redirect that an http.Client follows is a round trip, and so a call of its own.
func TestOnEnd_BehindTheBridgeEachRedirectIsACall(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	var e ends
	e.useOnEnd(c)
	resp, err := c.HTTPClient().Do(newRequest(t, "GET", c.BaseURL(), nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"ERR_BAD_RESPONSE", "ok 200"}, e.taken())
}
