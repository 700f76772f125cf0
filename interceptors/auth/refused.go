package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
)

// Refused reports whether a refresh failed because the server refused it for good, so that only a
// new login helps. It is for the session that decides whether a failed refresh ends it.
//
// If the response has an OAuth error code, only invalid_grant is such a refusal (RFC 6749 §5.2).
// Every other code says that the client, the request or the server is at fault, and not the login.
//
// Without a code, a 400, a 401 and a 403 are refusals, unless the body is HTML. HTML is the page of
// a firewall, a proxy or a captive portal.
//
// The response is that of an [oauth2.RetrieveError] or of an [axle.Error]. A RetrieveError has the
// code in its ErrorCode. For an axle.Error the code is the string "error" in the response's JSON,
// also under a status of success. It counts only if it is a code that a token endpoint may give,
// since an API may use the name "error" for words of its own.
func Refused(refreshErr error) bool {
	if retrieve, ok := errors.AsType[*oauth2.RetrieveError](refreshErr); ok {
		if retrieve.ErrorCode != "" {
			return retrieve.ErrorCode == invalidGrant
		}
		resp := retrieve.Response
		return resp != nil && isRefusal(resp.StatusCode, resp.Header, retrieve.Body)
	}

	call, ok := errors.AsType[*axle.Error](refreshErr)
	if !ok || call.Response == nil {
		return false
	}
	resp := call.Response
	body := bytes.TrimPrefix(resp.Bytes(), []byte(byteOrderMark))
	if code := errorMember(body); tokenErrors[code] {
		return code == invalidGrant
	}
	return isRefusal(resp.StatusCode, resp.Header, body)
}

const invalidGrant = "invalid_grant"

// byteOrderMark precedes the JSON of some servers.
const byteOrderMark = "\ufeff"

// tokenErrors are the codes that a token endpoint may give.
var tokenErrors = map[string]bool{
	// RFC 6749 §5.2
	"invalid_request":        true,
	"invalid_client":         true,
	invalidGrant:             true,
	"unauthorized_client":    true,
	"unsupported_grant_type": true,
	"invalid_scope":          true,

	// RFC 6749 §4.1.2.1
	"access_denied":             true,
	"unsupported_response_type": true,
	"server_error":              true,
	"temporarily_unavailable":   true,

	// RFC 8628 §3.5
	"authorization_pending": true,
	"slow_down":             true,
	"expired_token":         true,

	// RFC 8707 §2, RFC 9396 §5, RFC 9449 §5 and §8
	"invalid_target":                true,
	"invalid_authorization_details": true,
	"invalid_dpop_proof":            true,
	"use_dpop_nonce":                true,

	// OpenID Connect Core §3.1.2.6
	"interaction_required":       true,
	"login_required":             true,
	"account_selection_required": true,
	"consent_required":           true,
}

// errorMember returns the string "error" of a JSON object. It returns an empty string if the body
// has none.
func errorMember(body []byte) string {
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return ""
	}

	var code string
	if json.Unmarshal(object["error"], &code) != nil {
		return ""
	}
	return code
}

// isRefusal judges a response without an error code.
func isRefusal(status int, header http.Header, body []byte) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return !isHTML(header, body)
	}
	return false
}

func isHTML(header http.Header, body []byte) bool {
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return media == "text/html" || media == "application/xhtml+xml" ||
		bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}
