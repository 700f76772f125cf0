package events_test

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/axlehttp/axle/internal/sse"
)

const limit = 1 << 20

// byAxle returns the events that axle reads.
func byAxle(t *testing.T, stream io.Reader) (events []sse.Event) {
	t.Helper()
	r := sse.NewReader(stream, "", limit)
	for {
		event, err := r.Next()
		if err != nil {
			require.Equal(t, io.EOF, err)
			return events
		}

		// The other reader returns an event for an empty line after a field, though no data came.
		// By the standard there is none. The two cannot be told from events with empty data.
		if event.Data != "" {
			events = append(events, event)
		}
	}
}

// byOther returns the events that go-sse reads.
func byOther(t *testing.T, stream io.Reader) (events []sse.Event) {
	t.Helper()
	for event, err := range gosse.Read(stream, &gosse.ReadConfig{MaxEventSize: limit}) {
		require.NoError(t, err)
		if event.Data == "" {
			continue
		}
		if event.Type == "" {
			event.Type = "message"
		}
		events = append(events, sse.Event{ID: event.LastEventID, Type: event.Type, Data: event.Data})
	}
	return events
}

// randomStream is made of pieces that the format cares about.
func randomStream(random *rand.Rand) string {
	pieces := []string{
		"data: a", "data:b", "data:  c", "data", "data:", "data: {\"n\": 1}", "id: 1", "id: 2", "id", "id: \x00", "event: add",
		"event:", "retry: 10", "retry: x", ": comment", ":", "unknown: 1", "unknown", " data: d", "Data: e", "data : f", "data: ä€\xff",
	}
	ends := []string{"\n", "\n", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r", "\n\r", "\r\n\n"}

	var b strings.Builder
	if random.IntN(4) == 0 {
		b.WriteString("\xef\xbb\xbf")
	}
	for range random.IntN(40) {
		b.WriteString(pieces[random.IntN(len(pieces))])
		b.WriteString(ends[random.IntN(len(ends))])
	}
	stream := b.String()
	if random.IntN(2) == 0 && stream != "" {
		stream = stream[:random.IntN(len(stream))]
	}
	return stream
}

func TestReader_ReadsWhatGoSSEReads(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 20_000 {
		stream := randomStream(random)
		want := byOther(t, strings.NewReader(stream))
		require.Equal(t, want, byAxle(t, strings.NewReader(stream)), "%q", stream)
		require.Equal(t, want, byAxle(t, iotest.OneByteReader(strings.NewReader(stream))), "%q, byte by byte", stream)
		read += len(want)
	}
	assert.Greater(t, read, 20_000)
}

func FuzzReader(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		f.Add(randomStream(random))
	}
	f.Fuzz(func(t *testing.T, stream string) {
		if want, got := byOther(t, strings.NewReader(stream)), byAxle(t, strings.NewReader(stream)); !assert.Equal(t, want, got) {
			t.Fatalf("%q", stream)
		}
	})
}
