package axle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
)

// payload is a request's body as one dispatch sends it.
type payload struct {
	open        func(ctx context.Context) (io.ReadCloser, error) // nil: no body
	length      int64                                            // in bytes; -1: unknown
	contentType string
}

// EncodedBody returns the body as it would be sent, and the Content-Type that goes with it, for signing. A body that is an
// io.Reader is refused (CodeBadOption): reading it here would leave nothing to send.
func (r *Request) EncodedBody() (body []byte, contentType string, err error) {
	if _, ok := r.Body.(io.Reader); ok {
		return nil, "", badOption(r, fmt.Sprintf("the body is a stream (%T), and reading it here would leave nothing to send", bodyOf(r.Body)), nil)
	}
	body, contentType, e := r.encode()
	if e != nil {
		return nil, "", e
	}
	if set := r.Header.Get("Content-Type"); set != "" {
		contentType = set
	}
	return body, contentType, nil
}

// encode returns the bytes of a body that is no reader.
func (r *Request) encode() ([]byte, string, *Error) {
	switch body := r.Body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return body, "application/octet-stream", nil
	case string:
		return []byte(body), "text/plain; charset=utf-8", nil
	case url.Values:
		return []byte(body.Encode()), "application/x-www-form-urlencoded", nil
	}
	body, err := json.Marshal(r.Body)
	if err != nil {
		return nil, "", badOption(r, fmt.Sprintf("the body (%T) cannot be encoded", r.Body), err)
	}
	return body, "application/json", nil
}

// payload prepares the body for one dispatch.
func (p *pass) payload(r *Request) (payload, *Error) {
	if reader, ok := r.Body.(io.Reader); ok {
		b, ok := reader.(*rewinder)
		if !ok {
			b = p.own(newRewinder(reader))
		}
		if b == nil {
			return payload{}, nil
		}
		return payload{open: b.open, length: b.size, contentType: "application/octet-stream"}, nil
	}
	body, contentType, err := r.encode()
	if err != nil || body == nil {
		return payload{}, err
	}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return payload{open: open, length: int64(len(body)), contentType: contentType}, nil
}
