package wire

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"unicode"
)

// A placeholder is {name} in the text of a URL, and a path parameter is its value.

// Param is the value of a placeholder.
type Param struct {
	Text string
	Raw  bool // Text is a piece of a URL already: its slashes and its escapes stay
}

// Params are the values of placeholders, by name. A map of them is never modified, so that copies
// of a request can share it.
type Params map[string]Param

// With returns a copy that has this value too, in the place of an earlier one of that name.
func (p Params) With(name string, value Param) Params {
	changed := maps.Clone(p)
	if changed == nil {
		changed = Params{}
	}
	changed[name] = value
	return changed
}

// Values are what the placeholders of one URL are filled in from: the request's own parameters,
// else the client's defaults.
type Values struct{ Own, Defaults Params }

func (v Values) value(name string) (value Param, found bool) {
	if value, found = v.Own[name]; !found {
		value, found = v.Defaults[name]
	}
	return value, found
}

// ParamError says what is wrong with the value of a placeholder. It does not print the value, which
// may be a secret.
type ParamError struct{ Name, Problem string }

func (e *ParamError) Error() string {
	return fmt.Sprintf("the path parameter {%s} %s", e.Name, e.Problem)
}

// component is the part of a URL that a placeholder is written in, which decides how its value is
// checked and escaped.
type component int

const (
	inHost component = iota
	inPath
	inQuery
)

// expand fills in the placeholders of a host or a query.
func (v Values) expand(template string, in component) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}
	var b strings.Builder
	_, err := v.write(&b, template, in)
	return b.String(), err
}

// ExpandPath fills in the placeholders of a path. Its error is a [*ParamError].
//
// A value never makes a segment "." or "..", which would climb the path, and no value that is not
// raw adds a segment.
func (v Values) ExpandPath(template string) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}

	var b strings.Builder
	b.Grow(len(template) + 32)
	for more := true; more; {
		var segment string
		segment, template, more = strings.Cut(template, "/")

		start := b.Len()
		name, err := v.write(&b, segment, inPath)
		if err != nil {
			return "", err
		}

		// The whole segment is looked at, and not each value. One value may be harmless and still
		// climb together with the text beside it, as in "{a}{b}" and ".{a}".
		if name != "" && hasDotSegment(b.String()[start:]) {
			return "", &ParamError{name, `makes a segment "." or "..", which would climb the path`}
		}
		if more {
			b.WriteByte('/')
		}
	}
	return b.String(), nil
}

// write writes a piece of a URL with its placeholders filled in, and returns the name of the last
// one that it filled in.
func (v Values) write(b *strings.Builder, template string, in component) (filled string, err error) {
	for {
		before, name, after, found := cutPlaceholder(template)
		b.WriteString(before)
		if !found {
			return filled, nil
		}
		template = after

		// Braces are ordinary characters in a query, and around what is no name. There they are a
		// placeholder only if a value is set.
		value, isSet := v.value(name)
		if !isSet && (in == inQuery || !isPlaceholderName(name)) {
			b.WriteByte('{')
			b.WriteString(name)
			b.WriteByte('}')
			continue
		}

		if problem := value.problem(in, isSet); problem != "" {
			return "", &ParamError{name, problem}
		}
		b.WriteString(value.escaped(in))
		filled = name
	}
}

// problem says why a value cannot be filled in; it is empty where the value can be.
func (p Param) problem(in component, isSet bool) string {
	switch {
	case !isSet:
		return "has no value"
	case p.Text == "":
		return "has an empty value"
	case in == inHost:
		return hostProblem(p.Text)
	case p.Raw:
		return rawProblem(p.Text)
	}
	return ""
}

// escaped is the value as a part of a URL has it.
func (p Param) escaped(in component) string {
	switch {
	case p.Raw, in == inHost:
		return p.Text
	case in == inQuery:
		return url.QueryEscape(p.Text)
	}
	return url.PathEscape(p.Text)
}

// hostProblem says why a value cannot be written in a host. A value that is more than a piece of
// one label could name another host, or a port.
func hostProblem(value string) string {
	for i := range len(value) {
		if c := value[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
			return fmt.Sprintf("stands in the host of the URL, and its value is no part of a host's label: "+
				"byte %d is %q", i, c)
		}
	}
	return ""
}

// rawProblem says why a value cannot be written in a URL as it is.
func rawProblem(value string) string {
	for i := range len(value) {
		if c := value[i]; isControl(c) || strings.IndexByte(`?#\`, c) >= 0 {
			return fmt.Sprintf("is raw, and its value has %q at byte %d", c, i)
		}
	}

	decoded, err := url.PathUnescape(value)
	if err != nil {
		return "is raw, and its value has an escape that is none"
	}

	// A server may decode a path before it looks for dot segments, and may take a backslash for a
	// slash. What is a dot segment before it is decoded is one afterwards too.
	if hasDotSegment(strings.ReplaceAll(decoded, `\`, "/")) {
		return "is raw, and its value has a segment \".\" or \"..\", which would climb the path"
	}
	return ""
}

// hasDotSegment reports whether a piece of an escaped path has a segment "." or "..", in whatever
// way it is escaped. Some servers take the text after a semicolon for parameters of the segment.
func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if decoded, err := url.PathUnescape(segment); err == nil {
			segment = decoded
		}
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// cutPlaceholder finds the first {name}, of nested braces the innermost.
func cutPlaceholder(text string) (before, name, after string, found bool) {
	end := 0
	for {
		i := strings.IndexByte(text[end:], '}')
		if i < 0 {
			return text, "", "", false
		}
		end += i
		if start := strings.LastIndexByte(text[:end], '{'); start >= 0 {
			return text[:start], text[start+1 : end], text[end+1:], true
		}
		end++
	}
}

// isPlaceholderName reports whether {name} in a path is a placeholder although no value is set.
func isPlaceholderName(name string) bool {
	for _, c := range name {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-.", c) {
			return false
		}
	}
	return name != ""
}

// PlaceholderNames lists the names of a text's placeholders, in order.
func PlaceholderNames(text string) (names []string) {
	for {
		_, name, after, found := cutPlaceholder(text)
		if !found {
			return names
		}
		names = append(names, name)
		text = after
	}
}
