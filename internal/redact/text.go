package redact

import (
	"fmt"
	"math"
	"regexp"
	"strings"
)

// maxText is how much of a text is shown, in bytes. It bounds the cost of an error that quotes a
// whole response.
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

	// A PEM block that was cut off extends to the end of the text.
	privateKeyInText = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----[\s\S]*?` +
		`(?:-----END [A-Z0-9 ]+-----|$)`)

	// The error of golang.org/x/oauth2 quotes the whole response of the token endpoint.
	oauth2InText = regexp.MustCompile(`(oauth2: cannot fetch token: [^\n]*\nResponse: )([\s\S]*)`)

	pairInText = regexp.MustCompile(`([\w.\[\]%-]+)=("(?:[^"\\]|\\.)*"?|'[^']*'?|` +
		`[^\s&"'<>][^\s&"<>]*[^\s&"'<>.,:;!)}\]\\]|[^\s&"'<>.,:;!)}\]\\])`)
	quotedInText = regexp.MustCompile(`"([^"\\]+)"(\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|-?\d[\d.eE+-]*)`)

	// The name of an object or an array. No pattern finds the end of those.
	compositeInText = regexp.MustCompile(`"([^"\\]+)"\s*:\s*[{\[]`)

	// JSON in a string: \"name\": \"value\".
	escapedInText = regexp.MustCompile(`\\"([^"\\]+)\\"(\s*:\s*)` +
		`(?:\\"(?:[^"\\]|\\{2,4}.)*(?:\\")?|-?\d[\d.eE+-]*)`)

	// A header, or a member of a printed map. The value counts as a secret only if it is long
	// enough and has a digit. So the text of an error stays readable, such as "token: it has
	// expired" and "/token: 401 Unauthorized".
	colonInText = regexp.MustCompile(`(?:^|[\s"'{(\[,;])([A-Za-z][\w.-]{4,}):\s?([^\s,;"'<>{}()\[\]]{6,})`)
)

// These find what fmt prints of a map or a struct: a list by %v, and a list and a string by %#v.
var (
	printedListInText = regexp.MustCompile(`(?:^|[\s{(\[,;&])([A-Za-z][\w.-]*):\s?\[[^\[\]"{}]*\]?`)
	syntaxListInText  = regexp.MustCompile(`([A-Za-z][\w.-]*)"?:\s?\[\][\w.]+` +
		`\{(?:[^"}]|"(?:[^"\\]|\\.)*"?)*\}?`)
	syntaxTextInText = regexp.MustCompile(`(?:^|[\s{(\[,;&])([A-Za-z][\w.-]*):"(?:[^"\\]|\\.)*"?`)
)

// These find a secret in prose: a quoted value after a colon, a value after " = ", a flag of a
// command line, an XML element.
var (
	quotedColonInText = regexp.MustCompile(`(?:^|[\s{(\[,;])([A-Za-z][\w.-]*): ` +
		`(?:"([^"\s]{6,})"?|'([^'\s]{6,})'?)`)
	spacedInText  = regexp.MustCompile(`([A-Za-z][\w.-]*) = ([^\s,;"'<>]{6,})`)
	flagInText    = regexp.MustCompile(`(?:^|\s)--?([A-Za-z][\w-]*) ([^\s"'<>-][^\s"'<>]{5,})`)
	elementInText = regexp.MustCompile(`<([A-Za-z][\w.:-]*)>([^<>]+)</`)
)

// partOf has a text that every match of a pattern contains. Most texts do not contain it, and then
// the pattern is not needed.
var partOf = map[*regexp.Regexp]string{
	quotedColonInText: ": ",
	spacedInText:      " = ",
	flagInText:        "-",
	elementInText:     "</",
}

// written masks the secrets in prose. As in colonInText, a secret is long enough and has a digit.
func (n *Names) written(text string) string {
	for _, pattern := range [...]*regexp.Regexp{quotedColonInText, spacedInText, flagInText, elementInText} {
		if !strings.Contains(text, partOf[pattern]) {
			continue
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

// printed masks the secrets in what fmt prints of a map or a struct. In a list that %v has printed,
// a secret is long enough and has a digit, as in colonInText. Such a list may also be sentences,
// such as the errors of a form.
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

// Text masks everything that looks like a secret in free text, such as an error: secrets in URLs,
// HTTP credentials, JWTs, private keys, name=value, "name": "value", and the response that
// golang.org/x/oauth2 quotes. A long text is cut off. Control characters are written out, see
// [Printable].
func (n *Names) Text(text string) string {
	if len(text) <= maxText {
		return Printable(n.text(text, 0))
	}
	return fmt.Sprintf("%s… (%d bytes)", Printable(n.text(clip(text, maxText), 0)), len(text))
}

// Value is [Names.Text] for a value whose name is harmless, such as that of a header. The whole
// value may be a URL or JSON.
func (n *Names) Value(text string) string {
	if len(text) > maxText {
		return n.Text(text)
	}
	return Printable(n.value(text, 0))
}

// text is [Names.Text] without a limit. It leaves control characters as they are.
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

// pairs masks the values of name=value. It also masks a value that contains a secret, such as an
// escaped URL.
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

// composites masks the objects and arrays that have the name of a secret.
func (n *Names) composites(text string) string {
	var b strings.Builder
	for {
		match := compositeInText.FindStringSubmatchIndex(text)
		if match == nil {
			b.WriteString(text)
			return b.String()
		}

		start := match[1] - 1
		if !n.Secret(text[match[2]:match[3]]) {
			b.WriteString(text[:start+1])
			text = text[start+1:]
			continue
		}
		b.WriteString(text[:start] + `"` + Mask + `"`)
		text = text[start+compositeLength(text[start:]):]
	}
}

// compositeLength returns the length of the object or array at the beginning of a text. If it does
// not end, that is the whole text.
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

// named replaces each match of a pattern whose first group is the name of a secret.
func (n *Names) named(text string, pattern *regexp.Regexp, masked func(groups []string) string) string {
	return pattern.ReplaceAllStringFunc(text, func(match string) string {
		groups := pattern.FindStringSubmatch(match)
		if !n.Secret(unescape(groups[1])) {
			return match
		}
		return masked(groups)
	})
}

var graphQLInText = regexp.MustCompile(`^\s*(?:(?:query|mutation|subscription|fragment)\b[^{]*)?` +
	`\{\s*[A-Za-z_.@#]`)

// graphQLShown replaces a GraphQL document. Its literals have no names that would tell which ones
// are secret.
const graphQLShown = "[GraphQL]"

// isGraphQL reports whether a text is a GraphQL document that may have literals. Literals are in
// parentheses.
func isGraphQL(text string) bool {
	return strings.Contains(text, "(") && graphQLInText.MatchString(text)
}
