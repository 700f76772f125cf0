package axle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"

	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/wire"
)

// A codec encodes and decodes the bodies of one media type.

const (
	mediaJSON      = "application/json"
	mediaXML       = "application/xml"
	mediaForm      = "application/x-www-form-urlencoded"
	mediaMultipart = "multipart/form-data"
)

type codec struct {
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, v any) error
}

// SetCodec sets how the bodies of a media type, as "application/cbor", are encoded and decoded: a
// request's by its Content-Type, a response's by [Response.Decode]. If a function is nil, the
// built-in codec serves that direction. There are built-in codecs for JSON, XML and forms, and one
// for multipart forms that only encodes.
//
// The codec of a type also serves the types with its suffix (RFC 6839): that of "application/cbor"
// serves "application/senml+cbor", unless that type has a codec of its own. SetCodec of
// "application/json" is [Client.SetJSON]. Both functions are called by many goroutines at once. If
// mediaType is not a media type, or has parameters, every call fails with CodeBadOption.
func (c *Client) SetCodec(
	mediaType string, marshal func(v any) ([]byte, error), unmarshal func(data []byte, v any) error,
) *Client {
	media := strings.ToLower(mediaType)
	if media == mediaJSON {
		return c.SetJSON(marshal, unmarshal)
	}

	return c.update(func(s *settings) {
		kind, subtype, _ := strings.Cut(media, "/")
		if !wire.IsToken(kind) || !wire.IsToken(subtype) || strings.Contains(media, "*") {
			s.codecErr = fmt.Errorf("SetCodec needs a media type without parameters, as application/cbor, "+
				"and was given %q", mediaType)
			return
		}
		s.codecs = maps.Clone(s.codecs)
		if s.codecs == nil {
			s.codecs = map[string]codec{}
		}
		s.codecs[media] = codec{marshal, unmarshal}
	})
}

// mediaType is a Content-Type without its parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// family is the type by whose rules a type without a codec of its own is encoded.
func family(media string) string {
	i := strings.LastIndexByte(media, '+')
	switch {
	case media == "text/json", i >= 0 && media[i:] == "+json":
		return mediaJSON
	case media == "text/xml", i >= 0 && media[i:] == "+xml":
		return mediaXML
	case i >= 0:
		return "application/" + media[i+1:]
	}
	return media
}

func isJSON(media string) bool { return family(media) == mediaJSON }

// ownMarshal is the function of SetCodec that encodes the bodies of a type; nil: none.
func (s *settings) ownMarshal(media string) func(any) ([]byte, error) {
	if len(s.codecs) == 0 {
		return nil
	}
	if own := s.codecs[media].marshal; own != nil {
		return own
	}
	return s.codecs[family(media)].marshal
}

// ownUnmarshal is the function of SetCodec that decodes the bodies of a type; nil: none.
func (s *settings) ownUnmarshal(media string) func([]byte, any) error {
	if len(s.codecs) == 0 {
		return nil
	}
	if own := s.codecs[media].unmarshal; own != nil {
		return own
	}
	return s.codecs[family(media)].unmarshal
}

// marshal encodes the body as a Content-Type says, and returns the Content-Type of the result.
func (r *Request) marshal(contentType string) ([]byte, string, *Error) {
	s := r.settings()
	if s == nil {
		s = &noSettings
	}

	media := mediaType(contentType)
	var body []byte
	var err error
	if marshal := s.ownMarshal(media); marshal != nil {
		body, err = marshal(r.Body)
	} else {
		switch family(media) {
		case mediaJSON:
			marshal = marshalJSON
			if s.marshal != nil {
				marshal = s.marshal
			}
			body, err = marshal(r.Body)
		case mediaXML:
			if err = refuseScriptValue(r.Body); err == nil {
				body, err = xml.Marshal(r.Body)
			}
		case mediaForm:
			var form url.Values
			form, err = r.encodeValues(r.Body)
			body = []byte(form.Encode())
		case mediaMultipart:
			body, contentType, err = marshalMultipart(r.Body, contentType)
		default:
			message := fmt.Sprintf("the body (%T) has the Content-Type %q, which has no codec: "+
				"Client.SetCodec sets one", r.Body, contentType)
			return nil, "", badOption(r, message, nil)
		}
	}
	if err != nil {
		return nil, "", badOption(r, fmt.Sprintf("the body (%T) cannot be encoded as %s", r.Body, media), err)
	}
	return body, contentType, nil
}

// marshalJSON is json.Marshal, which would encode a value of JavaScript as an empty object.
func marshalJSON(v any) ([]byte, error) {
	if err := refuseScriptValue(v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// refuseScriptValue returns the error of a value that has one of JavaScript in it.
func refuseScriptValue(v any) error {
	if !fetch.HasScriptValue(v) {
		return nil
	}
	return errors.New("a value of JavaScript is in it, of which Go would send nothing: " +
		"of a File or a Blob, send the bytes (js.CopyBytesToGo)")
}

// marshalMultipart makes a multipart form of a map or a struct. Its boundary is a digest of the
// form, so that each encoding of the same body has the same bytes, as a signature needs.
func marshalMultipart(fields any, label string) ([]byte, string, error) {
	form := &Multipart{}
	form.Fields(fields)
	body, err := form.bytes()
	if err != nil {
		return nil, "", err
	}

	digest := sha256.Sum256(body)
	form.boundary = "axle-" + base32.StdEncoding.EncodeToString(digest[:15])
	body, err = form.bytes()
	return body, form.contentType(label), err
}

// bytes is the form as it is sent, for one whose parts are all in memory.
func (m *Multipart) bytes() ([]byte, error) {
	if m.bad != nil {
		return nil, m.bad
	}
	reader, err := m.open(context.Background())
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }()
	return io.ReadAll(reader)
}

// decode decodes a body by its Content-Type.
func (s *settings) decode(body []byte, contentType string, v any) error {
	unmarshalJSON := json.Unmarshal
	if s.unmarshal != nil {
		unmarshalJSON = s.unmarshal
	}

	media := mediaType(contentType)
	switch v := v.(type) {
	case nil:
		return errNilTarget
	case *[]byte:
		*v = bytes.Clone(body)
		return nil
	case *string:
		if !isJSON(media) || !decodeJSONString(body, v, unmarshalJSON) {
			*v = string(body)
		}
		return nil
	}

	// A function of SetCodec goes before the built-in ones.
	if unmarshal := s.ownUnmarshal(media); unmarshal != nil {
		if err := unmarshal(body, v); err != nil {
			return fmt.Errorf("%s: %w", contentType, err)
		}
		return nil
	}

	form, isForm := v.(*url.Values)
	switch kind := family(media); {
	case kind == mediaXML:
		return xml.Unmarshal(body, v)
	case kind == mediaForm && isForm:
		values, err := url.ParseQuery(string(body))
		*form = values
		return err
	}

	// Whatever else the Content-Type says, the body is read as JSON: many servers label it wrongly,
	// or not at all.
	text, err := jsonText(body)
	if err == nil {
		err = unmarshalJSON(text, v)
	}
	if err != nil {
		if contentType == "" {
			contentType = "no Content-Type"
		}
		return fmt.Errorf("%s, read as JSON: %w", contentType, err)
	}
	return nil
}
