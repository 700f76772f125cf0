package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// jsonMask copies JSON without white space and without the values of secret names. It works token
// by token, so JSON that is cut off or broken is shown up to that point.
type jsonMask struct {
	names *Names
	in    *json.Decoder
	out   bytes.Buffer
	limit int // of out, in bytes; a little more may be written
	depth int // of JSON and URLs inside strings
}

// maxDepth bounds the nesting of JSON, so that a body cannot overflow the stack, which is small in a
// browser. No one reads JSON that is nested more deeply.
const maxDepth = 1000

var (
	errEnough = errors.New("there is enough to show")
	errDepth  = errors.New("the JSON is nested too deeply")
)

// looksLikeJSON reports whether a text begins like an object or an array. "[note] text" and "{id}"
// do not.
func looksLikeJSON(text string) bool {
	const space = " \t\r\n"
	text = strings.TrimLeft(text, space+"\ufeff")
	if text == "" || text[0] != '{' && text[0] != '[' {
		return false
	}

	inside := strings.TrimLeft(text[1:], space)
	switch {
	case inside == "", inside[0] == '"', inside[0] == '}' && text[0] == '{':
		return true
	}
	return text[0] == '[' && (strings.ContainsRune("[{]-0123456789", rune(inside[0])) ||
		strings.HasPrefix(inside, "true") || strings.HasPrefix(inside, "false") ||
		strings.HasPrefix(inside, "null"))
}

// json masks one JSON value, or several in a row. If the body was cut inside a string, that string
// is shown up to the cut.
func (n *Names) json(body []byte, limit int, cut bool, depth int) string {
	if depth > maxNesting {
		return Mask
	}
	if cut {
		body = closeString(body)
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))

	m := &jsonMask{names: n, in: json.NewDecoder(bytes.NewReader(body)), limit: limit, depth: depth}
	m.in.UseNumber()
	if err := m.all(); err != nil && !errors.Is(err, errEnough) && !cut {
		m.out.WriteString("… [unreadable from here]")
	}
	return Printable(m.out.String())
}

// closeString ends a string that was cut. It removes an escape that was cut in two.
func closeString(body []byte) []byte {
	// escape is the index of the current escape, or -1.
	inString, escape := false, -1
	for i, c := range body {
		switch {
		case escape >= 0:
			isHex := i > escape+1 && body[escape+1] == 'u'
			if !isHex && c != 'u' || isHex && i == escape+5 {
				escape = -1
			}
		case inString && c == '\\':
			escape = i
		case c == '"':
			inString = !inString
		}
	}

	if !inString {
		return body
	}
	if escape >= 0 {
		body = body[:escape]
	}
	return append(slices.Clip(body), '"')
}

// all writes every value of the input.
func (m *jsonMask) all() error {
	for {
		token, err := m.in.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}

		if m.out.Len() > 0 {
			m.out.WriteByte('\n')
		}
		if err == nil {
			err = m.value(token, 1)
		}
		if err != nil {
			return err
		}
	}
}

// value writes the value that begins with the token.
func (m *jsonMask) value(token json.Token, depth int) error {
	if m.out.Len() > m.limit {
		return errEnough
	}
	if depth > maxDepth {
		return errDepth
	}

	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return m.array(depth)
		}
		return m.object(depth)
	case string:
		return m.write(m.names.value(t, m.depth+1))
	default:
		return m.write(t)
	}
}

// array writes the rest of an array. An array may be a list of names and values, ["Cookie", "a=1"].
// So a string that follows the name of a secret is masked.
func (m *jsonMask) array(depth int) error {
	m.out.WriteByte('[')
	afterName := false
	for first := true; m.in.More(); first = false {
		if !first {
			m.out.WriteByte(',')
		}
		token, err := m.in.Token()
		if err != nil {
			return err
		}

		text, isString := token.(string)
		if afterName && isString {
			token = Mask
		}
		afterName = isString && m.names.Secret(text)
		if err := m.value(token, depth+1); err != nil {
			return err
		}
	}
	if _, err := m.in.Token(); err != nil {
		return err
	}
	m.out.WriteByte(']')
	return nil
}

// pair describes an object that may be a name and a value: {"name": "password", "value": "…"}, in
// either order.
type pair struct {
	named  bool // the object has a string as its name
	secret bool // that string is the name of a secret
	scalar bool // the value is neither an array nor an object
	from   int  // offset of the value in the output; 0: there is no value yet
	to     int  // offset of its end; 0: it is not complete
}

var (
	nameMembers = setOf("name", "key", "field", "param", "parameter", "header", "property", "attribute",
		"label", "id", "k", "n")
	valueMembers = setOf("value", "val", "values", "content", "default", "text", "v")
)

func setOf(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// object writes the rest of an object.
func (m *jsonMask) object(depth int) error {
	var p pair
	err := m.members(&p, depth)

	// The value may come before the name. If the name does not come, because the output is full or
	// the input is broken, the value may be a secret.
	mayBeSecret := p.secret || err != nil && !p.named && p.scalar
	if p.from > 0 && mayBeSecret {
		rest := bytes.Clone(m.out.Bytes()[min(max(p.to, p.from), m.out.Len()):])
		if p.to == 0 {
			rest = nil
		}
		m.out.Truncate(p.from)
		m.out.WriteString(`"` + Mask + `"`)
		m.out.Write(rest)
	}
	return err
}

// members writes the rest of an object and notes in p whether it is a pair.
func (m *jsonMask) members(p *pair, depth int) error {
	m.out.WriteByte('{')
	for first := true; m.in.More(); first = false {
		if !first {
			m.out.WriteByte(',')
		}
		token, err := m.in.Token()
		if err != nil {
			return err
		}

		name, _ := token.(string)
		if err := m.write(m.names.value(name, m.depth+1)); err != nil {
			return err
		}
		m.out.WriteByte(':')
		if token, err = m.in.Token(); err != nil {
			return err
		}

		role := strings.ToLower(name)
		text, isString := token.(string)
		if isString && nameMembers[role] {
			p.named = true
			p.secret = p.secret || m.names.Secret(text)
		}
		isValue := valueMembers[role] && p.from == 0
		if isValue {
			_, composite := token.(json.Delim)
			p.from, p.scalar = m.out.Len(), !composite
		}

		// The value of a secret is read, and not written.
		if m.names.Secret(name) && token != nil {
			if err := m.skip(token); err != nil {
				return err
			}
			token = Mask
		}
		if err := m.value(token, depth+1); err != nil {
			return err
		}
		if isValue {
			p.to = m.out.Len()
		}
	}

	if _, err := m.in.Token(); err != nil {
		return err
	}
	m.out.WriteByte('}')
	return nil
}

// skip reads the rest of the value that begins with the token.
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

// write writes a scalar.
func (m *jsonMask) write(v any) error {
	e := json.NewEncoder(&m.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}

	// The encoder has added a newline.
	m.out.Truncate(m.out.Len() - 1)
	return nil
}
