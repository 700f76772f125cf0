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
	"github.com/axlehttp/axle/internal/origin"
)

// EndpointOption configures [Endpoint].
type EndpointOption func(*endpoint)

// EndpointRequest edits the request before it is sent: another body, header or method. The edit gets the request as Endpoint would send
// it, and a copy of the current token; nil where there is none. What the edit cannot change is which statuses fulfil the request, and
// that a redirect to another origin is refused.
func EndpointRequest(edit func(r *axle.Request, current *oauth2.Token)) EndpointOption {
	return func(e *endpoint) { e.edit = edit }
}

// EndpointAnswer reads the new token from the answer, in place of Endpoint's own rules: for other names, envelopes, and an expiry that is
// in the token itself. Every status from 200 to 299 gets there. Nil and nil keep the current token. An error, or a panic, fails the
// refresh; it holds the answer, so that [RejectedOnly] can judge it.
func EndpointAnswer(read func(*axle.Response) (*oauth2.Token, error)) EndpointOption {
	return func(e *endpoint) { e.read = read }
}

// Endpoint refreshes as the reference does: it POSTs to path by c, with a JSON body {"refresh_token": …} when there is a refresh
// token, else with the cookies alone.
//
// A 204 is a success that keeps the token. So is any other status from 200 to 299 whose JSON has no non-empty string "error" and, if
// the current token has an access token, has a new one in "access_token"; beside it are read "refresh_token", "token_type" and
// "expires_in" (seconds, as a number or in a string; whatever else it is, the expiry is unknown). All other members are the token's
// Extra. A token without a type keeps the old one's. Anything else is a failed refresh, whose error names the members that the answer
// has, and not their values: see [EndpointAnswer] for APIs with other names.
//
// The request goes through c's interceptors under auth.Skip, so that its own 401 is just a failed refresh. It is sent once: an
// interceptor of c that sends it again spends the refresh token again. The client's time limit does not count for it, since a rotated
// token must be read; the refresh has its own, see [WithRefreshTimeout]. A redirect to another origin is refused: the refresh token stays
// where it belongs.
func Endpoint(c *axle.Client, path string, opts ...EndpointOption) RefreshFunc {
	e := &endpoint{client: c, path: path}
	for _, opt := range opts {
		if opt != nil {
			opt(e)
		}
	}
	return e.refresh
}

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
		r.SetRedirectCheck(sameOrigin).SetValidateStatus(func(status int) bool { return status >= 200 && status <= 299 })
	})
	if err != nil {
		return nil, fmt.Errorf("store: refreshing at %s: %w", e.path, err)
	}
	defer func() { _ = resp.Stream().Close() }() // one that the edit asked for

	token, err := e.tokenOf(resp, current)
	if err != nil {
		return nil, err
	}
	return withTypeOf(current, token), nil
}

// tokenOf reads the answer.
func (e *endpoint) tokenOf(resp *axle.Response, current *oauth2.Token) (*oauth2.Token, error) {
	if e.read == nil {
		if err := resp.Buffer(); err != nil {
			return nil, err
		}
		return decodeToken(resp, current)
	}
	token, err := e.read(resp)
	if err != nil {
		return nil, badAnswer(resp, "EndpointAnswer refused it", err)
	}
	return token, nil
}

// badAnswer is the error of an answer whose status promised more.
func badAnswer(resp *axle.Response, message string, cause error) error {
	return &axle.Error{
		Code: axle.CodeBadResponse, Message: "store: the refresh answer is no success: " + message, Request: resp.Request, Response: resp, Err: cause,
	}
}

// decodeToken reads the token response of RFC 6749 §5.1, or one without tokens, which are in cookies then.
func decodeToken(resp *axle.Response, current *oauth2.Token) (*oauth2.Token, error) {
	body := bytes.TrimSpace(bytes.TrimPrefix(resp.Bytes(), []byte(byteOrderMark)))
	if resp.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	hadAccess := current != nil && current.AccessToken != ""

	if !json.Valid(body) {
		media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		isText := len(body) == 0 || media != "application/json" && media != "text/html" && !bytes.ContainsAny(body[:1], "<{[")
		if isText && !hadAccess {
			return nil, nil // as "OK", of which the cookies are the point
		}
		return nil, badAnswer(resp, "its body is not JSON", nil)
	}

	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // JSON that is no object has no members
	if code := textOf(members["error"]); code != "" {
		return nil, badAnswer(resp, "it has an error"+quotedCode(code), nil)
	}
	access, refresh := textOf(members["access_token"]), textOf(members["refresh_token"])
	switch {
	case access != "":
		return tokenOfMembers(members, access, refresh), nil
	case hadAccess || refresh != "":
		return nil, badAnswer(resp, "it has no access_token, but "+named(members)+" (see EndpointAnswer)", nil)
	}
	return nil, nil
}

const byteOrderMark = "\ufeff"

func tokenOfMembers(members map[string]json.RawMessage, access, refresh string) *oauth2.Token {
	token := &oauth2.Token{AccessToken: access, RefreshToken: refresh, TokenType: textOf(members["token_type"])}
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

// textOf is a JSON string's value; empty for anything else.
func textOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// quotedCode shows an error code, and nothing that could be more than a code.
func quotedCode(code string) string {
	isOther := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' && r != '.' && r != ' '
	}
	if len(code) > 64 || strings.IndexFunc(code, isOther) >= 0 {
		return ""
	}
	return fmt.Sprintf(" %q", code)
}

// named lists the names of an answer's members, which are no secrets.
func named(members map[string]json.RawMessage) string {
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

// secondsOf reads expires_in: a number, or a string that holds one, as some servers send it. Zero is an unknown expiry.
func secondsOf(raw json.RawMessage) int64 {
	text := string(raw)
	if quoted := textOf(raw); quoted != "" {
		text = strings.TrimSpace(quoted)
	}
	return secondsIn(text)
}

// secondsIn bounds the number as x/oauth2 does: more would overflow a Duration. What is no int64 either is taken for a fault.
func secondsIn(text string) int64 {
	life, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(life) || life < 0 || life >= math.MaxInt64 {
		return 0
	}
	return int64(min(life, math.MaxInt32))
}

// sameOrigin is a redirect check.
func sameOrigin(next *http.Request, via []*http.Request) error {
	if !origin.Same(via[0].URL, next.URL) {
		return &axle.Error{Code: axle.CodeBadResponse, Message: "store: the refresh endpoint redirects to another origin"}
	}
	return nil
}
