package redact

import (
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

// lookahead is how many bytes beyond the limit are searched for secrets. A secret that the limit
// cuts in two is found there.
const lookahead = 4096

// Body returns the first limit bytes of a body without its secrets, or its type and length. It
// shows only JSON and forms, since the secrets of any other body cannot be told from the rest. It
// reads no more than the limit and a constant number of bytes.
func (n *Names) Body(body []byte, contentType, encoding string, limit int) string {
	media := mediaType(contentType)
	opaque := fmt.Sprintf("[%s, %d bytes]", media, len(body))

	read := body
	if end := len(body) - lookahead; end > limit {
		read = body[:runeStart(body, limit+lookahead)]
	}

	switch {
	case len(body) == 0:
		return ""
	case limit == 0, encoding != "" && encoding != "identity", !isText(read):
		return opaque
	}

	var text string
	// curl -d sends JSON as a form.
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	isForm := media == "application/x-www-form-urlencoded"
	isAnything := media == "text/plain" || media == noType
	switch {
	case isJSON, (isForm || isAnything) && looksLikeJSON(string(read)):
		text = n.json(read, limit, len(read) < len(body), 0)
	case isForm:
		text = OneLine(n.Query(string(read)))
	default:
		return opaque
	}

	if len(text) <= limit && len(read) == len(body) {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", clip(text, limit), len(body))
}

// clip returns at most the first limit bytes of text. It does not cut a character in two.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:runeStart(text, limit)]
}

// runeStart returns the index at which the character of the byte i begins.
func runeStart[T string | []byte](text T, i int) int {
	for start := i; start >= 0 && start > i-utf8.UTFMax; start-- {
		if utf8.RuneStart(text[start]) {
			return start
		}
	}

	// The text is not UTF-8.
	return i
}

const noType = "no type"

func mediaType(contentType string) string {
	if contentType == "" {
		return noType
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	return OneLine(media)
}

// isText reports whether a body is UTF-8 without control characters. The names in UTF-16 could not
// be read.
func isText(body []byte) bool {
	for _, c := range body {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return utf8.Valid(body)
}
