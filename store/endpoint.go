package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/origin"
)

// Endpoint refreshes as the reference does: it POSTs to path by c, with a JSON body {"refresh_token": …} when there is a refresh
// token, else with the cookies alone. The answer is 204, or JSON with access_token, refresh_token, expires_in (seconds) and
// token_type, or JSON without tokens, which are in cookies then.
//
// The request goes through c's interceptors under auth.Skip, so that its own 401 is just a failed refresh. A redirect to another
// origin is refused: the refresh token stays where it belongs.
func Endpoint(c *axle.Client, path string) RefreshFunc {
	return func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		if c == nil {
			return nil, errors.New("store: Endpoint was given no client")
		}
		var body any
		if current != nil && current.RefreshToken != "" {
			body = map[string]string{"refresh_token": current.RefreshToken}
		}
		resp, err := c.Post(ctx, path, body, auth.Skip, func(r *axle.Request) {
			r.SetRedirectCheck(sameOrigin).SetValidateStatus(func(status int) bool { return status >= 200 && status <= 299 })
		})
		if err != nil {
			return nil, fmt.Errorf("store: refreshing at %s: %w", path, err)
		}
		return decodeToken(resp)
	}
}

// tokenAnswer is the token response of RFC 6749 §5.1.
type tokenAnswer struct {
	AccessToken  string  `json:"access_token"`
	RefreshToken string  `json:"refresh_token"`
	TokenType    string  `json:"token_type"`
	ExpiresIn    seconds `json:"expires_in"`
}

// seconds is a JSON number, or a string that holds one, as some servers send it.
type seconds int64

func (s *seconds) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if text == "null" {
		return nil
	}
	if unquoted, err := strconv.Unquote(text); err == nil {
		if text = unquoted; text == "" {
			return nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New("expires_in is not a number of seconds")
	}
	*s = seconds(max(0, min(f, math.MaxInt32))) // as x/oauth2 bounds it: more would overflow a Duration
	return nil
}

func decodeToken(resp *axle.Response) (*oauth2.Token, error) {
	body := bytes.TrimSpace(resp.Bytes())
	if resp.StatusCode == http.StatusNoContent || len(body) == 0 {
		return nil, nil
	}
	if body[0] != '{' && json.Valid(body) {
		return nil, nil // "ok", true, []: JSON without tokens
	}
	var answer tokenAnswer
	if err := json.Unmarshal(resp.Bytes(), &answer); err != nil {
		return nil, &axle.Error{
			Code: axle.CodeBadResponse, Message: "store: the refresh answer is not a token response", Request: resp.Request, Response: resp, Err: err,
		}
	}
	if answer.AccessToken == "" {
		return nil, nil
	}
	token := &oauth2.Token{AccessToken: answer.AccessToken, RefreshToken: answer.RefreshToken, TokenType: answer.TokenType}
	if answer.ExpiresIn > 0 {
		token.ExpiresIn = int64(answer.ExpiresIn)
		token.Expiry = time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)
	}
	return token, nil
}

// sameOrigin is a redirect check.
func sameOrigin(next *http.Request, via []*http.Request) error {
	if !origin.Same(via[0].URL, next.URL) {
		return &axle.Error{Code: axle.CodeBadResponse, Message: "store: the refresh endpoint redirects to another origin"}
	}
	return nil
}

// OAuth2 refreshes by the refresh grant of RFC 6749 §6, through x/oauth2. The HTTP client is the context's (oauth2.HTTPClient), as
// usual, but a redirect to another origin is refused.
func OAuth2(cfg *oauth2.Config) RefreshFunc {
	return func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		switch {
		case cfg == nil:
			return nil, errors.New("store: OAuth2 was given no config")
		case current == nil || current.RefreshToken == "":
			return nil, errors.New("store: there is no refresh token to refresh with")
		}
		client := &http.Client{}
		if given, ok := ctx.Value(oauth2.HTTPClient).(*http.Client); ok && given != nil {
			*client = *given
		}
		check := client.CheckRedirect
		client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
			if err := sameOrigin(next, via); err != nil {
				return err
			}
			if check != nil {
				return check(next, via)
			}
			if len(via) >= axle.MaxRedirects {
				return errors.New("store: too many redirects")
			}
			return nil
		}
		ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
		return cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: current.RefreshToken}).Token()
	}
}
