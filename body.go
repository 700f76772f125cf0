package axle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"

	"github.com/axlehttp/axle/internal/rewind"
)

// ReplayLimit is the number of bytes of an io.Reader body that axle keeps, so that a replay or a
// redirect can send the body again: 1 MiB. It concerns readers that can neither seek nor be opened
// again. A longer body of such a reader is streamed, and cannot be sent again.
const ReplayLimit = rewind.Limit

// ErrBodyConsumed is the cause of the [Error] (CodeBadOption) of a request whose body was sent once
// and cannot be read again.
var ErrBodyConsumed = rewind.ErrConsumed

// newBody wraps a body that is an io.Reader, so that it can be sent again. It returns nil for any
// other body and for an empty one.
func newBody(body any) *rewind.Body {
	reader, isReader := body.(io.Reader)
	if !isReader || reader == http.NoBody || isNilPointer(body) {
		return nil
	}
	return rewind.New(reader)
}

// wrappedBody is the request's reader, wrapped. A reader that SetBody was given is wrapped once, so
// that each call sends it from where it was left then.
func (r *Request) wrappedBody() *rewind.Body {
	if r.reader != nil && isSame(r.reader.Given(), r.Body) {
		return r.reader
	}
	return newBody(r.Body)
}

// retain has the pass release a body at its end, unless an outer pass does. The body may be nil.
func (p *pass) retain(b *rewind.Body) *rewind.Body {
	if b != nil && b.Retain() {
		p.bodies = append(p.bodies, b)
	}
	return b
}

// rewindBody goes back to the start of a body that is not in memory, or says why that cannot be.
func rewindBody(ctx context.Context, body any) error {
	switch body := body.(type) {
	case *rewind.Body:
		return body.Rewind(ctx)
	case *Multipart:
		return body.rewind(ctx)
	}
	return nil
}

// refusedBody is the error of a body that cannot be sent again; nil if err says anything else.
func refusedBody(err error) *Error {
	if refused, ok := errors.AsType[*rewind.Error](err); ok {
		return badOption(nil, refused.Message(), refused.Err)
	}
	return nil
}

// givenBody is the body as the caller gave it, for messages.
func givenBody(body any) any {
	if b, isWrapped := body.(*rewind.Body); isWrapped {
		return b.Given()
	}
	return body
}

// isNilReader reports whether a body is nothing to read from, by mistake.
func isNilReader(body any) bool {
	switch body.(type) {
	case io.Reader, *Multipart:
		return isNilPointer(body)
	}
	return false
}

func isNilPointer(body any) bool {
	v := reflect.ValueOf(body)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// isSame reports whether two values are equal. Values that cannot be compared never are.
func isSame(a, b any) bool {
	areComparable := reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable()
	return reflect.TypeOf(a) == reflect.TypeOf(b) && areComparable && a == b
}

// payload is a request's body as one attempt sends it.
type payload struct {
	open        func(ctx context.Context) (io.ReadCloser, error) // nil: no body
	length      int64                                            // in bytes; -1: unknown
	contentType string
	relabel     bool // contentType replaces the header's; an empty one removes it
}

// EncodedBody returns the body as it would be sent, and the Content-Type that goes with it, for
// signing. It refuses an io.Reader and a [*Multipart] (CodeBadOption): to read one here would leave
// nothing to send.
func (r *Request) EncodedBody() (body []byte, contentType string, err error) {
	switch r.Body.(type) {
	case io.Reader, *Multipart:
		message := fmt.Sprintf("the body is a stream (%T), and reading it here would leave nothing to send",
			givenBody(r.Body))
		return nil, "", badOption(r, message, nil)
	}
	encoded, e := r.encode()
	if e != nil {
		return nil, "", e
	}
	return encoded.bytes, encoded.contentType, nil
}

// encoded is a body in memory, as it is sent.
type encoded struct {
	bytes       []byte // nil: no body
	contentType string
}

// encode returns the bytes of a body that is no reader. The Content-Type decides how a value is
// encoded. Text and bytes are sent as they are.
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

// contentType is the Content-Type that a header sets for the body: the request's own, or, outside a
// call, the client's default. A default labels neither a body that has a type of its own nor an
// empty request.
func (r *Request) contentType() string {
	// A handler may have written the name in another case.
	set := ""
	if list := r.headerValues(contentTypeHeader); len(list) > 0 {
		set = list[0]
	}

	if r.pass != nil {
		if r.hasDefaultType() && !takesDefaultType(r.Body) {
			return ""
		}
		return set
	}

	// Outside a call nothing has merged the client's defaults yet. The default of the method goes
	// before that of all methods.
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

// hasDefaultType reports whether the request's Content-Type is the client's default, as the call
// merged it.
func (r *Request) hasDefaultType() bool {
	return len(r.pass.defaultType) > 0 && slices.Equal(r.headerValues(contentTypeHeader), r.pass.defaultType)
}

// payload prepares the body for one attempt.
func (p *pass) payload(r *Request) (payload, *Error) {
	body, err := p.encode(r)
	if err != nil {
		return payload{}, err
	}
	body.relabel = body.relabel || r.hasDefaultType() && !takesDefaultType(r.Body)

	// Behind the bridge the length is http.Request.ContentLength, and a header of that name means
	// nothing.
	if !p.inbound.verbatim {
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
		body = body.limitTo(limit)
	}
	return r.meterUpload(body), nil
}

// limitTo makes the body fail where it goes on beyond the limit, in bytes.
func (b payload) limitTo(limit int64) payload {
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

// encode makes a payload of the body, whatever it is.
func (p *pass) encode(r *Request) (payload, *Error) {
	if m, ok := r.Body.(*Multipart); ok && m != nil {
		return p.multipart(r, m)
	}
	if _, isReader := r.Body.(io.Reader); isReader {
		return p.encodeReader(r.Body), nil
	}

	encoded, err := r.encode()
	if err != nil || encoded.bytes == nil {
		return payload{}, err
	}

	open := func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(encoded.bytes)), nil
	}
	set := r.Header.Get(contentTypeHeader)
	return payload{
		open:        open,
		length:      int64(len(encoded.bytes)),
		contentType: encoded.contentType,
		relabel:     set != "" && set != encoded.contentType,
	}, nil
}

// encodeReader sends a reader as it is.
func (p *pass) encodeReader(reader any) payload {
	b := p.retain(newBody(reader))
	if b == nil {
		return payload{}
	}

	// A handler's reader may wrap the caller's, which then must stay open until the handler's is
	// closed.
	if given, isWrapped := p.source.Body.(*rewind.Body); isWrapped {
		given.SendWithin(b)
	}
	return payload{open: b.Open, length: b.Size(), contentType: "application/octet-stream"}
}

// multipart makes a payload of a form, whose parts are read as it is sent.
func (p *pass) multipart(r *Request, m *Multipart) (payload, *Error) {
	switch {
	case m.bad != nil:
		return payload{}, badOption(r, m.bad.Error(), nil)
	case m.boundary == "":
		return payload{}, badOption(r, "the Multipart has no boundary: NewMultipart makes one", nil)
	}
	for _, part := range m.parts {
		p.retain(part.body)
	}

	return payload{
		open:        m.open,
		length:      m.length(),
		contentType: m.contentType(r.contentType()),
		relabel:     true,
	}, nil
}
