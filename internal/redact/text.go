package redact

import (
	"fmt"
	"math"
	"regexp"
	"strings"
)

// maxText is how much of a text is shown, in bytes, so that the cost of an error that quotes a whole answer is bounded.
const maxText = 16 << 10

const (
	jwtStart        = "eyJ"
	privateKeyStart = "-----BEGIN "
	oauth2Failure   = "oauth2: cannot fetch token: "
)

var (
	urlInText    = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>\\]+`)
	jwtInText    = regexp.MustCompile(`\beyJ[\w-]{8,}(?:\.[\w-]*)*`)
	schemeInText = regexp.MustCompile(`(?i)\b(bearer|basic|dpop|negotiate|ntlm)\s+[\w.~+/=-]{8,}`)

	// A PEM block that is cut off goes on to the text's end.
	privateKeyInText = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)`)

	// The error of golang.org/x/oauth2 quotes the whole answer of the token endpoint.
	oauth2InText = regexp.MustCompile(`(oauth2: cannot fetch token: [^\n]*\nResponse: )([\s\S]*)`)

	pairInText   = regexp.MustCompile(`([\w.\[\]%-]+)=("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s&"'<>][^\s&"<>]*[^\s&"'<>.,:;!)}\]\\]|[^\s&"'<>.,:;!)}\]\\])`)
	quotedInText = regexp.MustCompile(`"([^"\\]+)"(\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|-?\d[\d.eE+-]*)`)

	// What follows is an object or an array, whose end no pattern finds.
	compositeInText = regexp.MustCompile(`"([^"\\]+)"\s*:\s*[{\[]`)

	// JSON in a string: \"name\": \"value\".
	escapedInText = regexp.MustCompile(`\\"([^"\\]+)\\"(\s*:\s*)(?:\\"(?:[^"\\]|\\{2,4}.)*(?:\\")?|-?\d[\d.eE+-]*)`)

	// A header, or a member of a printed map. That what stands there is a secret shows in its length and in its having digits:
	// the text of an error, as in "token: it has expired" and "/token: 401 Unauthorized", stays readable.
	colonInText = regexp.MustCompile(`(?:^|[\s"'{(\[,;])([A-Za-z][\w.-]{4,}):\s?([^\s,;"'<>{}()\[\]]{6,})`)
)

// Go's own print of a map or a struct: a list as %v prints it, a list in Go syntax, and a string in Go syntax.
var (
	printedListInText = regexp.MustCompile(`(?:^|[\s{(\[,;&])([A-Za-z][\w.-]*):\s?\[[^\[\]"{}]*\]?`)
	syntaxListInText  = regexp.MustCompile(`([A-Za-z][\w.-]*)"?:\s?\[\][\w.]+\{(?:[^"}]|"(?:[^"\\]|\\.)*"?)*\}?`)
	syntaxTextInText  = regexp.MustCompile(`(?:^|[\s{(\[,;&])([A-Za-z][\w.-]*):"(?:[^"\\]|\\.)*"?`)
)

// What people write: a quoted value after a colon, a value after a spaced "=", a flag of a command line, an element of XML.
var (
	quotedColonInText = regexp.MustCompile(`(?:^|[\s{(\[,;])([A-Za-z][\w.-]*): (?:"([^"\s]{6,})"?|'([^'\s]{6,})'?)`)
	spacedInText      = regexp.MustCompile(`([A-Za-z][\w.-]*) = ([^\s,;"'<>]{6,})`)
	flagInText        = regexp.MustCompile(`(?:^|\s)--?([A-Za-z][\w-]*) ([^\s"'<>-][^\s"'<>]{5,})`)
	elementInText     = regexp.MustCompile(`<([A-Za-z][\w.:-]*)>([^<>]+)</`)
)

// partOf is a text that each match of a pattern has in it.
var partOf = map[*regexp.Regexp]string{quotedColonInText: ": ", spacedInText: " = ", flagInText: "-", elementInText: "</"}

// written masks the secrets in what people write. That a value is one shows in its length and in its having digits, as in
// [colonInText].
func (n *Names) written(text string) string {
	for _, pattern := range [...]*regexp.Regexp{quotedColonInText, spacedInText, flagInText, elementInText} {
		if !strings.Contains(text, partOf[pattern]) {
			continue // most texts have none, and a look for it is cheap
		}
		text = n.named(text, pattern, func(m []string) string {
			value := m[2]
			if value == "" {
				value = m[len(m)-1]
			}
			if pattern != elementInText && !strings.ContainsAny(value, "0123456789") {
				return m[0]
			}
			start := strings.LastIndex(m[0], value)
			return m[0][:start] + Mask + m[0][start+len(value):]
		})
	}
	return text
}

// printed masks the secrets in what Go's fmt prints of a map or a struct. Of a list as %v prints it, that a value is a secret
// shows in its length and in its having digits, as in [colonInText]: the errors of a form are lists of sentences.
func (n *Names) printed(text string) string {
	text = n.named(text, syntaxListInText, func(m []string) string {
		return m[0][:strings.Index(m[0], ":")+1] + Mask
	})
	text = n.named(text, syntaxTextInText, func(m []string) string {
		return m[0][:strings.Index(m[0], `:"`)+1] + `"` + Mask + `"`
	})
	return n.named(text, printedListInText, func(m []string) string {
		start := strings.Index(m[0], ":")
		start += strings.Index(m[0][start:], "[") + 1
		list, end, _ := strings.Cut(m[0][start:], "]")
		values := strings.Split(list, " ")
		for i, value := range values {
			if len(value) >= 6 && strings.ContainsAny(value, "0123456789") {
				values[i] = Mask
			}
		}
		if strings.HasSuffix(m[0], "]") {
			end = "]"
		}
		return m[0][:start] + strings.Join(values, " ") + end
	})
}

// Text masks what looks like a secret in free text, as an error's: URLs with secrets in them, credentials of HTTP, JWTs, private
// keys, name=value, JSON's "name": "value", and the answer that golang.org/x/oauth2 quotes. What is too long is cut off, and
// control characters are written out, see [Printable].
func (n *Names) Text(text string) string {
	if len(text) <= maxText {
		return Printable(n.text(text, 0))
	}
	return fmt.Sprintf("%s… (%d bytes)", Printable(n.text(clip(text, maxText), 0)), len(text))
}

// Value is [Names.Text] for a value whose name is harmless, as a header's, which may be a URL or JSON as a whole.
func (n *Names) Value(text string) string {
	if len(text) > maxText {
		return n.Text(text)
	}
	return Printable(n.value(text, 0))
}

// text is Text of any length, with its control characters.
func (n *Names) text(text string, depth int) string {
	if strings.Contains(text, privateKeyStart) {
		text = privateKeyInText.ReplaceAllLiteralString(text, Mask)
	}
	if strings.Contains(text, oauth2Failure) {
		text = oauth2InText.ReplaceAllStringFunc(text, func(match string) string {
			groups := oauth2InText.FindStringSubmatch(match)
			if !looksLikeJSON(groups[2]) {
				return groups[1] + Mask
			}
			return groups[1] + n.json([]byte(groups[2]), math.MaxInt, false, depth+1)
		})
	}

	if strings.Contains(text, "://") {
		text = urlInText.ReplaceAllStringFunc(text, func(match string) string {
			plain := strings.TrimRight(match, ":.,;!)]}")
			return n.rawURL(plain, depth) + match[len(plain):]
		})
	}
	if strings.Contains(text, jwtStart) {
		text = jwtInText.ReplaceAllLiteralString(text, Mask)
	}
	text = schemeInText.ReplaceAllString(text, "$1 "+Mask)
	text = n.written(text)

	if strings.Contains(text, "=") {
		text = n.pairs(text, depth)
	}
	if strings.Contains(text, ":") {
		text = n.printed(text)
		text = n.composites(text)
		text = n.named(text, quotedInText, func(m []string) string {
			return `"` + m[1] + `"` + m[2] + `"` + Mask + `"`
		})
		text = n.named(text, escapedInText, func(m []string) string {
			return `\"` + m[1] + `\"` + m[2] + `\"` + Mask + `\"`
		})
		text = n.named(text, colonInText, func(m []string) string {
			if !strings.ContainsAny(m[2], "0123456789") {
				return m[0]
			}
			return strings.TrimSuffix(m[0], m[2]) + Mask
		})
	}
	return text
}

// pairs masks the values of name=value, and values that have secrets in them, as an escaped URL does.
func (n *Names) pairs(text string, depth int) string {
	return pairInText.ReplaceAllStringFunc(text, func(match string) string {
		name, value, _ := strings.Cut(match, "=")
		if n.Secret(unescape(name)) {
			return name + "=" + Mask
		}
		if plain := unescape(value); plain != value && n.value(plain, depth+1) != plain {
			return name + "=" + Mask
		}
		return match
	})
}

// composites masks the objects and arrays whose member names are those of secrets.
func (n *Names) composites(text string) string {
	var b strings.Builder
	for {
		at := compositeInText.FindStringSubmatchIndex(text)
		if at == nil {
			b.WriteString(text)
			return b.String()
		}

		start := at[1] - 1
		if !n.Secret(text[at[2]:at[3]]) {
			b.WriteString(text[:start+1])
			text = text[start+1:]
			continue
		}
		b.WriteString(text[:start] + `"` + Mask + `"`)
		text = text[start+compositeLength(text[start:]):]
	}
}

// compositeLength returns how long the object or the array is that a text begins with. One that does not end is all of it.
func compositeLength(text string) int {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// named replaces the matches whose first group is the name of a secret.
func (n *Names) named(text string, pattern *regexp.Regexp, masked func(groups []string) string) string {
	return pattern.ReplaceAllStringFunc(text, func(match string) string {
		groups := pattern.FindStringSubmatch(match)
		if !n.Secret(unescape(groups[1])) {
			return match
		}
		return masked(groups)
	})
}

var graphQLInText = regexp.MustCompile(`^\s*(?:(?:query|mutation|subscription|fragment)\b[^{]*)?\{\s*[A-Za-z_.@#]`)

// graphQLShown stands for a GraphQL document: its literals have no names that could be told apart from the rest.
const graphQLShown = "[GraphQL]"

// isGraphQL reports whether a text is a GraphQL document that may have literals in it, which stand in brackets.
func isGraphQL(text string) bool {
	return strings.Contains(text, "(") && graphQLInText.MatchString(text)
}
