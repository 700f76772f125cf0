package axle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// payload is a request's body as one dispatch sends it.
type payload struct {
	open        func(ctx context.Context) (io.ReadCloser, error) // nil: no body
	length      int64                                            // in bytes; -1: unknown
	contentType string
	relabel     bool // contentType takes the place of the header's; an empty one removes it
}

// EncodedBody returns the body as it would be sent, and the Content-Type that goes with it, for signing. A body that is an
// io.Reader is refused (CodeBadOption): reading it here would leave nothing to send.
func (r *Request) EncodedBody() (body []byte, contentType string, err error) {
	switch r.Body.(type) {
	case io.Reader, *Multipart:
		return nil, "", badOption(r, fmt.Sprintf("the body is a stream (%T), and reading it here would leave nothing to send", bodyOf(r.Body)), nil)
	}
	encoded, e := r.encode()
	if e != nil {
		return nil, "", e
	}
	return encoded.bytes, encoded.contentType, nil
}

// encoded is a body that is no reader, as it is sent.
type encoded struct {
	bytes       []byte // nil: no body
	contentType string
}

// encode returns the bytes of a body that is no reader: by its Content-Type, unless it is text or bytes already.
func (r *Request) encode() (encoded, *Error) {
	contentType := r.contentType()
	orElse := func(ofBody string) string {
		if contentType == "" {
			return ofBody
		}
		return contentType
	}
	switch body := r.Body.(type) {
	case nil:
		return encoded{nil, contentType}, nil
	case []byte:
		if body == nil {
			return encoded{nil, contentType}, nil
		}
		return encoded{body, orElse("application/octet-stream")}, nil
	case string:
		return encoded{[]byte(body), orElse("text/plain; charset=utf-8")}, nil
	case url.Values:
		contentType = orElse(mediaForm)
	default:
		contentType = orElse(mediaJSON)
	}

	bytes, contentType, err := r.marshal(contentType)
	if err != nil {
		return encoded{}, err
	}
	return encoded{bytes, contentType}, nil
}

const contentTypeHeader = "Content-Type"

// contentType is the one that a header sets for the body: the request's, or before it is in a call a default of the client. A
// default labels neither a body that carries a type of its own nor none.
func (r *Request) contentType() string {
	set := ""
	if list := r.headerValues(contentTypeHeader); len(list) > 0 { // a handler may have written the name in another case
		set = list[0]
	}
	if r.pass != nil {
		if r.hasDefaultType() && !takesDefaultType(r.Body) {
			return ""
		}
		return set
	}
	if s := r.settings(); s != nil && takesDefaultType(r.Body) {
		for _, header := range []http.Header{s.methodHeader[r.method()], s.header} {
			if set == "" {
				set = header.Get(contentTypeHeader)
			}
		}
	}
	return set
}

// takesDefaultType reports whether a client's default Content-Type may say what a body is.
func takesDefaultType(body any) bool {
	switch body := body.(type) {
	case nil, url.Values, *Multipart:
		return false
	case []byte:
		return body != nil
	}
	return true
}

// hasDefaultType reports whether the request's Content-Type is the client's default, as the call merged it.
func (r *Request) hasDefaultType() bool {
	return len(r.pass.defaultType) > 0 && slices.Equal(r.headerValues(contentTypeHeader), r.pass.defaultType)
}

// payload prepares the body for one dispatch.
func (p *pass) payload(r *Request) (payload, *Error) {
	body, err := p.encode(r)
	if err != nil {
		return payload{}, err
	}
	body.relabel = body.relabel || r.hasDefaultType() && !takesDefaultType(r.Body)
	if p.bridge == nil {
		// Behind the bridge http.Request.ContentLength says it, and a header of that name is nobody's.
		var bad error
		if body, bad = body.declared(r.Header); bad != nil {
			return payload{}, badOption(r, bad.Error(), nil)
		}
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
	encoded, err := r.encode()
	if err != nil || encoded.bytes == nil {
		return payload{}, err
	}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(encoded.bytes)), nil }
	return payload{
		open: open, length: int64(len(encoded.bytes)), contentType: encoded.contentType,
		relabel: r.Header.Get(contentTypeHeader) != "" && encoded.contentType != r.Header.Get(contentTypeHeader),
	}, nil
}

func (p *pass) multipart(r *Request, m *Multipart) (payload, *Error) {
	switch {
	case m.bad != nil:
		return payload{}, badOption(r, m.bad.Error(), nil)
	case m.boundary == "":
		return payload{}, badOption(r, "the Multipart has no boundary: NewMultipart makes one", nil)
	}
	for _, part := range m.parts {
		p.own(part.body)
	}
	return payload{open: m.open, length: m.length(), contentType: m.contentType(r.contentType()), relabel: true}, nil
}
