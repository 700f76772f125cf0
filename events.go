package axle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/axlehttp/axle/internal/delay"
	"github.com/axlehttp/axle/internal/sse"
)

// This file is server-sent events, as a browser's EventSource reads them.

// Event is one server-sent event.
type Event[T any] struct {
	ID   string // the last ID that the server has set, with this event or before it; empty if none
	Type string // "message" if the server names none
	Data T      // the decoded data
	Text string // the data as the server sent it
}

// Events iterates over the server-sent events of url (text/event-stream), and decodes the data of
// each into a T: as JSON, by the client's codec. A string and a []byte get the data as it was sent.
// Data of no bytes leaves the zero T.
//
//	for event, err := range axle.Events[Price](ctx, client, "/prices") {
//
// A connection is a call of its own, through both chains. It is a GET with the edits. When the server
// or the network ends the connection, Events connects again with the ID of the last whole event in
// the header Last-Event-ID, and goes on. The request handlers run anew, so that the connection has a
// fresh token, and an interceptor that retries applies to the connection as to any call. The server
// sends an event that the end has cut off again, and the loop gets each event once, provided that
// the server gives its events IDs.
//
// Only a GET is connected again. Another method would start its work twice: the end of its response
// ends the iteration, and a network that fails is an error.
//
// Before it connects again, Events waits as long as the server's "retry" field says, or one second,
// up to 5 minutes, and up to a half longer, at random. If connecting fails (a network that fails, a
// time limit, or the status 408, 425, 429 or 5xx but 501), the waits double, up to 30 seconds, and
// are no shorter than a Retry-After. After 10 failures in succession the iteration ends with the last
// one. The failure of the first connection, and any other failure, such as a refused token or a
// response that is no event stream, ends the iteration at once. The status 204 ends the iteration
// without an error.
//
// An event whose data does not decode comes with an error (CodeBadResponse) and with its Text. The
// iteration goes on if the loop does: some servers mark the end with a text such as "[DONE]". Any
// other error comes with the zero Event, and ends the iteration.
//
// The iteration ends with the context, with an error. A break closes the connection. A time limit
// holds until the headers of a connection have come. The limit of [Client.SetResponseLimit] holds for
// each event, and not for the whole stream; without one an event may have 16 MiB. A larger one ends
// the iteration with CodeTooLarge. If the loop is run again, it starts anew. To go on after an error,
// set the header Last-Event-ID to the ID of the last event.
func Events[T any](
	ctx context.Context, c *Client, url string, edits ...func(*Request),
) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		all := append([]func(*Request){forEvents}, edits...)
		stream := newEventStream(c, c.newRequest(ctx, http.MethodGet, url, nil, all))
		defer stream.close()
		for {
			raw, err := stream.next()
			switch {
			case errors.Is(err, errEventsOver):
				return
			case err != nil:
				yield(Event[T]{}, err)
				return
			}

			event := Event[T]{ID: raw.ID, Type: raw.Type, Text: raw.Data}
			if !yield(event, stream.decode(raw.Data, &event.Data)) {
				return
			}
		}
	}
}

const (
	eventStreamType    = "text/event-stream"
	lastEventID        = "Last-Event-ID"
	mostEventBytes     = 16 << 20
	firstReconnectWait = time.Second
	leastBackoff       = 100 * time.Millisecond
	mostBackoff        = 30 * time.Second
	mostReconnects     = 10 // in succession
)

// forEvents sets the headers that an EventSource sends. A cache, such as a browser's, heeds no-cache of
// a request, and not no-store.
func forEvents(r *Request) {
	r.SetHeader("Accept", eventStreamType).SetHeader("Cache-Control", "no-cache")
}

// errEventsOver is the end of the events that is no error.
var errEventsOver = errors.New("the events are over")

// eventStream is the state of an iteration over events.
type eventStream struct {
	client *Client
	source *Request // as the caller built it
	limit  int      // of an event, in bytes

	lastID string        // of the last whole event; before one, what the caller's header says
	retry  time.Duration // the wait that the server has asked for

	// The connection; nil between two connections.
	response *Response
	body     io.ReadCloser
	events   *sse.Reader
}

func newEventStream(c *Client, source *Request) *eventStream {
	source.SetStream(true).endless = true
	if !isCanonical(source.Header) {
		source.Header = source.pass.canonical(source.Header)
	}

	s := &eventStream{client: c, source: source, limit: mostEventBytes, retry: firstReconnectWait}
	if limit := c.settings.Load().responseLimit; limit > 0 {
		s.limit = int(min(limit, math.MaxInt))
	}
	s.lastID = source.Header.Get(lastEventID)
	return s
}

// next returns the next event. It connects first if it has to.
func (s *eventStream) next() (sse.Event, error) {
	if s.response == nil {
		if err := s.connect(); err != nil {
			return sse.Event{}, err
		}
	}
	for {
		event, err := s.events.Next()
		s.takeState()
		if err == nil {
			return event, nil
		}
		if err := s.goOn(err); err != nil {
			return sse.Event{}, err
		}
	}
}

// takeState remembers what the stream has said about the next connection.
func (s *eventStream) takeState() {
	s.lastID = s.events.LastID()
	if wait, isSet := s.events.Retry(); isSet {
		s.retry = min(wait, mostRetryAfter)
	}
}

// goOn connects again after the connection has ended, or returns the error that ends the iteration.
func (s *eventStream) goOn(ended error) error {
	response := s.response
	s.close()

	if errors.Is(ended, sse.ErrTooLarge) {
		e := tooLarge("event", int64(s.limit))
		e.Request, e.Response = response.Request, response
		return s.client.mapped(e)
	}

	isEnd := ended == io.EOF //nolint:errorlint // an error around io.EOF is an error of the body's
	if isEnd && !s.isReconnectable() {
		return errEventsOver
	}

	failed := failure(s.source.Context(), response.Request, ended)
	failed.Response = response
	if failed.Code == CodeBadResponse && errors.Is(ended, io.ErrUnexpectedEOF) {
		// Compressed data that ends too early is a cut, though the response may have ended in order.
		failed.Code = CodeNetwork
	}
	if !s.mayReconnect(failed) {
		return s.client.mapped(failed)
	}
	return s.reconnect(response)
}

// isReconnectable reports whether the request may be sent again.
func (s *eventStream) isReconnectable() bool { return s.source.method() == http.MethodGet }

// mayReconnect reports whether a failure may pass.
func (s *eventStream) mayReconnect(err *Error) bool {
	if !s.isReconnectable() || s.source.Context().Err() != nil {
		return false
	}
	switch err.Code {
	case CodeNetwork, CodeTimeout:
		return true

	// The body of a refused status may be over the limit. The status says the same without it.
	case CodeBadRequest, CodeBadResponse, CodeTooLarge:
		return delay.MayPass(err.StatusCode())
	}
	return false
}

// reconnect waits and connects, as often as it takes.
func (s *eventStream) reconnect(last *Response) error {
	wait := s.retry
	for failures := 0; ; {
		wait += rand.N(wait/2 + 1) //nolint:gosec // jitter is no secret
		if err := pause(s.source, wait); err != nil {
			err.Response = last
			return s.client.mapped(err)
		}

		err := s.connect()
		failed, isError := errors.AsType[*Error](err)
		failures++
		if !isError || failures == mostReconnects || !s.mayReconnect(failed) {
			return err
		}

		wait = min(max(s.retry, leastBackoff)<<failures, max(s.retry, mostBackoff))
		if failed.Response != nil {
			asked := delay.Of(failed.Response.Header, time.Now())
			wait = max(wait, min(asked, mostRetryAfter))
		}
	}
}

// connect sends the request, and begins to read its response.
func (s *eventStream) connect() error {
	again := s.source.Clone()
	again.Header.Del(lastEventID)
	if s.lastID != "" {
		again.SetHeader(lastEventID, s.lastID)
	}

	resp, err := s.client.Do(again)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusNoContent {
		_ = resp.Stream().Close()
		return errEventsOver
	}
	if contentType := resp.Header.Get(contentTypeHeader); mediaType(contentType) != eventStreamType {
		resp.SetBytes(nil)
		message := fmt.Sprintf("the response is no event stream: its Content-Type is %q, and not %s",
			contentType, eventStreamType)
		return s.client.mapped(
			&Error{Code: CodeBadResponse, Message: message, Request: resp.Request, Response: resp})
	}

	s.response, s.body = resp, resp.Stream()
	s.events = sse.NewReader(s.body, s.lastID, s.limit)
	return nil
}

// close ends the connection, if there is one.
func (s *eventStream) close() {
	if s.response != nil {
		_ = s.body.Close()
		s.response, s.body, s.events = nil, nil, nil
	}
}

// decode decodes the data of an event of the present connection.
func (s *eventStream) decode(data string, v any) error {
	if data == "" {
		return nil
	}
	contentType := mediaJSON
	if _, isText := v.(*string); isText {
		contentType = "text/plain"
	}
	err := s.response.settings().decode([]byte(data), contentType, v)
	if err == nil {
		return nil
	}
	message := fmt.Sprintf("the event's data does not decode into %T", v)
	return s.client.mapped(&Error{
		Code: CodeBadResponse, Message: message,
		Request: s.response.Request, Response: s.response, Err: err,
	})
}
