package redact

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns the text with each hidden character written out, such as "\u001b". Hidden are
// control characters, marks that change the direction of writing, invisible characters, and bytes
// that are not UTF-8. Line breaks and tabs stay.
func Printable(text string) string {
	start := strings.IndexFunc(text, isHidden)
	if start < 0 {
		return text
	}

	var b strings.Builder
	b.WriteString(text[:start])
	for i := start; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\r':
			b.WriteString(`\r`)
		case r != utf8.RuneError && isHidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// isHidden reports whether a reader does not see the rune. A byte that is not UTF-8 decodes to
// utf8.RuneError.
func isHidden(r rune) bool {
	return r == utf8.RuneError || !unicode.IsGraphic(r) && r != '\n' && r != '\t'
}

// OneLine is [Printable] for a text that must be one line, such as a status, a URL or a header.
func OneLine(text string) string {
	return lineBreaks.Replace(Printable(text))
}

var lineBreaks = strings.NewReplacer("\n", `\n`, "\t", `\t`)
