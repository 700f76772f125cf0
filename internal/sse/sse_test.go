package sse_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/sse"
)

type event = sse.Event

const limit = 1 << 10

// readAll returns the events of a stream, and the error that ended it.
func readAll(r *sse.Reader) (events []event, err error) {
	for {
		e, err := r.Next()
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

func message(data string) event { return event{Type: "message", Data: data} }

func TestReader_KeepsTheRulesOfTheStandard(t *testing.T) {
	cases := []struct {
		name   string
		stream string
		want   []event
	}{
		{"an event", "data: a\n\n", []event{message("a")}},
		{"lines of data are joined", "data: a\ndata: b\ndata:\n" + "data: c\n\n", []event{message("a\nb\n\nc")}},
		{"one space after the colon is no part of the value", "data:a\n\ndata: a\n\ndata:  a\n\n",
			[]event{message("a"), message("a"), message(" a")}},
		{"a field without a colon has an empty value", "data\n\ndata:\ndata\n\n", []event{message(""), message("\n")}},
		{"a value may have colons", "data: a: b\n\n", []event{message("a: b")}},
		{"CR, LF and both end a line", "data: a\r\rdata: b\n\ndata: c\r\n\r\ndata: d\r\ndata: e\n\r",
			[]event{message("a"), message("b"), message("c"), message("d\ne")}},
		{"LF CR is two ends", "data: a\n\rdata: b\n\n", []event{message("a"), message("b")}},
		{"a comment is ignored", ": hello\ndata: a\n:\n\n:\n\n", []event{message("a")}},
		{"a type", "event: add\ndata: 1\n\ndata: 2\n\n", []event{{Type: "add", Data: "1"}, message("2")}},
		{"an empty type is none", "event: add\nevent:\ndata: 1\n\n", []event{message("1")}},
		{"a type without data is forgotten", "event: add\n\ndata: 1\n\n", []event{message("1")}},
		{"an ID stays", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
			[]event{{"1", "message", "a"}, {"1", "message", "b"}, message("c")}},
		{"an ID with NUL is ignored", "id: 1\ndata: a\n\nid: 2\x00\nid: \x00\ndata: b\n\n",
			[]event{{"1", "message", "a"}, {"1", "message", "b"}}},
		{"names are compared exactly", "Data: a\n data: b\ndata : c\nDATA\n\n", nil},
		{"a byte order mark begins the stream", "\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", []event{message("a")}},
		{"an event that is cut off is dropped", "data: a\n\ndata: b\n", []event{message("a")}},
		{"a line that is cut off is dropped", "data: a\n\ndata: b", []event{message("a")}},
		{"an empty stream", "", nil},
	}
	for _, c := range cases {
		sources := map[string]io.Reader{
			"whole":          strings.NewReader(c.stream),
			"byte by byte":   iotest.OneByteReader(strings.NewReader(c.stream)),
			"end with bytes": iotest.DataErrReader(strings.NewReader(c.stream)),
		}
		for how, source := range sources {
			t.Run(c.name+", "+how, func(t *testing.T) {
				got, err := readAll(sse.NewReader(source, "", limit))
				assert.Equal(t, io.EOF, err)
				assert.Equal(t, c.want, got)
			})
		}
	}
}

func TestReader_ALineThatEndsWithCRWaitsForNoMoreBytes(t *testing.T) {
	more, server := io.Pipe()
	defer more.Close()
	go server.Write([]byte("data: a\r\r"))

	got, err := sse.NewReader(more, "", limit).Next()
	require.NoError(t, err)
	assert.Equal(t, message("a"), got)
}

func TestReader_TheLastIDIsOfTheLastWholeEvent(t *testing.T) {
	cases := []struct{ stream, want string }{
		{"", "0"},
		{"id: 1\ndata: a\n\n", "1"},
		{"id: 1\ndata: a\n", "0"},
		{"id: 1\n\n", "1"},
		{"id: 1\ndata: a\n\nid: 2\ndata: b", "1"},
		{"data: a\n\n", "0"},
		{"id\ndata: a\n\n", ""},
	}
	for _, c := range cases {
		r := sse.NewReader(strings.NewReader(c.stream), "0", limit)
		_, err := readAll(r)
		require.Equal(t, io.EOF, err)
		assert.Equal(t, c.want, r.LastID(), "%q", c.stream)
	}
}

func TestReader_ASecondConnectionGoesOnFromTheLastID(t *testing.T) {
	got, err := sse.NewReader(strings.NewReader("data: a\n\n"), "7", limit).Next()
	require.NoError(t, err)
	assert.Equal(t, "7", got.ID)
}

func TestReader_RetryIsANumberOfMilliseconds(t *testing.T) {
	const unset = -1
	cases := map[string]time.Duration{
		"1500":                 1500 * time.Millisecond,
		"0":                    0,
		"":                     unset,
		"-1":                   unset,
		"+1":                   unset,
		"1.5":                  unset,
		"1_000":                unset,
		"ten":                  unset,
		"99999999999999999999": 9223372036854 * time.Millisecond,
	}
	for value, want := range cases {
		r := sse.NewReader(strings.NewReader("retry: "+value+"\n"), "", limit)
		_, err := r.Next()
		require.Equal(t, io.EOF, err)

		wait, isSet := r.Retry()
		if want == unset {
			assert.False(t, isSet, "%q", value)
			continue
		}
		assert.True(t, isSet, "%q", value)
		assert.Equal(t, want, wait, "%q", value)
	}
}

func TestReader_AnEventOverTheLimitIsAnError(t *testing.T) {
	half := strings.Repeat("x", limit/2)
	cases := map[string]struct {
		stream string
		tooBig bool
	}{
		"one line at the limit":          {"data:" + strings.Repeat("x", limit-5) + "\n\n", false},
		"one line over it":               {"data:" + strings.Repeat("x", limit-4) + "\n\n", true},
		"many lines over it":             {"data:" + half + "\ndata:" + half + "\n\n", true},
		"a line without an end":          {strings.Repeat("x", 64*limit), true},
		"a comment over it":              {":" + strings.Repeat("x", limit) + "\n", true},
		"many events below it":           {strings.Repeat("data:"+half+"\n\n", 10), false},
		"many comments without an end":   {strings.Repeat(":"+half+"\n", 10), false},
		"many IDs, of which one is kept": {strings.Repeat("id:"+half+"\n", 10), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(sse.NewReader(strings.NewReader(c.stream), "", limit))
			if c.tooBig {
				assert.Equal(t, sse.ErrTooLarge, err)
			} else {
				assert.Equal(t, io.EOF, err)
			}
		})
	}
}

func TestReader_TheErrorOfTheSourceComesAfterTheEventsBeforeIt(t *testing.T) {
	cut := errors.New("cut")
	source := io.MultiReader(strings.NewReader("data: a\n\ndata: b\n\ndata: c\n"), iotest.ErrReader(cut))
	got, err := readAll(sse.NewReader(source, "", limit))
	assert.Equal(t, cut, err)
	assert.Equal(t, []event{message("a"), message("b")}, got)
}

// A reader that returns nothing for ever must not spin for ever.
func TestReader_ASourceWithoutProgressIsAnError(t *testing.T) {
	_, err := sse.NewReader(stuck{}, "", limit).Next()
	assert.Equal(t, io.ErrNoProgress, err)
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func FuzzReader(f *testing.F) {
	f.Add("\xef\xbb\xbfid: 1\nevent: add\ndata: a\r\ndata: b\r\rretry: 10\n\n", 3)
	f.Add("data\n\nid\ndata\n\ndata:", 1)
	f.Fuzz(func(t *testing.T, stream string, cut int) {
		whole := sse.NewReader(strings.NewReader(stream), "", limit)
		want, err := readAll(whole)

		// How the network cuts the bytes into pieces changes nothing.
		at := 0
		if stream != "" {
			at = int(uint(cut) % uint(len(stream)))
		}
		pieces := sse.NewReader(io.MultiReader(
			strings.NewReader(stream[:at]), iotest.OneByteReader(strings.NewReader(stream[at:]))), "", limit)
		got, errOfPieces := readAll(pieces)
		if !assert.Equal(t, want, got) || !assert.Equal(t, err, errOfPieces) || whole.LastID() != pieces.LastID() {
			t.Fatalf("cut at %d", at)
		}

		// Every event that was read can be written and read again.
		for _, e := range want {
			if strings.ContainsAny(e.Data, "\r") {
				t.Fatal("a CR ends a line")
			}
			text := "id: " + e.ID + "\nevent: " + e.Type + "\ndata: " + strings.ReplaceAll(e.Data, "\n", "\ndata: ") + "\n\n"
			again, err := sse.NewReader(strings.NewReader(text), "", 2*limit+len(text)).Next()
			if err != nil || again != e {
				t.Fatalf("%s became %+v (%v)", strconv.Quote(text), again, err)
			}
		}
	})
}
