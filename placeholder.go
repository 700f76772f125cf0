package axle

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"unicode"
)

// A placeholder is {name} in the text of a URL, and a path parameter is its value.

// pathParam is the value of a placeholder.
type pathParam struct {
	text string
	raw  bool // text is a piece of a URL: its slashes and escapes stay
}

// pathParams are values by name. A map of them is never modified, so that copies of a request can share it.
type pathParams map[string]pathParam

func (p pathParams) with(name string, value pathParam) pathParams {
	changed := maps.Clone(p)
	if changed == nil {
		changed = pathParams{}
	}
	changed[name] = value
	return changed
}

// placeholders fills in one URL: from the request's own values, else from the client's defaults.
type placeholders struct{ own, defaults pathParams }

func (p placeholders) value(name string) (value pathParam, found bool) {
	if value, found = p.own[name]; !found {
		value, found = p.defaults[name]
	}
	return value, found
}

// placeholderError says what is wrong with a placeholder's value. It does not print the value, which may be a secret.
type placeholderError struct{ name, problem string }

func (e *placeholderError) Error() string {
	return fmt.Sprintf("the path parameter {%s} %s", e.name, e.problem)
}

// place is the part of a URL that a placeholder stands in.
type place int

const (
	inHost place = iota
	inPath
	inQuery
)

// expand fills in the placeholders of a host or a query.
func (p placeholders) expand(template string, at place) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}
	var b strings.Builder
	_, err := p.write(&b, template, at)
	return b.String(), err
}

// expandPath fills in the placeholders of a path, and refuses a segment that would climb it. One placeholder's value may be
// harmless and still climb together with what stands beside it, as in "{a}{b}".
func (p placeholders) expandPath(path string) (string, error) {
	if !strings.Contains(path, "{") {
		return path, nil
	}

	var b strings.Builder
	b.Grow(len(path) + 32)
	for more := true; more; {
		var segment string
		segment, path, more = strings.Cut(path, "/")
		start := b.Len()
		name, err := p.write(&b, segment, inPath)
		if err != nil {
			return "", err
		}
		if name != "" && hasDotSegment(b.String()[start:]) {
			return "", &placeholderError{name, `makes a segment "." or "..", which would climb the path`}
		}
		if more {
			b.WriteByte('/')
		}
	}
	return b.String(), nil
}

// write writes a piece of a URL with its placeholders filled in, and returns the name of one that it filled in.
func (p placeholders) write(b *strings.Builder, template string, at place) (filled string, err error) {
	for {
		before, name, after, found := cutPlaceholder(template)
		b.WriteString(before)
		if !found {
			return filled, nil
		}
		template = after

		value, given := p.value(name)
		if !given && (at == inQuery || !isPlaceholderName(name)) {
			b.WriteByte('{')
			b.WriteString(name)
			b.WriteByte('}')
			continue
		}
		text, err := value.in(at, name, given)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		filled = name
	}
}

// in returns the value as it stands in a part of the URL.
func (v pathParam) in(at place, name string, given bool) (string, error) {
	problem := ""
	switch {
	case !given:
		problem = "has no value"
	case v.text == "":
		problem = "has an empty value"
	case at == inHost:
		problem = hostProblem(v.text)
	case v.raw:
		problem = rawProblem(v.text)
	}
	switch {
	case problem != "":
		return "", &placeholderError{name, problem}
	case v.raw, at == inHost:
		return v.text, nil
	case at == inQuery:
		return url.QueryEscape(v.text), nil
	}
	return url.PathEscape(v.text), nil
}

// hostProblem says why a value must not stand in a host: what is no piece of one label could name another host, or a port.
func hostProblem(value string) string {
	for i := range len(value) {
		if c := value[i]; c != '-' && c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return fmt.Sprintf("stands in the host of the URL, and its value is no part of a host's label: byte %d is %q", i, c)
		}
	}
	return ""
}

// rawProblem says why a value must not stand in a URL as it is.
func rawProblem(value string) string {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == 0x7f || c == '?' || c == '#' || c == '\\' {
			return fmt.Sprintf("is raw, and its value has %q at byte %d", c, i)
		}
	}

	decoded, err := url.PathUnescape(value)
	if err != nil {
		return "is raw, and its value has an escape that is none"
	}
	if hasDotSegment(value) || hasDotSegment(strings.ReplaceAll(decoded, `\`, "/")) {
		return "is raw, and its value has a segment \".\" or \"..\", which would climb the path"
	}
	return ""
}

// hasDotSegment reports whether a piece of an escaped path has a segment "." or "..", in whatever way it is escaped. Some servers
// take what follows a semicolon for parameters of the segment.
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

// placeholderNames lists the names of a text's placeholders.
func placeholderNames(text string) (names []string) {
	for {
		_, name, after, found := cutPlaceholder(text)
		if !found {
			return names
		}
		names = append(names, name)
		text = after
	}
}
