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

// Refused reports whether a failed refresh was refused by the server for good, so that only a new login helps.
//
// Where the answer has an OAuth error code, invalid_grant alone is such a refusal (RFC 6749 §5.2): every other code says that the
// client, the request or the server is at fault, and not the login. Without a code it is a 400, a 401 or a 403, unless the body is
// HTML: that is a page of a firewall, a proxy or a captive portal.
//
// The code is an [oauth2.RetrieveError]'s; of an [axle.Error] it is the string "error" in its response's JSON, also in an answer
// with a status of success, if it is a code that a token endpoint may give. Any other string there is an API's own word.
func Refused(refreshErr error) bool {
	var retrieve *oauth2.RetrieveError
	var call *axle.Error
	switch {
	case errors.As(refreshErr, &retrieve):
		if retrieve.ErrorCode != "" {
			return retrieve.ErrorCode == invalidGrant
		}
		return retrieve.Response != nil && isRefusal(retrieve.Response.StatusCode, retrieve.Response.Header, retrieve.Body)
	case errors.As(refreshErr, &call) && call.Response != nil:
		resp := call.Response
		body := bytes.TrimPrefix(resp.Bytes(), []byte(byteOrderMark))
		if code := errorMember(body); tokenErrors[code] {
			return code == invalidGrant
		}
		return isRefusal(resp.StatusCode, resp.Header, body)
	}
	return false
}

const invalidGrant = "invalid_grant"

// byteOrderMark stands before the JSON of some servers.
const byteOrderMark = "\ufeff"

// tokenErrors are the codes that a token endpoint may give: RFC 6749 §4.1.2.1 and §5.2, RFC 8628 §3.5, RFC 8707 §2, RFC 9396 §5,
// RFC 9449 §5 and §8, and OpenID Connect Core §3.1.2.6.
var tokenErrors = map[string]bool{
	"invalid_request": true, "invalid_client": true, invalidGrant: true, "unauthorized_client": true,
	"unsupported_grant_type": true, "invalid_scope": true,
	"access_denied": true, "unsupported_response_type": true, "server_error": true, "temporarily_unavailable": true,
	"authorization_pending": true, "slow_down": true, "expired_token": true,
	"invalid_target": true, "invalid_authorization_details": true, "invalid_dpop_proof": true, "use_dpop_nonce": true,
	"interaction_required": true, "login_required": true, "account_selection_required": true, "consent_required": true,
}

// errorMember is the string "error" of a JSON object; empty if there is none.
func errorMember(body []byte) string {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var code string
	if json.Unmarshal(answer["error"], &code) != nil {
		return ""
	}
	return code
}

// isRefusal judges an answer without an error code.
func isRefusal(status int, header http.Header, body []byte) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
		isHTML := media == "text/html" || media == "application/xhtml+xml" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
		return !isHTML
	}
	return false
}
