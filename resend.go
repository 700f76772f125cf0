package axle

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"

	"github.com/axlehttp/axle/internal/rewind"
)

// net/http sends a request again by itself when a connection fails before a response has come: a
// connection that was idle for too long, or one that an HTTP/2 server gives up (GOAWAY). net/http
// then asks for the body once more. If there is none to be had, the reason for that becomes the
// error of the whole request, and the network's own error is lost. This file keeps the network's
// error.

// resending watches one request whose body can be sent only once.
type resending struct {
	request *Request

	mu       sync.Mutex
	answered bool  // a response has come to the last request, so that the next one is a redirected request
	err      error // of the network, if it ended the last request
}

var errConnectionLost = errors.New("the connection was lost before a response came")

// watch makes raw tell how it is sent.
func (s *resending) watch(raw *http.Request) {
	trace := &httptrace.ClientTrace{
		GetConn:              func(string) { s.setAnswered(false) },
		GotFirstResponseByte: func() { s.setAnswered(true) },
		WroteRequest:         func(info httptrace.WroteRequestInfo) { s.setError(info.Err) },
	}
	*raw = *raw.WithContext(httptrace.WithClientTrace(raw.Context(), trace))
}

func (s *resending) setAnswered(answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = answered
}

func (s *resending) setError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// explain is the error of a body that cannot be sent again: where a transport has asked for it, the
// network's, with the reason.
func (s *resending) explain(err error) error {
	refused := refusedBody(err)
	if refused == nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	// If a redirect asks for the body, the network has not failed.
	if s.answered {
		return err
	}

	network, reason := s.err, refused.Err
	if network == nil {
		network = errConnectionLost
	}
	if reason == nil {
		reason = errors.New(refused.Message)
	}
	return &Error{
		Code:    CodeNetwork,
		Message: "the connection failed, and the body cannot be sent again",
		Request: s.request,
		Err:     fmt.Errorf("%w (%w)", network, reason),
	}
}

// isSentOnce reports whether a body may turn out to be too long to be sent again.
func isSentOnce(body any) bool {
	switch body := body.(type) {
	case *rewind.Body:
		return body.MayExceedLimit()
	case *Multipart:
		for _, part := range body.parts {
			if part.body != nil && isSentOnce(part.body) {
				return true
			}
		}
		return false
	}
	_, ok := body.(io.Reader)
	return ok
}
