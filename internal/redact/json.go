package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// jsonMask copies JSON without white space and without the values of secret names. It works token by token, so that what is
// cut off or broken is shown up to there and no further.
type jsonMask struct {
	in    *json.Decoder
	out   bytes.Buffer
	limit int // of out; a little more may be written
}

// maxDepth is how deeply JSON may be nested, lest a body overflow the stack; encoding/json goes as deep.
const maxDepth = 10000

var (
	errEnough = errors.New("there is enough to show")
	errDepth  = errors.New("the JSON is nested too deeply")
)

// maskJSON masks one JSON value, or several in a row.
func maskJSON(body []byte, limit int) string {
	m := &jsonMask{in: json.NewDecoder(bytes.NewReader(body)), limit: limit}
	m.in.UseNumber()
	for {
		token, err := m.in.Token()
		if errors.Is(err, io.EOF) {
			return m.out.String()
		}
		if m.out.Len() > 0 {
			m.out.WriteByte('\n')
		}
		if err == nil {
			err = m.value(token, 1)
		}
		if errors.Is(err, errEnough) {
			return m.out.String()
		}
		if err != nil {
			m.out.WriteString("… [unreadable from here]")
			return m.out.String()
		}
	}
}

// value writes the value that starts with token.
func (m *jsonMask) value(token json.Token, depth int) error {
	if m.out.Len() > m.limit {
		return errEnough
	}
	if depth > maxDepth {
		return errDepth
	}
	switch t := token.(type) {
	case json.Delim:
		return m.composite(t, depth)
	case string:
		return m.write(Text(t))
	default: // a number, a boolean or null
		return m.write(t)
	}
}

func (m *jsonMask) composite(open json.Delim, depth int) error {
	m.out.WriteRune(rune(open))
	for first := true; m.in.More(); first = false {
		if !first {
			m.out.WriteByte(',')
		}
		token, err := m.in.Token()
		if err != nil {
			return err
		}
		if name, ok := token.(string); ok && open == '{' {
			if err := m.write(name); err != nil {
				return err
			}
			m.out.WriteByte(':')
			if token, err = m.in.Token(); err != nil {
				return err
			}
			if Name(name) && token != nil {
				if err := m.skip(token); err != nil {
					return err
				}
				token = Mask
			}
		}
		if err := m.value(token, depth+1); err != nil {
			return err
		}
	}
	if _, err := m.in.Token(); err != nil {
		return err
	}
	m.out.WriteRune(rune(open) + 2) // '}' is two after '{', and ']' after '['
	return nil
}

// skip reads the rest of the value that starts with token.
func (m *jsonMask) skip(token json.Token) error {
	for depth := 0; ; {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if token, err = m.in.Token(); err != nil {
			return err
		}
	}
}

func (m *jsonMask) write(v any) error {
	e := json.NewEncoder(&m.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	m.out.Truncate(m.out.Len() - 1) // the newline
	return nil
}
