package auth

import (
	"net/http"
	"strings"

	"github.com/axlehttp/axle/internal/wire"
)

// needsMoreThanARefresh reports whether a refused response says in its WWW-Authenticate that
// another token of the same kind would not help. "insufficient_scope" asks for a token with more
// rights (RFC 6750 §3.1), and "use_dpop_nonce" for the same token with another proof (RFC 9449
// §8).
func needsMoreThanARefresh(header http.Header) bool {
	for _, value := range header.Values("WWW-Authenticate") {
		found := false
		eachAuthParam(value, func(name, value string) {
			if !strings.EqualFold(name, "error") {
				return
			}
			if strings.EqualFold(value, "insufficient_scope") || strings.EqualFold(value, "use_dpop_nonce") {
				found = true
			}
		})
		if found {
			return true
		}
	}
	return false
}

// eachAuthParam calls fn for each auth-param of a WWW-Authenticate value, which may hold several
// challenges (RFC 9110 §11.6.1). fn gets the values without their quotes. Schemes and token68
// credentials are passed over. If the value has a syntax error, the parameters after it are passed
// over, too.
//
// A comma separates challenges, and it also separates the parameters of one challenge. So the text
// after a token tells what the token is. If "=" and a value follow, it is the name of a parameter.
// Otherwise it is a scheme or the start of a token68.
func eachAuthParam(s string, fn func(name, value string)) {
	for {
		s = strings.TrimLeft(s, " \t,")
		name, rest := cutToken(s)
		if name == "" {
			// A token68 has these two characters, and a token does not.
			if rest = strings.TrimLeft(s, "/="); rest == s {
				return
			}
			s = rest
			continue
		}
		s = rest

		// A token without an equals sign is a scheme.
		afterEquals, isParam := strings.CutPrefix(strings.TrimLeft(s, " \t"), "=")
		if !isParam {
			continue
		}

		// An equals sign without a value is the end of a token68.
		value, rest, ok := cutValue(strings.TrimLeft(afterEquals, " \t"))
		if !ok {
			s = afterEquals
			continue
		}
		fn(name, value)
		s = rest
	}
}

// cutToken splits s after the token that it begins with. The token is empty if s begins with none.
func cutToken(s string) (token, rest string) {
	n := 0
	for n < len(s) && wire.IsTokenByte(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// cutValue splits s after the token or the quoted string (RFC 9110 §5.6.4) that it begins with.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}

	var unquoted strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return unquoted.String(), s[i+1:], true
		case '\\':
			// The next character stands for itself.
			if i++; i == len(s) {
				return "", "", false
			}
		}
		unquoted.WriteByte(s[i])
	}
	return "", "", false
}
