package axle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strconv"
	"strings"
)

// QueryEncoder makes parameters of a value: of a map, of a struct, or of any value that
// encoding/json encodes as an object (axios's paramsSerializer). Any function can be one.
// [QueryRepeat], [QueryBrackets], [QueryIndices], [QueryComma] and [QueryDots] are ready-made.
//
// The ready-made encoders differ in how they write lists. A nested object is a[b]=c in all of them
// but QueryDots. A list of lists or of objects has indices in all of them. Null is left out. Names
// and values are those of encoding/json, so that its tags hold. A value that is nested more than
// [MaxQueryDepth] deep is an error.
type QueryEncoder func(params any) (url.Values, error)

// QueryRepeat writes a list as a=1&a=2. It is the default.
func QueryRepeat(params any) (url.Values, error) { return flatten(params, listRepeat) }

// QueryBrackets writes a list as a[]=1&a[]=2 (axios's default).
func QueryBrackets(params any) (url.Values, error) { return flatten(params, listBrackets) }

// QueryIndices writes a list as a[0]=1&a[1]=2.
func QueryIndices(params any) (url.Values, error) { return flatten(params, listIndices) }

// QueryComma writes a list as a=1,2.
func QueryComma(params any) (url.Values, error) { return flatten(params, listComma) }

// QueryDots writes a nested object as a.b=c, a list as a=1&a=2, and a list of objects as a[0].b=c
// (qs's allowDots). Servers in Java and .NET read that.
func QueryDots(params any) (url.Values, error) { return flatten(params, listDots) }

// MaxQueryDepth is how deeply the parameters of a [QueryEncoder] may be nested (axios's maxDepth).
const MaxQueryDepth = 100

var queryEncoderKey = NewKey[QueryEncoder]("query encoder")

// SetQueryEncoder sets the [QueryEncoder] of this request, in the place of the client's, for the
// SetParams and the SetForm that follow, and for a body that is encoded as a form because of its
// Content-Type. A nil one is the client's. Replays have it too.
func (r *Request) SetQueryEncoder(encode QueryEncoder) *Request {
	if encode == nil {
		queryEncoderKey.Delete(r)
		return r
	}
	queryEncoderKey.Set(r, encode)
	return r
}

// queryEncoder returns the request's own encoder, or else the client's, or else QueryRepeat.
func (r *Request) queryEncoder() QueryEncoder {
	if own, _ := queryEncoderKey.Get(r); own != nil {
		return own
	}
	if s := r.settings(); s != nil && s.encodeQuery != nil {
		return s.encodeQuery
	}
	return QueryRepeat
}

// SetParams sets query parameters from a map or a struct, by the request's or the client's
// [QueryEncoder] (axios's params). They replace parameters of the same names. A value that cannot be
// encoded fails the call with CodeBadOption.
func (r *Request) SetParams(params any) *Request {
	encoded, err := r.encodeValues(params)
	if err != nil {
		return r.setBad(fmt.Errorf("the query parameters (%T) cannot be encoded: %w", params, err))
	}
	if r.Query == nil {
		r.Query = url.Values{}
	}
	maps.Copy(r.Query, encoded)
	return r
}

// SetForm sets a url-encoded form as the body, from a map or a struct, by the request's or the
// client's [QueryEncoder]. For a url.Values, SetBody is enough. A value that cannot be encoded fails the
// call with CodeBadOption.
func (r *Request) SetForm(form any) *Request {
	encoded, err := r.encodeValues(form)
	if err != nil {
		return r.setBad(fmt.Errorf("the form (%T) cannot be encoded: %w", form, err))
	}
	return r.SetBody(encoded)
}

func (r *Request) encodeValues(params any) (url.Values, error) {
	if values, ok := params.(url.Values); ok {
		return cloneValues(values), nil
	}
	return r.queryEncoder()(params)
}

type listStyle int

const (
	listRepeat listStyle = iota
	listBrackets
	listIndices
	listComma
	listDots // as listRepeat, and objects have dots
)

// flatten makes parameters of the object that encoding/json makes of a value.
func flatten(params any, style listStyle) (url.Values, error) {
	raw, err := marshalJSON(params)
	if err != nil {
		return nil, err
	}

	// A number stays as encoding/json has written it, since a float64 would lose digits.
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil && err != io.EOF {
		return nil, err
	}

	values := url.Values{}
	switch tree := tree.(type) {
	case nil:
		return values, nil
	case map[string]any:
		for name, v := range tree {
			if err := style.add(values, name, v, 1); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	return nil, fmt.Errorf("a map or a struct is needed, not a %T", params)
}

// add adds the parameters of a value, which is a part of the tree that encoding/json has made.
func (s listStyle) add(values url.Values, name string, v any, depth int) error {
	if depth > MaxQueryDepth {
		return fmt.Errorf("it is nested more than %d deep", MaxQueryDepth)
	}

	switch v := v.(type) {
	case nil:
	case map[string]any:
		for key, inner := range v {
			if err := s.add(values, s.member(name, key), inner, depth+1); err != nil {
				return err
			}
		}
	case []any:
		return s.addList(values, name, v, depth)
	default:
		values.Add(name, text(v))
	}
	return nil
}

// member returns the name of an object's member.
func (s listStyle) member(object, name string) string {
	if s == listDots {
		return object + "." + name
	}
	return object + "[" + name + "]"
}

func (s listStyle) addList(values url.Values, name string, list []any, depth int) error {
	var plain []string
	isNested := false
	for _, v := range list {
		switch v.(type) {
		case nil:
		case map[string]any, []any:
			isNested = true
		default:
			plain = append(plain, text(v))
		}
	}

	switch {
	case isNested, s == listIndices:
		for i, v := range list {
			if err := s.add(values, name+"["+strconv.Itoa(i)+"]", v, depth+1); err != nil {
				return err
			}
		}
	case len(plain) == 0:
	case s == listComma:
		values[name] = []string{strings.Join(plain, ",")}
	case s == listBrackets:
		values[name+"[]"] = plain
	default:
		values[name] = plain
	}
	return nil
}

// text is a JSON scalar as a parameter.
func text(v any) string {
	if b, ok := v.(bool); ok {
		return strconv.FormatBool(b)
	}

	// It is a string or a json.Number.
	return fmt.Sprint(v)
}
