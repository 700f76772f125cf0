package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/redact"
)

// EndpointOption configures [Endpoint].
type EndpointOption func(*endpoint)

// EndpointRequest sets a function that edits the request before it is sent. The edit may change the
// body, the header and the method. It gets the request as [Endpoint] would send it, and a copy of
// the current token, which is nil if there is none. It cannot change which statuses count as a
// success, nor that a redirect to another origin is refused.
func EndpointRequest(edit func(r *axle.Request, current *oauth2.Token)) EndpointOption {
	return func(e *endpoint) { e.edit = edit }
}

// EndpointAnswer sets a function that reads the new token from the response, in place of the rules
// of [Endpoint]. It is for other names, for envelopes, and for an expiry inside the token. It gets
// every response with a status from 200 to 299. If it returns nil and nil, the current token is
// kept. If it returns an error or panics, the refresh fails. The failure holds the response, so
// that [RejectedOnly] can judge it.
func EndpointAnswer(read func(*axle.Response) (*oauth2.Token, error)) EndpointOption {
	return func(e *endpoint) { e.read = read }
}

// Endpoint returns a RefreshFunc that refreshes as the reference does. It sends a POST to the path
// with the client. If there is a refresh token, the body is JSON, {"refresh_token": …}. Otherwise
// only the cookies are sent.
//
// A response with status 204 is a success that keeps the token. A response with another status from
// 200 to 299 is a success if its JSON has no non-empty string "error". If the current token has an
// access token, the JSON must also have a new one, "access_token". Endpoint reads "refresh_token",
// "token_type" and "expires_in" too. The last one is a number of seconds, which may be in a string.
// Any other form is an unknown expiry. All other members become the Extra of the token. A token
// without a type keeps the type of the old one.
//
// Every other response is a failed refresh. The error has the names of the members that the
// response has, without their values. For APIs with other names see [EndpointAnswer].
//
// The request goes through the client's interceptors under auth.Skip, so that a 401 of its own is a
// failed refresh. It is sent once. An interceptor that sends it again spends the refresh token
// again. The client's time limit does not count, since a rotated token must be read. The refresh
// has its own time limit, see [WithRefreshTimeout]. A redirect to another origin is refused, so
// that the refresh token goes nowhere else. In a browser every redirect is refused.
func Endpoint(c *axle.Client, path string, opts ...EndpointOption) RefreshFunc {
	e := &endpoint{client: c, path: path}
	for _, opt := range opts {
		if opt != nil {
			opt(e)
		}
	}
	return e.refresh
}

// endpoint is one RefreshFunc of [Endpoint].
type endpoint struct {
	client *axle.Client
	path   string
	edit   func(*axle.Request, *oauth2.Token)
	read   func(*axle.Response) (*oauth2.Token, error)
}

func (e *endpoint) refresh(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	if e.client == nil {
		return nil, errors.New("store: Endpoint was given no client")
	}

	var body any
	if current != nil && current.RefreshToken != "" {
		body = map[string]string{"refresh_token": current.RefreshToken}
	}
	resp, err := e.client.Post(ctx, e.path, body, auth.Skip, func(r *axle.Request) {
		r.SetTimeout(0)
		if e.edit != nil {
			e.edit(r, copyOf(current))
		}

		// These come last, so that the edit cannot undo them.
		r.SetRedirectCheck(sameOrigin)
		if fetch.Possible {
			// A browser cannot ask the check, and follows no redirect here.
			r.SetHeader(fetch.Redirect, fetch.Fail)
		}
		r.SetValidateStatus(func(status int) bool { return status >= 200 && status <= 299 })
	})
	if err != nil {
		return nil, fmt.Errorf("store: refreshing at %s: %w", redact.RawURL(e.path), err)
	}

	// The edit may have asked for a stream.
	defer func() { _ = resp.Stream().Close() }()

	token, err := e.tokenOf(resp, current)
	if err != nil {
		return nil, err
	}
	return withTypeOf(current, token), nil
}

// tokenOf reads the token from the response.
func (e *endpoint) tokenOf(resp *axle.Response, current *oauth2.Token) (*oauth2.Token, error) {
	if e.read != nil {
		token, err := e.read(resp)
		if err != nil {
			return nil, badResponse(resp, "EndpointAnswer refused it", err)
		}
		return token, nil
	}

	if err := resp.Buffer(); err != nil {
		return nil, err
	}
	return decodeToken(resp, current)
}

// badResponse returns the error of a response that is no success in spite of its status.
func badResponse(resp *axle.Response, message string, cause error) error {
	return &axle.Error{
		Code:     axle.CodeBadResponse,
		Message:  "store: the refresh answer is no success: " + message,
		Request:  resp.Request,
		Response: resp,
		Err:      cause,
	}
}

// decodeToken reads a token response (RFC 6749 §5.1). The response of an API that keeps its tokens
// in cookies may have no token. It returns nil then.
func decodeToken(resp *axle.Response, current *oauth2.Token) (*oauth2.Token, error) {
	if resp.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	body := bytes.TrimSpace(bytes.TrimPrefix(resp.Bytes(), []byte(byteOrderMark)))
	hadAccess := current != nil && current.AccessToken != ""

	if !json.Valid(body) {
		if isPlainText(resp, body) && !hadAccess {
			return nil, nil
		}
		return nil, badResponse(resp, "its body is not JSON", nil)
	}

	// JSON that is not an object has no members.
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members)
	if code := textOf(members["error"]); code != "" {
		return nil, badResponse(resp, "it has an error"+quotedCode(code), nil)
	}

	access, refresh := textOf(members["access_token"]), textOf(members["refresh_token"])
	switch {
	case access != "":
		return tokenOfMembers(members, access, refresh), nil
	case hadAccess || refresh != "":
		message := "it has no access_token, but " + listed(members) + " (see EndpointAnswer)"
		return nil, badResponse(resp, message, nil)
	}
	return nil, nil
}

const byteOrderMark = "\ufeff"

// isPlainText reports whether a body that is no JSON does not pretend to be JSON, nor an HTML page.
// An API that keeps its tokens in cookies may send such a body, "OK" for example.
func isPlainText(resp *axle.Response, body []byte) bool {
	if len(body) == 0 {
		return true
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return media != "application/json" && media != "text/html" && !bytes.ContainsAny(body[:1], "<{[")
}

// tokenOfMembers makes a token of the members of a token response.
func tokenOfMembers(members map[string]json.RawMessage, access, refresh string) *oauth2.Token {
	token := &oauth2.Token{
		AccessToken:  access,
		RefreshToken: refresh,
		TokenType:    textOf(members["token_type"]),
	}
	if life := secondsOf(members["expires_in"]); life > 0 {
		token.ExpiresIn = life
		token.Expiry = time.Now().Add(time.Duration(life) * time.Second)
	}

	extra := map[string]any{}
	for name, raw := range members {
		switch name {
		case "access_token", "refresh_token", "token_type", "expires_in", "error":
			continue
		}
		var value any
		if json.Unmarshal(raw, &value) == nil {
			extra[name] = value
		}
	}
	if len(extra) == 0 {
		return token
	}
	return token.WithExtra(extra)
}

// textOf returns the value of a JSON string. It is empty for anything else.
func textOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// quotedCode returns an error code in quotes, with a space before it. It is empty for a text that
// may be more than a code.
func quotedCode(code string) string {
	isOther := func(r rune) bool {
		isLetter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !isLetter && r != '_' && r != '-' && r != '.' && r != ' '
	}
	if len(code) > 64 || strings.IndexFunc(code, isOther) >= 0 {
		return ""
	}
	return fmt.Sprintf(" %q", code)
}

// listed returns the names of a response's members, which are no secrets.
func listed(members map[string]json.RawMessage) string {
	if len(members) == 0 {
		return "no members"
	}

	const most, longest = 20, 64
	var names []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if len(names) == most {
			names = append(names, "…")
			break
		}
		names = append(names, strconv.Quote(name[:min(len(name), longest)]))
	}
	return "the members " + strings.Join(names, ", ")
}

// secondsOf reads expires_in. It is a number, or a string with a number, which some servers send.
// Zero means an unknown expiry.
func secondsOf(raw json.RawMessage) int64 {
	text := string(raw)
	if quoted := textOf(raw); quoted != "" {
		text = strings.TrimSpace(quoted)
	}
	return secondsIn(text)
}

// secondsIn reads a number of seconds. It bounds the number as x/oauth2 does, because more would
// overflow a Duration. A number that no int64 can hold counts as a fault, which is zero.
func secondsIn(text string) int64 {
	life, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(life) || life < 0 || life >= math.MaxInt64 {
		return 0
	}
	return int64(min(life, math.MaxInt32))
}

// sameOrigin is a redirect check that refuses another origin.
func sameOrigin(next *http.Request, via []*http.Request) error {
	if !origin.Same(via[0].URL, next.URL) {
		return &axle.Error{
			Code:    axle.CodeBadResponse,
			Message: "store: the refresh endpoint redirects to another origin",
		}
	}
	return nil
}
