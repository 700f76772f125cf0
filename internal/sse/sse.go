// Package sse reads server-sent events (text/event-stream) by the rules of the WHATWG's HTML
// standard, section 9.2.6. Of axle's packages it imports internal/patient alone. The module
// test/events compares it with github.com/tmaxmax/go-sse.
package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/axlehttp/axle/internal/patient"
)

// Event is one event of a stream.
type Event struct {
	ID   string // the last ID that the stream has set; empty if none
	Type string // "message" if the server names none
	Data string // the lines of data, with "\n" between them
}

// ErrTooLarge is the error of an event that is larger than its limit.
var ErrTooLarge = errors.New("the event is too large")

// Reader reads the events of one stream. It is not safe for concurrent use.
type Reader struct {
	source io.Reader
	limit  int
	failed error // of the source, after the bytes that are still unread

	buffer     [4 << 10]byte
	unread     []byte // a part of buffer
	skipLF     bool   // the last line ended with CR, and an LF that follows belongs to that end
	pastMark   bool   // a byte order mark could only begin the first line
	lastID     string
	retry      time.Duration
	retryIsSet bool

	// The event that is being read.
	line     []byte
	id       string
	kind     string
	data     []byte
	haveData bool
}

// NewReader returns a reader of a stream. An event with more than limit bytes is an error. lastID
// is the last ID of the stream's earlier connection, which this one goes on from.
func NewReader(source io.Reader, lastID string, limit int) *Reader {
	return &Reader{source: source, limit: limit, lastID: lastID, id: lastID}
}

// LastID returns the last ID that a whole event has set. An event without data sets it too. The ID
// of an event that was cut off does not count.
func (r *Reader) LastID() string { return r.lastID }

// Retry returns how long to wait before the stream is connected again, and whether the server has
// said so.
func (r *Reader) Retry() (wait time.Duration, isSet bool) { return r.retry, r.retryIsSet }

// Next returns the next whole event. An event that the end of the stream cuts off is dropped. The
// error is that of the source, such as io.EOF, or [ErrTooLarge]. After an error the Reader is of no
// use.
func (r *Reader) Next() (Event, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return Event{}, err
		}
		if len(line) > 0 {
			r.field(line)
			continue
		}

		// An empty line ends the event. One without data only sets the last ID.
		event := Event{ID: r.id, Type: r.kind}
		r.lastID, r.kind = r.id, ""
		if !r.haveData {
			continue
		}
		event.Data = string(r.data[:len(r.data)-1]) // without the last line's "\n"
		r.data, r.haveData = r.data[:0], false
		if event.Type == "" {
			event.Type = "message"
		}
		return event, nil
	}
}

// readLine returns the next line, without its end: CR, LF or both. The line is valid until the next
// call. A line without an end is dropped.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if len(r.unread) == 0 {
			if err := r.fill(); err != nil {
				return nil, err
			}
		}

		// A CR ends its line at once: to wait for an LF after it would hold the event back until
		// the server sends more.
		if r.skipLF {
			r.skipLF = false
			if r.unread[0] == '\n' {
				r.unread = r.unread[1:]
				continue
			}
		}

		end := bytes.IndexAny(r.unread, "\r\n")
		part := r.unread
		if end >= 0 {
			part = r.unread[:end]
		}
		if len(r.line)+len(part)+len(r.data) > r.limit {
			return nil, ErrTooLarge
		}
		r.line = append(r.line, part...)
		if end < 0 {
			r.unread = nil
			continue
		}

		r.skipLF = r.unread[end] == '\r'
		r.unread = r.unread[end+1:]
		line := r.line
		if !r.pastMark {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
			r.pastMark = true
		}
		return line, nil
	}
}

// fill reads more bytes of the source. An error that comes with bytes is kept until they are read.
func (r *Reader) fill() error {
	if r.failed != nil {
		return r.failed
	}

	var n int
	n, r.failed = patient.Read(r.source, r.buffer[:])
	if n > 0 {
		r.unread = r.buffer[:n]
		return nil
	}
	return r.failed
}

// field processes a line that is not empty. A line that begins with a colon is a comment, which is
// a field without a name. Unknown fields are ignored.
func (r *Reader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))

	switch string(name) {
	case "data":
		r.data = append(append(r.data, value...), '\n')
		r.haveData = true
	case "event":
		r.kind = string(value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.id = string(value)
		}
	case "retry":
		r.setRetry(string(value))
	}
}

// setRetry takes a number of milliseconds. Anything but digits is ignored.
func (r *Reader) setRetry(value string) {
	const most = uint64(math.MaxInt64 / time.Millisecond)
	milliseconds, err := strconv.ParseUint(value, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return
	}
	r.retry = time.Duration(min(milliseconds, most)) * time.Millisecond
	r.retryIsSet = true
}
