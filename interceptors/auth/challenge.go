package auth

import (
	"net/http"
	"strings"

	"github.com/axlehttp/axle/internal/wire"
)

// needsMoreThanARefresh reports whether a 401 or 403 says in its WWW-Authenticate that another token of the same kind would
// not help: "insufficient_scope" asks for a token with more rights (RFC 6750 §3.1), and "use_dpop_nonce" for the same token
// with another proof (RFC 9449 §8).
func needsMoreThanARefresh(header http.Header) bool {
	for _, value := range header.Values("WWW-Authenticate") {
		found := false
		eachAuthParam(value, func(name, value string) {
			if strings.EqualFold(name, "error") {
				found = found || strings.EqualFold(value, "insufficient_scope") || strings.EqualFold(value, "use_dpop_nonce")
			}
		})
		if found {
			return true
		}
	}
	return false
}

// eachAuthParam calls fn for each auth-param of a WWW-Authenticate value, which may hold several challenges (RFC 9110
// §11.6.1). Values come unquoted. Schemes and token68 credentials are passed over, and so is what follows a syntax error.
//
// A comma separates challenges as well as their parameters, so that only what follows a token tells what the token is: with
// "=" and a value it is a parameter's name, else a scheme or the start of a token68.
func eachAuthParam(s string, fn func(name, value string)) {
	for {
		s = strings.TrimLeft(s, " \t,")
		name, rest := cutToken(s)
		if name == "" {
			// The characters of a token68 that no token has.
			if rest = strings.TrimLeft(s, "/="); rest == s {
				return
			}
			s = rest
			continue
		}
		s = rest

		afterEquals, isParam := strings.CutPrefix(strings.TrimLeft(s, " \t"), "=")
		if !isParam {
			continue
		}
		value, rest, ok := cutValue(strings.TrimLeft(afterEquals, " \t"))
		if !ok {
			s = afterEquals
			continue
		}
		fn(name, value)
		s = rest
	}
}

// cutToken splits s after the token that it begins with, which is empty if it begins with none.
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
			if i++; i == len(s) {
				return "", "", false
			}
		}
		unquoted.WriteByte(s[i])
	}
	return "", "", false
}
