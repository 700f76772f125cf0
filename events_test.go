package axle_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// eventAnswer is one connection of an eventServer.
type eventAnswer struct {
	status      int    // zero: 200
	contentType string // empty: text/event-stream
	header      map[string]string
	stream      string
	end         error // after the stream; nil: io.EOF
	refuse      error // the network fails instead
}

var errReset = errors.New("connection reset by peer")

// eventServer is a network that gives its answers in turn. After the last one it hangs. It notes each
// connection with the time since the first one and the ID to go on from.
type eventServer struct {
	answers []eventAnswer

	mu      sync.Mutex
	started time.Time
	got     []string
	bodies  []*watchedBody
}

func (s *eventServer) answer(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	if len(s.got) == 0 {
		s.started = time.Now()
	}
	at := time.Since(s.started).Truncate(time.Millisecond)
	s.got = append(s.got, strings.TrimSpace(at.String()+" "+r.Method+" "+r.Header.Get("Last-Event-ID")))
	n := len(s.got)
	s.mu.Unlock()
	if n > len(s.answers) {
		return hang(r)
	}

	a := s.answers[n-1]
	if a.refuse != nil {
		return nil, a.refuse
	}
	body := newWatchedBody("")
	body.Reader = strings.NewReader(a.stream)
	if a.end != nil {
		body.Reader = io.MultiReader(body.Reader, iotest.ErrReader(a.end))
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, body)
	s.mu.Unlock()

	resp := replyWith(r, 200, body)
	resp.Header.Set("Content-Type", "text/event-stream")
	if a.contentType != "" {
		resp.Header.Set("Content-Type", a.contentType)
	}
	if a.status != 0 {
		resp.StatusCode = a.status
	}
	for name, value := range a.header {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

func newEventClient(answers ...eventAnswer) (*axle.Client, *eventServer) {
	s := &eventServer{answers: answers}
	c, _ := newFakeClient(s.answer)
	return c, s
}

// closedAll reports whether every connection of the server was closed.
func (s *eventServer) closedAll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bodies {
		if !b.IsClosed() {
			return false
		}
	}
	return true
}

func texts(seq iter.Seq2[axle.Event[string], error]) (all []string, err error) {
	for event, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, event.Data)
	}
	return all, nil
}

func TestEvents_TheDataIsDecodedAsJSONAndTextIsVerbatim(t *testing.T) {
	const stream = "id: 7\nevent: add\ndata: {\"id\": 1,\ndata: \"name\": \"Ada\"}\n\ndata\n\n"
	answers := []eventAnswer{{stream: stream}, {status: 204}}

	synctest.Test(t, func(t *testing.T) {
		c, _ := newEventClient(answers...)
		got, err := collect(axle.Events[user](t.Context(), c, "/events"))
		require.NoError(t, err)
		assert.Equal(t, []axle.Event[user]{
			{ID: "7", Type: "add", Data: user{1, "Ada"}, Text: "{\"id\": 1,\n\"name\": \"Ada\"}"},
			{ID: "7", Type: "message"}, // data of no bytes
		}, got)
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newEventClient(answers...)
		got, err := collect(axle.Events[string](t.Context(), c, "/events"))
		require.NoError(t, err)
		assert.Equal(t, got[0].Text, got[0].Data)
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newEventClient(answers...)
		got, err := collect(axle.Events[[]byte](t.Context(), c, "/events"))
		require.NoError(t, err)
		assert.Equal(t, []byte(got[0].Text), got[0].Data)
	})
}

func TestEvents_TextIsVerbatimAlsoWhereItIsAJSONString(t *testing.T) {
	c, _ := newEventClient(eventAnswer{stream: "data: \"a\"\n\n"})
	for event, err := range axle.Events[string](t.Context(), c, "/events") {
		require.NoError(t, err)
		assert.Equal(t, `"a"`, event.Data)
		break
	}
}

func TestEvents_TheClientsJSONCodecDecodes(t *testing.T) {
	c, _ := newEventClient(eventAnswer{stream: "data: 1\n\n"})
	c.SetJSON(nil, func(data []byte, v any) error {
		*v.(*int) = 10 * int(data[0]-'0') //nolint:forcetypeassert // it is one
		return nil
	})
	for event, err := range axle.Events[int](t.Context(), c, "/events") {
		require.NoError(t, err)
		assert.Equal(t, 10, event.Data)
		break
	}
}

// Some servers mark the end with a text that is no JSON.
func TestEvents_DataThatDoesNotDecodeComesWithItsTextAndTheIterationGoesOn(t *testing.T) {
	c, server := newEventClient(eventAnswer{stream: "data: {\"id\":1}\n\ndata: [DONE]\n\ndata: {\"id\":2}\n\n"})
	var texts []string
	var errs []error
	for event, err := range axle.Events[user](t.Context(), c, "/events") {
		texts, errs = append(texts, event.Text), append(errs, err)
		if len(texts) == 3 {
			break
		}
	}
	assert.Equal(t, []string{`{"id":1}`, "[DONE]", `{"id":2}`}, texts)
	require.NoError(t, errs[0])
	e := asAxle(t, errs[1])
	assert.Equal(t, axle.CodeBadResponse, e.Code)
	assert.Contains(t, e.Error(), "the event's data does not decode into *axle_test.user")
	require.NoError(t, errs[2])
	assert.True(t, server.closedAll())
}

func TestEvents_TheRequestIsThatOfAnEventSource(t *testing.T) {
	var got http.Header
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return reply(r, 204, ""), nil
	})
	c.SetHeader("Accept", "application/json")
	for range axle.Events[string](t.Context(), c, "/events", axle.WithHeader("X-Own", "own")) {
		t.Error("a 204 has no events")
	}
	assert.Equal(t, "text/event-stream", got.Get("Accept"))
	assert.Equal(t, "no-cache", got.Get("Cache-Control"))
	assert.Equal(t, "own", got.Get("X-Own"))
	assert.NotContains(t, got, "Last-Event-Id")
}

func TestEvents_AResponseThatIsNoEventStreamIsAClearError(t *testing.T) {
	for contentType, isOne := range map[string]bool{
		"text/event-stream": true, "Text/Event-Stream; charset=utf-8": true,
		"application/json": false, "text/event-streams": false, "text/plain": false,
	} {
		c, server := newEventClient(eventAnswer{contentType: contentType, stream: "data: a\n\n"})
		for event, err := range axle.Events[string](t.Context(), c, "/events") {
			if isOne {
				require.NoError(t, err)
				assert.Equal(t, "a", event.Data)
				break
			}
			require.ErrorIs(t, err, axle.CodeBadResponse)
			assert.Contains(t, err.Error(), fmt.Sprintf("its Content-Type is %q, and not text/event-stream", contentType))
		}
		assert.True(t, server.closedAll())
	}
}

func TestEvents_TheIterationEndsWithTheContext(t *testing.T) {
	t.Run("while it reads", func(t *testing.T) {
		c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: a\n\n")
			w.(http.Flusher).Flush() //nolint:forcetypeassert // it is one
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var got []string
		var last error
		for event, err := range axle.Events[string](ctx, c, "/events") {
			if last = err; err == nil {
				got = append(got, event.Data)
			}
			cancel(errBoom)
		}
		require.ErrorIs(t, last, axle.CodeCanceled)
		require.ErrorIs(t, last, errBoom)
		assert.Equal(t, []string{"a"}, got)
	})

	t.Run("while it reads, by its deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			more, server := io.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			context.AfterFunc(ctx, func() { _ = server.CloseWithError(ctx.Err()) })
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				resp := replyWith(r, 200, more)
				resp.Header.Set("Content-Type", "text/event-stream")
				return resp, nil
			})
			_, err := texts(axle.Events[string](ctx, c, "/events"))
			require.ErrorIs(t, err, axle.CodeTimeout)
			e := asAxle(t, err)
			assert.Equal(t, 200, e.StatusCode())
			assert.Same(t, e.Response.Request, e.Request, "the connection that ended")
		})
	})

	t.Run("also where the stream breaks off at once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c, server := newEventClient(eventAnswer{stream: "data: a\n\n", end: io.ErrUnexpectedEOF})
		var last error
		for _, err := range axle.Events[string](ctx, c, "/events") {
			last = err
			cancel()
		}
		require.ErrorIs(t, last, axle.CodeCanceled)
		assert.Len(t, server.got, 1)
	})

	t.Run("while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, server := newEventClient(eventAnswer{stream: "retry: 60000\ndata: a\n\n"})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := texts(axle.Events[string](ctx, c, "/events"))
			require.ErrorIs(t, err, axle.CodeCanceled)
			assert.Len(t, server.got, 1)
			assert.True(t, server.closedAll())
		})
	})

	t.Run("before a wait that outlasts its deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, server := newEventClient(eventAnswer{stream: "retry: 60000\ndata: a\n\n"})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute-1)
			defer cancel()
			start := time.Now()
			_, err := texts(axle.Events[string](ctx, c, "/events"))
			require.ErrorIs(t, err, axle.CodeTimeout)
			assert.Equal(t, 200, asAxle(t, err).StatusCode(), "the last connection")
			assert.Zero(t, time.Since(start))
			assert.Len(t, server.got, 1)
		})
	})
}

func TestEvents_ABreakAndAPanicInTheLoopCloseTheConnection(t *testing.T) {
	const stream = "data: a\n\ndata: b\n\n"
	c, server := newEventClient(eventAnswer{stream: stream}, eventAnswer{stream: stream})
	for range axle.Events[string](t.Context(), c, "/events") {
		break
	}
	assert.True(t, server.closedAll())

	assert.PanicsWithValue(t, "boom", func() {
		for range axle.Events[string](t.Context(), c, "/events") {
			panic("boom")
		}
	})
	assert.Len(t, server.bodies, 2)
	assert.True(t, server.closedAll())
}

func TestEvents_AConnectionIsClosedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := newEventClient(eventAnswer{stream: "data: a\n\n"}, eventAnswer{status: 403})
		_, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.ErrorIs(t, err, axle.CodeBadRequest)
		assert.EqualValues(t, 1, server.bodies[0].Closed.Load())
	})
}

func TestEvents_TheResponseLimitHoldsForEachEventAndNotForTheStream(t *testing.T) {
	small := "data: " + strings.Repeat("x", 50) + "\n\n"

	synctest.Test(t, func(t *testing.T) {
		c, _ := newEventClient(eventAnswer{stream: strings.Repeat(small, 100)}, eventAnswer{status: 204})
		got, err := texts(axle.Events[string](t.Context(), c.SetResponseLimit(100), "/events"))
		require.NoError(t, err)
		assert.Len(t, got, 100)
	})

	c, server := newEventClient(eventAnswer{stream: small + strings.Repeat("data: "+strings.Repeat("x", 50)+"\n", 3)})
	got, err := texts(axle.Events[string](t.Context(), c.SetResponseLimit(100), "/events"))
	require.ErrorIs(t, err, axle.CodeTooLarge)
	assert.Contains(t, err.Error(), "the event has more than 100 bytes")
	assert.Equal(t, 200, asAxle(t, err).StatusCode())
	assert.Len(t, got, 1)
	assert.Len(t, server.got, 1, "it would be as large the next time")
	assert.True(t, server.closedAll())
}

func TestEvents_ARefusedStatusIsReadWithinTheResponseLimit(t *testing.T) {
	c, _ := newEventClient(eventAnswer{status: 400, stream: strings.Repeat("x", 101)})
	_, err := texts(axle.Events[string](t.Context(), c.SetResponseLimit(100), "/events"))
	require.ErrorIs(t, err, axle.CodeTooLarge)
}

func TestEvents_ARefusedStatusWhoseBodyIsOverTheLimitIsJudgedByTheStatus(t *testing.T) {
	for status, connections := range map[int]int{503: 3, 429: 3, 404: 2} {
		synctest.Test(t, func(t *testing.T) {
			c, server := newEventClient(
				eventAnswer{stream: "data: a\n\n"},
				eventAnswer{status: status, stream: strings.Repeat("x", 101)},
				eventAnswer{status: 204},
			)
			_, err := texts(axle.Events[string](t.Context(), c.SetResponseLimit(100), "/events"))
			assert.Equal(t, connections == 2, err != nil)
			assert.Len(t, server.got, connections)
		})
	}
}

func TestEvents_WithoutAResponseLimitAnEventMayHave16MiB(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := replyWith(r, 200, io.NopCloser(io.MultiReader(strings.NewReader("data: "), sameBytes{})))
		resp.Header.Set("Content-Type", "text/event-stream")
		return resp, nil
	})
	_, err := texts(axle.Events[string](t.Context(), c, "/events"))
	require.ErrorIs(t, err, axle.CodeTooLarge)
	assert.Contains(t, err.Error(), "the event has more than 16777216 bytes")
}

// sameBytes goes on for ever.
type sameBytes struct{}

func (sameBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestEvents_TheTimeLimitHoldsUntilTheHeadersHaveCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more, server := io.Pipe()
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			resp := replyWith(r, 200, more)
			resp.Header.Set("Content-Type", "text/event-stream")
			return resp, nil
		})
		go func() {
			time.Sleep(time.Hour)
			fmt.Fprint(server, "data: a\n\n")
		}()
		for event, err := range axle.Events[string](t.Context(), c.SetTimeout(time.Second), "/events") {
			require.NoError(t, err)
			assert.Equal(t, "a", event.Data)
			break
		}
	})

	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(hang)
		_, err := texts(axle.Events[string](t.Context(), c.SetTimeout(time.Second), "/events"))
		require.ErrorIs(t, err, axle.CodeTimeout)
	})
}

func TestEvents_ASecondLoopStartsAnew(t *testing.T) {
	c, server := newEventClient(eventAnswer{stream: "id: 1\ndata: a\n\n"}, eventAnswer{stream: "id: 1\ndata: a\n\n"})
	events := axle.Events[string](t.Context(), c, "/events")
	assert.Empty(t, server.got)
	for range 2 {
		for event := range events {
			assert.Equal(t, "a", event.Data)
			break
		}
	}
	require.Len(t, server.got, 2)
	assert.NotContains(t, server.got[1], "GET 1")
}

func TestEvents_BadInputFailsBeforeAnythingIsSent(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	var target string
	for name, seq := range map[string]iter.Seq2[axle.Event[string], error]{
		"nil context": axle.Events[string](nil, c, "/"), //nolint:staticcheck // the bad input that this is about
		"a result":    axle.Events[string](t.Context(), c, "/", func(r *axle.Request) { r.SetResult(&target) }),
	} {
		_, err := texts(seq)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
	}
	assert.Zero(t, network.Sent.Load())
}

func TestEvents_AnIDThatNoHeaderCanHoldIsAClearError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newEventClient(eventAnswer{stream: "id: \x01\ndata: a\n\n"}, eventAnswer{status: 204})
		start := time.Now()
		got, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.ErrorIs(t, err, axle.CodeBadOption)
		assert.Less(t, time.Since(start), 2*time.Second, "it would fail the next time too")
		require.ErrorContains(t, err, "Last-Event-Id")
		assert.Equal(t, []string{"a"}, got)
	})
}

// Compressed events come as they are flushed, and a cut in them is a cut.
func TestEvents_AServerMayCompressThem(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Header.Get("Last-Event-ID") == "2" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		id := 1
		if r.Header.Get("Last-Event-ID") == "1" {
			id = 2
		}
		fmt.Fprintf(zip, "retry: 1\nid: %d\ndata: %d\n\n", id, id)
		zip.Flush()
		fmt.Fprint(zip, "data: cut o")
		zip.Flush()
	}))
	defer server.Close()

	got, err := texts(axle.Events[string](t.Context(), newClient().SetBaseURL(server.URL), "/events"))
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2"}, got)
}

func TestEvents_CompressedDataThatIsDamagedEndsTheIteration(t *testing.T) {
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	fmt.Fprint(zip, "data: a\n\n")
	require.NoError(t, zip.Flush())
	damaged := zipped.String() + strings.Repeat("\xff", 100)

	synctest.Test(t, func(t *testing.T) {
		c, server := newEventClient(
			eventAnswer{stream: damaged, header: map[string]string{"Content-Encoding": "gzip"}},
			eventAnswer{status: 204},
		)
		got, err := texts(axle.Events[string](t.Context(), c, "/events"))
		require.ErrorIs(t, err, axle.CodeBadResponse)
		assert.Equal(t, []string{"a"}, got)
		assert.Len(t, server.got, 1, "it would be damaged the next time")
	})
}
