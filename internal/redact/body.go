package redact

import (
	"bytes"
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// This file decides what of bodies and of free text may be shown. What cannot be told from a secret is not.

// lookahead is how many bytes beyond the limit are searched for secrets, so that none is overlooked for being cut in two.
const lookahead = 4096

// Body returns the first limit bytes of a body without its secrets, or its type and length.
func Body(body []byte, contentType, encoding string, limit int) string {
	media := mediaType(contentType)
	opaque := fmt.Sprintf("[%s, %d bytes]", media, len(body))
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	isForm := media == "application/x-www-form-urlencoded"
	switch {
	case len(body) == 0:
		return ""
	case limit == 0, encoding != "" && encoding != "identity", !isText(body):
		return opaque
	case isJSON, isForm, media == "text/plain", media == noType:
	default: // markup, multipart and scripts have no fields that could be told apart
		return opaque
	}
	var text string
	var cut bool
	switch {
	case isJSON || looksLikeJSON(body): // whatever it is called: curl -d sends it as a form
		text = maskJSON(body, limit)
	case media == noType:
		return opaque
	default:
		text = string(body)
		if cut = len(body)-lookahead > limit; cut {
			text = text[:limit+lookahead]
		}
		if isForm {
			text = Query(text)
		}
		text = lines(Text(text))
	}
	if len(text) <= limit && !cut {
		return text
	}
	end := min(limit, len(text))
	for end > 0 && end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:end], len(body))
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
	return media
}

// isText reports whether body is UTF-8 without control characters. UTF-16 is not: the names in it could not be read.
func isText(body []byte) bool {
	for _, c := range body {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return utf8.Valid(body)
}

func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n\ufeff")
	return bytes.HasPrefix(body, []byte("{")) || bytes.HasPrefix(body, []byte("["))
}

var (
	urlInText    = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>\\]+`)
	jwtInText    = regexp.MustCompile(`\beyJ[\w-]{8,}(?:\.[\w-]*)*`)
	schemeInText = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}`)
	pairInText   = regexp.MustCompile(`([\w.\[\]%-]+)=("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s&"'<>][^\s&"<>]*[^\s&"'<>.,:;!)}\]\\]|[^\s&"'<>.,:;!)}\]\\])`)
	quotedInText = regexp.MustCompile(`"([^"\\]+)"(\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|-?\d[\d.eE+-]*)`)
	// JSON in a string: \"name\": \"value\".
	escapedInText = regexp.MustCompile(`\\"([^"\\]+)\\"(\s*:\s*)(?:\\"(?:[^"\\]|\\{2,4}.)*(?:\\")?|-?\d[\d.eE+-]*)`)
	lineInText    = regexp.MustCompile(`(?m)^([^:\n]{1,64}):.+$`)
)

// Text masks what looks like a secret in free text, as an error's: URLs with secrets in them, Bearer and Basic
// credentials, JWTs, name=value, and JSON's "name": "value".
func Text(text string) string {
	text = urlInText.ReplaceAllStringFunc(text, func(match string) string {
		plain := strings.TrimRight(match, ":.,;!)]}")
		return RawURL(plain) + match[len(plain):]
	})
	text = jwtInText.ReplaceAllString(text, Mask)
	text = schemeInText.ReplaceAllString(text, "$1 "+Mask)
	text = named(text, pairInText, func(m []string) string {
		return m[1] + "=" + Mask
	})
	text = named(text, quotedInText, func(m []string) string { return `"` + m[1] + `"` + m[2] + `"` + Mask + `"` })
	return named(text, escapedInText, func(m []string) string { return `\"` + m[1] + `\"` + m[2] + `\"` + Mask + `\"` })
}

// lines masks the rest of lines that begin as "password:". In an error's text that would hide what went wrong.
func lines(text string) string {
	return named(text, lineInText, func(m []string) string { return m[1] + ": " + Mask })
}

// named replaces the matches whose first group is the name of a secret.
func named(text string, pattern *regexp.Regexp, masked func(groups []string) string) string {
	return pattern.ReplaceAllStringFunc(text, func(match string) string {
		groups := pattern.FindStringSubmatch(match)
		name, err := url.QueryUnescape(groups[1])
		if err != nil {
			name = groups[1]
		}
		if !Name(name) {
			return match
		}
		return masked(groups)
	})
}
