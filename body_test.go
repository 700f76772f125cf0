package axle_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// received is what a server got.
type received struct {
	method, body, contentType string
	length                    int64
}

// newReceiver is a client whose server notes what it got.
func newReceiver(t *testing.T) (*axle.Client, *received) {
	t.Helper()
	got := &received{}
	return newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		*got = received{r.Method, string(body), r.Header.Get("Content-Type"), r.ContentLength}
	}), got
}

func TestBody_OfEveryKind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("from a file"), 0o600))
	open := func() any {
		f, err := os.Open(file)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	for name, c := range map[string]struct {
		body any
		want received
	}{
		"nil":             {nil, received{"POST", "", "", 0}},
		"string":          {"text", received{"POST", "text", "text/plain; charset=utf-8", 4}},
		"an empty string": {"", received{"POST", "", "text/plain; charset=utf-8", 0}},
		"bytes":           {[]byte{0, 1}, received{"POST", "\x00\x01", "application/octet-stream", 2}},
		"a form":          {url.Values{"a": {"1", "ü"}}, received{"POST", "a=1&a=%C3%BC", "application/x-www-form-urlencoded", 12}},
		"a map":           {map[string]int{"a": 1}, received{"POST", `{"a":1}`, "application/json", 7}},
		"a struct":        {struct{ A string }{"<&>"}, received{"POST", `{"A":"\u003c\u0026\u003e"}`, "application/json", 26}},
		"a list":          {[]int{1, 2}, received{"POST", "[1,2]", "application/json", 5}},
		"a number":        {7, received{"POST", "7", "application/json", 1}},
		"raw JSON":        {jsonRaw(`{"a":1}`), received{"POST", `{"a":1}`, "application/json", 7}},
		"a Buffer":        {bytes.NewBufferString("buffer"), received{"POST", "buffer", "application/octet-stream", 6}},
		"a Reader":        {strings.NewReader("reader"), received{"POST", "reader", "application/octet-stream", 6}},
		"a file":          {open(), received{"POST", "from a file", "application/octet-stream", 11}},
		"an opaque one":   {opaque("opaque"), received{"POST", "opaque", "application/octet-stream", -1}},
		"http.NoBody":     {http.NoBody, received{"POST", "", "", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			client, got := newReceiver(t)
			_, err := client.Post(t.Context(), "/", c.body)
			require.NoError(t, err)
			assert.Equal(t, c.want, *got)
		})
	}
}

// jsonRaw marshals as itself.
type jsonRaw string

func (j jsonRaw) MarshalJSON() ([]byte, error) { return []byte(j), nil }

func TestBody_AContentTypeOfTheRequestsWins(t *testing.T) {
	client, got := newReceiver(t)
	_, err := client.R(t.Context()).SetHeader("Content-Type", "application/merge-patch+json").SetBody(map[string]int{"a": 1}).Patch("/")
	require.NoError(t, err)
	assert.Equal(t, "application/merge-patch+json", got.contentType)
	assert.Equal(t, `{"a":1}`, got.body)
}

func TestP7_ABodyOnAVerbThatTakesNoneIsSent(t *testing.T) {
	for _, method := range []string{"GET", "DELETE", "OPTIONS", "TRACEX"} {
		client, got := newReceiver(t)
		_, err := client.R(t.Context()).SetBody("body").Execute(method, "/")
		require.NoError(t, err)
		assert.Equal(t, received{method, "body", "text/plain; charset=utf-8", 4}, *got)
	}
}

func TestBadInput_ABodyThatCannotBeEncoded(t *testing.T) {
	for name, body := range map[string]any{"a channel": make(chan int), "a function": func() {}, "a failing marshaler": failingMarshaler{}} {
		c, transport := newFakeClient(always(200, ""))
		_, err := c.Post(t.Context(), "/", body)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.Zero(t, transport.sent.Load(), name)
	}
	c, _ := newFakeClient(always(200, ""))
	_, err := c.Post(t.Context(), "/", failingMarshaler{})
	require.ErrorIs(t, err, errBoom)
}

type failingMarshaler struct{}

func (failingMarshaler) MarshalJSON() ([]byte, error) { return nil, errBoom }

func TestBody_ASeekerIsPutBackWhereItStood(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("skip this, send that")
	require.NoError(t, err)
	_, err = f.Seek(11, io.SeekStart)
	require.NoError(t, err)
	client, got := newReceiver(t)
	for range 2 {
		_, err := client.Post(t.Context(), "/", f)
		require.NoError(t, err)
		assert.Equal(t, "send that", got.body)
	}
	at, err := f.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	assert.EqualValues(t, 11, at)
}

func TestBody_AReaderThatIsACloserIsClosedOnceWhenTheCallIsDone(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"fulfilled": always(200, ""), "refused": always(500, ""), "network": unreachable,
	} {
		c, _ := newFakeClient(answer)
		body := newWatchedBody("body")
		during := int64(-1)
		c.Interceptors.Response.Use(nil, nil)
		useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { during = body.closed.Load(); return resp, nil })
		_, _ = c.Post(t.Context(), "/", body)
		assert.EqualValues(t, 1, body.closed.Load(), name)
		if name == "fulfilled" {
			assert.Zero(t, during, "not while it might be sent again")
		}
	}
	c, transport := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(nil, nil)
	body := newWatchedBody("body")
	_, err := c.SetTimeout(-1).Post(t.Context(), "/", body)
	require.Error(t, err)
	assert.Zero(t, transport.sent.Load())
	assert.EqualValues(t, 1, body.closed.Load(), "bad input")
}

func TestP14_AnOpaqueReaderIsReadAsItIsSent(t *testing.T) {
	client := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden) // without reading
		_ = r
	})
	body := &countingReader{Reader: &endless{left: 1 << 30}}
	_, err := client.Post(t.Context(), "/", body)
	require.Error(t, err)
	assert.Less(t, body.n.Load(), int64(64<<20), "a gigabyte is not read ahead of a server that does not want it")
}

func TestP14_AReadersSecondAttemptIsWholeOrRefused(t *testing.T) {
	for _, size := range []int{0, 1, axle.ReplayLimit - 1, axle.ReplayLimit, axle.ReplayLimit + 1, 3 * axle.ReplayLimit} {
		var lengths []int
		c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if lengths = append(lengths, len(body)); len(lengths) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
		_, err := c.Post(t.Context(), "/", io.MultiReader(&endless{left: size}))
		if size <= axle.ReplayLimit {
			require.NoError(t, err, "%d", size)
			assert.Equal(t, []int{size, size}, lengths)
		} else {
			require.ErrorIs(t, err, axle.ErrBodyConsumed, "%d", size)
			assert.Equal(t, []int{size}, lengths)
		}
	}
}

func TestBody_AReaderThatFailsFailsTheCall(t *testing.T) {
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	_, err := c.Post(t.Context(), "/", io.MultiReader(strings.NewReader("x"), failingReader{}))
	require.ErrorIs(t, err, errBoom)
}

func TestEncodedBody_IsWhatWouldBeSent(t *testing.T) {
	for name, c := range map[string]struct {
		body        any
		want        string
		contentType string
	}{
		"nil": {nil, "", ""}, "string": {"a", "a", "text/plain; charset=utf-8"}, "bytes": {[]byte("b"), "b", "application/octet-stream"},
		"JSON": {map[string]int{"a": 1}, `{"a":1}`, "application/json"}, "form": {url.Values{"a": {"1"}}, "a=1", "application/x-www-form-urlencoded"},
	} {
		body, contentType, err := axle.New().R(t.Context()).SetBody(c.body).EncodedBody()
		require.NoError(t, err, name)
		assert.Equal(t, c.want, string(body), name)
		assert.Equal(t, c.contentType, contentType, name)
	}
	_, contentType, err := axle.New().R(t.Context()).SetBody("a").SetHeader("Content-Type", "text/csv").EncodedBody()
	require.NoError(t, err)
	assert.Equal(t, "text/csv", contentType)
	_, _, err = axle.New().R(t.Context()).SetBody(strings.NewReader("a")).EncodedBody()
	require.ErrorIs(t, err, axle.CodeBadOption, "an unread reader")
	_, _, err = axle.New().R(t.Context()).SetBody(make(chan int)).EncodedBody()
	require.ErrorIs(t, err, axle.CodeBadOption)
}

func TestBody_AHandlerMayReadAndReplaceAReader(t *testing.T) {
	client, got := newReceiver(t)
	useRequest(client, func(r *axle.Request) {
		body, err := io.ReadAll(r.Body.(io.Reader))
		assert.NoError(t, err)
		r.SetBody(append(body, " and more"...))
	})
	_, err := client.Post(t.Context(), "/", opaque("a body"))
	require.NoError(t, err)
	assert.Equal(t, "a body and more", got.body)
}

func TestBadInput_ANilPointerAsABody(t *testing.T) {
	for _, body := range []any{(*bytes.Buffer)(nil), (*strings.Reader)(nil), (*os.File)(nil), (*axle.Multipart)(nil)} {
		c, transport := newFakeClient(always(200, ""))
		_, err := c.Post(t.Context(), "/", body)
		require.ErrorIs(t, err, axle.CodeBadOption, "%T", body)
		require.ErrorContains(t, err, "nil", "%T", body)
		_, err = c.Do(&axle.Request{Method: "POST", URL: "/", Body: body})
		require.ErrorIs(t, err, axle.CodeBadOption, "%T", body)
		assert.Zero(t, transport.sent.Load(), "%T", body)
	}
}
