package axle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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
	switch r.Body.(type) {
	case io.Reader, *Multipart:
		return nil, "", badOption(r, fmt.Sprintf("the body is a stream (%T), and reading it here would leave nothing to send", bodyOf(r.Body)), nil)
	}
	body, contentType, e := r.encode()
	if e != nil {
		return nil, "", e
	}
	if body == nil {
		contentType = ""
	}
	if set := r.contentType(); set != "" {
		contentType = set
	}
	return body, contentType, nil
}

// contentType is the one that a header sets: the request's, or before it is in a call a default of the client.
func (r *Request) contentType() string {
	const name = "Content-Type"
	set := r.Header.Get(name)
	if s := r.settings(); s != nil && r.pass == nil {
		for _, header := range []http.Header{s.methodHeader[r.method()], s.header} {
			if set == "" {
				set = header.Get(name)
			}
		}
	}
	return set
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
	marshal := json.Marshal
	if s := r.settings(); s != nil && s.marshal != nil {
		marshal = s.marshal
	}
	body, err := marshal(r.Body)
	if err != nil {
		return nil, "", badOption(r, fmt.Sprintf("the body (%T) cannot be encoded", r.Body), err)
	}
	return body, "application/json", nil
}

// payload prepares the body for one dispatch.
func (p *pass) payload(r *Request) (payload, *Error) {
	body, err := p.encode(r)
	if err != nil {
		return payload{}, err
	}
	limit := p.settings.requestLimit
	switch {
	case limit == 0 || body.open == nil:
	case body.length > limit:
		e := tooLarge("request", limit)
		e.Request = r
		return payload{}, e
	case body.length < 0:
		body = body.within(limit)
	}
	return r.meterUpload(body), nil
}

// within fails a body that goes on beyond the limit.
func (b payload) within(limit int64) payload {
	open := b.open
	b.open = func(ctx context.Context) (io.ReadCloser, error) {
		reader, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return &limited{what: "request", body: reader, left: limit, limit: limit}, nil
	}
	return b
}

func (p *pass) encode(r *Request) (payload, *Error) {
	if m, ok := r.Body.(*Multipart); ok && m != nil {
		return p.multipart(r, m)
	}
	if reader, ok := r.Body.(io.Reader); ok {
		b, ok := reader.(*rewinder)
		if !ok {
			b = p.own(newRewinder(reader))
		}
		if b == nil {
			return payload{}, nil
		}
		if given, ok := p.source.Body.(*rewinder); ok && given != b {
			given.sentWithin(b)
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

func (p *pass) multipart(r *Request, m *Multipart) (payload, *Error) {
	if m.bad != nil {
		return payload{}, badOption(r, m.bad.Error(), nil)
	}
	for _, part := range m.parts {
		p.own(part.body)
	}
	return payload{open: m.open, length: m.length(), contentType: m.contentType()}, nil
}
